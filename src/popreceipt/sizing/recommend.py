"""Which of the recurrences to set: the longest that meets the objective, for sure and for good.

For sure is by the upper ends of the confidence intervals. For good is when it finds its way back after an hour of
standstill: above half load a run that outlasts its recurrence can make the next ones do so too. Where they do, it has
to bear a tenth more arrivals besides. It simulates nothing in full; that is done when it is asked.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from popreceipt.sizing.bounds import bounds_of
from popreceipt.sizing.margin import OVERRUNS
from popreceipt.sizing.plan import CANDIDATES, Plan
from popreceipt.sizing.result import Candidate, Estimate
from popreceipt.sizing.statistics import Replication, summarise
from popreceipt.sizing.trials import Trials, limits, surely_kept
from popreceipt.sizing.wording import brief, plain
from popreceipt.sizing.work import MINUTE, demand_of

THREADS: Final = (2, 3, 4, 6, 8, 12, 16)
"""Files at once that are tried as a remedy: a batch server has no more than 16 threads ("Batch capacity")."""

OTHERS: Final = CANDIDATES
"""Minutes of recurrences that are tried as a remedy where they were not compared."""

MORE: Final = 1.1
"""Factor of the arrivals that a recurrence has to bear when runs outlast it."""

FASTER: Final = (0.9, 0.75, 0.5, 0.33, 0.25, 0.1)
"""Parts of the service times that are tried as a remedy."""


def candidate(plan: Plan, minutes: float, replications: Sequence[Replication], trials: Trials) -> Candidate:
    """A processing recurrence with all its figures.

    Args:
        plan: that it is for.
        minutes: the recurrence.
        replications: of it, in full.
        trials: of the plan.
    """
    summary = summarise(replications)
    bounds = bounds_of(plan, minutes)
    meets = bounds.stable and surely_kept(plan.objective, summary.wait_minutes)
    heals = meets and trials.heals(minutes)
    in_step = summary.overruns <= OVERRUNS
    safe = heals and (in_step or trials.keeps(minutes, load=MORE))
    why: str | None = None
    if not bounds.stable:
        why = f"never settles; {bounds.why}."
    elif not meets:
        missed = " and ".join(
            f"{name} is {_between(summary.wait_minutes[name], limit)} minutes where {plain(limit)} are allowed"
            for name, limit in limits(plan.objective).items()
            if summary.wait_minutes[name].high > limit
        )
        why = f"misses the objective: {missed}."
    elif not heals:
        why = "meets the objective until runs get out of step: after an hour of standstill they never find back."
    elif not safe:
        why = (
            f"meets the objective only just: {summary.overruns:.0%} of the runs outlast the recurrence, and with a "
            "tenth more arrivals it is missed."
        )
    return Candidate(
        processing_minutes=minutes,
        stable=bounds.stable,
        utilisation=summary.utilisation,
        wait_minutes=summary.wait_minutes,
        backlog=summary.backlog,
        meets_objective=meets,
        bounds=bounds,
        overruns=summary.overruns,
        density=summary.density,
        day=summary.day,
        safe=safe,
        why=why,
    )


def recommended(candidates: Sequence[Candidate]) -> Candidate | None:
    """The longest that meets the objective and is safe, if there is one."""
    good = [each for each in candidates if each.meets_objective and each.safe]
    return max(good, key=lambda each: each.processing_minutes, default=None)


def reasons(plan: Plan, candidates: Sequence[Candidate], chosen: Candidate | None, trials: Trials) -> Iterator[str]:
    """Why this one, and what is wrong with the next longer one; why none, and what would help."""
    if chosen is None:
        if any(each.stable for each in candidates):
            yield from (f"{_every(each.processing_minutes)}: {each.why}" for each in candidates)
        else:
            yield f"None of the recurrences ever settles; {candidates[-1].bounds.why}."
        yield from _by_itself(plan)
        helping = list(remedies(plan, trials))
        yield from helping
        if not helping:
            yield (
                f"Neither another recurrence from {OTHERS[0]:g} to {OTHERS[-1]:g} minutes would help, nor files in "
                f"{FASTER[-1]:.0%} of the time they take, nor {THREADS[-1]} at once."
            )
        return
    figures = " and ".join(
        f"{name} {_between(chosen.wait_minutes[name], limit)} minutes where {plain(limit)} are allowed"
        for name, limit in limits(plan.objective).items()
    )
    yield (
        f"{_every(chosen.processing_minutes)} is the longest recurrence that meets the objective by the upper end of "
        f"its confidence interval ({figures}), and does so again after an hour of standstill"
        f"{'' if chosen.overruns <= OVERRUNS else ' and with a tenth more arrivals'}."
    )
    longer = [each for each in candidates if each.processing_minutes > chosen.processing_minutes]
    if longer:
        following = min(longer, key=lambda each: each.processing_minutes)
        yield f"{_every(following.processing_minutes)}: {following.why}"
    bounds, waits = chosen.bounds, chosen.wait_minutes
    if bounds.exact and bounds.p95_minutes is not None and bounds.mean_minutes is not None:
        yield (
            f"Closed forms, which hold here, give a mean of {brief(bounds.mean_minutes)} and a p95 of "
            f"{brief(bounds.p95_minutes)} minutes; simulated are {brief(waits['mean'].value)} and "
            f"{brief(waits['p95'].value)}."
        )


def _by_itself(plan: Plan) -> Iterator[str]:
    """That one file by itself takes longer than the objective allows, if it does: no recurrence changes that."""
    demand, startup = demand_of(plan), plan.batch.startup_seconds
    least = {"mean": demand.service, "p95": float(demand.quantiles[189]), "p99": float(demand.quantiles[197])}
    for name, limit in limits(plan.objective).items():
        minutes = (startup + least.get(name, demand.service)) / MINUTE
        if minutes > limit:
            yield (
                f"To start a run and process a single file takes {brief(minutes)} minutes ({name}), and "
                f"{plain(limit)} are allowed: no recurrence changes that."
            )
            return


def _every(minutes: float) -> str:
    return "Every minute" if minutes == 1 else f"Every {minutes:g} minutes"


def _between(estimate: Estimate, limit: float) -> str:
    """A figure with its confidence interval, where that has a width that can be seen.

    In three digits, or as many as tell it from its limit.
    """
    digits = next((each for each in range(3, 8) if brief(estimate.high, each) != brief(limit, each)), 3)
    value, low, high = (brief(each, digits) for each in (estimate.value, estimate.low, estimate.high))
    return value if low == high else f"{value} ({low} to {high})"


def remedies(plan: Plan, trials: Trials) -> Iterator[str]:
    """What would help where no candidate does, each by itself, by short trials."""
    tried = plan.recurrence.candidates_minutes

    def works(among: Sequence[float], these: Trials, slower: float = 1.0) -> float | None:
        good = (each for each in among if these.keeps(each, slower=slower) and these.heals(each, slower=slower))
        return max(good, default=None)

    other = works([each for each in OTHERS if each not in tried], trials)
    if other is not None:
        yield f"What would help: {_every(other).lower()}, which was not compared."
    for faster in FASTER:
        minutes = works(tried, trials, faster)
        if minutes is not None:
            yield f"What would help: files in {faster:.0%} of the time they take, {_every(minutes).lower()}."
            break
    for threads in THREADS:
        if threads <= plan.batch.parallel:
            continue
        batch = msgspec.structs.replace(plan.batch, in_order=False, parallel=threads)
        minutes = works(tried, Trials(msgspec.structs.replace(plan, batch=batch)))
        if minutes is not None:
            order = ', which gives up "Process messages in order"' if plan.batch.in_order else ""
            yield f"What would help: {threads} files at once{order}, {_every(minutes).lower()}."
            break
