"""The answer on a terminal: narrow, without colours, and without losing anything that colours tell."""

import math
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from popreceipt.sizing import wording
from popreceipt.sizing.plan import Arrivals, Objective, Run, Service, Spread
from popreceipt.sizing.result import Compared, Sizing
from popreceipt.sizing.terminal import print_sizing

from .answers import CANDIDATES, MARGIN, MONITORING, PLAN, candidate, recommending, refusing, replace_plan


def printed(sizing: Sizing, **options: Any) -> str:
    """What a terminal of eighty columns shows."""
    console = Console(file=StringIO(), **({"width": 80} | options))
    print_sizing(console, sizing)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def row(text: str, minutes: str) -> str:
    """The row of a candidate."""
    return next(line for line in text.splitlines() if line[1:].split()[:1] == [minutes])


def test_the_answer_stands_last_with_its_margin() -> None:
    """What to set, what it reaches of the objective, and how much more it bears."""
    words = " ".join(printed(recommending()).split())
    answer = words[words.rindex("Process every") :]
    assert answer.startswith("Process every 10 minutes, monitor every 15 minutes: 95 of 100 messages are processed")
    assert "within 9.8 min (objective 15 min); 99 of 100 within 10.2 min (objective 20 min)" in answer
    assert "1.9 times their number" in answer
    assert "2.1 times their length" in answer


def test_closed_forms_and_intervals_stand_beside_what_was_simulated() -> None:
    """Value, interval below it, closed form beside it; one whose conditions are not met is in brackets."""
    text = printed(recommending())
    assert row(text, "10").split()[:7] == ["➤", "10", "23%", "6.20", "6.20", "9.80", "9.80"]
    below = text.splitlines()[text.splitlines().index(row(text, "10")) + 1]
    assert below.split() == ["6.08–6.32", "9.60–10.0"]
    loose = replace(CANDIDATES[2].bounds, exact=False, why="too full")
    changed = (*CANDIDATES[:2], replace(CANDIDATES[2], bounds=loose), *CANDIDATES[3:])
    assert "(1.40)" in row(printed(recommending(candidates=changed)), "2")


def test_everything_is_told_without_colours() -> None:
    """The recommended one, those that meet, miss, or never settle: each by a sign and a word."""
    text = printed(recommending(), no_color=True)
    for minutes, sign, word in (("10", "➤", "recommended"), ("5", "✔", "meets"), ("30", "✘", "misses")):
        assert row(text, minutes).startswith(sign)
        assert word in row(text, minutes)
    assert "never settles" in row(text, "0.5")
    assert "\x1b" not in text


def test_colours_are_an_addition() -> None:
    """With them the same is to be read."""
    coloured = Console(file=StringIO(), width=80, force_terminal=True, color_system="truecolor", record=True)
    print_sizing(coloured, recommending())
    assert coloured.export_text() == printed(recommending())


@pytest.mark.parametrize("sizing", [recommending(), refusing()], ids=["recommending", "refusing"])
def test_eighty_columns_are_enough(sizing: Sizing) -> None:
    """No line is longer, and no figure is cut."""
    text = printed(sizing)
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text


def test_where_nothing_meets_the_objective_it_is_said_why() -> None:
    """What was tried, what was wanted, and what stands in the way; no margin of nothing."""
    words = " ".join(printed(refusing()).split())
    assert "✘ No recurrence tried (minutes: 1, 30, 60) meets the objective, p95 within 15 min and p99 within" in words
    assert "The shortest stable recurrence waits 29 minutes" in words
    assert "margin" not in words


def test_warnings_lease_monitoring_and_observations_are_all_there() -> None:
    """Each in its own words."""
    words = " ".join(printed(recommending()).split())
    for expected in (
        "! Half a minute is shorter than batch servers look for work.",
        "at more than 31 messages waiting",
        "5 ✔, 10 ✔, 15 ✔, 30 ✘",
        "1.3 % of messages (1.1 % to 1.5 %)",
        "safe prefetch 12 messages",
        "✘ backlog, most (messages) 34.0 41.0 -17.1 % 10 %",
    ):
        assert expected in words


def test_a_candidate_that_meets_but_is_not_safe_says_so() -> None:
    """And one that no monitoring watches in time does not pretend."""
    unsafe = candidate(5, safe=False, why="never finds its way back")
    sizing = recommending(
        candidates=(unsafe, CANDIDATES[4]),
        monitoring=replace(MONITORING, minutes=None),
        margin=replace(MARGIN, doubled=None),
    )
    text = printed(sizing)
    assert row(text, "5").startswith("!")
    assert "not safe" in row(text, "5")
    assert "none shows it in time" in text
    assert "monitor every" not in text
    assert "never settles" in text


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "–"),
        (0, "0"),
        (0.1234, "0.12"),
        (9.876, "9.88"),
        (9.996, "10.0"),
        (12.34, "12.3"),
        (99.96, "100"),
        (1234.5, "1,234"),
        (float("inf"), "∞"),
    ],
)
def test_figures_have_three_digits(value: float | None, told: str) -> None:
    """And thousands their comma."""
    assert wording.figure(value) == told


