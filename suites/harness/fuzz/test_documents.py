"""The specifications as one document: nothing is lost between the files, and nothing is left hanging."""

from collections.abc import Iterator
from typing import Any

import pytest
from openapi_spec_validator import validate

from popreceipt.exceptions import UsageError
from popreceipt.shapes.documents import CLIENT_SIDE, joined, operations, restrict, written
from popreceipt.vocabulary import OPERATIONS, OTHER


def values_of(document: Any, key: str) -> Iterator[Any]:
    """Every value that stands under this key, however deep."""
    if isinstance(document, list):
        for each in document:
            yield from values_of(each, key)
    elif isinstance(document, dict):
        for name, each in document.items():
            if name == key:
                yield each
            yield from values_of(each, key)


def links(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Every link of a document."""
    return [link for each in values_of(document, "links") for link in each.values()]


def test_the_joined_document_is_a_valid_one() -> None:
    """And has every operation of every file."""
    document = joined()
    validate(document)
    parts = [each.id for name in CLIENT_SIDE for each in operations(written(name))]
    assert sorted(parts) == sorted(each.id for each in operations(document))


def test_references_across_files_become_local() -> None:
    """Also those of links: an enqueue leads to the actions."""
    document = joined()
    assert all(each.startswith("#/") for each in values_of(document, "$ref") if isinstance(each, str))
    assert all(each.startswith("#/paths/") for each in values_of(document, "operationRef"))
    assert len(links(document)) > 20


def test_every_operation_is_one_that_journals_know() -> None:
    """All that journals tell apart is specified; what else is specified are the issuer's documents."""
    names = {each.name for each in operations(joined())}
    assert set(OPERATIONS) - {OTHER} <= names


def test_what_asks_for_a_token_is_guarded() -> None:
    """The connector and the actions do; the issuer does not."""
    for each in operations(joined()):
        assert each.guarded == (not each.path.startswith("/{tenant}")), each.id


def test_a_restricted_document_has_no_link_that_leads_nowhere() -> None:
    """Links between what is kept stay."""
    document = joined()
    restrict(document, lambda _, identifier: identifier in {"dequeue", "ack"})
    assert [each.id for each in operations(document)] == ["dequeue", "ack"]
    assert [each.get("operationId") for each in links(document)] == ["ack"]
    validate(document)


def test_a_document_can_be_changed_without_others_seeing_it() -> None:
    """Each is a copy."""
    joined()["paths"].clear()
    assert joined()["paths"]


def test_a_missing_file_is_told() -> None:
    """By its path."""
    with pytest.raises(UsageError, match=r"elsewhere\.openapi\.yaml"):
        joined(("elsewhere",))
