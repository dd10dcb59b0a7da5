"""The commands that write pages: what they write, what they refuse, and which exit status that is."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from lxml import html

from popreceipt import resources
from popreceipt.cli import main
from popreceipt.reports import junit

from . import runs

VIOLATED = resources.fixtures() / "journals" / "redelivery" / "not-before-half-an-hour.violated.ndjson"


def popreceipt(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Run the command in this process: exit status, standard output, standard error."""
    with pytest.raises(SystemExit) as ended:
        main.run([str(each) for each in arguments])
    written = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, written.out, written.err


def test_without_an_output_the_page_stands_beside_the_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A violated rule is no fault of the command that writes the page."""
    folder = runs.leave(tmp_path / "run")
    status, out, err = popreceipt(capsys, "report", folder)
    assert (status, out) == (0, "")
    assert "report.html" in err.replace("\n", "")
    assert "Verdict on tenant:qa" in (folder / "report.html").read_text(encoding="utf-8")


def test_the_page_of_a_verification_needs_no_extra_but_its_own(tmp_path: Path) -> None:
    """The main job has what searching and reporting need, and nothing of middleware, load, sizing or tenants."""
    absent = ("psutil", "allpairspy", "tenacity", "tomli_w", "locust", "msal", "keyring", "tomlkit")
    arguments = ["verify", "--chapter", "throttling", "--out", "out", "--html", "page.html"]
    without = f"import sys; sys.modules.update(dict.fromkeys({absent}))"
    program = f"{without}; from popreceipt.cli import main; main.run({arguments})"
    run = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "throttling" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_what_was_written_is_told_to_machines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Path and bytes; the folder of the page is made."""
    folder = runs.leave(tmp_path / "run")
    page = tmp_path / "new" / "deep" / "page.html"
    status, out, err = popreceipt(capsys, "report", folder / "verdicts.json", "--html", page, "--json")
    assert (status, err) == (0, "")
    assert json.loads(out)["written"]["html"] == {"path": str(page), "bytes": page.stat().st_size}


def test_junit_is_written_of_a_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As its run would have written it, and no page beside it."""
    folder = runs.leave(tmp_path / "run")
    file = tmp_path / "deep" / "results.xml"
    status, out, _ = popreceipt(capsys, "report", folder, "--junit", file, "--json")
    assert status == 0
    assert json.loads(out)["written"] == {"junit": {"path": str(file), "bytes": file.stat().st_size}}
    junit.write(runs.verdicts(), tmp_path / "own.xml")
    assert file.read_bytes() == (tmp_path / "own.xml").read_bytes()


def test_an_earlier_result_is_compared_with(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where one is given."""
    now, before = runs.leave(tmp_path / "now"), runs.leave(tmp_path / "before", seed=6)
    page = tmp_path / "page.html"
    assert popreceipt(capsys, "report", now, "--html", page)[0] == 0
    assert "Since the earlier result" not in page.read_text(encoding="utf-8")
    assert popreceipt(capsys, "report", now, "--previous", before, "--html", page)[0] == 0
    assert "another seed: 6 then, 7 now" in page.read_text(encoding="utf-8")


def test_the_journal_may_lie_elsewhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As where a recording was judged."""
    folder = runs.leave(tmp_path / "run")
    (folder / "journal.ndjson").rename(tmp_path / "moved.ndjson")
    page = tmp_path / "page.html"
    assert popreceipt(capsys, "report", folder, "--journal", tmp_path / "moved.ndjson", "--html", page)[0] == 0
    assert "moved.ndjson" in page.read_text(encoding="utf-8")


SIZING = {
    "format": "popreceipt/sizing@1",
    "recommended": {"processing_minutes": 15.0, "monitoring_minutes": None},
    "reasons": ["Because of <b>this</b>."],
    "warnings": ["It is | close."],
    "candidates": [
        {
            "processing_minutes": minutes,
            "stable": stable,
            "meets_objective": meets,
            "utilisation": 0.25,
            "wait_minutes": {"mean": 8.0, "p50": 8.4, "p95": p95, "p99": None, "longest": None},
        }
        for minutes, stable, meets, p95 in (
            (15.0, True, True, 14.7),
            (30.0, True, False, 29.0),
            (60.0, False, False, None),
        )
    ],
    "margin": {"breaks_first": "First the objective."},
}


def test_a_sizing_is_told_in_markdown_and_as_a_badge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every candidate with what it does; red where there is none to recommend."""
    file, badge = tmp_path / "sizing.json", tmp_path / "badge.json"
    file.write_text(json.dumps(SIZING), encoding="utf-8")
    status, out, _ = popreceipt(capsys, "report", file, "--markdown", "-", "--badge", badge)
    assert status == 0
    assert out.startswith("## popreceipt size: ✔ process every 15 minutes\n")
    assert "| **15** | 8.4 | 14.7 |  | 25% | ✔ meets it, recommended |" in out
    assert "| 30 | 8.4 | 29 |  | 25% | ✘ misses it |" in out
    assert "| 60 | 8.4 |  |  | 25% | ✘ never settles |" in out
    assert "<b>" not in out
    assert "Margin: First the objective." in out
    assert json.loads(badge.read_text(encoding="utf-8"))["message"] == "process every 15 min"
    file.write_text(json.dumps(SIZING | {"recommended": None}), encoding="utf-8")
    status, out, _ = popreceipt(capsys, "report", tmp_path, "--markdown", "-", "--badge", badge)
    assert status == 0
    assert "✘ no recurrence meets the objective" in out
    assert json.loads(badge.read_text(encoding="utf-8"))["color"] == "red"


