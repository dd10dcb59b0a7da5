"""An anomaly as it is told: its kind, the message, a sentence, and the fewest exchanges that show it."""

from dataclasses import dataclass
from typing import Any

from popreceipt.histories.history import Anomaly


@dataclass(frozen=True, slots=True)
class Found:
    """One anomaly.

    Args:
        kind: what is wrong.
        activity: the recurring data job.
        message: what the message is called in the history: its payload's digest, or an id.
        exchanges: the fewest exchanges of the journal that show it, by number.
        sentence: what happened.
    """

    kind: Anomaly
    activity: str
    message: str
    exchanges: tuple[int, ...]
    sentence: str

    def as_json(self) -> dict[str, Any]:
        """As a file holds it."""
        return {
            "kind": str(self.kind),
            "activity": self.activity,
            "message": self.message,
            "exchanges": list(self.exchanges),
            "sentence": self.sentence,
        }


def plural(microseconds: int) -> str:
    """A length of time in words, no finer than anybody wants it."""
    seconds = microseconds / 1_000_000
    for size, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            whole, rest = divmod(seconds, size)
            text = f"{whole:g} {name}{'' if whole == 1 else 's'}"
            smaller = {"day": 3_600, "hour": 60, "minute": 1}[name]
            more = {"day": "h", "hour": "min", "minute": "s"}[name]
            return text if rest < smaller else f"{text} {rest / smaller:.0f} {more}"
    return f"{seconds:.3g} s"