@pytest.mark.parametrize(
    ("minutes", "told"),
    [(None, "never"), (0.5, "30 s"), (9.8, "9.8 min"), (119, "119 min"), (180, "3 h"), (7200, "5 days")],
)
def test_durations_come_in_a_unit_that_fits(minutes: float | None, told: str) -> None:
    """From seconds to days."""
    assert wording.duration(minutes) == told


@pytest.mark.parametrize(
    ("factor", "told"),
    [(1.0, "already as it is"), (1.25, "from 1.25 times the arrivals on"), (100, "not even at 100 times the arrivals")],
)
def test_growth_is_told_from_as_it_is_to_beyond_what_was_tried(factor: float, told: str) -> None:
    """A factor of one is now; one that was not found is no factor."""
    assert wording.since(factor, 100, "the arrivals") == told


def test_shares_that_are_there_are_not_rounded_to_nothing() -> None:
    """One message in a million is not none."""
    assert wording.share(0) == "0 %"
    assert wording.share(1e-6) == "< 0.01 %"
    assert wording.share(0.0123) == "1.2 %"
    assert wording.share(0.5) == "50 %"


def test_plans_are_told_in_words() -> None:
    """Arrivals and service times of each kind, objectives of each name."""
    profile = replace_plan(PLAN, arrivals=Arrivals(profile=tuple(range(24))))
    assert "276 messages a day, 23 in the busiest hour" in wording.arrivals(profile)
    assert wording.arrivals(replace_plan(PLAN, arrivals=Arrivals(trace="a.csv"))) == "as recorded in a.csv"
    assert wording.arrivals(replace_plan(PLAN, arrivals=Arrivals(messages="m.csv"))) == "as measured in m.csv"
    spread = "lognormal: half of the files within 3 s, 95 of 100 within 9 s"
    assert wording.service(replace_plan(PLAN, service=Service(seconds=Spread(3, 9)))) == spread
    assert wording.service(replace_plan(PLAN, service=Service(median=3, p95=9))) == spread
    assert wording.service(replace_plan(PLAN, service=Service(measured="j"))) == "as measured in j"
    limits = Objective(mean_minutes=1, longest_minutes=90)
    assert (
        wording.objective(replace_plan(PLAN, objective=limits)) == "the mean within 1 min and the longest within 90 min"
    )


@pytest.mark.parametrize(
    ("days", "replications", "told"),
    [(0.25, 1, "6 h"), (1, 1, "1 day"), (7, 10, "7 days, 10 times anew"), (5.04514, 2, "5.05 days, 2 times anew")],
)
def test_it_is_told_how_much_was_simulated(days: float, replications: int, told: str) -> None:
    """How long, how often, with which seed."""
    plan = replace_plan(PLAN, run=Run(days=days, seed=3))
    sizing = recommending(plan=plan, figures={"replications": replications})
    assert wording.simulated(sizing) == f"{told}, seed 3"


def test_what_was_observed_is_the_measure() -> None:
    """A difference is a part of the observation; of nothing there is none."""
    assert wording.differs(Compared("w", 11, 10, "", None, None)) == "+10.0 %"
    assert wording.differs(Compared("w", 0, 0, "", None, None)) == "0 %"
    assert wording.differs(Compared("w", 1, 0, "", None, None)) == "–"


def test_figures_in_running_words_have_no_exponent() -> None:
    """However large they are; and as many digits as are asked for."""
    assert [wording.brief(each) for each in (8.4, 9.999, 42_431.0, 1e6, 0.0, 14_600.0)] == [
        "8.4",
        "10",
        "42,400",
        "1,000,000",
        "0",
        "14,600",
    ]
    assert wording.brief(10.004, 5) == "10.004"
    assert wording.brief(math.inf) == "inf"
    assert wording.plain(1e6) == "1,000,000"
    assert wording.plain(2.5) == "2.5"
    assert wording.duration(1440 * 3660) == "3,660 days"


def test_no_margin_is_called_none() -> None:
    """Nothing may grow to once its number."""
    assert wording.bears(replace(MARGIN, load_factor=1.0)).startswith("Margin: none to speak of")


def test_a_narrow_terminal_has_room_for_what_is_told() -> None:
    """Names are broken before what they stand for is left out."""
    words = " ".join(printed(recommending(), width=40).split())
    assert "worked off" in words
    assert "31 messages" in words
