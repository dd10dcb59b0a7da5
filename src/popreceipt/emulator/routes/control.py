"""The control plane below `/_control/v1`: what a test may ask of a server beside the wire.

It is described in `specs/control.openapi.yaml`. Calls from this computer need no authentication, others the key.
"""

import hmac
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from typing import Any, Final

import msgspec

from popreceipt.clock import Clock
from popreceipt.emulator import monitoring, problems
from popreceipt.emulator.activity import EXPORT, IMPORT, Activity
from popreceipt.emulator.bodies import NotJson, read_object
from popreceipt.emulator.dmf.synthetic import NotEnough
from popreceipt.emulator.guids import read_guid
from popreceipt.emulator.http import JSON, Response
from popreceipt.emulator.instants import instant_in, written
from popreceipt.emulator.message import Message
from popreceipt.emulator.parameters import Parameters, parameters_of
from popreceipt.emulator.profile import Profile
from popreceipt.emulator.projects import Invalid
from popreceipt.emulator.routes import faults, projects, settings
from popreceipt.emulator.routes.call import Call
from popreceipt.emulator.spellings import visible_status
from popreceipt.journal import instant_text

ABILITIES: Final = (
    "reset",
    "advance-time",
    "create-activity",
    "produce",
    "process",
    "messages",
    "records",
    "cleanup",
    "change-activity",
    "export-recurrence",
    "projects",
    "monitoring",
    "batch",
    "parameters",
    "faults",
    "journal",
)


ROWS: Final = 10_000
"""So many rows of a list are read and written at once."""

MOST_ROWS: Final = 1_000_000
"""So many rows may be asked for at once."""

LATEST: Final = datetime(9000, 1, 1, tzinfo=UTC)
"""Where a clock stops: the calendar ends with the year 9999, and recurrences and expiries look ahead."""


class Refusal(Exception):
    """A control call that is refused: a status and a sentence."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def is_control(call: Call) -> bool:
    """Whether the path lies below the control plane's root."""
    return call.words[:1] == ("_control",)


def answer(call: Call) -> Response:
    """The answer to a call of the control plane."""
    emulator = call.emulator
    words = call.words
    if not emulator.control or words[:2] != ("_control", "v1"):
        return problems.control(404, "There is nothing here.")
    if not _may_control(call):
        return problems.control(401, "The header x-control-key is needed, with the key of this server.")
    path = words[2:]
    allowed = [route for route in _ROUTES if route.fits(path)]
    if not allowed:
        return problems.control(404, f"There is no /{'/'.join(path)[:200]} in this control plane.")
    route = next((one for one in allowed if one.verb == call.request.method), None)
    if route is None:
        verbs = ", ".join(one.verb for one in allowed)
        return problems.control(405, f"{call.request.method} is not offered here.", ("allow", verbs))
    try:
        return route.does(call, path)
    except Refusal as refusal:
        return problems.control(refusal.status, str(refusal))
    except projects.Unknown as unknown:
        return problems.control(404, str(unknown))
    except (NotJson, settings.Refused, Invalid, NotEnough) as problem:
        return problems.control(400, str(problem))


def _may_control(call: Call) -> bool:
    if call.request.local:
        return True
    key = call.emulator.control_key
    given = call.request.header("x-control-key") or ""
    return key is not None and hmac.compare_digest(given.encode("utf-8"), key.encode("utf-8"))


Handler = Callable[[Call, tuple[str, ...]], Response]


@dataclass(frozen=True, slots=True)
class _Route:
    """A verb, a path (a star stands for one segment), and what it does."""

    verb: str
    path: tuple[str, ...]
    does: Handler

    def fits(self, path: tuple[str, ...]) -> bool:
        return len(path) == len(self.path) and all(
            mine in {"*", theirs} for mine, theirs in zip(self.path, path, strict=True)
        )


def abilities(clock: Clock) -> tuple[str, ...]:
    """What a server with this clock offers: moving it only where it is manual."""
    return tuple(one for one in ABILITIES if clock.kind == "manual" or one != "advance-time")


def _world(call: Call, _: tuple[str, ...]) -> Response:
    return Response.of_json(200, call.emulator.world())


def _reset(call: Call, _: tuple[str, ...]) -> Response:
    call.emulator.reset()
    return Response(204)


def _clock(call: Call, _: tuple[str, ...]) -> Response:
    clock = call.emulator.clock
    return Response.of_json(200, {"now": written(call.now), "kind": clock.kind, "rate": clock.rate})


def _advance(call: Call, _: tuple[str, ...]) -> Response:
    if call.emulator.clock.kind != "manual":
        raise Refusal(409, f"This server's clock is {call.emulator.clock.kind}; only a manual one can be moved.")
    step = settings.read(read_object(call.request.body), settings.ADVANCE, "advance_seconds")["advance_seconds"]
    if call.now + step > LATEST:
        raise Refusal(400, f"The clock goes no further than {written(LATEST)}.")
    return Response.of_json(200, {"now": written(call.emulator.advance(step))})


