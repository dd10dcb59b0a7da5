"""The control plane: what a test may tell a target, and what the target tells of itself.

Control calls are no exchanges. What they tell is written into the journal as observations, each between the target's
time before the call and after it; a movement of the clock as such. What the target cannot do is an exception that
names the ability.
"""

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

import msgspec

from popreceipt.client.recording import moved, observe
from popreceipt.client.session import AGENT, split_base
from popreceipt.client.tape import Tapes, Told
from popreceipt.client.times import (
    ADVANCE_TIME,
    ManualTimes,
    Reading,
    ScaledTimes,
    SystemTimes,
    TargetClock,
    instant,
    reading_of,
)
from popreceipt.client.transport import Answer, Network, Transport, Verify
from popreceipt.clock import ClockKind, stopwatch
from popreceipt.exceptions import NotAbleTo, PopreceiptError
from popreceipt.journal import Journal
from popreceipt.vocabulary import bare_guid

ROOT: Final = "/_control/v1"

RECURRENCES: Final = ("processing_recurrence", "monitoring_recurrence")
"""Settings that a job tells in two forms: whole, and (with `_minutes` behind) as a number of minutes."""

READINGS_TAKEN: Final = 5
"""How often a clock that runs is read at first: the quickest round trips give the tightest bounds."""


class ControlError(PopreceiptError):
    """A control call was refused or failed: nothing can be proved with a target that cannot be set up.

    `status` is the answer's; None where no whole answer came.
    """

    exit_status = 3

    def __init__(self, sentence: str, status: int | None = None) -> None:
        super().__init__(sentence)
        self.status = status


Activity = dict[str, Any]
"""A recurring data job as the control plane describes it, its `id` bare and in lower case."""


@dataclass(frozen=True, slots=True)
class World:
    """What a target says of itself: its name and build, what it is able to do, its identities, jobs and entities."""

    name: str
    build: str
    abilities: tuple[str, ...]
    base_url: str | None
    identity: Mapping[str, Any] = field(repr=False)
    activities: tuple[Activity, ...] = ()
    entities: tuple[Mapping[str, Any], ...] = ()
    formats: tuple[str, ...] = ()

    def activity(self, name: str) -> Activity | None:
        """The recurring data job of this name."""
        for each in self.activities:
            if each.get("name") == name:
                return each
        return None


@dataclass(frozen=True, slots=True)
class ClockSays:
    """The target's clock, as it describes itself."""

    now: datetime
    kind: ClockKind
    rate: float


