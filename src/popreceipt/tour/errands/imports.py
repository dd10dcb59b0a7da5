"""Files that are handed in, and what is told of them until their end, and after it.

All are handed in first; then one poll serves them all. It makes up its files and knows which are faulty; what a
service ought to make of them it does not know.
"""

import gzip
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final

from popreceipt import vocabulary
from popreceipt.client import wire
from popreceipt.client.packages import ENTITY, data_package
from popreceipt.client.wire import Ask, Reply, Spelling
from popreceipt.tenants.description import Tenant
from popreceipt.tour.errand import Call, Errand, Line, Route, Until
from popreceipt.tour.errands.asking import asked, entity_of, file, line, lines, spared

FINAL: Final = frozenset(
    {
        vocabulary.PROCESSED,
        vocabulary.PREPROCESSING_ERROR,
        vocabulary.PROCESSED_WITH_ERRORS,
        vocabulary.POSTPROCESSING_FAILED,
    }
)

COMPLETED: Final = frozenset({vocabulary.PROCESSED, vocabulary.PROCESSED_WITH_ERRORS})

UNTOLD_RECURRENCE: Final = timedelta(minutes=15)
"""What a processing recurrence is taken to be at most where the description does not tell it."""

STUCK: Final = timedelta(minutes=16)
"""A file that is in process for longer than a quarter of an hour is taken to be stuck."""

LATER: Final = timedelta(minutes=10)
"""Between the first sight of an end and the look whether it has stayed."""

LARGE: Final = 30_000_100
"""Bytes of an upload that is larger than a web server takes by default."""

NO_FILE: Final = b"\x00\xff not a file \xfe"

RECORDS_APPEAR: Final = "customer groups with made-up keys and the description Group … appear in the entity"
FAILS: Final = "a message that fails stands in Manage messages"
ONLY_ASKS: Final = ""

FIRST_FEW: Final = 3
"""So many messages are asked about before the batch takes them: it may come between two questions."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file to be handed in.

    Args:
        line: under which line.
        content: makes it up.
        entity: whether its entity is named; a text names another one.
        asked: further arguments of the request.
        headers: of the upload.
        chunked: without an announced length.
        wanted: a right service takes it, so that a fault of the server is no answer.
        ends: its message comes to an end that is waited for.
    """

    line: str
    content: Callable[[Random], bytes]
    entity: bool | str = True
    asked: Mapping[str, Any] = field(default_factory=dict)
    headers: tuple[tuple[str, str], ...] = ()
    chunked: bool = False
    wanted: bool = True


@dataclass(slots=True)
class Sent:
    """A message that an upload made, and what was seen of it."""

    message: str
    states: list[tuple[datetime, str | None]] = field(default_factory=list)

    @property
    def last(self) -> str | None:
        """The status that was told last."""
        return self.states[-1][1] if self.states else None

    @property
    def final(self) -> bool:
        """Whether it has come to its end."""
        return self.last in FINAL

    @property
    def working_since(self) -> datetime | None:
        """When it was first seen in process, where it still is."""
        if self.last not in (vocabulary.PREPROCESSING, vocabulary.PROCESSING):
            return None
        return next(at for at, state in self.states if state == self.last)


def good(records: int) -> Callable[[Random], bytes]:
    """A delimited file of so many good records."""
    return lambda random: file(random, records)


def packed(records: int, **options: Any) -> Callable[[Random], bytes]:
    """A data package of so many good records."""
    return lambda random: data_package(file(random, records), **options)


def nothing(_: Random) -> bytes:
    """No bytes."""
    return b""


def large(_: Random) -> bytes:
    """A file that is too large."""
    header = b"CUSTOMERGROUPID,DESCRIPTION,PAYMENTTERMID\r\n"
    return header + b"0" * (LARGE - len(header))


TWIN: Final = Random(0)
"""Makes the one file that is handed in twice."""


def imports(tenant: Tenant) -> list[Errand]:
    """The errands of imports."""
    return [_files(tenant), _too_large(), _packages(tenant)]


def recurrence(settings: Mapping[str, object]) -> timedelta | None:
    """The processing recurrence of a recurring data job, where the description tells it."""
    minutes = settings.get("processing_recurrence_minutes")
    return timedelta(minutes=minutes) if isinstance(minutes, int) and minutes > 0 else None


def told(tenant: Tenant, role: str) -> Mapping[str, Any]:
    """What the description says of a role's job; nothing where it names none."""
    activity = tenant.activities.get(role)
    return activity.settings if activity is not None else {}
