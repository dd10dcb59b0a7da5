"""Every dialect shows: what a client sees of it, and that the default shows something else."""

from __future__ import annotations

import io
import json
import zipfile
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from popreceipt.emulator.profile import DIALECTS, POINTS, PROFILES

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Environment, Made

    Story = Callable[[Environment], Any]

CSV = b"CUSTOMERGROUPID\r\nA\r\n"
UNKNOWN = "11111111-2222-4333-8444-555555555555"
STORIES: dict[str, Story] = {}


def shows(point: str) -> Callable[[Story], Story]:
    """This story's result differs with each value of the point."""

    def note(story: Story) -> Story:
        STORIES[point] = story
        return story

    return note


def upload(one: Environment, query: str = "entity=Customer%20groups", body: bytes = CSV, **options: Any) -> Any:
    job = one.activity("import-file")
    return one.call("POST", f"/api/connector/enqueue/{job}", query, body, **options)


def after_processing(one: Environment, query: str = "entity=Customer%20groups", body: bytes = CSV) -> Any:
    """Status of the upload and of the message in the end."""
    answer = upload(one, query, body)
    one.process(one.activity("import-file"))
    one.advance(minutes=10)
    return answer.status, [row["Status"] for row in one.messages(one.activity("import-file"))]


def leased(one: Environment, records: int = 1, name: str = "export-package") -> tuple[str, dict[str, Any]]:
    job = one.activity(name)
    one.produce(job, records)
    offer = one.dequeue(job)
    assert offer is not None
    return job, offer


def status_and_queue(one: Environment, response: Any, job: str) -> Any:
    return response.status, response.body, [row["Status"] for row in one.messages(job)]


@shows("enqueue.message-id-form")
def _(one: Environment) -> Any:
    return upload(one).body


@shows("enqueue.content-type")
def _(one: Environment) -> Any:
    return upload(one).headers


@shows("enqueue.too-large")
def _(one: Environment) -> Any:
    response = upload(one, headers=(("content-length", "30000001"),))
    assert response.status == 413
    return response.body


@shows("enqueue.chunked")
def _(one: Environment) -> Any:
    return upload(one, headers=(("transfer-encoding", "chunked"),)).status


@shows("enqueue.gzip")
def _(one: Environment) -> Any:
    return upload(one, headers=(("content-encoding", "gzip"),)).status


@shows("enqueue.entity-encoding")
def _(one: Environment) -> Any:
    return after_processing(one, "entity=Customer+groups")


@shows("dequeue.empty-queue")
def _(one: Environment) -> Any:
    response = one.call("GET", f"/api/connector/dequeue/{one.activity('export-file')}")
    assert response.body == b""
    return response.status


@shows("dequeue.file-error-message")
def _(one: Environment) -> Any:
    return leased(one)[1]["FileDownLoadErrorMessage"]


@shows("dequeue.blank-last-dequeue")
def _(one: Environment) -> Any:
    return leased(one)[1].get("LastDequeueDateTime", "absent")


@shows("dequeue.last-dequeue-format")
def _(one: Environment) -> Any:
    job, _offer = leased(one)
    one.advance(minutes=30)
    return one.dequeue(job)["LastDequeueDateTime"]


@shows("redelivery.correlation")
def _(one: Environment) -> Any:
    job, offer = leased(one)
    one.advance(minutes=30)
    again = one.dequeue(job)
    assert one.download(again["DownloadLocation"]) == one.download(offer["DownloadLocation"])
    same = again["CorrelationId"] == offer["CorrelationId"]
    assert (again["DownloadLocation"] == offer["DownloadLocation"]) == same
    assert one.ack(job, offer).status == 500
    assert one.ack(job, again).status == 200
    return same


@shows("redelivery.order")
def _(one: Environment) -> Any:
    job, offer = leased(one)
    one.advance(minutes=1)
    one.produce(job, 1)
    one.advance(minutes=30)
    return one.dequeue(job)["CorrelationId"] == offer["CorrelationId"]


