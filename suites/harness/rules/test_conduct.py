"""What a recording of a client can't tell is never held against it."""

from itertools import combinations
from pathlib import Path

import pytest

from popreceipt.journal import Exchange, Header, JournalFile
from popreceipt.resources import fixtures
from popreceipt.rules import catalogue, find
from popreceipt.rules.conduct import MANY, TIGHT, tight
from popreceipt.rules.readings import Readings
from popreceipt.verdict import Binds, Level, Outcome, judge

EXPORT_SIDE = {"dequeue", "download", "acknowledgment", "redelivery", "retention", "zero-records", "throttling"}

MUSTS = [each for each in catalogue(Binds.CLIENT) if each.level is Level.MUST and each.chapter in EXPORT_SIDE]


def is_a_right_clients(path: Path) -> bool:
    """Written for a rule that binds clients, and not to break it."""
    rule = find(f"{path.parent.name}.{path.name.partition('.')[0]}")
    return rule.binds is Binds.CLIENT and rule.chapter in EXPORT_SIDE and ".violated" not in path.name


RIGHT = [each for each in sorted(fixtures().joinpath("journals").rglob("*.ndjson")) if is_a_right_clients(each)]


@pytest.mark.parametrize("path", RIGHT, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_recording_that_begins_and_ends_anywhere_convicts_no_right_client(path: Path) -> None:
    """All that an instrument would have told is left out, and so is what came before and after."""
    journal = JournalFile(path)
    exchanges = [each for each in journal if isinstance(each, Exchange)]
    for first, last in combinations(range(len(exchanges) + 1), 2):
        header = Header(recorded_by="client", lease_seconds=journal.header.lease_seconds)
        verdicts = judge(Readings(header, exchanges[first:last]), MUSTS)
        broken = [each for each in verdicts if each.outcome is Outcome.VIOLATED]
        assert not broken, (first, last, broken)


def test_a_loop_is_many_tries_without_a_pause() -> None:
    """A burst of retries is none, and neither are tries that are as quick as that only now and then."""
    quick, slow = TIGHT / 2, TIGHT * 2
    assert tight([quick] * MANY)
    assert not tight([quick] * (MANY - 1))
    assert not tight([slow] * MANY)
    assert not tight([quick, slow, slow] * MANY)
