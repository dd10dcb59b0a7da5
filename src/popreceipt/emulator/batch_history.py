"""Batch history: a record for each run of a batch job over a message, and what Manage messages shows of it.

The records change as the jobs go on; a row shows what was fetched last ("Viewing the status of the batch job for a
recurring data job"). Nothing but that column depends on a record, so that a deleted history changes nothing else.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from popreceipt.emulator.agenda import Agenda
from popreceipt.emulator.guids import Guids
from popreceipt.emulator.message import Message
from popreceipt.emulator.profile import Profile
from popreceipt.emulator.store import BatchRun, Store

# Names of the batch framework's own enumeration, as the XppTools reference of BatchStatus has them. Those that a
# person's hand brings about (Hold, Cancelling, Canceled), and those of jobs within jobs, do not come up here.
WAITING: Final = "Waiting"
EXECUTING: Final = "Executing"
FINISHED: Final = "Finished"
ERROR: Final = "Error"

PAGE: Final = 10_000
"""So many rows are read at once."""

FETCHED: Final = "batch-status-fetched"
"""The moment at which the status that was asked for has come. The subject is an activity."""


class BatchHistory:
    """The batch history of all activities. Messages are given back as they are then; who calls puts them."""

    def __init__(self, store: Store, profile: Profile, agenda: Agenda, guids: Guids) -> None:
        self._store = store
        self._profile = profile
        self._agenda = agenda
        self._guids = guids
        agenda.on(FETCHED, self._fetched)

    def opened(self, message: Message, status: str, now: datetime) -> Message:
        """The message with a new record of its own: the batch job waits for it, works on it, or is done with it."""
        run = BatchRun(
            id=self._guids.new(),
            activity=message.activity,
            message=message.id,
            status=status,
            started=now,
            ended=now if status in {FINISHED, ERROR} else None,
        )
        self._store.put_run(run)
        return self._shown(msgspec.structs.replace(message, batch_run=run.id), status)

    def started(self, message: Message, now: datetime) -> Message:
        """The message once the batch job works on it, whether it was waiting or is only now taken."""
        run = self._run_of(message)
        if run is None or run.status != WAITING:
            return self.opened(message, EXECUTING, now)
        self._store.put_run(msgspec.structs.replace(run, status=EXECUTING, started=now))
        return self._shown(message, EXECUTING)

    def ended(self, message: Message, status: str, now: datetime) -> Message:
        """The message once the batch job is done with it. A record that was deleted meanwhile does not come back."""
        run = self._run_of(message)
        if run is None:
            return message
        self._store.put_run(msgspec.structs.replace(run, status=status, ended=now))
        return self._shown(message, status)

    def fetch(self, activity: str, now: datetime) -> None:
        """Ask for the newest statuses ("Get batch status"): the rows have them a moment later."""
        self._agenda.at(now + self._profile.batch_fetch, FETCHED, activity)

    def delete(self, activity: str) -> None:
        """Delete an activity's batch history; rows show what they showed until the next fetch."""
        self._store.delete_runs(activity)

    def _fetched(self, activity: str, _: datetime) -> None:
        if self._store.activity(activity) is None:
            return
        last = 0
        while page := self._store.messages_of(activity, last, PAGE):
            self._show_newest(page)
            last = page[-1].number

    def _show_newest(self, rows: Sequence[Message]) -> None:
        known = [row.batch_run for row in rows if row.batch_run is not None]
        newest = {run.id: run.status for run in self._store.runs(known)}
        for row in rows:
            status = newest.get(row.batch_run or "")
            if row.batch_status == status:
                continue
            message = self._store.message(row.id)  # As it is now: another process may have changed it.
            if message is not None:
                self._store.put_message(msgspec.structs.replace(message, batch_status=status))

    def _run_of(self, message: Message) -> BatchRun | None:
        return None if message.batch_run is None else self._store.run(message.batch_run)

    def _shown(self, message: Message, status: str) -> Message:
        """The message as its row shows it where nobody has to fetch."""
        if self._profile.batch_status_before_fetch == "blank":
            return message
        return msgspec.structs.replace(message, batch_status=status)
