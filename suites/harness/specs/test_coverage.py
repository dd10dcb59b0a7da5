"""Routes and documents cover each other: what the emulator answers is described, what is described is answered."""

from __future__ import annotations

import json
import re
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from popreceipt.clock import SystemClock
from popreceipt.emulator import identity
from popreceipt.emulator.emulator import ROUTES
from popreceipt.emulator.profile import DIALECTS, PROFILES, dialect
from popreceipt.emulator.routes import actions, connector, control, download
from popreceipt.journal import Entry, Exchange, Observation
from popreceipt.targets import open_target
from popreceipt.verification import verify

from .answers import Answer, complaints
from .documents import CONTROL, Operation, operations, operations_at
from .tour import Tour, of_emulator, of_stranger

if TYPE_CHECKING:
    from collections.abc import Mapping, Set

OPAQUE = {
    download.blob_answer: "where a redirect leads to is blob storage's own affair; no client makes up such a path"
}
"""Routes that no document describes, and why."""


def test_every_kind_of_route_is_looked_at() -> None:
    """None is forgotten when one is added: the emulator asks these in turn, then the control plane and the issuer."""
    assert set(ROUTES) == {connector.answer, actions.answer, *OPAQUE}


@pytest.mark.parametrize("name", connector._OPERATIONS)
def test_a_route_of_the_connector_is_described(name: str) -> None:
    """With its verb, at its path, with and without a language before it."""
    verb = connector._OPERATIONS[name][0]
    for path in (f"/api/connector/{name}/x", f"/en/api/connector/{name}/x", f"/EN-us/API/Connector/{name}/%7Bx%7D/"):
        assert [(each.id, each.method) for each in operations_at(path)] == [(name, verb)]


@pytest.mark.parametrize("name", actions._ACTIONS)
def test_an_action_is_described(name: str) -> None:
    """With its one parameter."""
    path = f"/data/datamanagementdefinitiongroups/microsoft.dynamics.dataentities.{name}"
    (found,) = operations_at(path)
    assert (found.id.lower(), found.method) == (name, "POST")
    schema = found.definition["requestBody"]["content"]["application/json"]["schema"]
    assert schema["required"] == [actions._ACTIONS[name][0]]


@pytest.mark.parametrize("route", control._ROUTES, ids=lambda each: f"{each.verb} {'/'.join(each.path)}")
def test_a_route_of_the_control_plane_is_described(route: control._Route) -> None:
    """Every verb of every path."""
    path = "/".join([CONTROL, *("x" if part == "*" else part for part in route.path)])
    assert route.verb in {each.method for each in operations_at(path)}


def test_the_control_plane_is_described_and_nothing_else() -> None:
    """As many operations as routes, and the abilities that a route may belong to are those that there are."""
    described = [each for each in operations() if each.document == "control"]
    assert len(described) == len(control._ROUTES)
    abilities = {each.definition.get("x-ability") for each in described} - {None}
    assert abilities == set(control.ABILITIES) - {"export-recurrence"}


def test_every_route_of_the_issuer_is_described() -> None:
    """Each alternative of the pattern that its paths are known by has a path in the document."""
    described = [each.path.replace("{tenant}", "t").replace("{username}", "u@x") for each in operations()]
    found = [match.groupdict() for path in described if (match := identity._ROUTE.fullmatch(path))]
    alternatives = set(identity._ROUTE.groupindex) - {"tenant"}
    assert {name for each in found for name, value in each.items() if value} == {*alternatives, "tenant"}
    assert len(found) == len([each for each in operations() if each.document == "identity"])
    # Both generations of each document and of the token endpoint.
    assert Counter(bool(each["discovery_v2"]) for each in found if each["discovery"]) == {True: 1, False: 1}
    assert Counter(bool(each["token_v2"]) for each in found if each["token"]) == {True: 1, False: 1}
    assert Counter("v2.0" in each["keys"] for each in found if each["keys"]) == {True: 1, False: 1}