@shows("redelivery.poison-limit")
def _(one: Environment) -> Any:
    job, _offer = leased(one)
    seen = 1
    for _turn in range(12):
        one.advance(minutes=30)
        seen += one.dequeue(job) is not None
    return seen


@shows("redelivery.at-half-hour")
def _(one: Environment) -> Any:
    job, _offer = leased(one)
    one.advance(minutes=30)
    at_it = one.dequeue(job) is not None
    one.advance(seconds=1)
    assert at_it or one.dequeue(job) is not None
    return at_it


@shows("download.location-scheme")
def _(one: Environment) -> Any:
    one.emulator.base_url = "https://localhost:8443"
    return leased(one)[1]["DownloadLocation"].partition("/api")[0]


@shows("download.location-activity")
def _(one: Environment) -> Any:
    job = one.activity("export-file")
    one.produce(job)
    return json.loads(one.call("GET", f"/api/connector/dequeue/{job.upper()}").body)["DownloadLocation"]


@shows("download.answer")
def _(one: Environment) -> Any:
    job, offer = leased(one)
    response = one.download(offer["DownloadLocation"])
    if response.status == 302:
        location = dict(response.headers)["location"]
        assert location.startswith("http://localhost/")
        path, _mark, query = location.removeprefix("http://localhost").partition("?")
        file = one.call("GET", path, query, role=None)
        assert (file.status, file.body[:2]) == (200, b"PK")
        assert one.call("GET", path, query[:-1] + "x", role=None).status == 403
        assert one.call("PUT", path, query, role=None).status == 405
        assert one.messages(job)[0]["Status"] == "Downloaded"
    return response.status


@shows("download.file-payload")
def _(one: Environment) -> Any:
    return one.download(leased(one, name="export-file")[1]["DownloadLocation"]).body[:2]


@shows("download.content-type")
def _(one: Environment) -> Any:
    return one.download(leased(one)[1]["DownloadLocation"]).headers


@shows("download.extends-lease")
def _(one: Environment) -> Any:
    job, offer = leased(one)
    one.advance(minutes=20)
    one.download(offer["DownloadLocation"])
    one.advance(minutes=20)
    return one.dequeue(job) is None


@shows("download.after-lease")
def _(one: Environment) -> Any:
    _job, offer = leased(one)
    one.advance(minutes=31)
    return one.download(offer["DownloadLocation"]).status


@shows("download.after-acknowledgment")
def _(one: Environment) -> Any:
    job, offer = leased(one)
    one.ack(job, offer)
    return one.download(offer["DownloadLocation"]).status


@shows("acknowledgment.body-needed")
def _(one: Environment) -> Any:
    job, offer = leased(one)
    refused = one.ack(job, {name: offer[name] for name in ("CorrelationId", "PopReceipt")}).status
    assert refused == 200 or one.ack(job, offer).status == 200
    return refused


@shows("acknowledgment.success-answer")
def _(one: Environment) -> Any:
    job, offer = leased(one)
    return status_and_queue(one, one.ack(job, offer), job)


@shows("acknowledgment.second")
def _(one: Environment) -> Any:
    job, offer = leased(one)
    one.ack(job, offer)
    return status_and_queue(one, one.ack(job, offer), job)


@shows("acknowledgment.late")
def _(one: Environment) -> Any:
    job, offer = leased(one)
    one.advance(minutes=31)
    return status_and_queue(one, one.ack(job, offer), job)


@shows("acknowledgment.stale-receipt")
def _(one: Environment) -> Any:
    job, offer = leased(one)
    one.advance(minutes=31)
    one.dequeue(job)
    response = one.ack(job, offer)
    assert one.messages(job)[0]["Status"] == "Dequeued"
    return response.status


