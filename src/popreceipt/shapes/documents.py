"""The specifications as one document: what `specs/*.openapi.yaml` say of the routes that a client calls.

It knows how the files hang together (references and links across them, components that share a name) and reads the
project's own extensions. It judges nothing and sends nothing.
"""

import copy
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import schemathesis
from schemathesis.config import SchemathesisConfig

from popreceipt import resources, vocabulary
from popreceipt.exceptions import UsageError

CLIENT_SIDE: Final = ("connector", "data-management", "identity")
"""The documents of what a client of the integration calls; the control plane is the harness' own."""

METHODS: Final = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})

EXEMPT: Final = "x-popreceipt-exempt"
PRECONDITION: Final = "x-popreceipt-precondition"
EMPTY_BODY: Final = "x-popreceipt-empty-body"
BARE_TEXT: Final = "x-popreceipt-bare-text"

REFUSED_ACTIVITY: Final = "refused-activity"
"""The one situation that an exemption may be for: the path names no recurring data job that has the operation."""

TOKEN_V1: Final = "tokenV1"
"""The older of the two operations that a journal calls token."""

JOURNAL_WORDS: Final[Mapping[str, str]] = {
    TOKEN_V1: vocabulary.TOKEN,
    "getMessageStatus": vocabulary.MESSAGE_STATUS,
    "getExecutionIdByMessageId": vocabulary.EXECUTION_ID,
    "getExecutionErrors": vocabulary.EXECUTION_ERRORS,
    "getExecutionSummaryStatus": vocabulary.EXECUTION_SUMMARY,
}
"""Operation IDs whose operation a journal calls otherwise."""


@dataclass(frozen=True, slots=True)
class Exemption:
    """A check of schemathesis that does not count at an operation.

    Args:
        check: its name.
        reason: why, in a sentence.
        only: the situation in which alone it does not count; None for every one.
    """

    check: str
    reason: str
    only: str | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the specifications.

    Args:
        id: its operationId.
        name: what a journal calls it.
        method: in capitals.
        path: the template.
        exempt: the checks that do not count here.
        precondition: the state that its success needs; None where it needs none.
        guarded: whether it asks for a token.
    """

    id: str
    name: str
    method: str
    path: str
    exempt: tuple[Exemption, ...]
    precondition: str | None
    guarded: bool

    def is_exempt(self, check: str, situation: str | None = None) -> bool:
        """Whether a check does not count, in this situation or in every one."""
        return any(each.check == check and each.only in (None, situation) for each in self.exempt)


@cache
def written(name: str, folder: Path | None = None) -> dict[str, Any]:
    """One document as it is written; whoever changes it takes a copy.

    Raises:
        UsageError: it is missing.
    """
    path = (folder or resources.specs()) / f"{name}.openapi.yaml"
    if not path.is_file():
        raise UsageError(f"A specification is missing: {path} should be there.")
    raw: dict[str, Any] = dict(schemathesis.openapi.from_path(path, config=SchemathesisConfig()).raw_schema)
    return raw


def joined(names: Collection[str] = CLIENT_SIDE, folder: Path | None = None) -> dict[str, Any]:
    """A fresh document that holds the paths and components of these, each name once.

    Components get their document's name before their own; references and links across documents become local ones.
    """
    whole: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "popreceipt", "version": "1"},
        "paths": {},
        "components": {},
    }
    for name in names:
        document = _Renamed(name, names).of(copy.deepcopy(written(name, folder)))
        inherited = document.get("security", [])
        for path, item in document.get("paths", {}).items():
            for method in METHODS & set(item):
                # What a document says for all of its operations would be lost beside the others.
                item[method].setdefault("security", inherited)
            whole["paths"].setdefault(path, {}).update(item)
        for kind, components in document.get("components", {}).items():
            whole["components"].setdefault(kind, {}).update(
                {f"{name}.{each}": content for each, content in components.items()}
            )
    return whole


def operations(document: Mapping[str, Any]) -> Iterator[Operation]:
    """The operations of a document, in its order."""
    for path, item in document["paths"].items():
        for method, told in item.items():
            if method in METHODS:
                name = told.get("operationId", f"{method.upper()} {path}")
                yield Operation(
                    id=name,
                    name=JOURNAL_WORDS.get(name, name),
                    method=method.upper(),
                    path=path,
                    exempt=tuple(Exemption(**each) for each in told.get(EXEMPT, ())),
                    precondition=told.get(PRECONDITION),
                    guarded=bool(told.get("security")) and {} not in told["security"],
                )


def restrict(document: dict[str, Any], keep: Callable[[str, str | None], bool]) -> None:
    """Leave only those operations of a document that are to be kept, and the links between them, in place.

    Args:
        document: a joined one.
        keep: decides by path and operationId.
    """
    for path, item in list(document["paths"].items()):
        for method in METHODS & set(item):
            if not keep(path, item[method].get("operationId")):
                del item[method]
        if not METHODS & set(item):
            del document["paths"][path]
    ids = {each.id for each in operations(document)}
    references = {
        f"#/paths/{each.path.replace('~', '~0').replace('/', '~1')}/{each.method.lower()}"
        for each in operations(document)
    }
    _drop_links(document, ids | references)


def _drop_links(value: Any, known: Collection[str]) -> None:
    """Drop the links that lead elsewhere."""
    if isinstance(value, list):
        for each in value:
            _drop_links(each, known)
    elif isinstance(value, dict):
        for key, each in value.items():
            if key == "links" and isinstance(each, dict):
                value[key] = {
                    name: link
                    for name, link in each.items()
                    if link.get("operationId", link.get("operationRef")) in known
                }
            else:
                _drop_links(each, known)


class _Renamed:
    """A document's references, as they read in the joined one."""

    def __init__(self, name: str, names: Collection[str]) -> None:
        self._name = name
        self._names = frozenset(names)

    def of(self, value: Any) -> Any:
        """The same with references changed, in place."""
        if isinstance(value, list):
            value[:] = [self.of(each) for each in value]
        elif isinstance(value, dict):
            for key, each in list(value.items()):
                if key in ("$ref", "operationRef") and isinstance(each, str):
                    value[key] = self._reference(each)
                elif key == "security" and isinstance(each, list):
                    value[key] = [{f"{self._name}.{scheme}": s for scheme, s in one.items()} for one in each]
                elif key == "links" and isinstance(each, dict):
                    value[key] = {name: self.of(link) for name, link in each.items() if self._leads_somewhere(link)}
                else:
                    value[key] = self.of(each)
        return value

    def _leads_somewhere(self, link: Any) -> bool:
        """Whether a link's target is in the joined document."""
        target = link.get("operationRef", "#") if isinstance(link, dict) else "#"
        return target.startswith("#") or self._document(target) in self._names

    def _document(self, reference: str) -> str:
        file = reference.partition("#")[0].rpartition("/")[2]
        return file.removesuffix(".openapi.yaml") if file else self._name

    def _reference(self, reference: str) -> str:
        document, fragment = self._document(reference), reference.partition("#")[2]
        if document not in self._names:
            return reference
        parts = fragment.split("/")
        if parts[1:2] == ["components"] and len(parts) > 3:
            parts[3] = f"{document}.{parts[3]}"
        return "#" + "/".join(parts)
