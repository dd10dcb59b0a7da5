"""Where a server and the emulator part: rules, answers and shapes of answers, and nothing of what is alike."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from popreceipt.fingerprints import comparing, running
from popreceipt.fingerprints.comparing import Side, compare
from popreceipt.fingerprints.shapes import shape_of, shapes_of
from popreceipt.journal import Body, Exchange, Request, Response
from popreceipt.rules import find
from popreceipt.targets import open_target
from popreceipt.verdict import Outcome, RuleVerdict

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def verdict(name: str, outcome: Outcome, answer: str | None = None) -> RuleVerdict:
    """A rule's verdict."""
    rule = find(name)
    return RuleVerdict(name, rule.chapter, rule.level, rule.binds, rule.provenance, outcome, 1, answer)


def exchange(status: int, content: bytes, media: str = "application/json", operation: str = "dequeue") -> Exchange:
    """An answered exchange."""
    answer = Response(status, (("content-type", media),) if media else (), Body.of(content))
    return Exchange(1, NOON, NOON, operation, Request("GET", "https://host/path"), answer)


def test_two_that_are_alike_do_not_part() -> None:
    """The same verdicts and the same shapes, seen however often."""
    rules = [verdict("dequeue.empty-queue", Outcome.ANSWERED, "204"), verdict("redelivery.same-payload", Outcome.HELD)]
    one = Side.of(rules, {"dequeue": {"204 empty": 3}})
    other = Side.of(rules, {"dequeue": {"204 empty": 7}})
    found = compare(one, other)
    assert found.partings == ()
    assert (found.rules, found.operations) == (2, 1)


def test_differences_are_told_in_words_and_as_data() -> None:
    """An answer, an outcome, a shape of either side."""
    one = Side.of(
        [verdict("dequeue.empty-queue", Outcome.ANSWERED, "200-empty"), verdict("redelivery.order", Outcome.VIOLATED)],
        {"dequeue": {"200 empty": 1}},
    )
    other = Side.of(
        [verdict("dequeue.empty-queue", Outcome.ANSWERED, "204"), verdict("redelivery.order", Outcome.HELD)],
        {"dequeue": {"204 empty": 1}},
    )
    assert [each.words for each in compare(one, other).partings] == [
        "dequeue.empty-queue is answered 200-empty by the target and 204 by the emulator.",
        "redelivery.order is violated on the target and held on the emulator.",
        "dequeue: only the target answers 200 empty",
        "dequeue: only the emulator answers 204 empty",
    ]
    told = json.loads(json.dumps(compare(one, other).as_json()))
    assert told["format"] == comparing.FORMAT
    assert told["partings"][0] == {
        "kind": "answer",
        "place": "dequeue.empty-queue",
        "target": "200-empty",
        "emulator": "204",
        "words": "dequeue.empty-queue is answered 200-empty by the target and 204 by the emulator.",
    }


def test_what_only_one_of_them_was_able_to_show_is_no_difference() -> None:
    """It is listed: nobody should take it for agreement."""
    one = Side.of([verdict("redelivery.order", Outcome.ANSWERED, "tail")], {"enqueue": {"200 empty": 1}})
    other = Side.of([verdict("redelivery.order", Outcome.UNEXERCISED)], {})
    found = compare(one, other)
    assert found.partings == ()
    assert found.only_target == ("redelivery.order", "enqueue")
    assert found.rules == 0


