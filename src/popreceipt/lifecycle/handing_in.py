"""What everybody does who hands files in: remember the messages, and when a batch may take them."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from popreceipt.client import wire
from popreceipt.client.packages import data_package, delimited
from popreceipt.client.times import instant
from popreceipt.lifecycle.driving import Driven, HandedIn, Search
from popreceipt.stage import FINAL, Import

PERIODS = {"minutes": timedelta(minutes=1), "hours": timedelta(hours=1), "days": timedelta(days=1)}

MOST_ASKED_FOR = 4
"""So many messages of a job are asked for, the latest ones."""

WEEKLY = (timedelta(days=1), timedelta(days=3), timedelta(days=7))
MONTHLY = (timedelta(days=30, hours=1), timedelta(days=31, hours=2))
"""After so long one looks at a job that runs on certain days: when it may have run, and when it may not."""


def recurrence_of(intake: Import) -> Mapping[str, Any] | None:
    """The processing recurrence of a job as its settings tell it; None where it has none."""
    minutes = intake.settings.get("processing_recurrence_minutes")
    if isinstance(minutes, (int, float)) and minutes > 0:
        return {"every": minutes, "unit": "minutes"}
    told = intake.settings.get("processing_recurrence")
    return told if isinstance(told, dict) else None


def end_of(recurrence: Mapping[str, Any], start: datetime) -> datetime | None:
    """When a recurrence is certainly over; None where it has no end."""
    end = recurrence.get("end")
    if not isinstance(end, dict):
        return None
    if (day := instant(str(end.get("date") or ""))) is not None:
        return day + timedelta(days=1)
    period = PERIODS.get(str(recurrence.get("unit")))
    count = end.get("count")
    return start + (count + 1) * float(recurrence.get("every", 1)) * period if period and count else None


class HandingIn(Driven):
    """Whoever hands files in. No deed of its own: those come with what it is for."""

    def __init__(self, search: Search) -> None:
        super().__init__(search)
        self.made: dict[str, datetime] = {}

    def opened_import(self, intake: Import) -> Import:
        """Remember an import's job, and since when its recurrence counts."""
        self.intakes.append(intake)
        self.made[intake.id] = self.stage.now()
        return intake

    def content(self, intake: Import, records: list[dict[str, str]]) -> bytes:
        """Records as the file of a job: itself, or in a package."""
        file = delimited(records)
        return data_package(file) if intake.settings.get("type") == "package" else file

    def hand_in(self, intake: Import, content: bytes, **options: Any) -> HandedIn | None:
        """Hand in a file, and remember when the batch may take it."""
        if intake.settings.get("type") == "package":
            options = {"entity": None} | options
        message = wire.message_id(intake.offer(content, **options))
        if message is None:
            return None
        made = HandedIn(intake, message, content)
        self.handed_in.append(made)
        for at in self.runs_of(intake):
            self.expect_at(at, "the batch", lambda: self.look_at(made))
        return made

    def run_now(self, intake: Import, *messages: HandedIn) -> None:
        """Let the batch of a job run, or wait for it, and ask for messages until they are done, but not for long."""
        intake.process()
        for seconds in (5, 60):
            self.stage.advance(seconds=seconds)
            if all(intake.status(each.message) in FINAL for each in messages[-MOST_ASKED_FOR:]):
                break

    def latest(self, intake: Import) -> list[HandedIn]:
        """The messages of a job, as far as they are asked for."""
        return [each for each in self.handed_in if each.intake is intake][-MOST_ASKED_FOR:]

    def runs_of(self, intake: Import) -> Iterator[datetime]:
        """When the batch of a job may run from now on, as far as its settings tell; the next run last."""
        now = self.stage.now()
        recurrence = recurrence_of(intake)
        if recurrence is None or intake.id not in self.made:
            return
        start = instant(str(recurrence.get("start") or "")) or self.made[intake.id]
        end = end_of(recurrence, start)
        if end is not None and end > now:
            yield end
        period = PERIODS.get(str(recurrence.get("unit")))
        if period is None:
            days = WEEKLY if recurrence.get("unit") == "weeks" else MONTHLY
            first = now if recurrence.get("unit") == "weeks" else start
            while first + days[0] <= now:
                first += days[0]
            yield from (first + each for each in reversed(days))
            return
        every = float(recurrence.get("every", 1)) * period
        following = start + max(0 if "start" in recurrence else 1, (now - start) // every + 1) * every
        if following - now < timedelta(days=1):
            yield following + every
        yield following

    def look_at(self, handed_in: HandedIn) -> None:
        """Ask for a status; a little later it may be final, and a good while later it still should be."""
        handed_in.intake.status(handed_in.message)
        self.expect(timedelta(hours=1), "an hour later", lambda: self.ask(handed_in))
        self.expect(timedelta(seconds=30), "the end of processing", lambda: self.ask(handed_in))
