"""The plans that come along: each runs through the command, and what it writes fits its schema."""

import json
import re
import tomllib
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from popreceipt import resources
from popreceipt.cli.main import run
from popreceipt.generate import traces
from popreceipt.sizing.plan import read_plan

FOLDER = resources.fixtures() / "plans"
PLANS = sorted(FOLDER.glob("*.toml"))
REFUSED = ("out-of-reach", "overloaded")
"""Those that no recurrence helps."""

DAYS = 2.0
SCHEMA = Draft202012Validator(json.loads((resources.specs() / "sizing.schema.json").read_text(encoding="utf-8")))


def sized(*arguments: str) -> int:
    """The exit status of `popreceipt size`."""
    with pytest.raises(SystemExit) as ended:
        run(["size", *arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_there_are_plans() -> None:
    """At least eight, one of each kind of arrivals that a file describes by itself."""
    assert len(PLANS) >= 8
    kinds = {name for path in PLANS for name in tomllib.loads(path.read_text(encoding="utf-8"))["arrivals"]}
    assert kinds >= {"per_hour", "profile", "trace"}


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_a_plan_says_what_it_is_and_is_read_without_a_warning(path: Path) -> None:
    """It begins with a comment for whoever looks for one like theirs."""
    assert path.read_text(encoding="utf-8").startswith("# ")
    assert read_plan(path).warnings == ()


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_a_plan_runs_through_the_command(path: Path, tmp_path: Path) -> None:
    """It has an answer, on a page and as JSON, which agree; how it ended is the exit status."""
    days = min(DAYS, read_plan(path).run.days)
    written, page = tmp_path / "answer.json", tmp_path / "answer.html"
    status = sized(str(path), "--quiet", "--days", str(days), "--json", str(written), "--html", str(page))
    assert status == (1 if path.stem in REFUSED else 0)
    told = json.loads(written.read_bytes())
    SCHEMA.validate(told)
    assert (told["recommended"] is None) == (status == 1)
    tried = [each["processing_minutes"] for each in told["candidates"]]
    assert tried == sorted(tomllib.loads(path.read_text(encoding="utf-8"))["recurrence"]["candidates_minutes"])
    shown = page.read_text(encoding="utf-8")
    assert path.name in shown
    word = "No recommendation" if status else f"Process every {told['recommended']['processing_minutes']:g} minute"
    assert word in re.sub(r"every minute\b", "every 1 minute", shown)


def test_the_trace_is_what_its_generator_writes() -> None:
    """Byte by byte: nobody has to believe a file that nobody can make again."""
    assert (FOLDER / traces.FILE).read_bytes() == traces.text().encode()


def test_a_spoilt_answer_does_not_fit(tmp_path: Path) -> None:
    """The schema would notice what is missing or of another kind."""
    written = tmp_path / "answer.json"
    assert sized(str(FOLDER / "prices-with-export.toml"), "--quiet", "--days", "1", "--json", str(written)) == 0
    for path, value in (
        (("format",), "popreceipt/sizing@2"),
        (("recommended", "processing_minutes"), "5"),
        (("recommended",), []),
        (("candidates",), []),
        (("candidates", 0, "wait_minutes", "p95"), "long"),
        (("candidates", 0, "overruns"), 1.5),
        (("candidates", 0, "wait_intervals", "mean"), [1]),
        (("lease", "safe_prefetch"), 1.5),
        (("lease", "redelivery_rate"), -0.1),
        (("monitoring", "tried", 0, "in_time"), "yes"),
        (("margin", "load_factor"), None),
        (("plan", "run", "seed"), None),
    ):
        told = json.loads(written.read_bytes())
        SCHEMA.validate(told)
        place = told
        for name in path[:-1]:
            place = place[name]
        place[path[-1]] = value
        assert not SCHEMA.is_valid(told), path
        if isinstance(path[-1], str):
            del place[path[-1]]
            assert not SCHEMA.is_valid(told), f"without {path}"
