"""The connector as a test sees it: where it is, who may call, what is put into its queue, and what it knows.

It speaks to the emulator by its control plane alone, so that it is the same whether the emulator runs in this process
or beside it. Control calls are no exchanges: the journal has what the client under test did, and nothing of the test's.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from popreceipt.client.control import Control, World
from popreceipt.exceptions import NotAbleTo, UsageError
from popreceipt.journal import Entry, Header
from popreceipt.vocabulary import bare_guid

ROLES: Final[Mapping[str, str]] = {"export": "export-package", "import": "import-file"}
"""The shortest names of activities; the others are those of the first world."""

ENTITY: Final = "Customer groups"
"""The entity that every world has."""

Recorded = Callable[[], tuple[Header, Sequence[Entry]]]
"""Tells the journal so far: its header, and what happened since the test began."""


@dataclass(frozen=True, slots=True)
class Produced:
    """A run of an export.

    `message` is the message's ID as Manage messages shows it; `sha256` that of the payload that waits to be downloaded,
    None where nothing was uploaded.
    """

    message: str
    records: int
    uploaded: bool
    sha256: str | None


class ConnectorClock:
    """The connector's time. On a manual clock (the usual) it passes only by `advance`."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def now(self) -> datetime:
        """What time it is there, in UTC."""
        return self._control.clock().now

    def advance(self, step: timedelta | None = None, **parts: float) -> datetime:
        """Let its time pass, as in `advance(minutes=30)`; what falls due on the way happens, each thing at its instant.

        Args:
            step: how far; or its parts, as `timedelta` takes them.
            parts: days, hours, minutes, seconds, …

        Returns:
            what time it is then.

        Raises:
            UsageError: the clock cannot be moved, or the step is negative.
        """
        whole = (step if step is not None else timedelta()) + timedelta(**parts)
        if whole < timedelta(0):
            raise UsageError(f"A clock never goes back: asked to advance by {whole}.")
        try:
            return self._control.advance(whole.total_seconds())
        except NotAbleTo as error:
            raise UsageError(
                "Only a manual clock can be moved; the mark connector gave this test another: leave out clock=…"
            ) from error


class ConnectorFaults:
    """What goes wrong on purpose, by operation and position, never by chance. Iterate it for the plan with its hits."""

    def __init__(self, control: Control, find: Callable[[str], str]) -> None:
        self._control = control
        self._find = find

    def add(
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
        after_bytes: int | None = None,
        seconds: float | None = None,
    ) -> None:
        """Plan a fault.

        Args:
            operation: token, enqueue, dequeue, download, ack, message-status, execution-id, execution-errors,
                jobstatus, `*` for any request, or processing (of an import's message).
            kind: of a request `status`, `reset`, `timeout`, `truncated` or `slow`; of a message
                `post-processing-failed`, `stuck` or `dies`.
            activity: only requests for this one count: `export`, `import`, another role, or an ID.
            position: strikes the so-many-th of them, counted from now on.
            times: so many in a row; None for all that follow.
            phase: `before` it takes effect, or `after`: then the effect is there and the answer is lost.
            status: the answer's, with the kind `status`; 500 unless told.
            retry_after: seconds or an HTTP date, with the kind `status`.
            after_bytes: how much of the body arrives, with the kind `truncated`; half of it unless told.
            seconds: real ones that a `timeout` keeps silent or a `slow` answer takes.

        Raises:
            ControlError: a fault that could never do what it says; the error tells why.
        """
        self._control.inject(
            operation,
            kind,
            activity=None if activity is None else self._find(activity),
            position=position,
            times=times,
            phase=phase,
            status=status,
            retry_after=retry_after,
            after_bytes=after_bytes,
            seconds=seconds,
        )

    def clear(self) -> None:
        """Take back every fault that is planned."""
        self._control.clear_faults()

    @property
    def hits(self) -> int:
        """How often one of the planned faults has struck."""
        return sum(int(each.get("hits", 0)) for each in self)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._control.faults())


