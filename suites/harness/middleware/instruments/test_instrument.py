"""The instrument: what it tells the subject, what it writes down, what happens in between, and when it is settled."""

import json
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from popreceipt.journal import Exchange, JournalFile, Observation
from popreceipt.middleware.instrument import HarnessFault, Instrument
from popreceipt.middleware.scenario import Exported, Imported, Network, Step
from popreceipt.rules import find
from popreceipt.rules.readings import Readings
from popreceipt.verdict import Outcome, judge_rule

from .conftest import HANDING_IN, LEASE_SECONDS, PLAIN, QUICK_LEASE_SECONDS, OpenInstrument

TOLD = {
    "POPRECEIPT_BASE_URL",
    "POPRECEIPT_TOKEN_URL",
    "POPRECEIPT_TOKEN_URL_V1",
    "POPRECEIPT_RESOURCE",
    "POPRECEIPT_TENANT",
    "POPRECEIPT_CLIENT_ID",
    "POPRECEIPT_CLIENT_SECRET",
    "POPRECEIPT_EXPORT_ACTIVITY",
    "POPRECEIPT_IMPORT_ACTIVITY",
    "POPRECEIPT_EXPORT_TYPE",
    "POPRECEIPT_IMPORT_TYPE",
    "POPRECEIPT_IN_ORDER",
    "POPRECEIPT_ENTITY",
    "POPRECEIPT_INBOX",
    "POPRECEIPT_OUTBOX",
    "POPRECEIPT_REPORT",
    "POPRECEIPT_SECONDS",
    "POPRECEIPT_LEASE_SECONDS",
}


# What the subject is told


def test_a_subject_is_told_what_it_needs(opened: OpenInstrument) -> None:
    """In its environment, and the folders are there."""
    told = opened(lease_factor=0.5, leases=4).environment
    assert set(told) == TOLD
    assert told["POPRECEIPT_LEASE_SECONDS"] == "30"
    assert told["POPRECEIPT_SECONDS"] == "120"
    assert Path(told["POPRECEIPT_INBOX"]).is_dir()
    assert Path(told["POPRECEIPT_OUTBOX"]).is_dir()
    assert not Path(told["POPRECEIPT_REPORT"]).exists()


def test_with_tls_it_is_told_the_authority(opened: OpenInstrument) -> None:
    """As a file."""
    told = opened(network=Network(tls=True)).environment
    assert told["POPRECEIPT_BASE_URL"].startswith("https://127.0.0.1:")
    assert Path(told["POPRECEIPT_CA_FILE"]).read_text(encoding="ascii").startswith("-----BEGIN CERTIFICATE-----")


def test_the_kinds_of_payload_are_told(opened: OpenInstrument) -> None:
    """As the jobs have them."""
    told = opened(
        HANDING_IN,
        sides=("import", "export"),
        export=Exported(type="file"),
        imports=Imported(files=("good",), type="package", in_order=True),
    ).environment
    assert (told["POPRECEIPT_EXPORT_TYPE"], told["POPRECEIPT_IMPORT_TYPE"]) == ("file", "package")
    assert told["POPRECEIPT_IN_ORDER"] == "1"


def test_a_side_that_the_subject_lacks_is_left_out(opened: OpenInstrument) -> None:
    """No file lies in the outbox, and nobody waits for one."""
    hands = opened(PLAIN, sides=("export",), imports=None)
    assert list(hands.instrument.outbox.iterdir()) == []
    assert hands.seen("outbox") == []


def test_the_control_plane_is_closed_to_the_subject(opened: OpenInstrument) -> None:
    """It may not look behind the scene, nor plan faults for itself."""
    hands = opened()
    answer = hands.http.get("/_control/v1/world")
    assert answer.status_code == 404
    assert not [each for each in hands.instrument.journal.exchanges() if "_control" in each.request.url]


# What is written down


