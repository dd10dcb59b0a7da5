"""A run's folder, judged: what crossed the wire by the rules, what was measured by whether it may be believed.

The journals of all processes become one and are judged together, after the run. Nothing is asked of the target any
more, and no Locust is needed: what other machines left in the folder counts like the rest.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import floor
from pathlib import Path
from typing import Final

import msgspec

from popreceipt.clock import stopwatch
from popreceipt.exceptions import UsageError
from popreceipt.journal import Entry, Exchange, JournalFile, Observation, instant
from popreceipt.load import merging
from popreceipt.load import run as runs
from popreceipt.load.figures import FORMAT as FIGURES
from popreceipt.load.figures import PRODUCE, Figures, added, percentiles
from popreceipt.load.merging import Merged
from popreceipt.load.plan import CONSUMING, LoadPlan
from popreceipt.load.result import ENOUGH, MOVED, Ceiling, Gate, LoadResult, Standing
from popreceipt.load.run import Run
from popreceipt.load.waits import Waits, beside_monitoring, waits_of
from popreceipt.rules import catalogue
from popreceipt.rules.readings import Readings
from popreceipt.rules.rule import Rule
from popreceipt.verdict import Outcome, RuleVerdict, Verdicts, judge_rule
from popreceipt.vocabulary import ACK, DEQUEUE, DOWNLOAD, ENQUEUE, JOBSTATUS, MESSAGE_STATUS

COUNTS: Final = "figures-*.json"

NEAR: Final = 0.8
"""From this share of a ceiling on, a run measured the ceiling: it lies within a fifth of it."""

DISTORTS: Final = 0.05
"""A round trip that takes more than this share of an interval is no longer nothing beside it."""

LEASE_MINUTES: Final = 30.0
"""The half hour of a dequeued message ("Recurring integrations", section "API for acknowledgment")."""

RECURRING: Final = frozenset({ENQUEUE, DEQUEUE, DOWNLOAD, ACK, JOBSTATUS, MESSAGE_STATUS})
"""Requests that are made again and again; a token is asked for once an hour, and may take its time."""

MOST_OF_IT: Final = 0.5
"""From this share of a response time on, the time that a burst takes at full speed is what was measured."""

MOVING: Final = frozenset({ENQUEUE, PRODUCE, DOWNLOAD, ACK})
"""Requests that move messages; all others only ask, and a run of nothing else had no load."""

TOLD_EVERY: Final = 20_000

UNDER_WAY_SECONDS: Final = 60.0
"""So long (real seconds) a request of a worker may have been under way that died and told nothing more of it."""

EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)

SETUP_WORKER: Final = "setup"

Progress = Callable[[int, int, str], None]
"""Called with how much is done, of how much (0 while that is not known), and what is being done."""


def judge_run(folder: Path, *, progress: Progress | None = None) -> LoadResult:
    """Judge what a run left in its folder.

    Args:
        folder: holds what is known of the run (`run.json`) and the journal and figures of each of its processes.
        progress: told how far it is.

    Raises:
        UsageError: it is no run's folder.
        NothingProved: the journals cannot be put together there.
    """
    began = stopwatch()
    tell: Progress = progress if progress is not None else lambda done, total, words: None  # noqa: ARG005 - nobody asks
    run = runs.read(folder)
    counted = _figures(folder)
    total = added(counted)
    merged = merging.merge(folder, name=run.target, progress=lambda done, of: tell(done, of, "joining journals"))
    recording = JournalFile(merged.path)
    journal = Readings(recording.header, _counted(recording, merged.exchanges, tell))
    rules = catalogue()
    found = [_explained(each, rule, run) for each, rule in zip(_judged(journal, rules, tell), rules, strict=True)]
    whole_until = _whole_until(run, counted, merged)
    if whole_until is not None and any(each.outcome is Outcome.VIOLATED for each in found):
        del journal  # two of them would take twice the memory
        proved = Readings(recording.header, (each for each in recording if _over(each) < whole_until))
        found = [_with_holes(*each) for each in zip(found, _judged(proved, rules, tell), strict=True)]
        del proved
        journal = Readings(recording.header, _counted(recording, merged.exchanges, tell))
    tell(len(rules), len(rules), "judging waits")
    waits = waits_of(journal, run.imports, run.exports)
    start = instant(total.began or run.began)
    lost = _lost(run, counted, merged)
    finished = run.finished and not run.interrupted and not lost and total.finished and bool(counted)
    ceilings = _ceilings(run, counted, total)
    standing, reasons = _standing(run, total, lost, ceilings)
    verdicts = Verdicts(
        rules=tuple(found),
        target=_target(run),
        seed=run.plan.seed,
        duration_seconds=stopwatch() - began,
        complete=recording.complete and finished,
        notes=merged.damage,
    )
    return LoadResult(
        plan=run.plan,
        target=_target(run) | {"rate": run.rate},
        figures=total,
        verdicts=verdicts,
        standing=standing,
        reasons=(*reasons, *run.problems, *_why_short(run, total)),
        ceilings=ceilings,
        gates=_gates(run.plan, total),
        warnings=_warnings(run, total, waits, verdicts, ceilings),
        monitoring=beside_monitoring(journal, waits, start),
        finished=finished,
        journal=str(merged.path),
        messages=waits.as_json(start, len(total.minutes)),
        interrupted=run.interrupted,
        faults=(*run.faults, *_faults(total)),
    )


def _figures(folder: Path) -> list[Figures]:
    found = []
    for path in sorted(folder.glob(COUNTS)):
        try:
            figures = msgspec.json.decode(path.read_bytes(), type=Figures)
        except (OSError, msgspec.MsgspecError) as error:
            raise UsageError(f"{path} does not hold a process's figures: {error}.") from error
        if figures.format != FIGURES:
            raise UsageError(f"{path} has the format {figures.format!r}; this version reads {FIGURES!r}.")
        found.append(figures)
    return found


def _counted(recording: JournalFile, exchanges: int, tell: Progress) -> Iterator[Entry]:
    """The entries of a journal, told as they are read."""
    for done, entry in enumerate(recording, 1):
        if done % TOLD_EVERY == 0:
            tell(min(done, exchanges), exchanges, "reading what crossed the wire")
        yield entry


def _judged(journal: Readings, rules: Sequence[Rule], tell: Progress) -> Iterator[RuleVerdict]:
    for number, rule in enumerate(rules):
        tell(number, len(rules), f"judging {rule.id}")
        yield judge_rule(rule, journal)


def _explained(verdict: RuleVerdict, rule: Rule, run: Run) -> RuleVerdict:
    if verdict.outcome is not Outcome.UNEXERCISED:
        return verdict
    missing = sorted(rule.needs - set(run.abilities))
    lacks = f"{run.target} lacks {', '.join(missing)}"
    return replace(verdict, reason=lacks if missing else "load does not bring it about")


# Where a worker's journal is not whole, what it did is missing, and a message that it took away seems to be lost


def _whole_until(run: Run, counted: Sequence[Figures], merged: Merged) -> datetime | None:
    """Until when all that was sent is known: a request may have been under way for long when its worker died."""
    known = {each.worker for each in merged.parts} | {each.worker for each in counted}
    workers = len(known - {SETUP_WORKER})
    until = EARLIEST if run.workers is not None and workers < run.workers else merged.whole_until
    if until is None:
        return None
    return max(EARLIEST, until - min(until - EARLIEST, timedelta(seconds=UNDER_WAY_SECONDS * max(1.0, run.rate))))


def _over(entry: Entry) -> datetime:
    if isinstance(entry, Exchange):
        return entry.answered
    return entry.at if isinstance(entry, Observation) else entry.clock


def _with_holes(all_told: RuleVerdict, proved: RuleVerdict) -> RuleVerdict:
    """A violation that shows before anything is missing stands; of another one nobody can tell."""
    if all_told.outcome is not Outcome.VIOLATED or proved.outcome is Outcome.VIOLATED:
        return proved if proved.outcome is Outcome.VIOLATED else all_told
    doubtful = tuple(
        msgspec.structs.replace(each, outcome=Outcome.UNDECIDED) if each.outcome is Outcome.VIOLATED else each
        for each in all_told.findings
    )
    reason = "what a lost worker did is missing from the journal, and may explain it"
    return replace(all_told, outcome=Outcome.UNDECIDED, reason=reason, findings=doubtful)


def _target(run: Run) -> dict[str, object]:
    return {"name": run.target, "build": run.build, "clock": run.clock, "abilities": list(run.abilities)}


# Whether it may be believed


def _lost(run: Run, counted: Sequence[Figures], merged: Merged) -> tuple[str, ...]:
    """In words, which workers did not come to their end."""
    lost = list(merged.damage)
    known = {each.worker for each in counted}
    silent = [each.worker for each in merged.parts if each.path.name != merging.SETUP and each.worker not in known]
    lost += [f"worker {each} left no figures" for each in silent]
    expected = run.workers if run.workers is not None else 0
    if len(counted) < expected:
        lost.append(f"{len(counted)} of {expected} told what they did")
    elif not counted:
        lost.append("no worker told what it did")
    return tuple(lost)


def _standing(
    run: Run, figures: Figures, lost: Sequence[str], ceilings: Sequence[Ceiling]
) -> tuple[Standing, tuple[str, ...]]:
    allowed = run.plan.lag_seconds
    invalid = [f"A worker was lost: {each}." for each in lost]
    if figures.worst_lag_seconds > allowed:
        invalid.append(
            f"The generator fell behind: an arrival began {figures.worst_lag_seconds:.3f} s after its time (allowed: "
            f"{allowed:g} s), {figures.late} were later than that."
        )
    if figures.not_begun:
        invalid.append(f"The generator fell behind: {figures.not_begun} arrivals were due and never began.")
    told = [each for each in figures.errors if not _EXCEPTION.match(each)]
    invalid += [each if each.endswith(".") else f"{each}." for each in told]
    if len(told) < len(figures.errors):
        invalid.append("The harness itself failed in the middle of requests.")
    if invalid:
        return Standing.INVALID, tuple(invalid)
    near = [
        f"The run used {each.used:.0%} of what the {each.side} can do on this machine ({each.per_second:,.0f} requests "
        f"a second; {each.how}): {_MEASURED[each.side]}"
        for each in ceilings
        if each.used >= NEAR
    ]
    return (Standing.INCONCLUSIVE, tuple(near)) if near else (Standing.VALID, ())


_MEASURED: Final = {
    "target": "you measured the emulator.",
    "generator": "you measured the generator; give it more processes, or a machine of its own.",
    "machine": "you measured this machine; put generator and target on machines of their own.",
}


def _why_short(run: Run, figures: Figures) -> tuple[str, ...]:
    if run.interrupted:
        return ("The run was stopped by hand: what is told was proved until then.",)
    if not (run.finished and figures.finished):
        return ("The run did not come to its end: what is told was proved until then.",)
    return ()


def _faults(figures: Figures) -> Iterator[str]:
    """Exceptions in users: what a process says in a sentence (a full disk, no token) is no fault of the harness."""
    for words, often in figures.errors.items():
        if _EXCEPTION.match(words):
            yield f"{words} ({often} times)" if often > 1 else words


_EXCEPTION: Final = re.compile(r"[A-Za-z_][\w.]*: ")
"""An exception is told by its name and its words."""


def _ceilings(run: Run, counted: Sequence[Figures], total: Figures) -> tuple[Ceiling, ...]:
    """What generator, target and machine can do at most, from what a request costs them, or as somebody told."""
    requests = sum(each.requests for each in total.operations.values())
    wall = total.wall_seconds
    if not requests or wall <= 0:
        return ()
    # What costs are like on average is known; how close the run came to a ceiling shows at its busiest: in the real
    # second in which most was answered, for shorter stretches tell of chance.
    busiest = max(requests / wall, *total.seconds[: int(wall)], 0.0)
    found = []
    spent = {each.worker: each.cpu_seconds for each in counted if each.cpu_seconds > 0}
    if run.generator_ceiling is not None:
        found.append(_told("generator", run.generator_ceiling, busiest))
    elif spent:
        # Of several processes the one that has most to do gives way first.
        most = max(spent.values()) / sum(spent.values())
        cost = total.cpu_seconds / requests
        how = f"measured: {cost * 1e6:.0f} µs of CPU a request, a core for each of {len(spent)}"
        found.append(Ceiling("generator", 1 / (cost * most), busiest * cost * most, how))
    if run.target_ceiling is not None:
        found.append(_told("target", run.target_ceiling, busiest))
    elif run.ours and run.target_cpu_seconds:
        cost = run.target_cpu_seconds / requests
        how = f"measured: {cost * 1e6:.0f} µs of CPU a request, a core for each of {run.target_processes}"
        per_second = run.target_processes / cost
        found.append(Ceiling("target", per_second, busiest / per_second, how))
        both = (run.target_cpu_seconds + total.cpu_seconds) / requests
        if run.cores:
            how = f"measured: {both * 1e6:.0f} µs of CPU a request on both sides, {run.cores} cores for all"
            found.append(Ceiling("machine", run.cores / both, busiest * both / run.cores, how))
    return tuple(found)


def _told(side: str, per_second: float, busiest: float) -> Ceiling:
    return Ceiling(side, per_second, busiest / per_second, "as told")


# Thresholds


def _gates(plan: LoadPlan, figures: Figures) -> tuple[Gate, ...]:
    thresholds = plan.thresholds
    requests = sum(each.requests for each in figures.operations.values())
    gates = [Gate(ENOUGH, thresholds.min_requests, requests, requests >= thresholds.min_requests)]
    moved = sum(each.requests for name, each in figures.operations.items() if name in MOVING)
    gates.append(Gate(MOVED, 1, moved, moved >= 1))
    if thresholds.error_share is not None:
        failed = sum(sum(each.failures.values()) for each in figures.operations.values())
        share = failed / requests if requests else None
        kept = None if share is None else share <= thresholds.error_share
        gates.append(Gate("share of requests without a success", thresholds.error_share, share, kept))
    if thresholds.p95_ms is not None:
        for name, each in figures.operations.items():
            found = percentiles(each.response)["p95"] if each.requests else None
            kept = None if found is None else found <= thresholds.p95_ms
            gates.append(Gate(f"p95 of the response time of {name}, ms", thresholds.p95_ms, found, kept))
    return tuple(gates)


# What a reader has to know


def _warnings(
    run: Run, figures: Figures, waits: Waits, verdicts: Verdicts, ceilings: Sequence[Ceiling]
) -> tuple[str, ...]:
    found = [*_distortion(run, figures), *_bursts(run, figures, ceilings)]
    if run.plan.shape == "outage" and run.plan.scenario not in CONSUMING:
        found.append(f"Nobody consumes exports in the scenario {run.plan.scenario}: there was no outage.")
    if run.exports and run.plan.scenario in CONSUMING and "produce" not in run.abilities:
        found.append(f"{run.target} cannot be told to produce exports: the plan's rate says nothing of them.")
    if undecided := verdicts.with_outcome(Outcome.UNDECIDED):
        names = ", ".join(each.id for each in undecided[:3])
        more = f" and {len(undecided) - 3} more" if len(undecided) > 3 else ""
        found.append(f"The journal cannot decide {names}{more}.")
    if run.imports and waits.looked >= set(run.imports) and waits.open_imports:
        found.append(
            f"{waits.open_imports} files were not processed when Manage messages was looked at last: their waits are "
            "not among those told."
        )
    if run.plan.monitoring_minutes is not None and "monitoring" not in run.abilities:
        found.append(f"{run.target} cannot be asked for the samples of a monitoring recurrence.")
    if run.plan.monitoring_minutes is not None and run.plan.minutes < run.plan.monitoring_minutes:
        found.append(
            f"The run is shorter than its monitoring recurrence of {run.plan.monitoring_minutes:g} minutes: nothing "
            "was sampled while load ran."
        )
    return tuple(found)


def _distortion(run: Run, figures: Figures) -> Iterator[str]:
    """A clock that runs faster makes round trips longer: say where that is no longer nothing."""
    if run.rate <= 1:
        return
    slowest = {
        name: percentiles(each.service)["p95"] / 1_000
        for name, each in figures.operations.items()
        if each.requests and name in RECURRING
    }
    if not slowest:
        return
    name = max(slowest, key=slowest.__getitem__)
    real, apparent = slowest[name], slowest[name] * run.rate
    what, interval = _shortest(run)
    share = apparent / (interval * 60)
    if share > DISTORTS:
        fitting = floor(round(interval * 60 * DISTORTS / real, 6))
        instead = (
            f"up to scaled:{fitting} it would be {DISTORTS:.0%}"
            if fitting > 1
            else f"with --clock system it would be {real / (interval * 60):.0%}"
        )
        yield (
            f"The clock distorts: a round trip of {name} takes {real * 1_000:.1f} ms (p95), and at scaled:{run.rate:g} "
            f"that is {apparent:.1f} s of the target's time, {share:.0%} of {what} ({interval:g} min). Waits and "
            f"depths are off by about as much; {instead}."
        )


def _bursts(run: Run, figures: Figures, ceilings: Sequence[Ceiling]) -> Iterator[str]:
    """All of a tick comes at once, and nobody answers faster than he can: say where that is what was measured."""
    streams = [figures.operations[each] for each in (ENQUEUE, PRODUCE) if each in figures.operations]
    if run.plan.shape != "ticks" or not ceilings or not streams:
        return
    slowest = min(ceilings, key=lambda each: each.per_second)
    at_once = run.plan.per_hour / 60 * run.plan.processing_minutes * len(streams)
    takes = at_once / slowest.per_second * 1_000
    if takes >= MOST_OF_IT * max(percentiles(each.response)["p95"] for each in streams):
        yield (
            f"At each tick {at_once:,.0f} requests come at once, for which the {slowest.side} needs {takes:.0f} ms of "
            "CPU: response times tell of that more than of anything else."
        )


def _shortest(run: Run) -> tuple[str, float]:
    plan = run.plan
    intervals: dict[str, float] = {}
    if run.imports:
        intervals["the processing recurrence"] = plan.processing_minutes
    if run.exports:
        intervals["the half hour of a delivery"] = LEASE_MINUTES
        intervals["the interval of polling"] = plan.poll_minutes
    if plan.monitoring_minutes is not None:
        intervals["the monitoring recurrence"] = plan.monitoring_minutes
    name = min(intervals, key=lambda each: intervals[each], default="the run")
    return name, intervals.get(name, plan.minutes)