@dataclass(frozen=True)
class Connector:
    """An emulated connector that belongs to one test.

    `base_url`, `token_url` (v2.0), `token_url_v1`, `resource`, `tenant`, `client_id` and `client_secret` are what a
    client needs; `activities` are the recurring data jobs' IDs by role: `export` and `import`, and all of the first
    world by their names (`export-file`, `export-no-zero`, `import-in-order`, …). `ca_file` is there with TLS.
    """

    base_url: str
    control: Control = field(repr=False)
    recorded: Recorded = field(repr=False)
    world: World = field(repr=False)
    ca_file: Path | None = None
    lease: timedelta = timedelta(minutes=30)

    @property
    def token_url(self) -> str:
        """The v2.0 token endpoint."""
        return self._told("token_url")

    @property
    def token_url_v1(self) -> str:
        """The first version of the token endpoint, which asks for `resource` rather than `scope`."""
        return self._told("token_url_v1")

    @property
    def resource(self) -> str:
        """What a token has to be for: the environment."""
        return self._told("resource")

    @property
    def tenant(self) -> str:
        """The tenant's ID."""
        return self._told("tenant")

    @property
    def client_id(self) -> str:
        """The application that every activity's policy lists."""
        return str(self._client("authorised")["client_id"])

    @property
    def client_secret(self) -> str:
        """Its secret."""
        return str(self._client("authorised")["client_secret"])

    @property
    def activities(self) -> Mapping[str, str]:
        """The recurring data jobs' IDs by role."""
        named = {str(each["name"]): str(each["id"]) for each in self.world.activities}
        return {**{role: named[name] for role, name in ROLES.items()}, **named}

    @property
    def clock(self) -> ConnectorClock:
        """Its time."""
        return ConnectorClock(self.control)

    @property
    def faults(self) -> ConnectorFaults:
        """What goes wrong on purpose."""
        return ConnectorFaults(self.control, self.activity)

    def activity(self, name: str) -> str:
        """The ID of an activity by its role; an ID is taken as it is.

        Raises:
            UsageError: there is no such role.
        """
        known = self.activities
        if name in known:
            return known[name]
        if name.count("-") == 4 and len(bare_guid(name)) == 36:
            return bare_guid(name)
        raise UsageError(f"No activity has the role {name!r}. Roles: {', '.join(known)}; or an activity's ID.")

    def produce(self, records: int = 3, activity: str = "export") -> Produced:
        """Let an export run now, with so many records: its message then waits to be dequeued.

        Args:
            records: how many; the content is made up, and no two payloads are the same.
            activity: by role or ID.
        """
        told = self.control.produce(self.activity(activity), records)
        return Produced(told["messageId"], told["records"], told["uploaded"], told["sha256"])

    def process(self, activity: str = "import") -> int:
        """Let an import's batch run now; how many messages it took. Processing takes some seconds of the clock."""
        return self.control.process(self.activity(activity))

    def messages(self, activity: str = "export") -> list[dict[str, Any]]:
        """The rows of Manage messages, oldest first: `MessageId`, `Status`, `AckDateTime` and so on."""
        return self.control.messages(self.activity(activity))

    def records(self, activity: str = "import") -> list[dict[str, Any]]:
        """What an import's entity holds in its target table."""
        return self.control.records(self.activity(activity))

    def create(self, direction: str, **settings: Any) -> str:
        """A further activity, as the control plane makes them (`type`, `in_order`, `entity`, …); its ID."""
        return str(self.control.create(direction=direction, **settings)["id"])

    def environment(self) -> dict[str, str]:
        """What a client in a process of its own needs, as `popreceipt middleware` would give it to a subject.

        To be put over the rest: `subprocess.run([…], env=os.environ | connector.environment())`.
        """
        kinds = {str(each["id"]): str(each["type"]) for each in self.world.activities}
        told = {
            "BASE_URL": self.base_url,
            "TOKEN_URL": self.token_url,
            "TOKEN_URL_V1": self.token_url_v1,
            "RESOURCE": self.resource,
            "TENANT": self.tenant,
            "CLIENT_ID": self.client_id,
            "CLIENT_SECRET": self.client_secret,
            "EXPORT_ACTIVITY": self.activities["export"],
            "IMPORT_ACTIVITY": self.activities["import"],
            "EXPORT_TYPE": kinds[self.activities["export"]],
            "IMPORT_TYPE": kinds[self.activities["import"]],
            "IN_ORDER": "0",
            "ENTITY": ENTITY,
        }
        if self.ca_file is not None:
            told["CA_FILE"] = str(self.ca_file)
        rate = self.control.times.rate
        if rate:  # On a clock that only the test moves no real second is a part of the lease.
            told["LEASE_SECONDS"] = f"{self.lease.total_seconds() / rate:g}"
        return {f"POPRECEIPT_{name}": value for name, value in told.items()}

    def _told(self, name: str) -> str:
        return str(self.world.identity[name])

    def _client(self, role: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.world.identity["clients"][role]
        return found
