"""The page that Allure makes, in a real browser: it opens without a network, speaks to nobody, and has everything."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from platformdirs import user_cache_path
from playwright.sync_api import Browser, Locator, Page, Route
from playwright.sync_api import TimeoutError as TooLate

from popreceipt import npm
from popreceipt.cli.main import run
from popreceipt.exceptions import PopreceiptError, UsageError
from popreceipt.reports.allure import metrics, page, surroundings, verdicts
from popreceipt.reports.allure.cases import Attachment, Case, Status
from popreceipt.reports.allure.folder import Folder
from popreceipt.reports.result import of_json

from ..conftest import NpmProgram
from . import runs
from .test_allure import load_result

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)

MARK = "größer als <b>fett</b> & ⟨U+202E⟩"

SILENT = """
const net = require('node:net'), dns = require('node:dns'), fs = require('node:fs');
const tell = (what) => {
  fs.appendFileSync(__dirname + '/asked.txt', what + '\\n');
  throw new Error('no network');
};
net.Socket.prototype.connect = function (...given) { tell('connect ' + JSON.stringify(given[0])); };
dns.lookup = (host) => tell('lookup ' + host);
"""
"""A Node that has no network, and remembers who wanted one."""


@pytest.fixture(scope="module")
def program(npm_program: NpmProgram) -> tuple[str, ...]:
    return npm_program(page.PACKAGE, page.VERSION, page.PROGRAM)


def write_results(folder: Path, *, later: int = 0) -> None:
    """Results of a small run of each command, with every status, beside each other.

    A few rules are enough: a browser works on each, and this page is opened often.
    """
    whole = runs.verdicts()
    few = tuple(each for each in whole.rules if each.chapter in ("redelivery", "cleanup", "enqueue"))
    raw = json.loads(json.dumps(replace(whole, rules=few).as_json()))
    crossed = {each.seq: each for each in runs.journal().exchanges()}
    verdicts.write_result(of_json(raw, Path("v.json")), folder, command="verify", exchanges=crossed, variables={})
    ended = NOW + timedelta(days=later)
    raw_load = load_result()
    raw_load["operations"]["enqueue"]["response_ms"]["p50"] += later
    metrics.write_load(raw_load, folder, ended=ended, variables={})
    writer = Folder(folder, "more", ended)
    writer.add(
        Case(
            identity="broken",
            name=f"A case {MARK}",
            status=Status.BROKEN,
            message=f"Why {MARK} <script>document.title = 'mine'</script>",
            epic="Further",
            feature="faults",
            attachments=(Attachment("words", f"<script>document.title = 'mine'</script> {MARK}"),),
        )
    )
    writer.finish({"letters": "é: 漢 = 😀"}, {})


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("allure") / "results"
    write_results(folder)
    return folder


@pytest.fixture(scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory, program: tuple[str, ...]) -> tuple[str, ...]:
    """The program in a Node without a network; who wanted one is told in `asked.txt` beside `silent.cjs`."""
    script = tmp_path_factory.mktemp("silent") / "silent.cjs"
    script.write_text(SILENT)
    node, *rest = program
    return (node, "--require", str(script), *rest)


@pytest.fixture(scope="module")
def made(results: Path, silent: tuple[str, ...]) -> Path:
    """The page of two runs, the second with what the first left as history, made without a network."""
    folder = results.parent / "page"
    page.build([results], folder, silent)
    write_results(results, later=1)
    return page.build([results], folder, silent)


@contextmanager
def opened(browser: Browser, file: Path) -> Iterator[tuple[Page, list[str], list[str]]]:
    """The page without a network: what it asked of others, and what the browser complained of."""
    asked: list[str] = []
    complaints: list[str] = []

    def route(call: Route) -> None:
        if call.request.url.startswith(("file:", "data:", "blob:")):
            call.continue_()
        else:
            asked.append(call.request.url)
            call.abort()

    context = browser.new_context(viewport={"width": 1280, "height": 2000}, reduced_motion="reduce")
    try:
        shown = context.new_page()
        # How fast it is drawn is no claim of ours: five megabytes, of a program that is not ours. It takes a second and
        # a half of one core, and ten times as long where ten others want the same two; this only ends what hangs.
        shown.set_default_timeout(300_000)
        shown.route("**/*", route)
        shown.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
        shown.on("pageerror", lambda error: complaints.append(str(error)))
        shown.goto(file.as_uri())
        seen(shown.get_by_text("Rules", exact=True).first)
        yield shown, asked, complaints
    finally:
        context.close()


def words(shown: Page) -> str:
    """What is to be read."""
    return " ".join(shown.locator("body").inner_text().split())


def press(one: Locator) -> None:
    """Press something, in one step: the page draws itself anew while its parts arrive.

    Between a mouse's down and up there may be another element in the place, and then nothing was pressed.
    """
    seen(one).evaluate("one => one.click()")


def seen(one: Locator) -> Locator:
    """It, once it is to be seen; what is there instead is told."""
    try:
        one.wait_for()
    except TooLate as late:
        raise AssertionError(f"{one} is not to be seen; there is: {words(one.page)[:2000]}") from late
    return one


Opened = tuple[Page, list[str]]


@pytest.fixture(scope="module")
def already(browser: Browser, made: Path) -> Iterator[Opened]:
    """The page, opened once for all who only read in it."""
    with opened(browser, made) as (shown, _, complaints):
        yield shown, complaints


@pytest.fixture
def at_its_beginning(already: Opened) -> Opened:
    """The page as it is when somebody comes to it."""
    shown, complaints = already
    shown.evaluate("location.hash = ''")
    seen(shown.get_by_text("Further", exact=True).first)
    complaints.clear()
    return already


def test_it_opens_and_speaks_to_nobody(browser: Browser, made: Path) -> None:
    """Nothing is asked of anybody, nothing is complained of, and the policy forbids what we may have overlooked."""
    with opened(browser, made) as (shown, asked, complaints):
        assert "popreceipt" in words(shown)
        press(shown.get_by_text(re.compile("A case größer")).first)
        seen(shown.get_by_text("Why größer").first)
        assert shown.title() != "mine"
        assert (asked, complaints) == ([], [])
        shown.evaluate("fetch('https://www.googletagmanager.com/gtag/js').catch(() => null)")
        shown.evaluate(
            "() => new Promise((done) => { const i = new Image(); i.onerror = done; i.src = 'http://h/p.png'; })"
        )
        assert asked == []
        refused = [each for each in complaints if "Content Security Policy" in each]
        assert {"googletagmanager" in each for each in refused} == {True, False}


def test_everything_is_on_it(at_its_beginning: Opened) -> None:
    """Every status is counted as in the results, the environment is told, and groups are those of the catalogue."""
    shown, _ = at_its_beginning
    press(shown.get_by_text("Show more").first)
    told = words(shown)
    for part in ("Failed 3", "Broken 1", "Skipped", "Unknown", "verify.target tenant:qa", "more.letters é: 漢 = 😀"):
        assert part in told
    for part in ("Rules", "Searches", "Load", "Further"):
        assert part in told


def test_a_broken_promise_tells_category_evidence_and_history(at_its_beginning: Opened) -> None:
    """One click from the list: why, where that stands, the exchanges, and how it ended the time before."""
    shown, complaints = at_its_beginning
    press(shown.get_by_text(runs.HALF_HOUR, exact=True).first)
    seen(shown.get_by_text("Category: Promise broken (MUST)"))
    told = words(shown)
    assert "MUST violated: back after at most 0:29:59" in told
    assert "Critical" in told
    assert "violated: back after at most 0:29:59" in told
    [link] = shown.locator("a[href*='learn.microsoft.com']").all()
    assert runs.HALF_HOUR in link.inner_text()
    # How many earlier runs there are stands on the tab before anything of them is drawn: what is missing is seen there.
    tab = shown.get_by_test_id("test-result-tab-history")
    assert tab.inner_text().split() == ["History", "1"]
    press(tab)
    before = shown.get_by_test_id("test-result-history-item")
    seen(before.first)
    assert before.count() == 1
    assert re.search(r"\d+/\d+/\d+ at \d", before.inner_text())
    assert complaints == []


def test_load_is_shown_as_metrics(at_its_beginning: Opened) -> None:
    """With our names and units, and with the run before."""
    shown, complaints = at_its_beginning
    press(shown.get_by_text("Report", exact=True).first)
    press(shown.get_by_text("Metrics", exact=True).first)
    seen(shown.get_by_text("enqueue: p50 of the response time").first)
    told = words(shown)
    assert "2.5 ms" in told
    assert "requests a real second" in told
    assert complaints == []


def test_nothing_that_counts_readers_is_left(made: Path, results: Path, program: tuple[str, ...]) -> None:
    """Allure puts it into every page: without that, this test could not fail."""
    assert not re.search("googletagmanager|gtag|analytics", made.read_text(encoding="utf-8"))
    work = results.parent / "as-it-comes"
    work.mkdir()
    raw = page._generate([results], work, work / page.HISTORY, program, "as it comes").read_text(encoding="utf-8")
    assert "https://www.googletagmanager.com/gtag/js" in raw
    assert page.stripped(raw).count("Content-Security-Policy") == 1


@pytest.mark.parametrize(
    "text",
    [
        "<html><body>no head</body></html>",
        "<html><head></head><script>gtag('config', 'G-1')</script></html>",
        "<html><head></head><script defer src='https://www.googletagmanager.com/x.js'></script></html>",
        "<html><head><link rel=stylesheet href=//fonts.example/a.css></head></html>",
        '<html><head></head><img alt="" src="http://counter.example/p.png"></html>',
    ],
)
def test_a_page_that_cannot_be_stripped_is_not_handed_out(text: str) -> None:
    """Another version of Allure may count its readers otherwise."""
    with pytest.raises(PopreceiptError, match="would speak to others"):
        page.stripped(text)


def test_the_program_itself_needs_no_network(made: Path, silent: tuple[str, ...], tmp_path: Path) -> None:
    """The page was made in a Node without one, and nobody wanted one; who does is noticed."""
    node, require, script, *_ = silent
    asked = Path(script).with_name("asked.txt")
    assert made.is_file()
    assert not asked.exists()
    proof = tmp_path / "proof.cjs"
    proof.write_text("fetch('http://127.0.0.1:54321/').catch(() => process.exit(7))")
    assert subprocess.run([node, require, script, str(proof)], check=False, timeout=60).returncode == 7
    assert asked.exists()
    asked.unlink()


def test_history_is_kept_beside_the_page_and_bounded(made: Path) -> None:
    """A line for each run, without what a page does not show; the page is one file and the folder holds no other."""
    assert sorted(each.name for each in made.parent.iterdir()) == ["history.jsonl", "index.html"]
    lines = (made.parent / page.HISTORY).read_text(encoding="utf-8").splitlines()
    assert len(lines) == 2
    assert all(not each["labels"] for line in lines for each in json.loads(line)["testResults"].values())
    first, second = (set(json.loads(line)["testResults"]) for line in lines)
    assert first == second
    assert made.stat().st_size < 6_000_000


def test_a_history_that_is_not_understood_stays() -> None:
    """Whatever an earlier version wrote."""
    text = '{"testResults": 3}\nnot JSON\n{"testResults": {"a": {"labels": [1], "trace": "t", "status": "passed"}}}\n'
    assert page.slimmed(text) == (
        '{"testResults": 3}\nnot JSON\n{"testResults":{"a":{"labels":[],"status":"passed"}}}\n'
    )


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ((("/nonexistent/node",)), "Cannot write|No such file"),
        (("sh", "-c", "echo it broke >&2; exit 3"), r"exit status 3\): it broke"),
        (("sh", "-c", "exit 0"), "exit status 0"),
    ],
)
def test_a_program_that_fails_leaves_the_page_as_it_was(
    results: Path, tmp_path: Path, program: Sequence[str], words: str
) -> None:
    """What it said is told, and the page of the last run is still there."""
    (tmp_path / "index.html").write_text("before")
    with pytest.raises(PopreceiptError, match=words):
        page.build([results], tmp_path, program)
    assert [each.name for each in tmp_path.iterdir()] == ["index.html"]
    assert (tmp_path / "index.html").read_text() == "before"


def test_a_folder_without_results_is_wrong_usage(tmp_path: Path) -> None:
    """One sentence, before anything is started."""
    with pytest.raises(UsageError, match="no results"):
        page.build([tmp_path], tmp_path / "page", ["/nonexistent"])


def test_configuration_holds_no_code(tmp_path: Path) -> None:
    """It is JSON; names and paths are text in it, and every category and metric is there."""
    told = page.configuration([tmp_path], tmp_path / "'); x('", tmp_path / "h", 'a"b')
    assert json.loads(json.dumps(told)) == told
    assert len(told["categories"]) == len(surroundings.CATEGORIES_IN_ORDER)


Report = Callable[..., int]


@pytest.fixture
def report(program: tuple[str, ...]) -> Report:
    """The command, with the program that the other tests have installed."""
    cache = user_cache_path("popreceipt") / "npm"
    assert npm.command_line(cache, page.PACKAGE, page.VERSION, page.PROGRAM) == program

    def call(*arguments: str) -> int:
        with pytest.raises(SystemExit) as ended:
            run(["report", *arguments])
        assert isinstance(ended.value.code, int)
        return ended.value.code

    return call


def test_the_command_makes_a_page_of_a_result(report: Report, tmp_path: Path) -> None:
    """Of verdicts alone where nothing else is there; the history goes where it was told to."""
    runs.leave(tmp_path / "run")
    options = ("--allure-page", str(tmp_path / "page"), "--allure-history", str(tmp_path / "kept" / "h.jsonl"))
    assert report(str(tmp_path / "run"), *options) == 0
    assert [each.name for each in (tmp_path / "page").iterdir()] == ["index.html"]
    assert len((tmp_path / "kept" / "h.jsonl").read_text().splitlines()) == 1


def test_the_command_refuses_what_makes_no_sense(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A history without a page, two texts on one standard output, a folder without anything."""
    runs.leave(tmp_path / "run")
    for options in (
        [str(tmp_path / "run"), "--allure-history", "h"],
        [str(tmp_path / "run"), "--json", "--markdown", "-"],
        [str(tmp_path), "--allure", str(tmp_path / "a")],
        [str(tmp_path), "--allure-page", str(tmp_path / "p")],
    ):
        with pytest.raises(SystemExit) as ended:
            run(["report", *options])
        assert ended.value.code == 2
        assert capsys.readouterr().err.startswith("popreceipt: ")
