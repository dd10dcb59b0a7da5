"""A plan in, its answer out: every candidate in full, the one to set, its margin, monitoring, the export's side.

All candidates are given the same work, replication by replication, so that they differ by their recurrence alone. The
same plan with the same seed has the same answer.
"""

from collections.abc import Callable
from typing import Final

from popreceipt.sizing import in_force
from popreceipt.sizing.cautions import cautions
from popreceipt.sizing.hours import hourly
from popreceipt.sizing.lease import lease
from popreceipt.sizing.margin import MOST, margin
from popreceipt.sizing.monitoring import monitoring
from popreceipt.sizing.plan import Plan
from popreceipt.sizing.recommend import candidate, reasons, recommended
from popreceipt.sizing.result import Candidate, Lease, Margin, Monitoring, Sizing
from popreceipt.sizing.simulation import simulate
from popreceipt.sizing.statistics import REPLICATIONS, Replication, observe
from popreceipt.sizing.trials import MESSAGES, Trials, job_of
from popreceipt.sizing.wording import brief
from popreceipt.sizing.work import DAY, HOUR, Work, demand_of, seeds, work_of

Progress = Callable[[int, int, str], None]
"""Called with the steps done, of all, and what comes next in words."""

FIXED: Final = 2
"""Replications where nothing is left to chance: they are all alike."""


def size(plan: Plan, *, progress: Progress | None = None) -> Sizing:
    """Size a plan.

    Args:
        plan: what is to be sized.
        progress: told of every step.

    Raises:
        UsageError: a file of the plan cannot be used, nothing arrives, or more than can be simulated.
    """
    demand = demand_of(plan)
    replications = seeds(plan, REPLICATIONS if demand.poisson or not demand.constant else FIXED)
    compared = sorted(set(plan.recurrence.candidates_minutes))
    steps = _Steps((len(replications) + 1) * len(compared) + (2 if plan.export else 0) + 3, progress)
    work = work_of(plan, seed=replications[0])
    seen = _simulated(plan, work, replications, compared, steps)
    trials = Trials(plan)
    candidates: list[Candidate] = []
    for minutes in compared:
        steps.next(f"every {minutes:g} minutes, with an hour of standstill")
        candidates.append(candidate(plan, minutes, seen[minutes], trials))
    chosen = recommended(candidates)
    exports: Lease | None = None
    if plan.export is not None:
        steps.next("consumers of exports")
        exports = lease(plan, plan.export, work, tell=lambda: steps.next("consumers of exports, with an outage"))
    bears, watched = _of_chosen(plan, chosen, exports, trials, steps)
    rates = hourly(plan.arrivals, work)
    beside_recorded, told = in_force.of_plan(plan)
    why = tuple(reasons(plan, candidates, chosen, trials))
    steps.done()
    return Sizing(
        plan=plan,
        candidates=tuple(candidates),
        recommended=chosen,
        monitoring=watched,
        margin=bears,
        lease=exports,
        method="\n\n".join((_method(plan, len(replications), work), *told)),
        reasons=why,
        warnings=(*plan.warnings, *cautions(plan, chosen, rates, len(work.arrived), watched, exports)),
        compared=beside_recorded,
        figures={
            "messages": len(work.arrived),
            "days": work.horizon / DAY,
            "replications": len(replications),
            "per_hour": demand.rate * HOUR,
            "hourly": list(rates),
            "service_seconds": demand.service,
        },
    )


class _Steps:
    """How far it is."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._total = total
        self._progress = progress
        self._begun = 0

    def next(self, words: str) -> None:
        """The next step begins."""
        if self._progress is not None:
            self._progress(self._begun, self._total, words)
        self._begun += 1

    def done(self) -> None:
        """All of it is done, with whatever was not needed."""
        if self._progress is not None:
            self._progress(self._total, self._total, "done")


def _simulated(
    plan: Plan, first: Work, replications: tuple[int, ...], compared: list[float], steps: _Steps
) -> dict[float, list[Replication]]:
    """What was seen of every recurrence in each replication; the work of the first one is at hand."""
    seen: dict[float, list[Replication]] = {minutes: [] for minutes in compared}
    for number, seed in enumerate(replications, 1):
        work = first if number == 1 else work_of(plan, seed=seed)
        for minutes in compared:
            steps.next(f"replication {number} of {len(replications)}, every {minutes:g} minutes")
            seen[minutes].append(observe(simulate(work, job_of(plan, minutes))))
    return seen


def _of_chosen(
    plan: Plan, chosen: Candidate | None, exports: Lease | None, trials: Trials, steps: _Steps
) -> tuple[Margin | None, Monitoring | None]:
    """What the recommended recurrence bears, and how it is to be monitored."""
    if chosen is None:
        return None, None
    minutes = chosen.processing_minutes
    steps.next(f"how much every {minutes:g} minutes bears")
    bears = margin(trials, minutes, exports)
    if bears.load_factor >= MOST:
        return bears, None
    steps.next("ordinary days, monitored")
    watched = monitoring(plan, minutes, bears.load_factor, tell=lambda: steps.next("overloads, monitored"))
    return bears, watched


def _method(plan: Plan, replications: int, work: Work) -> str:
    drawn = "drawn" if demand_of(plan).poisson else "as recorded"
    return (
        f"{replications} replications of {brief(work.horizon / DAY)} days, {drawn}, the same for every recurrence; "
        "intervals (95 %) are Student's t over the replications. A recurrence is recommended by the upper end. Margins "
        "are found by bisection to a hundredth in one stretch of its own (whole days with about "
        f"{MESSAGES:,} messages or more), monitoring by trials in which the overload sets "
        "in at once, the drain by several standstills of an hour in the busiest hour, of which the middle one is told. "
        "Closed forms stand beside as a check and decide nothing."
    )
