"""The journals of a run's processes as one, in the order in which requests were sent.

Each process writes down an exchange when it is answered, so its lines are not in order of their sending, and a slow
answer may stand far behind. Therefore every line is looked at once for its instant, and is then fetched in order:
what is kept of a line in between is a few numbers. Nothing is judged here.
"""

import mmap
import re
from array import array
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec

from popreceipt.exceptions import NothingProved, UsageError
from popreceipt.journal import FORMAT, Exchange, Header, entry_line, header_line

SETUP: Final = "journal-setup.ndjson"
"""What whoever began the run wrote down: jobs, tokens, and in the end what Manage messages said."""

PARTS: Final = "journal-*.ndjson"

MERGED: Final = "journal.ndjson"

TOLD_EVERY: Final = 20_000
"""After so many lines somebody is told how far it is."""

Progress = Callable[[int, int], None]
"""Called with how many lines are done, and of how many (0 while that is not known)."""


class _Instants(msgspec.Struct, gc=False):
    """As much of a line as its place among the others takes."""

    seq: int | None = None
    sent: datetime | None = None
    answered: datetime | None = None
    observation: str | None = None
    at: datetime | None = None
    clock: datetime | None = None
    footer: bool = False
    lines: int = 0


_look = msgspec.json.Decoder(_Instants).decode
_whole = msgspec.json.Decoder(Exchange).decode
_NUMBER: Final = re.compile(rb'\{"seq":\d+,')


@dataclass(slots=True)
class Part:
    """The journal of one process.

    Args:
        path: where it is.
        header: its first line.
        exchanges: how many it has.
        damage: in words, why it is not complete; None for one that is.
        last: when the last of what it tells was over.
        widened: how far the process's own idea of the target's time may be off from that of whoever began the run.
    """

    path: Path
    header: Header
    exchanges: int = 0
    damage: str | None = None
    last: datetime | None = None
    widened: timedelta = timedelta(0)

    @property
    def worker(self) -> str:
        """The name of the process."""
        return self.path.stem.removeprefix("journal-")


@dataclass(slots=True)
class Merged:
    """The journal of a whole run.

    Args:
        path: where it is.
        parts: the journals that it was made of.
        blank: those that could not be, for they have not even a first line.
        exchanges: how many it has.
    """

    path: Path
    parts: list[Part] = field(default_factory=list)
    blank: list[Path] = field(default_factory=list)
    exchanges: int = 0

    @property
    def damage(self) -> tuple[str, ...]:
        """In words, which journal is not complete, and why."""
        return (
            *(f"{each.path.name}: {each.damage}" for each in self.parts if each.damage is not None),
            *(f"{each.name}: it has no first line" for each in self.blank),
        )

    @property
    def whole_until(self) -> datetime | None:
        """When a process may have been answered for the first time without its standing here.

        None where all is here; the beginning of time where nobody knows.
        """
        if self.blank:
            return _EPOCH
        return min((each.last or _EPOCH for each in self.parts if each.damage is not None), default=None)


def merge(folder: Path, *, name: str | None = None, progress: Progress | None = None) -> Merged:
    """Make the journal of a run's folder from those of its processes.

    It is complete (has a footer) only where each of them is. The processes' own journals stay.

    Args:
        folder: the run's.
        name: of the target, where whoever began the run knows it by another one.
        progress: told how far it is.

    Raises:
        UsageError: there is none, or one is no journal.
        NothingProved: it cannot be written.
    """
    paths = sorted(folder.glob(PARTS), key=lambda each: (each.name != SETUP, each.name))
    if not paths:
        raise UsageError(f"{folder} holds no journals of a load run ({PARTS}).")
    with ExitStack() as closing:
        lines = _Lines()
        taken = {path: lines.take(path, closing, progress) for path in paths}
        parts = [part for part in taken.values() if part is not None]
        if not parts:
            raise NothingProved(f"Not one journal in {folder} has so much as its first line: nothing was written down.")
        blank = [path for path, part in taken.items() if part is None]
        merged = Merged(folder / MERGED, parts, blank, sum(each.exchanges for each in parts))
        for part in parts[1:]:
            part.widened = _apart(parts[0].header, part.header)
        _write(merged, _header(parts, name), lines, progress)
    return merged


def _header(parts: list[Part], name: str | None) -> Header:
    first = parts[0].header
    target = first.target if name is None else msgspec.structs.replace(first.target, name=name)
    error = max(each.header.clock_error_seconds for each in parts)
    return msgspec.structs.replace(first, target=target, concurrent=True, clock_error_seconds=error)


def _apart(first: Header, other: Header) -> timedelta:
    """How far two processes' ideas of the target's time may lie apart: not at all where they share one."""
    if first.clock_error_seconds == other.clock_error_seconds:
        return timedelta(0)
    return timedelta(seconds=first.clock_error_seconds + other.clock_error_seconds)


