"""Write fixtures/manage-messages anew: one morning of an import, as different people would export it.

    python -m popreceipt.generate.manage_messages [--out DIR]

All tables tell of the same messages. What becomes of them is worked out here message by message and knows nothing of
the sizing that is tested with them.
"""

import argparse
import csv
import io
import math
import random
import sys
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from popreceipt import resources

SEED: Final = 7
BEGIN: Final = datetime(2026, 1, 31, 6, 0, tzinfo=UTC)
HOURS: Final = 5
PER_HOUR: Final = 24.0
EVERY: Final = timedelta(minutes=5)
STARTUP: Final = timedelta(seconds=12)
PHASE: Final = timedelta(minutes=2, seconds=20)
"""The recurrence's ticks need not fall on whole hours."""

Words = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Message:
    """One message, to whole seconds, as such tables show it."""

    id: str
    enqueued: datetime
    started: datetime | None
    completed: datetime | None


def messages() -> list[Message]:
    """The morning: files arrive by chance, a tick takes what waits, and one is processed after the other.

    The last two came when the table was exported: one is in process, one still waits.
    """
    chance = random.Random(SEED)
    made: list[Message] = []
    instant, free = BEGIN, BEGIN
    while True:
        instant += timedelta(seconds=chance.expovariate(PER_HOUR / 3600))
        if instant >= BEGIN + timedelta(hours=HOURS):
            break
        # What arrives on a tick waits for the next. So few arrive that each run is over long before the next.
        started = max(_tick_after(instant) + STARTUP, free)
        free = started + timedelta(seconds=chance.lognormvariate(math.log(8), 0.6))
        identifier = str(uuid.UUID(int=chance.getrandbits(128), version=4))
        made.append(Message(identifier, _whole(instant), _whole(started), _whole(free)))
    one, other = made[-2:]
    return [*made[:-2], Message(one.id, one.enqueued, one.started, None), Message(other.id, other.enqueued, None, None)]


def _tick_after(instant: datetime) -> datetime:
    first = BEGIN + PHASE - EVERY
    return first + ((instant - first) // EVERY + 1) * EVERY


def _whole(instant: datetime) -> datetime:
    return instant.replace(microsecond=0)


# How tables are written


def _american(instant: datetime | None) -> str:
    if instant is None:
        return ""
    hour = instant.hour % 12 or 12
    half = "AM" if instant.hour < 12 else "PM"
    return f"{instant.month}/{instant.day}/{instant.year} {hour}:{instant:%M:%S} {half}"


def _european(instant: datetime | None) -> str:
    return "" if instant is None else f"{instant:%d.%m.%Y %H:%M:%S}"


def _iso(instant: datetime | None) -> str:
    return "" if instant is None else f"{instant:%Y-%m-%dT%H:%M:%SZ}"


def _empty_date(instant: datetime | None) -> str:
    """As the framework stores no date at all."""
    return "1900-01-01T00:00:00Z" if instant is None else _iso(instant)


def _status(message: Message) -> str:
    if message.completed is not None:
        return "Processed"
    return "Enqueued" if message.started is None else "Processing"


def _rows(found: Iterable[Message], written: Callable[[datetime | None], str]) -> list[Words]:
    return [
        (
            message.id,
            _status(message),
            "Customer groups",
            *(written(each) for each in (message.enqueued, message.started, message.completed)),
        )
        for message in found
    ]


SHOWN: Final = ("Message ID", "Status", "Entity", "Enqueued", "Processing started", "Processing completed")
STORED: Final = (
    "MessageId",
    "Status",
    "EntityName",
    "EnqueueDateTime",
    "ProcessingStartedDateTime",
    "ProcessingCompletedDateTime",
)


def _csv(headings: Sequence[str], rows: Iterable[Words], separator: str, *, quoted: bool = False) -> str:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL)
    writer.writerows([headings, *rows])
    return text.getvalue()


def tables() -> dict[str, bytes]:
    """The files by their names."""
    found = messages()
    shuffled = found.copy()
    random.Random(SEED).shuffle(shuffled)
    return {
        # From a spreadsheet set to American English, the newest row first, every cell in quotes.
        "american.csv": _csv(SHOWN, _rows(reversed(found), _american), ",", quoted=True).encode("utf-8-sig"),
        # From one set to German.
        "german.csv": _csv(SHOWN, _rows(found, _european), ";").encode("utf-8-sig"),
        # "Unicode text" of a spreadsheet.
        "unicode.csv": _csv(SHOWN, _rows(found, _iso), "\t").encode("utf-16"),
        # As an entity that shows the table is exported, out of order, and some rows twice.
        "stored.csv": _csv(STORED, _rows([*shuffled, *shuffled[:7]], _empty_date), ",").encode("utf-8"),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the tables."""
    parser = argparse.ArgumentParser(prog="python -m popreceipt.generate.manage_messages", description=__doc__)
    parser.add_argument("--out", type=Path, default=resources.fixtures() / "manage-messages", metavar="DIR")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    for name, content in tables().items():
        (options.out / name).write_bytes(content)
    print(f"{len(messages())} messages in {', '.join(tables())}: {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
