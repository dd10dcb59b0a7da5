"""Contents too large for a row, as files beside the database.

A file is complete, on disk and under its final name before the commit that refers to it, and goes only after the commit
that no longer does. What a crash leaves in between is a file that nobody refers to: `sweep` takes it away. A name is
never used twice, so nothing is written over.
"""

import contextlib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_NAME: Final = re.compile(r"[0-9a-f-]{34}([0-9a-f]{2})\.[0-9]+-[0-9]+")
"""An ID (its last two digits name the folder), then which opening of the store wrote it, and as which file of that."""


class BlobFiles:
    """The files of one store.

    Args:
        folder: where they are; made when it is needed.
        generation: how often the store had been opened before.
    """

    def __init__(self, folder: Path, generation: int) -> None:
        self._folder = folder
        self._generation = generation
        self._count = 0
        self._written: list[str] = []
        self._doomed: list[str] = []

    def write(self, identifier: str, content: bytes) -> str:
        """Put a content on disk; the name of its file."""
        self._count += 1
        name = f"{identifier}.{self._generation}-{self._count}"
        path = self._path(name)
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
            sync_folder(self._folder)
            sync_folder(self._folder.parent)
        # Known before it is there: however far it came, it is taken away when this is undone.
        self._written.append(name)
        unfinished = path.with_name(f"{name}.part")
        with unfinished.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
        sync_folder(path.parent)
        return name

    def read(self, name: str) -> bytes:
        """What a file holds."""
        return self._path(name).read_bytes()

    def doom(self, names: Iterable[str]) -> None:
        """Delete files with the next commit."""
        self._doomed += names

    def mark(self) -> tuple[int, int]:
        """Where things stand, for `undo`."""
        return len(self._written), len(self._doomed)

    def undo(self, mark: tuple[int, int] = (0, 0)) -> None:
        """What was written since the mark is not referred to any more, and what was doomed still is."""
        written, doomed = mark
        self._unlink(self._written[written:])
        del self._written[written:], self._doomed[doomed:]

    def settle(self) -> None:
        """It was committed: what was written stays, what was doomed goes."""
        self._written.clear()
        self._unlink(self._doomed)
        self._doomed.clear()

    def sweep(self, wanted: Iterable[str]) -> set[str]:
        """Delete what nobody refers to; which of the wanted files are missing."""
        missing = set(wanted)
        if not self._folder.is_dir():
            return missing
        for path in self._folder.glob("*/*"):
            if path.name in missing:
                missing.discard(path.name)
            elif _NAME.fullmatch(path.name.removesuffix(".part")):
                path.unlink()
        return missing

    def _path(self, name: str) -> Path:
        found = _NAME.fullmatch(name)
        if found is None:
            raise ValueError(f"{name!r} is no name of a blob's file: an ID is a bare GUID in lower case.")
        return self._folder / found[1] / name

    def _unlink(self, names: Iterable[str]) -> None:
        for name in names:
            path = self._path(name)
            path.unlink(missing_ok=True)
            path.with_name(f"{name}.part").unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Put a folder's list of names on disk. Windows has no such thing and keeps names with the file."""
    if os.name == "nt":
        return
    with contextlib.ExitStack() as closing:
        handle = os.open(folder, os.O_RDONLY)
        closing.callback(os.close, handle)
        os.fsync(handle)