class Control:
    """A target's control plane.

    Args:
        base_url: the target's, without the control plane's path.
        transport: stands in for the network; None opens connections.
        verify: how certificates are checked: a TLS context, a file with an authority, or as usual.
        key: the value of `x-control-key`, for targets that are not on a loopback address.
        times: the target's clock; None learns it from `GET /clock` when it is first needed (`times`).
        journal: takes observations and movements of the clock; None drops them.
        patience: how much real time one wait for a clock that runs may cost.
        timeout: real seconds for an answer. A movement of the clock may set off a lot of work.
        tapes: take every call that succeeds; None if nobody will.

    Raises:
        UsageError: the base URL is none, or the authority's file cannot be used.
    """

    def __init__(
        self,
        base_url: str,
        *,
        transport: Network | Transport | None = None,
        verify: Verify = None,
        key: str | None = None,
        times: TargetClock | None = None,
        journal: Journal | None = None,
        patience: timedelta = timedelta(minutes=1),
        timeout: float = 120.0,
        tapes: Tapes | None = None,
    ) -> None:
        self._origin, prefix = split_base(base_url)
        self.base_url = self._origin + prefix
        self._root = prefix + ROOT
        self._transport = transport if isinstance(transport, Transport) else Transport(transport, verify)
        self._journal = journal
        self._patience = patience
        self._timeout = timeout
        self._times = times
        self._tapes = tapes if tapes is not None else Tapes()
        self._world: World | None = None
        self._known: dict[str, Activity] = {}
        self._told_entities = False
        self._lock = threading.RLock()
        self._headers = [
            ("host", self._origin.partition("://")[2]),
            ("accept", "application/json"),
            ("accept-encoding", "identity"),
            ("user-agent", AGENT),
        ]
        if key is not None:
            self._headers.append(("x-control-key", key))

    def close(self) -> None:
        """Close what is open."""
        self._transport.close()

    # The target itself

    def world(self) -> World:
        """What the target says of itself now; jobs not seen before, or seen otherwise, are written down."""
        since = self.times.earliest()
        told = self._object("GET", "/world")
        at = self.times.latest()
        identity = told.get("identity")
        base_url = told.get("base_url")
        world = World(
            name=str(told.get("name") or self.base_url),
            build=str(told.get("build") or ""),
            abilities=tuple(str(each) for each in _listed(told.get("abilities"))),
            base_url=base_url if isinstance(base_url, str) else None,
            identity=identity if isinstance(identity, dict) else {},
            activities=tuple(_activity(each) for each in _listed(told.get("activities")) if isinstance(each, dict)),
            entities=tuple(each for each in _listed(told.get("entities")) if isinstance(each, dict)),
            formats=tuple(str(each) for each in _listed(told.get("formats"))),
        )
        with self._lock:
            self._world = world
            if world.entities and not self._told_entities:
                self._told_entities = True
                self._observe("entities", since, {"entities": list(world.entities)})
            for each in world.activities:
                self._seen(each, since, at, created=False)
        return world

    def entities(self) -> tuple[Mapping[str, Any], ...]:
        """The entities that the target has, each with its fields."""
        return self._known_world().entities

    def formats(self) -> tuple[str, ...]:
        """The names of the source data formats that the target has; none where it does not tell."""
        return self._known_world().formats

    def reset(self) -> None:
        """Back to the first state; the clock stays. Ask for the `world` afterwards."""
        self._needs("reset")
        since = self.times.earliest()
        self._call("POST", "/reset")
        with self._lock:
            self._world = None
            self._known.clear()
            self._observe("reset", since, {})

    # Time

    @property
    def times(self) -> TargetClock:
        """The target's clock, read first when nobody handed it in."""
        if self._times is None:
            with self._lock:
                if self._times is None:
                    self._times = self._read_times()
        return self._times

    def clock(self) -> ClockSays:
        """Read the target's clock; `times` learns from it."""
        says, reading = self._clock()
        times = self.times
        if isinstance(times, ManualTimes):
            times.read(says.now)
        elif isinstance(times, ScaledTimes):
            times.read(reading)
        return says

    def advance(self, seconds: float) -> datetime:
        """Move the target's clock, and return once all that fell due on the way has been started.

        Raises:
            NotAbleTo: its clock cannot be moved (`times.advance` would wait instead).
        """
        self._needs(ADVANCE_TIME)
        self.times.advance(seconds)
        return self.times.earliest()

    def _read_times(self) -> TargetClock:
        try:
            says, reading = self._clock()
        except ControlError as problem:
            # The clock is what a target is asked for first: whoever cannot tell it has no control plane, it seems.
            if problem.status is None:
                raise
            raise ControlError(f"{problem} {self._instead(problem.status)}", problem.status) from problem
        if says.kind == "manual":
            return ManualTimes(says.now, self._move)
        readings = [reading, *(self._clock()[1] for _ in range(READINGS_TAKEN - 1))]
        if says.kind == "system" and says.rate == 1.0:
            return SystemTimes(*readings, target=self.base_url, patience=self._patience)
        return ScaledTimes(says.rate, *readings, target=self.base_url, patience=self._patience)

    def _instead(self, status: int) -> str:
        place = f"{self._origin}{self._root}"
        if status in (401, 403):
            return f"The control plane at {place} wants its key: --control-key KEY, or POPRECEIPT_CONTROL_KEY."
        return (
            f"The server seems to offer no control plane at {place}. Without one it can be judged by its wire alone: "
            "describe it in popreceipt.toml, and name it as tenant:NAME."
        )

    def _clock(self) -> tuple[ClockSays, Reading]:
        before = stopwatch()
        told = self._object("GET", "/clock")
        reading = reading_of(told, before, stopwatch())
        if reading is None:
            said = f"GET {self._root}/clock answered {told!r}: `now` should be an instant in ISO 8601."
            raise ControlError(said, HTTPStatus.OK)
        kind, rate = told.get("kind"), told.get("rate")
        if kind not in ("manual", "scaled", "system"):
            said = f"GET {self._root}/clock answered {told!r}: `kind` should be manual, scaled or system."
            raise ControlError(said, HTTPStatus.OK)
        pace = float(rate) if isinstance(rate, (int, float)) and rate > 0 else 1.0
        return ClockSays(reading.now, kind, pace), reading

    def _move(self, seconds: float) -> datetime:
        self._needs(ADVANCE_TIME)
        told = self._object("POST", "/clock", {"advance_seconds": seconds})
        text = told.get("now")
        now = instant(text) if isinstance(text, str) else None
        if now is None:
            raise ControlError(f"POST {self._root}/clock answered {told!r}: `now` should be an instant in ISO 8601.")
        if self._journal is not None:
            moved(self._journal, now, seconds)
        return now

    # Recurring data jobs

    def create(self, **settings: Any) -> Activity:
        """A fresh recurring data job; `direction` is needed, whatever else is left out takes its default."""
        self._needs("create-activity")
        since = self.times.earliest()
        activity = _activity({**settings, **self._object("POST", "/activities", settings)})
        with self._lock:
            self._seen(activity, since, self.times.latest(), created=True)
        return activity

    def change(self, activity: str, **settings: Any) -> Activity:
        """Change settings of a recurring data job (its switches and recurrences)."""
        self._needs("change-activity")
        since = self.times.earliest()
        told = self._object("PATCH", f"/activities/{activity}", settings)
        with self._lock:
            known = dict(self._known.get(bare_guid(activity), {}))
            for name in RECURRENCES:
                # Whichever of its two forms is set, the other is no longer what it was.
                if name in settings or f"{name}_minutes" in settings:
                    known.pop(name, None)
                    known.pop(f"{name}_minutes", None)
            changed = _activity({"id": activity, **known, **settings, **told})
            self._seen(changed, since, self.times.latest(), created=False)
        return changed

    # Data projects

    def create_project(self, **settings: Any) -> dict[str, Any]:
        """A fresh data project; `direction` and `entities` are needed, whatever else is left out takes its default."""
        self._needs("projects")
        since = self.times.earliest()
        told = self._object("POST", "/projects", settings)
        return self._project({**settings, **told}, since, created=True)

    def project(self, project: str) -> dict[str, Any]:
        """A data project as it is now."""
        self._needs("projects")
        since = self.times.earliest()
        return self._project(self._object("GET", f"/projects/{project}"), since, created=False)

    def projects(self) -> list[dict[str, Any]]:
        """All data projects."""
        self._needs("projects")
        return _rows(self._call("GET", "/projects"), "projects")

    def change_project(self, project: str, **settings: Any) -> dict[str, Any]:
        """Change a data project (`name`, `description`, `entities`, `filter`): it counts from the next run on."""
        self._needs("projects")
        since = self.times.earliest()
        told = self._object("PATCH", f"/projects/{project}", settings)
        return self._project({"id": project, **settings, **told}, since, created=False)

    def _project(self, told: Mapping[str, Any], since: datetime, *, created: bool) -> dict[str, Any]:
        project = {**told, "id": bare_guid(str(told.get("id") or ""))}
        settings = {name: value for name, value in project.items() if name != "id"}
        self._observe("project", since, {"project": project["id"], "created": created, "settings": settings})
        return project

    # The back office

    def produce(self, activity: str, records: int) -> dict[str, Any]:
        """Run an export now, with so many fresh records.

        Returns:
            `messageId` (bare), `uploaded`, `records` and `sha256` (of the payload, None without an upload).
        """
        self._needs("produce")
        since = self.times.earliest()
        told = self._object("POST", f"/activities/{activity}/produce", {"records": records})
        digest = told.get("sha256")
        produced = {
            "messageId": bare_guid(str(told.get("messageId") or "")),
            "uploaded": told.get("uploaded") is True,
            "records": _whole(told.get("records"), records),
            "sha256": digest.lower() if isinstance(digest, str) and digest else None,
        }
        known = self._known.get(bare_guid(activity), {})
        prevention = known.get("prevent_upload_when_zero_records")
        facts = {"activity": bare_guid(activity), **produced, "prevent_upload_when_zero_records": prevention}
        self._observe("produced", since, facts)
        return produced

    def process(self, activity: str) -> int:
        """Run an import's batch now; how many messages the run took."""
        self._needs("process")
        since = self.times.earliest()
        told = self._object("POST", f"/activities/{activity}/process")
        processed = _whole(told.get("processed"), 0)
        self._observe("processed", since, {"activity": bare_guid(activity), "processed": processed})
        return processed

    def messages(self, activity: str) -> list[dict[str, Any]]:
        """The rows of Manage messages, oldest first."""
        self._needs("messages")
        since = self.times.earliest()
        rows = _rows(self._call("GET", f"/activities/{activity}/messages"), "messages", "rows")
        self._observe("messages", since, {"activity": bare_guid(activity), "rows": rows})
        return rows

    def records(self, activity: str, entity: str | None = None) -> list[dict[str, Any]]:
        """What the job's entity holds in its target table; of a project with several, the first unless one is named."""
        self._needs("records")
        since = self.times.earliest()
        query = f"?entity={quote(entity)}" if entity is not None else ""
        told = self._object("GET", f"/activities/{activity}/records{query}")
        records = [each for each in _listed(told.get("records")) if isinstance(each, dict)]
        facts = {"activity": bare_guid(activity), "entity": told.get("entity", entity), "records": records}
        self._observe("records", since, facts)
        return records

    def cleanup(self, activity: str, older_than_days: float = 0, statuses: Sequence[str] = ()) -> int:
        """Delete messages of at least this age (days since the enqueue) and of these statuses (all, if none)."""
        self._needs("cleanup")
        since = self.times.earliest()
        asked: dict[str, Any] = {"olderThanDays": older_than_days}
        if statuses:
            asked["statuses"] = list(statuses)
        told = self._object("POST", f"/activities/{activity}/cleanup", asked)
        deleted = _whole(told.get("deleted"), 0)
        facts = {
            "activity": bare_guid(activity),
            "olderThanDays": older_than_days,
            "statuses": list(statuses),
            "deleted": deleted,
        }
        self._observe("cleanup", since, facts)
        return deleted

    # Batch and monitoring

    def knows_recurrences(self) -> bool:
        """Whether the target's jobs have recurrences beyond plain minutes: it then tells a `processing_recurrence`."""
        return any("processing_recurrence" in each for each in self._known_world().activities)

    def batch(self, activity: str, action: str) -> None:
        """Do something with a job's batch history.

        Args:
            activity: the recurring data job.
            action: `get-status` to have the newest status of its batch jobs fetched into Manage messages (it is there
                a moment later), `delete-history` to delete the history's records.
        """
        self._needs("batch")
        since = self.times.earliest()
        self._call("POST", f"/activities/{activity}/batch", {"action": action})
        self._observe("batch", since, {"activity": bare_guid(activity), "action": action})

    def load(self, activity: str) -> list[dict[str, Any]]:
        """What the job's monitoring recurrence has sampled, oldest first."""
        self._needs("monitoring")
        since = self.times.earliest()
        samples = _rows(self._call("GET", f"/activities/{activity}/load"), "samples")
        self._observe("load", since, {"activity": bare_guid(activity), "samples": samples})
        return samples

    def parameters(self) -> dict[str, Any]:
        """The framework's parameters."""
        self._needs("parameters")
        since = self.times.earliest()
        told = self._object("GET", "/parameters")
        self._observe("parameters", since, told)
        return told

    def set_parameters(self, **parameters: Any) -> dict[str, Any]:
        """Change parameters of the framework, such as `skip_reprocessing`; all of them as they are then."""
        self._needs("parameters")
        since = self.times.earliest()
        told = {**parameters, **self._object("PATCH", "/parameters", parameters)}
        self._observe("parameters", since, told)
        return told

    # Planned faults

    def faults(self) -> list[dict[str, Any]]:
        """The faults that are planned, each with its `hits` so far."""
        self._needs("faults")
        return _rows(self._call("GET", "/faults"), "faults")

    def inject(
        self,
        operation: str,
        kind: str,
        *,
        activity: str | None = None,
        position: int = 1,
        times: int | None = 1,
        phase: str | None = None,
        status: int | None = None,
        retry_after: int | str | None = None,
        retry_after_form: str | None = None,
        after_bytes: int | None = None,
        seconds: float | None = None,
    ) -> dict[str, Any]:
        """Plan a fault for requests of an operation, or for messages; what is None is the target's choice.

        Args:
            operation: one of the journal's words, `*` for any request, or `processing`.
            kind: of a request status, reset, timeout, truncated or slow; of a message post-processing-failed, stuck, or
                dies (its batch job does, while the message is in process).
            activity: only requests (messages) of this recurring data job count.
            position: strikes the so-many-th of them, counted from now on, from 1.
            times: so many in a row; None for all that follow.
            phase: `before` for no effect, `after` for an effect whose answer is lost (dies: records that have landed).
            status: the answer's, with the kind status.
            retry_after: seconds or an HTTP date, with the kind status.
            retry_after_form: `date` writes seconds as the HTTP date that they lead to from the moment of the fault.
            after_bytes: how much of the body arrives, with the kind truncated.
            seconds: real ones, that a timeout keeps silent or a slow answer takes.

        Returns:
            The fault as the target lists it, with its `id` and `hits`.
        """
        self._needs("faults")
        since = self.times.earliest()
        asked = {
            "operation": operation,
            "kind": kind,
            "activity": activity,
            "phase": phase,
            "status": status,
            "retry_after": retry_after,
            "retry_after_form": retry_after_form,
            "after_bytes": after_bytes,
            "seconds": seconds,
        }
        plan = {name: value for name, value in asked.items() if value is not None}
        planned = self._object("POST", "/faults", {**plan, "position": position, "times": times})
        self._observe("fault-planned", since, {"planned": planned})
        return planned

    def clear_faults(self) -> None:
        """Take back every fault that is planned."""
        self._needs("faults")
        since = self.times.earliest()
        self._call("DELETE", "/faults")
        self._observe("faults-cleared", since, {})

    def journal_lines(self) -> list[bytes]:
        """The target's own journal so far, a line each, as it wrote them."""
        self._needs("journal")
        return [line for line in self._answer("GET", "/journal").body.split(b"\n") if line.strip()]

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Any other call below the control plane's root: its answer as JSON, None where it has no body."""
        return self._call(method, path, body)

    # Helpers, in the order they are used

    def _known_world(self) -> World:
        return self._world if self._world is not None else self.world()

    def _needs(self, ability: str) -> None:
        world = self._known_world()
        if ability not in world.abilities:
            raise NotAbleTo(world.name, ability, instead="a target that lists it, such as emulator:")

    def _seen(self, activity: Activity, since: datetime, at: datetime, *, created: bool) -> None:
        key = activity["id"]
        if not created and self._known.get(key) == activity:
            return
        self._known[key] = activity
        if self._journal is not None:
            settings = {name: value for name, value in activity.items() if name != "id"}
            observe(self._journal, "activity", since, at, {"activity": key, "created": created, "settings": settings})

    def _observe(self, kind: str, since: datetime, facts: Mapping[str, Any]) -> None:
        if self._journal is not None:
            observe(self._journal, kind, since, self.times.latest(), facts)

    def _object(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        told = self._call(method, path, body)
        if not isinstance(told, dict):
            said = f"{method} {self._root}{path} answered {told!r} where an object was wanted."
            raise ControlError(said, HTTPStatus.OK)
        return told

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        answer = self._answer(method, path, body)
        told = None
        if answer.body.strip():
            try:
                told = msgspec.json.decode(answer.body)
            except (msgspec.DecodeError, ValueError) as error:
                raise ControlError(
                    f"{method} {self._root}{path} answered {_excerpt(answer)}, which is no JSON ({error}).",
                    answer.status,
                ) from error
        self._tapes.add(Told(method, path, body, told))
        return told

    def _answer(self, method: str, path: str, body: Any = None) -> Answer:
        content = b"" if body is None else json.dumps(body).encode("utf-8")
        headers = list(self._headers)
        if content:
            headers.append(("content-type", "application/json"))
        if method != "GET":
            headers.append(("content-length", str(len(content))))
        answer = self._transport.exchange(
            method, self._origin, self._root + path, headers, content, self._timeout, most=None
        )
        if answer.failure is not None or answer.status is None:
            raise ControlError(
                f"{method} {self._origin}{self._root}{path} got no whole answer ({answer.failure}). "
                "Is the target running, and does it offer the control plane?"
            )
        if not 200 <= answer.status < 300:
            raise ControlError(
                f"{method} {self._root}{path} with {content.decode('utf-8') or 'no body'} "
                f"was answered {_excerpt(answer)}.",
                answer.status,
            )
        return answer


def _activity(told: Mapping[str, Any]) -> Activity:
    return {**told, "id": bare_guid(str(told.get("id") or ""))}


def _rows(told: Any, *names: str) -> list[dict[str, Any]]:
    # A list; a server that wraps it in an object is understood as well.
    if isinstance(told, dict):
        told = next((told[name] for name in names if isinstance(told.get(name), list)), None)
    return [each for each in _listed(told) if isinstance(each, dict)]


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _whole(value: object, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def _excerpt(answer: Answer) -> str:
    text = answer.body[:300].decode("utf-8", "replace").strip()
    return f"{answer.status} {text}" if text else str(answer.status)
