"""What playing a scenario left behind: the journal, the subject's lives and its output. Judged elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from popreceipt.journal import Journal
from popreceipt.middleware.scenario import Scenario
from popreceipt.verdict import RuleVerdict

OUTPUT_KEPT: Final = 8 * 1024
"""Bytes of the subject's output, the last ones, that a verdict carries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """The end of one life of the subject: its exit status, negative for a signal; `by_us` where the scenario was over.

    `status` is None where it could not be started; `words` then say why.
    """

    status: int | None
    seconds: float
    by_us: bool = False
    words: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """A scenario, played.

    Args:
        scenario: which, with the dialect that was put on it.
        lease_seconds: the lease in real seconds.
        seconds: how long it took, from the subject's first start to its last end.
        journal: what crossed the wire and what lay in the folders.
        exits: the ends of the subject's lives.
        output_tail: the last of what it wrote to standard output and standard error.
        fault: what went wrong with us; then nothing may be held against the subject. None where nothing did.
        folder: where journal, output and folders were left; None where nothing was kept.
        cut_short: somebody stopped it before its time.
        lacks: what this computer lacks to play it; then nothing was played. None where it lacks nothing.
    """

    scenario: Scenario
    lease_seconds: float
    seconds: float
    journal: Journal
    exits: tuple[Exit, ...]
    output_tail: str
    fault: str | None = None
    folder: Path | None = None
    cut_short: bool = False
    lacks: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A scenario that was played, and the verdict on each rule that binds clients."""

    played: Played
    rules: tuple[RuleVerdict, ...]

    def as_json(self) -> Mapping[str, Any]:
        """Its block in the verdict file."""
        played = self.played
        return {
            "name": played.scenario.name,
            "title": played.scenario.title,
            "dialect": played.scenario.dialect,
            "lease_seconds": played.lease_seconds,
            "fault": [dict(each) for each in played.scenario.faults] or None,
            "subject": {
                "exits": [each.status for each in played.exits],
                "seconds": round(played.seconds, 3),
                "output_tail": played.output_tail,
            },
            "harness_fault": played.fault,
            "lacks": played.lacks,
            "cut_short": played.cut_short,
            "rules": [each.as_json() for each in self.rules],
        }
