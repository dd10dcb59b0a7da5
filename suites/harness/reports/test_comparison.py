"""Two results beside each other: every way in which a verdict may change has its name and its direction."""

import json
from pathlib import Path

import pytest

from popreceipt.exceptions import UsageError
from popreceipt.reports import comparison, result
from popreceipt.reports.comparison import DIRECTIONS, Change, Direction
from popreceipt.reports.result import ResultFile
from popreceipt.verdict import Outcome, SuiteFailure

from . import runs

RULE = runs.HALF_HOUR
OPEN = runs.STALE


def of(folder: Path, outcome: Outcome | None, *, answer: str | None = None, **more: object) -> ResultFile:
    """A result of one rule, or of none."""
    rule = OPEN if answer else RULE
    rules = () if outcome is None else (runs.verdict(rule, outcome, answer=answer, reason="why"),)
    return result.read(runs.leave(folder, rules=rules, **({"failures": ()} | more)))


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        (Outcome.HELD, Outcome.VIOLATED, Change.BROKEN),
        (Outcome.UNEXERCISED, Outcome.VIOLATED, Change.BROKEN),
        (Outcome.UNDECIDED, Outcome.VIOLATED, Change.BROKEN),
        (Outcome.VIOLATED, Outcome.HELD, Change.MENDED),
        (Outcome.VIOLATED, Outcome.UNEXERCISED, Change.LOST),
        (Outcome.VIOLATED, Outcome.UNDECIDED, Change.UNSETTLED),
        (Outcome.HELD, Outcome.UNEXERCISED, Change.LOST),
        (Outcome.HELD, Outcome.UNDECIDED, Change.UNSETTLED),
        (Outcome.UNDECIDED, Outcome.HELD, Change.SETTLED),
        (Outcome.UNEXERCISED, Outcome.HELD, Change.GAINED),
        (Outcome.UNEXERCISED, Outcome.UNDECIDED, Change.GAINED),
        (Outcome.HELD, None, Change.REMOVED),
        (None, Outcome.HELD, Change.ADDED),
        (Outcome.HELD, Outcome.HELD, None),
        (Outcome.VIOLATED, Outcome.VIOLATED, None),
    ],
)
def test_each_change_has_a_name(
    tmp_path: Path, before: Outcome | None, after: Outcome | None, change: Change | None
) -> None:
    """What is violated no more is mended only where it was judged again."""
    told = comparison.compare(of(tmp_path / "now", after), of(tmp_path / "before", before))
    assert [each.change for each in told.changes] == ([] if change is None else [change])
    assert told.alike == (1 if change is None else 0)
    both = before is after is Outcome.VIOLATED
    assert told.still_violated == ((RULE,) if both else ())


def test_another_answer_is_neither_better_nor_worse(tmp_path: Path) -> None:
    """A server may choose; whoever lives with it wants to know."""
    now, before = (of(tmp_path / each, Outcome.ANSWERED, answer=each) for each in ("404", "500"))
    told = comparison.compare(now, before)
    assert [each.id for each in told.going(Direction.OTHER)] == [OPEN]
    assert told.by_id[OPEN].change is Change.ANSWERED
    assert comparison.compare(now, now).changes == ()


def test_every_change_has_a_direction_and_the_worst_come_first(tmp_path: Path) -> None:
    """As the table of directions has them."""
    assert set(DIRECTIONS) == set(Change)
    now = result.read(runs.leave(tmp_path / "now"))
    before = result.read(runs.leave(tmp_path / "before", rules=now.raw and runs.verdicts().rules[:100]))
    told = comparison.compare(now, before)
    assert {each.change for each in told.changes} == {Change.ADDED}
    back = comparison.compare(before, now)
    assert {each.direction for each in back.changes} == {Direction.WORSE}


def test_checks_of_suites_are_compared_by_name(tmp_path: Path) -> None:
    """Found now, and found no more; where they were found does not matter."""
    failures = [
        SuiteFailure("fuzz", where, check, runs.verdicts().rules[0].level, "No 5xx.", "500")
        for where, check in (("ack", "no-server-fault"), ("dequeue", "no-server-fault"), ("ack", "shape"))
    ]
    now = of(tmp_path / "now", Outcome.HELD, failures=tuple(failures[1:]))
    before = of(tmp_path / "before", Outcome.HELD, failures=tuple(failures[:1]))
    told = comparison.compare(now, before)
    assert told.found == ("fuzz: shape",)
    assert told.gone == ()
    assert comparison.compare(before, now).gone == ("fuzz: shape",)


def test_what_makes_two_results_hard_to_compare_is_told(tmp_path: Path) -> None:
    """Another target, build, clock or seed, and a run that did not come to its end."""
    now = of(tmp_path / "now", Outcome.HELD)
    other = {"name": "emulator:", "build": "2", "clock": "manual"}
    before = of(tmp_path / "before", Outcome.HELD, target=other, seed=8, complete=False)
    assert comparison.compare(now, before).circumstances == (
        "another target: emulator: then, tenant:qa now",
        "another build: 2 then, 10.0.1 now",
        "another clock: manual then, system now",
        "another seed: 8 then, 7 now",
        "the earlier result is not complete",
    )
    assert comparison.compare(now, now).circumstances == ()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff", "Cannot read the result"),
        (b"[" * 100_000, "Cannot read the result"),
        (b"[]", "its format is None"),
        (b'{"format": "popreceipt/load@1"}', "popreceipt/load@1"),
        (b'{"format": "popreceipt/verdicts@1"}', "damaged verdict file: KeyError"),
        (b'{"format": "popreceipt/verdicts@1", "rules": [7], "target": {}, "duration_seconds": 1}', "damaged"),
        (b'{"format": "popreceipt/verdicts@1", "rules": [], "target": 3, "duration_seconds": 1}', "damaged"),
        (
            json.dumps(
                runs.verdicts().as_json()
                | {"rules": [runs.verdict(RULE, Outcome.HELD).as_json() | {"outcome": "well", "findings": []}]}
            ).encode(),
            "damaged",
        ),
    ],
)
def test_what_is_no_result_is_said_in_a_sentence(tmp_path: Path, content: bytes, words: str) -> None:
    """With the file's name."""
    (tmp_path / "verdicts.json").write_bytes(content)
    with pytest.raises(UsageError, match=words):
        result.read(tmp_path)


def test_a_result_keeps_a_situation_in_which_a_rule_held(tmp_path: Path) -> None:
    """So that somebody may look at what was called held; older files lack it."""
    read = result.read(runs.leave(tmp_path))
    kept = read.by_id["authorization.token-required"].witness
    assert kept is not None
    assert (kept.message, kept.exchanges) == ("kept", (1, 4))
    told = json.loads((tmp_path / "verdicts.json").read_text(encoding="utf-8"))
    for each in told["rules"]:
        del each["witness"]
    (tmp_path / "verdicts.json").write_text(json.dumps(told), encoding="utf-8")
    assert all(each.witness is None for each in result.read(tmp_path).rules)
