"""Which recurrence to set and why, what it bears, and what is warned of."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from popreceipt.sizing.answer import size
from popreceipt.sizing.bounds import bounds_of
from popreceipt.sizing.cautions import cautions
from popreceipt.sizing.margin import MOST, first_factor, margin
from popreceipt.sizing.plan import Arrivals, BatchJob, Export, Objective, Plan, Recurrence, Run, Service, Spread
from popreceipt.sizing.recommend import _between, candidate, reasons, recommended, remedies
from popreceipt.sizing.result import Bounds, Candidate, Estimate, Lease, Monitoring
from popreceipt.sizing.simulation import Job, simulate
from popreceipt.sizing.statistics import observe
from popreceipt.sizing.trials import Trials, drained, job_of, kept, limits, surely_kept
from popreceipt.sizing.work import Work, seeds, work_of

SURE = Estimate(10.0, 9.0, 11.0)


def plan_of(
    per_hour: float,
    seconds: float | Spread,
    objective: Objective | None = None,
    batch: BatchJob | None = None,
    *,
    candidates: tuple[float, ...] = (2.0, 5.0, 10.0, 15.0, 30.0),
    days: float = 4.0,
) -> Plan:
    return Plan(
        Arrivals(per_hour=per_hour),
        Service(seconds=seconds),
        batch or BatchJob(),
        objective or Objective(p95_minutes=15.0),
        Recurrence(candidates),
        run=Run(days=days, seed=7),
    )


def candidates_of(plan: Plan) -> tuple[list[Candidate], Trials]:
    trials = Trials(plan)
    works = [work_of(plan, seed=seed) for seed in seeds(plan, 4)]
    return [
        candidate(plan, each, [observe(simulate(work, job_of(plan, each))) for work in works], trials)
        for each in plan.recurrence.candidates_minutes
    ], trials


# Objectives


def test_an_objective_has_limits() -> None:
    """By the names of the waits; what is left out limits nothing."""
    objective = Objective(p95_minutes=15.0, longest_minutes=60.0)
    assert limits(objective) == {"p95": 15.0, "longest": 60.0}
    waits = {"mean": 99.0, "p50": 99.0, "p95": 15.0, "p99": 99.0, "longest": 60.0}
    assert kept(objective, waits)
    assert not kept(objective, waits | {"longest": 60.1})
    assert not kept(objective, waits | {"p95": 15.1})
    assert surely_kept(Objective(p95_minutes=11.0), {"p95": SURE})
    assert not surely_kept(Objective(p95_minutes=10.9), {"p95": SURE})


# Candidates and the choice


def test_the_longest_that_meets_the_objective() -> None:
    """Light load: waits end with the recurrence, so the longest below the objective is the one."""
    plan = plan_of(60.0, 4.0)
    candidates, trials = candidates_of(plan)
    chosen = recommended(candidates)
    assert chosen is not None
    assert chosen.processing_minutes == 15.0
    assert [each.meets_objective for each in candidates] == [True, True, True, True, False]
    assert all(each.safe for each in candidates if each.meets_objective)
    assert chosen.why is None
    told = list(reasons(plan, candidates, chosen, trials))
    assert "Every 15 minutes is the longest" in told[0]
    assert told[1].startswith("Every 30 minutes: misses the objective: p95 is")
    assert told[2].startswith("Closed forms, which hold here")
    assert chosen.bounds == bounds_of(plan, 15.0)


def test_the_longest_of_all_has_none_behind_it() -> None:
    """With every candidate good enough nothing is said of a longer one."""
    plan = plan_of(60.0, 4.0, candidates=(1.0, 5.0))
    candidates, trials = candidates_of(plan)
    told = list(reasons(plan, candidates, recommended(candidates), trials))
    assert len(told) == 2
    assert "Every 5 minutes is the longest" in told[0]


def test_it_goes_by_the_upper_end_of_the_interval() -> None:
    """A figure below the objective whose interval reaches above it is not enough."""
    base = plan_of(60.0, Spread(4.0, 12.0), Objective(longest_minutes=1e9), candidates=(5.0,))
    (found,), _ = candidates_of(base)
    longest = found.wait_minutes["longest"]
    assert longest.value < longest.high
    between = Objective(longest_minutes=(longest.value + longest.high) / 2)
    (missed,), _ = candidates_of(msgspec.structs.replace(base, objective=between))
    assert not missed.meets_objective
    assert missed.why is not None
    assert "longest" in missed.why
    (met,), _ = candidates_of(msgspec.structs.replace(base, objective=Objective(longest_minutes=longest.high)))
    assert met.meets_objective


def test_one_that_never_finds_back_is_not_safe() -> None:
    """At eight tenths of the load half an hour is kept as long as no run is late; an outage ends that for good."""
    plan = plan_of(600.0, 4.8, Objective(p95_minutes=31.0), candidates=(2.0, 30.0))
    candidates, trials = candidates_of(plan)
    assert candidates[1].meets_objective
    assert candidates[1].overruns == 0.0
    assert not candidates[1].safe
    assert candidates[1].why is not None
    assert "standstill" in candidates[1].why
    chosen = recommended(candidates)
    assert chosen is candidates[0]
    assert list(reasons(plan, candidates, chosen, trials))[1].startswith("Every 30 minutes: meets the objective until")


def test_where_a_late_run_is_followed_at_once_it_finds_back() -> None:
    """The same plan, with the next run at once: what was missed is made up for."""
    batch = BatchJob(after_overrun="at-once")
    plan = plan_of(600.0, 4.8, Objective(p95_minutes=31.0), batch, candidates=(2.0, 30.0))
    chosen = recommended(candidates_of(plan)[0])
    assert chosen is not None
    assert chosen.processing_minutes == 30.0


def test_one_that_is_out_of_step_has_to_bear_more() -> None:
    """Nearly all runs outlast five minutes: the objective is met, but not with a tenth more."""
    plan = plan_of(600.0, 4.8, Objective(p95_minutes=15.0), candidates=(2.0, 5.0))
    candidates, _ = candidates_of(plan)
    assert candidates[1].meets_objective
    assert candidates[1].overruns > 0.9
    assert not candidates[1].safe
    assert candidates[1].why is not None
    assert "only just" in candidates[1].why
    assert candidates[0].safe
    assert candidates[0].overruns > 0.9


def test_an_overloaded_plan() -> None:
    """More comes than can be processed: nothing is recommended, one reason is told, and what would help."""
    plan = plan_of(600.0, 8.0)
    candidates, trials = candidates_of(plan)
    assert not any(each.stable or each.meets_objective or each.safe for each in candidates)
    assert recommended(candidates) is None
    told = list(reasons(plan, candidates, None, trials))
    assert told[0].startswith("None of the recurrences ever settles; files need")
    assert any("files in" in each for each in told)
    assert any('gives up "Process messages in order"' in each for each in told)
    assert trials.at(5.0) is None
    assert not trials.keeps(5.0)
    assert not trials.heals(5.0)


def test_an_objective_out_of_reach() -> None:
    """Waits of a second: no candidate, no speed, no threads would do, and that is said."""
    plan = plan_of(60.0, 4.0, Objective(p95_minutes=0.02), candidates=(5.0, 10.0))
    candidates, trials = candidates_of(plan)
    assert recommended(candidates) is None
    told = list(reasons(plan, candidates, None, trials))
    assert told[0].startswith("Every 5 minutes: misses the objective")
    assert told[-1].startswith("Neither another recurrence from 1 to 60 minutes would help, nor files in 10%")


def test_a_shorter_recurrence_would_help() -> None:
    """The objective is met by one that was not compared."""
    plan = plan_of(60.0, 4.0, Objective(p95_minutes=6.0), candidates=(15.0, 30.0))
    told = list(remedies(plan, Trials(plan)))
    assert told == ["What would help: every 5 minutes, which was not compared."]


def test_figures_beside_their_limits() -> None:
    """As many digits as tell them apart, and no exponent: 10 where 10 are allowed would be no reason."""
    near = Estimate(10.004, 9.98, 10.028)
    assert _between(near, 10.0) == "10 (9.98 to 10.03)"
    assert _between(near, 15.0) == "10 (9.98 to 10)"
    assert _between(Estimate(1234.5, 1234.0, 1235.0), 15.0) == "1,230 (1,230 to 1,240)"
    assert _between(Estimate(2.0, 2.0, 2.0), 5.0) == "2"


def test_a_file_that_takes_longer_than_is_allowed() -> None:
    """Four minutes by itself and three allowed: no recurrence changes that, and it is said."""
    plan = plan_of(6.0, 240.0, Objective(p95_minutes=3.0), BatchJob(startup_seconds=30.0), candidates=(5.0,))
    candidates, trials = candidates_of(plan)
    told = list(reasons(plan, candidates, None, trials))
    assert "To start a run and process a single file takes 4.5 minutes (p95), and 3 are allowed" in told[1]


def test_of_several_that_would_help_the_longest_is_told() -> None:
    """Also where starting a run takes nearly all of the shortest; what was compared is told with its figures."""
    plan = plan_of(60.0, 4.0, Objective(p95_minutes=13.0), BatchJob(startup_seconds=50.0), candidates=(30.0,))
    candidates, trials = candidates_of(plan)
    told = list(reasons(plan, candidates, None, trials))
    assert told[0] == f"Every 30 minutes: {candidates[0].why}"
    assert told[1:] == ["What would help: every 10 minutes, which was not compared."]


def test_more_threads_than_there_are() -> None:
    """Where several files are processed at once already, only more of them are tried, and order is not given up."""
    plan = plan_of(600.0, 24.0, batch=BatchJob(in_order=False, parallel=3), candidates=(5.0, 10.0))
    told = list(remedies(plan, Trials(plan)))
    assert any("6 files at once, every" in each or "8 files at once, every" in each for each in told)
    assert not any("order" in each for each in told)


@given(
    per_hour=st.sampled_from((10.0, 40.0, 120.0)),
    used=st.sampled_from((0.05, 0.2, 0.35)),
    more=st.sampled_from((1.5, 2.0, 4.0, 8.0)),
    startup=st.sampled_from((0.0, 20.0)),
    objective=st.sampled_from((4.0, 9.0, 16.0, 40.0)),
)
@settings(max_examples=25, deadline=None, derandomize=True)
def test_more_load_never_makes_the_recurrence_longer(
    per_hour: float, used: float, more: float, startup: float, objective: float
) -> None:
    """Whatever the plan: with more arrivals a recommendation is as long, shorter, or gone."""
    seconds = used * 3600 / per_hour
    batch = BatchJob(startup_seconds=startup)

    def chosen(rate: float) -> float:
        plan = plan_of(rate, seconds, Objective(p95_minutes=objective), batch, days=3.0)
        found = recommended(candidates_of(plan)[0])
        return 0.0 if found is None else found.processing_minutes

    assert chosen(per_hour * more) <= chosen(per_hour)


# Where everything is constant


def test_constant_arrivals_and_times_are_exact(tmp_path: Path) -> None:
    """One message a minute, half a minute after each minute, ten seconds each, every five minutes: by hand."""
    lines = ["timestamp"] + [f"2026-03-02T{n // 60:02}:{n % 60:02}:30" for n in range(600)]
    (tmp_path / "even.csv").write_text("\n".join(lines), encoding="utf-8")
    plan = Plan(
        Arrivals(trace="even.csv"),
        Service(seconds=10.0),
        BatchJob(startup_seconds=20.0),
        Objective(p95_minutes=6.0),
        Recurrence((5.0,)),
        folder=tmp_path,
    )
    found = size(plan)
    (only,) = found.candidates
    # The first of five comes 270 s before the tick, and is done 20 + 10 s after it; each later one 50 s sooner.
    by_hand = [300.0, 250.0, 200.0, 150.0, 100.0]
    assert only.wait_minutes["mean"] == Estimate(*[pytest.approx(np.mean(by_hand) / 60)] * 3)
    assert only.wait_minutes["longest"].value == pytest.approx(5.0)
    assert only.wait_minutes["p50"].value == pytest.approx(200 / 60)
    # The first is done at the instant at which the sixth comes.
    assert only.backlog["max"].value == 5.0
    # A hundred and twenty runs of seventy seconds in five minutes each, up to the end of the last run.
    assert only.utilisation == pytest.approx(120 * 70 / (120 * 300 + 70))
    assert only.overruns == 0.0
    assert found.recommended is only
    assert found.figures["replications"] == 2


# Trials


def test_capacity_by_hand() -> None:
    """Ten files a minute of two seconds take a third of the time, whatever a run takes to start."""
    assert Trials(plan_of(600.0, 2.0)).capacity == pytest.approx(3.0)
    assert Trials(plan_of(600.0, 2.0, batch=BatchJob(startup_seconds=400.0))).capacity == pytest.approx(3.0)
    assert Trials(plan_of(600.0, 2.0, batch=BatchJob(in_order=False, parallel=4))).capacity == pytest.approx(12.0)
    assert Trials(plan_of(600.0, 0.0)).capacity == math.inf


def test_starting_up_longer_than_the_recurrence_is_no_overload() -> None:
    """Every run outlasts the minute, so that each second tick starts one: the queue stays short, and it is said so."""
    plan = plan_of(60.0, 4.0, Objective(p95_minutes=5.0), BatchJob(startup_seconds=70.0), candidates=(1.0,))
    found = size(plan)
    assert found.recommended is not None
    assert found.recommended.stable
    assert found.recommended.overruns == pytest.approx(1.0, abs=0.01)
    assert found.margin is not None
    assert found.margin.unstable_factor == pytest.approx(15.0)
    assert any("every run" in each.lower() for each in found.warnings)


def test_margins_are_as_sharp_where_few_messages_come() -> None:
    """A week of 24 an hour is a matter of luck; the factors are those of a long plan."""
    batch = BatchJob(startup_seconds=20.0)
    week, year = (margin(Trials(plan_of(24.0, 40.0, batch=batch, days=days)), 10.0) for days in (7.0, 365.0))
    assert week.service_factor == pytest.approx(1.8, rel=0.03)
    assert week.service_factor == pytest.approx(year.service_factor, rel=0.02)
    assert week.load_factor == pytest.approx(year.load_factor, rel=0.02)


def test_a_dense_trial_need_not_fill_a_day() -> None:
    """A hundred thousand an hour, thirty times as many: a day of that is more than may be drawn."""
    trial = Trials(plan_of(100_000.0, 0.001, days=2.0)).at(5.0, load=30.0)
    assert trial is not None
    assert trial.wait_minutes["longest"] == pytest.approx(5.0, rel=0.01)


def test_a_trial_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked again, it is remembered."""
    trials = Trials(plan_of(60.0, 4.0))
    first = trials.at(5.0, load=1.5)
    monkeypatch.setattr("popreceipt.sizing.trials.work_of", None)
    assert trials.at(5.0, load=1.5) is first


