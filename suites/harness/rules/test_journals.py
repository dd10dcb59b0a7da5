"""Each rule against journals written by hand: one in which its promise is kept, one in which it is broken."""

from pathlib import Path

import pytest

from popreceipt.journal import JournalFile
from popreceipt.resources import fixtures
from popreceipt.rules import catalogue, find
from popreceipt.rules.readings import Readings
from popreceipt.verdict import Level, Outcome, judge

JOURNALS = sorted(fixtures().joinpath("journals").rglob("*.ndjson"))
OUTCOMES = {"held": Outcome.HELD, "violated": Outcome.VIOLATED, "undecided": Outcome.UNDECIDED}


def story(path: Path) -> tuple[str, str]:
    """The rule that a journal is about and what it should show: an outcome or an answer."""
    claim, *_, shown = path.name.removesuffix(".ndjson").split(".")
    return f"{path.parent.name}.{claim}", shown


@pytest.mark.parametrize("path", JOURNALS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_handwritten_journal_is_judged_as_its_name_says(path: Path) -> None:
    """The rule in question finds what the journal was written to show, and no other MUST is broken."""
    rule_id, shown = story(path)
    rule = find(rule_id)
    journal = JournalFile(path)
    entries = list(journal)
    assert journal.complete, journal.damage
    verdicts = {each.id: each for each in judge(Readings(journal.header, entries), catalogue(rule.binds))}
    verdict = verdicts[rule_id]
    if rule.level is Level.ASK and shown not in OUTCOMES:
        assert (verdict.outcome, verdict.answer) == (Outcome.ANSWERED, shown)
    else:
        assert verdict.outcome is OUTCOMES[shown], verdict
    others = [
        each
        for each in verdicts.values()
        if each.level is Level.MUST and each.id != rule_id and each.outcome is Outcome.VIOLATED
    ]
    assert not others, others


@pytest.mark.parametrize("path", JOURNALS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_no_rule_fails_over_a_journal(path: Path) -> None:
    """Whatever a journal is about, a rule finds something in it or nothing, and never stumbles."""
    journal = JournalFile(path)
    readings = Readings(journal.header, list(journal))
    failed = [each.reason for each in judge(readings, catalogue(None)) if "itself failed" in (each.reason or "")]
    assert not failed


def test_every_rule_has_its_two_journals() -> None:
    """A rule without a journal that breaks it has not been shown able to fail."""
    shown: dict[str, set[str]] = {}
    for path in JOURNALS:
        rule_id, what = story(path)
        shown.setdefault(rule_id, set()).add(what)
    for rule in catalogue(None):
        if rule.level is Level.ASK:
            assert len(shown.get(rule.id, set())) > 1, f"{rule.id} needs journals with two answers"
            assert rule.answers[0] in shown[rule.id], f"{rule.id} needs a journal with its usual answer"
        else:
            assert {"held", "violated"} <= shown.get(rule.id, set()), f"{rule.id} needs a held and a violated journal"
