"""Executions: what lands, what is listed, what each entity comes to, and the status that each failure ends in."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from popreceipt.emulator.dmf import package
from popreceipt.emulator.dmf.package import Packed

if TYPE_CHECKING:
    from conftest import Office, Open

HEADERS, LINES, GROUPS = "General journal header", "General journal lines", "Customer groups"
FILES = {
    HEADERS: b"JOURNALBATCHNUMBER,JOURNALNAME\r\nJ1,GenJrn\r\nJ2,\r\n",
    LINES: (
        b"JOURNALBATCHNUMBER,LINENUMBER,TRANSDATE,ACCOUNTDISPLAYVALUE,CURRENCYCODE\r\n"
        b"J1,1,2026-01-31,401100,EUR\r\nJ2,1,2026-01-31,401100,EUR\r\nJ1,two,2026-02-30,,EUR\r\nJ1,3\r\n"
    ),
    GROUPS: b"CUSTOMERGROUPID\r\nA\r\n",
}


def packed(files: Mapping[str, bytes] = FILES) -> bytes:
    """A package of these files."""
    return package.write(
        project="P",
        entities=[Packed(entity=name, content=file, extension="csv", format="CSV") for name, file in files.items()],
        description="d",
        written=datetime(2026, 1, 1, tzinfo=UTC),
    )


def run(office: Office, *entities: Mapping[str, Any], content: bytes | None = None) -> tuple[str, str]:
    """A job for these entities and a package that it has processed: the job and the message."""
    job = office.job_for("import", *entities, type="package")
    return job, office.imported(job, content if content is not None else packed(), None)


def counts(office: Office, job: str, message: str) -> dict[str, tuple[Any, ...]]:
    """By entity: records and errors in staging, records and errors in the target, both states."""
    members = (
        "StagingRecords",
        "StagingErrorCount",
        "TargetRecords",
        "TargetErrorCount",
        "StagingStatus",
        "TargetStatus",
    )
    detail = office.jobstatus(job, message)["ExecutionDetail"]
    return {one["EntityName"]: tuple(one[member] for member in members) for one in detail}


def test_each_entity_is_counted_by_itself(office: Office) -> None:
    """What is wrong with a line is told beside the entity's name, in the order of its file."""
    job, message = run(office, {"entity": HEADERS}, {"entity": LINES, "level": 2}, {"entity": GROUPS, "level": 3})
    assert office.status(message) == "ProcessedWithErrors"
    assert counts(office, job, message) == {
        HEADERS: (2, 0, 1, 1, "Finished", "Error"),
        LINES: (3, 1, 1, 2, "Error", "Error"),
        GROUPS: (1, 0, 1, 0, "Finished", "Finished"),
    }
    listed = office.errors(message)
    assert [(record, field) for record, field, _ in listed] == [
        ("2", "JOURNALNAME"),
        ("2", "JOURNALBATCHNUMBER"),
        ("3", "LINENUMBER"),
        ("4", ""),
    ]
    assert listed[0][2].startswith(f"{HEADERS}: ")
    assert listed[1][2] == f'{LINES}: The value "J2" in field "JOURNALBATCHNUMBER" is not found in {HEADERS}.'
    assert [one["LINENUMBER"] for one in office.records(job, LINES)] == ["1"]


def test_jobstatus_names_the_data_project(office: Office) -> None:
    """Not the job that hangs off it."""
    project = office.project("import", {"entity": GROUPS}, name="Customers of the north")
    job = office.job("import", project=project)
    message = office.imported(job, FILES[GROUPS])
    assert office.jobstatus(job, message)["DataJobStatus"]["DataProject"] == "Customers of the north"


def test_one_entity_alone_is_not_named_in_its_errors(office: Office) -> None:
    """Whoever asks knows it."""
    job = office.job("import")
    message = office.imported(job, b"CUSTOMERGROUPID,DESCRIPTION\r\nA,x\r\n,y\r\n")
    assert [said.startswith("The field") for _, _, said in office.errors(message)] == [True]


def test_lines_find_headers_that_landed_before(office: Office) -> None:
    """In the table, from an earlier message."""
    job = office.job_for("import", {"entity": HEADERS}, {"entity": LINES}, type="package")
    office.imported(job, packed({HEADERS: b"JOURNALBATCHNUMBER,JOURNALNAME\r\nJ1,GenJrn\r\nJ2,GenJrn\r\n"}), None)
    message = office.imported(job, packed({LINES: FILES[LINES]}), None)
    assert [(record, field) for record, field, _ in office.errors(message)] == [("3", "LINENUMBER"), ("4", "")]
    assert len(office.records(job, LINES)) == 2


