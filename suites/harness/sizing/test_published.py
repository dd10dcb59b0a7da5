"""The simulation beside what others have published about gated and batch-service queues.

Nothing here comes from this project: each test names who found the result, where, and the formula. Waits are compared
with intervals at 99.9 % over twenty independent replications with fixed seeds, and the intervals have to be narrow, so
that agreement says something. Processes are drawn here and not by what sizing draws its work with.
"""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from popreceipt.sizing.result import Estimate
from popreceipt.sizing.simulation import Job, Simulated, simulate
from popreceipt.sizing.statistics import estimate, observe
from popreceipt.sizing.work import Work

Floats = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Floats]
Figure = Callable[[Simulated], float]

REPLICATIONS = 20
INSTANT = 1e-3
"""Seconds of a recurrence that is as good as none: a job that starts at once is then a server that is never held up."""


def constant(seconds: float) -> Draw:
    """Every file takes as long."""
    return lambda _, number: np.full(number, seconds)


def exponential(mean: float) -> Draw:
    """Without memory."""
    return lambda chance, number: chance.standard_exponential(number) * mean


def erlang(mean: float, stages: int) -> Draw:
    """The sum of so many exponential stages."""
    return lambda chance, number: chance.standard_gamma(stages, number) * (mean / stages)


def hyperexponential(mean: float, share: float, factor: float) -> Draw:
    """A few long ones among many short ones: second moment well above that of the exponential distribution."""
    short = mean / (1 + share * (factor - 1))

    def draw(chance: np.random.Generator, number: int) -> Floats:
        scale = np.where(chance.random(number) < share, factor * short, short)
        return scale * chance.standard_exponential(number)

    return draw


def simulations(rate: float, service: Draw, job: Job, number: int) -> list[Simulated]:
    """Replications of a Poisson process of that rate, with about so many messages each."""
    seen = []
    for seed in range(REPLICATIONS):
        chance = np.random.default_rng((seed, number))
        horizon = number / rate
        arrived = np.sort(chance.random(chance.poisson(number)) * horizon)
        seen.append(simulate(Work(arrived, service(chance, len(arrived)), horizon), job))
    return seen


def waiting(run: Simulated) -> Floats:
    """From the arrival to the start of the processing, without the first tenth, which begins with nobody there."""
    later = run.work.arrived > run.work.horizon / 10
    waits: Floats = (run.started - run.work.arrived)[later]
    return waits


def mean_wait(run: Simulated) -> float:
    """The mean of the above."""
    return float(waiting(run).mean())


def agrees(runs: list[Simulated], figure: Figure, wanted: float, *, within: float = 0.02) -> None:
    """A published value lies in the interval of a simulated one, which is no wider than a share of it."""
    seen = estimate([figure(each) for each in runs], confidence=0.999)
    assert seen.low <= wanted <= seen.high, (wanted, seen)
    assert seen.high - seen.low <= 2 * within * wanted, (wanted, seen)


# A server that is never held up: the limit of a recurrence that vanishes


def test_d_d_1() -> None:
    """Equal gaps and equal service times: nobody waits below load 1; above it each waits a little longer than the last.

    D. G. Kendall, "Some problems in the theory of queues" (1951): the simplest of the queues he gave names to.
    """
    number = 500
    job = Job(1.0, at_once=True)
    arrived = np.arange(number) * 1.0
    easy = simulate(Work(arrived + 0.5, np.full(number, 0.25), float(number)), job)
    np.testing.assert_allclose(easy.started - easy.taken, 0, atol=1e-12)
    np.testing.assert_allclose(easy.waits, 0.75, atol=1e-9)
    hard = simulate(Work(arrived + 0.5, np.full(number, 1.25), float(number)), job)
    np.testing.assert_allclose(hard.started, 1.0 + 1.25 * arrived, atol=1e-9)


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
@pytest.mark.parametrize(
    ("service", "second"),
    [
        (constant(1.0), 1.0),
        (exponential(1.0), 2.0),
        (hyperexponential(1.0, 0.1, 5.0), 2 * (0.9 + 0.1 * 25) / 1.4**2),
    ],
    ids=["constant", "exponential", "hyperexponential"],
)
def test_m_g_1(service: Draw, second: float, load: float) -> None:
    """The mean wait in a queue with one server: rate E[S^2] / (2 (1 - load)).

    F. Pollaczek, "Ueber eine Aufgabe der Wahrscheinlichkeitstheorie" (1930); A. Y. Khinchine (1932). A gate in front of
    each batch changes nothing of it, since the order of service stays the same and the server never idles.
    """
    runs = simulations(load, service, Job(INSTANT, at_once=True), {0.3: 8_000, 0.6: 12_000, 0.8: 25_000}[load])
    # Whoever finds the server idle waits for the next tick, half of the recurrence on average.
    wanted = load * second / (2 * (1 - load)) + (1 - load) * INSTANT / 2
    agrees(runs, mean_wait, wanted, within=0.13)


