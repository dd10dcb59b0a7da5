"""The outcome of a load run: latencies with their tail, a verdict on correctness, and whether it may be believed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from popreceipt.load.figures import Figures
from popreceipt.load.plan import LoadPlan
from popreceipt.verdict import Verdicts

FORMAT: Final = "popreceipt/load@1"


class Standing(StrEnum):
    """Whether a run measured what it set out to measure, the worst first.

    INVALID: the generator fell behind its own schedule, or lost a worker. INCONCLUSIVE: the result lies within a fifth
    of the generator's or the target's own ceiling on this machine. VALID: neither.
    """

    INVALID = "INVALID"
    INCONCLUSIVE = "INCONCLUSIVE"
    VALID = "VALID"


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The most that one side can do on this machine, in requests a second, and how that is known.

    `used` is the share of it that the run used.
    """

    side: str  # generator, target
    per_second: float
    used: float
    how: str


@dataclass(frozen=True, slots=True)
class Gate:
    """A threshold, what was found, and whether it was kept; `kept` is None where nothing could be found."""

    what: str
    allowed: float
    found: float | None
    kept: bool | None


@dataclass(frozen=True, slots=True)
class LoadResult:
    """One run, judged.

    Args:
        monitoring: for each sample of the monitoring recurrence its time (minutes from the start), the depth it tells
            and the depth that the run itself counted then.
    """

    plan: LoadPlan
    target: Mapping[str, Any]
    figures: Figures
    verdicts: Verdicts
    standing: Standing
    reasons: tuple[str, ...]
    ceilings: tuple[Ceiling, ...]
    gates: tuple[Gate, ...]
    warnings: tuple[str, ...] = ()
    monitoring: tuple[tuple[float, float, float | None], ...] = ()
    finished: bool = True
    journal: str = ""
    messages: Mapping[str, Any] = field(default_factory=dict)
    """From Manage messages, minutes of the target's time: waits from enqueue to processed, and the backlog."""

    def exit_status(self, *, strict: bool = False) -> int:
        """1 a rule violated or a gate not met, 3 invalid, inconclusive or cut short with nothing found, else 0."""
        raise NotImplementedError

    def as_json(self) -> dict[str, Any]:
        """As `--json` writes it, format `popreceipt/load@1`; `complete` stands last."""
        raise NotImplementedError