@shows("acknowledgment.without-download")
def _(one: Environment) -> Any:
    job, offer = leased(one)
    early = one.ack(job, offer).status
    one.download(offer["DownloadLocation"])
    assert early == 200 or one.ack(job, offer).status == 200
    return early


@shows("acknowledgment.other-activity")
def _(one: Environment) -> Any:
    _job, offer = leased(one)
    return one.ack(one.activity("export-file"), offer).status


@shows("acknowledgment.member-spelling")
def _(one: Environment) -> Any:
    job, offer = leased(one)
    assert one.ack(job, offer | {"More": 1}).status in {200, 400}
    return one.ack(job, {name.lower(): value for name, value in offer.items()}).status


@shows("acknowledgment.incomplete-body")
def _(one: Environment) -> Any:
    return one.ack(leased(one)[0], b"{}").status


@shows("zero-records.no-file-answer")
def _(one: Environment) -> Any:
    job = one.activity("export-no-zero")
    one.produce(job, 0)
    offer = one.dequeue(job)
    if offer is None:
        return None
    if offer["DownloadLocation"] is not None:
        assert one.download(offer["DownloadLocation"]).status == 404
    assert one.ack(job, offer).status == 200
    return offer["DownloadLocation"] is None, offer["FileDownLoadErrorMessage"]


@shows("zero-records.no-file-leaves")
def _(one: Environment) -> Any:
    job, offer = leased(one, 0, "export-no-zero")
    one.advance(minutes=31)
    back = one.dequeue(job)
    assert one.ack(job, back or offer).status == 200
    return back is None


@shows("retention.expired-download")
def _(one: Environment) -> Any:
    _job, offer = leased(one)
    one.advance(days=8)
    return one.download(offer["DownloadLocation"]).status


@shows("retention.expired-dequeue")
def _(one: Environment) -> Any:
    job, _offer = leased(one)
    one.advance(days=8)
    return one.dequeue(job) is None


@shows("retention.at-seven-days")
def _(one: Environment) -> Any:
    _job, offer = leased(one)
    one.advance(days=7)
    at_it = one.download(offer["DownloadLocation"]).status
    one.advance(seconds=1)
    assert one.download(offer["DownloadLocation"]).status == 404
    return at_it


@shows("status.ninth-spelling")
def _(one: Environment) -> Any:
    message = json.loads(upload(one).body)
    one.process(one.activity("import-file"))
    return one.status(message)


@shows("status.seventh-spelling")
def _(one: Environment) -> Any:
    one.emulator.batch._fails_afterwards = lambda _message: True
    message = json.loads(upload(one).body)
    one.process(one.activity("import-file"))
    one.advance(seconds=3)
    return one.status(message)


@shows("status.downloaded")
def _(one: Environment) -> Any:
    job, offer = leased(one)
    one.download(offer["DownloadLocation"])
    return one.messages(job)[0]["Status"]


@shows("status.jobstatus-state")
def _(one: Environment) -> Any:
    message = json.loads(upload(one).body)
    said = one.call("GET", f"/api/connector/jobstatus/{one.activity('import-file')}", f"jobId={message}")
    return json.loads(said.body)["DataJobStatus"]["DataJobState"]


@shows("status.jobstatus-unknown")
def _(one: Environment) -> Any:
    return one.call("GET", f"/api/connector/jobstatus/{one.activity('import-file')}", f"jobId={UNKNOWN}").status


@shows("status.unknown-message")
def _(one: Environment) -> Any:
    assert one.action("GetMessageStatus", messageId="x").status in {200, 400}
    return one.action("GetMessageStatus", messageId=UNKNOWN).status


@shows("execution-errors.value-form")
def _(one: Environment) -> Any:
    message = json.loads(upload(one, body=b'CUSTOMERGROUPID\r\n""\r\n').body)
    one.process(one.activity("import-file"))
    one.advance(seconds=3)
    execution = one.value("GetExecutionIdByMessageId", _messageId=message)
    assert one.value("GetExecutionErrors", executionId=UNKNOWN) in ("[]", [])
    return one.value("GetExecutionErrors", executionId=execution)


