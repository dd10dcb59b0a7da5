"""Looks into the subject's folders: which files came and which went since the look before, known by their digests.

A file is judged by its bytes, whatever its name, subfolders included. What the subject is still writing, or keeps for
itself, does not count: names that begin with a dot or end in .tmp or .part. Nobody knows here what a file should be.
"""

import hashlib
import os
import stat
from collections.abc import Container
from pathlib import Path
from typing import Any, Final, NamedTuple

UNFINISHED: Final = (".tmp", ".part")
"""Endings of files that are still being written."""

MOST_FILES: Final = 20_000
"""So many files are looked at; a subject that writes more has written rubbish, and that is seen as well."""

LONGEST: Final = 256 * 1024 * 1024
"""Bytes of the longest file that is read."""

_CHUNK: Final = 1024 * 1024


_Stamp = tuple[int, int, int]
"""Length, time and number of a file: as long as they stay, it is taken for the same."""


class _Seen(NamedTuple):
    """A file as it was last seen, and what was told of it."""

    stamp: _Stamp
    told: dict[str, Any]


class _Contents(NamedTuple):
    """The files of one folder by name: those that are finished, and the others."""

    finished: dict[str, _Seen]
    others: dict[str, _Seen]


class Folder:
    """One folder, looked at again and again.

    Args:
        path: the folder. Links are not followed, and only ordinary files count.
        finished: digests of files that are whole as they are. Such a file is not looked at again in haste: two
            thousand of them would take longer than the subject waits.
    """

    def __init__(self, path: Path, finished: Container[str] = frozenset()) -> None:
        self.path = path
        self.is_overfull = False
        """Whether it held more than is looked at."""
        self._finished = finished
        self._folders: dict[str, _Contents] = {}
        self._left = MOST_FILES

    def look(self, *, in_haste: bool = False) -> dict[str, Any]:
        """What came and what went since the look before: `appeared` with digests and lengths in bytes, `gone` by name.

        A file that was changed has gone and come. One that vanishes while it is looked at is not there.
        """
        before, self._folders = self._folders, {}
        appeared: list[dict[str, Any]] = []
        gone: list[str] = []
        waiting = [""]
        self._left = MOST_FILES
        while waiting:
            prefix = waiting.pop()
            known = before.pop(prefix, _Contents({}, {}))
            names = self._names(prefix)
            now = _Contents(known.finished if in_haste else {}, {})
            if in_haste:
                for name in known.finished.keys() - names:
                    gone.append(_told(prefix + name))
                    del known.finished[name]
                names -= known.finished.keys()
            self._folders[prefix] = now
            for name in sorted(names):
                was = known.others.get(name) or known.finished.get(name)
                seen = self._file(prefix + name, was, waiting)
                if seen is None:
                    continue
                if seen is not was:
                    appeared.append(seen.told)
                (now.finished if seen.told["sha256"] in self._finished else now.others)[name] = seen
            for name, was in [*known.others.items(), *(() if in_haste else known.finished.items())]:
                if now.others.get(name, now.finished.get(name)) is not was:
                    gone.append(_told(prefix + name))
        gone += [_told(prefix + name) for prefix, known in before.items() for names in known for name in names]
        return {"appeared": appeared, "gone": sorted(gone)}

    def _names(self, prefix: str) -> set[str]:
        try:
            found = set(os.listdir(self.path / prefix))  # noqa: PTH208 - names are all that is wanted, of thousands
        except OSError:
            return set()
        return {name for name in found if not name.startswith(".")}

    def _file(self, name: str, was: _Seen | None, folders: list[str]) -> _Seen | None:
        """What a name stands for: None for what is no file, or is none yet. A folder joins the others."""
        path = self.path / name
        try:
            about = path.lstat()
            if stat.S_ISDIR(about.st_mode):
                folders.append(f"{name}/")
                return None
            stamp = _stamp(about)
            if stamp is None or name.lower().endswith(UNFINISHED):
                return None
            if self._left <= 0:
                self.is_overfull = True
                return None
            self._left -= 1
            if was is not None and was.stamp == stamp:
                return was
            return _Seen(stamp, {"name": _told(name), "sha256": _digest(path), "length": stamp[0]})
        except OSError:
            return None


def _told(name: str) -> str:
    """A name as a journal takes it: bytes that are no text in it, which many systems allow, are replaced."""
    return os.fsencode(name).decode("utf-8", "replace")


def _stamp(about: os.stat_result) -> _Stamp | None:
    """What tells that a file is still the same. None for what is no ordinary file, or too long to be read."""
    if not stat.S_ISREG(about.st_mode) or about.st_size > LONGEST:
        return None
    return about.st_size, about.st_mtime_ns, about.st_ino


def _digest(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            found.update(chunk)
    return found.hexdigest()