def test_m_d_1_distribution() -> None:
    """The whole distribution of the wait where every file takes 1: P(W <= t), a finite sum for each t.

    A. K. Erlang, "The theory of probabilities and telephone conversations" (1909), and C. D. Crommelin (1932):
    (1 - load) times the sum over k up to t of (-load (t - k))^k / k! times e to the load (t - k).
    """
    load = 0.6
    runs = simulations(load, constant(1.0), Job(INSTANT, at_once=True), 12_000)
    for t in (0.5, 1.0, 2.0, 3.5):
        wanted = (1 - load) * math.fsum(
            (-load * (t - k)) ** k / math.factorial(k) * math.exp(load * (t - k)) for k in range(math.floor(t) + 1)
        )
        agrees(runs, lambda run, t=t: float(np.mean(waiting(run) <= t + INSTANT / 2)), wanted)


def test_m_m_1_sojourn() -> None:
    """The time from arrival to end is exponential with mean service / (1 - load): its percentiles are known.

    L. Kleinrock, "Queueing Systems", volume 1 (1975), chapter 5.
    """
    load = 0.5
    runs = simulations(load, exponential(1.0), Job(INSTANT, at_once=True), 15_000)
    for share in (0.5, 0.95, 0.99):
        wanted = math.log(1 / (1 - share)) / (1 - load)
        agrees(runs, lambda run, share=share: float(np.quantile(run.waits[1500:], share)), wanted, within=0.06)


# Batches at fixed intervals


def test_what_waits_at_fixed_intervals_is_poisson() -> None:
    """Batches of unlimited size: how many wait at a departure is Poisson with mean rate T, and each waits T / 2.

    N. T. J. Bailey, "On queueing processes with bulk service" (1954), with no limit to the size of a batch.
    """
    rate, every = 0.05, 60.0
    runs = simulations(rate, constant(0.0), Job(every), 20_000)
    agrees(runs, mean_wait, every / 2)
    sizes = np.concatenate(
        [np.bincount((run.taken / every).round().astype(int), minlength=int(20_000 / rate / every)) for run in runs]
    )
    mean = rate * every
    number = len(sizes)
    assert abs(float(sizes.mean()) - mean) < 4 * math.sqrt(mean / number)
    for size in range(10):
        share = math.exp(-mean) * mean**size / math.factorial(size)
        assert abs(float(np.mean(sizes == size)) - share) < 4.5 * math.sqrt(share * (1 - share) / number)


@pytest.mark.parametrize("load", [0.1, 0.3, 0.5])
@pytest.mark.parametrize(
    "service", [constant(2.0), exponential(2.0), erlang(2.0, 2)], ids=["constant", "exponential", "Erlang"]
)
def test_a_place_in_a_batch(service: Draw, load: float) -> None:
    """Half the interval, and those ahead in one's batch: E[N (N - 1)] / (2 E[N]) of them, rate T / 2 for Poisson N.

    P. J. Burke, "Delays in single-server queues with batch input" (1975): a random customer's place in its batch.
    """
    every = 600.0
    runs = simulations(load / 2.0, service, Job(every), 20_000)
    agrees(runs, mean_wait, every / 2 + load * every / 2)


def test_one_service_for_all_who_wait() -> None:
    """A server that takes all who wait and serves them together in a time D; an idle one starts with the next to come.

    After a service with arrivals the next batch are all of these, else the batch is the first to come: of a cycle's
    rate D + exp(-rate D) customers those who came during a service had to wait D / 2 for its end. (N. T. J. Bailey,
    1954, and F. Downton, "Waiting time in bulk service queues", 1955, for batches without a limit.)
    """
    for rate in (0.2, 1.0, 3.0):
        runs = simulations(rate, constant(0.0), Job(INSTANT, startup=1.0, at_once=True), 10_000)
        waited = rate * 0.5 / (rate + math.exp(-rate))
        agrees(runs, lambda run: float(np.mean(run.taken - run.work.arrived)), waited + INSTANT / 2, within=0.05)
        for run in runs:
            np.testing.assert_allclose(run.completed - run.taken, 1.0, atol=1e-6)


