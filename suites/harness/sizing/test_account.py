"""Prediction held to account, in small: the emulator over HTTP does what simulation says, and differs where it must.

The whole of it, over all plans, is `nox -s prediction`.
"""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest

from popreceipt import resources
from popreceipt.emulator.profile import Profile
from popreceipt.exceptions import UsageError
from popreceipt.sizing import account, measured
from popreceipt.sizing.consumers import Habits, walk
from popreceipt.sizing.in_force import InForce, beside, beside_recorded, in_force
from popreceipt.sizing.plan import Arrivals, BatchJob, Export, Plan, Run, Service, Spread, read_plan
from popreceipt.sizing.recorded import Recorded, backlog_maximum
from popreceipt.sizing.result import Compared
from popreceipt.sizing.simulation import simulate
from popreceipt.sizing.work import Work, work_of

PLANS = resources.fixtures() / "plans"

EXACT = 1e-4
"""The instants of the two agree to the microsecond; sums are rounded."""


def plan(name: str) -> Plan:
    return read_plan(PLANS / f"{name}.toml")


@pytest.mark.parametrize(
    ("name", "minutes", "messages"),
    [
        ("shop-day", 5, 150),  # in order, an hourly profile, lognormal
        ("account-high-load", 1, 200),  # runs that outlast their recurrence, the next one at the following tick
        ("account-parallel-overrun", 5, 60),  # three at a time, overruns, the next one at once
        ("master-data-parallel", 5, 80),  # eight at a time, start-up, the next one at the following tick
        ("orders-from-a-trace", 10, 120),
    ],
)
def test_the_emulator_does_what_is_predicted(name: str, minutes: float, messages: int) -> None:
    """Mean wait and p95 within 5 %, the greatest backlog within 10 %; in fact they are the same."""
    found = account.processing(name, plan(name), minutes, most=messages)
    assert found.messages == messages
    assert found.within
    figures = {each.what: each for each in found.compared}
    assert {what for what, each in figures.items() if each.within} == {"wait, mean", "wait, p95", "backlog, maximum"}
    assert figures["wait, mean"].allowed == figures["wait, p95"].allowed == 0.05
    assert figures["backlog, maximum"].allowed == 0.10
    for each in found.compared:
        assert each.predicted == pytest.approx(each.observed, rel=EXACT), each.what


def test_each_message_ends_when_it_was_predicted_to() -> None:
    """Not only their mean: in order and with overruns, message by message."""
    high = plan("account-high-load")
    work, record_seconds = account.told_by_records(account.shortened(work_of(high, seed=1), 120))
    observed = account.observe(work, high.batch, 1, record_seconds=record_seconds)
    predicted = simulate(work, account.job_of(high.batch, 1))
    assert np.abs(observed.waits - predicted.waits).max() < 1e-3
    assert np.abs((observed.started - observed.enqueued) - (predicted.started - work.arrived)).max() < 1e-3


def test_another_reading_of_overruns_is_not_within() -> None:
    """The comparison is able to fail: at high load it matters when a run that was overdue starts."""
    high = plan("account-high-load")
    work, record_seconds = account.told_by_records(account.shortened(work_of(high, seed=1), 120))
    observed = account.observe(work, high.batch, 5, record_seconds=record_seconds)
    wrong = account.job_of(high.batch, 5)
    figures = [account.judged(each) for each in beside(simulate(work, replace(wrong, at_once=True)), observed)]
    assert {each.what for each in figures if each.within is False} >= {"wait, mean", "wait, p95"}


def test_what_is_told_to_a_figure() -> None:
    """A share of what was observed; figures that nothing is demanded of are not judged."""
    figure = Compared("wait, mean", 1.05, 1.0, "minutes", None, None)
    assert account.judged(figure).within is True
    assert account.judged(replace(figure, predicted=1.051)).within is False
    assert account.judged(replace(figure, what="wait, p50", predicted=9.0)).within is None


def test_service_times_are_told_in_whole_records() -> None:
    """A constant one by a single record; others to a twentieth of their mean, and never none."""
    arrived = np.arange(4.0)
    constant, seconds = account.told_by_records(Work(arrived, np.full(4, 7.5), 4.0))
    assert seconds == 7.5
    assert constant.service.tolist() == [7.5] * 4
    told, seconds = account.told_by_records(Work(arrived, np.array([0.01, 4.0, 8.0, 28.0]), 4.0))
    assert seconds == pytest.approx(10.0 / account.RECORDS, rel=0.01)
    assert told.service.tolist() == pytest.approx([0.5, 4.0, 8.0, 28.0])


def test_a_plan_in_which_nothing_arrives_is_refused() -> None:
    """Nothing can be observed."""
    with pytest.raises(UsageError, match="Nothing arrives"):
        account.shortened(Work(np.empty(0), np.empty(0), 60.0), 10)