def test_the_way_back_by_hand() -> None:
    """An hour without a run: sixty files of twenty seconds, then what came in those twenty minutes, and so on."""
    work = Work(30.0 + 60.0 * np.arange(600), np.full(600, 20.0), 36_000.0)
    run = simulate(work, Job(300.0), pauses=[(3600.0, 7200.0)])
    # At 7200 it takes the 65 since 3300: 1300 s, over five ticks. At 8700 the 25 since then: 500 s, over one tick. At
    # 9300 the 10 since then: 200 s, which fits.
    assert drained(run, 7200.0, 300.0) == pytest.approx((9300.0 + 200.0 - 7200.0) / 60)
    assert drained(run, 7200.0, 500.0) == pytest.approx((8700.0 + 500.0 - 7200.0) / 60)
    assert drained(run, 7200.0, 10.0) == math.inf
    assert drained(run, 1e9, 300.0) == 0.0


def test_a_record_that_is_over_too_soon(tmp_path: Path) -> None:
    """What comes after a standstill cannot be seen in an hour: nothing speaks against the recurrence."""
    lines = ["timestamp"] + [f"2026-03-02T08:{n // 2:02}:{n % 2 * 30:02}" for n in range(120)]
    (tmp_path / "hour.csv").write_text("\n".join(lines), encoding="utf-8")
    plan = Plan(Arrivals(trace="hour.csv"), Service(seconds=25.0), folder=tmp_path)
    assert Trials(plan).heals(5.0)


