"""What a mutant is: an emulator with one promise of the documentation broken, and who ought to notice."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from popreceipt.emulator.emulator import Emulator
from popreceipt.emulator.mutants.parts import made_of


@dataclass(frozen=True, slots=True)
class Mutant:
    """One wrong emulator.

    `text` says in a sentence what it does wrong. `convicted_by` are the ids of the rules that are about it: their
    verdict flips to violated. `make` takes what `Emulator` takes.
    """

    id: str
    text: str
    convicted_by: tuple[str, ...]
    make: Callable[..., Emulator]


def mutant(id: str, text: str, *convicted_by: str, **parts: Any) -> Mutant:  # noqa: A002 - the name of the member
    """A mutant made of other parts (see `Parts`)."""
    return Mutant(id, text, convicted_by, made_of(**parts))
