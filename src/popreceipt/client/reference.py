"""A whole middleware, right by all that is known: `python -m popreceipt.client.reference`.

It reads what `popreceipt middleware` puts into a subject's environment, pulls exports into the inbox, pushes the files
of the outbox, and writes what became of them into the report, until the scenario is over or somebody ends it. It is
`Consumer` and `Producer` with an environment around them, and shows how little that is.

For wrong versions of it, and others. `Reference` makes its parts by `connect`, `consume` and `produce`, whose classes
stand in `CONNECTION`, `CONSUMER` and `PRODUCER`; so a subclass puts in its own:

    class TooEarly(Consumer):
        def handle(self, handout):
            self.acknowledge(handout)
            super().handle(handout)

    class Wrong(Reference):
        CONSUMER = TooEarly

    sys.exit(main(Wrong))

Every decision is a method of one of the three that can be overridden; each class lists its own:

    Connection  headers (where the token goes), token, ask_for_token, places and place_of (from where to download),
                follows (redirects), retry_after, is_passing, persist (tries and pauses), exchange (one request)
    Consumer    dequeue, take, handle, on_no_file, is_known, fetch, is_whole, store, name_of, acknowledge,
                acknowledgment_of, idle
    Producer    files, hand_in, request, send, is_in_doubt, resends, is_refused, look_after, status_of, ends,
                execution_of, errors_of, pause_after, tell, write
    Patience    its numbers, by `Reference.patience`

Exit status: 0 when it has ended as it should, 2 where its environment is not complete, 1 for a fault of its own.
"""

import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Final

from popreceipt.client.connection import Connection, Credentials
from popreceipt.client.consumer import Consumer
from popreceipt.client.patience import HALF_HOUR, Patience, Watch
from popreceipt.client.producer import Producer
from popreceipt.exceptions import UsageError

GRACE: Final = 3.0
"""Seconds that what is being done is given once it is over. Nothing is lost where it is cut short."""

_log = logging.getLogger("popreceipt.client")


class Reference:
    """The middleware that an environment describes: an export side, an import side, or both.

    Args:
        environment: the variables, as in `os.environ`.

    Raises:
        UsageError: one of them is missing, or says nothing that can be used.
    """

    CONNECTION: ClassVar[type[Connection]] = Connection
    CONSUMER: ClassVar[type[Consumer]] = Consumer
    PRODUCER: ClassVar[type[Producer]] = Producer

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self.watch = Watch(self._number("SECONDS"))
        self.faults: list[BaseException] = []

    @cached_property
    def patience(self) -> Patience:
        """How long it waits for what: fitted to the lease and to the length of the scenario."""
        lease = self._number("LEASE_SECONDS")
        return Patience.fitted_to(HALF_HOUR if lease is None else lease, self._number("SECONDS"))

    @cached_property
    def connection(self) -> Connection:
        """The environment that both sides share."""
        return self.connect()

    def connect(self) -> Connection:
        """The environment, as the application that it was told to be."""
        ca_file = self.value("CA_FILE")
        return self.CONNECTION(
            self._needed("BASE_URL"),
            Credentials(
                token_url=self._needed("TOKEN_URL"),
                client_id=self._needed("CLIENT_ID"),
                client_secret=self._needed("CLIENT_SECRET"),
                resource=self.value("RESOURCE"),
            ),
            patience=self.patience,
            watch=self.watch,
            ca_file=None if ca_file is None else Path(ca_file),
        )

    def consume(self) -> Consumer | None:
        """The export side; None where there is no activity for it."""
        activity, inbox = self.value("EXPORT_ACTIVITY"), self.value("INBOX")
        if activity is None or inbox is None:
            return None
        is_package = self.value("EXPORT_TYPE") == "package"
        return self.CONSUMER(self.connection, activity, Path(inbox), is_package=True if is_package else None)

    def produce(self) -> Producer | None:
        """The import side; None where there is no activity for it."""
        activity, outbox = self.value("IMPORT_ACTIVITY"), self.value("OUTBOX")
        if activity is None or outbox is None:
            return None
        report = self.value("REPORT")
        return self.PRODUCER(
            self.connection,
            activity,
            Path(outbox),
            entity=None if self.value("IMPORT_TYPE") == "package" else self.value("ENTITY"),
            in_order=self.value("IN_ORDER") == "1",
            report=None if report is None else Path(report),
        )

    def run(self) -> int:
        """Run until it is over; the exit status.

        Raises:
            UsageError: the environment is not complete.
        """
        sides = [each for each in (self.consume(), self.produce()) if each is not None]
        if not sides:
            raise UsageError(
                "Nothing to do: neither POPRECEIPT_EXPORT_ACTIVITY with POPRECEIPT_INBOX "
                "nor POPRECEIPT_IMPORT_ACTIVITY with POPRECEIPT_OUTBOX is set."
            )
        threads = [threading.Thread(target=self._guarded, args=(side.run,), daemon=True) for side in sides]
        with _signals() as noted:
            for each in threads:
                each.start()
            for each in threads:
                while each.is_alive() and not noted:
                    each.join(0.1)
            self.watch.stop()
            ends = self.watch.now() + GRACE
            for each in threads:
                each.join(max(0.0, ends - self.watch.now()))
        return 1 if self.faults else 0

    def _guarded(self, run: Callable[[], None]) -> None:
        try:
            run()
        except BaseException as fault:  # noqa: BLE001 - told at the end, by the exit status as well
            _log.exception("A fault of its own.")
            self.faults.append(fault)
            self.watch.stop()

    def value(self, name: str) -> str | None:
        """A variable by its name without the prefix; None where it is not set or empty."""
        return self.environment.get(f"POPRECEIPT_{name}") or None

    def _needed(self, name: str) -> str:
        value = self.value(name)
        if value is None:
            raise UsageError(f"POPRECEIPT_{name} is not set. `popreceipt middleware` sets it for its subjects.")
        return value

    def _number(self, name: str) -> float | None:
        value = self.value(name)
        if value is None:
            return None
        try:
            return float(value)
        except ValueError:
            raise UsageError(f"POPRECEIPT_{name} is {value!r}, which is no number of seconds.") from None


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """Notes of the signals that want an end. A handler may do no more: it comes between any two steps."""
    noted: list[int] = []
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGBREAK") if hasattr(signal, name)]
    before = {number: signal.signal(number, lambda signalled, _: noted.append(signalled)) for number in numbers}
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def main(reference: type[Reference] = Reference) -> int:
    """Be a subject: run in this process's environment, and say with which status to end."""
    _log.setLevel(logging.INFO)
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(relativeCreated)6d ms  %(message)s"))
    _log.addHandler(handler)
    try:
        return reference(os.environ).run()
    except UsageError as problem:
        sys.stderr.write(f"{problem}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