def test_an_outage_that_is_never_made_up_for() -> None:
    """At eight tenths every half hour: runs never fit again, in no stretch there is."""
    trials = Trials(plan_of(600.0, 4.8, Objective(p95_minutes=31.0)))
    assert trials.drain(30.0) is None
    assert Trials(plan_of(600.0, 2.0)).drain(5.0) == pytest.approx(36.0, abs=6.0)


# Margins


@pytest.mark.parametrize("truth", [1.0, 1.004, 1.5, 2.0, 3.7, 64.0, 99.0])
def test_a_factor_is_found_to_a_hundredth(truth: float) -> None:
    """Whatever it is, by no more than a score of questions."""
    asked: list[float] = []

    def broken(factor: float) -> bool:
        asked.append(factor)
        return factor > truth

    found = first_factor(broken, math.inf)
    assert found <= truth * (1 + 1e-12)
    assert truth < found * 1.011
    assert len(asked) < 20


def test_factors_that_are_known_beforehand() -> None:
    """Broken as it is, never broken up to the end of looking, or broken where nothing can be processed any more."""
    assert first_factor(lambda _: True, math.inf) == 1.0
    assert first_factor(lambda _: False, math.inf) == MOST
    assert first_factor(lambda _: False, 1.25) == pytest.approx(1.25, rel=0.011)
    assert first_factor(lambda _: False, 8.0) == pytest.approx(8.0, rel=0.011)
    assert first_factor(lambda _: False, MOST) == pytest.approx(MOST, rel=0.011)


