"""The dialect sweep: each scenario under the other answers to the open points that matter in it.

The documentation leaves open how some things are answered. A subject that lives with one answer may break on another,
and nobody knows which it will meet; so each is tried where it can be met, alone or with every other in pairs.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from random import Random
from typing import Literal

from popreceipt.emulator import profile
from popreceipt.emulator.profile import POINTS
from popreceipt.exceptions import UsageError
from popreceipt.middleware.scenario import Scenario
from popreceipt.middleware.selection import everything

Kind = Literal["single", "pairs"]


def names() -> list[str]:
    """Every single deviation that some scenario can show, as `POINT=VALUE`."""
    touched = {point for scenario in everything() for point in scenario.touches}
    return [f"{name}={value}" for name, point in POINTS.items() if name in touched for value in point.values[1:]]


def under(scenario: Scenario, dialect: str) -> Scenario:
    """The scenario under a dialect: `POINT=VALUE`, or several with a comma between.

    Raises:
        UsageError: no such point, no such value, or the scenario is about another answer to this very point.
    """
    chosen: dict[str, str] = {}
    for one in dialect.split(","):
        profile.dialect(one.strip())
        name, _, value = one.strip().partition("=")
        if name in chosen:
            raise UsageError(f"{name} is answered twice in {dialect!r}.")
        if scenario.points.get(name, value) != value:
            raise UsageError(
                f"The scenario {scenario.name} is about {name}={scenario.points[name]}: {name}={value} would make it"
                " another."
            )
        chosen[name] = value
    return replace(scenario, points={**scenario.points, **chosen}, dialect=_named(chosen))


def sweep(scenarios: Iterable[Scenario], kind: Kind = "single", *, seed: int = 0) -> tuple[Scenario, ...]:
    """Each of the scenarios under each dialect that it touches.

    For `pairs` it is played under so many combinations that every pair of answers occurs; the seed chooses which.

    Raises:
        UsageError: the library for pairs is not installed.
    """
    found = (
        each for scenario in scenarios for each in (_singles(scenario) if kind == "single" else _pairs(scenario, seed))
    )
    return tuple(sorted(found, key=lambda each: (_places(each.dialect or ""), each.name)))


def touched_by(dialect: str, scenarios: Iterable[Scenario]) -> tuple[Scenario, ...]:
    """Those of the scenarios in which a dialect can show, under it.

    Raises:
        UsageError: there is no such dialect, or it shows in none of them.
    """
    points = {one.strip().partition("=")[0] for one in dialect.split(",")}
    found = tuple(under(each, dialect) for each in scenarios if points <= set(each.touches))
    if not found:
        under(Scenario(name="", title="", source=""), dialect)  # a name that is none is the better reason
        raise UsageError(f"The dialect {dialect} shows in no scenario by itself: name one with --scenario.")
    return found


def _singles(scenario: Scenario) -> Iterator[Scenario]:
    for name in scenario.touches:
        for value in POINTS[name].values[1:]:
            yield under(scenario, f"{name}={value}")


def _pairs(scenario: Scenario, seed: int) -> Iterator[Scenario]:
    """Rows in which every pair of answers occurs; with fewer than two points there is nothing to pair."""
    if len(scenario.touches) < 2:
        return
    try:
        from allpairspy import AllPairs  # type: ignore[import-untyped]  # it brings no types
    except ImportError as error:
        raise UsageError(
            'A sweep over pairs needs the library allpairspy: pip install "popreceipt[middleware]".'
        ) from error
    chance = Random(f"{seed}/{scenario.name}")  # noqa: S311 - no secret: the same seed gives the same rows
    answers = [chance.sample(POINTS[name].values, len(POINTS[name].values)) for name in scenario.touches]
    met: set[str] = set()
    for row in AllPairs(answers):
        chosen = {
            name: value for name, value in zip(scenario.touches, row, strict=True) if value != POINTS[name].values[0]
        }
        if chosen and (named := _named(chosen)) not in met:
            met.add(named)
            yield under(scenario, named)


def _named(chosen: Mapping[str, str]) -> str:
    return ",".join(f"{name}={value}" for name, value in chosen.items())


def _places(dialect: str) -> list[tuple[int, int]]:
    """Where a dialect stands among all: by its points and their values, as the profile lists them."""
    order = list(POINTS)
    parts = [one.partition("=") for one in dialect.split(",")]
    return [(order.index(name), POINTS[name].values.index(value)) for name, _, value in parts]
