"""Style sheets on inbound XML: applied in sequence, in bounded time and memory, and to nothing but the file."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from popreceipt.emulator.dmf import xslt, xslt_worker
from popreceipt.emulator.dmf.problems import Unreadable
from popreceipt.emulator.dmf.xslt import Transformer
from popreceipt.emulator.profile import Profile
from popreceipt.resources import fixtures

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Office, Open

LIMIT = timedelta(seconds=30)
"""Real time that a good style sheet gets here, more than any machine takes."""
SHORT = timedelta(seconds=1)
"""Real time until a style sheet that never ends is stopped."""

PARTNER = """<?xml version="1.0" encoding="utf-8"?>
<groups xmlns="urn:partner"><group code="a1"><name>Retail &amp; more</name><terms>Net30</terms></group>
<group code="b2"><name>Großhandel</name></group></groups>""".encode()
DOCUMENT = b"<Document><CUSTOMERGROUPS><CUSTOMERGROUPID>A</CUSTOMERGROUPID></CUSTOMERGROUPS></Document>"


def sheet(name: str, file: str = "") -> str:
    """A style sheet of the fixtures; FILE in it is replaced."""
    return (fixtures() / "xslt" / f"{name}.xslt").read_text(encoding="utf-8").replace("FILE", file)


def transformed(document: bytes, *sheets: str, limit: timedelta = LIMIT) -> bytes:
    """A document after style sheets."""
    return Transformer(limit)(document, [one.encode() for one in sheets])


def refused(document: bytes, *sheets: str, limit: timedelta = LIMIT) -> str:
    """The sentence with which a transform ends."""
    with pytest.raises(Unreadable) as complaint:
        transformed(document, *sheets, limit=limit)
    return str(complaint.value)


# What it is for


def test_style_sheets_are_applied_in_sequence(office: Office) -> None:
    """The second sees what the first has made of a partner's file."""
    sheets = [sheet("partners-to-customer-groups"), sheet("codes-in-capitals")]
    job = office.job_for("import", {"entity": "Customer groups", "format": "XML-Element", "xslt": sheets})
    assert office.status(office.imported(job, PARTNER)) == "Processed"
    assert [tuple(record.values()) for record in office.records(job)] == [
        ("A1", "Retail & more", "Net30"),
        ("B2", "Großhandel", ""),
    ]


def test_in_another_sequence_the_file_is_none(office: Office) -> None:
    """Capitals first find no codes, and then the first one's codes stay small."""
    sheets = [sheet("codes-in-capitals"), sheet("partners-to-customer-groups")]
    job = office.job_for("import", {"entity": "Customer groups", "format": "XML-Element", "xslt": sheets})
    assert office.status(office.imported(job, PARTNER)) == "Processed"
    assert [record["CUSTOMERGROUPID"] for record in office.records(job)] == ["a1", "b2"]


def test_the_project_is_changed_for_the_next_run(office: Office) -> None:
    """Without style sheets the same file is none that the entity takes."""
    project = office.project(
        "import", {"entity": "Customer groups", "format": "XML-Element", "xslt": [sheet("partners-to-customer-groups")]}
    )
    job = office.job("import", project=project)
    before = office.imported(job, PARTNER)
    plain = [{"entity": "Customer groups", "format": "XML-Element"}]
    office.control("PATCH", f"/projects/{project}", {"entities": plain})
    after = office.imported(job, PARTNER)
    assert (office.status(before), office.status(after)) == ("Processed", "PreProcessingError")
    assert "groups" in office.log(job, after)


def test_other_formats_are_not_transformed(office: Office) -> None:
    """Style sheets count for XML alone."""
    job = office.job_for("import", {"entity": "Customer groups", "xslt": [sheet("never-ends")]})
    assert office.status(office.imported(job, b"CUSTOMERGROUPID\r\nA\r\n")) == "Processed"