def test_the_margin_of_a_gated_queue() -> None:
    """Nineteen twentieths of the recurrence, and the load's twentieth: the objective is missed where the form says."""
    plan = plan_of(600.0, 1.0, Objective(p95_minutes=9.75), candidates=(10.0,))
    found = margin(Trials(plan), 10.0)
    # T (0.95 + 0.05 rho) + s is 9.75 at a load of 0.4667, 2.8 times 1/6; service counts once more by itself.
    assert found.load_factor == pytest.approx(2.8, rel=0.05)
    assert found.service_factor < found.load_factor * 1.01
    assert found.unstable_factor == pytest.approx(6.0)
    assert found.overruns_factor is not None
    assert found.load_factor < found.overruns_factor < 6.0
    assert found.breaks_first.startswith("First the objective is missed from 2.")
    assert found.doubled == pytest.approx(10 * (0.95 + 0.05 / 3) + 1 / 60, rel=0.01)
    assert found.consumers_factor is None


def test_a_margin_without_an_end() -> None:
    """Next to no work: nothing breaks as far as one looks."""
    plan = plan_of(6.0, 0.01, Objective(p95_minutes=30.0))
    found = margin(Trials(plan), 5.0)
    assert found.load_factor == found.service_factor == found.unstable_factor == found.at_most == MOST
    assert found.breaks_first == "Nothing breaks up to 100 times the arrivals."


