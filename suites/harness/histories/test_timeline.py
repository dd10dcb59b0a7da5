"""Drawings of anomalies: what stands in them, on a terminal, as SVG, and where `judge` puts them."""

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from popreceipt.histories.checker import judge
from popreceipt.histories.history import Anomaly
from popreceipt.histories.oracle import AnomalyOracle
from popreceipt.histories.projection import history_of
from popreceipt.histories.timeline import COLUMNS, Timeline, as_svg, print_timeline, timeline_of
from popreceipt.journal import Journal

Tell = Callable[..., Journal]
SVG = "{http://www.w3.org/2000/svg}"


def drawn(told: Tell, mutant: str, kind: Anomaly) -> Timeline:
    """The timeline of the first anomaly of a kind in some stories."""
    for seed in range(5):
        journal = told(f"emulator:{mutant}", seed)
        history = history_of(journal.header, journal.entries)
        for found in judge(history).found:
            if found.kind is kind:
                return timeline_of(history, found)
    pytest.fail(f"{mutant} shows no {kind}")


def printed(timeline: Timeline, **options: bool) -> str:
    out = io.StringIO()
    print_timeline(Console(file=out, width=200, **options), timeline)
    return out.getvalue()


@pytest.fixture(scope="module")
def early(told: Tell) -> Timeline:
    return drawn(told, "lease-of-29-minutes", Anomaly.EARLY)


def test_on_a_terminal(early: Timeline) -> None:
    """A lane for each caller, the lease, times since the start, the witness marked, never more than eighty columns."""
    text = printed(early)
    lines = text.splitlines()
    assert max(map(len, lines)) <= COLUMNS
    assert lines[0].startswith("early: message ")
    assert all(any(line.startswith(lane) for line in lines) for lane in early.lanes)
    assert "━" in text
    assert "hidden by its delivery" in text
    assert "0:00:00" in text
    witness = [line for line in lines if "▸" in line]
    assert len(witness) == 2
    assert all("is handed the message (exchange " in line for line in witness)
    assert "\x1b" not in text


def test_colours_are_left_out_where_nobody_wants_them(early: Timeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR leaves no colour; without it there is some."""
    assert "\x1b[1;31m" in printed(early, force_terminal=True)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "31m" not in printed(early, force_terminal=True)


@pytest.mark.parametrize(
    ("mutant", "kind"),
    [
        ("lease-of-29-minutes", Anomaly.EARLY),
        ("lease-of-31-minutes", Anomaly.LATE),
        ("acknowledgment-without-effect", Anomaly.BACK),
        ("order-overlaps", Anomaly.ORDER),
        ("final-status-goes-back", Anomaly.BACKWARDS),
    ],
)
def test_as_svg(told: Tell, mutant: str, kind: Anomaly) -> None:
    """Well-formed, self-contained, for light and dark, with a title and a description, nothing outside its frame."""
    timeline = drawn(told, mutant, kind)
    text = as_svg(timeline)
    root = ElementTree.fromstring(text)
    assert root.get("role") == "img"
    assert root.get("aria-labelledby") == "title description"
    assert (root.findtext(f"{SVG}title") or "").startswith(f"{kind}: message")
    assert timeline.found.sentence in (root.findtext(f"{SVG}desc") or "")
    assert "prefers-color-scheme: dark" in text
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    words = [each.text or "" for each in root.iter(f"{SVG}text")]
    for mark in timeline.marks:
        assert any(mark.words in each for each in words)
    for number in timeline.found.exchanges:
        assert any(f"(exchange {number})" in each for each in words)
    _, _, width, height = map(float, root.get("viewBox", "").split())
    for circle in root.iter(f"{SVG}circle"):
        assert 0 < float(circle.get("cx", "0")) < width
        assert 0 < float(circle.get("cy", "0")) < height
    for bar in root.iter(f"{SVG}rect"):
        assert float(bar.get("x", "0")) + float(bar.get("width", "0")) <= width
    assert timeline.bars or kind is Anomaly.BACKWARDS


def judged(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "popreceipt", "judge", *arguments], capture_output=True, text=True, check=False
    )


def test_the_command_draws(told: Tell, tmp_path: Path) -> None:
    """Three at most on the terminal; with --timelines an SVG each; the rules alone decide the exit status."""
    journal = told("emulator:acknowledgment-without-effect", 0)
    journal.seal()
    path = tmp_path / "journal.ndjson"
    path.write_bytes(b"".join(line + b"\n" for line in journal.lines()))
    count = len(judge(history_of(journal.header, journal.entries)).found)
    assert count > 3
    shown = judged(str(path))
    assert shown.returncode == 1
    assert shown.stdout.count("\nback-after-ack: message ") == 3
    assert f"{count} anomalies of single messages" in shown.stdout
    folder = tmp_path / "drawings"
    drawn_there = judged(str(path), "--timelines", str(folder))
    assert drawn_there.returncode == 1
    assert len(list(folder.glob("*-back-after-ack.svg"))) == count
    assert f"{count} anomalies of single messages drawn in" in drawn_there.stdout.replace("\n", " ")
    refused = judged(str(path), "--timelines", "/dev/null")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)


def test_an_oracle_finds_it_again(told: Tell) -> None:
    """In the journal where it is, and not where it is not."""
    oracle = AnomalyOracle(Anomaly.BACK)
    wrong, right = told("emulator:acknowledgment-without-effect", 0), told("emulator:", 0)
    seen = oracle.observed(wrong.header, wrong.entries)
    assert seen is not None
    assert seen[1]
    assert oracle.observed(right.header, right.entries) is None