@pytest.mark.parametrize("load", [0.3, 0.6, 0.85])
def test_gated_service_with_vacations(load: float) -> None:
    """A gated M/G/1 queue that rests V between batches: rate E[S^2] / (2 (1 - load)) + V (1 + load) / (2 (1 - load)).

    H. Takagi, "Queueing Analysis", volume 1 (1991), chapter 5: with constant V, E[V^2] / (2 E[V]) is V / 2, and the
    gate adds load V / (1 - load). There the gate closes as a vacation ends. Here the start-up is the vacation, and the
    gate closes as it begins; cycles are the same, so everyone waits just V more. V is long enough for every cycle to
    have arrivals.
    """
    rest, mean = 200.0, 1.0
    runs = simulations(load / mean, exponential(mean), Job(INSTANT, startup=rest, at_once=True), 120_000)
    second = 2 * mean**2
    takagi = load / mean * second / (2 * (1 - load)) + rest * (1 + load) / (2 * (1 - load))
    agrees(runs, mean_wait, takagi + rest, within=0.03)


def test_cycles_of_gated_service() -> None:
    """Their mean is V / (1 - load), and their variance rate E[S^2] E[C] / (1 - load^2): who rests more works more.

    H. Takagi, "Analysis of Polling Systems" (1986), chapter 5, for one station.
    """
    rest, load = 200.0, 0.6
    runs = simulations(load, exponential(1.0), Job(INSTANT, startup=rest, at_once=True), 60_000)
    cycles = [np.diff(run.run_started[20:-1]) for run in runs]
    mean = rest / (1 - load)
    seen = estimate([float(each.mean()) for each in cycles], 0.999)
    assert holds(seen, mean)
    assert seen.high - seen.low < 0.02 * mean
    variance = estimate([float(each.var(ddof=1)) for each in cycles], 0.999)
    assert holds(variance, load * 2 * mean / (1 - load**2))
    assert variance.high - variance.low < 0.4 * variance.value


# Several servers


@pytest.mark.parametrize(("files", "threads"), [(3, 5), (12, 4), (40, 8)])
def test_how_long_exponential_files_take_at_once(files: int, threads: int) -> None:
    """On c threads n files are done after (n - c)/c service times, and 1/c + ... + 1/1 of them for the last ones.

    A. Renyi, "On the theory of order statistics" (1953): of k exponential times that run together the next one ends
    after 1/k of the mean. So file number k starts after (k - c)/c of it.
    """
    every, bursts = 1000.0, 400
    arrived = np.repeat(np.arange(bursts) * every, files)
    longest: list[float] = []
    last: list[float] = []
    for seed in range(REPLICATIONS):
        service = np.random.default_rng(seed).standard_exponential(len(arrived))
        run = simulate(Work(arrived, service, bursts * every), Job(every, threads=threads))
        longest.append(float((run.run_ended - run.run_started).mean()))
        last.append(float((run.started - run.taken)[files - 1 :: files].mean()))
    busy = min(files, threads)
    together = max(0, files - threads) / threads + sum(1 / k for k in range(1, busy + 1))
    assert holds(estimate(longest, 0.999), together)
    assert holds(estimate(last, 0.999), max(0, files - threads) / threads)


# What holds for every queue


@pytest.mark.parametrize(
    "job", [Job(300.0), Job(60.0, startup=20.0), Job(60.0, startup=20.0, at_once=True), Job(300.0, threads=3)], ids=str
)
def test_as_many_are_there_as_come_while_one_waits(job: Job) -> None:
    """The mean backlog is the rate times the mean wait, whatever the queue.

    J. D. C. Little, "A proof for the queuing formula L = lambda W" (1961).
    """
    for run in simulations(0.1, exponential(4.0), job, 20_000)[:5]:
        seen = observe(run)
        rate = len(run.work.arrived) / run.work.horizon
        # Exact, but for those who are still there as time ends.
        assert seen.backlog["mean"] == pytest.approx(rate * seen.wait_minutes["mean"] * 60, rel=0.003)


def holds(interval: Estimate, wanted: float) -> bool:
    """Whether a value is in an interval; of equal samples it has to be the same but for rounding."""
    return interval.low - 1e-9 <= wanted <= interval.high + 1e-9
