"""An answer, held against the documents. Whether it was the right one at its moment is not asked."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from openapi_schema_validator import OAS31Validator

from .documents import Operation, operation, operations_at


@dataclass(frozen=True)
class Answer:
    """One request and its answer. Header names are in lower case.

    `asked` is the operation where the address was handed out by the server and may look like anything.
    """

    method: str
    path: str
    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    asked: str | None = None

    @property
    def operation(self) -> Operation | None:
        if self.asked is not None:
            known = operation(self.asked)
            return known if known.method == self.method else None
        return next((each for each in operations_at(self.path) if each.method == self.method), None)

    def json(self) -> Any:
        return json.loads(self.body)


def complaints(answer: Answer) -> list[str]:
    """What the specifications do not allow in an answer."""
    asked = answer.operation
    if asked is None:
        # A verb or a path that nobody described: then nothing may be behind it, but perhaps a page to sign in.
        nothing = {302, 404, 405} if operations_at(answer.path) or answer.asked else {404}
        return [] if answer.status in nothing else [f"{answer.method} {answer.path}: {answer.status}, in no document"]
    key = asked.declared(answer.status)
    where = f"{asked.id}: {answer.status}"
    if key is None:
        return [f"{where} is not declared"]
    response = asked.responses[key]
    found = [
        f"{where} without the header {name}"
        for name, header in response.get("headers", {}).items()
        if header.get("required") and name.lower() not in answer.headers
    ]
    found += [f"{where}: {said}" for said in _of_body(response, answer)]
    return found


def _of_body(response: Mapping[str, Any], answer: Answer) -> Iterator[str]:
    declared = response.get("content")
    if not declared:
        if answer.status == 204 and answer.body:
            yield "a body"
        return
    if not answer.body and "x-popreceipt-empty-body" in response:
        return
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    media = declared.get(kind) or declared.get("*/*")
    if media is None:
        yield f"the content type {kind or 'is missing'}"
        return
    if kind.endswith(("/json", "+json")):
        try:
            value = json.loads(answer.body)
        except ValueError:
            if "x-popreceipt-bare-text" not in media:
                yield "no JSON"
                return
            value = answer.body.decode("utf-8", "replace")
    elif media["schema"].get("format") == "binary":
        return
    else:
        value = answer.body.decode("utf-8", "replace")
    for error in OAS31Validator(media["schema"]).iter_errors(value):
        yield f"{error.json_path}: {error.message[:200]}"
