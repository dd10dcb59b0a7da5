"""Instants as the control plane writes and reads them: ISO 8601, in UTC."""

from datetime import UTC, datetime


def written(instant: datetime) -> str:
    """With Z, a fraction only where there is one."""
    text = instant.strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{instant.microsecond:06d}Z" if instant.microsecond else f"{text}Z"


def instant_in(text: str) -> datetime | None:
    """The instant that a text tells, in UTC where it names no zone; None where it tells none."""
    try:
        found = datetime.fromisoformat(text.strip())
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
