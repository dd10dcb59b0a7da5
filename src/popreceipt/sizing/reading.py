"""Reads plans, and refuses what is impossible or contradictory in them: in a sentence that says what was found.

The library converts; what it has to say about a member is put in words that name the member as the file does. It knows
no defaults, which stand with the plan's types, and draws nothing.
"""

import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

import msgspec

from popreceipt.exceptions import UsageError
from popreceipt.sizing.plan import (
    LONGEST_DAYS,
    Arrivals,
    BatchJob,
    Export,
    ManageMessages,
    Objective,
    Plan,
    Recurrence,
    Run,
    Service,
    Spread,
)
from popreceipt.sizing.traces import read_trace
from popreceipt.sizing.work import DAY, record_of


def read(path: Path, *, days: float | None = None, seed: int | None = None) -> Plan:
    """As `plan.read_plan`."""
    document = _document(path)
    try:
        _set(document, {"days": days, "seed": seed})
        plan = _converted(document)
        _check(plan)
        plan = _as_meant(msgspec.structs.replace(plan, folder=path.parent), document)
        _check_whole(plan)
        _check_files(plan)
    except _Refused as error:
        raise UsageError(f"{path}: {error}") from error
    return _with_record(plan, document)


def _set(document: dict[str, Any], instead: Mapping[str, float | int | None]) -> None:
    """Let members of [run] be what they are instead; a table that is none is found wrong later."""
    run = document.setdefault("run", {})
    if isinstance(run, dict):
        run.update({name: value for name, value in instead.items() if value is not None})


class _Refused(Exception):
    """A sentence about a member, to which the file's name is still to be added."""


def _document(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"Cannot read the plan {path}: {error.strerror or error}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}.") from error


# Members and their types

_UNWRITTEN: Final = ("folder", "warnings")

_TABLES: Final[Mapping[str, type[msgspec.Struct]]] = {
    "": Plan,
    "arrivals": Arrivals,
    "service": Service,
    "service.seconds": Spread,
    "batch": BatchJob,
    "objective": Objective,
    "recurrence": Recurrence,
    "export": Export,
    "export.transfer_seconds": Spread,
    "export.handling_seconds": Spread,
    "run": Run,
    "manage_messages": ManageMessages,
}

_KINDS: Final = {
    "float": "a number",
    "int": "a whole number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
}


def _converted(document: dict[str, Any]) -> Plan:
    for name in _UNWRITTEN:
        if name in document:
            raise _Refused(_unknown("", name))
    try:
        return msgspec.convert(document, Plan)
    except msgspec.ValidationError as error:
        said, _, place = str(error).partition(" - at ")
        place = place.strip("`").removeprefix("$").removeprefix(".")
        raise _Refused(_in_words(document, place, said)) from error


def _in_words(document: dict[str, Any], place: str, said: str) -> str:
    """What the library has said of a place, as a sentence about a plan."""
    if member := re.fullmatch(r"Object contains unknown field `(.*)`", said, re.DOTALL):
        return _unknown(place, member[1])
    if member := re.fullmatch(r"Object missing required field `(.*)`", said):
        return f"{_table(place)} lacks {member[1]}." if place else f"the table [{member[1]}] is missing."
    found = _found(document, place)
    if kinds := re.fullmatch(r"Expected `(.*)`, got `.*`", said):
        wanted = " or ".join(_KINDS[each] for each in kinds[1].split(" | ") if each != "null")
        return f"{place} is {found}, and has to be {wanted}."
    table, _, member_name = place.rpartition(".")
    wanted = " or ".join(_choices(get_type_hints(_TABLES[table])[member_name]))
    return f"{place} is {found}, and has to be {wanted or 'a number that can be reckoned with'}."


def _unknown(place: str, member: str) -> str:
    known = [each for each in _TABLES[place].__struct_fields__ if place or each not in _UNWRITTEN]
    close = get_close_matches(member, known, 1)
    hint = f" Is {close[0]} meant?" if close else ""
    return f"{_table(place)} has no member {member!r}; it may have {', '.join(known)}.{hint}"


def _table(place: str) -> str:
    return f"[{place}]" if place else "a plan"


def _found(document: dict[str, Any], place: str) -> str:
    value: Any = document
    for name, number in re.findall(r"(\w+)|\[(\d+)\]", place):
        value = value[name] if name else value[int(number)]
    text = str(value).lower() if isinstance(value, bool) else repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


_SHOWN: Final = 40


def _choices(kind: Any) -> tuple[str, ...]:
    """What a member with fixed values may be."""
    return tuple(choice for each in (kind, *get_args(kind)) if get_origin(each) is Literal for choice in get_args(each))


# Numbers


