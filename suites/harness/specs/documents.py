"""The four documents, read anew.

Nothing is taken from what judges exchanges in the suites: two readers must not share a mistake.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import yaml

from popreceipt import resources

NAMES = ("connector", "data-management", "identity", "control")
CONTROL = "/_control/v1"
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


@cache
def written(name: str) -> dict[str, Any]:
    """A document as it is."""
    loaded: dict[str, Any] = yaml.safe_load((resources.specs() / f"{name}.openapi.yaml").read_text(encoding="utf-8"))
    return loaded


def target_of(name: str, reference: str) -> tuple[str, Any]:
    """The document that a reference leads into, and what stands there."""
    file, _, pointer = reference.partition("#")
    document = Path(file).name.removesuffix(".openapi.yaml") if file else name
    value: Any = written(document)
    for part in pointer.strip("/").split("/"):
        key = unquote(part).replace("~1", "/").replace("~0", "~")
        value = value[int(key)] if isinstance(value, list) else value[key]
    return document, value


def whole(name: str, value: Any) -> Any:
    """The same with every reference replaced by what it leads to. No schema here contains itself."""
    if isinstance(value, list):
        return [whole(name, each) for each in value]
    if not isinstance(value, dict):
        return value
    if "$ref" not in value:
        return {key: whole(name, each) for key, each in value.items()}
    document, found = target_of(name, value["$ref"])
    beside = {key: whole(name, each) for key, each in value.items() if key not in ("$ref", "description")}
    found = whole(document, found)
    return {**found, **beside} if isinstance(found, dict) else found


@dataclass(frozen=True)
class Operation:
    """An operation with all its references replaced."""

    document: str
    method: str
    path: str
    definition: Mapping[str, Any] = field(repr=False)

    @property
    def id(self) -> str:
        return str(self.definition["operationId"])

    @property
    def parameters(self) -> list[Mapping[str, Any]]:
        return list(self.definition.get("parameters", ()))

    @property
    def responses(self) -> Mapping[str, Mapping[str, Any]]:
        declared: Mapping[str, Mapping[str, Any]] = self.definition["responses"]
        return declared

    def declared(self, status: int) -> str | None:
        """Under which key of its responses a status stands."""
        keys = (str(status), f"{status // 100}XX")
        return next((each for each in keys if each in self.responses), None)

    def fits(self, path: str) -> bool:
        """Whether a path, without language and root, is one of this operation's. Its letter case is open."""
        pattern = re.sub(r"\\\{[^/]+?\\\}", "[^/]+", re.escape(self.path))
        return re.fullmatch(pattern, path, re.IGNORECASE) is not None


@cache
def operations() -> tuple[Operation, ...]:
    """All operations of all documents."""
    found = []
    for name in NAMES:
        for path, item in written(name)["paths"].items():
            shared = item.get("parameters", [])
            for method in METHODS:
                if method in item:
                    definition = {**item[method], "parameters": [*shared, *item[method].get("parameters", [])]}
                    found.append(Operation(name, method.upper(), path, whole(name, definition)))
    return tuple(found)


def operation(identifier: str) -> Operation:
    """The operation of this operationId."""
    return next(each for each in operations() if each.id == identifier)


_LANGUAGE = re.compile(r"/[a-z]{2}(-[a-z]{2})?(?=/api/connector/)", re.IGNORECASE)


@lru_cache(maxsize=4096)
def operations_at(path: str) -> list[Operation]:
    """The operations whose path this is, whatever their verb. The path is as sent, without its query."""
    path = path.rstrip("/") or "/"
    if path.startswith(CONTROL):
        own = path.removeprefix(CONTROL)
        return [each for each in operations() if each.document == "control" and each.fits(own)]
    plain = _LANGUAGE.sub("", path)
    return [each for each in operations() if each.document != "control" and each.fits(plain)]
