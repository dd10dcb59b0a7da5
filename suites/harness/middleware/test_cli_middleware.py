"""`popreceipt middleware`: real subjects, real scenarios, and what the command ends with."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import dedent
from typing import Any
from xml.etree import ElementTree as Xml

import pytest
from jsonschema import Draft202012Validator

from popreceipt import resources
from popreceipt.journal import JournalFile
from popreceipt.middleware import dialects, selection

COMMAND = (sys.executable, "-m", "popreceipt", "middleware")
SECONDS = 100.0
PYTHON = (sys.executable, "-I", "-S")

HASTY = """
import json, os, urllib.request

def call(method, url, body=None, **headers):
    request = urllib.request.Request(url, data=body, method=method, headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.status, answer.read()

told = os.environ
print("secret", told["POPRECEIPT_CLIENT_SECRET"])
form = "grant_type=client_credentials&client_id={}&client_secret={}&scope={}/.default".format(
    told["POPRECEIPT_CLIENT_ID"], told["POPRECEIPT_CLIENT_SECRET"], told["POPRECEIPT_RESOURCE"])
answer = call("POST", told["POPRECEIPT_TOKEN_URL"], form.encode(), **{
    "Content-Type": "application/x-www-form-urlencoded"})
token = json.loads(answer[1])["access_token"]
print("token", token)
base = told["POPRECEIPT_BASE_URL"] + "/api/connector/{}/" + told["POPRECEIPT_EXPORT_ACTIVITY"]
while True:
    status, found = call("GET", base.format("dequeue"), Authorization="Bearer " + token)
    if status == 204 or not found:
        break
    call("POST", base.format("ack"), found, Authorization="Bearer " + token, **{"Content-Type": "application/json"})
"""
"""A consumer that acknowledges whatever it is handed without ever fetching it."""


def popreceipt_middleware(
    folder: Path, *arguments: str, environment: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder,
        env=os.environ | {"NO_COLOR": "1", "COLUMNS": "160"} | dict(environment or {}),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def verdicts_in(file: Path) -> Mapping[str, Any]:
    told: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return told


def with_outcome(verdicts: Mapping[str, Any], outcome: str) -> set[str]:
    return {each["id"] for each in verdicts["rules"] if each["outcome"] == outcome}


def script(folder: Path, text: str, name: str = "client.py") -> Sequence[str]:
    (folder / name).write_text(dedent(text), encoding="utf-8")
    return (*PYTHON, name)


Ran = tuple[Path, "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The reference middleware in one scenario of each side, for whoever wants to look at what was left."""
    folder = tmp_path_factory.mktemp("reference")
    chosen = ("--scenario", "export-package", "--scenario", "import-file")
    files = ("--out", "out", "--json", "copy.json")
    subject = (sys.executable, "-m", "popreceipt.client.reference")
    return folder, popreceipt_middleware(folder, *chosen, *files, "--", *subject)


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A consumer that is wrong, in one scenario."""
    folder = tmp_path_factory.mktemp("hasty")
    files = ("--out", "out", "--html", "out/report.html", "--allure", "allure")
    arguments = ("--scenario", "export-package", *files, "--", *script(folder, HASTY))
    return folder, popreceipt_middleware(folder, *arguments)


class TestTheReference:
    """A subject that is right."""

    def test_all_is_well(self, reference: Ran) -> None:
        """Exit 0, no rule violated, rules of both sides held, and the table says so."""
        folder, run = reference
        assert run.returncode == 0, run.stdout + run.stderr
        verdicts = verdicts_in(folder / "copy.json")
        assert with_outcome(verdicts, "violated") == with_outcome(verdicts, "undecided") == set()
        assert {"acknowledgment.after-a-whole-download", "enqueue.raw-bytes"} <= with_outcome(verdicts, "held")
        assert "0 violated" in run.stdout
        assert "export-package  ✔" in run.stdout

    def test_what_programs_read_keeps_to_its_shape(self, reference: Ran) -> None:
        """The verdict file, twice the same, JUnit, and for each scenario a journal that is whole."""
        folder, _ = reference
        verdicts = verdicts_in(folder / "out" / "verdicts.json")
        assert verdicts == verdicts_in(folder / "copy.json")
        schema = json.loads((resources.specs() / "verdicts.schema.json").read_text(encoding="utf-8"))
        assert list(Draft202012Validator(schema).iter_errors(verdicts)) == []
        assert verdicts["complete"]
        assert [each["name"] for each in verdicts["scenarios"]] == ["export-package", "import-file"]
        suites = Xml.parse(folder / "out" / "junit.xml").getroot()
        assert [each.get("name") for each in suites] == ["export-package", "import-file"]
        for name in ("export-package", "import-file"):
            journal = JournalFile(folder / "out" / "scenarios" / name / "journal.ndjson")
            assert sum(1 for _ in journal)
            assert journal.complete
            assert (folder / "out" / "scenarios" / name / "output.txt").is_file()


class TestAWrongOne:
    """A subject that acknowledges what it never fetched."""

    def test_it_is_convicted(self, hasty: Ran) -> None:
        """Exit 1, and the violation is told with its exchanges."""
        folder, run = hasty
        assert run.returncode == 1, run.stdout + run.stderr
        verdicts = verdicts_in(folder / "out" / "verdicts.json")
        assert "acknowledgment.after-a-whole-download" in with_outcome(verdicts, "violated")
        assert "✘ acknowledgment.after-a-whole-download violated (MUST)" in run.stdout
        assert "POST /api/connector/ack/" in run.stdout

    def test_it_fails_in_a_report_of_allure(self, hasty: Ran) -> None:
        """The scenario and the rule are results; the scenario has its exchanges and the subject's output."""
        folder, _ = hasty
        results = [json.loads(each.read_text()) for each in (folder / "allure").glob("*-result.json")]
        failed = {each["name"]: each for each in results if each["status"] == "failed"}
        assert {"export-package", "acknowledgment.after-a-whole-download"} <= set(failed)
        assert any(each["name"] == "exchanges" for each in failed["export-package"]["attachments"])

    def test_its_other_side_is_none(self, hasty: Ran) -> None:
        """Files that it never tried to hand in are not held against it."""
        folder, _ = hasty
        rules = {each["id"]: each for each in verdicts_in(folder / "out" / "verdicts.json")["rules"]}
        assert rules["enqueue.every-file-handed-in"]["outcome"] == "unexercised"
        assert rules["enqueue.every-file-handed-in"]["reason"] == "the subject never called the import side"

    def test_each_violation_has_a_bundle(self, hasty: Ran) -> None:
        """The verdict names the folder, and the folder has something to read."""
        folder, _ = hasty
        rules = {each["id"]: each for each in verdicts_in(folder / "out" / "verdicts.json")["rules"]}
        bundle = rules["acknowledgment.after-a-whole-download"]["findings"][0]["bundle"]
        assert (folder / bundle / "README.md").is_file()

    def test_no_secret_is_left_anywhere(self, hasty: Ran) -> None:
        """The subject says its secret and its token aloud; no file and no line of ours repeats them."""
        folder, run = hasty
        said = [path.read_text(encoding="utf-8") for path in (folder / "out").rglob("*") if path.is_file()]
        texts = [*said, run.stdout, run.stderr]
        assert (folder / "out" / "report.html").stat().st_size > 1000
        output = (folder / "out" / "scenarios" / "export-package" / "output.txt").read_text(encoding="utf-8")
        assert output.startswith("secret redacted:")
        assert "token redacted:" in output
        assert not any("eyJ" in each for each in texts)


class TestUsage:
    """What goes wrong before anything is played."""

    def test_a_command_that_does_not_exist(self, tmp_path: Path) -> None:
        """Exit 3: nothing could be proved, and the sentence names the command."""
        run = popreceipt_middleware(tmp_path, "--", "no-such-command", "--flag")
        assert run.returncode == 3
        assert "Cannot start no-such-command: there is no such command" in run.stderr

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ((), "Name the command that runs your middleware"),
            (("--attach", "--", "sh"), "Give a command or --attach, not both."),
            (("--env-file", "environment", "--", "sh"), "--env-file says something about --attach"),
            (("--sweep", "single", "--dialect", "dequeue.empty-queue=200-empty", "--", "sh"), "give one of them"),
            (("--lease", "inf", "--", "sh"), "'--lease'"),
            (("--scenario", "export-packages", "--", "sh"), "Did you mean export-package"),
            (("--dialect", "dequeue.empty=soon", "--", "sh"), "dequeue.empty"),
            (("--side", "import", "--scenario", "export-package", "--", "sh"), "concerns the side import"),
            (("--json", "file/below-a-file", "--", "sh"), "Cannot write file/below-a-file"),
        ],
    )
    def test_wrong_usage(self, tmp_path: Path, arguments: Sequence[str], words: str) -> None:
        """Exit 2, and what to do instead."""
        (tmp_path / "file").touch()
        run = popreceipt_middleware(tmp_path, *arguments)
        assert run.returncode == 2, run.stdout + run.stderr
        assert words in run.stderr

    def test_scenarios_are_listed(self, tmp_path: Path) -> None:
        """With those of the matrix where they are wanted; nothing is played."""
        run = popreceipt_middleware(tmp_path, "--list", "--matrix")
        assert run.returncode == 0
        for each in ("export-package", "import-file", "lost.ack.after.reset"):
            assert each in run.stdout
        lines = run.stdout.splitlines()
        place = next(place for place, line in enumerate(lines) if line.startswith("export-package "))
        assert lines[place].split() == ["export-package", "export", "≤", "18", "s", "quick"]
        assert lines[place + 1] == "    Three packages wait to be pulled, and nothing goes wrong."

    def test_names_are_completed(self, tmp_path: Path) -> None:
        """A shell is told scenarios, those of the matrix too, and dialects."""

        def completed(option: str, begun: str) -> list[str]:
            words = f"popreceipt middleware {option} {begun}"
            environment = {"_POPRECEIPT_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": "3"}
            code = "from popreceipt.cli.main import run; run()"
            made = subprocess.run(
                [sys.executable, "-c", code],
                cwd=tmp_path,
                env=os.environ | environment,
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=True,
            )
            return made.stdout.split()

        assert completed("--scenario", "lost.ack.after.r") == ["lost.ack.after.reset"]
        assert "export-package" in completed("--scenario", "export")
        first = dialects.names()[0]
        assert first in completed("--dialect", first[:5])


