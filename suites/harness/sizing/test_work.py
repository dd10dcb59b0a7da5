"""What is drawn from a plan: as often as it says, when it says, and the same for the same seed."""

import csv
import math
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from popreceipt.clock import EPOCH
from popreceipt.exceptions import UsageError
from popreceipt.journal import Header, Journal, Observation, instant_text
from popreceipt.sizing import measured
from popreceipt.sizing.plan import Arrivals, Plan, Run, Service, Spread, read_plan
from popreceipt.sizing.work import (
    DAY,
    HOUR,
    MOST,
    Work,
    demand_of,
    drawn,
    record_of,
    seeds,
    spread_of,
    work_of,
)

PROFILE = tuple([0.0] * 8 + [90.0] * 4 + [30.0] + [90.0] * 4 + [10.0] * 3 + [0.0] * 4)
ACTIVITY = "11111111-1111-1111-1111-111111111111"
LOGNORMAL = Service(median=3.0, p95=9.0)

Record = Callable[..., Plan]


def plan(arrivals: Arrivals | None = None, service: Service = LOGNORMAL, days: float = 10.0) -> Plan:
    """120 messages an hour unless told."""
    return Plan(arrivals=arrivals or Arrivals(per_hour=120.0), service=service, run=Run(days=days))


@pytest.fixture
def record(tmp_path: Path) -> Record:
    """A plan that is played from a trace of these instants."""

    def written(*instants: str, days: float = 30.0, service: Service = LOGNORMAL) -> Plan:
        (tmp_path / "trace.csv").write_text("\n".join(("timestamp", *instants)), encoding="utf-8")
        return Plan(arrivals=Arrivals(trace="trace.csv"), service=service, run=Run(days=days), folder=tmp_path)

    return written


def same(one: Work, other: Work) -> bool:
    """Whether two are equal to the last bit."""
    return bool(np.array_equal(one.arrived, other.arrived) and np.array_equal(one.service, other.service))