@dataclass(frozen=True)
class _Limits:
    """What a number may be at least, or has to be above, and at most; and the unit in which that is said."""

    unit: str
    least: float | None = None
    above: float = 0.0
    most: float = math.inf

    def broken_by(self, value: float) -> str | None:
        """What is wanted, where it is not kept."""
        if (
            math.isfinite(value)
            and value <= self.most
            and (value > self.above if self.least is None else value >= self.least)
        ):
            return None
        lower = f"above {self.above:g}" if self.least is None else f"at least {self.least:g}"
        upper = f" and at most {self.most:,.0f}" if math.isfinite(self.most) else ""
        return f"{lower}{upper} {self.unit}".rstrip()


_WEEK_SECONDS: Final = 7 * 86400.0
_MONTH_MINUTES: Final = 31 * 1440.0

_LIMITS: Final[Mapping[str, _Limits]] = {
    "arrivals.per_hour": _Limits("messages an hour", most=1e6),
    "arrivals.profile": _Limits("messages an hour", least=0.0, most=1e6),
    "service.seconds": _Limits("seconds", most=_WEEK_SECONDS),
    "service.median": _Limits("seconds", most=_WEEK_SECONDS),
    "service.p95": _Limits("seconds", most=_WEEK_SECONDS),
    "batch.parallel": _Limits("files", least=1, most=1024),
    "batch.startup_seconds": _Limits("seconds", least=0.0, most=_WEEK_SECONDS),
    "objective.p95_minutes": _Limits("minutes"),
    "objective.p99_minutes": _Limits("minutes"),
    "objective.mean_minutes": _Limits("minutes"),
    "objective.longest_minutes": _Limits("minutes"),
    # The dialog "Define recurrence" counts in minutes.
    "recurrence.candidates_minutes": _Limits("minutes", least=1.0, most=_MONTH_MINUTES),
    "export.per_hour": _Limits("messages an hour", most=1e6),
    # Half a second: nobody waits for less, and everybody's polls are walked through.
    "export.poll_minutes": _Limits("minutes", least=0.01, most=_MONTH_MINUTES),
    "export.transfer_seconds": _Limits("seconds", least=0.0, most=_WEEK_SECONDS),
    "export.handling_seconds": _Limits("seconds", least=0.0, most=_WEEK_SECONDS),
    "export.consumers": _Limits("consumers", least=1, most=1024),
    "export.prefetch": _Limits("messages", least=1, most=100_000),
    "export.outage_minutes": _Limits("minutes", least=0.0, most=_MONTH_MINUTES),
    "run.days": _Limits("days", most=LONGEST_DAYS),
    "run.seed": _Limits("", least=0, most=2.0**63),
}

FEWEST: Final = 20
"""Messages that have to be expected in a run: percentiles of fewer are a matter of luck."""

MOST: Final = 10_000_000
"""Messages that may be expected in a run: some minutes of simulation for each candidate."""

COMPARED: Final = 100
"""Recurrences that may be compared: each of them is simulated in full, and takes some megabytes."""

WIDEST: Final = 1000.0
"""How many times its median a distribution's 95th percentile may be: beyond that its mean says nothing any more."""


def _check(plan: Plan) -> None:
    """Each number by itself."""
    for place, limits in _LIMITS.items():
        table, _, member = place.partition(".")
        value = getattr(getattr(plan, table), member, None)
        if isinstance(value, Spread):
            for name in ("median", "p95"):
                _check_number(f"{place}.{name}", getattr(value, name), _Limits("seconds", most=_WEEK_SECONDS))
            _check_spread(place, value.median, value.p95)
        elif isinstance(value, tuple):
            for number, each in enumerate(value):
                _check_number(f"{place}[{number}]", each, limits)
        elif value is not None:
            _check_number(place, value, limits)
    if plan.service.median is not None and plan.service.p95 is not None:
        _check_spread("service", plan.service.median, plan.service.p95)


def _check_number(place: str, value: float, limits: _Limits) -> None:
    wanted = limits.broken_by(value)
    if wanted is not None:
        raise _Refused(f"{place} is {value:g}, and has to be {wanted}.")


def _check_spread(place: str, median: float, p95: float) -> None:
    if p95 <= median:
        raise _Refused(
            f"{place} has a p95 of {p95:g} s and a median of {median:g} s: the p95 has to be above the median. "
            "Write seconds where every file takes as long."
        )
    if p95 > WIDEST * median:
        raise _Refused(
            f"{place} has a p95 of {p95:g} s, more than {WIDEST:g} times its median of {median:g} s, and no "
            "lognormal distribution as wide as that tells anything. Is one of them in another unit?"
        )


# Members together


def _as_meant(plan: Plan, document: dict[str, Any]) -> Plan:
    batch, recurrence = plan.batch, plan.recurrence
    if batch.parallel > 1 and "in_order" not in document["batch"]:
        batch = msgspec.structs.replace(batch, in_order=False)
    recurrence = Recurrence(tuple(sorted(set(recurrence.candidates_minutes))))
    return msgspec.structs.replace(plan, batch=batch, recurrence=recurrence)


