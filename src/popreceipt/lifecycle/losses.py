"""How the answer to a call can be lost, before the call had its effect or after."""

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

LOSSES: tuple[Mapping[str, Any], ...] = (
    {"kind": "reset", "phase": "before"},
    {"kind": "reset", "phase": "after"},
    {"kind": "timeout", "phase": "before"},
    {"kind": "timeout", "phase": "after"},
    {"kind": "truncated"},
    # Two plain 500s in a row are no accident to whoever judges: here it is the gateway that fails.
    {"kind": "status", "phase": "after", "status": 503},
    {"kind": "status", "phase": "before", "status": 429},
)

losses = st.sampled_from(LOSSES)
