"""An answer in words: the sentence at the top, figures with their units, what a row of the comparison is called.

Terminal and page say the same because both ask here. It decides nothing: whether a candidate is good enough is told by
the answer.
"""

import math
from collections.abc import Iterator
from typing import Final

from popreceipt.reports.page import Tone
from popreceipt.sizing.plan import LEASE, Objective, Plan, Service, Spread
from popreceipt.sizing.result import Candidate, Compared, Estimate, Margin, Sizing

HALF_HOUR: Final = LEASE.total_seconds() / 60
"""Minutes after which a message that nobody acknowledged is offered again."""

WAITS: Final = {
    "mean": "mean",
    "p50": "half of them",
    "p95": "95 of 100",
    "p99": "99 of 100",
    "longest": "longest",
}


def figure(value: float | None) -> str:
    """A figure with three significant digits, a large one whole; a dash where there is none."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞"
    rounded = abs(float(f"{value:.3g}"))
    if rounded >= 100:
        return f"{value:,.0f}"
    digits = 2 if rounded < 10 else 1
    return f"{value:.{digits}f}" if value else "0"


def count(value: float | None) -> str:
    """How many, on average perhaps: whole from ten on."""
    if value is None or not math.isfinite(value):
        return figure(value)
    return f"{value:,.0f}" if value >= 10 or value == round(value) else f"{value:.2g}"


def messages(number: float) -> str:
    """So many messages."""
    return "1 message" if number == 1 else f"{count(number)} messages"


def plain(value: float) -> str:
    """A figure as somebody would write it in a plan: 5, 7.5; a million and more without an exponent."""
    return f"{value:,.0f}" if abs(value) >= 999_999.5 else f"{value:g}"


def brief(value: float, digits: int = 3) -> str:
    """A figure in running words, so many digits of it and no exponent: 8.4, 42,400."""
    rounded = float(f"{value:.{digits}g}")
    if not math.isfinite(rounded) or 0 < abs(rounded) < 1e-4:
        return f"{value:.{digits}g}"
    return f"{rounded:,.10f}".rstrip("0").rstrip(".")


def interval(estimate: Estimate) -> str:
    """Its confidence interval; nothing where it has no width."""
    low, high = figure(estimate.low), figure(estimate.high)
    return f"{low}–{high}" if low != high else ""


def share(value: float) -> str:
    """A part of one in per cent; what is there but too little to be seen says so."""
    percent = 100 * value
    if 0 < percent < 0.01:
        return "< 0.01 %"
    return f"{percent:.2g} %" if percent < 10 else f"{percent:.0f} %"


def duration(minutes: float | None) -> str:
    """Minutes in the unit in which they are best understood; `never` where there is no end."""
    if minutes is None or not math.isfinite(minutes):
        return "never"
    if minutes < 1:
        return f"{60 * minutes:.0f} s"
    if minutes < 120:
        return f"{minutes:.3g} min"
    if minutes < 48 * 60:
        return f"{minutes / 60:.3g} h"
    return f"{brief(minutes / 1440)} days"


def every(minutes: float | None) -> str:
    """A recurrence: every 15 minutes."""
    if minutes is None:
        return "never"
    return "every minute" if minutes == 1 else f"every {plain(minutes)} minutes"


def times(factor: float | None, most: float) -> str:
    """A factor of growth; one that was not looked for beyond says so."""
    if factor is None:
        return "–"
    return f"at least {plain(most)} times" if factor >= most else f"{factor:.3g} times"


def since(factor: float, most: float, of: str) -> str:
    """From which factor of growth on something happens."""
    if factor <= 1:
        return "already as it is"
    return f"not even at {plain(most)} times {of}" if factor >= most else f"from {times(factor, most)} {of} on"


def simulated(sizing: Sizing) -> str:
    """How much was simulated, how often, and with which seed."""
    run = sizing.plan.run
    length = duration(1440 * run.days) if run.days < 1 else "1 day" if run.days == 1 else f"{brief(run.days)} days"
    replications = sizing.figures.get("replications", 1)
    return f"{length}{f', {replications} times anew' if replications > 1 else ''}, seed {run.seed}"


def limits(objective: Objective) -> Iterator[tuple[str, float]]:
    """What an objective limits, by the names of the waits, each with its minutes."""
    for name in WAITS:
        limit = getattr(objective, f"{name}_minutes", None)
        if limit is not None:
            yield name, limit


def objective(plan: Plan) -> str:
    """The objective in words."""
    told = [
        f"{'the mean' if name == 'mean' else 'the longest' if name == 'longest' else name} within {duration(limit)}"
        for name, limit in limits(plan.objective)
    ]
    return " and ".join(told)


def promised(sizing: Sizing, candidate: Candidate) -> str:
    """What a candidate does for each limit of the objective: p95 waits 9.80 min (objective: 15 min)."""
    told = [
        f"{_who(name)} {duration(candidate.wait_minutes[name].value)} (objective {duration(limit)})"
        for name, limit in limits(sizing.plan.objective)
    ]
    return "; ".join(told)


def sentence(sizing: Sizing) -> str:
    """The answer in one sentence."""
    chosen = sizing.recommended
    if chosen is None:
        tried = ", ".join(plain(each.processing_minutes) for each in sizing.candidates)
        if not any(each.stable for each in sizing.candidates):
            return f"More comes than can be processed: the queue grows at every recurrence tried (minutes: {tried})."
        return f"No recurrence tried (minutes: {tried}) meets the objective, {objective(sizing.plan)}."
    said = f"Process {every(chosen.processing_minutes)}"
    if sizing.monitoring is not None and sizing.monitoring.minutes is not None:
        said += f", monitor {every(sizing.monitoring.minutes)}"
    return f"{said}: {promised(sizing, chosen)}."


def bears(margin: Margin) -> str:
    """What a recommendation bears, in one sentence."""
    if min(margin.load_factor, margin.service_factor) <= 1:
        return "Margin: none to speak of; in a shorter stretch of its own the objective was missed as it is."
    if margin.load_factor >= margin.at_most and margin.service_factor >= margin.at_most:
        return f"Arrivals and service times may each grow {times(margin.at_most, margin.at_most)}."
    return (
        f"Margin: the objective holds until arrivals grow to {times(margin.load_factor, margin.at_most)} "
        f"their number, or service times to {times(margin.service_factor, margin.at_most)} their length."
    )


def standing(sizing: Sizing, candidate: Candidate) -> tuple[str, Tone]:
    """What a candidate is called in the comparison, and how that is meant."""
    if candidate is sizing.recommended:
        return "recommended", Tone.GOOD
    if not candidate.stable:
        return "never settles", Tone.BAD
    if not candidate.meets_objective:
        return "misses", Tone.BAD
    return ("meets", Tone.GOOD) if candidate.safe else ("not safe", Tone.CAUTION)


def shown(sizing: Sizing) -> Candidate | None:
    """The candidate that is looked at closely: the recommended one, else the stable one with the shortest p95."""
    if sizing.recommended is not None:
        return sizing.recommended
    stable = [each for each in sizing.candidates if each.stable]
    return min(stable, key=lambda each: each.wait_minutes["p95"].value, default=None)


def arrivals(plan: Plan) -> str:
    """What a plan says of arrivals."""
    said = plan.arrivals
    if said.per_hour is not None:
        return f"{plain(said.per_hour)} messages an hour, at random (Poisson)"
    if said.profile is not None:
        busiest = max(said.profile)
        return (
            f"at random by the hour of the day (Poisson): {plain(sum(said.profile))} messages a day, "
            f"{plain(busiest)} in the busiest hour"
        )
    if said.trace is not None:
        return f"as recorded in {said.trace}"
    return f"as measured in {said.measured or said.messages}"


def service(plan: Plan) -> str:
    """What a plan says of service times."""
    said: Service = plan.service
    spread = said.seconds if isinstance(said.seconds, Spread) else None
    if spread is None and said.median is not None and said.p95 is not None:
        spread = Spread(said.median, said.p95)
    if spread is not None:
        return f"lognormal: half of the files within {plain(spread.median)} s, 95 of 100 within {plain(spread.p95)} s"
    if isinstance(said.seconds, int | float):
        return f"{plain(said.seconds)} s each"
    return f"as measured in {said.measured or said.messages}"


def batch(plan: Plan) -> str:
    """What a plan says of the batch job."""
    how = "one file after the other" if plan.batch.in_order else f"{plan.batch.parallel} files at once"
    after = "at the following tick" if plan.batch.after_overrun == "next-tick" else "at once"
    return (
        f"{how}, {plain(plan.batch.startup_seconds)} s to start a run; after a run that outlasts its recurrence {after}"
    )


def _who(name: str) -> str:
    return {
        "mean": "the mean wait is",
        "p50": "half of the messages are processed within",
        "p95": "95 of 100 messages are processed within",
        "p99": "99 of 100 within",
        "longest": "the longest wait is",
    }[name]


def differs(compared: Compared) -> str:
    """By how much what was observed differs from what was predicted, as a part of what was observed."""
    if not compared.observed:
        return "0 %" if not compared.predicted else "–"
    return f"{100 * (compared.predicted / compared.observed - 1):+.1f} %"