def _create(call: Call, _: tuple[str, ...]) -> Response:
    asked = settings.read_activity(read_object(call.request.body), settings.CREATE, "direction")
    asked = projects.for_activity(call.emulator, asked)
    return Response.of_json(201, call.emulator.create_activity(**asked).as_json())


def _change(call: Call, path: tuple[str, ...]) -> Response:
    activity = _activity(call, path)
    asked = settings.read_activity(read_object(call.request.body), settings.CHANGE)
    return Response.of_json(200, call.emulator.change_activity(activity, **asked).as_json())


def _produce(call: Call, path: tuple[str, ...]) -> Response:
    activity = _activity(call, path, EXPORT)
    asked = settings.read(read_object(call.request.body), settings.PRODUCE, "records")
    produced = call.emulator.batch.produce(activity, asked["records"], call.now)
    return Response.of_json(
        200,
        {
            "messageId": produced.message.id,
            "uploaded": produced.message.uploaded,
            "records": produced.records,
            "sha256": produced.sha256,
        },
    )


def _process(call: Call, path: tuple[str, ...]) -> Response:
    activity = _activity(call, path, IMPORT)
    processed = {"processed": call.emulator.batch.process(activity, call.now)}
    call.emulator.observe("processed", activity, **processed)
    return Response.of_json(200, processed)


def _messages(call: Call, path: tuple[str, ...]) -> Response:
    activity = _activity(call, path)
    store, profile = call.emulator.store, call.emulator.profile
    page = _Page.asked_for(call)
    after = page.after and _number_of(call, activity, page.after)

    def pages() -> Iterator[list[dict[str, Any]]]:
        last, left = after or 0, page.limit
        while found := store.messages_of(activity.id, last, ROWS if left is None else min(ROWS, left)):
            yield [_row(message, profile) for message in found]
            last = found[-1].number
            left = None if left is None else left - len(found)

    return _listed(call, activity, ("messages", "rows"), pages(), page)


def _number_of(call: Call, activity: Activity, text: str) -> int:
    """The number of the message after which a page begins."""
    message = call.emulator.store.message(read_guid(text) or "")
    if message is None or message.activity != activity.id:
        raise Refusal(404, f"The activity {activity.id} has no message {text[:80]!r} after which others could come.")
    return message.number


def _records(call: Call, path: tuple[str, ...]) -> Response:
    activity = _activity(call, path)
    entity = projects.entity_of(call, activity)
    held = {
        "entity": entity,
        "records": list(call.emulator.store.records(activity.company, entity)),
    }
    call.emulator.observe("records", activity, **held)
    return Response.of_json(200, held)


def _cleanup(call: Call, path: tuple[str, ...]) -> Response:
    activity = _activity(call, path)
    body = read_object(call.request.body)
    asked = settings.read(body, settings.CLEANUP, "olderThanDays")
    statuses = asked.get("statuses", frozenset())
    deleted = call.emulator.cleanup.run(activity, call.now, older_than=asked["olderThanDays"], statuses=statuses)
    call.emulator.observe(
        "cleanup",
        activity,
        olderThanDays=body["olderThanDays"],
        statuses=body.get("statuses", []),
        deleted=deleted,
    )
    return Response.of_json(200, {"deleted": deleted})


def _batch(call: Call, path: tuple[str, ...]) -> Response:
    activity = _activity(call, path)
    action = settings.read(read_object(call.request.body), settings.BATCH, "action")["action"]
    if action == "get-status":
        call.emulator.history.fetch(activity.id, call.now)
    else:
        call.emulator.history.delete(activity.id)
    call.emulator.observe("batch", activity, action=action)
    return Response(204)


def _load(call: Call, path: tuple[str, ...]) -> Response:
    activity = _activity(call, path)
    store = call.emulator.store
    page = _Page.asked_for(call)
    after = page.after and instant_in(page.after)
    if page.after and not after:
        raise Refusal(400, f"after is the instant of a sample, not {page.after[:80]!r}.")

    def pages() -> Iterator[list[dict[str, Any]]]:
        offset, left = 0, page.limit
        while (left is None or left > 0) and (found := store.samples_of(activity.id, offset, ROWS)):
            shown = [monitoring.as_json(sample) for sample in found if not after or sample.at > after]
            yield shown[:left]
            offset += len(found)
            left = None if left is None else left - len(shown)

    return _listed(call, activity, ("load", "samples"), pages(), page)


class _Page(msgspec.Struct, frozen=True):
    """Which part of a list is wanted: what comes after something, and so much at most."""

    after: str | None
    limit: int | None

    @classmethod
    def asked_for(cls, call: Call) -> "_Page":
        """The part that a query names; all of it where it names none."""
        asked = call.request.parameters()
        limit = asked.get("limit")
        if limit is None:
            return cls(asked.get("after"), None)
        if not (limit.isascii() and limit.isdecimal() and 0 < int(limit[:20]) <= MOST_ROWS):
            raise Refusal(400, f"limit is a whole number from 1 to {MOST_ROWS}, not {limit[:80]!r}.")
        return cls(asked.get("after"), int(limit))