def test_what_breaks_as_it_is() -> None:
    """A recurrence that is out of step already says so; what doubles never settles."""
    found = margin(Trials(plan_of(600.0, 4.8)), 2.0)
    assert found.breaks_first.startswith("First more than one run in a hundred outlasts the recurrence as it is; then")
    assert found.doubled is None


def test_consumers_may_break_first(export_lease: Lease) -> None:
    """Where the export's side has the least room, it stands first."""
    found = margin(Trials(plan_of(60.0, 4.0)), 5.0, replace(export_lease, utilisation=0.8))
    assert found.consumers_factor == 1.25
    assert found.breaks_first.startswith("First consumers of exports get more than they can fetch from 1.25 times")
    idle = margin(Trials(plan_of(60.0, 4.0)), 5.0, replace(export_lease, utilisation=0.0))
    assert idle.consumers_factor is None


# Warnings


@pytest.fixture
def export_lease() -> Lease:
    """A lease side of which nothing is to be said."""
    return Lease(Estimate(0.0, 0.0, 0.001), 0.0, 100, 1, 10.0, {"p95": 1.0}, utilisation=0.2)


@pytest.fixture
def good() -> Candidate:
    """A recurrence of which nothing is to be said."""
    waits = dict.fromkeys(("mean", "p50", "p95", "p99", "longest"), SURE)
    return Candidate(10.0, True, 0.3, waits, {}, True, Bounds(True, None, None, False, 9.0), 0.0)


WATCHED = Monitoring(10.0, 5.0, 0.5, {}, "why")


