"""What a stranger does with the files that come in: a run takes no time, and the batch history keeps its own book."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterator
from datetime import datetime

import stranger_files as files
import stranger_projects as projects
from stranger_faults import Plan
from stranger_jobs import Job, Message, wire_time

FAILED = {"PreProcessingError", "ProcessedWithErrors", "Processing"}


class Imports:
    """The importing side of a world."""

    defect: str | None
    now: datetime
    numbers: Iterator[int]
    parameters: dict[str, object]
    faults: Plan

    def run_import(self, job: Job) -> int:
        """Let the batch take what waits; how many files it took."""
        waiting = [one for one in job.messages if one.status == "Enqueued"]
        left = [one for one in job.messages if one.orphan]
        in_order = job.settings["in_order"] and job.settings["type"] == "file"
        if in_order and self.defect == "in-order-reversed":
            waiting.reverse()
        taken = 0
        for message in waiting:
            if in_order and any(one.status in FAILED for one in job.messages):
                break
            taken += 1
            self.import_one(job, message)
            if message.orphan:
                break  # the job is dead; what it has not begun waits for the next
        if not self.parameters["skip_reprocessing"] and self.defect != "never-requeued":
            for message in left:
                message.status, message.orphan, message.started = "Enqueued", False, None
                message.execution, message.errors, message.details = "", [], []
                message.retries += 1
        return taken

    def import_one(self, job: Job, message: Message) -> None:
        """Process one file. It takes no time."""
        message.started = self.now
        whole = job.settings["type"] == "package"
        if not whole and job.project.part(message.entity) is None:
            message.status = "Processing"  # nobody ever finds that entity
            self.note(job, message, "Executing")
            return
        try:
            parts = self.staged(job, files.unpacked(message.payload) if whole else [(message.entity, message.payload)])
        except files.Unreadable:
            message.status, message.completed = "PreProcessingError", self.now
            self.note(job, message, "Finished")
            return
        message.execution = f"RUN/{message.number:06d}/{secrets.token_hex(12)}"
        message.status = "Processing"
        if self.faults.struck("processing", job.id.lower(), ["stuck"]):
            self.note(job, message, "Executing")
            return
        fault = self.faults.struck("processing", job.id.lower(), ["dies", "post-processing-failed"])
        dies = fault is not None and fault["kind"] == "dies"
        if not dies or fault["phase"] == "after":
            self.land(job, message, parts)
        if dies:
            message.orphan = True
            self.note(job, message, "Error")
            return
        message.completed = self.now
        message.status = "ProcessedWithErrors" if message.errors else "Processed"
        if fault is not None:
            message.status = "PostProcessingFailed"
        self.note(job, message, "Finished")

    def staged(self, job: Job, given: list[tuple[str, bytes]]) -> list[tuple[dict[str, object], list[files.Row]]]:
        """What the files of one message hold, each with the part of the project that is about it."""
        staged = []
        for name, data in given:
            part = job.project.part(name) if name else job.project.entities[0]
            if part is None:
                raise files.Unreadable
            used = {**part, "map": []} if self.defect == "map-not-applied" else part
            staged.append((part, projects.read_in(used, data)))
        return staged

    def land(self, job: Job, message: Message, parts: list[tuple[dict[str, object], list[files.Row]]]) -> None:
        """Write good records into their tables and list the bad ones."""
        stopped: set[tuple[int, ...]] = set()
        for part, rows in projects.in_turn(parts):
            unit, level = (part["execution_unit"],), (part["execution_unit"], part["level"])
            if stopped & {unit, level}:
                continue
            entity = files.entity_named(part["entity"])
            failed = 0
            for place, row in enumerate(rows, 1):
                record, complaints = projects.record_of(entity, row)
                for column, text in complaints:
                    error = {"RecordId": str(place), "Field": column, "ErrorMessage": text, "Grade": entity.name}
                    message.errors.append(error)
                failed += bool(complaints)
                if complaints and self.defect == "bad-record-ends-file":
                    break
                if not complaints:
                    job.table(entity.name)[entity.key_of(record)] = record
            message.details.append(self.detail(entity.name, len(rows), failed))
            if failed and part["fail_unit_on_error"]:
                stopped.add(unit)
            if failed and part["fail_level_on_error"]:
                stopped.add(level)

    def detail(self, entity: str, rows: int, failed: int) -> dict[str, object]:
        """How one entity fared, as jobstatus tells it."""
        return {
            "EntityName": entity,
            "TargetErrorCount": failed,
            "TargetRecords": rows - failed,
            "StagingErrorCount": 0,
            "StagingRecords": rows,
            "TargetStatus": 3 if failed else 4,
            "StagingStatus": 4,
            "ExecutionStartedDateTime": wire_time(self.now),
            "ExecutionCompletedDateTime": wire_time(self.now),
        }

    def enqueue(self, job: Job, body: bytes, entity: str, external: str | None) -> Message:
        """Put a file into the queue, whatever it is."""
        number = next(self.numbers)
        message = Message(number, str(uuid.uuid1()), self.now, body, entity=entity, external=external)
        job.messages.append(message)
        return message
