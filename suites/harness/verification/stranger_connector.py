"""The connector and the actions of a stranger, as an integration calls them."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, quote, urlsplit

from stranger_jobs import ENTITY, Job, Refusal, wire_time
from stranger_wire import LARGEST_BODY
from stranger_world import World

STATES = ["Enqueued", "Dequeued", "Downloaded", "Acked", "Processing", "Processed", "ProcessedWithErrors"]
STATES += ["PostProcessingFailed", "PreProcessingError", "Preprocessing"]
DEQUEUE_MEMBERS = {
    "CorrelationId",
    "PopReceipt",
    "DownloadLocation",
    "IsDownLoadFileExist",
    "FileDownLoadErrorMessage",
    "LastDequeueDateTime",
}
OWN_MEMBERS = {"Delivery", "Hint"}


class Connector:
    """Enqueue, dequeue, download, acknowledge, ask for statuses."""

    world: World
    base: str
    blobs: str
    redirects = False

    def enqueue(self, job: Job, query: str, body: bytes) -> tuple[int, object, dict[str, str]]:
        """Take a file in."""
        if job.exports:
            raise Refusal(500, {"Message": "That job exports."})
        if self.headers.get("Content-Encoding", "identity") != "identity":
            raise Refusal(415)
        if len(body) > LARGEST_BODY:
            raise Refusal(413, "<html><h1>Too large</h1></html>")
        entity = parse_qs(query.replace("+", "%2B")).get("entity", [""])[-1]
        if not body or (not entity and job.settings["type"] == "file"):
            raise Refusal(400, {"Message": "A file needs content and an entity."})
        message = self.world.enqueue(job, body, entity or ENTITY, self.headers.get("x-ms-dyn-externalidentifier"))
        return 200, "{" + message.id.upper() + "}", {}

    def dequeue(self, job: Job, _query: str, _body: bytes) -> tuple[int, object, dict[str, str]]:
        """Offer a message."""
        if not job.exports:
            return 204, None, {}
        message = self.world.deliver(job)
        if message is None:
            return 200, None, {}
        before, message.last_dequeue = message.last_dequeue, self.world.now
        host = urlsplit(self.base).hostname
        answer = {
            "Delivery": message.deliveries,
            "PopReceipt": message.receipt,
            "LastDequeueDateTime": wire_time(before),
            "IsDownLoadFileExist": message.payload is not None,
            "FileDownLoadErrorMessage": "",
            "DownloadLocation": f"https://{host}/files/{message.number:x}?k={quote(message.location_key, safe='')}",
            "CorrelationId": message.correlation,
            "Hint": None,
        }
        return 200, answer, {"Content-Type": "text/json; charset=UTF-8"}

    def file(self, path: str, query: str) -> tuple[int, object, dict[str, str]]:
        """Send a file to whom its location was given."""
        if self.command != "GET":
            raise Refusal(404)
        client = self.client()
        key = parse_qs(query).get("k", [""])[0]
        for job in self.world.jobs.values():
            for message in job.messages:
                if key and message.location_key == key and path == f"/files/{message.number:x}":
                    self.check_policy(client, job)
                    if self.redirects:
                        self.world.download(message)
                        return 302, None, {"Location": f"{self.blobs}{path.removeprefix('/files')}?{query}"}
                    kind = "application/zip" if message.packed else "text/csv"
                    return 200, self.world.download(message), {"Content-Type": kind}
        raise Refusal(404, {"Message": "There is no such file."})

    def blob(self, query: str) -> bytes:
        """Send a file as blob storage does: to whoever knows where it is, and without looking at tokens."""
        key = parse_qs(query).get("k", [""])[0]
        messages = [one for job in self.world.jobs.values() for one in job.messages]
        found = next((one for one in messages if key and one.location_key == key), None)
        if found is None or found.payload is None or "Authorization" in self.headers:
            raise Refusal(400, "<Error>no such blob, or a token where none belongs</Error>")
        return found.payload

    def ack(self, job: Job, _query: str, body: bytes) -> tuple[int, object, dict[str, str]]:
        """Take the whole of what dequeue answered as an acknowledgment."""
        if not job.exports:
            raise Refusal(500, {"Message": "That job imports."})
        try:
            given = json.loads(body)
        except ValueError as fault:
            raise Refusal(500, {"Message": "Not JSON."}) from fault
        if (
            not isinstance(given, dict)
            or not set(given) >= DEQUEUE_MEMBERS
            or set(given) - DEQUEUE_MEMBERS - OWN_MEMBERS
        ):
            raise Refusal(400, {"Message": "Send what dequeue answered."})
        status = self.world.acknowledge(job, given["CorrelationId"], given["PopReceipt"])
        return status, None, {}

    def jobstatus(self, job: Job, query: str, _body: bytes) -> tuple[int, object, dict[str, str]]:
        """The state of a message, as a number."""
        asked = {name.lower(): values[-1] for name, values in parse_qs(query).items()}.get("jobid", "").strip('"')
        message = self.world.message(asked)
        if message is None or message not in job.messages:
            return 200, {"DataJobStatus": None, "ExecutionLog": "", "ExecutionDetail": None}, {}
        status = {
            "DataProject": job.settings["name"],
            "DataJobIdentifier": message.id,
            "ExternalIdentifier": message.external,
            "ExecutionIdentifier": message.execution,
            "DataJobStartedDateTime": wire_time(message.started),
            "DataJobCompletedDateTime": wire_time(message.completed),
            "DataJobState": STATES.index(message.status),
        }
        return 200, {"DataJobStatus": status, "ExecutionLog": "", "ExecutionDetail": message.details or None}, {}

    # The actions

    def action(self, path: str, body: bytes) -> tuple[int, object]:
        """Answer the OData actions."""
        prefix = "/data/DataManagementDefinitionGroups/Microsoft.Dynamics.DataEntities."
        if self.command != "POST" or not path.startswith(prefix):
            raise Refusal(404, {"error": {"code": "", "message": "Nothing here."}})
        self.client()
        name = path.removeprefix(prefix)
        parameters = {
            "GetMessageStatus": "messageId",
            "GetExecutionIdByMessageId": "_messageId",
            "GetExecutionErrors": "executionId",
            "GetExecutionSummaryStatus": "executionId",
        }
        if name not in parameters:
            raise Refusal(404, {"error": {"code": "", "message": "No such action."}})
        try:
            asked = json.loads(body)[parameters[name]]
        except (ValueError, KeyError, TypeError) as fault:
            raise Refusal(400, {"error": {"code": "", "message": f"{parameters[name]} is missing."}}) from fault
        context = {"@odata.context": f"{self.base}/data/$metadata#Edm.String", "@elsewhere.note": "hello"}
        if name in {"GetMessageStatus", "GetExecutionIdByMessageId"}:
            message = self.world.message(asked)
            value = "" if message is None else message.status if name == "GetMessageStatus" else message.execution
            return 200, {**context, "value": value}
        messages = [one for job in self.world.jobs.values() for one in job.messages]
        run = next((one for one in messages if asked and one.execution == asked), None)
        if run is None:
            raise Refusal(400, {"error": {"code": "", "message": "Execution details were not found."}})
        summary = "PartiallySucceeded" if run.errors else "Succeeded"
        return 200, {**context, "value": run.errors if name == "GetExecutionErrors" else summary}