def warned(
    plan: Plan,
    chosen: Candidate | None,
    *,
    rates: Sequence[float] = (60.0,) * 24,
    messages: int = 5000,
    monitoring: Monitoring | None = WATCHED,
    lease: Lease | None = None,
) -> Iterator[str]:
    return cautions(plan, chosen, rates, messages, monitoring, lease)


def test_nothing_to_warn_of(good: Candidate, export_lease: Lease) -> None:
    """An ordinary plan has no warnings."""
    plan = msgspec.structs.replace(plan_of(60.0, 4.0), export=Export(prefetch=10))
    assert list(warned(plan, good, lease=export_lease)) == []
    assert list(warned(plan, None, monitoring=None)) == []


def test_warnings_of_bounds(good: Candidate) -> None:
    """Each names the figure, the bound, and where the bound stands."""
    plan = plan_of(60.0, 4.0)
    (throttled,) = warned(plan, good, rates=(60.0,) * 23 + (6000.0,))
    assert "100 files come a minute" in throttled
    assert "Batch throttling" in throttled
    many = msgspec.structs.replace(plan, batch=BatchJob(in_order=False, parallel=40))
    (servers,) = warned(many, good)
    assert "40 files at once take 3 batch servers" in servers
    assert "Batch capacity" in servers
    (few,) = warned(plan, good, messages=999)
    assert "999 in each replication" in few
    (short,) = warned(plan, replace(good, processing_minutes=1.0))
    assert "once a minute" in short
    (unwatched,) = warned(plan, good, monitoring=Monitoring(None, 5.0, 0.5, {}, "Because."))
    assert unwatched.endswith("Because.")
    (unasked,) = warned(plan, good, monitoring=None)
    assert "No monitoring recurrence is told: the objective is kept up to 100 times the arrivals" in unasked


def test_warnings_of_what_is_met_only_just(good: Candidate) -> None:
    """A run may start a minute late, unless the plan has that minute already."""
    tight = Objective(p95_minutes=11.5)
    (late,) = warned(plan_of(60.0, 4.0, tight), good)
    assert "met by 30 seconds only" in late
    assert list(warned(plan_of(60.0, 4.0, tight, BatchJob(startup_seconds=60.0)), good)) == []


@pytest.mark.parametrize(("after", "said"), [("next-tick", "that it is."), ("at-once", "that it is not.")])
def test_warnings_above_half_load(good: Candidate, after: str, said: str) -> None:
    """What becomes of a late run is not documented; the plan's own assumption is repeated."""
    batch = msgspec.convert({"after_overrun": after}, BatchJob)
    (above,) = warned(plan_of(60.0, 4.0, batch=batch), replace(good, utilisation=0.7))
    assert "70%" in above
    assert above.endswith(said)


def test_warnings_of_leases(good: Candidate, export_lease: Lease) -> None:
    """What comes back, what would not, and who falls behind."""
    plan = msgspec.structs.replace(plan_of(60.0, 4.0), export=Export(prefetch=120, consumers=2))
    (prefetch,) = warned(plan, good, lease=replace(export_lease, batch_outlasting=0.02))
    assert "120 messages are dequeued at once" in prefetch
    assert "Safe would be 100" in prefetch
    plan = msgspec.structs.replace(plan, export=Export(prefetch=1, consumers=2))
    (slow,) = warned(plan, good, lease=replace(export_lease, outlasting=0.01))
    assert "a single file" in slow
    again = replace(export_lease, redelivery_rate=Estimate(0.05, 0.04, 0.06), redeliveries_a_day=3.0)
    (back,) = warned(plan, good, lease=again)
    assert "5 % of all messages" in back
    (behind,) = warned(plan, good, lease=replace(export_lease, utilisation=1.5, consumers_needed=4))
    assert "fall behind" in behind
    assert "It takes 4" in behind
    (busy,) = warned(plan, good, lease=replace(export_lease, consumers_needed=3))
    assert "busiest hour" in busy
    (endless,) = warned(plan, good, lease=replace(export_lease, safe_prefetch=10_000))
    assert "10,000" in endless
    assert (
        list(warned(msgspec.structs.replace(plan, export=None), good, lease=replace(export_lease, outlasting=0.5)))
        == []
    )
