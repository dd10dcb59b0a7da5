"""`popreceipt size` as a person or a pipeline meets it: exit status, one clear sentence, files that are whole."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from popreceipt import resources
from popreceipt.cli.main import run
from popreceipt.sizing import answer

from .answers import recommending, refusing

PLAN = """\
[arrivals]
per_hour = 30
[service]
seconds = 10
[batch]
[objective]
p95_minutes = 12
[recurrence]
candidates_minutes = [5, 10, 15]
[run]
days = 1
"""


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "plan.toml"
    path.write_text(PLAN, encoding="utf-8")
    return path


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers without simulating: a recommendation."""
    monkeypatch.setattr(answer, "size", lambda *_, **__: recommending())


def size(*arguments: object) -> int:
    """The exit status of `popreceipt size`."""
    with pytest.raises(SystemExit) as ended:
        run(["size", *map(str, arguments)])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_a_recommendation_is_printed_and_written(
    plan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Table and sentence on standard output, what was written on the other, folders made on the way."""
    written, page = tmp_path / "out" / "answer.json", tmp_path / "out" / "answer.html"
    assert size(plan, "--json", written, "--html", page) == 0
    told = capsys.readouterr()
    assert "recommended" in told.out
    assert f"written to {written}, {page}" in told.err
    assert json.loads(written.read_bytes())["recommended"]["processing_minutes"] == 10
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_json_on_standard_output_is_nothing_but_json(plan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A pipeline reads it as it is."""
    assert size(plan, "--json", "-") == 0
    assert json.loads(capsys.readouterr().out)["format"] == "popreceipt/sizing@1"


def test_a_page_is_no_standard_output(plan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is told, and no file of that name is left behind."""
    assert size(plan, "--html", "-") == 2
    assert "name one, as in --html" in capsys.readouterr().err
    assert not Path("-").exists()


@pytest.mark.usefixtures("at_once")
def test_quiet_says_nothing(plan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """But it writes."""
    assert size(plan, "--quiet", "--json", tmp_path / "answer.json") == 0
    assert capsys.readouterr() == ("", "")
    assert (tmp_path / "answer.json").is_file()


def test_the_seed_makes_the_answer(plan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same one the same bytes, another one other figures; the plan's own is 1."""

    def told(*arguments: str) -> str:
        assert size(plan, "--json", "-", *arguments) == 0
        return capsys.readouterr().out

    first = told()
    assert told("--seed", "1") == first
    other = told("--seed", "2")
    assert json.loads(other)["candidates"][0]["wait_minutes"] != json.loads(first)["candidates"][0]["wait_minutes"]
    assert json.loads(told("--days", "2"))["plan"]["run"]["days"] == 2


def test_the_page_tells_the_command_that_makes_it_again(plan: Path, tmp_path: Path) -> None:
    """With what was said instead of the plan's own words, and the plan itself."""
    page = tmp_path / "my report.html"
    assert size(plan, "--quiet", "--html", page, "--days", "2", "--seed", "7") == 0
    text = page.read_text(encoding="utf-8")
    assert "popreceipt size plan.toml --html &#39;my report.html&#39; --days 2 --seed 7" in text
    assert "per_hour = 30" in text


def test_where_nothing_meets_the_objective_the_status_is_1(
    plan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And everything is written nevertheless."""
    monkeypatch.setattr(answer, "size", lambda *_, **__: refusing())
    assert size(plan, "--json", tmp_path / "answer.json", "--html", tmp_path / "answer.html") == 1
    assert "No recurrence tried" in " ".join(capsys.readouterr().out.split())
    assert json.loads((tmp_path / "answer.json").read_bytes())["recommended"] is None
    assert "No recommendation" in (tmp_path / "answer.html").read_text(encoding="utf-8")


def test_the_example_is_a_plan_to_start_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Printed with its comments; each member that is commented out is a member indeed."""
    with pytest.raises(SystemExit) as ended:
        run(["size", "--example"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert text == (resources.fixtures() / "plans" / "example.toml").read_text(encoding="utf-8")
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    assert size(path, "--quiet", "--days", "1") == 0
    # One of several is to be chosen in these tables; what else is commented out may stand beside.
    whole = re.sub(
        r"^# (\[|poll|transfer|handling|consumers|prefetch|outage|p99|mean|longest|after|per_hour|dates|zone)",
        r"\1",
        text,
        flags=re.MULTILINE,
    )
    assert whole.count("\n# ") == text.count("\n# ") - 15
    path.write_text(whole, encoding="utf-8")
    assert size(path, "--quiet", "--days", "1") in (0, 1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("per_hour = 30", "per_hour = -1"), "arrivals.per_hour is -1"),
        (("per_hour = 30", 'per_hour = "many"'), "arrivals.per_hour is 'many', and has to be a number"),
        (("per_hour = 30", ""), "[arrivals] says nothing"),
        (("per_hour = 30", "per_hour = 30\nprofile = [1]"), "give exactly one"),
        (("per_hour = 30", "profile = [1, 2]"), "arrivals.profile has 2 numbers"),
        (("per_hour = 30", 'trace = "none.csv"'), "there is no such file"),
        (("per_hour = 30", "per_houre = 30"), "Is per_hour meant?"),
        (("seconds = 10", "seconds = 0"), "service.seconds is 0"),
        (("seconds = 10", "median = 5"), "median without p95"),
        (("[batch]", "[batch]\nin_order = true\nparallel = 4"), "batch.parallel is 4 and batch.in_order is true"),
        (("p95_minutes = 12", "p95_minutes = 12\np99_minutes = 3"), "p99_minutes is 3"),
        (("[5, 10, 15]", "[]"), "candidates_minutes is empty"),
        (("[5, 10, 15]", "[0]"), "recurrence.candidates_minutes[0] is 0"),
        (("days = 1", "days = nan"), "run.days is nan"),
        (("days = 1", "days = 0.01"), "set [run] days to"),
        (("[run]", "[run"), "not valid TOML"),
    ],
)
def test_a_wrong_plan_is_one_sentence_and_status_2(
    plan: Path, change: tuple[str, str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It names the file, the member, what was found and what is wanted."""
    assert change[0] in PLAN
    plan.write_text(PLAN.replace(*change), encoding="utf-8")
    assert size(plan) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert words in told.err
    assert str(plan) in told.err
    assert "Traceback" not in told.err


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("timestamp\n", "orders.csv"),
        ("when\n2026-01-01T00:00:00Z\n", "timestamp"),
        ("timestamp\nyesterday\n", "yesterday"),
    ],
    ids=["empty", "no such column", "no instant"],
)
def test_a_wrong_trace_is_one_sentence_and_status_2(
    plan: Path, rows: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It names the trace and what is wrong there."""
    (plan.parent / "orders.csv").write_text(rows, encoding="utf-8")
    plan.write_text(PLAN.replace("per_hour = 30", 'trace = "orders.csv"'), encoding="utf-8")
    assert size(plan) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("missing.toml",), "Cannot read the plan missing.toml"),
        ((), "PLAN.toml"),
        (("{plan}", "--days", "0"), "run.days is 0"),
        (("{plan}", "--days", "1e9"), "run.days is 1e+09"),
        (("{plan}", "--seed", "-1"), "run.seed is -1"),
        (("{plan}", "--html", "{folder}"), "it is a folder"),
        (("{plan}", "--json", "{plan}/answer.json"), "Cannot write"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_simulated(
    plan: Path,
    arguments: tuple[str, ...],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Status 2, and no minute is lost."""

    def never(*_: object, **__: object) -> None:
        raise AssertionError("it was simulated")

    monkeypatch.setattr(answer, "size", never)
    assert size(*(each.format(plan=plan, folder=plan.parent) for each in arguments)) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(("missing", "option"), [("numpy", None), ("altair", "--html")])
def test_what_is_not_installed_is_named_with_its_extra(
    plan: Path, missing: str, option: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A sentence that can be copied; without --html nobody needs what draws."""
    found = importlib.util.find_spec

    def lacking(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == missing else found(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", lacking)
    assert size(plan, *((option, plan.with_suffix(".html")) if option else ())) == 2
    told = capsys.readouterr().err
    assert missing in told
    assert "pip install 'popreceipt[sizing]'" in told


def test_stopping_leaves_no_half_written_file(plan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the middle: 130, and nothing was written."""

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(answer, "size", stopped)
    assert size(plan, "--json", tmp_path / "answer.json", "--html", tmp_path / "answer.html") == 130
    assert sorted(each.name for each in tmp_path.iterdir()) == ["plan.toml"]


def test_colours_are_left_out_where_they_are_not_wanted(plan: Path) -> None:
    """NO_COLOR counts, even where a terminal is forced; without it there are colours."""

    def printed(**more: str) -> str:
        environment = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
        environment |= {"FORCE_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": "80", **more}
        done = subprocess.run(
            [sys.executable, "-m", "popreceipt", "size", str(plan)],
            env=environment,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=True,
        )
        return done.stdout

    colour = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-9]|9[0-7])(?:;\d+)*m")
    assert colour.search(printed())
    plain = printed(NO_COLOR="1")
    assert not colour.search(plain)
    assert "recommended" in plain
