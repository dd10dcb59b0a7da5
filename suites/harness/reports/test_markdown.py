"""The summary for pull requests: short enough for a comment, and nobody's words become markup in it."""

import json
import re
from pathlib import Path

import pytest
from lxml import html
from markdown_it import MarkdownIt

from popreceipt.cli.main import run
from popreceipt.reports import markdown
from popreceipt.reports.result import ResultFile, of_json
from popreceipt.rules import catalogue, find
from popreceipt.verdict import Finding, Outcome, SuiteFailure, Verdicts

from . import runs

EVIL = (
    "<script>alert(1)</script> @everyone #12 ![x](http://evil.example/p.png) [y](javascript:z) | a | b | `c` **d** "
    "_e_ ~~f~~ $g$ :tada: www.evil.example https://evil.example/h </code></details> &lt;i&gt; \\ \u202e\x1b[31m\n\n# j"
)

LONGEST_COMMENT = 65_536
"""Characters that GitHub takes in a comment."""


def result(verdicts: Verdicts) -> ResultFile:
    """What would be read back from the verdicts' file."""
    return of_json(json.loads(json.dumps(verdicts.as_json())), Path("verdicts.json"))


def rendered(text: str) -> html.HtmlElement:
    """The summary as it is shown: CommonMark with tables, and HTML let through as those do who then clean it."""
    shown = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(text)
    return html.document_fromstring(f"<body>{shown}</body>")


def test_it_tells_what_was_broken_and_where_that_stands() -> None:
    """A MUST comes before a SHOULD, with its text, a link to its place, what was seen, and how to run it again."""
    text = markdown.summary(result(runs.verdicts()))
    page = rendered(text)
    assert text.startswith("## popreceipt: ✘ 1 promise broken\n")
    told = page.xpath("//h3[. = 'Violated']/following-sibling::ul[1]/li")
    assert [item.xpath("string(.//strong)") for item in told] == [runs.HALF_HOUR, runs.SHOULD]
    first = told[0].text_content()
    assert find(runs.HALF_HOUR).text in first
    assert "back after at most 0:29:59 (exchanges 1, 3)" in first.replace("\n", " ")
    assert "popreceipt replay bundles/half-an-hour" in first
    assert "and 3 more findings" in first
    [place] = told[0].xpath(".//a/@href")
    assert place.startswith("https://learn.microsoft.com/")
    assert place.endswith("/recurring-integrations#api-for-acknowledgment")


def test_the_table_adds_up() -> None:
    """A row a chapter, a column an outcome; the first row is the sum of the others and of all rules."""
    verdicts = runs.verdicts()
    rows = rendered(markdown.summary(result(verdicts))).xpath("//table//tr")
    figures = [[int(cell.text_content() or 0) for cell in row.xpath("td")[1:]] for row in rows[1:]]
    assert figures[0] == [sum(column) for column in zip(*figures[1:], strict=True)]
    summary = verdicts.summary()
    assert figures[0] == [summary[each] for each in ("violated", "undecided", "held", "answered", "unexercised")]
    assert len(rows) - 2 == len({each.chapter for each in catalogue()})


def test_no_rule_and_no_reason_is_lost() -> None:
    """What is undecided, what was not exercised and why, what was answered, and what a search found."""
    words = rendered(markdown.summary(result(runs.verdicts()))).text_content()
    for told in (
        "redelivery.after-half-an-hour (MUST): cannot tell",
        "tenant:qa lacks batch",
        f"{runs.STALE}: 404",
        "no-server-fault (fuzz, MUST): 500",
        "Noted.",
    ):
        assert told in " ".join(words.split())


def test_no_words_of_others_become_markup() -> None:
    """Whatever a target said is text in code: no element, link or picture, nobody addressed, no cell added."""
    known = rendered(markdown.summary(result(runs.verdicts()), result(runs.verdicts(seed=8))))
    told = rendered(markdown.summary(result(runs.verdicts(EVIL)), result(runs.verdicts(EVIL, seed=8))))

    def shape(page: html.HtmlElement) -> list[str]:
        """Every element but items and the code in them, of which longer words leave room for fewer."""
        return [each.tag for each in page.iter() if isinstance(each.tag, str) and each.tag not in ("li", "code")]

    assert shape(told) == shape(known)
    assert [each.getparent().tag for each in told.iter("code")].count("td") == 0
    assert told.xpath("//@href") == known.xpath("//@href")
    for code in told.xpath("//code"):
        code.drop_tree()
    outside = told.text_content()
    assert "@" not in outside
    assert "#" not in outside
    assert "evil" not in outside