@cache
def answered() -> Mapping[str, Set[int]]:
    """With which statuses each operation is answered on the tour, by every kind of server that is at hand."""
    servers = [
        of_emulator(),
        of_emulator(clock=SystemClock()),
        of_emulator(control=False),
        of_emulator(local=False),
        *(of_emulator(dialect(name)) for name in DIALECTS),
        *(of_emulator(profile) for profile in PROFILES.values()),
    ]
    answers = [each for send in servers for each in Tour(send).whole()]
    with of_stranger() as (_root, send):
        answers += Tour(send, by_socket=True).whole()
    found: dict[str, set[int]] = {}
    for each in answers:
        if each.operation is not None:
            found.setdefault(each.operation.id, set()).add(each.status)
    return found


@pytest.mark.parametrize("each", operations(), ids=lambda each: each.id)
def test_what_is_described_is_answered(each: Operation) -> None:
    """Each operation with a success, and each status that is declared by its number, unless a reason says otherwise."""
    seen = answered()[each.id]
    assert any(200 <= status < 300 for status in seen)
    told = {int(key): "x-popreceipt-unseen" in response for key, response in each.responses.items() if key.isdigit()}
    assert [status for status, excused in told.items() if not excused and status not in seen] == []
    # A reason that is no longer needed goes.
    assert [status for status, excused in told.items() if excused and status in seen] == []


def exchanges(entries: list[Entry]) -> list[Answer]:
    """What a journal has of whole answers whose bodies it kept; those of planned faults are nobody's own."""
    faults = [each for each in entries if isinstance(each, Observation) and each.observation == "fault"]
    planned = {each.facts.get("exchange") for each in faults}
    found = []
    for each in entries:
        response = each.response if isinstance(each, Exchange) else None
        if not isinstance(each, Exchange) or response is None or each.failure is not None or each.seq in planned:
            continue
        body = b"" if response.body is None else response.body.content()
        if body is not None:
            path = urlsplit(each.request.url).path
            asked = each.operation if each.operation == "download" else None
            found.append(Answer(each.request.method, path, response.status, dict(response.headers), body, asked))
    return found


def test_what_the_suites_say_to_the_emulator_is_described() -> None:
    """Every exchange of a conformance run is one of a described operation, in a described shape."""
    with open_target("emulator:") as target:
        verify(target)
        assert target.emulator is not None
        ours, theirs = exchanges(target.journal.entries), exchanges(target.emulator.journal.entries)
    for answers in (ours, theirs):
        assert len(answers) > 1000
        assert Counter(one for each in answers for one in complaints(each)) == Counter()
    known = {each.operation.id for each in ours if each.operation is not None}
    assert {each.id for each in operations() if each.document in ("connector", "data-management")} <= known


def test_what_the_suites_say_to_another_server_is_described() -> None:
    """The same against a server that shares nothing with the emulator, but for its token endpoints' own paths."""
    with of_stranger() as (root, send), open_target(root) as target:
        verify(target)
        told = json.loads(send("GET", f"{CONTROL}/world", "", (), b"")[2])["identity"]
        issuer = {urlsplit(told[name]).path for name in ("token_url", "token_url_v1")}
        answers = [each for each in exchanges(target.journal.entries) if each.path not in issuer]
    assert len(answers) > 1000
    assert Counter(one for each in answers for one in complaints(each)) == Counter()


def test_an_exchange_that_nobody_described_would_be_found() -> None:
    """A path, a verb and a status of nobody's."""
    body = b'{"Message": "x"}'
    kind = {"content-type": "application/json"}
    nobody = "11111111-2222-4333-8444-555555555555"
    for method, path, status in (
        ("GET", f"/api/connector/peek/{nobody}", 200),
        ("DELETE", f"/api/connector/dequeue/{nobody}", 200),
        ("GET", f"/api/connector/dequeue/{nobody}", 202),
        ("GET", f"/api/connector/dequeue/{nobody}", 503),
        ("POST", "/data/DataManagementDefinitionGroups/Microsoft.Dynamics.DataEntities.GetMessageStatus", 500),
        ("GET", f"{CONTROL}/secrets", 200),
    ):
        assert complaints(Answer(method, path, status, kind, body))


def test_the_templates_are_told_apart() -> None:
    """No path of one operation is one of another's with the same verb."""
    for each in operations():
        prefix = CONTROL if each.document == "control" else ""
        path = prefix + re.sub(r"\{[^}]+\}", "x", each.path)
        assert [one for one in operations_at(path) if one.method == each.method] == [each]
