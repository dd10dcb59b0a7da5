"""The four documents: valid, whole, and true to themselves. What servers answer is asked elsewhere."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate
from schemathesis import openapi
from schemathesis.checks import CHECKS

from popreceipt import resources

from .documents import NAMES, Operation, operation, operations, target_of, whole, written

if TYPE_CHECKING:
    from collections.abc import Iterator

openapi.from_dict({"openapi": "3.1.0", "info": {"title": "", "version": ""}, "paths": {}})  # registers its checks

SITUATIONS = {None, "refused-activity"}
EXPRESSION = re.compile(r"\$(request|response)\.(body|path\.[\w-]+|query\.[\w-]+)(#/.*)?")

FIRST_STEPS = {
    "token": {
        "enqueue",
        "dequeue",
        "download",
        "ack",
        "jobstatus",
        "getMessageStatus",
        "getExecutionIdByMessageId",
        "getExecutionErrors",
        "getExecutionSummaryStatus",
    },
    "enqueue": {"getMessageStatus", "jobstatus", "getExecutionIdByMessageId"},
    "dequeue": {"download", "ack"},
    "getExecutionIdByMessageId": {"getExecutionErrors", "getExecutionSummaryStatus"},
}
"""Where a client goes from an answer, at least."""


def test_every_document_is_among_the_four() -> None:
    """None is forgotten when one is added."""
    assert {each.name.removesuffix(".openapi.yaml") for each in resources.specs().glob("*.openapi.yaml")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_document_is_valid(name: str) -> None:
    """By the schema of OpenAPI 3.1, and by JSON Schema for every schema in it."""
    assert written(name)["openapi"] == "3.1.0"
    validate(written(name))


def test_operation_ids_are_unique() -> None:
    """Over all documents: links and suites name operations by them."""
    names = [each.id for each in operations()]
    assert len(set(names)) == len(names)


def places(value: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """Every object of a document, and where it stands."""
    if isinstance(value, dict):
        yield where, value
        for key, each in value.items():
            if key not in ("examples", "example", "value"):  # what stands in an example is data
                yield from places(each, f"{where}/{key}")
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from places(each, f"{where}/{number}")


def examples(name: str) -> Iterator[tuple[str, dict[str, Any], Any]]:
    """Every example of a document: where it stands, the schema, the value."""
    for where, found in places(written(name)):
        schema = found.get("schema")
        if isinstance(schema, dict):
            for label, example in found.get("examples", {}).items():
                yield f"{where} {label}", whole(name, schema), whole(name, example)["value"]
        for example in found.get("examples", ()) if isinstance(found.get("examples"), list) else ():
            yield f"{where} {example!r}", whole(name, {k: v for k, v in found.items() if k != "examples"}), example
        if "default" in found and "type" in found:
            yield f"{where} default", whole(name, found), found["default"]


@pytest.mark.parametrize("name", NAMES)
def test_examples_are_what_they_are_examples_of(name: str) -> None:
    """Each validates against its schema."""
    found = list(examples(name))
    assert len(found) > 10
    wrong = [
        f"{where}: {error.message}"
        for where, schema, value in found
        for error in OAS31Validator(schema).iter_errors(value)
    ]
    assert wrong == []


def test_a_wrong_example_would_be_found() -> None:
    """The test above looks into the right places: with another schema most examples are wrong."""
    found = [value for name in NAMES for _where, _schema, value in examples(name)]
    assert sum(not OAS31Validator({"type": "boolean"}).is_valid(value) for value in found) > 0.8 * len(found)


@pytest.mark.parametrize("each", operations(), ids=lambda each: each.id)
def test_an_operation_is_described(each: Operation) -> None:
    """What it is, what it takes and answers, with an example for each body and each parameter that is needed."""
    definition = each.definition
    assert definition["summary"].endswith(".")
    assert definition["tags"][0] in {tag["name"] for tag in written(each.document)["tags"]}
    assert any(key[0] == "2" for key in each.responses)
    for key, response in each.responses.items():
        assert response["description"].strip(), key
        for kind, media in response.get("content", {}).items():
            assert "schema" in media
            if key[0] == "2" and kind == "application/json":
                assert media.get("examples"), f"{key} has no example"
    bodies = definition.get("requestBody", {"content": {}})["content"]
    assert all(media.get("examples") or media["schema"].get("format") == "binary" for media in bodies.values())
    for parameter in each.parameters:
        assert parameter["description"].strip()
        assert parameter.get("examples"), parameter["name"]
    if each.document in ("connector", "data-management"):
        assert definition["x-popreceipt-precondition"].endswith(".")
        assert each.declared(401)


@pytest.mark.parametrize("each", operations(), ids=lambda each: each.id)
def test_exemptions_have_a_check_and_a_reason(each: Operation) -> None:
    """Each names a check of schemathesis once, says why, and at most one situation that is known."""
    exempt = each.definition.get("x-popreceipt-exempt", [])
    assert all(set(one) <= {"check", "reason", "only"} for one in exempt)
    assert {one["check"] for one in exempt} <= set(CHECKS.get_all_names())
    assert len({one["check"] for one in exempt}) == len(exempt)
    assert all(one["reason"].strip().endswith(".") for one in exempt)
    assert {one.get("only") for one in exempt} <= SITUATIONS


def test_a_fault_of_the_server_is_declared_where_it_is_known_of() -> None:
    """By the connector alone, as 500 alone, and the exemption of schemathesis' check goes with it."""
    for each in operations():
        faults = [key for key in each.responses if key[0] == "5"]
        exempt = {one["check"] for one in each.definition.get("x-popreceipt-exempt", [])}
        assert faults == (["500"] if each.document == "connector" else [])
        assert ("not_a_server_error" in exempt) == bool(faults)


