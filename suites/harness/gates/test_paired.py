"""Which of two is the slower one: how often that is said wrongly, how surely it is found, and when nothing is said.

The rounds are made up, from a computer whose speed wanders, on which now and then something else runs for a while, and
on which whoever comes second has it a little harder: a threshold on one figure is wrong there all the time.
"""

import math
import random
from collections import Counter
from collections.abc import Mapping
from itertools import accumulate, product

import pytest

from popreceipt.exceptions import UsageError
from popreceipt.gates.paired import FEWEST, Outcome, Paired, Round, Standing, compare, lower_bound, needed
from popreceipt.load.turns import BEFORE, orders

FIGURES = tuple(f"{operation} {name} ms" for operation in ("enqueue", "dequeue", "ack") for name in ("p50", "p95"))


def measured(
    seed: int,
    *,
    rounds: int = 12,
    slower: Mapping[str, float] | None = None,
    noise: float = 0.08,
    second: float = 1.05,
    bursts: float = 0.05,
) -> Paired:
    """A measurement of two on such a computer.

    Args:
        seed: of everything.
        rounds: how many.
        slower: by figure, how many times as long the second one takes; once where nothing is said.
        noise: standard deviation of a run.
        second: how many times as long whoever comes second takes.
        bursts: in this share of the runs something else takes half of the computer.
    """
    chance = random.Random(seed)
    speed, taken = 0.0, []
    for order in orders(rounds, seed):
        speed += chance.gauss(0, 0.15)
        figures: dict[str, dict[str, float]] = {}
        for place, side in enumerate(order):
            busy = 2.0 if chance.random() < bursts else 1.0
            run = math.exp(speed + chance.gauss(0, noise)) * busy * (second if place else 1.0)
            times = {} if side == BEFORE or slower is None else slower
            figures[side] = {name: run * times.get(name, 1.0) * math.exp(chance.gauss(0, 0.04)) for name in FIGURES}
        taken.append(Round(figures["before"], figures["after"]))
    return Paired(before="main", after="branch", what="made up", rounds=tuple(taken))


def many(number: int, **how: object) -> list[Outcome]:
    """So many measurements, each with a seed of its own."""
    return [compare(measured(seed, **how)) for seed in range(number)]  # type: ignore[arg-type]  # passed on as they are


def test_where_nothing_differs_few_are_called_slower() -> None:
    """One in twenty at most, over all figures together, as is promised; a bare threshold alarms in one of six."""
    number = 1_000
    found = many(number)
    alarms = sum(each.exit_status == 1 for each in found)
    assert alarms <= 0.05 * number
    bare = sum(
        any(each.paired.rounds[0].after[name] / each.paired.rounds[0].before[name] > 1.15 for name in FIGURES)
        for each in found
    )
    assert bare > number / 6
    assert sum(each.exit_status == 0 for each in found) > 0.3 * number


def test_where_nothing_differs_the_rate_is_kept_without_any_minimum_effect() -> None:
    """It is the statistics that keep it, not the tolerance: with next to none there are still few alarms."""
    number = 500
    alarms = sum(compare(measured(seed), tolerance=1e-6).exit_status == 1 for seed in range(number))
    assert 0 < alarms <= 0.05 * number


@pytest.mark.parametrize(("rounds", "least"), [(12, 0.65), (20, 0.95)])
def test_a_third_slower_is_found(rounds: int, least: float) -> None:
    """Of thirty hundredths in all figures most are found, the more rounds the more, and none is let pass."""
    number = 300
    found = Counter(each.exit_status for each in many(number, rounds=rounds, slower=dict.fromkeys(FIGURES, 1.3)))
    assert found[1] >= least * number
    assert found[0] == 0


def test_one_slow_figure_among_many_is_found_and_named() -> None:
    """The others are not called slower for it."""
    found = many(100, rounds=20, slower={"ack p95 ms": 1.4})
    named = Counter(each.name for outcome in found for each in outcome.of(Standing.SLOWER))
    assert named["ack p95 ms"] >= 90
    assert named.total() - named["ack p95 ms"] <= 5


def test_a_change_at_the_tolerance_is_hardly_ever_let_pass() -> None:
    """Passing has to be proved too: one in twenty at most."""
    number = 500
    passed = sum(each.exit_status == 0 for each in many(number, slower=dict.fromkeys(FIGURES, 1.15)))
    assert passed <= 0.05 * number


def test_a_quiet_machine_decides() -> None:
    """Little noise, and the answer is no or yes, hardly ever neither."""
    quiet = {"rounds": 16, "noise": 0.01, "second": 1.0, "bursts": 0.0}
    same = Counter(each.exit_status for each in many(100, **quiet))
    slow = Counter(each.exit_status for each in many(100, **quiet, slower=dict.fromkeys(FIGURES, 1.3)))
    assert (same[0], slow[1]) == (100, 100)


