"""What people and machines read after a run: nothing is lost on the way, and evidence can be copied."""

import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from popreceipt.journal import Journal
from popreceipt.reports import evidence, junit, places, result, terminal, verdict_file
from popreceipt.rules import find
from popreceipt.rules.rule import Source, article, client, microsoft, standard
from popreceipt.verdict import Binds, Finding, Level, Outcome, Provenance, RuleVerdict, Verdicts

from . import runs

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MICROSOFT = "https://learn.microsoft.com/dynamics365/fin-ops-core"
RULE = find("redelivery.not-before-half-an-hour")


def verdict(outcome: Outcome, level: Level = Level.MUST, rule_id: str = RULE.id, **more: object) -> RuleVerdict:
    """A verdict on a rule that exists."""
    findings = (Finding(outcome, "back too early", (1, 2)),)
    return RuleVerdict(
        rule_id,
        rule_id.partition(".")[0],
        level,
        Binds.SERVICE,
        Provenance.DOCUMENTED,
        outcome,
        2,
        findings=findings,
        **more,
    )  # type: ignore[arg-type]


def recorded() -> Journal:
    """Two dequeues within a minute, and an upload of bytes."""
    journal = Journal()
    for minute in (0, 1):
        at = NOW + timedelta(minutes=minute)
        journal.record(
            sent=at,
            answered=at + timedelta(seconds=minute),
            method="GET",
            url="http://h/api/connector/dequeue/a",
            request_headers=[("authorization", "Bearer x"), ("accept", "*/*")],
            status=200,
            response_body=b'{"CorrelationId": "' + b"c" * 400 + b'"}',
            actor="authorised",
        )
    journal.record(
        sent=NOW,
        answered=NOW,
        method="POST",
        url="http://h/api/connector/enqueue/a?entity=Customer%20groups",
        request_headers=[("content-type", "text/csv")],
        request_body=b"it's\xff",
        failure="timeout",
    )
    return journal


def printed(verdicts: Verdicts) -> str:
    """What a terminal shows."""
    console = Console(file=StringIO(), width=100)
    terminal.print_verdicts(console, verdicts, {RULE.id: RULE}, evidence.by_number(recorded().exchanges()))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_a_violated_rule_shows_its_text_place_and_evidence() -> None:
    """Text, source, exchanges with times, and lines to be copied; the clock is moved where it can be."""
    text = printed(Verdicts((verdict(Outcome.VIOLATED),), {"name": "emulator:", "clock": "manual"}, 7, notes=("note",)))
    for words in (RULE.text, "API for acknowledgment", "back too early", "#1 2026-01-01T00:00:00Z", "1 MUST", "note"):
        assert words in text
    assert 'curl -i -H "Authorization: Bearer $TOKEN" "$BASE_URL/api/connector/dequeue/a"' in text
    assert """-d '{"advance_seconds": 60.0}'""" in text


def test_where_the_clock_cannot_be_moved_the_wait_is_told() -> None:
    """A comment instead of a control call."""
    text = printed(Verdicts((verdict(Outcome.VIOLATED),), {"name": "tenant:qa", "clock": "system"}))
    assert "# 0:01:00 later" in text
    assert "_control" not in text


def test_every_outcome_has_its_line() -> None:
    """Answers and reasons stand in the table."""
    answer = verdict(Outcome.ANSWERED, Level.ASK, "dequeue.empty-queue", answer="204")
    text = printed(
        Verdicts(
            (
                verdict(Outcome.HELD),
                answer,
                verdict(Outcome.UNEXERCISED, reason="lacks produce"),
                verdict(Outcome.UNDECIDED),
            ),
            complete=False,
        )
    )
    for words in ("held", "204", "not exercised: lacks produce", "undecided", "not complete"):
        assert words in text


def test_exchanges_as_lines() -> None:
    """Long bodies are cut, failures are named, other bytes are a file."""
    dequeue, _, upload = recorded().exchanges()
    assert evidence.line(dequeue).endswith("…")
    assert evidence.line(upload).endswith("→ timeout")
    (command,) = evidence.curl([upload], movable=True)
    assert "-X POST" in command
    assert "content-type: text/csv" in command
    assert "--data-binary @body-" in command