def links(each: Operation) -> Iterator[tuple[str, dict[str, Any], Operation]]:
    """The links of an operation, each with the status it stands at and the operation that it leads to."""
    for status, response in each.responses.items():
        for link in response.get("links", {}).values():
            if "operationId" in link:
                yield status, link, operation(link["operationId"])
            else:
                document, found = target_of(each.document, link["operationRef"])
                same = [one for one in operations() if one.document == document and one.id == found["operationId"]]
                assert len(same) == 1
                yield status, link, same[0]


def expressions(value: Any) -> Iterator[str]:
    """The runtime expressions in a link's value."""
    if isinstance(value, dict):
        for each in value.values():
            yield from expressions(each)
    elif isinstance(value, str) and value.startswith("$"):
        yield value


def has_member(schema: Any, name: str) -> bool:
    """Whether an object of this schema is described as having a member."""
    parts = [part for key in ("allOf", "oneOf", "anyOf") for part in schema.get(key, ())]
    return name in schema.get("properties", {}) or any(has_member(part, name) for part in parts)


def member(schema: Any, name: str) -> Any:
    """The schema of a member."""
    if name in schema.get("properties", {}):
        return schema["properties"][name]
    parts = [part for key in ("allOf", "oneOf", "anyOf") for part in schema.get(key, ()) if has_member(part, name)]
    return member(parts[0], name)


@pytest.mark.parametrize("each", [one for one in operations() if list(links(one))], ids=lambda each: each.id)
def test_links_lead_somewhere(each: Operation) -> None:
    """To operations that there are, with parameters and members that these have, from values that are there."""
    for status, link, goal in links(each):
        named = {f"{one['in']}.{one['name']}" for one in goal.parameters} | {one["name"] for one in goal.parameters}
        assert set(link.get("parameters", {})) <= named
        given = link.get("requestBody")
        if given is not None:
            schemas = [media["schema"] for media in goal.definition["requestBody"]["content"].values()]
            members = given if isinstance(given, dict) else ()
            assert all(has_member(schema, name) for schema in schemas for name in members)
        used = [link.get("parameters", {}), given, link.get("x-popreceipt-follow")]
        for expression in (one for value in used for one in expressions(value)):
            found = EXPRESSION.fullmatch(expression)
            assert found is not None, expression
            side, place, pointer = found.groups()
            if place != "body":
                assert place in {f"{one['in']}.{one['name']}" for one in each.parameters}
                continue
            bodies = each.definition.get("requestBody") if side == "request" else each.responses[status]
            schema = bodies["content"]["application/json"]["schema"]
            for name in (pointer or "").removeprefix("#/").split("/") if pointer else ():
                assert has_member(schema, name), expression
                schema = member(schema, name)


@pytest.mark.parametrize("name", FIRST_STEPS)
def test_a_client_finds_its_way_by_links(name: str) -> None:
    """From a token to everything, from a message to its status and its errors, from a delivery to its end."""
    assert FIRST_STEPS[name] <= {goal.id for _status, _link, goal in links(operation(name))}
