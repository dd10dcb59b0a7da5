"""Imports: recurrences, stages, records, errors, order."""

from __future__ import annotations

import itertools
import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from popreceipt.emulator.emulator import World

if TYPE_CHECKING:
    from conftest import Environment, Made

NONE = "00000000-0000-0000-0000-000000000000"


def test_a_message_waits_for_the_recurrence_and_goes_through_its_stages(plain: Environment) -> None:
    """A second before the tick it is enqueued; then pre-processing, processing, and an end."""
    job = plain.create("import")
    message = plain.send(job, "A,Retail,Net30")
    seen = []
    for seconds in (299, 1, 1, 2):
        plain.advance(seconds=seconds)
        seen.append(plain.status(message))
    assert seen == ["Enqueued", "Preprocessing", "Processing", "Processed"]
    assert plain.records(job) == [{"CUSTOMERGROUPID": "A", "DESCRIPTION": "Retail", "PAYMENTTERMID": "Net30"}]
    row = plain.messages(job)[0]
    assert row["ProcessingStartedDateTime"] == "2026-01-01T00:05:00Z"
    assert row["ProcessingCompletedDateTime"] == "2026-01-01T00:05:03Z"
    assert (row["TotalRecordsExported"], row["FileUploaded"], row["EntityName"]) == (None, None, "Customer groups")


def test_what_arrives_on_a_tick_waits_for_the_next(plain: Environment) -> None:
    """A recurrence counts from the activity's creation."""
    plain.advance(minutes=2)
    job = plain.create("import", processing_recurrence_minutes=3)
    plain.advance(minutes=3)
    message = plain.send(job, "A,,")
    plain.advance(minutes=2, seconds=59)
    assert plain.status(message) == "Enqueued"
    plain.advance(seconds=1)
    assert plain.status(message) == "Preprocessing"


def test_a_recurrence_can_be_changed_and_taken_away(plain: Environment) -> None:
    """It counts from the change that set it; without one only a run by hand processes."""
    job = plain.create("import", processing_recurrence_minutes=60)
    message = plain.send(job, "A,,")
    plain.control("PATCH", f"/activities/{job}", {"processing_recurrence_minutes": None})
    plain.advance(hours=2, minutes=1)
    assert plain.status(message) == "Enqueued"
    plain.control("PATCH", f"/activities/{job}", {"processing_recurrence_minutes": 5})
    plain.advance(minutes=4, seconds=59)
    # What says the same changes nothing.
    plain.control("PATCH", f"/activities/{job}", {"processing_recurrence": {"every": 5, "unit": "minutes"}})
    assert plain.status(message) == "Enqueued"
    plain.advance(seconds=1)
    assert plain.status(message) == "Preprocessing"


def test_a_run_by_hand_takes_what_is_there(plain: Environment) -> None:
    """Good or bad, and nothing twice."""
    job = plain.create("import")
    plain.send(job, "A,,")
    plain.enqueue(job, b"\xff\xfe\x00")
    assert (plain.process(job), plain.process(job)) == (2, 0)


def test_good_records_land_and_bad_ones_are_listed(plain: Environment) -> None:
    """By their number in the file; the status and the summary tell the same."""
    job = plain.create("import")
    message = plain.send(job, "A,x,", ",nameless,", "B,y,Net10", "12345678901,z,", f"C,{'d' * 61},", "D,w")
    assert plain.value("GetExecutionIdByMessageId", _messageId=message) == NONE
    plain.process(job)
    plain.advance(seconds=3)
    assert plain.status(message) == "ProcessedWithErrors"
    assert [record["CUSTOMERGROUPID"] for record in plain.records(job)] == ["A", "B"]
    listed = plain.errors(message)
    assert [(one["RecordId"], one["Field"]) for one in listed] == [
        ("2", "CUSTOMERGROUPID"),
        ("4", "CUSTOMERGROUPID"),
        ("5", "DESCRIPTION"),
        ("6", ""),
    ]
    assert all(one["ErrorMessage"] for one in listed)
    execution = plain.value("GetExecutionIdByMessageId", _messageId=message)
    assert plain.value("GetExecutionSummaryStatus", executionId=execution) == "PartiallySucceeded"


