"""Wrong emulators: each breaks one promise of the documentation, so that rules can be shown to notice.

A module a theme. Every mutant is an emulator put together from other parts (`parts`): a wrapped store, a subclassed
part, a listened-to route. The emulator itself knows nothing of them.
"""

from collections.abc import Callable
from difflib import SequenceMatcher
from heapq import nlargest
from types import ModuleType
from typing import Any

from popreceipt.clock import Clock
from popreceipt.emulator.emulator import Emulator
from popreceipt.emulator.mutants import (
    acknowledgments,
    authorization,
    batch,
    cleanups,
    deliveries,
    files,
    imports,
    projects,
    shapes,
    statuses,
    transport,
    zero_records,
)
from popreceipt.emulator.mutants.mutant import Mutant
from popreceipt.emulator.profile import Profile
from popreceipt.exceptions import UsageError

__all__ = ["MUTANTS", "OF_SHAPES", "Mutant", "build", "find", "maker"]

_THEMES: tuple[ModuleType, ...] = (
    authorization,
    imports,
    projects,
    batch,
    deliveries,
    files,
    acknowledgments,
    statuses,
    zero_records,
    transport,
    cleanups,
    shapes,
)

_ALL: tuple[Mutant, ...] = tuple(each for theme in _THEMES for each in theme.MUTANTS)

MUTANTS: dict[str, Mutant] = {each.id: each for each in _ALL}
"""All of them by their ids, theme by theme."""

OF_SHAPES: dict[str, Mutant] = {each.id: each for each in shapes.FOR_SPECIFICATIONS}
"""Mutants that only a specification convicts: no rule claims them, and the kill table does without them."""

if len(MUTANTS | OF_SHAPES) < len(_ALL) + len(shapes.FOR_SPECIFICATIONS):
    raise ValueError("two mutants have the same id")


def find(mutant_id: str) -> Mutant:
    """The mutant of this id.

    Raises:
        UsageError: no mutant is called so; the error names those that come near.
    """
    if mutant_id in MUTANTS or mutant_id in OF_SHAPES:
        return MUTANTS.get(mutant_id) or OF_SHAPES[mutant_id]
    near = nlargest(3, MUTANTS, key=lambda each: _likeness(each, mutant_id))
    raise UsageError(f"No mutant is called {mutant_id!r}. Near it: {', '.join(near)}. All stand in specs/RULES.md.")


def maker(mutant_id: str) -> Callable[..., Emulator]:
    """What makes the wrong emulator of this id; it takes what `Emulator` takes.

    Raises:
        UsageError: no mutant is called so.
    """
    return find(mutant_id).make


def build(
    mutant_id: str,
    clock: Clock,
    profile: Profile,
    *,
    seed: int = 0,
    base_url: str = "http://emulator",
    **options: Any,
) -> Emulator:
    """The wrong emulator of this id, on a clock and with a profile; further options are those of `Emulator`.

    Raises:
        UsageError: no mutant is called so.
    """
    return maker(mutant_id)(clock, profile, seed=seed, base_url=base_url, **options)


def _likeness(one: str, other: str) -> float:
    """How near an id comes to another: by its letters, and by its words in whatever order."""
    words, others = set(one.split("-")), set(other.split("-"))
    return SequenceMatcher(None, one, other).ratio() + 2 * len(words & others) / (len(words) + len(others))