def test_the_journal_tells_the_scenario_first_and_is_sealed_at_the_end(opened: OpenInstrument, tmp_path: Path) -> None:
    """It can be read again, and its lease is the one in force."""
    hands = opened(lease_factor=0.5, dialect="dequeue.empty-queue=200-empty")
    hands.instrument.note_subject("started", run=1)
    hands.dequeue()
    hands.instrument.note_subject("ended", run=1, status=-15, ended_by="us")
    hands.instrument.finish()
    journal = hands.instrument.journal
    assert journal.complete
    path = tmp_path / "journal.ndjson"
    path.write_bytes(b"".join(line + b"\n" for line in journal.lines()))
    file = JournalFile(path)
    entries = list(file)
    assert file.complete
    assert (file.header.lease_seconds, file.header.dialect) == (30, "dequeue.empty-queue=200-empty")
    assert file.header.recorded_by == "service"
    readings = Readings(file.header, entries)
    assert readings.scenario is not None
    assert readings.scenario.name == "plain"
    assert readings.scenario.roots >= {hands.instrument.base_url}
    assert readings.scenario.exports == {hands.environment["POPRECEIPT_EXPORT_ACTIVITY"]}
    (life,) = readings.lives
    assert (life.status, life.ended_by) == (-15, "us")
    assert [each.reason for each in readings.inbox] == ["start", "end"]


def test_the_inbox_is_looked_at_right_before_an_acknowledgment(opened: OpenInstrument) -> None:
    """What lies there then is what was stored in time."""
    hands = opened()
    hands.dequeue()
    (message,) = hands.delivered
    hands.put_by("one.zip", message)
    hands.ack(message)
    (hands.instrument.inbox / "late.zip").write_bytes(b"late")
    entries = hands.instrument.journal.entries
    place = next(n for n, each in enumerate(entries) if isinstance(each, Exchange) and each.operation == "ack")
    look = entries[place - 1]
    assert isinstance(look, Observation)
    assert (look.observation, look.facts["reason"]) == ("inbox", "ack")
    assert [each["name"] for each in look.facts["appeared"]] == ["one.zip"]
    readings = Readings(hands.instrument.journal.header, entries)
    (ack,) = readings.acks
    stored = readings.conduct.inbox_before(ack)
    assert stored is not None
    assert stored["one.zip"].sha256 == hands.seen("payload")[0]["sha256"]


def test_an_acknowledgment_that_is_taken_up_late_sees_the_inbox_as_it_is_then(opened: OpenInstrument) -> None:
    """The look stands right before its exchange."""
    hands = opened(faults=({"operation": "ack", "kind": "slow", "phase": "before", "leases": 0.1},))
    hands.ask("ack")
    entries = hands.instrument.journal.entries
    place = next(n for n, each in enumerate(entries) if isinstance(each, Exchange) and each.operation == "ack")
    look = entries[place - 1]
    assert isinstance(look, Observation)
    assert look.observation == "inbox"


def test_the_data_files_of_a_package_are_known(opened: OpenInstrument) -> None:
    """A subject may store them instead of the package."""
    hands = opened()
    assert [len(each["contents"]) for each in hands.seen("payload")] == [1, 1, 1]


def test_the_subjects_report_is_read_as_it_grows(opened: OpenInstrument) -> None:
    """A line that has not ended waits; what is no JSON object is told as such."""
    hands = opened(HANDING_IN)
    report = hands.instrument.report
    report.write_text('{"file": "a.csv", "outcome": "processed"}\n["x"]\n{"file": "b', encoding="utf-8")
    hands.instrument.tick()
    assert [each["file"] for each in hands.seen("report")] == ["a.csv"]
    assert [each["text"] for each in hands.seen("report-unreadable")] == ['["x"]']
    with report.open("a", encoding="utf-8") as file:
        file.write('.csv", "outcome": "failed", "errors": ["e"]}')
    hands.instrument.tick()
    assert len(hands.seen("report")) == 1
    hands.instrument.finish()
    assert hands.seen("report")[1] == {"file": "b.csv", "messageId": None, "outcome": "failed", "errors": ["e"]}


def test_a_report_of_brackets_without_end_is_the_subjects_affair(opened: OpenInstrument) -> None:
    """Deeper than anything reads: the line is unreadable, and the next one is read."""
    hands = opened(HANDING_IN)
    deep = '{"file": ' + "[" * 500 + "]" * 500 + "}"
    hands.instrument.report.write_text("[" * 200_000 + f'\n{deep}\n{{"file": "a.csv"}}\n', encoding="utf-8")
    hands.instrument.tick()
    assert [each["text"][:3] for each in hands.seen("report-unreadable")] == ["[[[", '{"f']
    assert [each["file"] for each in hands.seen("report")] == ["a.csv"]


