"""What the figures must show, as ratios within one run, and whether they do."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from popreceipt.generate.peers.files import Exchanged
from popreceipt.generate.peers.measuring import CONNECTIONS, KINDS, Case, Figures
from popreceipt.generate.peers.memory import Held

IN_MEMORY: Final = "popreceipt, in memory"
DURABLE: Final = "popreceipt, --data"

RATIOS: Final = (
    (IN_MEMORY, "Azurite, in memory", 4.0),
    (IN_MEMORY, "fauxqs", 1.0),
    (DURABLE, "Azurite, on disk", 8.0),
)
"""Ours, theirs, and how many times as many messages a second ours must do."""

SLOWEST: Final = 0.030
"""Seconds within which 99 of 100 requests must be answered at sixteen connections."""

GROWTH: Final = 100.0
"""MiB by which a process may have grown once all messages have gone through it."""

HEAD_ROOM: Final = 2.0
"""How many times as much the client could do, at least."""

RECORDS_SECONDS: Final = 5.0
RECORDS_MEGABYTES: Final = 300.0
"""What one file of many records may take: seconds until it is processed or produced, and MiB at the peak."""


@dataclass(frozen=True, slots=True)
class Goal:
    """One thing that was wanted, what was found (None where nothing was measured), and whether it is met."""

    name: str
    wanted: str
    found: float | None
    met: bool


def speed_goals(figures: Mapping[Case, Figures]) -> Iterator[Goal]:
    """The ratios, the slowest answers, and the client's head-room."""
    for ours, theirs, wanted in RATIOS:
        for kind in KINDS:
            for connections in CONNECTIONS:
                name = f"{kind}, {connections} connections: {ours} / {theirs}"
                mine, peer = figures.get((ours, kind, connections)), figures.get((theirs, kind, connections))
                found = mine.rate / peer.rate if mine and peer and mine.rates and peer.rates else None
                yield _at_least(name, found, wanted)
    for ours in (IN_MEMORY, DURABLE):
        for kind in KINDS:
            mine = figures.get((ours, kind, 16))
            found = mine.percentile(0.99) * 1000 if mine and mine.rates else None
            yield _at_most(f"{kind}, 16 connections: p99 of {ours}, ms", found, SLOWEST * 1000)
    yield _at_least(
        "the client's head-room, at the least",
        min(min(each.head_room, default=HEAD_ROOM) for each in figures.values()),
        HEAD_ROOM,
    )


def memory_goals(held: list[Held]) -> Iterator[Goal]:
    """How much a process has grown."""
    found = held[-1].megabytes - held[0].megabytes if held else None
    yield _at_most("growth over all messages, MiB", found, GROWTH)


def file_goals(exchanged: list[Exchanged]) -> Iterator[Goal]:
    """What files of many records took."""
    for each in exchanged:
        yield _at_most(f"{each.direction} of {each.records} records, seconds", each.seconds, RECORDS_SECONDS)
        yield _at_most(f"{each.direction} of {each.records} records, peak MiB", each.peak_megabytes, RECORDS_MEGABYTES)


def as_json(goal: Goal) -> dict[str, Any]:
    """A goal as the report file has it."""
    return asdict(goal)


def _at_least(name: str, found: float | None, wanted: float) -> Goal:
    return Goal(name, f"≥ {wanted:g}", found, found is not None and found >= wanted)


def _at_most(name: str, found: float | None, wanted: float) -> Goal:
    return Goal(name, f"≤ {wanted:g}", found, found is not None and found <= wanted)