class _Lines:
    """Where each line of some journals is, and when it happened."""

    def __init__(self) -> None:
        self._parts: list[tuple[Part, mmap.mmap]] = []
        self._instants = array("q")  # microseconds, doubled; an observation goes before an exchange of the same one
        self._starts = array("q")
        self._lengths = array("l")
        self._of_part = array("h")
        self.count = 0

    def take(self, path: Path, closing: ExitStack, progress: Progress | None) -> Part | None:
        """Look at every line of a journal; None for one that was cut off before its first line was whole."""
        try:
            file = closing.enter_context(path.open("rb"))
            first = file.readline()
            if not first.endswith(b"\n"):
                return None
            content = closing.enter_context(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        except OSError as error:
            raise UsageError(f"Cannot read the journal {path}: {error.strerror or error}.") from error
        part = Part(path, _header_of(first, path))
        number = len(self._parts)
        self._parts.append((part, content))
        content.seek(len(first))
        count, footer = 1, False
        while line := content.readline():
            if not line.strip():
                continue
            count += 1
            seen = _seen(line)
            if footer:
                part.damage = f"line {count} stands after the footer"
                return part
            if seen is None:
                part.damage = f"line {count} is cut off or damaged; what stands before it counts"
                return part
            if seen.footer:
                footer = seen.lines == count
                if not footer:
                    part.damage = f"the footer counts {seen.lines} lines, the file has {count}"
                    return part
                continue
            at = seen.sent or seen.at or seen.clock
            if at is None:
                part.damage = f"line {count} is neither an exchange, a clock movement, an observation nor a footer"
                return part
            part.exchanges += seen.seq is not None
            over = _zoned(seen.answered or at)
            part.last = over if part.last is None else max(part.last, over)
            self._instants.append(2 * _microseconds(at) + (seen.seq is not None))
            self._starts.append(content.tell() - len(line))
            self._lengths.append(len(line))
            self._of_part.append(number)
            self.count += 1
            if progress is not None and self.count % TOLD_EVERY == 0:
                progress(self.count, 0)
        if not footer:
            part.damage = f"it ends after {count} lines without a footer"
        return part

    def in_order(self) -> Iterator[tuple[Part, bool, bytes]]:
        """Each line in the order of their instants: the part that it stands in, whether it is an exchange, its text."""
        for place in sorted(range(self.count), key=self._instants.__getitem__):
            part, content = self._parts[self._of_part[place]]
            start = self._starts[place]
            text = content[start : start + self._lengths[place]].rstrip(b"\r\n")
            yield part, bool(self._instants[place] & 1), text


def _write(merged: Merged, header: Header, lines: _Lines, progress: Progress | None) -> None:
    """Write the journal beside its place and put it there when it is whole."""
    beside = merged.path.with_name(f".{merged.path.name}")
    number = 0
    try:
        with beside.open("wb", buffering=1 << 20) as file:
            file.write(header_line(header) + b"\n")
            for done, (part, is_exchange, line) in enumerate(lines.in_order(), 1):
                number += is_exchange
                file.write(_renumbered(line, number, part.widened) if is_exchange else line)
                file.write(b"\n")
                if progress is not None and done % TOLD_EVERY == 0:
                    progress(done, lines.count)
            if not merged.damage:
                file.write(msgspec.json.encode({"footer": True, "lines": lines.count + 2}) + b"\n")
        beside.replace(merged.path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise NothingProved(
            f"The journals in {merged.path.parent} could not be put together there ({error.strerror or error}): make "
            f"room, then judge them: popreceipt load --judge {merged.path.parent}"
        ) from error


def _renumbered(line: bytes, number: int, widened: timedelta) -> bytes:
    found = _NUMBER.match(line)
    if found is not None and not widened:
        return b'{"seq":%d,%b' % (number, line[found.end() :])
    exchange = _whole(line)
    return entry_line(
        msgspec.structs.replace(
            exchange, seq=number, sent=exchange.sent - widened, answered=exchange.answered + widened
        )
    )


def _seen(line: bytes) -> _Instants | None:
    try:
        return _look(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _header_of(line: bytes, path: Path) -> Header:
    try:
        header = msgspec.json.decode(line, type=Header)
    except msgspec.MsgspecError as error:
        raise UsageError(f"{path} is not a journal: its first line should be a header ({error}).") from error
    if header.format != FORMAT:
        raise UsageError(f"{path} is a journal of format {header.format!r}; this version reads {FORMAT!r}.")
    return header


def _microseconds(at: datetime) -> int:
    return (_zoned(at) - _EPOCH) // _MICROSECOND


def _zoned(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
