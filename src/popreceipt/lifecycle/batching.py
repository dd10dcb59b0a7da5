"""Deeds around batch jobs: recurrences of all kinds, jobs that die, the batch history, what monitoring sees."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from popreceipt.exceptions import NotAbleTo
from popreceipt.lifecycle.driving import HandedIn, any_job, deed, imports, messages
from popreceipt.lifecycle.handing_in import HandingIn, end_of, recurrence_of
from popreceipt.stage import Import, Job
from popreceipt.targets import ADVANCE_TIME

NO_FILE = b"\x00\xff not a file \xfe"

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

PATTERNS: tuple[Mapping[str, Any], ...] = (
    {"every": 2, "unit": "hours"},
    {"every": 30, "unit": "minutes", "start": 3},
    {"every": 10, "unit": "minutes", "count": 2},
    {"every": 6, "unit": "hours", "until": 3},
    {"every": 1, "unit": "weeks", "weekdays": (2, 5)},
    {"every": 1, "unit": "months"},
)
"""Recurrences beyond plain minutes: `start` in so many hours, `until` in so many days, `weekdays` from today on."""

MINUTE, HOUR, DAY = 60, 3600, 86_400

WAITS = (MINUTE, 11 * MINUTE, HOUR, 3 * HOUR, DAY, DAY + HOUR, 2 * DAY, 3 * DAY, 5 * DAY, 29 * DAY)

waits = st.sampled_from(WAITS)

MOST_JOBS = 3


def written(instant: datetime) -> str:
    """An instant as settings take it, in whole seconds."""
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


class Batching(HandingIn):
    """Whoever looks after batch jobs, and hands files in to see them run."""

    # Recurrences

    @deed(
        "create-activity",
        ADVANCE_TIME,
        target=imports,
        when=lambda machine: len(machine.intakes) < MOST_JOBS,
        place=st.integers(0, len(PATTERNS) - 1),
        times=st.integers(0, 2),
        is_late=st.booleans(),
    )
    def open_a_recurring_import(self, place: int, times: int, is_late: bool) -> Import | None:
        """Make an import with a recurrence beyond plain minutes, and perhaps follow it at once."""
        intake = self.recurring_import(place)
        if intake is not None:
            self.follow(intake, times, is_late)
        return intake

    def recurring_import(self, place: int) -> Import | None:
        """An import with one of the recurrences; None where the target's jobs know plain minutes only."""
        now = self.stage.now().replace(microsecond=0)
        settings = dict(PATTERNS[place])
        if "start" in settings:
            settings["start"] = written(now + timedelta(hours=settings["start"]))
        if "count" in settings:
            settings["end"] = {"count": settings.pop("count")}
        if "until" in settings:
            settings["end"] = {"date": written(now + timedelta(days=settings.pop("until")))}
        if "weekdays" in settings:
            settings["weekdays"] = [WEEKDAYS[(now.weekday() + later) % 7] for later in settings["weekdays"]]
        try:
            intake = self.stage.imports(processing_recurrence=self.stage.recurring(**settings))
        except NotAbleTo:
            return None
        return self.opened_import(intake)

    @deed("change-activity", intake=imports, minutes=st.sampled_from((5, 1, 15, 60)))
    def change_the_recurrence(self, intake: Import, minutes: int) -> None:
        """Let the batch run at another recurrence."""
        # Whether the same one, set again, counts anew is open, and nobody would set it.
        is_same = intake.settings.get("processing_recurrence_minutes") == minutes
        intake.change(processing_recurrence_minutes=2 * minutes if is_same else minutes)
        self.made[intake.id] = self.stage.now()

    @deed(target=messages, intake=imports, is_file=st.sampled_from((True, True, False)))
    def hand_in_one(self, intake: Import, is_file: bool) -> HandedIn | None:
        """Hand in a file, or something that is none."""
        return self.hand_in(intake, self.content(intake, self.stage.records(1)) if is_file else NO_FILE)

    @deed(
        ADVANCE_TIME, target=messages, intake=imports, times=st.integers(1, 3), is_late=st.sampled_from((False, True))
    )
    def follow_the_recurrence(self, intake: Import, times: int, is_late: bool) -> HandedIn | None:
        """Hand in a file and look at it just before and after the next run, so many times; perhaps after the end."""
        return self.follow(intake, times, is_late)

    def follow(self, intake: Import, times: int, is_late: bool) -> HandedIn | None:
        """The same, of any job. A look after a run is followed by one when the file should be done."""
        end = end_of(recurrence_of(intake) or {}, self.made[intake.id])
        if is_late and end is not None:
            self.stage.until_shortly_after(end)
        handed_in = None
        for _ in range(times):
            runs = [each for each in self.runs_of(intake) if each > self.stage.now()]
            if runs:
                # A file lives for a week: where the run is far away, it is handed in on the day before.
                self.stage.until_shortly_before(runs[-1] - timedelta(days=1))
            handed_in = self.hand_in(intake, self.content(intake, self.stage.records(1)))
            runs = [each for each in runs if each > self.stage.now()]
            if handed_in is None or not runs:
                return handed_in
            self.stage.until_shortly_before(runs[-1])
            intake.status(handed_in.message)
            self.stage.until_shortly_after(runs[-1])
            intake.status(handed_in.message)
            self.stage.advance(minutes=1)
            intake.status(handed_in.message)
        return handed_in

    @deed(ADVANCE_TIME, target=messages, intake=imports, first=waits, then=waits, last=waits)
    def wait_and_hand_in(self, intake: Import, first: int, then: int, last: int) -> HandedIn | None:
        """Let time pass, hand in a file, and ask for it twice, each time after a while."""
        self.stage.advance(seconds=first)
        handed_in = self.hand_in(intake, self.content(intake, self.stage.records(1)))
        for seconds in (then, last):
            self.stage.advance(seconds=seconds)
            if handed_in is not None:
                intake.status(handed_in.message)
        return handed_in

    @deed("process", ADVANCE_TIME, intake=imports)
    def run(self, intake: Import) -> None:
        """Let the batch run now, and wait until it is done."""
        self.run_now(intake, *self.latest(intake))

    @deed(handed_in=messages)
    def ask_for(self, handed_in: HandedIn) -> None:
        """Ask what became of a message."""
        self.ask(handed_in)

    # The batch history

    @deed("batch", "messages", ADVANCE_TIME, job=any_job, times=st.sampled_from((1, 2)))
    def get_the_batch_status(self, job: Job, times: int) -> None:
        """Have the newest status of the batch jobs fetched, and look."""
        for _ in range(times):
            job.get_batch_status()
            job.observe_messages()

    @deed("batch", "messages", ADVANCE_TIME, job=any_job)
    def delete_the_history(self, job: Job) -> None:
        """Delete the records of the batch history; look before and after, and have the status fetched again."""
        job.get_batch_status()
        job.observe_messages()
        job.delete_batch_history()
        job.get_batch_status()
        job.observe_messages()

    @deed(
        "batch", "messages", "process", ADVANCE_TIME, target=messages, intake=imports, records=st.sampled_from((50, 3))
    )
    def watch_a_running_job(self, intake: Import, records: int) -> HandedIn | None:
        """Have the status fetched while a larger file is in process, and once more when it is done."""
        handed_in = self.hand_in(intake, self.content(intake, self.stage.records(records)))
        intake.process()
        self.stage.advance(seconds=0.5)
        intake.get_batch_status(wait=False)
        self.stage.advance(seconds=30)
        if handed_in is not None:
            intake.status(handed_in.message)
        intake.observe_messages()
        intake.get_batch_status()
        intake.observe_messages()
        return handed_in

    @deed("monitoring", job=any_job)
    def look_at_the_load(self, job: Job) -> None:
        """Look at what the monitoring recurrence has sampled."""
        job.observe_load()

    # What goes wrong inside

    @deed(
        "faults",
        "process",
        ADVANCE_TIME,
        target=messages,
        intake=imports,
        kind=st.sampled_from(("post-processing-failed", "post-processing-failed", "stuck")),
    )
    def fail_in_processing(self, intake: Import, kind: str) -> HandedIn | None:
        """Let a message fail after its processing, or stay in it for ever."""
        self.run_now(intake, *self.latest(intake))
        with self.stage.fault("processing", kind, activity=intake.id):
            handed_in = self.hand_in(intake, self.content(intake, self.stage.records(2)))
            intake.process()
            self.stage.advance(seconds=20)
            if handed_in is not None:
                self.ask(handed_in)
        return handed_in

    @deed(
        "faults",
        "process",
        "parameters",
        "messages",
        ADVANCE_TIME,
        target=messages,
        intake=imports,
        phase=st.sampled_from(("before", "after")),
        is_left=st.sampled_from((False, False, True)),
        runs=st.integers(1, 3),
    )
    def die_in_processing(self, intake: Import, phase: str, is_left: bool, runs: int) -> HandedIn | None:
        """Let a batch job die over a message, and the batch run again; perhaps it is told to leave such messages."""
        with self.stage.parameters(skip_reprocessing=is_left):
            with self.stage.fault("processing", "dies", activity=intake.id, phase=phase):
                handed_in = self.hand_in(intake, self.content(intake, self.stage.records(2)))
                intake.process()
                self.stage.advance(seconds=30)
                if handed_in is None:
                    return None
                intake.status(handed_in.message)
                self.stage.advance(minutes=16)
                intake.status(handed_in.message)
                intake.observe_messages()
            for _ in range(runs):
                intake.process()
                self.stage.advance(minutes=16)
                intake.status(handed_in.message)
            intake.observe_messages()
        return handed_in