@pytest.mark.parametrize(
    ("lines", "status", "summary"),
    [
        (["A,,"], "Processed", "Succeeded"),
        ([], "Processed", "Succeeded"),
        (["A,,", ",,"], "ProcessedWithErrors", "PartiallySucceeded"),
        ([",,"], "ProcessedWithErrors", "Failed"),
    ],
)
def test_status_summary_and_jobstatus_agree(plain: Environment, lines: list[str], status: str, summary: str) -> None:
    """All three ways to ask."""
    job = plain.create("import")
    message = plain.send(job, *lines)
    plain.process(job)
    plain.advance(seconds=2)
    execution = plain.value("GetExecutionIdByMessageId", _messageId=message)
    assert plain.value("GetExecutionSummaryStatus", executionId=execution) == "Executing"
    plain.advance(seconds=1)
    assert plain.status(message) == status
    assert plain.value("GetExecutionSummaryStatus", executionId=execution) == summary
    said = json.loads(plain.call("GET", f"/api/connector/jobstatus/{job}", f"jobId={message}").body)
    assert said["DataJobStatus"]["DataJobState"] == status
    assert said["DataJobStatus"]["ExecutionIdentifier"] == execution
    assert said["ExecutionDetail"][0]["TotalRecords"] == len(lines)


@pytest.mark.parametrize(
    ("entity", "body"),
    [
        (None, b"CUSTOMERGROUPID\r\nA\r\n"),
        ("", b"CUSTOMERGROUPID\r\nA\r\n"),
        ("Vendors", b"CUSTOMERGROUPID\r\nA\r\n"),
        ("Customer groups", b""),
        ("Customer groups", b"<Document></Document>"),
        ("Customer groups", b"DESCRIPTION\r\nA\r\n"),
        ("Customer groups", b"CUSTOMERGROUPID,CUSTOMERGROUPID\r\nA,B\r\n"),
        ("Customer groups", b"CUSTOMERGROUPID\r\n\xe9\r\n"),
        ("Customer groups", b'CUSTOMERGROUPID\r\n"A\r\n'),
        ("Customer groups", b"PK\x03\x04"),
    ],
)
def test_what_cannot_be_read_ends_before_processing(plain: Environment, entity: str | None, body: bytes) -> None:
    """The enqueue is accepted whatever comes; the status tells later, and there is no execution."""
    job = plain.create("import")
    answer = plain.enqueue(job, body, entity)
    assert answer.status == 200
    message = json.loads(answer.body)
    plain.process(job)
    plain.advance(seconds=3)
    assert plain.status(message) == "PreProcessingError"
    assert plain.value("GetExecutionIdByMessageId", _messageId=message) == NONE
    assert plain.errors(message) == []
    assert plain.records(job) == []


def test_the_header_may_name_its_columns_in_any_order_and_letter_case(plain: Environment) -> None:
    """A byte order mark does no harm, blank lines hold no record, quotes may hold commas and line breaks."""
    job = plain.create("import")
    body = '\ufeffDescription,CustomerGroupId\r\n"Retail, ""big""\r\nand small",A\r\n\r\nOther,B\r\n'
    plain.enqueue(job, body, "CUSTOMER GROUPS")
    plain.process(job)
    plain.advance(seconds=3)
    assert plain.records(job) == [
        {"CUSTOMERGROUPID": "A", "DESCRIPTION": 'Retail, "big"\r\nand small', "PAYMENTTERMID": ""},
        {"CUSTOMERGROUPID": "B", "DESCRIPTION": "Other", "PAYMENTTERMID": ""},
    ]


def test_in_order_means_one_after_another(plain: Environment) -> None:
    """The next begins when the one before has ended, even one that failed, even over two runs."""
    job = plain.create("import", in_order=True)
    messages = [plain.send(job, "A,,"), plain.send(job, ",,")]
    assert plain.process(job) == 2
    messages.append(plain.send(job, "B,,"))
    assert plain.process(job) == 1
    assert [plain.status(one) for one in messages] == ["Preprocessing", "Enqueued", "Enqueued"]
    plain.advance(seconds=3)
    assert [plain.status(one) for one in messages] == ["Processed", "Preprocessing", "Enqueued"]
    plain.advance(seconds=6)
    rows = plain.messages(job)
    for before, after in itertools.pairwise(rows):
        assert before["ProcessingCompletedDateTime"] <= after["ProcessingStartedDateTime"]