@shows("execution-errors.unresolved")
def _(one: Environment) -> Any:
    return one.action("GetExecutionIdByMessageId", _messageId=json.loads(upload(one).body)).body


@shows("execution-errors.unknown-execution")
def _(one: Environment) -> Any:
    return one.action("GetExecutionErrors", executionId=UNKNOWN).status


@shows("processing.missing-entity")
def _(one: Environment) -> Any:
    return after_processing(one, "")


@shows("processing.unknown-entity")
def _(one: Environment) -> Any:
    return after_processing(one, "entity=Vendors")


@shows("processing.unknown-company")
def _(one: Environment) -> Any:
    one.control("PATCH", f"/activities/{one.activity('import-file')}", {"use_company_from_message": True})
    return after_processing(one, "entity=Customer+groups&company=none")


@shows("processing.empty-body")
def _(one: Environment) -> Any:
    return after_processing(one, body=b"")


@shows("packages.element-order")
def _(one: Environment) -> Any:
    job = one.activity("import-package")
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("PackageHeader.xml", "<DataManagementPackageHeader/>")
        archive.writestr("groups.csv", CSV)
        archive.writestr(
            "Manifest.xml",
            "<DataManagementPackageManifest><PackageEntityList><DataManagementPackageEntityData>"
            "<InputFilePath>groups.csv</InputFilePath><EntityName>Customer groups</EntityName>"
            "</DataManagementPackageEntityData></PackageEntityList></DataManagementPackageManifest>",
        )
    one.enqueue(job, made.getvalue(), None)
    one.process(job)
    one.advance(seconds=3)
    return [row["Status"] for row in one.messages(job)]


@shows("ordering.failed-message")
def _(one: Environment) -> Any:
    job = one.activity("import-in-order")
    bad, good = one.send(job, ",,"), one.send(job, "A,,")
    one.advance(hours=1)
    assert one.status(bad) == "ProcessedWithErrors"
    first = one.status(good)
    one.control("POST", f"/activities/{job}/cleanup", {"olderThanDays": 0, "statuses": ["ProcessedWithErrors"]})
    one.process(job)
    one.advance(seconds=3)
    assert one.status(good) == "Processed"
    return first


@shows("batch.status-before-fetch")
def _(one: Environment) -> Any:
    job = one.activity("export-file")
    one.produce(job)
    (shown,) = [row["BatchStatus"] for row in one.messages(job)]
    one.control("POST", f"/activities/{job}/batch", {"action": "get-status"})
    one.advance(seconds=1)
    assert [row["BatchStatus"] for row in one.messages(job)] == ["Finished"]
    return shown


@shows("batch.overrun")
def _(one: Environment) -> Any:
    job = one.create("import", in_order=True, processing_recurrence_minutes=1)
    sent = [one.send(job, f"A{number}") for number in range(25)]
    one.advance(seconds=60)
    sent.append(one.send(job, "B"))
    one.advance(seconds=65)
    sent.append(one.send(job, "C"))
    one.advance(minutes=5)
    began = {row["MessageId"]: row["ProcessingStartedDateTime"] for row in one.messages(job)}
    return [began[one][11:19] for one in sent[24:]]


@shows("authorization.job-gate")
def _(one: Environment) -> Any:
    return upload(one, role="unlisted").status


@shows("authorization.service-gate")
def _(one: Environment) -> Any:
    statuses = {upload(one, role="unmapped").status}
    action = "/data/DataManagementDefinitionGroups/Microsoft.Dynamics.DataEntities.GetMessageStatus"
    return statuses | {one.call("POST", action, "", {"messageId": UNKNOWN}, role="unmapped").status}


@shows("transport.malformed-activity")
def _(one: Environment) -> Any:
    return one.call("GET", "/api/connector/dequeue/x").status


