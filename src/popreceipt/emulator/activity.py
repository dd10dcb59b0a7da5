"""Recurring data jobs, called activities, and the first world's seven.

An activity is what "Create a recurring data job" sets up: a direction, a type, its recurrences and switches, and one
client's entry on its authorisation policy. Each hangs off a data project and has a legal entity of its own.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal

import msgspec

from popreceipt.emulator.recurrence import Recurrence

Direction = Literal["import", "export"]

IMPORT: Final = "import"
EXPORT: Final = "export"
FILE: Final = "file"
PACKAGE: Final = "package"


class Activity(msgspec.Struct, frozen=True, kw_only=True):
    """One recurring data job. `company` is its legal entity, `entity` and `format` are the first of its data project.

    Its recurrences count from their anchors: the job's creation, or the change that set them.
    """

    id: str
    name: str
    description: str = ""
    direction: Direction
    type: Literal["file", "package"]
    project: str = ""
    entity: str
    format: str = "CSV"
    in_order: bool = False
    prevent_upload_when_zero_records: bool = False
    use_company_from_message: bool = False
    processing_recurrence: Recurrence | None = None
    monitoring_recurrence: Recurrence | None = None
    enabled: bool = True
    company: str
    anchor: datetime
    monitoring_anchor: datetime

    def as_json(self) -> dict[str, Any]:
        """The activity as the control plane shows it; recurrences of plain minutes also as a number."""
        shown = {name: getattr(self, name) for name in _SHOWN}
        for name in RECURRENCES:
            recurrence: Recurrence | None = shown[name]
            shown[f"{name}_minutes"] = None if recurrence is None else recurrence.minutes
            shown[name] = None if recurrence is None else recurrence.as_json()
        return shown

    def changed(self, settings: Mapping[str, Any], now: datetime) -> "Activity":
        """The activity with other settings; a recurrence that becomes another counts from now."""
        changes = with_recurrences(settings)
        for name, anchor in RECURRENCES.items():
            if name in changes and changes[name] != getattr(self, name):
                changes[anchor] = now
        return msgspec.structs.replace(self, **changes)


RECURRENCES: Final = {"processing_recurrence": "anchor", "monitoring_recurrence": "monitoring_anchor"}
"""The two recurrences, and the instants from which they count."""

_SHOWN: Final = tuple(name for name in Activity.__struct_fields__ if name not in RECURRENCES.values())


def with_recurrences(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings in which recurrences given as minutes are recurrences."""
    found = dict(settings)
    for name in RECURRENCES:
        if f"{name}_minutes" in found:
            minutes = found.pop(f"{name}_minutes")
            found.setdefault(name, None if minutes is None else Recurrence(every=minutes))
    return found


FIRST_WORLD: Final[Mapping[str, Mapping[str, Any]]] = {
    "import-file": {"direction": IMPORT, "type": FILE, "processing_recurrence_minutes": 5},
    "import-in-order": {
        "direction": IMPORT,
        "type": FILE,
        "processing_recurrence_minutes": 5,
        "in_order": True,
    },
    "import-package": {"direction": IMPORT, "type": PACKAGE, "processing_recurrence_minutes": 5},
    "export-package": {"direction": EXPORT, "type": PACKAGE},
    "export-file": {"direction": EXPORT, "type": FILE},
    "export-no-zero": {"direction": EXPORT, "type": PACKAGE, "prevent_upload_when_zero_records": True},
    "import-disabled": {
        "direction": IMPORT,
        "type": FILE,
        "processing_recurrence_minutes": 5,
        "enabled": False,
    },
}
"""What a world starts with, by name; members not given are the activity's defaults."""