def test_junit_tells_failures_from_what_is_only_told(tmp_path: Path) -> None:
    """A violated MUST fails; a violated SHOULD, an undecided and an unexercised rule are skipped with a reason."""
    verdicts = Verdicts(
        (
            verdict(Outcome.VIOLATED),
            verdict(Outcome.VIOLATED, Level.SHOULD),
            verdict(Outcome.UNDECIDED),
            verdict(Outcome.UNEXERCISED, reason="lacks produce"),
            verdict(Outcome.HELD),
            verdict(Outcome.ANSWERED, Level.ASK, "dequeue.empty-queue", answer="204"),
        )
    )
    junit.write(verdicts, tmp_path / "deep" / "junit.xml")
    suites = {each.get("name"): each for each in ElementTree.parse(tmp_path / "deep" / "junit.xml").getroot()}
    assert (suites["redelivery"].get("failures"), suites["redelivery"].get("skipped")) == ("1", "3")
    assert suites["dequeue"].findtext("testcase/system-out") == "answered: 204"


def test_junit_of_words_that_xml_has_no_place_for(tmp_path: Path) -> None:
    """Controls, halves of letters and tokens do not make the file unreadable, and do not get into it."""
    evil = "\x1b[31m\x00\ufffe\ud800 <b>&]]> eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJl"
    runs.leave(tmp_path, evil.replace("\ud800", ""))
    junit.write_result(result.read(tmp_path), tmp_path / "junit.xml")
    root = ElementTree.parse(tmp_path / "junit.xml").getroot()
    told = [each.text or "" for each in root.iter("failure")]
    assert told
    assert all("⟨U+001B⟩[31m" in each and "<b>&]]>" in each for each in told)
    assert "eyJ" not in (tmp_path / "junit.xml").read_text(encoding="utf-8")
    junit.write(Verdicts((verdict(Outcome.UNDECIDED, reason=evil),)), tmp_path / "junit.xml")
    assert ElementTree.parse(tmp_path / "junit.xml").getroot().find(".//skipped") is not None


@pytest.mark.parametrize("complete", [True, False])
def test_junit_of_a_run_that_did_not_come_to_its_end_is_not_green(tmp_path: Path, complete: bool) -> None:
    """It has an error, which a whole run has not."""
    junit.write(Verdicts((verdict(Outcome.HELD),), complete=complete), tmp_path / "junit.xml")
    errors = list(ElementTree.parse(tmp_path / "junit.xml").getroot().iter("error"))
    assert len(errors) == (not complete)


def test_junit_of_a_result_read_back_is_that_of_its_run(tmp_path: Path) -> None:
    """Of all outcomes, and of what searches found."""
    runs.leave(tmp_path)
    junit.write(runs.verdicts(), tmp_path / "first.xml")
    junit.write_result(result.read(tmp_path), tmp_path / "second.xml")
    assert (tmp_path / "first.xml").read_bytes() == (tmp_path / "second.xml").read_bytes()


@pytest.mark.parametrize(
    ("source", "place"),
    [
        (standard("RFC 7519", "7.2"), "https://www.rfc-editor.org/rfc/rfc7519#section-7.2"),
        (standard("RFC 9110", ""), "https://www.rfc-editor.org/rfc/rfc9110"),
        (standard("RFC 9110", "Retry-After"), "https://www.rfc-editor.org/rfc/rfc9110"),
        (
            microsoft("Data import and export jobs overview", "Validate that the job ran as expected"),
            f"{MICROSOFT}/fin-ops/data-entities/data-import-export-job#validate-that-the-job-ran-as-expected",
        ),
        (
            article("API for acknowledgment"),
            f"{MICROSOFT}/dev-itpro/data-entities/recurring-integrations#api-for-acknowledgment",
        ),
        (client("owner/project", "issue 124: late"), "https://github.com/owner/project/issues/124"),
        (microsoft("An article that nobody knows", "Section"), None),
    ],
)
def test_a_source_has_the_address_of_its_section(source: Source, place: str | None) -> None:
    """Of articles, standards and projects; of what is not known none is made up."""
    assert places.address(source) == place


def test_a_verdict_file_is_complete_only_when_the_run_was(tmp_path: Path) -> None:
    """A run that was cut off never writes complete."""
    for complete in (True, False):
        verdict_file.write(Verdicts((verdict(Outcome.HELD),), complete=complete), tmp_path / "verdicts.json")
        assert json.loads((tmp_path / "verdicts.json").read_text())["complete"] is complete
