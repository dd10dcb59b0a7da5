"""The verdict file: every verdict as JSON, sealed last."""

import json
from pathlib import Path

from popreceipt import __version__
from popreceipt.clock import SystemClock
from popreceipt.journal import instant_text
from popreceipt.verdict import Verdicts


def write(verdicts: Verdicts, path: Path) -> None:
    """Write the file in two steps, so that one that was cut off never says that it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = verdicts.as_json()
    complete = content.pop("complete")
    content["written"] = {"at": instant_text(SystemClock().now()), "by": f"popreceipt {__version__}"}
    content["complete"] = complete
    path.write_text(json.dumps(content | {"complete": False}, indent=1), encoding="utf-8")
    if verdicts.complete:
        path.write_text(json.dumps(content, indent=1), encoding="utf-8")