def _check_whole(plan: Plan) -> None:
    """What members say together."""
    arrivals, service, batch = plan.arrivals, plan.service, plan.batch
    _exactly_one("arrivals", {name: getattr(arrivals, name) for name in arrivals.__struct_fields__})
    if (service.median is None) != (service.p95 is None):
        there, lacking = ("p95", "median") if service.median is None else ("median", "p95")
        raise _Refused(f"[service] has {there} without {lacking}: a distribution needs both of them, in seconds.")
    kinds = ("seconds", "median", "measured", "messages")
    _exactly_one("service", {"median with p95" if name == "median" else name: getattr(service, name) for name in kinds})
    if arrivals.profile is not None:
        if len(arrivals.profile) != 24:
            raise _Refused(
                f"arrivals.profile has {len(arrivals.profile)} numbers, and has to have 24: messages an hour for each "
                "hour of the day from midnight on."
            )
        if not any(arrivals.profile):
            raise _Refused("arrivals.profile is 0 at every hour: nothing arrives.")
    if batch.in_order and batch.parallel > 1:
        raise _Refused(
            f"batch.parallel is {batch.parallel} and batch.in_order is true: files in order are processed one after "
            "the other. Set in_order = false, or parallel = 1."
        )
    _check_objective(plan.objective)
    _check_extent(plan)


def _exactly_one(table: str, members: Mapping[str, object]) -> None:
    given = [name for name, value in members.items() if value is not None]
    if not given:
        raise _Refused(f"[{table}] says nothing: give one of {', '.join(members)}.")
    if len(given) > 1:
        raise _Refused(f"[{table}] has {' and '.join(given)}: give exactly one of {', '.join(members)}.")


def _check_objective(objective: Objective) -> None:
    given = {name: getattr(objective, name) for name in ("p95_minutes", "p99_minutes", "longest_minutes")}
    given = {name: value for name, value in given.items() if value is not None}
    if not given and objective.mean_minutes is None:
        raise _Refused(f"[objective] says nothing: give at least one of {', '.join(objective.__struct_fields__)}.")
    for (lower, less), (higher, more) in pairwise(given.items()):
        if more < less:
            raise _Refused(
                f"objective.{higher} is {more:g} and objective.{lower} is {less:g}: whatever keeps the first keeps "
                "the second, which says nothing then. Leave it out or swap them."
            )


def _check_extent(plan: Plan) -> None:
    """How much would be drawn."""
    candidates = plan.recurrence.candidates_minutes
    if not candidates:
        raise _Refused("recurrence.candidates_minutes is empty: name at least one recurrence in minutes.")
    if len(candidates) > COMPARED:
        raise _Refused(
            f"recurrence.candidates_minutes has {len(candidates):,} recurrences, and at most {COMPARED} are compared."
        )
    arrivals, days = plan.arrivals, plan.run.days
    daily = 24 * arrivals.per_hour if arrivals.per_hour is not None else math.fsum(arrivals.profile or ())
    if not daily:
        return
    if daily * days < FEWEST:
        needed = math.ceil(FEWEST / daily)
        raise _Refused(
            f"about {daily * days:.2g} messages come in {days:g} days, and at least {FEWEST} are needed: "
            + (
                f"set [run] days to {needed:,} or more."
                if needed <= LONGEST_DAYS
                else f"not even {LONGEST_DAYS:,} days have as many. Rates are messages an hour."
            )
        )
    if daily * days > MOST:
        raise _Refused(
            f"about {daily * days:,.0f} messages come in {days:g} days, and at most {MOST:,} can be simulated: set "
            f"[run] days to {math.floor(100 * MOST / daily) / 100:g} or less. Rates are messages an hour."
        )
    if candidates[-1] > days * 1440:
        raise _Refused(
            f"recurrence.candidates_minutes has {candidates[-1]:g}, which is longer than the {days:g} days that are "
            "simulated: raise [run] days or leave it out."
        )


# Files


def _check_files(plan: Plan) -> None:
    for table, members in (("arrivals", ("trace", "measured", "messages")), ("service", ("measured", "messages"))):
        for member in members:
            name = getattr(getattr(plan, table), member)
            if name is None:
                continue
            path = plan.folder / name
            # Behind a journal's name there may stand the activity of which it is to be read.
            journal = path.with_name(path.name.rpartition("#")[0] or path.name) if member == "measured" else path
            if not path.is_file() and not journal.is_file():
                raise _Refused(
                    f"{table}.{member} is {name!r}, and there is no such file. It is looked for in the plan's own "
                    f"folder: {path}."
                )


def _with_record(plan: Plan, document: dict[str, Any]) -> Plan:
    """The plan with what its record tells, where arrivals are played from one."""
    record = record_of(plan)
    if record is None:
        return plan
    run, warnings = plan.run, plan.warnings
    if "days" not in document.get("run", {}):
        run = msgspec.structs.replace(run, days=record.span / DAY)
    if plan.arrivals.trace is not None:
        disordered = read_trace(plan.folder / plan.arrivals.trace).disordered
        if disordered:
            name = plan.arrivals.trace
            warnings = (*warnings, f"Of the trace {name} {disordered} rows stand behind a later one: put in order.")
    return msgspec.structs.replace(plan, run=run, warnings=warnings)
