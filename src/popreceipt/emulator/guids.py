"""Identifiers: seeded so that a run can be repeated, in an order that nobody can guess; and how they are read."""

import random
import re
from datetime import UTC, datetime, timedelta
from typing import Final

_GUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)


# A version 4 GUID (RFC 9562, section 5.4): the version's four bits and the variant's two are given, the rest is free.
_FIXED: Final = 0x00000000_0000_4000_8000_000000000000
_FREE: Final = 0xFFFFFFFF_FFFF_0FFF_3FFF_FFFFFFFFFFFF

_FIXED_AFTER_TIME: Final = 0x7000_8000_000000000000
_FREE_AFTER_TIME: Final = 0x0FFF_3FFF_FFFFFFFFFFFF
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


class Guids:
    """A seeded source of version 4 GUIDs, bare and in lower case."""

    def __init__(self, seed: int | str) -> None:
        # Repeatability is wanted here, secrecy is not.
        self._source = random.Random(f"popreceipt/{seed}")  # noqa: S311 - names of things, not keys

    def new(self) -> str:
        """The next one."""
        digits = f"{self._source.getrandbits(128) & _FREE | _FIXED:032x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    def new_at(self, instant: datetime) -> str:
        """One that nobody outside sees, in the order of time: what is kept under it stands close together.

        It is of version 7 (RFC 9562, section 5.7): milliseconds since 1970, then what is free.
        """
        milliseconds = (instant - _EPOCH) // _MILLISECOND
        digits = f"{milliseconds << 80 | self._source.getrandbits(80) & _FREE_AFTER_TIME | _FIXED_AFTER_TIME:032x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    def digits(self, count: int) -> str:
        """So many hexadecimal digits, in upper case."""
        return f"{self._source.getrandbits(4 * count):0{count}X}"


def read_guid(text: str) -> str | None:
    """A GUID, bare or in braces, as the emulator keeps it (bare, lower case); None for anything else."""
    if text.startswith("{") and text.endswith("}"):
        text = text[1:-1]
    return text.lower() if _GUID.fullmatch(text) else None
