"""What a stranger does with the files that go out: the newest first, and a download begins the half hour anew."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta

import stranger_files as files
import stranger_projects as projects
from stranger_jobs import Job, Message, Refusal

LEASE = timedelta(minutes=30)
BLOB_LIFE = timedelta(days=7)


class Exports:
    """The exporting side of a world."""

    defect: str | None
    now: datetime
    numbers: Iterator[int]
    jobs: dict[str, Job]
    payloads: set[bytes]

    def produce(self, job: Job, count: int) -> Message:
        """Export so many fresh records of each entity now."""
        number = next(self.numbers)
        made, exported = [], 0
        first_job = next(one for one in self.jobs.values() if one.project is job.project)
        heeds = self.defect != "filter-for-one-job" or job is first_job
        for part in job.project.entities:
            entity = files.entity_named(part["entity"])
            records = [files.synthetic(entity, number, place) for place in range(count)]
            job.tables[entity.name] = {entity.key_of(one): one for one in records}
            out = [one for one in records if not heeds or job.project.kept(entity, one)]
            exported += len(out)
            made.append((entity, part["format"], projects.written(part, out)))
        whole = job.settings["type"] == "package" or len(made) > 1
        payload = None
        if exported or not job.settings["prevent_upload_when_zero_records"]:
            payload = files.packed(made, f"run {number}") if whole else self.unlike_others(*made[0][1:])
        message = Message(number, str(uuid.uuid1()), self.now, payload, exported=exported, packed=whole)
        message.entity = made[0][0].name
        message.started = message.completed = self.now
        job.messages.append(message)
        self.note(job, message, "Finished")
        return message

    def unlike_others(self, form: str, data: bytes) -> bytes:
        """The file with so many blank lines at its end that no other is equal."""
        while data in self.payloads:
            data += b"\r\n" if form in files.SEPARATORS else "\n".encode("utf-16-le")
        self.payloads.add(data)
        return data

    def deliver(self, job: Job) -> Message | None:
        """Hand out the newest message that waits, and hide it."""
        ready = [one for one in job.messages if self.deliverable(one)]
        second = int(self.now.timestamp())
        if self.defect == "loses-a-waiting-message" and job.last_dequeue_second == second and len(ready) == 2:
            ready.pop().gone = True
        job.last_dequeue_second = second
        if not ready:
            return None
        message = ready[-1]
        message.old_receipts.add(message.receipt)
        message.correlation = str(uuid.uuid1()).upper()
        message.receipt = "~" + secrets.token_hex(5) + " / " + secrets.token_urlsafe(9) + "é"
        message.location_key = secrets.token_hex(6) + "+/" + secrets.token_hex(3)
        message.hidden_until = self.now + LEASE
        message.fetched = False
        message.deliveries += 1
        message.status = "Dequeued"
        if message.payload is None:
            message.gone = True
        return message

    def deliverable(self, message: Message) -> bool:
        """It waits: neither acknowledged nor hidden nor too old."""
        return (
            message.status != "Acked"
            and not message.gone
            and (message.hidden_until is None or self.now >= message.hidden_until)
            and self.now < message.enqueued + BLOB_LIFE
        )

    def download(self, message: Message) -> bytes:
        """The file of a delivery, while the message is hidden; that begins the half hour anew."""
        if message.payload is None or message.status == "Acked" or self.now >= message.hidden_until:
            raise Refusal(404, {"Message": "There is no such file."})
        if self.now >= message.enqueued + BLOB_LIFE:
            raise Refusal(410, {"Message": "That file is no longer kept."})
        message.fetched = True
        message.last_download = self.now
        message.hidden_until = self.now + LEASE
        if self.defect == "early-after-download":
            message.hidden_until = self.now + timedelta(minutes=20)
        return message.payload

    def acknowledge(self, job: Job, correlation: str, receipt: str) -> int:
        """Let a message leave, or refuse; the status to answer with."""
        for message in job.messages:
            if receipt in message.old_receipts and receipt:
                if self.defect in {"stale-receipt-effective", "refused-receipt-effective"}:
                    message.status, message.acked = "Acked", self.now
                if self.defect == "refused-receipt-effective":
                    return 409
                return 200  # said politely; nothing changes
            if (message.receipt, message.correlation) != (receipt, correlation):
                continue
            if message.status == "Acked":
                raise Refusal(404, {"Message": "That message has left."})
            if message.payload is not None and not message.fetched:
                raise Refusal(500, {"Message": "Nobody fetched that file."})
            if message.payload is not None and self.now >= message.hidden_until:
                raise Refusal(500, {"Message": "Too late."})
            message.status, message.acked = "Acked", self.now
            return 204
        raise Refusal(500, {"Message": "No delivery like that."})
