"""Exports: the records of an entity as the file or package that a client will download."""

from collections.abc import Sequence
from datetime import datetime

from popreceipt.emulator.activity import FILE, Activity
from popreceipt.emulator.dmf import delimited, package
from popreceipt.emulator.dmf.entity import Entity
from popreceipt.emulator.guids import Guids
from popreceipt.emulator.profile import Profile
from popreceipt.emulator.store import Record

_TERMS = ("", "Net10", "Net14", "Net30", "Net60")


def synthetic(guids: Guids, count: int) -> list[Record]:
    """Records of `Customer groups` that nobody has seen before, with keys of ten characters."""
    keys: dict[str, None] = {}
    while len(keys) < count:
        keys[guids.digits(10)] = None
    return [
        {
            "CUSTOMERGROUPID": key,
            "DESCRIPTION": f"Customer group {key.lower()}",
            "PAYMENTTERMID": _TERMS[int(key[-1], 16) % len(_TERMS)],
        }
        for key in keys
    ]


def payload(
    activity: Activity,
    entity: Entity,
    records: Sequence[Record],
    *,
    profile: Profile,
    execution: str,
    number: int,
    now: datetime,
) -> bytes:
    """What is uploaded. No two payloads are equal: a package carries its execution in the description."""
    file = delimited.write(entity, records)
    if activity.type == FILE and profile.download_file_payload == "raw":
        # A file of the header alone would equal the last one: blank lines, which hold no record, tell them apart.
        return file if records else file + b"\r\n" * number
    return package.write(
        project=activity.name,
        entity=entity.name,
        columns=entity.columns,
        file=file,
        description=f"{activity.name}, execution {execution}",
        written=now,
    )
