"""Looks into the subject's folders: which files came and which went since the look before, known by their digests.

A file is judged by its bytes, whatever its name, subfolders included. What the subject is still writing, or keeps for
itself, does not count: names that begin with a dot or end in .tmp or .part. Nobody knows here what a file should be.
"""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

UNFINISHED: Final = (".tmp", ".part")
"""Endings of files that are still being written."""

MOST_FILES: Final = 20_000
"""So many files are looked at; a subject that writes more has written rubbish, and that is seen as well."""

LONGEST: Final = 256 * 1024 * 1024
"""Bytes of the longest file that is read."""

_CHUNK: Final = 1024 * 1024


class Folder:
    """One folder, looked at again and again.

    Args:
        path: the folder. Links are not followed, and only ordinary files count.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_overfull = False
        """Whether it held more than is looked at."""
        self._seen: dict[str, tuple[_Stamp, dict[str, Any]]] = {}

    def look(self) -> dict[str, Any]:
        """What came and what went since the look before: `appeared` with digests and lengths in bytes, `gone` by name.

        A file that was changed has gone and come. One that vanishes while it is looked at is not there.
        """
        found: dict[str, tuple[_Stamp, dict[str, Any]]] = {}
        appeared: list[dict[str, Any]] = []
        for name, entry in self._files():
            known = self._seen.get(name)
            try:
                now = _stamp(entry.stat(follow_symlinks=False))
                if now is None:
                    continue
                if known is None or known[0] != now:
                    known = (now, {"name": name, "sha256": _digest(entry.path), "length": now[0]})
                    appeared.append(known[1])
            except OSError:
                continue
            found[name] = known
        changed = {each["name"] for each in appeared}
        gone = [name for name in self._seen if name not in found or name in changed]
        self._seen = found
        return {"appeared": appeared, "gone": gone}

    def digests(self) -> dict[str, str]:
        """The digests of the last look, by name."""
        return {name: told["sha256"] for name, (_, told) in self._seen.items()}

    def _files(self) -> Iterator[tuple[str, os.DirEntry[str]]]:
        """Whatever may be a file, by its path below the folder, with slashes."""
        count = 0
        folders = [("", os.fspath(self.path))]
        while folders:
            prefix, path = folders.pop()
            try:
                entries = sorted(os.scandir(path), key=lambda each: each.name)
            except OSError:
                continue
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.append((f"{prefix}{entry.name}/", entry.path))
                elif not entry.name.lower().endswith(UNFINISHED):
                    count += 1
                    if count > MOST_FILES:
                        self.is_overfull = True
                        return
                    yield prefix + entry.name, entry


_Stamp = tuple[int, int, int]


def _stamp(about: os.stat_result) -> _Stamp | None:
    """What tells that a file is still the same: length, time and number. None for what is no ordinary file."""
    if not stat.S_ISREG(about.st_mode) or about.st_size > LONGEST:
        return None
    return about.st_size, about.st_mtime_ns, about.st_ino


def _digest(path: str) -> str:
    found = hashlib.sha256()
    with open(path, "rb") as file:  # noqa: PTH123 - a path for each of thousands of files costs more than their reading
        while chunk := file.read(_CHUNK):
            found.update(chunk)
    return found.hexdigest()
