"""What a tour has done, on disk: under which terms it was begun, and each step of each errand before and after it.

A request has two lines: one before it goes out, one once it is known what became of it; the answer itself stands in
the journal. So whoever finds the file after a process was killed knows what was done for certain and what is in
doubt. Nothing of a token or a secret enters. It does not know what errands do.
"""

import contextlib
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, Self

import msgspec

from popreceipt.exceptions import UsageError

FORMAT: Final = "popreceipt/ledger@1"

NAME: Final = "ledger.ndjson"


class Terms(msgspec.Struct, frozen=True, tag="terms", tag_field="entry", kw_only=True):
    """Under what a tour was begun; it is gone on with under the same.

    Args:
        target: the target string.
        base_url: where that was.
        activities: the recurring data jobs by role.
        seed: of everything that is made up.
        version: of popreceipt.
        rate: seconds of the target's clock to a real one.
        began: when, by the target's clock.
        rules: the rules that were asked for; none for all.
        assisted: a person was there.
    """

    target: str
    base_url: str
    activities: dict[str, str]
    seed: int
    version: str
    rate: float
    began: datetime
    rules: tuple[str, ...] = ()
    assisted: bool = False
    format: str = FORMAT


class Began(msgspec.Struct, frozen=True, tag="began", tag_field="entry"):
    """An errand is run from its start; the attempts before this one count no longer."""

    errand: str
    attempt: int
    at: datetime


class Intent(msgspec.Struct, frozen=True, tag="intent", tag_field="entry"):
    """A request is about to go out.

    `at` is the target's time then, `wall` this computer's; `seq` the number that its exchange will have; `given` that
    it carries a token of the errand's own; `body` the SHA-256 of what it carries.
    """

    errand: str
    line: str
    method: str
    target: str
    actor: str
    given: bool
    body: str
    seq: int
    at: datetime
    wall: datetime


class Done(msgspec.Struct, frozen=True, tag="done", tag_field="entry"):
    """What became of the request before is in the journal, under this number.

    `altered` where the journal does not hold the answer's words as they came: a secret was in them.
    """

    errand: str
    seq: int
    altered: bool = False


class Refused(msgspec.Struct, frozen=True, tag="refused", tag_field="entry"):
    """The request before was not sent; `final` where it never will be."""

    errand: str
    why: str
    final: bool = True


class Token(msgspec.Struct, frozen=True, tag="token", tag_field="entry"):
    """The errand was handed a token, which is written nowhere."""

    errand: str
    actor: str


class Assisted(msgspec.Struct, frozen=True, tag="assisted", tag_field="entry"):
    """A person was asked to do something, and has done it or not."""

    errand: str
    done: bool
    at: datetime


class Ended(msgspec.Struct, frozen=True, tag="ended", tag_field="entry"):
    """The errand is over: `done`, `stopped` or `failed`, and why where it did not come to its end."""

    errand: str
    how: str
    why: str = ""


Step = Intent | Done | Refused | Token | Assisted
Entry = Began | Step | Ended

_encode = msgspec.json.Encoder().encode
_decode_terms = msgspec.json.Decoder(Terms).decode
_entries: msgspec.json.Decoder[Entry] = msgspec.json.Decoder(Entry)


@dataclass
class Book:
    """What the ledger holds of one errand: the steps of its newest attempt, and how it ended."""

    attempt: int = 1
    began: datetime | None = None
    steps: list[Step] = field(default_factory=list)
    ended: Ended | None = None


class Ledger:
    """The ledger of one tour; without a folder it is kept in memory and ends with the process.

    Args:
        terms: its first line.
        file: the file, open for writing, unbuffered; None for none.
        durable: let every line reach the disk before going on, so that a loss of power loses nothing either.

    Attributes:
        books: what is known of each errand.
        last: the last request that was about to go out.
        asked: how many requests went out under each line, in all attempts and processes.
        cut: an earlier process was cut off in the midst of a line.
    """

    def __init__(self, terms: Terms, file: "LineFile | None" = None, *, durable: bool = True) -> None:
        self.terms = terms
        self.books: dict[str, Book] = {}
        self.last: Intent | None = None
        self.asked: Counter[str] = Counter()
        self.cut = False
        self._file = file
        self._durable = durable

    @classmethod
    def begun(cls, terms: Terms, folder: Path | None, *, durable: bool = True) -> Self:
        """A new ledger, in a folder that is there."""
        made = cls(terms, None if folder is None else LineFile(folder / NAME, 0), durable=durable)
        made._write(terms)
        return made

    @classmethod
    def taken_up(cls, folder: Path, *, durable: bool = True) -> Self:
        """The ledger that an earlier process left in a folder. A last line that was cut off is dropped.

        Raises:
            UsageError: there is none, or it is damaged.
        """
        path = folder / NAME
        found = _read(path)
        made = cls(found[0], LineFile(path, found[2]), durable=durable)
        made._take_in(found)
        return made

    @classmethod
    def found_in(cls, folder: Path) -> Self:
        """The same to be looked at: nothing can be added to the file.

        Raises:
            UsageError: there is none, or it is damaged.
        """
        found = _read(folder / NAME)
        made = cls(found[0])
        made._take_in(found)
        return made

    def book(self, errand: str) -> Book:
        """What is known of an errand."""
        return self.books.setdefault(errand, Book())

    def write(self, entry: Entry) -> None:
        """Add an entry.

        Raises:
            CannotKeep: it cannot be written.
        """
        self._write(entry)
        self._keep(entry)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _take_in(self, found: "_Read") -> None:
        _, entries, _, self.cut = found
        for each in entries:
            self._keep(each)

    def _write(self, entry: Terms | Entry) -> None:
        if self._file is not None:
            self._file.append(_encode(entry), durable=self._durable)

    def _keep(self, entry: Entry) -> None:
        book = self.book(entry.errand)
        if isinstance(entry, Began):
            book.attempt, book.began, book.steps, book.ended = entry.attempt, entry.at, [], None
        elif isinstance(entry, Ended):
            book.ended = entry
        else:
            book.steps.append(entry)
            if isinstance(entry, Intent):
                self.last = entry
                self.asked[entry.line] += 1
            elif isinstance(entry, Refused) and self.last is not None:
                self.asked[self.last.line] -= 1


