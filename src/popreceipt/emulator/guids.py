"""Identifiers: seeded so that a run can be repeated, in an order that nobody can guess; and how they are read."""

import random
import re

_GUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)


class Guids:
    """A seeded source of version 4 GUIDs, bare and in lower case."""

    def __init__(self, seed: int | str) -> None:
        # Repeatability is wanted here, secrecy is not.
        self._source = random.Random(f"popreceipt/{seed}")  # noqa: S311 - names of things, not keys

    def new(self) -> str:
        """The next one."""
        digits = f"{self._source.getrandbits(128):032x}"
        variant = "89ab"[int(digits[16], 16) & 3]
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"

    def digits(self, count: int) -> str:
        """So many hexadecimal digits, in upper case."""
        return f"{self._source.getrandbits(4 * count):0{count}X}"


def read_guid(text: str) -> str | None:
    """A GUID, bare or in braces, as the emulator keeps it (bare, lower case); None for anything else."""
    if text.startswith("{") and text.endswith("}"):
        text = text[1:-1]
    return text.lower() if _GUID.fullmatch(text) else None
