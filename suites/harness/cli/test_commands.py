"""The commands as a person or a pipeline meets them: exit status, one clear sentence, no traceback."""

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from popreceipt import resources
from popreceipt.rules import catalogue
from popreceipt.verdict import Binds

HELD = resources.fixtures() / "journals" / "redelivery" / "not-before-half-an-hour.held.ndjson"
VIOLATED = resources.fixtures() / "journals" / "redelivery" / "not-before-half-an-hour.violated.ndjson"


def popreceipt(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "popreceipt", *arguments], capture_output=True, text=True, check=False, cwd=folder
    )


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("verify", "--target", "nonsense"), 2, "Unknown target"),
        (("verify", "--target", "emulator:no-such-mutant"), 2, "no-such-mutant"),
        (("verify", "--target", "emulator:dialect=none"), 2, "none"),
        (("verify", "--target", "http://"), 2, "base URL"),
        (("verify", "--target", "tenant:qa"), 2, "popreceipt.toml"),
        (("verify", "--patience", "inf"), 2, "no length of time"),
        (("verify", "--ca", "ca.pem"), 2, "emulator: speaks no TLS"),
        (("verify", "--target", "http://127.0.0.1:9", "--ca", "ca.pem"), 2, "speaks no TLS"),
        (("verify", "--target", f"journal:{HELD}", "--suite", "conformance"), 2, "leave out --suite"),
        (("verify", "--target", f"journal:{HELD}", "--chapter", "poetry"), 2, "poetry"),
        (("verify", "--chapter", "poetry"), 2, "poetry"),
        (("rules", "--chapter", "poetry"), 2, "No chapter is called 'poetry'. Chapters: authorization,"),
        (("verify", "--rule", "redelivery.never"), 2, "redelivery"),
        (("verify", "--out", "/dev/null/reports"), 2, "Cannot write"),
        (("judge", "missing.ndjson"), 2, "Cannot read"),
        (("judge", str(HELD), "--out", "/dev/null"), 2, "Cannot write reports to /dev/null"),
        (("judge", "--binds", "nobody", "missing.ndjson"), 2, "nobody"),
        (("explain", "no.such-rule"), 2, "No rule is called"),
        (("serve", "--clock", "broken"), 2, "Unknown clock"),
        (("serve", "--clock", "scaled:inf"), 2, "scaled"),
        (("nothing",), 2, "nothing"),
    ],
)
def test_wrong_usage_is_one_sentence_and_status_2(
    arguments: tuple[str, ...], status: int, words: str, tmp_path: Path
) -> None:
    """What was wrong is said, and no traceback is shown."""
    run = popreceipt(*arguments, folder=tmp_path)
    assert run.returncode == status, run.stdout + run.stderr
    assert words in run.stderr
    assert "Traceback" not in run.stderr


def test_a_server_out_of_reach_proves_nothing(tmp_path: Path) -> None:
    """Status 3 and a sentence that names the address."""
    url = f"http://127.0.0.1:{free_port()}"
    run = popreceipt("verify", "--target", url, folder=tmp_path)
    assert run.returncode == 3
    assert url in run.stderr
    assert "Traceback" not in run.stderr


