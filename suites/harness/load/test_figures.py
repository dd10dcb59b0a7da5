"""Figures add up without loss: what several processes counted is what one would have counted."""

from math import ceil

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from popreceipt.load.figures import LONGEST_MICROSECONDS, Figures, Minute, Tally, added, merged, percentiles

seconds = st.floats(0, 100, allow_nan=False)
requests = st.lists(
    st.tuples(
        st.sampled_from(["enqueue", "dequeue", "ack"]),
        st.floats(0, 600),
        seconds,
        seconds,
        st.sampled_from([None, None, "500", "timeout"]),
    ),
    max_size=40,
)


def counted(tally: Tally, finished: bool = True) -> Figures:
    return tally.figures(
        journal=f"journal-{tally.figures(journal='', began='', cpu_seconds=0, wall_seconds=0, finished=True).worker}",
        began="2026-01-01T00:00:00.000000Z",
        cpu_seconds=1.0,
        wall_seconds=2.0,
        finished=finished,
    )


def tally(name: str = "0") -> Tally:
    return Tally(name, seconds_a_minute=60.0, lag_seconds=0.5)


@given(parts=st.lists(requests, min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_several_processes_count_what_one_would(parts: list[list[tuple[str, float, float, float, str | None]]]) -> None:
    """Histograms, requests, failures and minutes of the parts, added, are those of the whole."""
    whole, figures = tally("whole"), []
    for number, part in enumerate(parts):
        mine = tally(str(number))
        for operation, at, response, service, failure in part:
            for each in (mine, whole):
                each.due(at, response / 1_000)
                each.answered(operation, at, response, service, failure)
        figures.append(counted(mine))
    total, alone = added(figures), counted(whole)
    assert total.operations == alone.operations
    assert total.minutes == alone.minutes
    assert total.worst_lag_seconds == alone.worst_lag_seconds
    assert total.worker == ",".join(str(number) for number in range(len(parts)))
    assert total.cpu_seconds == len(parts)
    assert total.wall_seconds == 2.0


@given(values=st.lists(st.floats(0.0001, 3_600), min_size=1, max_size=200))
@settings(max_examples=60, deadline=None)
def test_percentiles_are_those_of_the_values(values: list[float]) -> None:
    """Within the thousandth that three digits leave, and never below what a request took to the microsecond."""
    mine = tally()
    for value in values:
        mine.answered("ack", 0.0, value, value)
    told = percentiles(counted(mine).operations["ack"].response)
    ordered = sorted(values)
    for name, share in (("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99)):
        truth = ordered[ceil(round(share * len(ordered), 6)) - 1] * 1_000
        assert told[name] == pytest.approx(truth, rel=1.1e-3, abs=2e-3)
    assert told["max"] == pytest.approx(ordered[-1] * 1_000, rel=1.1e-3, abs=2e-3)


def test_no_more_exceed_a_percentile_than_it_says() -> None:
    """Of 160 requests two took long: that is more than one in a hundred, so the 99th percentile is one of them."""
    mine = tally()
    for value in [0.001] * 158 + [0.5] * 2:
        mine.answered("ack", 0.0, value, value)
    told = percentiles(counted(mine).operations["ack"].response)
    assert told["p99"] == pytest.approx(500, rel=1e-3)
    assert told["p95"] == pytest.approx(1, rel=1e-3)


def test_nothing_counted_has_no_latency() -> None:
    """An empty histogram tells zeros, and adding it changes nothing."""
    mine = tally()
    mine.answered("ack", 0.0, 0.25, 0.25)
    encoded = counted(mine).operations["ack"].response
    assert set(percentiles(merged()).values()) == {0.0}
    assert merged(encoded, merged()) == encoded


def test_what_takes_longer_than_a_day_is_counted_as_a_day() -> None:
    """No request is left out of a histogram."""
    mine = tally()
    mine.answered("ack", 0.0, 1e9, 1e9)
    figures = counted(mine)
    assert figures.operations["ack"].requests == 1
    assert percentiles(figures.operations["ack"].response)["max"] == pytest.approx(LONGEST_MICROSECONDS / 1e3, rel=1e-3)


def test_what_is_late_is_told_from_what_waits_for_the_target() -> None:
    """Only the generator's own lag counts as late; the worst is kept."""
    mine = tally()
    for lag in (0.0, 0.4, 0.6, 0.1):
        mine.due(1.0, lag)
    mine.answered("enqueue", 31.0, 30.0, 30.0)
    figures = counted(mine)
    assert (figures.late, figures.worst_lag_seconds) == (1, 0.6)
    assert added([figures, counted(tally())]).late == 1


def test_depths_stay_where_nothing_changes_and_add_up() -> None:
    """Of one process three are left after a minute, of the other one more after two; a third knows none."""
    one, other, third = tally("0"), tally("1"), tally("2")
    for _ in range(4):
        one.deeper(10.0, 1)
    one.deeper(50.0, -1)
    other.deeper(70.0, 1)
    third.due(190.0, 0.0)
    depths = [each.waiting for each in added([counted(one), counted(other), counted(third)]).minutes]
    assert depths == [3, 4, 4, 4]
    assert [each.waiting for each in counted(third).minutes] == [None] * 4


def test_one_that_did_not_finish_makes_the_whole_unfinished() -> None:
    """And its errors are told with how often they came."""
    one, other = tally("0"), tally("1")
    for each in (one, one, other):
        each.error("KeyError: 'x'")
    total = added([counted(one), counted(other, finished=False)])
    assert not total.finished
    assert total.errors == {"KeyError: 'x'": 3}


def test_figures_survive_being_written_down() -> None:
    """As JSON, which is how processes leave them."""
    mine = tally()
    mine.due(0.0, 0.1)
    mine.answered("enqueue", 1.0, 0.2, 0.1, "500")
    mine.found_nothing()
    mine.missed(2)
    figures = counted(mine)
    assert msgspec.json.decode(msgspec.json.encode(figures), type=Figures) == figures
    assert figures.minutes == [Minute(1, 1, 1, 1)]
    assert (figures.polls, figures.not_begun) == (1, 2)
