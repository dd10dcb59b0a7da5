"""From what was played to verdicts: whose failure it was, and which side a subject has at all."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from popreceipt.journal import Header, Journal
from popreceipt.middleware.judging import SIDE_OF, judge_played, sides_touched, without_untouched
from popreceipt.middleware.played import Judged, Played
from popreceipt.middleware.scenario import EXPORT, IMPORT, Scenario
from popreceipt.rules import CHAPTERS, catalogue
from popreceipt.rules.readings import Readings
from popreceipt.rules.rule import CLIENT, INFERRED, Rule, Source
from popreceipt.verdict import Binds, Finding, Level, Outcome, held, violated

AT = datetime(2026, 1, 1, tzinfo=UTC)


def rule(name: str, finding: Finding) -> Rule:
    """A rule that always finds the same."""

    def check(_: Readings) -> Iterator[Finding]:
        yield finding

    return Rule(name, "", Source("", ""), Level.SHOULD, INFERRED, check, CLIENT)


RULES = (
    rule("dequeue.one", violated("an export")),
    rule("enqueue.two", violated("an import")),
    rule("transport.three", held()),
)


def played(*operations: str, **facts: Any) -> Played:
    """A scenario in which the subject made these calls."""
    journal = Journal(Header(recorded_by="service", lease_seconds=6.0))
    for each in operations:
        journal.record(sent=AT, answered=AT, method="GET", url="http://127.0.0.1/", operation=each, status=200)
    scenario = Scenario(name="s", title="", source="")
    members = {"lease_seconds": 6.0, "seconds": 1.0, "exits": (), "output_tail": ""} | facts
    return Played(scenario=scenario, journal=journal, **members)


def outcomes(judged: Judged) -> list[str]:
    return [each.outcome.value for each in judged.rules]


def test_every_rule_for_clients_is_judged() -> None:
    """The verdict is on the catalogue's rules that bind clients, and no others."""
    found = judge_played(played("dequeue"))
    assert [each.id for each in found.rules] == [each.id for each in catalogue(Binds.CLIENT)]


def test_a_fault_of_ours_leaves_all_undecided() -> None:
    """Nothing is held against the subject, whatever the journal shows."""
    found = judge_played(played("dequeue", fault="the disk is full"), RULES)
    assert outcomes(found) == ["undecided"] * 3
    assert found.rules[0].reason == "a fault of the harness, not of the subject: the disk is full"
    assert found.as_json()["harness_fault"] == "the disk is full"


def test_what_the_computer_lacks_leaves_all_unexercised() -> None:
    """The reason is what is missing."""
    found = judge_played(played(lacks="no second address"), RULES)
    assert outcomes(found) == ["unexercised"] * 3
    assert {each.reason for each in found.rules} == {"no second address"}


def test_a_side_counts_once_it_was_touched_anywhere() -> None:
    """In the whole run: a subject that cannot get to its imports in one scenario is judged there too."""
    judged = [judge_played(played("dequeue"), RULES), judge_played(played("enqueue", "download"), RULES)]
    assert sides_touched(each.played for each in judged) == {EXPORT, IMPORT}
    assert [outcomes(each) for each in without_untouched(judged, (EXPORT, IMPORT))] == [
        ["violated", "violated", "held"],
        ["violated", "violated", "held"],
    ]


def test_a_side_that_was_never_touched_is_none_of_the_subjects() -> None:
    """Its rules are unexercised with that reason, and say nothing more; those of no side stay."""
    judged = [judge_played(played("token", "dequeue", "ack"), RULES)]
    (found,) = without_untouched(judged, (EXPORT, IMPORT))
    assert outcomes(found) == ["violated", "unexercised", "held"]
    assert found.rules[1].reason == "the subject never called the import side"
    assert found.rules[1].findings == ()
    assert found.rules[1].situations == 0


def test_a_side_that_it_was_said_not_to_have_does_not_count() -> None:
    """Even where it was touched."""
    judged = [judge_played(played("dequeue", "jobstatus"), RULES)]
    (found,) = without_untouched(judged, (IMPORT,))
    assert outcomes(found) == ["unexercised", "violated", "held"]
    assert found.rules[0].reason == "the subject was said to have no export side (--side)"


def test_a_fault_of_ours_is_not_taken_for_a_side_that_nobody_touched() -> None:
    """Nobody knows what would have been called."""
    judged = [judge_played(played(fault="broken"), RULES)]
    assert outcomes(without_untouched(judged, (EXPORT, IMPORT))[0]) == ["undecided"] * 3


def test_every_chapter_has_its_side() -> None:
    """A chapter that is about one side says so; rules for clients of others are about both."""
    assert set(SIDE_OF) <= set(CHAPTERS)
    about_both = {each.chapter for each in catalogue(Binds.CLIENT)} - set(SIDE_OF)
    assert about_both <= {"authorization", "transport", "throttling"}


def test_a_rule_that_crashes_is_undecided() -> None:
    """Judging goes on with the others."""

    def crash(_: Readings) -> Iterator[Finding]:
        raise ValueError("no such thing")

    broken = Rule("transport.broken", "", Source("", ""), Level.SHOULD, INFERRED, crash, CLIENT)
    found = judge_played(played("dequeue"), (broken, *RULES))
    assert found.rules[0].outcome is Outcome.UNDECIDED
    assert found.rules[1].outcome is Outcome.VIOLATED