def test_no_secret_of_the_environment_is_in_the_journal(opened: OpenInstrument) -> None:
    """Neither the client's nor a token."""
    hands = opened()
    hands.ask("ack")
    hands.instrument.finish()
    text = b"\n".join(hands.instrument.journal.lines()).decode()
    assert hands.environment["POPRECEIPT_CLIENT_SECRET"] not in text
    assert "eyJ" not in text


def test_no_secret_that_the_subject_puts_anywhere_is_in_the_journal(opened: OpenInstrument) -> None:
    """In an address, a header, a body, a file's name or a report: whoever gets the journal need not be trusted."""
    hands = opened(PLAIN, sides=("export", "import"), imports=Imported())
    told = hands.environment
    secret = told["POPRECEIPT_CLIENT_SECRET"]
    assert hands.token() is not None
    hands.http.post(
        f"/api/connector/enqueue/{told['POPRECEIPT_IMPORT_ACTIVITY']}?entity={secret}",
        headers={"user-agent": secret, secret: "x"},
        content=f"a,b\n{secret},2\n",
    )
    hands.http.get(f"/{secret}")
    (hands.instrument.inbox / f"{secret}.zip").write_bytes(b"x")
    nested = "[" * 40 + f'"{secret}"' + "]" * 40
    hands.instrument.report.write_text(f'{{"file": "{secret}", "errors": {nested}}}\n{secret}\n', encoding="utf-8")
    hands.instrument.tick()
    hands.instrument.finish()
    assert len(hands.seen("report")) == len(hands.seen("report-unreadable")) == 1
    assert secret not in b"\n".join(hands.instrument.journal.lines()).decode()


# What happens in between


def test_a_file_can_expire_once_its_location_was_told(opened: OpenInstrument) -> None:
    """Only the file of that message, and only then."""
    hands = opened(export=Exported(messages=2, expired=1, expires="after-delivery"))
    hands.dequeue()
    hands.dequeue()
    gone, there = (hands.download(each) for each in hands.delivered)
    assert gone is not None
    assert gone.status_code == 404
    assert there is not None
    assert there.status_code == 200


def test_a_file_can_have_expired_before(opened: OpenInstrument) -> None:
    """Its message then says that it has none."""
    hands = opened(export=Exported(messages=2, expired=1))
    hands.dequeue()
    hands.dequeue()
    assert [each["IsDownLoadFileExist"] for each in hands.delivered] == [False, True]


def test_what_waits_can_expire(opened: OpenInstrument) -> None:
    """What was handed out as well as what was not."""
    hands = opened(steps=(Step(action="expire", after="dequeue"),))
    hands.dequeue()
    answer = hands.download(hands.delivered[0])
    assert answer is not None
    assert answer.status_code == 404
    hands.dequeue()
    assert hands.delivered[1]["IsDownLoadFileExist"] is False


def test_a_token_can_be_revoked_in_the_middle(opened: OpenInstrument) -> None:
    """A new one is good."""
    hands = opened(steps=(Step(action="revoke", after="dequeue", count=2),))
    answers = [hands.dequeue() for _ in range(3)]
    assert [each and each.status_code for each in answers] == [200, 200, 401]
    hands.token()
    answer = hands.dequeue()
    assert answer is not None
    assert answer.status_code == 200


def test_the_application_can_be_taken_off_the_policy_and_put_back(opened: OpenInstrument) -> None:
    """At the start, before the quickest subject; and later."""
    hands = opened(steps=(Step(action="disable"), Step(action="enable", after="dequeue", count=2)))
    answers = [hands.dequeue() for _ in range(3)]
    assert [each and each.status_code for each in answers] == [401, 401, 200]


def test_more_can_be_produced_while_it_runs(opened: OpenInstrument) -> None:
    """After so many leases."""
    hands = opened(
        lease_seconds=QUICK_LEASE_SECONDS,
        export=Exported(messages=0),
        steps=(Step(action="produce", at=0.2, messages=2, records=5),),
    )
    hands.until(lambda: len(hands.seen("produced")) == 2)
    assert [each["records"] for each in hands.seen("produced")] == [5, 5]
    hands.dequeue()
    assert len(hands.delivered) == 1