@shows("transport.unknown-activity")
def _(one: Environment) -> Any:
    return one.call("GET", f"/api/connector/dequeue/{UNKNOWN}").status


@shows("transport.wrong-direction")
def _(one: Environment) -> Any:
    job = one.activity("import-file")
    others = one.ack(job, b"{}").status
    return one.call("GET", f"/api/connector/dequeue/{job}").status, others


@shows("transport.wrong-verb")
def _(one: Environment) -> Any:
    action = "/data/DataManagementDefinitionGroups/Microsoft.Dynamics.DataEntities.GetMessageStatus"
    return one.call("PUT", f"/api/connector/dequeue/{UNKNOWN}").status, one.call("GET", action).status


@shows("throttling.connector")
def _(one: Environment) -> Any:
    job = one.activity("export-file")
    path = f"/api/connector/dequeue/{job}"
    answers = [one.call("GET", path) for _turn in range(6)]
    statuses = [answer.status for answer in answers]
    if 429 in statuses:
        assert ("retry-after", "1") in answers[-1].headers
        one.emulator.advance(timedelta(seconds=1))
        assert one.call("GET", path).status == 204
    return statuses


def test_every_point_has_a_story() -> None:
    """None is forgotten when one is added."""
    assert set(STORIES) == set(POINTS)


@pytest.mark.parametrize("point", POINTS)
def test_each_value_shows(environment: Made, point: str) -> None:
    """The same story comes out differently under each value, and the same under the same."""
    results = [STORIES[point](environment(f"{point}={value}")) for value in POINTS[point].values]
    assert all(one != other for i, one in enumerate(results) for other in results[:i]), results
    assert STORIES[point](environment()) == results[0]


def a_round_trip(one: Environment) -> None:
    """An import and an export, all the way, as a patient client does it."""
    job = one.activity("import-package" if one.emulator.profile.enqueue_chunked == "411" else "import-file")
    one.enqueue(job, CSV)
    source = one.activity("export-package")
    one.produce(source)
    one.advance(seconds=1)
    offer = one.dequeue(source)
    assert offer is not None
    one.download(offer["DownloadLocation"])
    one.advance(seconds=1)
    assert one.ack(source, offer).status in {200, 204}
    one.advance(hours=1)
    assert one.dequeue(source) is None


@pytest.mark.parametrize("name", [*DIALECTS, *(name for name in PROFILES if name != "on-premises")])
def test_a_round_trip_works_under_each(environment: Made, name: str) -> None:
    """A dialect is another answer, not a defect."""
    a_round_trip(environment(name) if name in DIALECTS else environment(profile=PROFILES[name]))


def test_named_profiles(environment: Made) -> None:
    """On-premises there is no connector; before platform update 12 some things were not yet there."""
    premises = environment(profile=PROFILES["on-premises"])
    assert upload(premises).status == 302
    job = premises.activity("export-file")
    premises.produce(job)
    for verb, operation in (("GET", "dequeue"), ("GET", "download"), ("POST", "ack"), ("GET", "jobstatus")):
        for role in ("authorised", "unlisted", None):
            answer = premises.call(verb, f"/api/connector/{operation}/{job}", role=role)
            assert (answer.status, answer.body) == (302, b"")
            assert dict(answer.headers)["location"]
    assert [row["Status"] for row in premises.messages(job)] == ["Enqueued"]
    old = environment(profile=PROFILES["before-platform-update-12"])
    job, _offer = leased(old)
    old.control("POST", f"/activities/{job}/batch", {"action": "get-status"})
    old.advance(seconds=1)
    assert old.action("GetMessageStatus", messageId=UNKNOWN).status == 404
    assert old.action("GetExecutionIdByMessageId", _messageId=UNKNOWN).status == 200
    shown = [(row["TotalRecordsExported"], row["FileUploaded"], row["BatchStatus"]) for row in old.messages(job)]
    assert shown == [(None, None, "Finished")]
