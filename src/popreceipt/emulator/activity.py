"""Recurring data jobs, called activities, and the first world's seven.

An activity is what "Create a recurring data job" sets up: a direction, a type, its recurrences and switches, and one
client's entry on its authorisation policy. Each has a data project and a legal entity of its own.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal

import msgspec

Direction = Literal["import", "export"]

IMPORT: Final = "import"
EXPORT: Final = "export"
FILE: Final = "file"
PACKAGE: Final = "package"


class Activity(msgspec.Struct, frozen=True, kw_only=True):
    """One recurring data job. `anchor` is the instant from which its recurrence counts; `company` its legal entity."""

    id: str
    name: str
    direction: Direction
    type: Literal["file", "package"]
    entity: str
    format: Literal["CSV"] = "CSV"
    in_order: bool = False
    prevent_upload_when_zero_records: bool = False
    use_company_from_message: bool = False
    processing_recurrence_minutes: int | None = None
    monitoring_recurrence_minutes: int | None = None
    enabled: bool = True
    company: str
    anchor: datetime

    def as_json(self) -> dict[str, Any]:
        """The activity as the control plane shows it."""
        return {name: getattr(self, name) for name in _SHOWN}


_SHOWN: Final = tuple(name for name in Activity.__struct_fields__ if name != "anchor")

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
