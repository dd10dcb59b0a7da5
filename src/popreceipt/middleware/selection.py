"""Which scenarios there are, and which of them are meant: by name, the quick ones, all, or the lost-response matrix."""

from collections.abc import Iterable
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from popreceipt import resources
from popreceipt.exceptions import UsageError
from popreceipt.middleware.matrix import matrix
from popreceipt.middleware.reading import read, read_folder
from popreceipt.middleware.scenario import Network, Scenario

__all__ = ["everything", "find", "matrix", "names", "quick", "select"]


@cache
def everything() -> tuple[Scenario, ...]:
    """The scenarios that stand in files, those in which nothing goes wrong first; the matrix is not among them.

    Raises:
        UsageError: one of the files cannot be read.
    """
    # What a subject does wrong on a sunny day is shown there, without what would only distract.
    return tuple(
        sorted(read_folder(resources.fixtures() / "scenarios"), key=lambda each: (not _is_sunny(each), each.name))
    )


def _is_sunny(scenario: Scenario) -> bool:
    kinds = scenario.imports.files if scenario.imports is not None else ()
    spoilt = scenario.export is not None and (scenario.export.no_file or scenario.export.expired)
    disturbed = scenario.faults or scenario.steps or scenario.points or scenario.network != Network()
    return not disturbed and not spoilt and set(kinds) <= {"good"}


def quick() -> tuple[Scenario, ...]:
    """Those that are played by default: together they take less than somebody waits for."""
    return tuple(each for each in everything() if each.quick)


def names() -> list[str]:
    """The names of all scenarios, those of the matrix last."""
    return [each.name for each in (*everything(), *matrix())]


def find(name: str) -> Scenario:
    """The scenario of this name, or the one in this file (a name that ends in .toml).

    Raises:
        UsageError: there is none, and the sentence names those that are called alike; or the file cannot be read.
    """
    if name.endswith(".toml"):
        return read(Path(name))
    for each in (*everything(), *matrix()):
        if each.name == name:
            return each
    near = get_close_matches(name, names(), 3) or [each for each in names() if name in each][:3]
    hint = f"Did you mean {' or '.join(near)}?" if near else f"There are {', '.join(names()[:5])} and more."
    raise UsageError(f"There is no scenario {name!r}. {hint}")


def select(chosen: Iterable[str]) -> tuple[Scenario, ...]:
    """The scenarios of these names, each once, in this order.

    Raises:
        UsageError: there is no such scenario.
    """
    return tuple(find(name) for name in dict.fromkeys(chosen))