def test_the_words_can_still_be_read() -> None:
    """Signs that mean something to Markdown are shown as they are; those that act unseen are shown by number."""
    words = rendered(markdown.summary(result(runs.verdicts(EVIL)))).text_content()
    assert "back after at most 0:29:59<script>alert(1)</script> @everyone #12 ![x](http://evil.example/p.png)" in words
    assert "⟨U+202E⟩⟨U+001B⟩[31m # j" in words


def test_a_summary_fits_into_a_comment() -> None:
    """However much went wrong; what had no room is counted."""
    loud = "*" * 3_000
    worst = [
        runs.verdict(each, Outcome.VIOLATED, [Finding(Outcome.VIOLATED, loud, tuple(range(99)))] * 9, bundle=loud)
        for each in catalogue()
    ]
    for place, outcome in enumerate((Outcome.UNDECIDED, Outcome.UNEXERCISED, Outcome.ANSWERED)):
        worst += [
            runs.verdict(each, outcome, reason=f"{place}{number}{loud}", answer=loud)
            for number, each in enumerate(catalogue())
        ]
    failures = tuple(
        SuiteFailure("fuzz", loud, f"{number}{loud}", find(runs.HALF_HOUR).level, loud, loud) for number in range(99)
    )
    whole = result(runs.verdicts(rules=tuple(worst), failures=failures, notes=(loud,) * 99))
    text = markdown.summary(whole, result(runs.verdicts(rules=())))
    assert len(text) < markdown.LONGEST < LONGEST_COMMENT
    counted = [int(each) for each in re.findall(r"… and (\d+) more", text)]
    assert len(counted) >= 6
    assert min(counted) > 0


@pytest.mark.parametrize(
    ("facts", "answer"),
    [
        ({"rules": ()}, "! nothing was proved"),
        ({"failures": ()}, "✘ 1 promise broken"),
        ({"complete": False, "failures": ()}, "✘ 1 promise broken"),
    ],
)
def test_the_answer_stands_at_the_top(facts: dict[str, object], answer: str) -> None:
    """What a reader came for; a run that proved nothing is not told as one that went well."""
    verdicts = runs.verdicts(**({"failures": ()} | facts))
    assert markdown.summary(result(verdicts)).splitlines()[0] == f"## popreceipt: {answer}"


def test_what_is_not_complete_is_no_pass() -> None:
    """A run that was cut off says so in its first line, and where a promise was broken below it."""
    held = tuple(each for each in runs.verdicts().rules if each.outcome is Outcome.HELD)
    cut = runs.verdicts(rules=held, failures=(), complete=False)
    assert "not complete: this is no pass" in markdown.summary(result(cut)).splitlines()[0]
    assert "**Not complete:**" in markdown.summary(result(runs.verdicts(complete=False)))
    whole = runs.verdicts(rules=held, failures=(), complete=True)
    assert markdown.summary(result(whole)).startswith("## popreceipt: ✔ no promise broken\n")


def test_it_is_held_against_an_earlier_run() -> None:
    """What became worse, what became better, and whether the two are alike enough to be compared."""
    better = tuple(
        runs.verdict(runs.HALF_HOUR, Outcome.HELD) if each.id == runs.HALF_HOUR else each
        for each in runs.verdicts().rules
    )
    now, before = result(runs.verdicts()), result(runs.verdicts(rules=better, seed=3, failures=()))
    told = " ".join(rendered(markdown.summary(now, before)).text_content().split())
    assert f"worse: {runs.HALF_HOUR} newly violated" in told
    assert "another seed: 3 then, 7 now" in told
    assert "worse: fuzz: no-server-fault is found now" in told
    told = " ".join(rendered(markdown.summary(before, now)).text_content().split())
    assert f"better: {runs.HALF_HOUR} no longer violated" in told
    assert "nothing changed" in markdown.summary(before, before)


def test_the_command_prints_it_for_the_summary_of_a_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Standard output has the summary and nothing else, so that it can be sent on."""
    runs.leave(tmp_path / "now")
    with pytest.raises(SystemExit) as ended:
        run(["report", str(tmp_path / "now"), "--markdown", "-", "--previous", str(tmp_path / "now")])
    assert ended.value.code == 0
    said = capsys.readouterr()
    assert said.out.startswith("## popreceipt: ✘ 1 promise broken\n")
    assert "nothing changed" in said.out
    assert not (tmp_path / "now" / "report.html").exists()


def test_a_file_that_cannot_be_written_is_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence, and status 2."""
    runs.leave(tmp_path / "now")
    with pytest.raises(SystemExit) as ended:
        run(["report", str(tmp_path / "now"), "--markdown", str(tmp_path / "now" / "verdicts.json" / "s.md")])
    assert ended.value.code == 2
    assert "Cannot write" in capsys.readouterr().err
