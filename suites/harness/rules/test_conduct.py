"""What a recording of a client can't tell is never held against it."""

import random
import re
from collections.abc import Iterable, Sequence
from datetime import timedelta
from hashlib import sha256
from itertools import combinations
from pathlib import Path
from uuid import UUID

import msgspec
import pytest

from popreceipt.journal import Body, Entry, Exchange, Header, JournalFile
from popreceipt.resources import fixtures
from popreceipt.rules import catalogue, find
from popreceipt.rules.conduct import MANY, TIGHT, tight
from popreceipt.rules.readings import Readings
from popreceipt.verdict import Binds, Level, Outcome, judge

MUSTS = [each for each in catalogue(Binds.CLIENT) if each.level is Level.MUST]

TOO_MANY = 600
"""So many pieces of one journal are judged at most."""

PAIRS = 1_000
"""So many pairs of journals are interleaved."""


def is_a_right_clients(path: Path) -> bool:
    """Written for a rule that binds clients, and not to break it."""
    rule = find(f"{path.parent.name}.{path.name.partition('.')[0]}")
    return rule.binds is Binds.CLIENT and ".violated" not in path.name


RIGHT = [each for each in sorted(fixtures().joinpath("journals").rglob("*.ndjson")) if is_a_right_clients(each)]


def exchanges_of(path: Path) -> tuple[Header, list[Exchange]]:
    """A journal as a recorder on the client's side would have written it, who knows of nothing but exchanges."""
    journal = JournalFile(path)
    told = journal.header
    header = Header(recorded_by="client", clock=told.clock, rate=told.rate, lease_seconds=told.lease_seconds)
    return header, [each for each in journal if isinstance(each, Exchange)]


def broken(header: Header, entries: Sequence[Entry]) -> list[str]:
    """The MUSTs that bind clients and that are found broken."""
    return [each.id for each in judge(Readings(header, entries), MUSTS) if each.outcome is Outcome.VIOLATED]


@pytest.mark.parametrize("path", RIGHT, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_recording_that_begins_and_ends_anywhere_convicts_no_right_client(path: Path) -> None:
    """All that an instrument would have told is left out, and so is what came before and after."""
    header, exchanges = exchanges_of(path)
    pieces = list(combinations(range(len(exchanges) + 1), 2))
    for first, last in pieces[:: len(pieces) // TOO_MANY + 1]:
        found = broken(header, exchanges[first:last])
        assert not found, (first, last, found)


def test_recordings_of_several_clients_at_once_convict_none_of_them() -> None:
    """Two right clients, each with jobs and a token of its own or both at the same jobs, cut anywhere."""
    chance = random.Random(20_260_901)
    for _ in range(PAIRS):
        one, other = chance.sample(RIGHT, 2)
        header, mine = exchanges_of(one)
        another, theirs = exchanges_of(other)
        if header.clock != another.clock or hides_tokens(mine) or hides_tokens(theirs):
            continue  # one recorder has one clock, and writes down the tokens of both clients or of none
        theirs = renamed(theirs, "another", keep=jobs_of(theirs) if chance.random() < 0.3 else frozenset())
        mixed = interleaved(mine, theirs, timedelta(seconds=chance.uniform(-10, 10)))
        first, last = sorted(chance.sample(range(len(mixed) + 1), 2)) if chance.random() < 0.5 else (0, len(mixed))
        found = broken(header, mixed[first:last])
        assert not found, (one.name, other.name, first, last, found)


_NAME = re.compile(
    r"[0-9a-f]{8}(?:(?:-|%2D)[0-9a-f]{4}){3}(?:-|%2D)[0-9a-f]{12}|redacted(?::|%3A)[0-9a-f]{8}|(?<=PopReceipt\":)\s*\"[^\"]+",
    re.IGNORECASE,
)
_JOB = re.compile(r"/api/connector/\w+/([^/?]+)")


def hides_tokens(exchanges: Iterable[Exchange]) -> bool:
    """Whether calls for a job show no token."""
    named = (each.request for each in exchanges if _JOB.search(each.request.url) is not None)
    return any("authorization" not in dict(each.headers) for each in named)


def jobs_of(exchanges: Iterable[Exchange]) -> frozenset[str]:
    """The recurring data jobs that exchanges name."""
    return frozenset(found[1].lower() for each in exchanges if (found := _JOB.search(each.request.url)) is not None)


def renamed(exchanges: Iterable[Exchange], salt: str, *, keep: frozenset[str]) -> list[Exchange]:
    """The same of another client and of other messages: every ID and every token has another name."""
    renewed: dict[str, Body] = {}

    def name(found: re.Match[str]) -> str:
        meant = found[0].lower().replace("%2d", "-").strip()
        if meant in keep:
            return found[0]
        digest = sha256(f"{salt} {meant}".encode()).hexdigest()
        if found[0].startswith("redacted"):
            return found[0][:-8] + digest[:8]
        return f' "{digest}' if '"' in found[0] else str(UUID(digest[:32]))

    def body(written: Body | None) -> Body | None:
        if written is None or written.text is None:
            return None if written is None else renewed.get(written.digest(), written)
        anew = Body.of(_NAME.sub(name, written.text).encode())
        if anew is not None:  # it may come again as a digest alone
            renewed[written.digest()] = Body(sha256=anew.sha256, length=anew.length)
        return anew

    def headers(listed: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
        return tuple((key, _NAME.sub(name, value)) for key, value in listed)

    found = []
    for each in exchanges:
        asked, answer = each.request, each.response
        asked = msgspec.structs.replace(
            asked, url=_NAME.sub(name, asked.url), headers=headers(asked.headers), body=body(asked.body)
        )
        if answer is not None:
            answer = msgspec.structs.replace(answer, headers=headers(answer.headers), body=body(answer.body))
        found.append(msgspec.structs.replace(each, request=asked, response=answer))
    return found


def interleaved(mine: Sequence[Exchange], theirs: Sequence[Exchange], later: timedelta) -> list[Exchange]:
    """Both as one recording, in which the other client began so much later."""
    if mine and theirs:
        later += mine[0].sent - theirs[0].sent
    moved = (msgspec.structs.replace(each, sent=each.sent + later, answered=each.answered + later) for each in theirs)
    together = sorted([*mine, *moved], key=lambda each: (each.answered, each.sent))
    return [msgspec.structs.replace(each, seq=place) for place, each in enumerate(together, 1)]


def test_a_loop_is_many_tries_without_a_pause() -> None:
    """A burst of retries is none, and neither are tries that are as quick as that only now and then."""
    quick, slow = TIGHT / 2, TIGHT * 2
    assert tight([quick] * MANY)
    assert not tight([quick] * (MANY - 1))
    assert not tight([slow] * MANY)
    assert not tight([quick, slow, slow] * MANY)
