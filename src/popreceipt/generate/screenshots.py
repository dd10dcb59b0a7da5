"""Writes the README's pictures with a real browser: specs/messages.png, load.png, sizing.png and report.png.

    python -m popreceipt.generate.screenshots

An emulator on a manual clock lives through a morning of imports: a shop sends files, some of them wrong, and the batch
takes them every quarter of an hour. The third picture is the report of a plan that comes along, the fourth that of an
emulator that hides a message too briefly.
"""

import json
import os
import random
import shutil
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Page, sync_playwright

from popreceipt import resources
from popreceipt.clock import ManualClock
from popreceipt.emulator.activity import Activity
from popreceipt.emulator.emulator import Emulator
from popreceipt.emulator.pages import Pages
from popreceipt.emulator.server import HttpServer
from popreceipt.exceptions import UsageError
from popreceipt.generate.picture import MUTANT
from popreceipt.reports import result
from popreceipt.reports.html import page
from popreceipt.rules import catalogue
from popreceipt.sizing.answer import size
from popreceipt.sizing.plan import read_plan
from popreceipt.sizing.report import as_page
from popreceipt.targets import open_target
from popreceipt.verification import verify

BEGIN = datetime(2026, 3, 2, 6, tzinfo=UTC)
HOURS = 6


def morning() -> tuple[Emulator, Activity]:
    """An emulator after a morning's imports, and the recurring data job that took them."""
    emulator = Emulator(ManualClock(BEGIN))
    with emulator.attended():
        job = emulator.create_activity(
            direction="import",
            name="Customer groups from the shop",
            processing_recurrence_minutes=15,
            monitoring_recurrence_minutes=5,
        )
    chance = random.Random(4)
    number = 0
    while emulator.clock.now() < BEGIN + timedelta(hours=HOURS):
        hour = (emulator.clock.now() - BEGIN) / timedelta(hours=1)
        for _ in range(chance.choices((0, 1, 2), (5 - hour / 2, 3, hour / 2))[0]):
            number += 1
            _enqueue(emulator, job, chance, number)
        emulator.advance(timedelta(seconds=chance.randrange(30, 150)))
    # The picture is taken while a run is at work, with some files that came too late for it.
    run = BEGIN + timedelta(hours=HOURS, minutes=15)
    _until(emulator, run - timedelta(minutes=4))
    for _ in range(2):
        number += 1
        _enqueue(emulator, job, chance, number)
    with emulator.attended() as now:
        emulator.history.fetch(job.id, now)
    _until(emulator, run + timedelta(seconds=1))
    for _ in range(2):
        number += 1
        _enqueue(emulator, job, chance, number)
    return emulator, job


def _until(emulator: Emulator, instant: datetime) -> None:
    emulator.advance(max(timedelta(0), instant - emulator.clock.now()))


def _enqueue(emulator: Emulator, job: Activity, chance: random.Random, number: int) -> None:
    fate = chance.random()
    keys = [f"{number}-{record}" for record in range(chance.randrange(2, 9))]
    if fate < 0.2:
        keys.append("far-too-long-a-key")
    lines = ["CUSTOMERGROUPID,DESCRIPTION,PAYMENTTERMID", *(f"{key},Group {key},Net30" for key in keys)]
    content = "".join(f"{line}\r\n" for line in lines).encode()
    with emulator.attended() as now:
        emulator.batch.enqueue(
            job,
            b"\xff\xfe\x00" if fate > 0.97 else content,
            now,
            entity="Customer groups",
            company=None,
            external_identifier=f"shop-{number:05d}",
        )


def shoot(folder: Path) -> list[Path]:
    """Write the pictures into a folder.

    Raises:
        UsageError: there is no Chromium on this computer.
    """
    chromium = shutil.which("chromium")
    if chromium is None:
        raise UsageError("The pictures need Chromium: install the Debian package chromium.")
    emulator, job = morning()
    arguments = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with HttpServer(emulator, mounts={"/pages": Pages(emulator)}) as server, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=arguments)
        address = f"{server.base_url}/pages/jobs/{job.id}"
        light = browser.new_page(viewport={"width": 1280, "height": 660})
        light.goto(f"{address}/messages")
        light.locator("#grid tbody tr").first.wait_for()
        dark = browser.new_page(viewport={"width": 1280, "height": 660}, color_scheme="dark")
        dark.goto(f"{address}/load")
        dark.wait_for_function("Chart.getChart(document.querySelector('canvas'))")
        written = [_picture(light, folder / "messages.png"), _picture(dark, folder / "load.png")]
        sizing = browser.new_page(viewport={"width": 1280, "height": 1220})
        sizing.set_content(_sizing())
        written.append(_picture(sizing, folder / "sizing.png"))
        report = browser.new_page(viewport={"width": 1280, "height": 2150})
        report.set_content(_report())
        written.append(_picture(report, folder / "report.png"))
        browser.close()
    return written


def _sizing() -> str:
    plan = resources.fixtures() / "plans" / "shop-day.toml"
    command = f"popreceipt size {plan.name} --html sizing.html"
    return as_page(size(read_plan(plan)), name=plan.name, text=plan.read_text(encoding="utf-8"), command=command)


def _report() -> str:
    with TemporaryDirectory() as made, open_target(f"emulator:{MUTANT}") as opened:
        verdicts = verify(opened)
        journal = Path(made) / "journal.ndjson"
        journal.write_bytes(b"".join(each + b"\n" for each in opened.journal.lines()))
        read = result.of_json(json.loads(json.dumps(verdicts.as_json())), journal)
        return page.as_page(read, {each.id: each for each in catalogue()}, journal)


def _picture(shown: Page, path: Path) -> Path:
    shown.evaluate("document.fonts.ready.then(() => true)")
    shown.screenshot(path=path)
    return path


def main() -> int:
    """Write the pictures."""
    for path in shoot(resources.specs()):
        print(f"{path} written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
