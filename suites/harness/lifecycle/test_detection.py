"""Looking for mutants without scenarios: what is found, what is told of it, and why something is not."""

from popreceipt.generate.detection import Detection, detect, main, report, turns, why_not
from popreceipt.lifecycle import MACHINES

NOTHING_USUAL: frozenset[str] = frozenset()


def test_a_mutant_is_found_by_what_it_does() -> None:
    """The rule, the machine, and the steps of the small story are told."""
    found = detect("never-redelivered", 0, 20.0, NOTHING_USUAL)
    assert found.by in MACHINES
    assert found.what in ("redelivery.after-half-an-hour", "dequeue.waiting-message-is-offered")
    assert found.level == "MUST"
    assert found.steps is not None
    assert found.steps <= 6


def test_what_the_plain_emulator_shows_as_well_does_not_count() -> None:
    """A rule that is violated anyway finds nothing; the search then says what it had to judge."""
    found = detect("token-without-its-type", 0, 0.3, frozenset({"authorization.token-answer"}))
    assert found.by is None
    assert found.examples > 0
    assert found.message.startswith("authorization.token-answer held in ")


def test_machines_and_fuzzing_take_turns() -> None:
    """All machines play twice, then the fuzzing looks."""
    seen = []
    for who, _ in turns():
        seen.append(who)
        if who == "fuzz":
            break
    assert seen == [*MACHINES, *MACHINES, "fuzz"]


def test_why_a_mutant_was_not_found() -> None:
    """Either its rules had nothing to judge, or they held."""
    said = why_not(("batch.recurrence-ends", "status.vocabulary"), {"status.vocabulary": 3})
    assert said == "no example exercised batch.recurrence-ends; status.vocabulary held in 3 examples"


def test_the_report_says_what_was_found_and_what_was_not() -> None:
    """A table each, and the share above them."""
    found = Detection("one", 0, 1.5, 20, "consumer", "status.vocabulary", "MUST", 3, "…")
    missed = Detection("other", 0, 60.0, 900, message="no example exercised status.vocabulary")
    text = report([found, missed], 60.0, NOTHING_USUAL)
    assert "found: 1 of 2 mutants (50.0%" in text
    assert "| one | consumer | status.vocabulary | MUST | 0 | 1.50 | 20 | 3 |" in text
    assert "| other | 0 | 60.00 | 900 | no example exercised status.vocabulary |" in text


def test_a_goal_that_is_not_met_fails() -> None:
    """With no time to look nothing is found, and the command says so."""
    assert main(["--mutant", "lease-of-29-minutes", "--limit", "0"]) == 1