def test_otherwise_all_at_once(plain: Environment) -> None:
    """Without the setting, and with it for packages."""
    job = plain.create("import")
    messages = [plain.send(job, f"{key},,") for key in "ABC"]
    plain.process(job)
    assert {plain.status(one) for one in messages} == {"Preprocessing"}


def test_a_cleaned_up_message_keeps_nobody_waiting(plain: Environment) -> None:
    """Neither one in process nor one that waits for its turn."""
    job = plain.create("import", in_order=True)
    for key in "ABC":
        plain.send(job, f"{key},,")
    plain.process(job)
    assert plain.control("POST", f"/activities/{job}/cleanup", {"olderThanDays": 0}) == {"deleted": 3}
    last = plain.send(job, "D,,")
    plain.process(job)
    plain.advance(seconds=10)
    assert plain.status(last) == "Processed"
    assert [record["CUSTOMERGROUPID"] for record in plain.records(job)] == ["D"]


def test_the_company_of_a_message_counts_only_where_the_activity_says_so(plain: Environment) -> None:
    """Else the records go to the activity's own legal entity."""
    other = plain.create("import")
    company = next(one["company"] for one in plain.emulator.world()["activities"] if one["id"] == other)
    body = b"CUSTOMERGROUPID\r\nA\r\n"
    for honoured, expected in ((False, 0), (True, 1)):
        job = plain.create("import", use_company_from_message=honoured)
        query = f"company={company.upper()}&entity=Customer+groups"
        plain.call("POST", f"/api/connector/enqueue/{job}", query, body)
        plain.process(job)
        plain.advance(seconds=3)
        assert (len(plain.records(other)), len(plain.records(job))) == (expected, 1 - expected)


def test_a_file_that_waited_longer_than_it_is_kept_cannot_be_imported(plain: Environment) -> None:
    """After seven days there is nothing left to read."""
    job = plain.create("import", processing_recurrence_minutes=None)
    message = plain.send(job, "A,,")
    plain.advance(days=7)
    plain.process(job)
    plain.advance(seconds=1)
    assert plain.status(message) == "PreProcessingError"


def test_the_external_identifier_comes_back(plain: Environment) -> None:
    """In jobstatus and in Manage messages."""
    job = plain.create("import")
    named = (("x-ms-dyn-externalidentifier", "groups 7.csv"),)
    answer = plain.call("POST", f"/api/connector/enqueue/{job}", "entity=Customer groups", b"x", headers=named)
    said = plain.call("GET", f"/api/connector/jobstatus/{job}", f"JOBID={json.loads(answer.body)}")
    assert json.loads(said.body)["DataJobStatus"]["ExternalIdentifier"] == "groups 7.csv"
    assert plain.messages(job)[0]["ExternalIdentifier"] == "groups 7.csv"


def test_the_stage_after_processing_can_fail_where_something_makes_it(plain: Environment) -> None:
    """Nothing does by itself; the seam is there."""
    plain.emulator.batch._fails_afterwards = lambda _: True
    job = plain.create("import")
    message = plain.send(job, "A,,")
    plain.process(job)
    plain.advance(seconds=3)
    assert plain.status(message) == "PostProcessingFailed"
    said = json.loads(plain.call("GET", f"/api/connector/jobstatus/{job}", f"jobId={message}").body)
    assert said["DataJobStatus"]["DataJobState"] == "PostProcessError"


def test_an_export_may_have_a_recurrence(plain: Environment) -> None:
    """It exports what its entity holds at each tick."""
    job = plain.create("export", processing_recurrence_minutes=10)
    plain.produce(job, 2)
    plain.advance(minutes=20)
    assert [row["TotalRecordsExported"] for row in plain.messages(job)] == [2, 2, 2]
    plain.control("PATCH", f"/activities/{job}", {"processing_recurrence_minutes": None})
    plain.advance(minutes=20)
    assert len(plain.messages(job)) == 3


def test_a_world_can_export_by_itself(environment: Made) -> None:
    """For servers that nobody controls: fresh records at each run, none at every other one of export-no-zero."""
    one = environment(world=World(export_every=timedelta(minutes=5), export_records=2))
    one.advance(minutes=20)
    assert [row["TotalRecordsExported"] for row in one.messages(one.activity("export-file"))] == [2] * 4
    rows = one.messages(one.activity("export-no-zero"))
    assert [(row["TotalRecordsExported"], row["FileUploaded"]) for row in rows] == [(0, None), (2, True)] * 2
