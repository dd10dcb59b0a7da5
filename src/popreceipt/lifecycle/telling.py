"""A failure of a machine as somebody reads it: what is broken, and the story, made small where that is cheap."""

from collections.abc import Iterator, Sequence
from typing import Final

from popreceipt.reproduction.failure import Failure
from popreceipt.reproduction.minimise import minimise
from popreceipt.reproduction.player import Place
from popreceipt.reproduction.steps import Step
from popreceipt.reproduction.story import sentences
from popreceipt.reproduction.taken import known_of, steps_of
from popreceipt.targets import Target

REPLAYS: Final = 200
"""How often a story is played to make it small before it is told; on an emulator in this process that is a second."""

MOST_TOLD: Final = 40
"""Sentences that are told of a story that cannot be made small: its last ones."""


def told(failure: Failure, target: Target, seed: int) -> str:
    """A failure in words, with its story."""
    steps: Sequence[Step] = steps_of(failure.tape, known_of(target, failure.base_url))
    if target.emulator is not None:
        steps = _small(failure, steps, Place(target.name, seed))
    return "\n".join((f"{failure.oracle.name} ({failure.where}): {failure.message}", *_lines(steps)))


def _small(failure: Failure, steps: Sequence[Step], place: Place) -> Sequence[Step]:
    def fails(story: Sequence[Step]) -> bool:
        played = place.play(story)
        return failure.oracle.observed(played.header, played.entries) is not None

    return minimise(steps, fails, REPLAYS).steps


def _lines(steps: Sequence[Step]) -> Iterator[str]:
    lines = [f"  {at}  {sentence}" for at, sentence in sentences(steps)]
    if len(lines) > MOST_TOLD:
        yield f"  … {len(lines) - MOST_TOLD} steps before"
    yield from lines[-MOST_TOLD:]