def test_the_bound_is_exact() -> None:
    """Of all signs that eight values may have, the bound is above zero for as many as the risk allows, not one more."""
    sizes = [1.0, 1.3, 2.1, 3.7, 4.2, 5.9, 7.1, 8.8]
    ranks = Counter(
        sum(rank for rank, sign in enumerate(signs, 1) if sign < 0) for signs in product((-1, 1), repeat=len(sizes))
    )
    may_be = [0, *accumulate(ranks[total] for total in sorted(ranks))]
    for risk in (0.5, 0.1, 0.05, 0.02, 0.005, 0.001):
        missed = 0
        for signs in product((-1, 1), repeat=len(sizes)):
            values = [sign * size for sign, size in zip(signs, sizes, strict=True)]
            means = sorted((one + other) / 2 for place, one in enumerate(values) for other in values[place:])
            missed += lower_bound(means, len(values), risk) > 0
        assert missed == max(each for each in may_be if each <= risk * 2 ** len(sizes))


def test_too_few_values_have_no_bound() -> None:
    """Chance alone does as much."""
    assert lower_bound([1.0, 1.0, 1.0], 2, 0.05) == -math.inf


def test_the_noise_is_that_of_the_run_itself() -> None:
    """Told as a share; what is common to both in a round is none of it, and shows as drift."""
    quiet, loud = (compare(measured(3, rounds=40, noise=noise, second=1.0)).compared[0] for noise in (0.02, 0.2))
    assert 0.02 < quiet.noise < 0.15
    assert 0.15 < loud.noise < 0.6
    assert quiet.drift > 1.5


def test_few_rounds_decide_nothing() -> None:
    """However clear they seem: the number that it takes grows with figures and confidence."""
    found = compare(measured(1, rounds=6, noise=0.001, second=1.0, slower=dict.fromkeys(FIGURES, 3.0)))
    assert found.exit_status == 3
    assert f"it takes {needed(6, 0.95)}" in found.doubts[0]
    assert [needed(1, 0.95), needed(6, 0.95), needed(12, 0.95), needed(12, 0.99)] == [FEWEST, 7, 8, 11]


def test_rounds_in_doubt_do_not_count() -> None:
    """A run that may not be believed takes its round with it."""
    paired = measured(1, rounds=12, noise=0.001, second=1.0)
    doubtful = [
        Round(each.before, dict.fromkeys(each.after, 99.0), "after: INCONCLUSIVE") if number < 3 else each
        for number, each in enumerate(paired.rounds)
    ]
    found = compare(Paired(before="main", after="branch", what="made up", rounds=tuple(doubtful)))
    assert {each.rounds for each in found.compared} == {9}
    assert not found.of(Standing.SLOWER)


def test_a_figure_that_a_round_lacks_is_left_out_and_said() -> None:
    """And one that is zero has no ratio."""
    taken = [Round({"a": 1.0, "b": 1.0, "c": 0.0}, {"a": 1.0, "c": 1.0} | ({"b": 1.0} if n else {})) for n in range(8)]
    found = compare(Paired(before="main", after="branch", what="made up", rounds=tuple(taken)))
    assert [each.name for each in found.compared] == ["a"]
    assert set(found.left_out) == {"b", "c"}


def test_nothing_measured_proves_nothing() -> None:
    """No rounds, or rounds of nothing, or not all of them."""
    alike = Round({"a": 1.0}, {"a": 1.0})
    for rounds, complete in (((), True), ((Round({}, {}),) * 9, True), ((alike,) * 9, False)):
        paired = Paired(before="main", after="branch", what="made up", rounds=rounds, complete=complete)
        assert compare(paired).exit_status == 3


def test_what_is_wrong_beside_speed_fails_however_fast_it_is() -> None:
    """A server that refuses everything is quick."""
    rounds = (Round({"a": 1.0}, {"a": 0.1}),) * 9
    paired = Paired(before="main", after="branch", what="made up", rounds=rounds, convicted=("it loses messages",))
    assert compare(paired).exit_status == 1


@pytest.mark.parametrize(
    "more", [{"tolerance": 0}, {"tolerance": -1}, {"tolerance": 10}, {"confidence": 0.4}, {"confidence": 1}]
)
def test_what_makes_no_sense_is_wrong_usage(more: dict[str, float]) -> None:
    """A tolerance of nothing is never proved, a certainty neither."""
    with pytest.raises(UsageError):
        compare(measured(1), **more)


def test_each_comes_first_as_often_as_the_other() -> None:
    """In each two rounds once, and which of them is chance."""
    drawn = [tuple(orders(20, seed)) for seed in range(50)]
    assert all(sum(order[0] == BEFORE for order in each) == 10 for each in drawn)
    firsts = Counter(each[0][0] for each in drawn)
    assert min(firsts.values()) > 15
    assert tuple(orders(20, 7)) == tuple(orders(20, 7))
