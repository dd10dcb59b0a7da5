"""The outcome of a load run: latencies with their tail, a verdict on correctness, and whether it may be believed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import msgspec

from popreceipt.exceptions import UsageError
from popreceipt.load.figures import Figures, percentiles
from popreceipt.load.plan import LoadPlan
from popreceipt.verdict import Level, Outcome, Verdicts

FORMAT: Final = "popreceipt/load@1"

ENOUGH: Final = "requests, at least"
"""The gate that tells a run which proves something from one that hardly happened."""


MOVED: Final = "files handed in, exports produced or taken, at least"
"""The gate that tells a run with load from one that only found empty queues."""


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

    `used` is the share of it that the run used at its busiest.
    """

    side: str  # generator, target, machine
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
        plan: what it should do.
        target: its name, build, clock, rate and abilities.
        figures: what its processes counted, as one.
        verdicts: of the rules, over all that crossed the wire.
        standing: whether what was measured may be believed.
        reasons: for another standing than VALID, and for an end before its time, in words.
        ceilings: of both sides, as far as they are known.
        gates: thresholds and what was found.
        warnings: in words, what a reader of the figures has to know.
        monitoring: for each sample of the monitoring recurrence its time (minutes from the start), the depth it tells
            and the depth that the run itself counted then.
        finished: it came to the end of its plan.
        journal: where all that crossed the wire stands.
        messages: from Manage messages and the journal, in minutes of the target's time: waits and backlog.
        interrupted: somebody stopped it.
        faults: in words, what went wrong in the harness itself; then nothing else counts.
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
    interrupted: bool = False
    faults: tuple[str, ...] = ()

    @property
    def requests(self) -> int:
        """How many requests were answered, or failed."""
        return sum(each.requests for each in self.figures.operations.values())

    @property
    def failed(self) -> int:
        """How many of them ended without a success."""
        return sum(sum(each.failures.values()) for each in self.figures.operations.values())

    @property
    def missed(self) -> tuple[Gate, ...]:
        """The thresholds that were not kept."""
        return tuple(each for each in self.gates if each.kept is False)

    def convicted(self, *, strict: bool = False) -> bool:
        """Whether a MUST was violated (`strict`: any rule, or one undecided): no pace makes that undone."""
        broken = [each for each in self.verdicts.with_outcome(Outcome.VIOLATED) if strict or each.level is Level.MUST]
        return bool(broken) or (strict and bool(self.verdicts.with_outcome(Outcome.UNDECIDED)))

    def exit_status(self, *, strict: bool = False) -> int:
        """What the command ends with.

        4 a fault of the harness; 1 a rule violated, however the run went, or a threshold not kept in a VALID one; 3
        INVALID, INCONCLUSIVE, cut short, a journal that is not whole, or nothing exercised; else 0.
        """
        if self.faults:
            return 4
        if self.convicted(strict=strict):
            return 1
        proved = self.finished and self.standing is Standing.VALID and self.verdicts.exit_status(strict=strict) == 0
        if not proved or any(each.what in (ENOUGH, MOVED) for each in self.missed):
            return 3
        return 1 if self.missed else 0

    def as_json(self) -> dict[str, Any]:
        """As `--json` writes it, format `popreceipt/load@1`; `complete` stands last."""
        figures = self.figures
        return {
            "format": FORMAT,
            "plan": msgspec.to_builtins(self.plan),
            "target": {**self.target, "abilities": list(self.target.get("abilities", ()))},
            "standing": self.standing.value,
            "reasons": list(self.reasons),
            "finished": self.finished,
            "interrupted": self.interrupted,
            "faults": list(self.faults),
            "operations": {
                name: {
                    "requests": each.requests,
                    "failures": dict(each.failures),
                    "response_ms": dict(percentiles(each.response)),
                    "service_ms": dict(percentiles(each.service)),
                    "response_histogram": each.response,
                    "service_histogram": each.service,
                }
                for name, each in figures.operations.items()
            },
            "minutes": [msgspec.to_builtins(each) for each in figures.minutes],
            "generator": {
                "workers": [each for each in figures.worker.split(",") if each],
                "arrivals": figures.arrivals,
                "worst_lag_seconds": figures.worst_lag_seconds,
                "late": figures.late,
                "not_begun": figures.not_begun,
                "polls": figures.polls,
                "cpu_seconds": figures.cpu_seconds,
                "wall_seconds": figures.wall_seconds,
            },
            "ceilings": [
                {"side": each.side, "per_second": each.per_second, "used": each.used, "how": each.how}
                for each in self.ceilings
            ],
            "gates": [
                {"what": each.what, "allowed": each.allowed, "found": each.found, "kept": each.kept}
                for each in self.gates
            ],
            "warnings": list(self.warnings),
            "monitoring": [
                {"minutes": at, "waiting": waiting, "counted": counted} for at, waiting, counted in self.monitoring
            ],
            "messages": dict(self.messages),
            "journal": self.journal,
            "verdicts": self.verdicts.as_json(),
            "complete": self.finished and self.verdicts.complete,
        }

    def write(self, path: Path) -> None:
        """Write the JSON in two steps, so that a file that was cut off never says that it is complete.

        Raises:
            UsageError: it cannot be written.
        """
        content = self.as_json()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(content | {"complete": False}, indent=1), encoding="utf-8")
            if content["complete"]:
                path.write_text(json.dumps(content, indent=1), encoding="utf-8")
        except OSError as error:
            raise UsageError(f"Cannot write {path}: {error.strerror or error}. Give another file.") from error
