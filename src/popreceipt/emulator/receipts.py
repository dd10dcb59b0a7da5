"""Pop receipts in the shape of the one that is on record.

The help text of a PowerShell module (d365collaborative/d365fo.integrations) shows one: 20 bytes in base64, the 32-bit
numbers 2, 3 and 0, then the instant at which the message becomes visible again as a Windows FILETIME, all of them
little-endian.
"""

import binascii
import struct
from base64 import b64decode, b64encode
from datetime import UTC, datetime, timedelta

_LAYOUT = struct.Struct("<IIIQ")
_FILETIME_BEGINS = datetime(1601, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def mint(visible_again: datetime) -> str:
    """The receipt of a delivery whose message becomes visible again at this instant."""
    ticks = (visible_again - _FILETIME_BEGINS) // _MICROSECOND * 10
    return b64encode(_LAYOUT.pack(2, 3, 0, ticks)).decode("ascii")


def is_receipt(text: str) -> bool:
    """Whether a text has the form of a receipt, current or not."""
    try:
        return len(b64decode(text, validate=True)) == _LAYOUT.size
    except (binascii.Error, ValueError):
        return False
