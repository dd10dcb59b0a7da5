"""What gets into a fingerprint: the server's choices, what was not seen and why, and nothing that tells whose it is."""

import tomllib
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from popreceipt.emulator.profile import POINTS, load_profile
from popreceipt.exceptions import NothingProved, UsageError
from popreceipt.fingerprints import profile_file, taking
from popreceipt.rules import find
from popreceipt.verdict import Outcome, RuleVerdict

EVERYTHING = frozenset(need for name in POINTS for need in find(name).needs)


def verdict(name: str, answer: str | None, outcome: Outcome = Outcome.ANSWERED, reason: str = "") -> RuleVerdict:
    """The verdict on a rule that asks."""
    rule = find(name)
    return RuleVerdict(name, rule.chapter, rule.level, rule.binds, rule.provenance, outcome, 3, answer, reason or None)


UNSEEN = verdict("dequeue.empty-queue", None, Outcome.UNEXERCISED, "tenant:contoso lacks everything at 10:15")


def test_an_answer_is_written_down_as_the_profile_has_it() -> None:
    """It is the profile's own value, and the profile that comes of it has it."""
    found = taking.taken([verdict("dequeue.empty-queue", "200-empty")], EVERYTHING)
    assert found.points == {"dequeue.empty-queue": "200-empty"}
    assert found.unusual() == {"dequeue.empty-queue": "200-empty"}
    assert found.profile().dequeue_empty_queue == "200-empty"
    assert set(found.unseen) == set(POINTS) - {"dequeue.empty-queue"}


def test_a_server_that_answers_in_two_ways_is_not_said_to_answer_in_one() -> None:
    """Both answers are reported as such; the profile keeps the usual one."""
    found = taking.taken([verdict("acknowledgment.second", "404 | 200")], EVERYTHING)
    assert found.several == {"acknowledgment.second": ("200", "404")}
    assert "acknowledgment.second" not in found.points
    assert found.profile().acknowledgment_second == "500"


def test_an_answer_that_no_profile_knows_is_told_without_the_words_of_the_server() -> None:
    """A status says nothing of whose server it is; anything else is another answer."""
    verdicts = [verdict("acknowledgment.second", "418"), verdict("enqueue.content-type", "application/contoso+json")]
    found = taking.taken(verdicts, EVERYTHING)
    assert found.unknown == {"acknowledgment.second": ("418",), "enqueue.content-type": (taking.ANOTHER,)}
    assert "contoso" not in profile_file.as_toml(found) + str(found.as_json())


def test_what_was_not_seen_is_listed_with_a_reason_that_names_nobody() -> None:
    """The verdict's reason names the target and instants; the file has our own words."""
    verdicts = [
        verdict("enqueue.chunked", "accepted"),
        UNSEEN,
        verdict("redelivery.order", None, Outcome.UNDECIDED),
        verdict("retention.at-seven-days", None, Outcome.UNEXERCISED, "parked until 2026-03-01T10:00:00Z"),
    ]
    found = taking.taken(verdicts, EVERYTHING - {"faults"})
    assert found.unseen["dequeue.empty-queue"] == "no situation for it arose"
    assert found.unseen["redelivery.order"] == "the answers leave it open"
    assert found.unseen["retention.at-seven-days"].startswith("parked")
    assert found.unseen["status.seventh-spelling"] == "the target lacks faults"
    assert found.unseen["batch.overrun"] == "not asked for in this run"
    written = profile_file.as_toml(found)
    assert "contoso" not in written
    assert "10:" not in written


def test_answers_of_rules_that_are_no_points_stand_beside() -> None:
    """They are worth knowing, and no profile has them."""
    found = taking.taken(
        [verdict("enqueue.chunked", "411"), verdict("ordering.packages", "one-after-another")], EVERYTHING
    )
    assert found.beside == {"ordering.packages": "one-after-another"}


def test_an_answer_that_another_one_hides_is_not_believed() -> None:
    """Where a message without a file looks like an empty queue, nobody can say that the message was dropped."""
    hiding = verdict("zero-records.no-file-answer", "204")
    dropped = verdict("retention.expired-dequeue", "dropped")
    assert "retention.expired-dequeue" in taking.taken([hiding, dropped], EVERYTHING).unseen
    assert "may be 204" in taking.taken([verdict("enqueue.gzip", "415"), dropped], EVERYTHING).unseen[dropped.id]
    plain = verdict("zero-records.no-file-answer", "said")
    assert taking.taken([plain, dropped], EVERYTHING).points["retention.expired-dequeue"] == "dropped"


def test_nothing_seen_is_no_fingerprint() -> None:
    """An empty profile would pass for a server that answers everything as usual."""
    with pytest.raises(NothingProved, match="Not one open point"):
        taking.taken([UNSEEN], EVERYTHING)


def test_the_file_is_a_profile_and_says_where_it_comes_from(tmp_path: Path) -> None:
    """It can be read as TOML and as a profile; the day is the finest instant in it."""
    verdicts = [
        verdict("dequeue.empty-queue", "200-empty"),
        verdict("acknowledgment.second", "404 | 200"),
        verdict("download.after-lease", "302"),
        verdict("ordering.packages", "together"),
    ]
    label = 'sandbox "10.0.41" \\ Überprüfung 🧪'
    found = replace(
        taking.taken(verdicts, EVERYTHING, clock="system", day=date(2026, 3, 1), by="1.2.3"),
        label=profile_file.checked_label(label),
    )
    file = tmp_path / "below" / "server.toml"
    profile_file.write(found, file)
    content = tomllib.loads(file.read_text(encoding="utf-8"))
    assert content["points"] == {"dequeue.empty-queue": "200-empty"}
    told = content["fingerprint"]
    assert told["label"] == label
    assert told["taken"] == date(2026, 3, 1)
    assert told["several"] == {"acknowledgment.second": ["200", "404"]}
    assert told["unknown"] == {"download.after-lease": ["302"]}
    assert told["beside"] == {"ordering.packages": "together"}
    assert len(told["unseen"]) == len(POINTS) - 3
    assert load_profile(str(file)) == found.profile()


@pytest.mark.parametrize("label", ["two\nlines", "\x1b[31mred", "x" * 121, "\x7f"])
def test_a_label_is_a_line_of_printable_text(label: str) -> None:
    """What else stands in a file that people commit would be a nuisance."""
    with pytest.raises(UsageError, match="one line of printable text"):
        profile_file.checked_label(label)
