"""An anomaly of a history as something that can be looked for again in another journal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from popreceipt.histories.checker import judge
from popreceipt.histories.history import Anomaly
from popreceipt.histories.projection import history_of
from popreceipt.journal import Entry, Header
from popreceipt.reproduction.failure import Oracle
from popreceipt.reproduction.oracles import register
from popreceipt.verdict import Level

EXPECTED: Final = {
    Anomaly.LOST: "A message stays in its queue until it is acknowledged.",
    Anomaly.PHANTOM: "Only what was exported is handed out.",
    Anomaly.TWICE: "A message is handed to one caller at a time.",
    Anomaly.EARLY: "A message that was handed out hides for half an hour.",
    Anomaly.LATE: "A message that nobody acknowledged is back when its half hour is over.",
    Anomaly.BACK: "A message that was acknowledged does not come back.",
    Anomaly.STALE: "A receipt that a later delivery has replaced changes nothing.",
    Anomaly.ALTERED: "A message brings the file that was exported, each time.",
    Anomaly.ORDER: "Where messages are processed in order, a file is begun when the one before it is done.",
    Anomaly.BACKWARDS: "The status of a message never goes back.",
}
"""What should happen instead, by kind."""

MEMBER: Final = "anomaly"


@dataclass(frozen=True, slots=True)
class AnomalyOracle:
    """There is an anomaly of this kind."""

    kind: Anomaly

    @property
    def name(self) -> str:
        """The kind, as one of histories."""
        return f"histories.{self.kind}"

    @property
    def expected(self) -> str:
        """The promise that it breaks."""
        return EXPECTED[self.kind]

    @property
    def level(self) -> Level:
        """What the documentation promises convicts; what replaced receipts do is known from clients alone."""
        return Level.SHOULD if self.kind is Anomaly.STALE else Level.MUST

    def observed(self, header: Header, entries: Sequence[Entry]) -> tuple[str, tuple[int, ...]] | None:
        """The first such anomaly."""
        for found in judge(history_of(header, entries)).found:
            if found.kind is self.kind:
                return found.sentence, found.exchanges
        return None

    def as_json(self) -> dict[str, Any]:
        """As a bundle holds it."""
        return {MEMBER: str(self.kind)}


def make_known() -> None:
    """Have JSON that tells of an anomaly read wherever oracles are."""
    register(MEMBER, _read)


def _read(told: Mapping[str, Any]) -> Oracle:
    return AnomalyOracle(Anomaly(told[MEMBER]))
