"""Searching: how many examples of how many steps a machine plays, and what becomes of the failures it finds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test

from popreceipt.exceptions import UsageError
from popreceipt.lifecycle.chance import seeded
from popreceipt.lifecycle.driving import Driven, RuleViolated, Search, left_out
from popreceipt.lifecycle.machines import MACHINES
from popreceipt.reproduction.failure import Failure
from popreceipt.targets import Target
from popreceipt.verdict import Level

Progress = Callable[[int, int], None]
"""Called with the number of examples played, of all."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How long a machine is played: rounds of so many examples, each of so many steps at most."""

    rounds: tuple[tuple[int, int], ...]

    @property
    def examples(self) -> int:
        """The examples of all rounds."""
        return sum(examples for examples, _ in self.rounds)


EFFORTS: Mapping[str, Effort] = {
    "fast": Effort(((14, 12), (14, 25))),
    "thorough": Effort(((300, 12), (300, 25), (130, 45))),
}
"""Efforts by name; thorough is some hundred thousand steps of all machines together.

Short examples come first: what they find is soon found, and soon read."""


@dataclass(frozen=True, slots=True)
class LifecycleResult:
    """What a machine did, and what went wrong under it."""

    figures: dict[str, Any]
    failures: list[Failure] = field(default_factory=list)


def run(
    target: Target,
    machine: str,
    *,
    seed: int,
    effort: str | Effort = "fast",
    progress: Progress | None = None,
    stop_at_first: bool = True,
    strict: bool = False,
    shrink: bool = False,
    ignored: frozenset[str] = frozenset(),
) -> LifecycleResult:
    """Play a machine on a target.

    Args:
        target: whom it drives.
        machine: its name, one of `MACHINES`.
        seed: makes the same run again on a target that answers the same.
        effort: by name, or one of one's own.
        progress: is called before each example.
        stop_at_first: end with the first example in which a MUST is violated; else go on for other rules.
        strict: a violated SHOULD ends it as well; else it is kept, and the machine goes on.
        shrink: let Hypothesis look for a smaller example.
        ignored: rules whose violation fails no example.

    Raises:
        UsageError: there is no such machine or effort.
        NothingProved: the target cannot be driven at all.
    """
    if machine not in MACHINES:
        raise UsageError(f"No machine is called {machine!r}. Machines: {', '.join(MACHINES)}.")
    if isinstance(effort, str) and effort not in EFFORTS:
        raise UsageError(f"No effort is called {effort!r}. Efforts: {', '.join(EFFORTS)}.")
    chosen = EFFORTS[effort] if isinstance(effort, str) else effort
    search = Search(target, machine, seed, ignored=set(ignored))
    search.left_out = left_out(MACHINES[machine], target)
    for number, (examples, steps) in enumerate(chosen.rounds):
        done, attempt = 0, 0
        while done < examples:
            before = search.examples
            _play(
                search,
                f"{seed}/{machine}/{number}/{attempt}",
                examples - done,
                steps,
                progress,
                chosen.examples,
                shrink,
            )
            done += max(1, search.examples - before)
            attempt += 1
            if stop_at_first and any(strict or each.oracle.level is Level.MUST for each in search.failures.values()):
                return _result(search)
            search.ignored.update(search.failures)
    return _result(search)


def _play(
    search: Search, seed: str, examples: int, steps: int, progress: Progress | None, of_all: int, shrink: bool
) -> None:
    """Play so many examples, or until one fails."""

    def example() -> Driven:
        if progress is not None:
            progress(min(search.examples, of_all), of_all)
        return MACHINES[search.machine](search)

    known = set(search.failures)
    try:
        run_state_machine_as_test(
            example,  # type: ignore[arg-type]  # documented to take a function as well
            settings=settings(
                max_examples=examples,
                stateful_step_count=steps,
                backend=seeded(seed),
                database=None,
                deadline=None,
                derandomize=False,
                print_blob=False,
                phases=(Phase.generate, Phase.shrink) if shrink else (Phase.generate,),
                report_multiple_bugs=False,
                verbosity=Verbosity.quiet,
                # How long a step takes is the target's business, and what a step does follows from the state.
                suppress_health_check=list(HealthCheck),
            ),
        )
    except RuleViolated:
        pass
    except Flaky:
        # It failed once, and not when it was played again: the failure is kept, how often it fails is told elsewhere.
        if not set(search.failures) - known:
            raise


def _result(search: Search) -> LifecycleResult:
    figures: dict[str, Any] = {
        "seed": search.seed,
        "examples": search.examples,
        "steps": search.steps,
        "deeds": dict(sorted(search.deeds.items())),
        "came_to_nothing": dict(sorted(search.undone.items())),
        "left_out": search.left_out,
        "exercised": {rule: count for rule, count in sorted(search.exercised.items()) if count},
        "violated": sorted(search.failures),
        "rules_that_failed": search.crashed,
    }
    return LifecycleResult(figures, list(search.failures.values()))