@pytest.mark.parametrize(
    ("content", "media", "shape"),
    [
        (b"", "", "200 empty"),
        (
            b'{"Last": "2026-01-01T00:00:00Z", "Id": "6F1A4F2E-0000-4000-8000-000000000001", "Count": 3, "None": null}',
            "application/json; charset=utf-8",
            "200 application/json {Count: number, Id: guid in upper case, Last: instant, None: null}",
        ),
        (b'"{6f1a4f2e-0000-4000-8000-000000000001}"', "application/json", "200 application/json guid in braces"),
        (b'"00000000-0000-0000-0000-000000000000"', "application/json", "200 application/json guid of zeros"),
        (b'["2026-01-01T00:00:00.123", "2026-01-01T00:00:00+01:00"]', "application/json", None),
        (b'{"a": "https://host:8443/secret?sig=1", "b": "", "c": "http://host"}', "application/json", None),
        (b"<html><body>contoso</body></html>", "text/html", "200 text/html html"),
        (b"<?xml version='1.0'?><Package/>", "application/xml", "200 application/xml xml"),
        (b"PK\x03\x04rest", "application/octet-stream", "200 application/octet-stream zip"),
        (b"\xff\xfe\x00", "application/octet-stream", "200 application/octet-stream bytes"),
        (b"{broken", "application/json", "200 application/json no JSON"),
        (b"[" * 100_000, "application/json", "200 application/json long"),
        (b"[" * 50_000, "application/json", "200 application/json no JSON"),
        (b"just words of contoso", "text/plain", "200 text/plain text"),
    ],
)
def test_a_shape_tells_how_an_answer_is_built(content: bytes, media: str, shape: str | None) -> None:
    """Status, content type, members and kinds of values."""
    told = shape_of(exchange(200, content, media))
    expected = {
        b"[": "200 application/json [instant with fraction without zone | instant with offset]",
        b"{": "200 application/json {a: https url, b: blank, c: http url}",
    }
    assert told == (shape or expected[content[:1]])


def test_nothing_that_an_answer_says_gets_into_its_shape() -> None:
    """Whatever the server wrote: names of members stay, without what a terminal would take for a command."""
    body = json.dumps({"\x1b[31mname": "contoso", "n" * 500: ["secret", {"deep": "4711"}]}).encode()
    told = shape_of(exchange(200, body, "application/json\x1b]0;"))
    assert told is not None
    assert told.isprintable()
    for word in ("contoso", "secret", "4711", "n" * 61):
        assert word not in told


def test_what_got_no_whole_answer_has_no_shape() -> None:
    """A reset says nothing of how answers are built."""
    cut = Exchange(1, NOON, NOON, "ack", Request("POST", "https://host/"), None, "reset")
    assert shapes_of([cut]) == {}


@pytest.fixture(scope="module")
def everything() -> running.Run:
    """All scenarios played on an emulator that answers two things otherwise."""
    with open_target("emulator:dialect=acknowledgment.second=200") as target:
        return running.play(target, everything=True)


def test_the_emulator_under_the_same_profile_does_not_part_from_itself(everything: running.Run, tmp_path: Path) -> None:
    """Every rule ends alike, and every answer is built alike."""
    profile = tmp_path / "same.toml"
    profile.write_text('[points]\n"acknowledgment.second" = "200"\n')
    found = compare(everything.side, running.play_alike(everything, profile))
    assert found.partings == ()
    assert found.only_target == found.only_emulator == ()
    assert found.rules > 150
    assert found.operations >= 9


def test_the_emulator_under_another_profile_parts_where_they_differ(everything: running.Run, tmp_path: Path) -> None:
    """The one point that is answered otherwise, by name; and the shapes that come of it."""
    profile = tmp_path / "other.toml"
    profile.write_text('[points]\n"enqueue.message-id-form" = "bare"\n"acknowledgment.second" = "200"\n')
    partings = compare(everything.side, running.play_alike(everything, profile)).partings
    assert [(each.kind, each.place) for each in partings if each.kind != "shape"] == [
        ("answer", "enqueue.message-id-form")
    ]
    assert {each.place for each in partings if each.kind == "shape"} == {"enqueue"}


def test_the_emulator_is_asked_for_no_more_than_the_target_is_able_to(tmp_path: Path) -> None:
    """What a target lacks is not played on the emulator either, so that nothing is held against it."""
    profile = tmp_path / "plain.toml"
    profile.write_text("[points]\n")
    with open_target("emulator:") as target:
        target.abilities -= {"faults", "messages", "batch"}
        run = running.play(target, everything=True)
    found = compare(run.side, running.play_alike(run, profile))
    assert found.partings == ()
    assert found.only_emulator == ()


def test_a_defect_shows_as_a_difference(everything: running.Run) -> None:
    """A server that breaks a promise parts from one that does not."""
    with open_target("emulator:lease-of-29-minutes") as target:
        run = running.play(target, everything=True)
    partings = [each.place for each in compare(run.side, everything.side).partings]
    assert "redelivery.not-before-half-an-hour" in partings
