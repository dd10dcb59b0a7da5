"""Right servers answer in shapes that the documents allow, whatever they choose at open points; others are seen."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from popreceipt.emulator.profile import DIALECTS, PROFILES, dialect

from .answers import Answer, complaints
from .documents import operation, operations
from .tour import Tour, of_emulator, of_stranger

if TYPE_CHECKING:
    from collections.abc import Iterator

OPEN_BODIES = {"ack": "nobody reads what a successful acknowledgment says"}
"""Operations whose success has no described body."""

OPEN_TYPES = {"download": "no recording shows the content type of a file"}
"""Operations whose success may have any content type."""


def said(answers: list[Answer]) -> Counter[str]:
    """The complaints about answers, each counted."""
    return Counter(one for each in answers for one in complaints(each))


@pytest.mark.parametrize("name", DIALECTS)
def test_a_dialect_keeps_to_the_documents(name: str) -> None:
    """What is answered otherwise at an open point is allowed there."""
    assert said(Tour(of_emulator(dialect(name))).whole()) == Counter()


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_keeps_to_the_documents(name: str) -> None:
    """So is what a profile answers."""
    assert said(Tour(of_emulator(PROFILES[name])).whole()) == Counter()


@pytest.mark.parametrize("options", [(), ("--redirects",)], ids=["plain", "redirects"])
def test_a_server_of_another_make_keeps_to_the_documents(options: tuple[str, ...]) -> None:
    """It shares nothing with the emulator, and differs wherever it may."""
    with of_stranger(*options) as (_root, send):
        answers = Tour(send, by_socket=True).whole()
    assert said(answers) == Counter()
    assert len({each.operation.id for each in answers if each.operation is not None}) > 30


def successes() -> dict[str, Answer]:
    """One answer with a success of each operation, the one with the longest body."""
    found: dict[str, Answer] = {}
    for each in Tour(of_emulator()).whole():
        if each.operation is not None and 200 <= each.status < 300:
            best = found.get(each.operation.id)
            if best is None or len(each.body) > len(best.body):
                found[each.operation.id] = each
    return found


SUCCESSES = successes()


def members(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The paths to every value within a JSON value, of lists to the first item."""
    yield path
    if isinstance(value, dict):
        for name, each in value.items():
            yield from members(each, (*path, name))
    elif isinstance(value, list) and value:
        yield from members(value[0], (*path, 0))


def changed(value: Any, path: tuple[str | int, ...], new: Any) -> Any:
    """A copy with another value at a path; without the member where the new value is `...`."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    if len(path) == 1 and new is ...:
        del copy[path[0]]
    else:
        copy[path[0]] = changed(value[path[0]], path[1:], new)
    return copy


def needed(schema: dict[str, Any], value: Any) -> Iterator[tuple[str | int, ...]]:
    """The paths to every member that a schema needs and a value has."""
    for part in (schema, *(one for key in ("allOf", "oneOf", "anyOf") for one in schema.get(key, ()))):
        if isinstance(value, dict):
            yield from ((name,) for name in part.get("required", ()) if name in value)
            for name, below in part.get("properties", {}).items():
                if name in value and isinstance(below, dict):
                    yield from ((name, *rest) for rest in needed(below, value[name]))
        elif isinstance(value, list) and value and isinstance(part.get("items"), dict):
            yield from ((0, *rest) for rest in needed(part["items"], value[0]))
        if part is not schema:
            yield from needed({k: v for k, v in part.items() if k in ("allOf", "oneOf", "anyOf")}, value)


WITH_JSON = [
    name
    for name, each in SUCCESSES.items()
    if name not in OPEN_BODIES and each.headers.get("content-type", "").startswith("application/json")
]


def test_a_success_of_every_operation_is_at_hand() -> None:
    """So what follows is asked of all of them."""
    assert set(SUCCESSES) == {each.id for each in operations()}
    assert len(WITH_JSON) > 30


@pytest.mark.parametrize("name", WITH_JSON)
def test_a_missing_member_is_seen(name: str) -> None:
    """Each member that is needed, left out in turn."""
    answer = SUCCESSES[name]
    schema = operation(name).responses[str(answer.status)]["content"]["application/json"]["schema"]
    value = answer.json()
    unseen = [
        path
        for path in sorted(set(needed(schema, value)), key=str)
        if not complaints(replace(answer, body=json.dumps(changed(value, path, ...)).encode()))
    ]
    assert unseen == []


@pytest.mark.parametrize("name", WITH_JSON)
def test_another_type_is_seen(name: str) -> None:
    """Each described value, in turn an object of nobody's making."""
    answer = SUCCESSES[name]
    value = answer.json()
    described = [path for path in members(value) if name != "getRecords" or path[:1] != ("records",) or len(path) < 3]
    unseen = [
        path
        for path in described
        if not complaints(replace(answer, body=json.dumps(changed(value, path, {"nobody": True})).encode()))
    ]
    assert [path for path in unseen if not undescribed(name, answer, path)] == []


def undescribed(name: str, answer: Answer, path: tuple[str | int, ...]) -> bool:
    """Whether no schema says anything of the value at a path: further members of an answer may be anything."""
    schema = operation(name).responses[str(answer.status)]["content"]["application/json"]["schema"]
    return not any(_described(part, path) for part in (schema,))


def _described(schema: Any, path: tuple[str | int, ...]) -> bool:
    if not path:
        return True
    if not isinstance(schema, dict):
        return False
    parts = [one for key in ("allOf", "oneOf", "anyOf") for one in schema.get(key, ())]
    below = schema.get("items") if isinstance(path[0], int) else schema.get("properties", {}).get(path[0])
    return (below is not None and _described(below, path[1:])) or any(_described(part, path) for part in parts)


@pytest.mark.parametrize("name", sorted(set(SUCCESSES) - set(OPEN_BODIES)))
def test_another_content_type_is_seen(name: str) -> None:
    """A page instead of the answer, and none at all."""
    answer = SUCCESSES[name]
    if answer.status == 204:
        assert complaints(replace(answer, body=b"x"))
        return
    page = replace(answer, headers={**answer.headers, "content-type": "text/html"}, body=b"<html></html>")
    untyped = {name: value for name, value in answer.headers.items() if name != "content-type"}
    assert bool(complaints(page)) == (name not in OPEN_TYPES)
    assert bool(complaints(replace(answer, headers=untyped))) == (name not in OPEN_TYPES)


@pytest.mark.parametrize("name", WITH_JSON)
def test_another_kind_of_value_is_seen(name: str) -> None:
    """A number, a list of nothing known, text that is no JSON."""
    answer = SUCCESSES[name]
    for body in (b"17", b"[[17]]", b"<html>", b'"something else"'):
        assert complaints(replace(answer, body=body)), body


@pytest.mark.parametrize("name", sorted(SUCCESSES))
@pytest.mark.parametrize("status", [201, 202, 203, 206, 304, 500, 501, 503])
def test_another_status_is_seen(name: str, status: int) -> None:
    """A success or a fault that no document declares."""
    answer = replace(SUCCESSES[name], status=status)
    declared = operation(name).declared(status)
    assert bool(complaints(answer)) == (declared is None) or declared == "3XX"


UNDECLARED = {
    status: [each.id for each in operations() if each.declared(status) is None] for status in (202, 206, 501, 503)
}


def test_no_document_declares_statuses_that_nobody_knows_of() -> None:
    """Else the test above would ask nothing."""
    everyone = [each.id for each in operations()]
    assert all(names == everyone for names in UNDECLARED.values())