@pytest.mark.parametrize(
    ("name", "content", "options", "words"),
    [
        ("sizing.json", SIZING, (), "popreceipt size PLAN --html FILE"),
        ("sizing.json", SIZING, ("--html", "{folder}/page.html"), "popreceipt size PLAN --html FILE"),
        ("sizing.json", SIZING, ("--markdown", "-", "--previous", "{folder}"), "not compared"),
        ("sizing.json", SIZING, ("--junit", "{folder}/junit.xml"), "for verdicts alone"),
        ("sizing.json", {"format": "popreceipt/sizing@1"}, ("--markdown", "-"), "is damaged"),
        ("sizing.json", {"format": "popreceipt/sizing@2"}, ("--markdown", "-"), "There is no result"),
        ("paired.json", {"format": "popreceipt/paired@1"}, ("--badge", "{folder}/badge.svg"), "popreceipt gate"),
    ],
)
def test_what_was_measured_is_told_as_far_as_it_can_be(
    name: str,
    content: dict[str, object],
    options: tuple[str, ...],
    words: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """For the rest one sentence names the command that does it, and nothing is written."""
    (tmp_path / name).write_text(json.dumps(content), encoding="utf-8")
    status, out, err = popreceipt(capsys, "report", tmp_path, *(each.format(folder=tmp_path) for each in options))
    assert (status, out) == (2, "")
    assert words in err
    assert [each.name for each in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("command", "option", "name"),
    [
        (("verify", "--target", "emulator:no-such-mutant"), "--html", "page.html"),
        (("load", "imports", "--target", "emulator:no-such-mutant", "--out", "{folder}"), "--json", "load.json"),
        (("fingerprint", "--target", "emulator:no-such-mutant"), "--out", "profile.toml"),
    ],
)
def test_a_run_that_comes_to_nothing_leaves_no_empty_file(
    command: tuple[str, ...], option: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody takes for a result what was only tried out; one of an earlier run stays as it was."""
    file = tmp_path / "deep" / name
    arguments = [each.format(folder=tmp_path / "out") for each in command]
    assert popreceipt(capsys, *arguments, option, file)[0] == 2
    assert not file.exists()
    file.write_text("earlier", encoding="utf-8")
    assert popreceipt(capsys, *arguments, option, file)[0] == 2
    assert file.read_text(encoding="utf-8") == "earlier"
    status, _, err = popreceipt(capsys, *arguments, option, file / "below")
    assert status == 2
    assert f"{name} is no folder" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("report", "{run}/nothing"), "There is no result"),
        (("report", "{run}/journal.ndjson"), "Cannot read the result"),
        (("report", "{run}", "--html", "{run}"), "Cannot write"),
        (("report", "{run}", "--junit", "{run}"), "Cannot write"),
        (("report", "{run}", "--html", "{run}/verdicts.json/page.html"), "Cannot write"),
        (("report", "{run}", "--previous", "{run}/nothing"), "There is no result"),
        (("report", "{run}", "--journal", "{run}/nothing"), "Cannot read the journal"),
        (("report", "{run}", "--journal", "{run}/verdicts.json"), "is a journal of format"),
        (("judge", "{run}/journal.ndjson", "--html", "{run}"), "Cannot write"),
        (("verify", "--html", "{run}/verdicts.json/page.html"), "Cannot write"),
    ],
)
def test_wrong_usage_is_said_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    """Exit status 2, and no page."""
    runs.leave(tmp_path)
    status, out, err = popreceipt(capsys, *(each.format(run=tmp_path) for each in arguments))
    assert status == 2
    assert words in err
    assert "Traceback" not in err
    assert not list(tmp_path.rglob("*.html"))
    assert out == ""


def test_judging_a_recording_writes_its_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the recording's exchanges as evidence; the exit status stays that of judging."""
    page = tmp_path / "page.html"
    assert popreceipt(capsys, "judge", VIOLATED, "--html", page)[0] == 1
    root = html.document_fromstring(page.read_text(encoding="utf-8"))
    assert root.xpath("//section[@id='mend']//ol[@class='story']")
    assert VIOLATED.name in root.text_content()
    assert popreceipt(capsys, "judge", VIOLATED, "--html", page, "--out", tmp_path / "out")[0] == 1
    assert "Result written" in page.read_text(encoding="utf-8")


def test_a_verification_writes_its_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the exchanges that it made, whether they are kept or not."""
    monkeypatch.chdir(tmp_path)
    wanted = ("--target", "emulator:lease-of-29-minutes", "--rule", "redelivery.not-before-half-an-hour")
    assert popreceipt(capsys, "verify", *wanted, "--html", "page.html")[0] == 1
    root = html.document_fromstring((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert root.xpath("//section[@id='mend']//ol[@class='story']")
    assert "not kept; with --out DIR it is" in root.text_content()
    assert [each.name for each in tmp_path.iterdir()] == ["page.html"]


def test_the_page_of_the_emulators_whole_conformance_is_small(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every rule with a situation that shows it, in less than five million bytes."""
    monkeypatch.chdir(tmp_path)
    assert popreceipt(capsys, "verify", "--suite", "conformance", "--out", "run", "--html", "page.html")[0] == 0
    content = (tmp_path / "page.html").read_bytes()
    assert len(content) < 5_000_000
    root = html.document_fromstring(content.decode())
    rules = root.xpath("//section[@id='rules']//details[contains(@class, 'rule ')]")
    assert len(rules) == 170
    shown = [each for each in rules if each.xpath(".//details[contains(@class, 'exchange')]")]
    assert len(shown) > 120
