"""What a subject tells of its own accord: the lines of its report, read as they come.

A line is a JSON object. What is none, or is endless, is the subject's affair: it is told as such and never raised.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

LONGEST: Final = 1024 * 1024
"""Bytes of a report that are read; who tells more is not listened to."""

MOST_LINES: Final = 10_000
"""Lines that are read."""

DEEPEST: Final = 50
"""Levels of a line: deeper ones stand in nobody's report, and not everybody could read them again."""

SHOWN: Final = 200
"""Characters of a line that is no JSON object, as it is told."""


class Tellings:
    """A report that grows.

    Args:
        path: the file; it need not be there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read = 0
        self._lines = 0
        self._rest = b""

    def more(self, *, last: bool = False) -> Iterator[Mapping[str, Any]]:
        """The lines since the last time; one that has not ended waits for its end, unless this is the `last` time.

        What is no JSON object comes as `{"unreadable": text}`.
        """
        text = self._rest + self._new()
        *lines, self._rest = text.split(b"\n")
        if last:
            lines, self._rest = [*lines, self._rest], b""
        for line in lines:
            if not line.strip():
                continue
            if self._lines >= MOST_LINES:
                return
            self._lines += 1
            try:
                told = msgspec.json.decode(line)
            except (msgspec.DecodeError, ValueError, RecursionError):  # the last one: brackets without end
                told = None
            if isinstance(told, dict) and not _is_deep(told):
                yield told
            else:
                yield {"unreadable": line.decode("utf-8", "replace")[:SHOWN]}

    def _new(self) -> bytes:
        if self._read >= LONGEST or not self.path.is_file():  # a pipe would hold up whoever opens it
            return b""
        try:
            with self.path.open("rb") as file:
                file.seek(self._read)
                found = file.read(LONGEST - self._read)
        except OSError:
            return b""
        self._read += len(found)
        return found


def _is_deep(told: Any) -> bool:
    """Whether a value has more levels than anybody means."""
    level = [told]
    for _ in range(DEEPEST):
        inner = [each.values() if isinstance(each, dict) else each for each in level if isinstance(each, (dict, list))]
        level = [one for each in inner for one in each]
        if not level:
            return False
    return True
