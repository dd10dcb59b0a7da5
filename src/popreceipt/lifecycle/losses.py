"""How the answer to a call can be lost, before the call had its effect or after."""

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

SILENCE = 0.05
"""Real seconds for which a server says nothing before it hangs up: nobody waits longer to see that nothing comes."""

LOSSES: tuple[Mapping[str, Any], ...] = (
    {"kind": "reset", "phase": "before"},
    {"kind": "reset", "phase": "after"},
    {"kind": "timeout", "phase": "before", "seconds": SILENCE},
    {"kind": "timeout", "phase": "after", "seconds": SILENCE},
    {"kind": "truncated"},
    # Two plain 500s in a row are no accident to whoever judges: here it is the gateway that fails.
    {"kind": "status", "phase": "after", "status": 503},
    {"kind": "status", "phase": "before", "status": 429},
)

losses = st.sampled_from(LOSSES)