def test_verify_prints_and_writes_every_verdict(tmp_path: Path) -> None:
    """The table, the verdict file, JUnit and the journal are there, and the status is 0."""
    run = popreceipt("verify", "--out", str(tmp_path / "reports"), folder=tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr
    result = json.loads((tmp_path / "reports" / "verdicts.json").read_text())
    assert result["format"] == "popreceipt/verdicts@1"
    assert result["complete"] is True
    assert {each["id"] for each in result["rules"]} == {each.id for each in catalogue()}
    assert result["summary"]["violated"] == 0
    assert "not-before-half-an-hour" in run.stdout
    assert (tmp_path / "reports" / "junit.xml").read_text().startswith("<?xml")
    again = popreceipt("judge", str(tmp_path / "reports" / "journal.ndjson"))
    assert again.returncode == 0, again.stdout


def test_the_same_seed_gives_the_same_run(tmp_path: Path) -> None:
    """On a manual clock two runs of one seed write the same journal, but for tokens: no seed makes a signing key."""
    for name in ("one", "two"):
        arguments = ("verify", "--suite", "conformance", "--seed", "7", "--out", str(tmp_path / name))
        assert popreceipt(*arguments).returncode == 0
    first, second = (
        [
            re.sub(r"redacted:[0-9a-f]{8}", "redacted", line)
            for line in (tmp_path / name / "journal.ndjson").read_text().splitlines()
            if '"operation":"token"' not in line
        ]
        for name in ("one", "two")
    )
    assert first == second


def test_a_mutant_is_convicted_with_evidence(tmp_path: Path) -> None:
    """Status 1, the rule's text and place, the exchanges, and curl lines that show it again."""
    from popreceipt.emulator.mutants import MUTANTS

    name = next(each.id for each in MUTANTS.values() if "redelivery.not-before-half-an-hour" in each.convicted_by)
    run = popreceipt("verify", "--target", f"emulator:{name}", "--chapter", "redelivery", folder=tmp_path)
    assert run.returncode == 1, run.stdout + run.stderr
    for words in ("API for acknowledgment", "curl -i", "/_control/v1/clock", "dequeue"):
        assert words in run.stdout


def test_rules_and_chapters_can_be_chosen(tmp_path: Path) -> None:
    """Only what was named is judged."""
    run = popreceipt("verify", "--rule", "dequeue.empty-queue", "--json", folder=tmp_path)
    assert run.returncode == 0
    assert [each["id"] for each in json.loads(run.stdout)["rules"]] == ["dequeue.empty-queue"]


def test_a_recording_is_judged_by_the_rules_that_are_chosen() -> None:
    """A chapter and a rule count for a recording as they do for a target that is driven."""
    chosen = ("--chapter", "redelivery", "--rule", "dequeue.empty-queue")
    run = popreceipt("verify", "--target", f"journal:{HELD}", *chosen, "--json")
    ids = {each["id"] for each in json.loads(run.stdout)["rules"]}
    assert "dequeue.empty-queue" in ids
    assert {each.partition(".")[0] for each in ids} == {"redelivery", "dequeue"}


def test_judge_tells_held_from_violated() -> None:
    """Statuses 0 and 1; --json is machine-readable."""
    assert popreceipt("judge", str(HELD)).returncode == 0
    run = popreceipt("judge", "--json", str(VIOLATED))
    assert run.returncode == 1
    assert json.loads(run.stdout)["summary"]["violated"] >= 1


def test_a_journal_that_was_cut_off_is_judged_as_far_as_it_goes(tmp_path: Path) -> None:
    """It says so, and is never a pass."""
    lines = HELD.read_bytes().splitlines(keepends=True)
    cut = tmp_path / "cut.ndjson"
    cut.write_bytes(b"".join(lines[:-1]) + b'{"seq": 99, "se')
    run = popreceipt("judge", str(cut))
    assert run.returncode == 3
    assert "cut off" in run.stdout
    lines = VIOLATED.read_bytes().splitlines(keepends=True)
    cut.write_bytes(b"".join(lines[:-1]))
    assert popreceipt("judge", str(cut)).returncode == 1


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b'{"format": "popreceipt/journal@9"}\n', b"[1, 2]\n"])
def test_a_file_that_is_no_journal(content: bytes, tmp_path: Path) -> None:
    """Status 2 and one sentence."""
    path = tmp_path / "journal.ndjson"
    path.write_bytes(content)
    run = popreceipt("judge", str(path))
    assert run.returncode == 2
    assert "journal" in run.stderr
    assert "Traceback" not in run.stderr


def test_an_empty_journal_proves_nothing(tmp_path: Path) -> None:
    """A journal without exchanges exercises no rule: status 3."""
    path = tmp_path / "journal.ndjson"
    path.write_bytes(HELD.read_bytes().splitlines(keepends=True)[0] + b'{"footer": true, "lines": 2}\n')
    assert popreceipt("judge", str(path)).returncode == 3


def test_rules_and_explain() -> None:
    """The catalogue as a table and as JSON, and one rule with its code, tests and journals."""
    assert "redelivery.not-before-half-an-hour" in popreceipt("rules").stdout
    listed = json.loads(popreceipt("rules", "--json").stdout)
    assert {each["id"] for each in listed} == {each.id for each in catalogue(None)}
    told = popreceipt("explain", "redelivery.not-before-half-an-hour")
    assert told.returncode == 0
    for words in ("API for acknowledgment", "test_redelivery.py", "not-before-half-an-hour.held", "def not_before"):
        assert words in told.stdout
    assert json.loads(popreceipt("explain", "dequeue.empty-queue", "--json").stdout)["answers"][0] == "204"


def test_rules_that_bind_clients() -> None:
    """They are listed by themselves, and one is told with the scenarios that show it and whom it convicts."""
    for side in Binds:
        listed = json.loads(popreceipt("rules", "--binds", side, "--json").stdout)
        assert [each["id"] for each in listed] == [each.id for each in catalogue(side)]
    told = json.loads(popreceipt("explain", "enqueue.raw-bytes", "--json").stdout)
    assert "import-file" in told["tests"]
    assert told["mutants"] == []
    assert any(each.startswith("hands-in-base64: ") for each in told["middlewares"])


def test_output_has_no_colours_where_nobody_sees_them() -> None:
    """Piped output carries no escape sequences."""
    assert "\x1b[" not in popreceipt("rules").stdout + popreceipt("judge", str(HELD)).stdout