def test_a_constant_rate_is_a_poisson_process() -> None:
    """As many as told; gaps as long as they vary; counts of an hour vary by as much as they are."""
    seen = work_of(plan(days=100), seed=5)
    number = 120 * 24 * 100
    assert abs(len(seen.arrived) - number) < 4 * math.sqrt(number)
    gaps = np.diff(seen.arrived)
    assert float(gaps.mean()) == pytest.approx(30, rel=0.01)
    assert float(gaps.std()) == pytest.approx(30, rel=0.01)
    counts = np.bincount((seen.arrived // HOUR).astype(int), minlength=2400)
    assert float(counts.var() / counts.mean()) == pytest.approx(1, abs=0.12)
    assert seen.horizon == 100 * DAY
    assert 0 < seen.arrived[0] < seen.arrived[-1] < seen.horizon
    assert bool(np.all(gaps >= 0))


def test_a_profile_is_followed_hour_by_hour() -> None:
    """Nothing comes in an hour of rate 0, and within an hour it comes evenly."""
    seen = work_of(plan(Arrivals(profile=PROFILE), days=200), seed=5)
    counts = np.bincount((seen.arrived % DAY // HOUR).astype(int), minlength=24) / 200
    for hour, rate in enumerate(PROFILE):
        assert abs(counts[hour] - rate) <= 4 * math.sqrt(rate / 200)
    within = seen.arrived[(seen.arrived % DAY // HOUR) == 12] % HOUR
    assert float(within.mean()) == pytest.approx(HOUR / 2, rel=0.02)
    assert float(within.std()) == pytest.approx(HOUR / math.sqrt(12), rel=0.02)


def test_a_part_of_a_day_has_its_part_of_the_profile() -> None:
    """It begins at midnight, and ends in the middle of an hour too."""
    seen = work_of(plan(Arrivals(profile=PROFILE), days=8.5 / 24), seed=1)
    assert 8 * HOUR <= seen.arrived[0] <= seen.arrived[-1] < 8.5 * HOUR
    assert abs(len(seen.arrived) - 45) < 4 * math.sqrt(45)


def test_lognormal_service_goes_through_its_median_and_p95() -> None:
    """However the plan writes it."""
    for service in (LOGNORMAL, Service(seconds=Spread(3.0, 9.0))):
        seen = work_of(plan(service=service, days=100), seed=5).service
        assert np.quantile(seen, (0.5, 0.95)).tolist() == pytest.approx([3, 9], rel=0.015)
        demand = demand_of(plan(service=service))
        assert demand.service == pytest.approx(float(seen.mean()), rel=0.01)
        assert demand.second == pytest.approx(float(np.square(seen).mean()), rel=0.03)
        assert demand.longer(9.0) == pytest.approx(0.05)
        assert demand.longer(-1.0) == 1
        assert float(np.median(demand.quantiles)) == pytest.approx(3, rel=0.01)
        assert not demand.constant


def test_constant_service_is_constant() -> None:
    """Every file takes as long."""
    of_four = plan(service=Service(seconds=4.0))
    assert set(work_of(of_four, seed=1).service.tolist()) == {4.0}
    demand = demand_of(of_four)
    assert (demand.service, demand.second, demand.constant, demand.longer(3.9), demand.longer(4.0)) == (
        4,
        16,
        True,
        1,
        0,
    )
    assert spread_of(of_four) is None


def test_the_same_seed_draws_the_same() -> None:
    """And another one does not."""
    assert same(work_of(plan(), seed=3), work_of(plan(), seed=3))
    assert not same(work_of(plan(), seed=3), work_of(plan(), seed=4))


@pytest.mark.parametrize("arrivals", [Arrivals(per_hour=120.0), Arrivals(profile=PROFILE)])
def test_more_days_begin_with_the_same_messages(arrivals: Arrivals) -> None:
    """The first arrivals and service times do not depend on how many follow."""
    short, long = (work_of(plan(arrivals), seed=3, days=days) for days in (2, 50))
    assert short.horizon == 2 * DAY
    number = len(short.arrived)
    assert same(short, Work(long.arrived[:number], long.service[:number], 0))
    assert long.arrived[number] >= short.horizon


def test_arrivals_do_not_change_with_service_nor_service_with_load() -> None:
    """What differs between two plans is what was changed between them."""
    usual = work_of(plan(), seed=3)
    other = work_of(plan(service=Service(seconds=1.0)), seed=3)
    assert np.array_equal(usual.arrived, other.arrived)
    loaded = work_of(plan(), seed=3, load=1.5)
    assert np.array_equal(usual.service, loaded.service[: len(usual.service)])
    np.testing.assert_allclose(loaded.arrived[: len(usual.arrived)] * 1.5, usual.arrived)
    slower = work_of(plan(), seed=3, slower=2.0)
    assert same(slower, Work(usual.arrived, usual.service * 2, 0))


def test_load_is_a_factor_of_the_rate() -> None:
    """Of a profile too, whose hours stay where they are."""
    profile = plan(Arrivals(profile=PROFILE), days=50)
    usual, loaded = (work_of(profile, seed=3, load=load) for load in (1.0, 2.5))
    assert len(loaded.arrived) == pytest.approx(2.5 * len(usual.arrived), rel=0.02)
    assert set((loaded.arrived % DAY // HOUR).astype(int).tolist()) == {
        hour for hour, rate in enumerate(PROFILE) if rate
    }


def test_draws_go_on_until_the_time_is_filled() -> None:
    """However short the gaps happen to be."""
    short = SimpleNamespace(standard_exponential=lambda number: np.full(number, 0.25))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(np.random, "default_rng", lambda _: short)
        seen = work_of(plan(Arrivals(per_hour=3600.0), Service(seconds=1.0)), seed=1, days=1000 / DAY)
    assert seen.arrived.tolist() == [0.25 * number for number in range(1, 4000)]


def test_seeds_of_replications_come_from_the_plan() -> None:
    """The first ones do not depend on how many there are; plans with neighbouring seeds share none."""
    one, other = (Plan(Arrivals(per_hour=1.0), LOGNORMAL, run=Run(seed=seed)) for seed in (1, 2))
    assert seeds(one, 3) == seeds(one, 10)[:3]
    assert len({*seeds(one, 10), *seeds(other, 10)}) == 20


def test_too_much_is_refused_before_it_is_drawn() -> None:
    """By how much it would be."""
    with pytest.raises(UsageError, match=f"which is more than {MOST:,}"):
        work_of(plan(), seed=1, load=1e6)


def test_nothing_is_refused_as_well() -> None:
    """There is nothing to simulate then."""
    with pytest.raises(UsageError, match=r"Nothing arrives in 0\.333 days"):
        work_of(plan(Arrivals(profile=PROFILE)), seed=1, days=1 / 3)


@pytest.mark.parametrize(("arrivals", "service"), [(Arrivals(), LOGNORMAL), (Arrivals(per_hour=1.0), Service())])
def test_a_plan_that_says_nothing_is_refused(arrivals: Arrivals, service: Service) -> None:
    """As it is when it was not read from a file."""
    with pytest.raises(UsageError, match="says nothing"):
        work_of(plan(arrivals, service), seed=1)


def test_durations_are_drawn_as_they_are_written() -> None:
    """For the side of exports: always the same, or spread."""
    chance = np.random.default_rng(1)
    assert drawn(2.0, 3, chance).tolist() == [2.0, 2.0, 2.0]
    assert float(np.median(drawn(Spread(2.0, 8.0), 20_000, chance))) == pytest.approx(2, rel=0.03)


# Records


def test_a_trace_is_played_as_it_is(record: Record) -> None:
    """From the full minute of its first message, at its own times of day, whatever the seed."""
    given = record("2026-03-02T08:15:20", "2026-03-02T08:15:50", "2026-03-03T08:00:00")
    for seed in (1, 2):
        seen = work_of(given, seed=seed)
        assert seen.arrived.tolist() == [20.0, 50.0, DAY - 15 * 60]
        assert seen.begins == 8 * HOUR + 15 * 60
        assert seen.horizon == DAY - 14 * 60
    assert not np.array_equal(work_of(given, seed=1).service, work_of(given, seed=2).service)
    demand = demand_of(given)
    assert not demand.poisson
    assert demand.rate == pytest.approx(3 / (DAY - 14 * 60))


def test_offsets_are_counted(record: Record) -> None:
    """What names them is in UTC."""
    seen = work_of(record("2026-03-02T00:30:00+01:00", "2026-03-01T23:45:00Z"), seed=1)
    assert seen.arrived.tolist() == [0.0, 15 * 60.0]
    assert seen.begins == 23.5 * HOUR


def test_a_trace_is_cut_but_never_lengthened(record: Record) -> None:
    """By the plan's days, or by those asked for."""
    given = record("2026-03-02T08:00", "2026-03-02T20:00", "2026-03-04T08:00", days=1)
    assert work_of(given, seed=1).arrived.tolist() == [0, 12 * HOUR]
    assert work_of(given, seed=1).horizon == DAY
    assert len(work_of(given, seed=1, days=0.25).arrived) == 1
    assert work_of(given, seed=1, days=100).horizon == 2 * DAY + 60


def test_a_trace_bears_more_and_less_load(record: Record) -> None:
    """It is thinned, or messages of it are repeated before the next one comes; the hours of the day stay."""
    office = [
        f"2026-03-{day:02}T{hour:02}:{minute:02}:00"
        for day in range(2, 9)
        for hour in range(8, 17)
        for minute in range(60)
    ]
    given = record(*office)
    usual = work_of(given, seed=3)
    assert len(usual.arrived) == len(office)
    for load in (0.2, 0.5, 1.3, 3.5):
        seen = work_of(given, seed=3, load=load).arrived
        assert len(seen) == pytest.approx(load * len(office), abs=4 * math.sqrt(load * len(office)))
        assert bool(np.all(np.diff(seen) >= 0))
        # The copy of a day's last message comes within a minute of it.
        assert float(np.max((usual.begins + seen) % DAY)) < 17 * HOUR
    half, most = (set(work_of(given, seed=3, load=load).arrived.tolist()) for load in (0.5, 0.8))
    assert half < most < set(usual.arrived.tolist())
    some, more = (set(work_of(given, seed=3, load=load).arrived.tolist()) for load in (1.2, 1.4))
    assert set(usual.arrived.tolist()) < some < more
    with pytest.raises(UsageError, match="more than"):
        work_of(given, seed=3, load=1e6)
    with pytest.raises(UsageError, match="Nothing arrives"):
        work_of(given, seed=3, load=1e-9)


def test_a_trace_is_read_anew_when_it_has_changed(record: Record) -> None:
    """And not each time it is drawn from."""
    first = record_of(record("2026-03-02T08:00", "2026-03-02T09:00"))
    second = record_of(record("2026-03-02T08:00"))
    assert first is not None
    assert second is not None
    assert (len(first.arrived), len(second.arrived)) == (2, 1)


def test_a_record_that_is_gone_is_named(tmp_path: Path) -> None:
    """It was there when the plan was read, or the plan was not read."""
    with pytest.raises(UsageError, match=r"Cannot read the trace .*gone\.csv"):
        record_of(Plan(Arrivals(trace="gone.csv"), LOGNORMAL, folder=tmp_path))


def test_drawn_arrivals_have_no_record() -> None:
    """There is nothing to be played."""
    assert record_of(plan()) is None


def table(folder: Path, *services: float) -> None:
    """Manage messages with these service times in seconds, a message a minute."""
    with (folder / "messages.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("EnqueueDateTime", "ProcessingStartedDateTime", "ProcessingCompletedDateTime"))
        for minute, seconds in enumerate(services):
            start = f"2026-03-02T08:{minute:02}:10"
            writer.writerow((f"2026-03-02T08:{minute:02}:00", start, f"2026-03-02T08:{minute:02}:{10 + seconds:06.3f}"))


def test_a_table_with_a_slip_in_its_year_is_refused(tmp_path: Path) -> None:
    """As a trace is: a sample a minute over a thousand years would take all memory there is."""
    rows = ["EnqueueDateTime,ProcessingStartedDateTime,ProcessingCompletedDateTime"]
    rows += [f"{year}-01-01T00:00:00Z,{year}-01-01T00:01:00Z,{year}-01-01T00:01:05Z" for year in (2006, 2026)]
    (tmp_path / "messages.csv").write_text("\n".join(rows))
    given = Plan(Arrivals(messages="messages.csv"), Service(messages="messages.csv"), folder=tmp_path)
    with pytest.raises(UsageError, match=r"covers 7,305 days, and 3,660 is the most"):
        work_of(given, seed=1)


def test_manage_messages_give_arrivals_and_service_times(tmp_path: Path) -> None:
    """Arrivals as they were; service times drawn from those recorded, each as likely."""
    table(tmp_path, 2, 4, 4, 30)
    given = Plan(Arrivals(messages="messages.csv"), Service(messages="messages.csv"), folder=tmp_path)
    seen = work_of(given, seed=1)
    assert seen.arrived.tolist() == [0, 60, 120, 180]
    drawn_often = work_of(
        Plan(Arrivals(per_hour=600.0), Service(messages="messages.csv"), run=Run(days=3), folder=tmp_path), seed=1
    ).service
    assert {value: round(float(np.mean(drawn_often == value)), 2) for value in (2, 4, 30)} == pytest.approx(
        {2: 0.25, 4: 0.5, 30: 0.25}, abs=0.02
    )
    demand = demand_of(given)
    assert (demand.service, demand.second, demand.longer(29)) == (10, (4 + 16 + 16 + 900) / 4, 0.25)


def test_a_load_journal_gives_arrivals_and_service_times(tmp_path: Path) -> None:
    """Of the activity that stands behind its name, where it does."""
    journal = Journal(Header())
    for seconds in (60.0, 90.5, 200.0):
        journal.record(
            sent=EPOCH + timedelta(seconds=seconds - 0.25),
            answered=EPOCH + timedelta(seconds=seconds),
            method="POST",
            url=f"http://target/api/connector/enqueue/{ACTIVITY}",
            status=200,
        )
    rows = [
        {
            "MessageId": str(number),
            "EnqueueDateTime": instant_text(EPOCH),
            "ProcessingStartedDateTime": instant_text(EPOCH),
            "ProcessingCompletedDateTime": instant_text(EPOCH + timedelta(seconds=seconds)),
        }
        for number, seconds in enumerate((5.0, 5.0))
    ]
    journal.add(Observation("messages", EPOCH, {"activity": ACTIVITY, "rows": rows}))
    journal.seal()
    (tmp_path / "run.ndjson").write_bytes(b"".join(line + b"\n" for line in journal.lines()))
    for name in ("run.ndjson", f"run.ndjson#{ACTIVITY}"):
        (tmp_path / "plan.toml").write_text(f'[arrivals]\nmeasured = "{name}"\n[service]\nmeasured = "{name}"\n')
        given = read_plan(tmp_path / "plan.toml")
        assert given.run.days == pytest.approx(3 * 60 / DAY)
        seen = work_of(given, seed=1)
        assert seen.arrived.tolist() == [0.0, 30.5, 140.0]
        assert seen.service.tolist() == [5.0, 5.0, 5.0]
        assert demand_of(given).constant


@pytest.mark.parametrize(("found", "said"), [([], "holds no"), ([1.0, -1.0], "below zero"), ([math.nan], "below zero")])
def test_records_without_sense_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, found: list[float], said: str
) -> None:
    """Whoever reads them should have refused them before."""
    (tmp_path / "x").touch()
    monkeypatch.setattr(measured, "services_of", lambda _: np.array(found))
    monkeypatch.setattr(measured, "arrivals_of", lambda _: np.array([]))
    with pytest.raises(UsageError, match=f"{said} service times" if said == "holds no" else said):
        demand_of(Plan(Arrivals(per_hour=1.0), Service(measured="x"), folder=tmp_path))
    with pytest.raises(UsageError, match="holds no arrivals"):
        demand_of(Plan(Arrivals(measured="x"), LOGNORMAL, folder=tmp_path))
