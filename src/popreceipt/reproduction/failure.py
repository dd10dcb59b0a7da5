"""Something that went wrong under a suite, with all that is needed to look for it again."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from popreceipt.client.tape import Done
from popreceipt.journal import Entry, Header
from popreceipt.verdict import Level


class Oracle(Protocol):
    """Tells from a journal whether a certain thing went wrong in it."""

    @property
    def name(self) -> str:
        """What went wrong, in one word with dots: a rule's id, or a check and the operation it looked at."""

    @property
    def expected(self) -> str:
        """What should have happened, in a sentence."""

    @property
    def level(self) -> Level:
        """Whether it convicts (MUST) or is only told (SHOULD)."""

    def observed(self, header: Header, entries: Sequence[Entry]) -> tuple[str, tuple[int, ...]] | None:
        """What happened instead, and the exchanges that show it; None where it did not go wrong."""

    def as_json(self) -> dict[str, Any]:
        """As a bundle holds it."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One thing that went wrong, once.

    Args:
        suite: conformance, fuzz, lifecycle or histories.
        where: the scenario, operation or machine.
        oracle: finds it again.
        message: what was observed.
        exchanges: its witnesses, by number in the run's journal; nothing where they stand in another one.
        tape: what was done since the target (or the jobs of the example) was fresh.
        seed: makes the same run again.
        base_url: where it was done, if not at the target's own address: the same target, served for the occasion.
    """

    suite: str
    where: str
    oracle: Oracle
    message: str
    exchanges: tuple[int, ...] = ()
    tape: tuple[Done, ...] = field(default=(), repr=False)
    seed: int = 0
    base_url: str = ""