def test_the_emulator_has_whole_minutes() -> None:
    """A recurrence in seconds is none."""
    with pytest.raises(UsageError, match=r"whole minutes, not 1\.5"):
        account.processing("shop-day", plan("shop-day"), 1.5, most=1)


# The lease side


def test_what_consumers_leave_for_too_long_comes_back_as_predicted() -> None:
    """Redeliveries within their confidence interval; in fact each message comes back as often as predicted."""
    found = account.lease_side("account-lease", plan("account-lease"), most=150)
    again, redeliveries, delivered, *held = found.compared
    assert found.within
    assert again.what.startswith("delivered again")
    assert again.within is True
    assert again.observed > 0, "some must come back, or nothing is shown"
    assert again.predicted == pytest.approx(again.observed)
    assert redeliveries.predicted == pytest.approx(redeliveries.observed)
    assert delivered.within is True
    for each in held:
        assert each.predicted == pytest.approx(each.observed, rel=EXACT)


def test_leases_of_another_length_are_not_within() -> None:
    """The comparison is able to fail: where leases are ten minutes long, much more comes back than predicted."""
    lease = plan("account-lease")
    assert lease.export is not None
    work = account.shortened(work_of(lease, seed=1), 60)
    habits = Habits(1200.0, lease.export.consumers, lease.export.prefetch)
    times = account.holding_times(lease.export, 1)
    predicted = walk(work.arrived, habits, iter(times), until=work.horizon)
    observed = account.consume(work, habits, iter(times), profile=Profile(lease=timedelta(minutes=10)))
    assert account.beside_consumed(work, predicted, observed)[0].within is False


def test_a_plan_without_consumers_has_no_lease_side() -> None:
    """There is nothing to be held to account."""
    with pytest.raises(UsageError, match=r"no table \[export\]"):
        account.lease_side("shop-day", plan("shop-day"))


def test_holding_times_are_those_of_the_plan() -> None:
    """Both sides take the same ones, in whole milliseconds."""
    export = Export(transfer_seconds=Spread(20.0, 60.0), handling_seconds=5.0)
    times = account.holding_times(export, 3)
    assert times == account.holding_times(export, 3)
    assert np.median(times) == pytest.approx(25.0, rel=0.03)
    assert all(round(each, 3) == pytest.approx(each, abs=1e-9) for each in times[:100])


# Fed back


def test_a_measured_journal_predicts_what_was_observed(tmp_path: Path) -> None:
    """Run, journal, plan with `measured`, prediction: the recurrence is found, the waits come out alike."""
    steady = Plan(
        Arrivals(per_hour=200),
        Service(seconds=6.0),
        BatchJob(in_order=True, startup_seconds=15),
        run=Run(days=0.1, seed=4),
    )
    work, record_seconds = account.told_by_records(account.shortened(work_of(steady, seed=4), 400))
    journal = tmp_path / "journal.ndjson"
    with journal.open("wb") as file:
        observed = account.observe(work, steady.batch, 5, record_seconds=record_seconds, journal_file=file)
    # A client's arrivals are the moments at which answers had come; in virtual time those are the enqueues.
    assert measured.arrivals_of(journal).tolist() == pytest.approx(observed.enqueued.tolist(), abs=1e-3)
    assert measured.services_of(journal).tolist() == pytest.approx([6.0] * len(observed), abs=1e-3)
    recorded = measured.recorded_of(journal)
    found = in_force(recorded)
    assert isinstance(found, InForce)
    assert found.minutes == 5
    assert found.startup_seconds == pytest.approx(15, abs=15)
    for each in beside_recorded(recorded, found):
        assert each.predicted == pytest.approx(each.observed, rel=0.01), each.what
    again = msgspec.structs.replace(
        steady, arrivals=Arrivals(measured=str(journal)), service=Service(measured=str(journal))
    )
    predicted = simulate(work_of(again, seed=1), account.job_of(steady.batch, 5))
    for figure in map(account.judged, beside(predicted, observed)):
        assert figure.within is not False, figure


def test_a_backlog_counts_what_has_come_and_is_not_yet_processed() -> None:
    """What ends as another comes has gone before it."""
    assert backlog_maximum(np.array([1.0, 2.0, 3.0]), np.array([3.0, 3.0, 4.0])) == 2
    assert backlog_maximum(np.array([1.0, 2.0]), np.array([9.0, 9.0])) == 2
    assert backlog_maximum(np.empty(0), np.empty(0)) == 0


def test_records_are_put_in_the_order_of_their_enqueues() -> None:
    """However they come; what is blank stays blank."""
    nan = float("nan")
    found = Recorded.of([(5.0, 6.0, 9.0), (1.0, nan, nan), (2.0, 6.0, 7.0)])
    assert found.enqueued.tolist() == [1.0, 2.0, 5.0]
    assert found.services.tolist() == [1.0, 3.0]
    assert found.waits.tolist() == [5.0, 4.0]