def terms_in(folder: Path) -> Terms | None:
    """The terms of the tour whose ledger stands in a folder; None where there is none.

    Raises:
        UsageError: a file of that name is something else.
    """
    path = folder / NAME
    if not path.exists() or _is_barely_begun(path):
        return None
    return _read(path)[0]


def _is_barely_begun(path: Path) -> bool:
    """Whether a process was killed before the first line was whole: then nothing was sent."""
    try:
        with path.open("rb") as file:
            first = file.readline()
    except OSError as error:
        raise UsageError(f"Cannot read the ledger {path}: {error.strerror or error}.") from error
    return not first.endswith(b"\n") and _BEGINS.startswith(first[: len(_BEGINS)])


_BEGINS: Final = b'{"entry":"terms"'


def unfinished(folder: Path) -> bool:
    """Whether the tour in this folder has errands that began and did not end."""
    books = Ledger.found_in(folder).books.values()
    return any(each.ended is None for each in books)


_Read = tuple[Terms, list[Entry], int, bool]


def _read(path: Path) -> _Read:
    """The terms, the entries, where the last whole line ends, and whether something stands after it."""
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise UsageError(f"Cannot read the ledger {path}: {error.strerror or error}.") from error
    try:
        terms = _decode_terms(lines[0] if lines else b"")
    except (msgspec.MsgspecError, ValueError) as error:
        raise UsageError(
            f"{path} is no ledger of a tour: its first line should name the format {FORMAT!r}. Give another --out."
        ) from error
    if terms.format != FORMAT:
        raise UsageError(f"{path} is a ledger of format {terms.format!r}; this version reads {FORMAT!r}.")
    entries: list[Entry] = []
    end, bad = len(lines[0]), 0
    for number, raw in enumerate(lines[1:], 2):
        entry = _whole(raw)
        if entry is None:
            bad = bad or number
        elif bad:
            raise UsageError(f"{path} is damaged: line {bad} cannot be read, and others follow it. Give another --out.")
        else:
            entries.append(entry)
            end += len(raw)
    return terms, entries, end, bad > 0


def _whole(raw: bytes) -> Entry | None:
    if not raw.endswith(b"\n"):
        return None
    try:
        return _entries.decode(raw)
    except (msgspec.MsgspecError, ValueError):
        return None


class CannotKeep(UsageError):
    """What a tour does can no longer be written down, so it does nothing more."""

    def __init__(self, path: Path, error: OSError) -> None:
        super().__init__(
            f"Cannot write {path}: {error.strerror or error}. Nothing is sent that could not be written down; what was "
            "done so far is kept: make room and go on with --resume."
        )


class LineFile:
    """A file that grows by whole lines: a line that could not be written whole is taken back.

    Args:
        path: the file; it is made where it is missing.
        end: where the last whole line ends; what stands after it is cut off.

    Raises:
        CannotKeep: it cannot be opened.
    """

    def __init__(self, path: Path, end: int) -> None:
        self.path = path
        try:
            self._file = path.open("r+b" if path.exists() else "w+b", buffering=0)
            self._file.truncate(end)
            self._file.seek(end)
        except OSError as error:
            raise CannotKeep(path, error) from error
        self._end = end

    def append(self, line: bytes, *, durable: bool) -> None:
        """Add a line.

        Raises:
            CannotKeep: the disk is full, or away.
        """
        left = memoryview(line + b"\n")
        try:
            while left:
                left = left[self._file.write(left) or 0 :]
            if durable:
                os.fsync(self._file.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):
                self._file.truncate(self._end)
            raise CannotKeep(self.path, error) from error
        self._end += len(line) + 1

    def close(self) -> None:
        """Close it."""
        self._file.close()


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """The folder for this process alone, for as long as the block lasts; a process that dies lets go of it.

    Raises:
        UsageError: it cannot be written, or another process is at work there, or the package for that is missing.
    """
    try:
        from filelock import FileLock, Timeout
    except ImportError as error:
        raise UsageError(
            'A tour keeps its folder to itself with filelock: pip install "popreceipt[tenant]".'
        ) from error

    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f"{NAME}.lock", timeout=0)
        lock.acquire()
    except Timeout as error:
        raise UsageError(
            f"Another popreceipt is at work in {folder}: wait for it, or give another --out. "
            "Two tours must not share a folder."
        ) from error
    except (OSError, NotImplementedError) as error:
        words = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"Cannot write reports to {folder}: {words}. Give another --out.") from error
    try:
        yield
    finally:
        lock.release()