@pytest.mark.parametrize(
    ("settings", "states"),
    [
        ({}, {HEADERS: "Error", LINES: "Error", GROUPS: "Finished"}),
        ({"fail_level_on_error": True}, {HEADERS: "Error", LINES: "NotRun", GROUPS: "Finished"}),
        ({"fail_unit_on_error": True}, {HEADERS: "Error", LINES: "NotRun", GROUPS: "NotRun"}),
    ],
)
def test_an_error_may_stop_the_rest_of_a_level_or_a_unit(
    office: Office, settings: dict[str, bool], states: dict[str, str]
) -> None:
    """What was not run has nothing in its table; the good records of what failed have landed."""
    job, message = run(
        office, {"entity": HEADERS, **settings}, {"entity": LINES, "sequence": 2}, {"entity": GROUPS, "level": 2}
    )
    found = counts(office, job, message)
    assert {name: one[-1] for name, one in found.items()} == states
    assert office.status(message) == "ProcessedWithErrors"
    assert len(office.records(job)) == 1
    for name, state in states.items():
        assert (len(office.records(job, name)) == 0) == (state == "NotRun")
        assert f"{name}: staging" in office.log(job, message)


def test_another_unit_is_not_stopped(office: Office) -> None:
    """Units are done one after another, whatever became of the one before."""
    job, message = run(
        office,
        {"entity": GROUPS, "execution_unit": 2},
        {"entity": HEADERS, "fail_unit_on_error": True},
        {"entity": LINES, "level": 2},
    )
    states = {name: one[-1] for name, one in counts(office, job, message).items()}
    assert list(states.items()) == [(HEADERS, "Error"), (LINES, "NotRun"), (GROUPS, "Finished")]


def test_while_it_runs_staging_is_done_and_the_target_is_not(office: Office) -> None:
    """Half a second into processing; dates are blank where nothing has ended."""
    job = office.job("import")
    message = office.enqueue(job, FILES[GROUPS])
    office.control("POST", f"/activities/{job}/process")
    office.advance(seconds=1.5)
    detail = office.jobstatus(job, message)["ExecutionDetail"][0]
    assert (detail["StagingRecords"], detail["StagingStatus"]) == (1, "Finished")
    assert (detail["TargetRecords"], detail["TargetStatus"]) == (0, "Executing")
    assert detail["ExecutionStartedDateTime"] == "2026-01-01T00:00:01"
    assert detail["ExecutionCompletedDateTime"] == "0001-01-01T00:00:00"


def test_a_file_that_is_gone_between_the_stages_ends_with_an_error(open_office: Open) -> None:
    """Another process has found it good; this one must read it anew, and the blob has expired meanwhile."""
    office = open_office()
    job = office.job("import")
    message = office.enqueue(job, FILES[GROUPS])
    office.control("POST", f"/activities/{job}/process")
    office.advance(seconds=2)
    office.emulator.batch.clear()  # What a process that ends takes with it.
    kept = office.emulator.store.message(message)
    assert kept is not None
    assert kept.blob is not None
    office.emulator.store.delete_blob(kept.blob)
    office.advance(seconds=1)
    assert office.status(message) == "ProcessedWithErrors"
    assert office.errors(message) == [("", "", "The file is no longer in blob storage.")]
    assert "no longer in blob storage" in office.log(job, message)
    assert counts(office, job, message)[GROUPS][-1] == "Error"


def test_another_process_reads_the_file_anew(office: Office) -> None:
    """And lands the same, generated numbers included."""
    job = office.job_for(
        "import", {"entity": HEADERS, "map": [{"field": "JOURNALBATCHNUMBER", "auto_generated": True}]}
    )
    content = b"JOURNALNAME\r\nGenJrn\r\n"
    office.imported(job, content, HEADERS)
    message = office.enqueue(job, content, HEADERS)
    office.control("POST", f"/activities/{job}/process")
    office.advance(seconds=2)
    office.emulator.batch.clear()
    office.advance(seconds=1)
    assert office.status(message) == "Processed"
    assert [one["JOURNALBATCHNUMBER"] for one in office.records(job)] == ["1-1", "2-1"]


def test_the_stage_after_fails_by_plan_and_the_records_have_landed(office: Office) -> None:
    """PostProcessingFailed."""
    job = office.job("import")
    fault = {"operation": "processing", "kind": "post-processing-failed", "activity": job}
    office.control("POST", "/faults", fault)
    message = office.imported(job, FILES[GROUPS])
    assert (office.status(message), len(office.records(job))) == ("PostProcessingFailed", 1)


def test_an_export_that_cannot_be_written_uploads_nothing(open_office: Open) -> None:
    """A column that XML cannot name: nothing counts as exported, the row has no check mark, the log has the reason."""
    office = open_office()
    entity = {"entity": GROUPS, "format": "XML-Element", "map": [{"field": "DESCRIPTION", "source": "not a name"}]}
    job = office.job_for("export", entity)
    produced = office.produce(job, 3)
    assert (produced["uploaded"], produced["records"], produced["sha256"]) == (False, 0, None)
    row = office.rows(job)[0]
    assert (row["TotalRecordsExported"], row["FileUploaded"]) == (0, None)
    assert "'not a name'" in office.log(job, row["MessageId"])
    assert counts(office, job, row["MessageId"])[GROUPS][4] == "Error"
