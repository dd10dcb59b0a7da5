"""Holding one exchange against the operation that it is an exchange of."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final
from urllib.parse import urlsplit

import requests
import schemathesis
from schemathesis.checks import CheckContext
from schemathesis.config import ChecksConfig, SchemathesisConfig
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.core.transport import Response
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from popreceipt import vocabulary
from popreceipt.journal import Exchange
from popreceipt.shapes.documents import BARE_TEXT, EMPTY_BODY, Operation, joined, operations

BETWEEN: Final = frozenset({502, 503, 504})
"""Statuses of gateways, which stand before every server and are in no specification of it."""

_CHECKS: Final = {
    check.__name__: check
    for check in (
        status_code_conformance,
        content_type_conformance,
        response_headers_conformance,
        response_schema_conformance,
    )
}

CHECKS: Final = tuple(_CHECKS)
"""The checks that may complain, in schemathesis' words."""


@dataclass(frozen=True, slots=True)
class Complaint:
    """What a specification does not allow.

    Args:
        operation: as a journal calls it.
        check: which of the checks complains.
        message: what was found and what is allowed.
    """

    operation: str
    check: str
    message: str


_Known = tuple[Operation, "APIOperation[Any, Any, Any, Any]"]


class Shapes:
    """The shapes that a document allows.

    Args:
        document: a joined one.
    """

    def __init__(self, document: dict[str, Any]) -> None:
        schema = schemathesis.openapi.from_dict(document, config=SchemathesisConfig())
        self._known: Mapping[str, _Known] = {
            each.id: (each, schema.find_operation_by_id(each.id)) for each in operations(document)
        }
        self._by_name: dict[str, tuple[_Known, ...]] = {}
        for each in self._known.values():
            self._by_name[each[0].name] = (*self._by_name.get(each[0].name, ()), each)

    def complaints(self, exchange: Exchange) -> list[Complaint]:
        """What is wrong with the shape of an answer, to whatever it is an answer."""
        found = self._operation_of(exchange)
        return _complaints(exchange, *found) if found is not None else []

    def complaints_of(self, identifier: str, exchange: Exchange) -> list[Complaint]:
        """What is wrong with the shape of an answer to the operation of this ID."""
        return _complaints(exchange, *self._known[identifier])

    def _operation_of(self, exchange: Exchange) -> _Known | None:
        """The operation that an exchange is one of.

        A journal knows what was asked for, whatever language, letter case and braces stand in the path, and whatever a
        location to download from looks like. Only where several operations share that name the path decides.
        """
        method = exchange.request.method
        candidates = [each for each in self._by_name.get(exchange.operation, ()) if each[0].method == method]
        if len(candidates) == 1 and exchange.operation != vocabulary.OTHER:
            return candidates[0]
        path = urlsplit(exchange.request.url).path.rstrip("/").lower()
        pool = candidates or [each for each in self._known.values() if each[0].method == method]
        fitting = [each for each in pool if _fits(each[0].path.lower(), path)]
        # A template without placeholders is meant where one with them would fit as well.
        return min(fitting, key=lambda each: each[0].path.count("{"), default=None)


def complaints(exchange: Exchange) -> list[Complaint]:
    """What is wrong with the shape of an answer, by the specifications of what clients call.

    Nothing is said of what got no whole answer, of a verb or a path that no specification knows, and of bodies that
    the journal kept only the digest of.
    """
    return _of_clients().complaints(exchange)


@cache
def _of_clients() -> Shapes:
    return Shapes(joined())


def _complaints(exchange: Exchange, told: Operation, operation: "APIOperation[Any, Any, Any, Any]") -> list[Complaint]:
    response = exchange.response
    if response is None or exchange.failure is not None or response.status in BETWEEN:
        return []
    content = response.body.content() if response.body is not None else b""
    headers: dict[str, list[str]] = {}
    for name, value in response.headers:
        headers.setdefault(name, []).append(value)
    definition = operation.responses.find_by_status_code(response.status)
    case = operation.Case()
    found_wrong = []
    for name, check in _CHECKS.items():
        if told.is_exempt(name) or (content is None and name == response_schema_conformance.__name__):
            continue
        answer = Response(
            status_code=response.status,
            headers=headers,
            content=content or b"",
            request=_REQUEST,
            elapsed=0.0,
            verify=True,
        )
        if definition is not None and name in _OF_BODIES:
            if EMPTY_BODY in definition.definition and content == b"":
                continue
            if set(definition.definition.get("content", ())) == {"*/*"} and "content-type" not in headers:
                continue  # Of what may be anything nobody has to say what it is.
            answer.content = _as_json_text(definition.definition, answer)
        try:
            check(_CONTEXT, answer, case)
        except (Failure, FailureGroup) as failure:
            found_wrong += [Complaint(told.name, name, each) for each in _messages(failure)]
    return found_wrong


_OF_BODIES: Final = frozenset({content_type_conformance.__name__, response_schema_conformance.__name__})


def _as_json_text(definition: Mapping[str, Any], answer: Response) -> bytes:
    """The body; where bare text may stand for a JSON text, and does, that JSON text."""
    declared = definition.get("content", {})
    given = (answer.headers.get("content-type") or [""])[0].partition(";")[0].strip().lower()
    if BARE_TEXT not in declared.get(given, {}):
        return answer.content
    try:
        json.loads(answer.content)
    except ValueError:
        return json.dumps(answer.content.decode("utf-8", "replace").strip()).encode()
    return answer.content


def _messages(failure: BaseException) -> Iterator[str]:
    if isinstance(failure, BaseExceptionGroup):
        for each in failure.exceptions:
            yield from _messages(each)
    elif isinstance(failure, Failure):
        yield f"{failure.title}: {' '.join(failure.message.split())}"


_REQUEST: Final = requests.Request("GET", "http://journal/").prepare()
"""Stands for the request, which no check of a shape looks at."""

_CONTEXT: Final = CheckContext(
    override=None, auth=None, headers=None, config=ChecksConfig(), transport_kwargs=None, response_checks=None
)


def _fits(template: str, path: str) -> bool:
    wanted, given = template.strip("/").split("/"), path.strip("/").split("/")
    return len(wanted) == len(given) and all(
        each.startswith("{") or each == other for each, other in zip(wanted, given, strict=True)
    )
