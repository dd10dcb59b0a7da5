"""How fast the fuzz suite is in process, beside `st run`: the same specifications, checks and phases, in turns.

`st run` is schemathesis' own command against `popreceipt serve` on loopback. It sends what it makes up; the suite
gives most examples a state of their own, lets strangers try, and judges every call by all rules, and that costs. What
counts are cases: of the suite the calls of its examples alone, whatever was sent to prepare them; of the command every
call that reached the server. The command's start is taken off its time. Figures are for comparing within one run.

    python -m popreceipt.generate.throughput [--rounds N] [--json FILE]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
from rich.console import Console
from rich.table import Table

from popreceipt import fuzz
from popreceipt.clock import stopwatch
from popreceipt.fuzz.bodies import STRATEGIES
from popreceipt.fuzz.campaign import Extent, settings
from popreceipt.fuzz.carrier import PLACEHOLDER
from popreceipt.shapes.documents import joined, operations
from popreceipt.targets import open_target

DOCUMENTS: Final = ("connector", "data-management")
"""What both are asked: `st run` could not be told the tenant and the secrets that the issuer's routes need."""

EXTENT: Final = Extent(examples=50, stories=60, steps=8)

GOAL: Final = 0.8
"""The part of the command's cases a second that the suite is to reach."""

HOOKS: Final = """
import schemathesis
from popreceipt.fuzz.bodies import STRATEGIES

for media_type, strategy in STRATEGIES.items():
    schemathesis.openapi.media_type(media_type, strategy)
"""
"""Lets the command make the bodies that the suite makes."""

Measured = Mapping[str, float]


def of_the_suite(seed: int) -> Measured:
    """One run of the suite on the emulator in this process."""
    ids = frozenset(each.id for each in operations(joined(DOCUMENTS)))
    with open_target("emulator:", seed=seed) as target:
        began, worked = stopwatch(), sum(os.times()[:2])
        result = fuzz.run(target, seed=seed, extent=EXTENT, operation_ids=ids)
        seconds, cpu = stopwatch() - began, sum(os.times()[:2]) - worked
        sent = sum(1 for _ in target.journal.exchanges())
    if result.failures or result.shortfalls:
        raise SystemExit(f"The suite found something on the plain emulator: {result.failures or result.shortfalls}")
    return {"cases": result.figures["cases"], "sent": sent, "seconds": seconds, "cpu": cpu}


def of_the_command(seed: int, folder: Path, start: float) -> Measured:
    """One run of `st run` against an emulator in a process of its own."""
    with _served() as base_url:
        token = _token(base_url)
        files = _written(folder, seed, token)
        before = _calls(base_url)
        began, worked = stopwatch(), sum(os.times()[2:4])
        run = subprocess.run(
            [
                *_command(),
                *("--config-file", str(files["config"]), "--no-color", "run", str(files["document"])),
                *("--url", base_url),
            ],
            cwd=folder,
            env=os.environ | {"SCHEMATHESIS_HOOKS": "throughput_hooks", "PYTHONPATH": str(folder)},
            capture_output=True,
            text=True,
            check=False,
        )
        seconds, cpu = stopwatch() - began - start, sum(os.times()[2:4]) - worked
        cases = _calls(base_url) - before
    if cases < 100:
        raise SystemExit(f"`st run` sent nothing:\n{run.stdout}{run.stderr}")
    return {"cases": cases, "sent": cases, "seconds": seconds, "cpu": cpu}


def start_of_the_command() -> float:
    """Seconds that the command takes to do nothing."""
    began = stopwatch()
    subprocess.run([*_command(), "run", "--help"], capture_output=True, check=True)
    return stopwatch() - began


def _command() -> tuple[str, ...]:
    return (str(Path(sysconfig.get_path("scripts")) / ("st.exe" if os.name == "nt" else "st")),)


