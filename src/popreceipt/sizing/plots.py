"""The plots of an answer: what is drawn, how its axes are called, and what is to be seen in it.

How something is drawn stands elsewhere.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from markupsafe import Markup

from popreceipt.reports import charts, page
from popreceipt.reports.charts import Axis, Colour, Reference, Remark, Series
from popreceipt.sizing import wording
from popreceipt.sizing.result import Candidate, Lease, Sizing

HOURS: Final = 24

DAY_HOURS: Final = tuple(range(0, HOURS + 1, 3))

MARKED: Final = ("p50", "p95", "p99")
"""Percentiles that a distribution shows."""

NEAR: Final = 2.0
"""An objective is drawn into a distribution that reaches at least half of the way to it."""


def waiting(sizing: Sizing) -> Markup:
    """Mean and p95 of the wait against the recurrence, with the objective; those that never settle are named."""
    stable = [each for each in sizing.candidates if each.stable]
    # An interval that reaches down to 0 is cut off at the least figure that there is: the axis is logarithmic.
    least = min(each.wait_minutes["mean"].value for each in stable)

    def over(name: str, colour: Colour, words: str) -> Series:
        return Series(
            words,
            [(each.processing_minutes, each.wait_minutes[name].value) for each in stable],
            colour,
            "line-and-points",
            [(max(each.wait_minutes[name].low, least), each.wait_minutes[name].high) for each in stable],
        )

    series = []
    for name, words in (("p95_minutes", "p95, closed form"), ("mean_minutes", "mean, closed form")):
        exact = [
            (each.processing_minutes, value)
            for each in stable
            if each.bounds.exact and (value := getattr(each.bounds, name)) is not None
        ]
        if len(exact) > 1:
            # On top, since where it holds it lies on what was simulated.
            series.append(Series(words, exact, Colour.INK, "dashed"))
    series += [over("p95", Colour.FIRST, "p95"), over("mean", Colour.SECOND, "mean")]
    chosen = sizing.recommended
    every = [each.processing_minutes for each in sizing.candidates]
    drawn = charts.plot(
        "waits",
        series,
        x=Axis("processing recurrence (minutes)", log=True, ticks=every),
        y=Axis("wait (minutes)", log=True),
        across=_objective(sizing),
        upright=[Reference(chosen.processing_minutes, "recommended", Colour.THIRD)] if chosen is not None else (),
        remarks=[Remark(each.processing_minutes, "never\nsettles") for each in sizing.candidates if not each.stable],
        title="Waiting time against the processing recurrence",
        description="; ".join(
            f"{wording.every(each.processing_minutes)}: mean {wording.figure(each.wait_minutes['mean'].value)}, "
            f"p95 {wording.figure(each.wait_minutes['p95'].value)} minutes"
            for each in stable
        ),
    )
    return page.figure(
        "Waiting time against the processing recurrence",
        drawn,
        "Wait from the end of the enqueue to the end of the processing, both axes logarithmic. Upright bars are 95 % "
        "confidence intervals where they are wider than the points. A dashed line is a closed form, drawn where its "
        "conditions are met.",
    )


def arrivals(hourly: Sequence[float]) -> Markup:
    """Arrivals by the hour of the day."""
    steps = [(hour + part, value) for hour, value in enumerate(hourly) for part in (0, 1)]
    busiest = max(range(HOURS), key=hourly.__getitem__)
    return page.figure(
        "Arrivals over the day",
        charts.plot(
            "arrivals",
            [Series("arrivals", steps, Colour.THIRD)],
            x=Axis("time of day", low=0, high=HOURS, ticks=DAY_HOURS, hours=True),
            y=Axis("messages an hour", low=0),
            title="Arrivals over the day",
            description=f"Most come from {_clock(busiest)} on: {wording.count(hourly[busiest])} an hour.",
            height=140,
        ),
        "Messages an hour, on average over the days.",
    )


def backlog(sizing: Sizing, candidate: Candidate) -> Markup:
    """The backlog over the day, on average and on a bad one, and the depth that is an alarm."""
    steps = len(candidate.day)
    mean = [(HOURS * step / steps, value) for step, (value, _) in enumerate(candidate.day)]
    high = [(HOURS * step / steps, value) for step, (_, value) in enumerate(candidate.day)]
    watch = sizing.monitoring
    alarm = watch is not None and watch.minutes is not None and candidate is sizing.recommended
    busiest = max(high, key=lambda point: point[1])
    return page.figure(
        "Backlog over the day",
        charts.plot(
            "day",
            [
                Series("mean", mean, Colour.FIRST),
                Series("95 of 100 days", high, Colour.SECOND),
            ],
            x=Axis("time of day", low=0, high=HOURS, ticks=DAY_HOURS, hours=True),
            y=Axis("messages not yet processed", low=0),
            across=[Reference(watch.alarm_waiting, "alarm of monitoring")] if watch is not None and alarm else (),
            title="Backlog over the day",
            description=f"On average at most {wording.count(max(value for _, value in mean))} messages; the 95th "
            f"percentile is highest, {wording.count(busiest[1])}, at {_clock(busiest[0])}.",
        ),
        "Messages that have come and are not yet processed, at each quarter of an hour, over all simulated days.",
    )


def density(sizing: Sizing, candidate: Candidate) -> Markup:
    """How the waits of a candidate are distributed, with the objective where it is near."""
    edges, shares = candidate.density
    waits = {name: estimate.value for name, estimate in candidate.wait_minutes.items()}
    every = wording.every(candidate.processing_minutes)
    drawn = charts.histogram(
        "density",
        edges,
        shares,
        x=Axis("wait (minutes)", low=0),
        unit="minute",
        of="messages",
        upright=[*_marked(waits), *(each for each in _objective(sizing) if each.value <= NEAR * edges[-1])],
        title=f"Distribution of waits, processing {every}",
        description=f"Half of the messages wait {wording.figure(waits['p50'])} minutes or less, 99 of 100 "
        f"{wording.figure(waits['p99'])}, the longest {wording.figure(waits['longest'])}.",
    )
    return page.figure(
        f"How long messages wait, processing {every}",
        drawn,
        "The area between two waits is the share of messages that wait so long.",
    )


def holding(lease: Lease) -> Markup:
    """How the time from dequeue to acknowledgment is distributed, with the half hour."""
    edges, shares = lease.density
    held = lease.hold_minutes
    drawn = charts.histogram(
        "hold",
        edges,
        shares,
        x=Axis("from dequeue to acknowledgment (minutes)", low=0),
        unit="minute",
        of="messages",
        upright=[*_marked(held), Reference(wording.HALF_HOUR, "30 minutes: offered again")],
        title="Distribution of the time from dequeue to acknowledgment",
        description=f"95 of 100 messages are acknowledged {wording.figure(held['p95'])} minutes after they were "
        f"dequeued, the last after {wording.figure(held['longest'])}; {wording.share(lease.redelivery_rate.value)} are "
        "not acknowledged within 30 minutes.",
    )
    return page.figure(
        "How long consumers hold a message",
        drawn,
        "What lies right of the red line is offered again before it is acknowledged.",
    )


def _objective(sizing: Sizing) -> list[Reference]:
    return [
        Reference(limit, f"objective: {name} ≤ {wording.plain(limit)} min")
        for name, limit in wording.limits(sizing.plan.objective)
    ]


def _marked(figures: Mapping[str, float]) -> list[Reference]:
    return [Reference(figures[name], f"{name} {wording.figure(figures[name])}", Colour.QUIET) for name in MARKED]


def _clock(hours: float) -> str:
    return f"{int(hours):02d}:{round(hours % 1 * 60):02d}"
