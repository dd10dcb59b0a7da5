"""A load run's page and its table: what stands there is what came of it, alone and complete."""

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from popreceipt.load.judging import judge_run
from popreceipt.load.report import as_page
from popreceipt.load.result import LoadResult, Standing
from popreceipt.load.terminal import show

from .conftest import FakeRun, MakeRun

pytest.importorskip("altair")
pytest.importorskip("vl_convert")

COMMAND = "popreceipt load mixed"


@pytest.fixture
def result(good_run: FakeRun) -> LoadResult:
    return judge_run(good_run.written())


def shown(result: LoadResult, *, width: int = 160) -> str:
    file = io.StringIO()
    show(result, Console(file=file, width=width, color_system=None))
    return file.getvalue()


def test_a_page_stands_alone(result: LoadResult) -> None:
    """One file: no script, nothing that is loaded from anywhere, and the same bytes from the same result."""
    made = as_page(result, command=COMMAND)
    assert made == as_page(result, command=COMMAND)
    assert "<script" not in made
    assert not re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?(?:https?:)?//""", made)
    assert made.startswith("<!doctype html>")


def test_a_page_tells_what_came_of_it(result: LoadResult) -> None:
    """The answer, latencies, waits, monitoring beside the own count, rules, ceilings, thresholds, the command."""
    made = as_page(result, command=COMMAND)
    for words in (
        "VALID",
        "31 requests, 0 without a success; no rule was violated.",
        "Latencies by operation",
        "How long messages waited",
        "What monitoring saw beside what the run counted",
        "dequeue.waiting-message-is-offered",
        "Ceilings on this machine",
        "share of requests without a success",
        COMMAND,
    ):
        assert words in made, words


@pytest.mark.parametrize(("files", "drawn"), [(49, False), (50, True)])
def test_a_line_is_drawn_where_there_are_two_points(fake_run: MakeRun, files: int, drawn: bool) -> None:
    """A percentile takes five requests that were slower; of one point a chart would be empty."""
    run = fake_run()
    run.enqueues(files)
    made = as_page(judge_run(run.written()), command=COMMAND)
    assert ("Percentiles of response and service time" in made) is drawn
    assert "Latencies by operation" in made


def test_a_violation_is_told_with_its_witnesses(fake_run: MakeRun) -> None:
    """Whatever else: the first thing on the page, and below it which exchanges show it."""
    run = fake_run("emulator:every-tenth-message-lost")
    run.consumes(12)
    run.looks()
    result = judge_run(run.written())
    made = as_page(result, command=COMMAND)
    assert "Violated, in a run that is VALID" in made
    assert "dequeue.waiting-message-is-offered (MUST)" in made
    assert "nothing offered" in made
    assert "(exchanges " in made
    told = shown(result)
    assert "✘ dequeue.waiting-message-is-offered (MUST) violated" in told
    assert "1 rule violated" in told.splitlines()[-1]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"standing": Standing.INCONCLUSIVE, "reasons": ("You measured the emulator.",)}, "INCONCLUSIVE"),
        ({"standing": Standing.INVALID, "reasons": ("It fell behind.",)}, "INVALID"),
        ({"finished": False, "reasons": ("The target died.",)}, "Cut short, VALID"),
        ({"faults": ("KeyError: 'x'",)}, "A fault of the harness"),
    ],
)
def test_what_does_not_count_says_so_at_the_top(result: LoadResult, change: dict[str, object], word: str) -> None:
    """With its reason: nobody takes such a page for a pass."""
    changed = replace(result, **change)  # type: ignore[arg-type]  # members by name
    made = as_page(changed, command=COMMAND)
    top = made[: made.index("<main")]
    assert word in top
    for each in (*changed.reasons, *changed.faults):
        assert each.replace("'", "&#39;") in top
        assert each in shown(changed)


def test_a_run_without_a_single_request(fake_run: MakeRun) -> None:
    """Nothing to draw is no reason to fail."""
    result = judge_run(fake_run().written())
    made = as_page(result, command=COMMAND)
    assert "0 requests" in made
    assert "<svg" not in made
    assert "✘ requests, at least: 0 (allowed 1)" in shown(result)


def test_words_from_outside_are_escaped(result: LoadResult) -> None:
    """A target may be called anything."""
    target = dict(result.target) | {"name": "<script>alert(1)</script>"}
    made = as_page(replace(result, target=target), command="popreceipt load '<b>'")
    assert "<script>" not in made
    assert "&lt;script&gt;" in made
    assert "<b>&#39;" not in made


def test_a_table_tells_figures_and_the_answer_last(result: LoadResult) -> None:
    """Latencies in real milliseconds, waits in the target's minutes, rules, ceilings; the last line is the answer."""
    told = shown(result)
    assert re.search(r"^enqueue +12 +3\.0 +3\.0", told, re.MULTILINE)
    assert re.search(r"^handed in to processed +12 +4\.13", told, re.MULTILINE)
    assert re.search(r"^the generator +3,100", told, re.MULTILINE)
    assert told.splitlines()[-1].startswith("VALID  mixed on emulator:: 31 requests, 0 failed, no rule violated")


def test_an_unknown_depth_is_not_a_nought(result: LoadResult) -> None:
    """Where the run itself could not count, the table says nothing."""
    changed = replace(result, monitoring=((5.0, 3.0, None),))
    assert re.search(r"^ +5 +3 *$", shown(changed), re.MULTILINE)
    assert "unknown" in as_page(changed, command=COMMAND)