def test_the_identity_changes_nothing() -> None:
    """Letters, blanks, line breaks and references stand as they stood."""
    content = "<Document><C><D>\n a &amp; ß 😀 &#13;</D></C></Document>".encode()
    assert transformed(content, sheet("identity")).endswith(content)


def test_a_file_in_another_encoding_is_read_by_its_declaration() -> None:
    """What comes out is UTF-8."""
    content = '<?xml version="1.0" encoding="utf-16"?><Document>ß</Document>'.encode("utf-16")
    assert transformed(content, sheet("identity")).endswith("<Document>ß</Document>".encode())


def test_without_style_sheets_nothing_is_looked_at() -> None:
    """The file goes on as it is."""
    assert transformed(b"no XML") == b"no XML"


def test_several_threads_may_ask_at_once() -> None:
    """Each gets its own answer."""
    answers: dict[int, bytes] = {}

    def ask(number: int) -> None:
        answers[number] = transformed(b"<Document>%d</Document>" % number, sheet("identity"))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {number: b"<Document>%d</Document>" % number in answers[number] for number in range(4)} == dict.fromkeys(
        range(4), True
    )


# What it must not do


def test_other_files_are_not_read(tmp_path: Path) -> None:
    """Not as a document, not as another style sheet."""
    secret = tmp_path / "secret.xml"
    secret.write_text("<secret>4711</secret>", encoding="utf-8")
    style = tmp_path / "style.xslt"
    style.write_text(sheet("identity"), encoding="utf-8")
    assert "4711" not in refused(DOCUMENT, sheet("reads-a-file", secret.as_uri()))
    assert "4711" not in refused(DOCUMENT, sheet("reads-a-file", str(secret)))
    assert "must stand alone" in refused(DOCUMENT, sheet("includes-a-file", style.as_uri()))
    imports = sheet("includes-a-file", style.as_uri()).replace("xsl:include", "xsl:import")
    assert "must stand alone" in refused(DOCUMENT, imports)


def test_nothing_is_written(tmp_path: Path) -> None:
    """The second output is refused, and there is no file."""
    goal = tmp_path / "written.xml"
    refused(DOCUMENT, sheet("writes-a-file", str(goal)))
    assert not goal.exists()


def test_the_network_is_not_used() -> None:
    """Not even to find that nobody answers: the sentence comes from the processor."""
    assert "failed" in refused(DOCUMENT, sheet("reads-a-file", "http://127.0.0.1:9/secret.xml"))


def test_scripts_are_not_run() -> None:
    """They are told from what a processor merely does not know."""
    assert "script" in refused(DOCUMENT, sheet("runs-a-script"))


def test_entities_are_not_expanded() -> None:
    """Neither those of a style sheet nor those of the file."""
    assert "document type" in refused(DOCUMENT, sheet("has-entities"))
    laughs = '<!DOCTYPE d [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><Document>&b;</Document>'
    assert "document type" in refused(laughs.encode(), sheet("identity"))
    outside = '<!DOCTYPE d [<!ENTITY a SYSTEM "file:///etc/passwd">]><Document>&a;</Document>'
    assert "document type" in refused(outside.encode(), sheet("identity"))


def template(content: str) -> str:
    """A style sheet with one template, for the whole document."""
    return (
        "<xsl:stylesheet version='1.0' xmlns:xsl='http://www.w3.org/1999/XSL/Transform'>"
        f"<xsl:output method='text'/><xsl:template match='/'>{content}</xsl:template></xsl:stylesheet>"
    )


@pytest.mark.parametrize(
    "style",
    [
        "",
        "no XML",
        "<stylesheet/>",
        template("").replace(" match='/'", ""),
        template("<xsl:value-of select='unknown()'/>"),
        template("text"),
        template("<xsl:message terminate='yes'>Not this one.</xsl:message>"),
    ],
)
def test_what_is_no_style_sheet_is_refused(style: str) -> None:
    """Or makes no XML, or gives up; the sentence names which of them it was."""
    assert "tyle sheet 2" in refused(DOCUMENT, sheet("identity"), style)