def test_planned_faults_can_be_over(opened: OpenInstrument) -> None:
    """From one moment on."""
    hands = opened(
        faults=({"operation": "dequeue", "kind": "status", "status": 503, "times": "all"},),
        steps=(Step(action="calm", after="dequeue", count=3),),
    )
    answers = [hands.dequeue() for _ in range(4)]
    assert [each and each.status_code for each in answers] == [503, 503, 503, 200]


def test_messages_can_be_cleaned_up(opened: OpenInstrument) -> None:
    """What was leased goes as well."""
    hands = opened(steps=(Step(action="clean-up", after="dequeue"),))
    hands.dequeue()
    answer = hands.ack(hands.delivered[0])
    assert answer is not None
    assert answer.status_code == 404
    assert hands.seen("cleanup")[0]["deleted"] == 3


def test_connections_can_be_cut(opened: OpenInstrument) -> None:
    """Those that are kept open end, and new ones are taken."""
    hands = opened(steps=(Step(action="restart", after="dequeue"),))
    address = urlsplit(hands.instrument.base_url)
    assert address.port is not None
    asked = b"GET /api/connector/dequeue/x HTTP/1.1\r\nHost: here\r\n\r\n"
    with socket.create_connection(("127.0.0.1", address.port), timeout=30) as idle:
        idle.sendall(asked.replace(b"dequeue", b"download"))
        assert idle.recv(65536).startswith(b"HTTP/1.1 401")
        with socket.create_connection(("127.0.0.1", address.port), timeout=30) as other:
            other.sendall(asked)
            while other.recv(65536):
                pass
        assert idle.recv(1) == b""
    with socket.create_connection(("127.0.0.1", address.port), timeout=30) as fresh:
        fresh.sendall(asked)
        assert fresh.recv(65536).startswith(b"HTTP/1.1 401")


def test_the_batch_looks_at_its_own_pace(opened: OpenInstrument) -> None:
    """Files are processed without anybody asking."""
    hands = opened(HANDING_IN, lease_seconds=QUICK_LEASE_SECONDS)
    hands.enqueue(min(hands.instrument.outbox.iterdir()).name)
    hands.until(lambda: hands.state(hands.handed_in[0]) == "Processed")


def test_without_a_batch_nothing_is_processed(opened: OpenInstrument) -> None:
    """The file stays Enqueued."""
    hands = opened(HANDING_IN, lease_seconds=QUICK_LEASE_SECONDS, imports=Imported(process_every=0))
    hands.enqueue(min(hands.instrument.outbox.iterdir()).name)
    for _ in range(100):
        hands.instrument.tick()
    assert hands.state(hands.handed_in[0]) == "Enqueued"
    assert hands.seen("processed") == []


def test_for_who_runs_already_time_counts_from_his_coming(opened: OpenInstrument) -> None:
    """Steps are put off by what has passed since the start."""
    hands = opened(steps=(Step(action="produce", at=1),))
    (before, _), *_ = hands.instrument._due
    hands.instrument.count_from_now()
    (after, _), *_ = hands.instrument._due
    assert after > before


# Settled


def test_a_queue_is_settled_once_it_is_empty_and_the_subject_knows(opened: OpenInstrument) -> None:
    """Not while something waits, is leased, or has not been asked for."""
    hands = opened(export=Exported(messages=1))
    assert not hands.instrument.is_settled()
    hands.dequeue()
    hands.put_by("one.zip", hands.delivered[0])
    hands.ack(hands.delivered[0])
    for _ in range(10):
        hands.instrument.tick()
        assert not hands.instrument.is_settled()  # nobody has told the subject that nothing is left
    hands.dequeue()
    hands.until(hands.instrument.is_settled)


def test_what_is_leased_is_not_settled(opened: OpenInstrument) -> None:
    """It will come back."""
    hands = opened(export=Exported(messages=1))
    hands.dequeue()
    hands.dequeue()
    for _ in range(10):
        hands.instrument.tick()
    hands.instrument.note_subject("ended", run=1, status=0, ended_by="itself")
    assert not hands.instrument.is_settled()


def test_nothing_is_settled_while_something_is_still_to_happen(opened: OpenInstrument) -> None:
    """A step that waits for its moment or for the subject."""
    for step in (Step(action="produce", at=2), Step(action="revoke", after="enqueue")):
        hands = opened(export=Exported(messages=0), steps=(step,))
        hands.dequeue()
        for _ in range(10):
            hands.instrument.tick()
        assert not hands.instrument.is_settled()


