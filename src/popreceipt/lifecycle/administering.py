"""Deeds of an administrator among others: clean-up, policies, settings of exports, while files come and go."""

from datetime import timedelta

from hypothesis import strategies as st

from popreceipt.lifecycle.consuming import Consuming
from popreceipt.lifecycle.driving import HandedIn, Taken, any_job, deed, deliveries, exports, imports, messages
from popreceipt.lifecycle.handing_in import HandingIn
from popreceipt.stage import Export, Import, Job
from popreceipt.targets import ADVANCE_TIME

STATUSES = ((), (), ("Acked",), ("Processed",), ("Processed", "Dequeued"), ("Enqueued",), ("ProcessedWithErrors",))


class Administering(Consuming, HandingIn):
    """Whoever looks after recurring data jobs while others use them."""

    def look_well(self, job: Job) -> None:
        """Look at Manage messages, and ask for the status of what was handed in."""
        if self.is_able("messages"):
            job.observe_messages()
        if isinstance(job, Import):
            for each in self.latest(job):
                job.status(each.message)

    # Files come

    @deed(target=messages, intake=imports, good=st.integers(0, 3), bad=st.sampled_from((0, 0, 1)))
    def enqueue(self, intake: Import, good: int, bad: int) -> HandedIn | None:
        """Hand in a file."""
        return self.hand_in(intake, self.content(intake, self.stage.records(good, bad)))

    @deed(
        "process", ADVANCE_TIME, target=messages, intake=imports, good=st.integers(0, 3), bad=st.sampled_from((0, 0, 1))
    )
    def enqueue_and_run(self, intake: Import, good: int, bad: int) -> HandedIn | None:
        """Hand in a file, and let the batch run until it is done."""
        made = self.hand_in(intake, self.content(intake, self.stage.records(good, bad)))
        if made is not None:
            self.run_now(intake, made)
        return made

    # Clean-up

    @deed("cleanup", job=any_job, days=st.sampled_from((0, 1, 2, 3)), statuses=st.sampled_from(STATUSES))
    def clean_up(self, job: Job, days: int, statuses: tuple[str, ...]) -> None:
        """Clean up by age and status; look before and after, at this job and at others."""
        others: list[Job] = [each for each in (*self.queues, *self.intakes) if each is not job][:2]
        for each in (job, *others):
            self.look_well(each)
        job.clean_up(days, statuses)
        for each in (job, *others):
            self.look_well(each)

    @deed(
        "cleanup",
        "process",
        ADVANCE_TIME,
        intake=imports,
        days=st.sampled_from((1, 2)),
        statuses=st.sampled_from(STATUSES),
    )
    def clean_up_what_is_old(self, intake: Import, days: int, statuses: tuple[str, ...]) -> None:
        """Let what there is grow old, let something new come, and clean up."""
        for _ in range(2):
            message = self.hand_in(intake, self.content(intake, self.stage.records(1)))
            if message is not None:
                self.run_now(intake, message)
            self.stage.advance(days=days)
        self.hand_in(intake, self.content(intake, self.stage.records(1)))
        self.look_well(intake)
        intake.clean_up(days, statuses)
        self.look_well(intake)

    @deed("cleanup", "produce", ADVANCE_TIME, queue=exports, days=st.sampled_from((1, 2)))
    def clean_up_old_exports(self, queue: Export, days: int) -> None:
        """The same with exports, of which one waits and one was taken."""
        queue.produce(1)
        self.drain(queue, limit=1)
        queue.produce(1)
        self.stage.advance(days=days)
        queue.produce(1)
        self.look_well(queue)
        queue.clean_up(days)
        self.look_well(queue)
        self.drain(queue)

    # Settings

    @deed("change-activity", target=deliveries, queue=exports)
    def disable_an_export(self, queue: Export) -> Taken | None:
        """Take the client's entry off the job's policy for a while; it calls all the same."""
        queue.change(enabled=False)
        found = queue.dequeue()
        queue.change(enabled=True)
        return None if found is None else Taken(queue, found)

    @deed("change-activity", intake=imports)
    def disable_an_import(self, intake: Import) -> None:
        """The same with an import."""
        intake.change(enabled=False)
        intake.offer(self.stage.file(1))
        intake.jobstatus(self.stage.unknown_guid())
        intake.change(enabled=True)

    @deed("change-activity", "produce", queue=exports, prevention=st.booleans(), records=st.sampled_from((0, 0, 2)))
    def change_the_prevention(self, queue: Export, prevention: bool, records: int) -> None:
        """Say whether exports without records upload nothing, and run one."""
        queue.change(prevent_upload_when_zero_records=prevention)
        self.produced(queue, records)
        self.drain(queue, limit=2)

    @deed("export-recurrence", ADVANCE_TIME, "produce", target=exports, when=lambda machine: len(machine.queues) < 4)
    def open_a_recurring_export(self) -> Export:
        """Make an export that runs by itself, without records at first, and change its prevention after a run."""
        queue = self.opened(self.stage.export(prevent_upload_when_zero_records=True, processing_recurrence_minutes=30))
        self.stage.advance(minutes=1)
        queue.produce(0)
        self.expect(timedelta(minutes=35), "a run by itself", lambda: self.change_and_look(queue))
        return queue

    def change_and_look(self, queue: Export) -> None:
        """Look, turn the prevention round, and remember to look again after the next run."""
        self.drain(queue)
        queue.observe_messages()
        now = bool(queue.settings.get("prevent_upload_when_zero_records"))
        queue.change(prevent_upload_when_zero_records=not now)
        self.expect(timedelta(minutes=35), "the next run by itself", lambda: self.look_at_runs(queue))

    def look_at_runs(self, queue: Export) -> None:
        """Take what there is, and look."""
        self.drain(queue)
        queue.observe_messages()

    # What there is to see

    @deed("batch", "messages", ADVANCE_TIME, job=any_job)
    def get_the_batch_status(self, job: Job) -> None:
        """Have the newest status of the batch jobs fetched, and look."""
        job.get_batch_status()
        job.observe_messages()

    @deed("batch", "messages", ADVANCE_TIME, job=any_job)
    def delete_the_history(self, job: Job) -> None:
        """Delete the records of the batch history, and look."""
        job.observe_messages()
        job.delete_batch_history()
        job.observe_messages()

    @deed("monitoring", job=any_job)
    def look_at_the_load(self, job: Job) -> None:
        """Look at what the monitoring recurrence has sampled."""
        job.observe_load()

    @deed("messages", ADVANCE_TIME, days=st.sampled_from((3, 6)))
    def leave_for_days(self, days: int) -> None:
        """Leave everything alone for days, and look at Manage messages before and after."""
        self.look_at_jobs()
        self.stage.advance(days=days)
        self.look_at_jobs()
