"""The folder of a load run: emptied of an earlier one, never of anything else, and the journal of whoever sets it up.

A run that could not be begun leaves nothing there that the next one would have to take for somebody else's.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from popreceipt.exceptions import UsageError
from popreceipt.load import run
from popreceipt.load.merging import SETUP

LOCUST_SAID: Final = "locust.log"

RESULT: Final = "load.json"

REMAINS: Final = (
    "journal*.ndjson",
    "figures-*.json",
    "pace-*.json",
    "errand.json",
    LOCUST_SAID,
    RESULT,
    f".{run.FILE}",
    run.FILE,
)
"""What an earlier run may have left in the folder, last what shows that it was one."""


def empty(folder: Path) -> None:
    """Make the folder, and take away what an earlier run left there.

    Raises:
        UsageError: it cannot be written to, or holds what no load run left there.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        remains = [path for pattern in REMAINS for path in folder.glob(pattern)]
        # A journal of that name is left where somebody ended a run before it knew its target.
        others = [path for path in remains if path.name != SETUP]
        if others and not (folder / run.FILE).exists():
            raise UsageError(f"{folder} holds {others[0].name}, which no load run left there. Give another --out.")
        for path in remains:
            path.unlink()
    except OSError as error:
        raise UsageError(f"Cannot write to {folder}: {error.strerror or error}. Give another --out.") from error


@contextmanager
def setup_journal(folder: Path) -> Iterator[IO[bytes]]:
    """The file for the journal of whoever begins a run; it goes again where it did not come to a run.

    Raises:
        UsageError: it cannot be opened.
    """
    try:
        file = (folder / SETUP).open("wb")
    except OSError as error:
        raise UsageError(f"Cannot write to {folder}: {error.strerror or error}. Give another --out.") from error
    try:
        with file:
            yield file
    finally:
        if not (folder / run.FILE).exists():
            (folder / SETUP).unlink(missing_ok=True)
