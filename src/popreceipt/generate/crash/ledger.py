"""What clients were told with a success, kept beside the journal: a second witness who knows no rules.

Only certain things stand in it. What was in doubt when the server died may have happened or not.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from popreceipt.journal import instant
from popreceipt.vocabulary import ACKED

Rows = Mapping[str, Sequence[Mapping[str, Any]]]
"""Rows of Manage messages by the activity that they belong to."""

_INSTANTS = ("EnqueueDateTime", "LastDequeueDateTime", "LastDownloadDateTime", "AckDateTime")


class Ledger:
    """Promises that were made to the clients of one round. Safe to write from several threads."""

    def __init__(self) -> None:
        self._writing = threading.Lock()
        self._messages: dict[str, str] = {}
        self._of_payload: dict[str, str] = {}
        self._acknowledged: set[str] = set()
        self._receipts: set[tuple[str, str]] = set()
        self.deliveries = 0
        self._twice: list[str] = []

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def acknowledged(self) -> int:
        """How many messages are known to be acknowledged."""
        return len(self._acknowledged)

    def enqueued(self, activity: str, message: str) -> None:
        """An upload was answered with this message ID."""
        with self._writing:
            if message in self._messages:
                self._twice.append(f"the message ID {message} was given out twice")
            self._messages[message] = activity

    def produced(self, activity: str, message: str, sha256: str | None) -> None:
        """An export run left this message, with a file of this digest."""
        self.enqueued(activity, message)
        if sha256 is not None:
            with self._writing:
                self._of_payload[sha256] = message

    def delivered(self, correlation: str, receipt: str) -> None:
        """A dequeue handed this out."""
        with self._writing:
            self.deliveries += 1
            if (correlation, receipt) in self._receipts:
                self._twice.append(f"the receipt {receipt} of {correlation} was given out twice")
            self._receipts.add((correlation, receipt))

    def acknowledge(self, sha256: str) -> None:
        """The acknowledgment of the message with this file was accepted."""
        with self._writing:
            message = self._of_payload.get(sha256)
            if message is not None:
                self._acknowledged.add(message)

    def broken(self, rows: Rows, now: datetime) -> Iterator[str]:
        """Each promise that these rows break, in words; `now` is what the server's clock says after they were made."""
        with self._writing:
            yield from self._twice
            status = {str(row["MessageId"]): (activity, row["Status"]) for activity in rows for row in rows[activity]}
            for message, activity in self._messages.items():
                found = status.get(message)
                if found is None:
                    yield f"message {message} was answered with a success and is gone"
                elif found[0] != activity:
                    yield f"message {message} belongs to {found[0]} now, not to {activity}"
                elif message in self._acknowledged and found[1] != ACKED:
                    yield f"message {message} was acknowledged and is {found[1]} now"
        for activity in rows:
            for row in rows[activity]:
                later = [name for name in _INSTANTS if row[name] is not None and instant(row[name]) > now]
                if later:
                    yield f"{later[0]} of message {row['MessageId']} is {row[later[0]]}, and it is {now} now"