class TestEnds:
    """How a run ends otherwise."""

    def test_a_subject_that_does_nothing_proves_nothing(self, tmp_path: Path) -> None:
        """Exit 3: it was started, and exercised nothing."""
        arguments = ("--scenario", "export-package", "--seconds", "0.5", "--", *script(tmp_path, "pass"))
        run = popreceipt_middleware(tmp_path, *arguments)
        assert run.returncode == 3, run.stdout + run.stderr
        assert "nothing was exercised" in run.stdout

    def test_what_an_earlier_run_left_goes(self, tmp_path: Path) -> None:
        """A violation of last time is not found beside the verdicts of this time; somebody else's file stays."""
        out = tmp_path / "out"
        old = [out / "scenarios" / "s" / "journal.ndjson", out / "bundles" / "s" / "rule" / "README.md"]
        other = out / "bundles" / "s" / "notes.txt"
        for each in (*old, other, out / "verdicts.json"):
            each.parent.mkdir(parents=True, exist_ok=True)
            each.write_text("{}", encoding="utf-8")
        subject = script(tmp_path, "pass")
        popreceipt_middleware(
            tmp_path, "--scenario", "export-package", "--seconds", "0.5", "--out", "out", "--", *subject
        )
        assert sorted(each.name for each in (out / "scenarios").iterdir()) == ["export-package"]
        assert [each for each in (out / "bundles").rglob("*") if each.is_file()] == [other]

    def test_what_a_subject_is_told(self, tmp_path: Path) -> None:
        """Placeholders are filled in, the side that it has not is not watched, and JSON is all that is printed."""
        told = script(tmp_path, "import sys; print(*sys.argv[1:]); sys.exit(5)")
        words = ("{base_url}/x", "{export_activity}", "{nothing}")
        chosen = ("--scenario", "export-package", "--side", "export", "--json", "-")
        run = popreceipt_middleware(tmp_path, *chosen, "--", *told, *words)
        verdicts = json.loads(run.stdout)
        assert verdicts["command"] == [*told, *words]
        subject = verdicts["scenarios"][0]["subject"]
        assert subject["exits"] == [5]
        url, activity, left = subject["output_tail"].split()
        assert url.startswith("http://127.0.0.1:")
        assert len(activity.strip("{}")) == 36
        assert left == "{nothing}"

    def test_options_of_the_subject_need_no_dashes_before_them(self, tmp_path: Path) -> None:
        """What comes after the command is the command's."""
        told = script(tmp_path, "import sys; print(*sys.argv[1:]); sys.exit(5)")
        run = popreceipt_middleware(tmp_path, "--scenario", "export-package", "--json", "-", *told, "--strict")
        assert json.loads(run.stdout)["scenarios"][0]["subject"]["output_tail"] == "--strict\n"

    @pytest.mark.skipif(sys.platform == "win32", reason="another signal there")
    def test_a_ctrl_c_judges_as_far_as_it_went(self, tmp_path: Path, meeting: Any) -> None:
        """Exit 130, the subject is gone, and the verdict file is there and not complete."""
        subject = script(tmp_path, meeting.code + "import os, signal; tell(os.getpid())\nwhile True: signal.pause()")
        chosen = ("--scenario", "export-package", "--scenario", "import-file", "--jobs", "1", "--out", "out")
        run = subprocess.Popen(
            [*COMMAND, *chosen, "--", *subject], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        process = meeting.told()
        run.send_signal(signal.SIGINT)
        stdout, stderr = run.communicate(timeout=SECONDS)
        assert run.returncode == 130, stdout + stderr
        assert "stopped" in stdout
        verdicts = verdicts_in(tmp_path / "out" / "verdicts.json")
        assert not verdicts["complete"]
        assert verdicts["interrupted"]
        assert [each["cut_short"] for each in verdicts["scenarios"]] == [True]
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


def test_every_scenario_can_be_chosen() -> None:
    """Names on the command line are the scenarios' own, and none is there twice."""
    names = selection.names()
    assert len(set(names)) == len(names)
    assert all(selection.find(each).name == each for each in names)
