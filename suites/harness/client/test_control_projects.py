"""Data projects on the control plane: what is asked, and what goes into the journal."""

import json
from typing import Any

import httpx
import pytest

from popreceipt.client.control import Control
from popreceipt.exceptions import NotAbleTo
from popreceipt.journal import Journal, Observation

BASE = "http://plane"
PROJECT = "AAAAAAAA-1111-4222-8333-444444444444"
JOB = "bbbbbbbb-1111-4222-8333-444444444444"
ENTITIES = [{"name": "Customer groups", "fields": [{"name": "CUSTOMERGROUPID", "type": "text", "length": 10}]}]


class Plane(httpx.BaseTransport):
    """A control plane with one project."""

    def __init__(self, *abilities: str) -> None:
        self.abilities = abilities
        self.seen: list[tuple[str, str, Any]] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        path = request.url.raw_path.decode("ascii").removeprefix("/_control/v1")
        body = json.loads(request.read() or b"null")
        self.seen.append((request.method, path, body))
        if path == "/clock":
            return httpx.Response(200, json={"now": "2026-01-01T00:00:00Z", "kind": "manual", "rate": 1.0})
        if path == "/world":
            world = {"abilities": list(self.abilities), "entities": ENTITIES, "formats": ["CSV", "EXCEL"]}
            return httpx.Response(200, json=world)
        if path.startswith("/projects"):
            project = {"id": PROJECT, "name": "Groups", "direction": "export", "entities": [], "filter": []}
            if request.method == "GET" and path == "/projects":
                return httpx.Response(200, json=[project])
            return httpx.Response(201 if request.method == "POST" else 200, json={**project, **(body or {})})
        return httpx.Response(200, json={"entity": "Vendors V2", "records": [{"A": "1"}]})


@pytest.fixture
def plane() -> Plane:
    return Plane("projects", "records")


@pytest.fixture
def control(plane: Plane, journal: Journal) -> Control:
    return Control(BASE, transport=plane, journal=journal)


def observed(journal: Journal, kind: str) -> list[Observation]:
    return [each for each in journal.entries if isinstance(each, Observation) and each.observation == kind]


def test_a_project_is_made_and_changed(control: Control, plane: Plane, journal: Journal) -> None:
    """What was asked is sent, and the project as the target tells it is written down, its ID bare."""
    made = control.create_project(direction="export", entities=[{"entity": "Customer groups"}])
    assert plane.seen[-1] == (
        "POST",
        "/projects",
        {"direction": "export", "entities": [{"entity": "Customer groups"}]},
    )
    condition = {"entity": "Customer groups", "field": "CUSTOMERGROUPID", "operator": "equals", "value": "A"}
    control.change_project(made["id"], filter=[condition])
    assert plane.seen[-1] == ("PATCH", f"/projects/{PROJECT.lower()}", {"filter": [condition]})
    assert control.project(made["id"])["name"] == "Groups"
    assert [each["name"] for each in control.projects()] == ["Groups"]
    facts = [each.facts for each in observed(journal, "project")]
    assert [(each["project"], each["created"]) for each in facts] == [
        (PROJECT.lower(), True),
        (PROJECT.lower(), False),
        (PROJECT.lower(), False),
    ]
    assert facts[1]["settings"]["filter"] == [condition]
    assert "id" not in facts[0]["settings"]


def test_entities_and_formats_are_the_world_s(control: Control, journal: Journal) -> None:
    """The entities are written down once, however often the world is asked for."""
    control.world()
    control.world()
    assert control.formats() == ("CSV", "EXCEL")
    assert control.entities() == tuple(ENTITIES)
    assert [each.facts["entities"] for each in observed(journal, "entities")] == [ENTITIES]


def test_records_of_another_entity(control: Control, plane: Plane, journal: Journal) -> None:
    """Its name is encoded into the query, and what the target names is written down."""
    assert control.records(JOB, "Vendors V2") == [{"A": "1"}]
    assert plane.seen[-1][1] == f"/activities/{JOB}/records?entity=Vendors%20V2"
    control.records(JOB)
    assert plane.seen[-1][1] == f"/activities/{JOB}/records"
    assert [each.facts["entity"] for each in observed(journal, "records")] == ["Vendors V2", "Vendors V2"]


def test_a_target_without_projects() -> None:
    """What it lacks is named."""
    control = Control(BASE, transport=Plane())
    with pytest.raises(NotAbleTo, match="projects"):
        control.create_project(direction="import", entities=[])
