"""Dialects combined: as few profiles as have every answer to every open point in one of them."""

from pathlib import Path
from typing import Final

from popreceipt.emulator.profile import DIALECTS, POINTS

Points = dict[str, str]
"""Open points answered otherwise than usual, by name."""

ALONE: Final = (
    # A client that gets 429, or is sent elsewhere, gets to see less.
    "throttling.connector=429",
    "download.answer=redirect",
    # What is known by its name is no longer, or hides behind another answer.
    "redelivery.correlation=fresh",
    "redelivery.poison-limit=10",
    "download.after-lease=404",
    "acknowledgment.body-needed=whole",
    "ordering.failed-message=blocks",
    "zero-records.no-file-leaves=at-once",
    "retention.expired-dequeue=dropped",
)
"""Dialects that hide other answers, or are hidden by them."""

COMBINED: Final[tuple[Points, ...]] = tuple(
    {
        name: point.values[place]
        for name, point in POINTS.items()
        if place < len(point.values) and f"{name}={point.values[place]}" not in ALONE
    }
    for place in range(1, max(len(point.values) for point in POINTS.values()))
)
"""All second answers together, all third ones, and so on."""

SINGLES: Final[tuple[Points, ...]] = tuple({each.partition("=")[0]: each.partition("=")[2]} for each in DIALECTS)
"""Each dialect alone."""

PROFILES: Final[tuple[Points, ...]] = (
    {},
    *COMBINED,
    *(points for points, dialect in zip(SINGLES, DIALECTS, strict=True) if dialect in ALONE),
)
"""The plain profile, those combined, and those alone: every answer to every open point."""


def named(points: Points) -> str:
    """What a profile is called: plain, its dialect, or how many are combined in it."""
    if len(points) > 1:
        return f"{len(points)}-combined"
    return next((f"{name}={value}" for name, value in points.items()), "plain")


def written(points: Points, folder: Path) -> Path:
    """A profile's file with these points."""
    file = folder / "profile.toml"
    lines = [f'"{name}" = "{value}"\n' for name, value in points.items()]
    file.write_text("".join(("[points]\n", *lines)), encoding="utf-8")
    return file