def _listed(
    call: Call, activity: Activity, named: tuple[str, str], pages: Iterable[list[dict[str, Any]]], page: _Page
) -> Response:
    """A list that is read and written a page at a time, and noted where it was whole."""
    kind, member = named
    first: list[dict[str, Any]] = []
    count = 0
    written_out = BytesIO()
    for rows in pages:
        if rows:
            first = first if count else rows
            count += len(rows)
            written_out.write(b"[" if first is rows else b",")
            written_out.write(msgspec.json.encode(rows)[1:-1])
    written_out.write(b"]" if count else b"[]")
    body = written_out.getvalue()
    if page.after is None and (page.limit is None or count < page.limit):
        # The journal takes a long list as it is written: as values it would be many times as large.
        call.emulator.observe(kind, activity, **{member: first if count == len(first) else msgspec.Raw(body)})
    return Response(200, (("content-type", JSON),), body)


def _parameters(call: Call, _: tuple[str, ...]) -> Response:
    return _told(call, parameters_of(call.emulator.store))


def _set_parameters(call: Call, _: tuple[str, ...]) -> Response:
    asked = settings.read(read_object(call.request.body), settings.PARAMETERS)
    parameters = msgspec.structs.replace(parameters_of(call.emulator.store), **asked)
    call.emulator.change_parameters(parameters)
    return _told(call, parameters)


def _told(call: Call, parameters: Parameters) -> Response:
    """The framework's parameters, as the answer and the journal have them."""
    members = msgspec.structs.asdict(parameters)
    call.emulator.note("parameters", since=instant_text(call.now), **members)
    return Response.of_json(200, members)


def _journal(call: Call, _: tuple[str, ...]) -> Response:
    lines = b"".join(line + b"\n" for line in call.emulator.journal.lines())
    return Response(200, (("content-type", "application/x-ndjson"),), lines)


def _activity(call: Call, path: tuple[str, ...], direction: str | None = None) -> Activity:
    """The activity that a path names, which must have the direction where one is given."""
    identifier = read_guid(path[1])
    if identifier is None:
        raise Refusal(400, f"The activity ID {path[1][:80]!r} is no GUID.")
    activity = call.emulator.store.activity(identifier)
    if activity is None:
        raise Refusal(404, f"There is no activity {identifier}.")
    if direction is not None and activity.direction != direction:
        raise Refusal(400, f"The activity {identifier} is an {activity.direction}; this call is for an {direction}.")
    return activity


def _row(message: Message, profile: Profile) -> dict[str, Any]:
    """A row of Manage messages. Before platform update 12 the two columns of an export stay empty."""
    is_export = message.visible_from is not None and profile.platform_update_12
    return {
        "MessageId": message.id,
        "Status": visible_status(message, profile),
        "EntityName": message.entity,
        "ExternalIdentifier": message.external_identifier,
        "EnqueueDateTime": written(message.enqueued),
        "ProcessingStartedDateTime": _written_or_null(message.started),
        "ProcessingCompletedDateTime": _written_or_null(message.completed),
        "LastDequeueDateTime": _written_or_null(message.last_dequeued),
        "LastDownloadDateTime": _written_or_null(message.last_downloaded),
        "AckDateTime": _written_or_null(message.acknowledged),
        "TotalRecordsExported": message.total_records if is_export else None,
        "FileUploaded": True if is_export and message.uploaded else None,
        "BatchStatus": message.batch_status,
        "RetryCount": message.retries,
    }


def _written_or_null(instant: datetime | None) -> str | None:
    return None if instant is None else written(instant)


_ROUTES: Final = (
    _Route("GET", ("world",), _world),
    _Route("POST", ("reset",), _reset),
    _Route("GET", ("clock",), _clock),
    _Route("POST", ("clock",), _advance),
    _Route("POST", ("activities",), _create),
    _Route("PATCH", ("activities", "*"), _change),
    _Route("POST", ("activities", "*", "produce"), _produce),
    _Route("POST", ("activities", "*", "process"), _process),
    _Route("GET", ("activities", "*", "messages"), _messages),
    _Route("GET", ("activities", "*", "records"), _records),
    _Route("POST", ("activities", "*", "cleanup"), _cleanup),
    _Route("POST", ("activities", "*", "batch"), _batch),
    _Route("GET", ("activities", "*", "load"), _load),
    _Route("GET", ("projects",), projects.listed),
    _Route("POST", ("projects",), projects.created),
    _Route("GET", ("projects", "*"), projects.shown),
    _Route("PATCH", ("projects", "*"), projects.changed),
    _Route("GET", ("parameters",), _parameters),
    _Route("PATCH", ("parameters",), _set_parameters),
    _Route("GET", ("faults",), faults.listed),
    _Route("POST", ("faults",), faults.planned),
    _Route("DELETE", ("faults",), faults.cleared),
    _Route("GET", ("journal",), _journal),
)
