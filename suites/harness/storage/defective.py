"""A durable server with a defect that only a death shows: DEFECT names it. For the crash test, which has to see it."""

import os
import sys
from collections.abc import Callable, Iterable
from itertools import count

from popreceipt.cli.main import run
from popreceipt.emulator.continuity import NotedTime
from popreceipt.emulator.durable import Durable
from popreceipt.emulator.guids import Guids
from popreceipt.emulator.store.blobfiles import BlobFiles


def answers_first() -> None:
    """Answers leave before what they say is committed, which then happens once for many."""
    keep, calls = Durable.keep, [0]

    def late(self: Durable) -> bool:
        calls[0] += 1
        return calls[0] % 50 != 0 or keep(self)

    Durable.keep = late  # type: ignore[method-assign]  # that is the defect


def same_names() -> None:
    """Every process gives out the same identifiers again, in the same order whatever else it did by chance."""
    numbers = count()

    def numbered(self: Guids) -> str:
        del self
        return f"00000000-0000-4000-8000-{next(numbers):012x}"

    Guids.new = numbered  # type: ignore[method-assign]  # that is the defect


def time_goes_back() -> None:
    """Nobody notes how late it is."""
    NotedTime.note = lambda _: None  # type: ignore[method-assign]  # that is the defect


def sweeps_too_much() -> None:
    """At opening, files go that somebody still refers to."""
    sweep = BlobFiles.sweep

    def everything(self: BlobFiles, wanted: Iterable[str]) -> set[str]:
        del wanted
        return sweep(self, ())

    BlobFiles.sweep = everything  # type: ignore[method-assign]  # that is the defect


DEFECTS: dict[str, Callable[[], None]] = {
    "answers-first": answers_first,
    "same-names": same_names,
    "time-goes-back": time_goes_back,
    "sweeps-too-much": sweeps_too_much,
}

if __name__ == "__main__":
    DEFECTS[os.environ["DEFECT"]]()
    run(sys.argv[1:])