def test_what_is_no_xml_is_refused() -> None:
    """The sentence is about the file."""
    assert refused(b"CUSTOMERGROUPID\r\nA\r\n", sheet("identity")).startswith("The file")


def test_endless_recursion_ends() -> None:
    """The processor sees to that."""
    assert refused(DOCUMENT, sheet("calls-itself")).endswith(".")


def test_memory_is_bounded() -> None:
    """Before the time is over: the process may not have so much. The next transform finds another."""
    assert refused(DOCUMENT, sheet("eats-memory")).endswith(".")
    assert transformed(DOCUMENT, sheet("identity")).endswith(DOCUMENT)


@pytest.mark.skipif(not hasattr(signal, "alarm"), reason="this system has no alarms")
def test_a_worker_that_nobody_waits_for_ends_by_itself() -> None:
    """Whoever asked may have been killed, and cannot end it any more."""
    worker = subprocess.Popen([sys.executable, "-P", xslt_worker.__file__], stdin=subprocess.PIPE)
    assert worker.stdin is not None
    blocks = [DOCUMENT, sheet("never-ends").encode()]
    told = b"".join(struct.pack("!I", len(block)) + block for block in blocks)
    worker.stdin.write(struct.pack("!II", 1, len(blocks)) + told)
    worker.stdin.close()
    try:
        assert worker.wait(LIMIT.total_seconds()) == -signal.SIGALRM
    finally:
        worker.kill()


@pytest.mark.skipif(not hasattr(os, "getsid"), reason="only POSIX has sessions of processes")
def test_an_interruption_of_all_in_the_foreground_does_not_reach_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C goes to every process of the terminal's group: the worker is in another, and ends with who asks it."""
    pool = xslt._Pool()
    monkeypatch.setattr(xslt, "_POOL", pool)
    transformed(DOCUMENT, sheet("identity"))
    worker = pool._idle
    assert worker is not None
    assert os.getsid(worker.pid) != os.getsid(0)
    pool.close()
    assert worker.returncode is not None


def test_a_worker_that_died_in_between_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next transform gets another one, and the pipes of the dead one are closed."""
    pool = xslt._Pool()
    monkeypatch.setattr(xslt, "_POOL", pool)
    before = transformed(DOCUMENT, sheet("identity"))
    worker = pool._idle
    assert worker is not None
    worker.kill()
    worker.wait()
    assert transformed(DOCUMENT, sheet("identity")) == before
    assert pool._idle is not worker
    for pipe in (worker.stdin, worker.stdout):
        assert pipe is not None
        assert pipe.closed
    pool.close()


def test_time_is_bounded(open_office: Open) -> None:
    """The message fails with a sentence, the server answers, and the next message is processed."""
    office = open_office(profile=Profile(xslt_limit=SHORT))
    source = {"entity": "Customer groups", "format": "XML-Element"}
    endless = office.job_for("import", source | {"xslt": [sheet("never-ends")]})
    fine = office.job_for("import", source | {"xslt": [sheet("identity")]})
    message = office.imported(endless, DOCUMENT)
    assert office.status(message) == "PreProcessingError"
    assert office.log(endless, message) == "The style sheets were still at work after 1 seconds and were stopped."
    assert office.status(office.imported(fine, DOCUMENT)) == "Processed"
    assert [record["CUSTOMERGROUPID"] for record in office.records(fine)] == ["A"]


def test_what_was_stopped_gets_less_time_until_it_ends_again() -> None:
    """A tenth: a queue of messages with one endless style sheet keeps nobody waiting once for each."""
    transform = Transformer(SHORT)
    endless = sheet("never-ends").encode()
    with pytest.raises(Unreadable, match="after 1 seconds"):
        transform(DOCUMENT, [endless])
    with pytest.raises(Unreadable, match=r"after 0\.1 seconds"):
        transform(DOCUMENT, [endless])
    assert transform(DOCUMENT, [sheet("identity").encode()])