@contextmanager
def _served() -> Iterator[str]:
    command = [sys.executable, "-m", "popreceipt", "serve", "--port", "0", "--clock", "manual"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        if server.stdout is None:
            raise RuntimeError("the server was started without its output")
        yield json.loads(server.stdout.readline())["base_url"]
    finally:
        server.terminate()
        server.wait(timeout=30)
        if server.stdout is not None:
            server.stdout.close()


def _token(base_url: str) -> str:
    with open_target(base_url) as target:
        return target.tokens.current()


def _written(folder: Path, seed: int, token: str) -> dict[str, Path]:
    document = joined(DOCUMENTS)
    told = settings(seed, EXTENT, operations(document))
    # What the suite does in several passes, the command does in one.
    told["phases"]["stateful"]["generation"]["max-examples"] = EXTENT.stories
    told["headers"] = {"Authorization": f"{PLACEHOLDER.partition(' ')[0]} {token}"}
    files = {name: folder / f"{name}.{end}" for name, end in (("document", "json"), ("config", "toml"))}
    files["document"].write_text(json.dumps(_without_texts(document)), encoding="utf-8")
    files["config"].write_text("\n".join(_toml(told)), encoding="utf-8")
    (folder / "throughput_hooks.py").write_text(HOOKS, encoding="utf-8")
    return files


def _without_texts(document: dict[str, Any]) -> dict[str, Any]:
    """Without the examples of bodies that have a strategy: beside one only bytes are taken, and JSON has none."""
    for item in document["paths"].values():
        for told in item.values():
            if isinstance(told, dict):
                for media_type, content in told.get("requestBody", {}).get("content", {}).items():
                    if media_type in STRATEGIES:
                        content.pop("examples", None)
    return document


def _toml(told: Mapping[str, Any], name: str = "") -> Iterator[str]:
    """A table as TOML writes it, and those within it."""
    deeper = {key: value for key, value in told.items() if isinstance(value, dict)}
    rows = {key: each for key, each in told.items() if isinstance(each, list) and each and isinstance(each[0], dict)}
    for key, value in told.items():
        if key not in deeper and key not in rows:
            yield f"{key} = {json.dumps(value)}"
    for key, value in deeper.items():
        yield f"[{name}{key}]"
        yield from _toml(value, f"{name}{key}.")
    for key, value in rows.items():
        for each in value:
            yield f"[[{name}{key}]]"
            yield from _toml(each, f"{name}{key}.")


def _calls(base_url: str) -> int:
    """The calls that have reached a server, by its own journal."""
    told = httpx.get(f"{base_url}/_control/v1/journal", timeout=60).text
    return sum(1 for line in told.splitlines() if '"seq":' in line)


def main(arguments: Sequence[str]) -> int:
    """Measure in turns and tell."""
    parser = argparse.ArgumentParser(prog="throughput", description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3, help="how often each of the two runs")
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    chosen = parser.parse_args(arguments)
    console = Console()
    measured: dict[str, list[Measured]] = {"the suite": [], "st run": []}
    with tempfile.TemporaryDirectory() as folder:
        start = min(start_of_the_command() for _ in range(3))
        for seed in range(chosen.rounds):
            measured["the suite"].append(of_the_suite(seed))
            measured["st run"].append(of_the_command(seed, Path(folder), start))
    table = Table("", "cases", "sent in all", "seconds", "CPU seconds", "cases/s", "cases/CPU s")
    for name, runs in measured.items():
        for each in runs:
            table.add_row(
                name,
                f"{each['cases']:.0f}",
                f"{each['sent']:.0f}",
                f"{each['seconds']:.1f}",
                f"{each['cpu']:.1f}",
                f"{each['cases'] / each['seconds']:.1f}",
                f"{each['cases'] / each['cpu']:.1f}",
            )
    console.print(table)
    ratios = {
        unit: statistics.median(
            (one["cases"] / one[unit]) / (other["cases"] / other[unit])
            for one, other in zip(measured["the suite"], measured["st run"], strict=True)
        )
        for unit in ("seconds", "cpu")
    }
    console.print(
        f"The suite reaches {ratios['seconds']:.2f} of the command's cases a second (goal {GOAL}), and "
        f"{ratios['cpu']:.2f} a second of CPU, in the median of {chosen.rounds} rounds; the command started in "
        f"{start:.1f} s, which are taken off."
    )
    if chosen.json is not None:
        chosen.json.write_text(json.dumps({"runs": measured, "ratios": ratios, "start": start}, indent=2) + "\n")
    return 0 if ratios["seconds"] >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
