"""Scenarios out of files: a file is one scenario, its name is the scenario's.

The library converts; what it cannot know (a misspelt member, an open point that there is not, a fault that could never
strike) is refused in a sentence that names the file and the member.
"""

import dataclasses
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import msgspec

from popreceipt.emulator import profile
from popreceipt.exceptions import UsageError
from popreceipt.middleware.scenario import EXPORT, IMPORT, Exported, Imported, Network, Scenario, Step
from popreceipt.vocabulary import OPERATIONS

STATUS: Final = "status"
"""The operation that stands for every way to ask for a status."""

LONGEST_LEASES: Final = 60.0
"""No scenario lasts longer: somebody waits for it."""

_TABLES: Final[Mapping[str, type[Any]]] = {"export": Exported, "import": Imported, "network": Network}

_OPERATIONS: Final = (*(each for each in OPERATIONS if each != "other"), STATUS, "processing", "*")

_OF_A_SIDE: Final = frozenset({"produce", "expire", "clean-up", "disable", "enable"})
"""Steps that concern one job."""

_FAULT: Final = (
    "operation",
    "kind",
    "phase",
    "position",
    "times",
    "status",
    "retry_after",
    "retry_after_form",
    "after_bytes",
    "seconds",
    "leases",
    "side",
)


def read_folder(folder: Path) -> tuple[Scenario, ...]:
    """The scenarios of a folder, in the order of their names.

    Raises:
        UsageError: one of them cannot be read, or there is none.
    """
    found = tuple(read(path) for path in sorted(folder.glob("*.toml")))
    if not found:
        raise UsageError(f"There are no scenarios in {folder}.")
    return found


def read(path: Path) -> Scenario:
    """The scenario in a file.

    Raises:
        UsageError: it cannot be read, or says something impossible.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"Cannot read the scenario {path}: {error.strerror or error}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}.") from error
    return scenario_of(document, path.stem, str(path))


def scenario_of(document: Mapping[str, Any], name: str, place: str) -> Scenario:
    """The scenario that a document tells; `place` says where it stands.

    Raises:
        UsageError: it says something unknown or impossible.
    """
    try:
        return _checked(_converted(dict(document), name))
    except _Refused as error:
        raise UsageError(f"{place}: {error}") from error


class _Refused(Exception):
    """A sentence about a member, to which the file's name is still to be added."""


def _converted(document: dict[str, Any], name: str) -> Scenario:
    known = {each.name for each in dataclasses.fields(Scenario)} - {"name", "imports", "dialect"} | {"import"}
    _refuse_strangers(document, known, "")
    for table, kind in _TABLES.items():
        if table in document:
            _refuse_strangers(document[table], {each.name for each in dataclasses.fields(kind)}, table)
    for number, step in enumerate(_tables(document, "steps"), 1):
        _refuse_strangers(step, {each.name for each in dataclasses.fields(Step)}, f"steps, number {number}")
    for number, fault in enumerate(_tables(document, "faults"), 1):
        _refuse_strangers(fault, set(_FAULT), f"faults, number {number}")
    if "import" in document:
        document["imports"] = document.pop("import")
    try:
        return msgspec.convert({**document, "name": name}, Scenario)
    except msgspec.ValidationError as error:
        said, _, where = str(error).partition(" - at ")
        where = where.strip("`").removeprefix("$").removeprefix(".")
        raise _Refused(f"{where or 'the scenario'}: {said}.") from error


def _tables(document: Mapping[str, Any], name: str) -> list[Any]:
    listed = document.get(name, [])
    if not isinstance(listed, list):
        raise _Refused(f"{name} is a list of tables, [[{name}]].")
    return listed


def _refuse_strangers(table: object, known: set[str], where: str) -> None:
    if not isinstance(table, dict):
        raise _Refused(f"{where} is a table.")
    for name in table:
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise _Refused(f"there is no member {name!r}{f' in {where}' if where else ''}.{hint}")


def _checked(scenario: Scenario) -> Scenario:
    """The scenario, if it can do what it says."""
    if not scenario.title.strip() or not scenario.source.strip():
        raise _Refused("title and source say what goes wrong and where that was seen.")
    if not scenario.sides or len(set(scenario.sides)) != len(scenario.sides):
        raise _Refused("sides names each side once, and at least one.")
    if not 0 < scenario.leases <= LONGEST_LEASES or scenario.lease_factor <= 0:
        raise _Refused(f"leases is above 0 and at most {LONGEST_LEASES:g}, lease_factor above 0.")
    if (scenario.export is None) == (EXPORT in scenario.sides):
        raise _Refused("the table [export] and the side export belong together.")
    if (scenario.imports is None) == (IMPORT in scenario.sides):
        raise _Refused("the table [import] and the side import belong together.")
    _check_numbers(scenario)
    for step in scenario.steps:
        if step.after is not None and step.after not in _OPERATIONS:
            raise _Refused(f"a step comes after one of {', '.join(_OPERATIONS)}, not after {step.after!r}.")
        if step.at < 0 or step.count < 1:
            raise _Refused("a step's at is 0 or more, its count 1 or more.")
        if step.action == "produce" and step.side != EXPORT:
            raise _Refused("only an export produces.")
        if step.action in _OF_A_SIDE and step.side not in scenario.sides:
            raise _Refused(f"a step concerns the side {step.side}, which the scenario does not have.")
    for fault in scenario.faults:
        _check_fault(fault)
    for point in (*scenario.points, *scenario.touches):
        if point not in profile.POINTS:
            near = get_close_matches(point, profile.POINTS, 1)
            raise _Refused(f"there is no open point {point!r}.{f' Did you mean {near[0]!r}?' if near else ''}")
    try:
        profile.changed(profile.Profile(), scenario.points, scenario.parameters, place="[parameters]")
    except UsageError as error:
        raise _Refused(str(error)) from error
    return scenario


def _check_numbers(scenario: Scenario) -> None:
    export, imports = scenario.export, scenario.imports
    if export is not None:
        if min(export.messages, export.records, export.no_file, export.expired) < 0 or export.no_file_at < 1:
            raise _Refused("the numbers in [export] are 0 or more, no_file_at is 1 or more.")
        if export.expired > export.messages:
            raise _Refused(f"{export.expired} files cannot expire where there are {export.messages} messages.")
        if export.messages and not export.records and export.type == "file":
            raise _Refused("files without records are all alike: records is 1 or more where type is file.")
    if imports is not None and imports.process_every < 0:
        raise _Refused("process_every is a number of leases, 0 for never.")
    if imports is not None and imports.files.count("empty") > 1:
        raise _Refused("only one file can be empty: no two have the same bytes.")


def _check_fault(fault: Mapping[str, Any]) -> None:
    if fault.get("operation") not in _OPERATIONS:
        raise _Refused(f"a fault's operation is one of {', '.join(_OPERATIONS)}, not {fault.get('operation')!r}.")
    if "kind" not in fault:
        raise _Refused("a fault has a kind.")
    if "leases" in fault and "seconds" in fault:
        raise _Refused("a fault's length of time is told in leases or in seconds, not in both.")
    for name in ("leases", "seconds"):
        if name in fault and (not isinstance(fault[name], (int, float)) or isinstance(fault[name], bool)):
            raise _Refused(f"a fault's {name} is a number.")
    if fault.get("side") not in {None, EXPORT, IMPORT}:
        raise _Refused(f"a fault's side is export or import, not {fault['side']!r}.")