def test_files_are_settled_once_their_ends_are_known(opened: OpenInstrument) -> None:
    """To the subject, that is, and not to us alone."""
    hands = opened(HANDING_IN, lease_seconds=QUICK_LEASE_SECONDS, imports=Imported(files=("good",)))
    hands.enqueue(next(hands.instrument.outbox.iterdir()).name)
    (message,) = hands.handed_in
    hands.until(lambda: any(each["processed"] for each in hands.seen("processed")))
    assert not hands.instrument.is_settled()
    hands.until(lambda: hands.state(message) == "Processed")
    hands.until(hands.instrument.is_settled)


# Our own faults


def test_a_fault_of_our_own_is_told_and_nobody_elses(opened: OpenInstrument, monkeypatch: pytest.MonkeyPatch) -> None:
    """The subject gets its answer; the runner gets an exception."""
    hands = opened(steps=(Step(action="revoke", after="dequeue"),))

    def fails(_: Any) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(type(hands.instrument), "_do", lambda _, step: fails(step))
    answer = hands.dequeue()
    assert answer is not None
    assert answer.status_code == 200
    with pytest.raises(HarnessFault, match="RuntimeError: broken"):
        hands.instrument.tick()
    with pytest.raises(HarnessFault):
        hands.instrument.finish()
    assert hands.instrument.journal.complete


def test_the_port_is_given_back_where_the_setting_up_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another instrument can have it."""

    def fails(*_: Any) -> None:
        raise RuntimeError("broken")

    instrument = Instrument(PLAIN, lease_seconds=1, folder=tmp_path / "one")
    port = urlsplit(instrument.base_url).port
    assert port is not None
    with monkeypatch.context() as patched:
        patched.setattr(Instrument, "_fill_queue", fails)
        with pytest.raises(RuntimeError, match="broken"), instrument:
            pass
    with Instrument(PLAIN, lease_seconds=1, folder=tmp_path / "two", port=port) as other:
        assert urlsplit(other.base_url).port == port


def test_finishing_twice_changes_nothing(opened: OpenInstrument) -> None:
    """A runner that was interrupted may try again."""
    hands = opened()
    hands.instrument.finish()
    lines = len(list(hands.instrument.journal.lines()))
    hands.instrument.finish()
    assert len(list(hands.instrument.journal.lines())) == lines


def test_the_same_seed_gives_the_same_files(opened: OpenInstrument) -> None:
    """And another seed gives others."""
    digests = [
        [each["sha256"] for each in opened(HANDING_IN, seed=seed).seen("outbox")[0]["appeared"]] for seed in (1, 1, 2)
    ]
    assert digests[0] == digests[1]
    assert not set(digests[0]) & set(digests[2])


def test_every_fact_can_be_written(opened: OpenInstrument) -> None:
    """The scenario's own line too."""
    hands = opened(faults=({"operation": "ack", "kind": "timeout", "leases": 0.5},), lease_seconds=LEASE_SECONDS)
    (told,) = hands.seen("scenario")
    assert json.loads(json.dumps(told))["fault"] == [{"operation": "ack", "kind": "timeout", "leases": 0.5}]
    assert told["seconds"] == PLAIN.leases * LEASE_SECONDS


def test_a_file_that_is_not_handed_in_whole_is_told(opened: OpenInstrument) -> None:
    """Which one, before the exchange that it stands for; of a whole one nothing is told."""
    hands = opened(HANDING_IN)
    first, second, _ = sorted(hands.instrument.outbox.iterdir())
    hands.enqueue(second.name)
    whole = first.read_bytes()
    first.write_bytes(whole[:20])
    hands.enqueue(first.name)
    first.write_bytes(whole)
    assert [(each["file"], each["how"]) for each in hands.seen("altered")] == [(first.name, "cut-off")]
    hands.instrument.finish()
    journal = hands.instrument.journal
    verdict = judge_rule(find("enqueue.raw-bytes"), Readings(journal.header, journal.entries))
    assert verdict.outcome is Outcome.VIOLATED
    assert verdict.findings[0].message == f"{first.name}, cut off"
