"""A load run as a summary and a badge: neither promises more than the command's exit status does, nor judges speed."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from popreceipt.exceptions import UsageError
from popreceipt.load.judging import judge_run
from popreceipt.load.result import Gate, LoadResult, Standing
from popreceipt.reports import measured
from popreceipt.rules import find
from popreceipt.verdict import Finding, Level, Outcome

from .conftest import FakeRun

SHOULD = "enqueue.each-call-its-own-message"
MUST = "enqueue.creates-a-message"

COLOURS: Mapping[int, tuple[str, ...]] = {
    0: ("brightgreen", "yellow"),
    1: ("red",),
    3: ("lightgrey",),
    4: ("lightgrey",),
}
"""Which colours a badge may have, by what the command ends with."""


@pytest.fixture
def result(good_run: FakeRun) -> LoadResult:
    return judge_run(good_run.written())


def told(result: LoadResult, folder: Path) -> measured.Measured:
    """What is told of a result once it lies in a folder."""
    result.write(folder / "load.json")
    found = measured.read(folder)
    assert found is not None
    return found


def broken(result: LoadResult, rule: str, outcome: Outcome = Outcome.VIOLATED) -> dict[str, Any]:
    """The verdicts with one rule that ended otherwise."""
    rules = tuple(
        replace(each, outcome=outcome, situations=1, findings=(Finding(outcome, "seen | **so**", (1,)),))
        if each.id == rule
        else each
        for each in result.verdicts.rules
    )
    assert rules != result.verdicts.rules
    return {"verdicts": replace(result.verdicts, rules=rules)}


MISSED = Gate("p95 of enqueue in ms", 5.0, 7.5, kept=False)
HARDLY = Gate("requests, at least", 100.0, 31.0, kept=False)


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({}, 0, "held at"),
        ({"standing": Standing.INCONCLUSIVE}, 3, "inconclusive"),
        ({"standing": Standing.INVALID, "gates": (MISSED,)}, 3, "invalid"),
        ({"finished": False}, 3, "not complete"),
        ({"faults": ("KeyError: 'x'",)}, 4, "a fault of the harness"),
        ({"gates": (MISSED,)}, 1, "1 threshold not kept"),
        ({"gates": (MISSED, HARDLY)}, 3, "nothing proved"),
        (MUST, 1, "1 violated"),
        (SHOULD, 0, "1 violated · "),
    ],
)
def test_a_badge_agrees_with_the_exit_status(
    result: LoadResult, tmp_path: Path, change: dict[str, Any] | str, status: int, words: str
) -> None:
    """Green or yellow where the command ends well, red where it ends with findings, grey where nothing is proved."""
    members = broken(result, change) if isinstance(change, str) else change
    changed = replace(result, **members)
    assert changed.exit_status() == status
    found = told(changed, tmp_path)
    assert words in found.badge[0]
    assert found.badge[1] in COLOURS[status]
    assert found.summary.startswith(f"## popreceipt load: {'✔' if found.badge[1] == 'brightgreen' else ''}")
    if status:
        assert not found.summary.startswith("## popreceipt load: ✔")


def test_a_conviction_stays_one_however_the_run_went(result: LoadResult, tmp_path: Path) -> None:
    """An invalid run that broke a promise has broken it."""
    changed = replace(result, standing=Standing.INVALID, finished=False, **broken(result, MUST))
    assert changed.exit_status() == 1
    assert told(changed, tmp_path).badge == ("1 violated", "red")


def test_an_undecided_rule_makes_no_green_badge(result: LoadResult, tmp_path: Path) -> None:
    """Somebody should look at it."""
    assert told(replace(result, **broken(result, SHOULD, Outcome.UNDECIDED)), tmp_path).badge[1] == "yellow"


def test_figures_are_told_and_not_judged(result: LoadResult, tmp_path: Path) -> None:
    """The summary has latencies with the words how to compare them; the badge has none."""
    found = told(result, tmp_path)
    assert "| <code>enqueue</code> | 12 | 0 | 3.0 |" in found.summary
    assert "popreceipt load --against" in found.summary
    assert "ms" not in found.badge[0]


def test_words_from_outside_are_no_markup(result: LoadResult, tmp_path: Path) -> None:
    """A target may be called anything, and a finding may quote anything."""
    target = dict(result.target) | {"name": "<b>@everyone</b> | #1\n# x"}
    changed = replace(result, target=target, reasons=("![x](http://evil.example)",), **broken(result, MUST))
    text = told(changed, tmp_path).summary
    for each in ("<b>", "@everyone", "![x]", "**so**", "\n# x"):
        assert each not in text
    assert len(text) < 65_000


def test_a_damaged_result_is_said_to_be_one(result: LoadResult, tmp_path: Path) -> None:
    """Whatever is missing from it."""
    whole = json.loads(json.dumps(result.as_json()))
    for name in ("plan", "target", "standing", "operations", "gates", "verdicts"):
        (tmp_path / "load.json").write_text(json.dumps({key: value for key, value in whole.items() if key != name}))
        with pytest.raises(UsageError, match="damaged"):
            measured.read(tmp_path)


def test_levels_are_those_that_the_test_means() -> None:
    """A MUST and a SHOULD."""
    assert (find(MUST).level, find(SHOULD).level) == (Level.MUST, Level.SHOULD)
