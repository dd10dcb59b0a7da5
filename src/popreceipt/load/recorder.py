"""A worker's journal: every exchange of its own, written line by line as journals are, and to the disk off the way.

A line is made when its exchange ends, as a spooled journal makes it; then it waits in memory until somebody takes what
waits and puts it into the file, which may be done in another thread. When the disk takes no more, the file keeps what
is whole, without a footer, and nothing further is taken down: whoever drives has to stop then. No Locust here.
"""

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Unpack

from popreceipt.client.recording import without_repeated
from popreceipt.exceptions import NothingProved, PopreceiptError
from popreceipt.journal import Exchange, Header, Recorded, SpooledJournal, header_line

WAITING_AT_MOST: Final = 64 * 1024 * 1024
"""Bytes that may wait for a disk that is slower than the load; more than that is as bad as a full one."""


class NotWritten(PopreceiptError):
    """A journal cannot be written: what is whole is kept, and the run proves nothing."""

    exit_status = NothingProved.exit_status


class Recorder(SpooledJournal):
    """A journal in a file of its own, which only its owner may read.

    `problem` is why nothing is taken down any more, in words; None while all is well.

    Args:
        header: its first line.
        path: the file; one that is there is begun anew.

    Raises:
        NotWritten: the file cannot be opened.
    """

    def __init__(self, header: Header, path: Path) -> None:
        super().__init__(header, io.BytesIO(), at_once=False)
        self.path = path
        self.problem: str | None = None
        self._waiting: list[bytes] = []
        self._bytes = 0
        try:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o600)
        except OSError as error:
            raise NotWritten(f"The journal {path} cannot be written ({error.strerror or error}).") from error
        self._whole = 0
        self._write(header_line(header))

    def record_soon(self, **exchange: Unpack[Recorded]) -> int:
        """Take down one exchange. Its line is made at once: several at a time would hold up what is due then."""
        number = super().record_soon(**without_repeated(exchange))
        self.catch_up()
        return number

    def record(self, **exchange: Unpack[Recorded]) -> Exchange:
        """Take down one exchange."""
        return super().record(**without_repeated(exchange))

    def take(self) -> bytes:
        """What waits for the file. To be called where exchanges are recorded, and `put` afterwards."""
        waiting, self._waiting, self._bytes = self._waiting, [], 0
        return b"".join(waiting)

    def put(self, taken: bytes) -> bool:
        """Write what was taken; whether all is well. From any thread, but one after the other."""
        written = 0
        try:
            while self.problem is None and written < len(taken):
                written += os.write(self._descriptor, taken[written:] if written else taken)
        except OSError as error:
            self.problem = f"The journal {self.path} could not be written ({error.strerror or error})."
        if written == len(taken):
            self._whole += written
        else:
            self._whole += taken.rfind(b"\n", 0, written) + 1
            with contextlib.suppress(OSError):  # A file that cannot be cut either ends in half a line.
                os.ftruncate(self._descriptor, self._whole)
        return self.problem is None

    def flush(self) -> bool:
        """Put what waits into the file; whether all is well."""
        return self.put(self.take())

    def seal(self) -> None:
        """Write the footer and close the file.

        Raises:
            NotWritten: something is missing; then there is no footer.
        """
        super().seal()
        self.close()
        if self.problem is not None:
            raise NotWritten(self.problem)

    def close(self) -> None:
        """Write what waits and close the file, without a footer unless it was sealed."""
        self.catch_up()
        self.flush()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def lines(self) -> Iterator[bytes]:
        """The lines of the file so far."""
        self.catch_up()
        self.flush()
        yield from self.path.read_bytes().splitlines()

    def _write(self, line: bytes) -> None:
        if self.problem is not None:
            return
        self._waiting.append(line + b"\n")
        self._bytes += len(line) + 1
        if self._bytes > WAITING_AT_MOST:
            self.problem = f"The journal {self.path} could not be written (the disk is slower than the load)."
            self._waiting.clear()
