"""How much of a journal goes into a report: lines and characters of one case, and of all cases together."""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Final

from popreceipt.journal import Entry, Exchange, Header, Journal, entry_line, header_line
from popreceipt.reports import evidence
from popreceipt.reports.plain import one_line, plain

STEPS: Final = 40
"""Exchanges of a case that become steps: the first two thirds of them and the last third."""

STEP_TEXT: Final = 240
"""Characters of a step."""

JOURNAL_BYTES: Final = 16 * 1024
"""Bytes of a journal that are attached to a case that is well."""

JOURNAL_BYTES_OF_FAILED: Final = 256 * 1024
"""Bytes of a journal that are attached to one that is not."""

CURL_BYTES: Final = 64 * 1024

FIGURES_BYTES: Final = 64 * 1024

ALL_BYTES: Final = 24 * 1024 * 1024
"""Bytes of all attachments of a report together."""

LEFT_OUT: Final = "left out, for the report is full: {}"
"""The step that stands in an attachment's place."""

_NOT_ASCII: Final = re.compile("[^\x00-\x7e]")


class Budget:
    """What may still be attached. A quarter is kept for cases that are not well."""

    def __init__(self, most: int = ALL_BYTES) -> None:
        self.left = most
        self._kept = most // 4

    def takes(self, text: str, *, failed: bool) -> bool:
        """Whether a text may be attached; then it is counted."""
        size = len(text.encode("utf-8", "replace"))
        if size > self.left - (0 if failed else self._kept):
            return False
        self.left -= size
        return True


def step_names(exchanges: Sequence[Exchange], most: int = STEPS) -> list[str]:
    """A line for each exchange; of many the first and the last, and between them how many were left out."""
    if len(exchanges) <= most:
        return [_step(each) for each in exchanges]
    last = most // 3
    first = most - last
    left_out = f"… {len(exchanges) - most:,} more exchanges, see the journal …"
    return [*map(_step, exchanges[:first]), left_out, *map(_step, exchanges[-last:])]


def _step(exchange: Exchange) -> str:
    return one_line(evidence.line(exchange), STEP_TEXT)


def journal_text(header: Header, entries: Iterable[Entry], most: int) -> str:
    """A part of a journal as a journal in ASCII: whole where it fits, else its beginning without the footer."""
    part = Journal(header)
    size = len(header_line(header))
    for each in entries:
        size += len(entry_line(each)) + 1
        if size > most:
            break
        part.add(each)
    else:
        part.seal()
    text = b"\n".join(part.lines()).decode("utf-8", "replace") + "\n"
    # Whatever is no ASCII stands in a string, where JSON has another way to write it that does nothing on a screen.
    return _NOT_ASCII.sub(lambda found: json.dumps(found.group())[1:-1], text)


def is_whole(text: str) -> bool:
    """Whether a part of a journal has all of it, which its footer tells."""
    return text.rstrip().rpartition("\n")[2].startswith('{"footer":')


def curl_text(exchanges: Iterable[Exchange], *, movable: bool, most: int = CURL_BYTES) -> str:
    """The exchanges as command lines, as many as fit."""
    lines: list[str] = []
    size = 0
    for each in evidence.curl(exchanges, movable=movable):
        line = plain(each)
        size += len(line) + 1
        if size > most:
            lines.append("# … and more: see the journal")
            break
        lines.append(line)
    return "\n".join(lines) + "\n"
