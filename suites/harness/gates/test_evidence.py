"""Results that prove nothing: cut off, empty, changed by hand, put together, or no results at all."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from popreceipt.verdict import Outcome

from .conftest import BACK, EMPTY, Cli, Made, Played

Change = Callable[[dict[str, Any]], object]


def row(content: dict[str, Any], rule: str = BACK) -> dict[str, Any]:
    """The verdict on a rule."""
    found: dict[str, Any] = next(each for each in content["rules"] if each["id"] == rule)
    return found


def counted(content: dict[str, Any]) -> None:
    """Make the summary fit."""
    content["summary"] = {
        name: sum(each["outcome"] == name for each in content["rules"]) for name in content["summary"]
    }


def held(content: dict[str, Any]) -> None:
    row(content)["outcome"] = "held"


def held_with_care(content: dict[str, Any]) -> None:
    held(content)
    counted(content)


def without_findings(content: dict[str, Any]) -> None:
    row(content)["findings"] = []


def twice(content: dict[str, Any]) -> None:
    content["rules"].append(row(content, EMPTY))
    counted(content)


def never_met(content: dict[str, Any]) -> None:
    row(content, EMPTY)["situations"] = 0


def no_answer(content: dict[str, Any]) -> None:
    row(content, EMPTY)["answer"] = None


def another_chapter(content: dict[str, Any]) -> None:
    row(content)["chapter"] = "status"


def only_inferred(content: dict[str, Any]) -> None:
    row(content)["provenance"] = "inferred"


def gave_no_reason(content: dict[str, Any]) -> None:
    row(content, EMPTY).update(outcome="unexercised", situations=0, answer=None, reason=None)
    counted(content)


def sealed_and_more(content: dict[str, Any]) -> None:
    content["rules"] = content.pop("rules")


def without_summary(content: dict[str, Any]) -> None:
    del content["summary"]


def without_target(content: dict[str, Any]) -> None:
    del content["target"]


def of_another_level(content: dict[str, Any]) -> None:
    row(content)["level"] = "MAYBE"


def only_a_recommendation(content: dict[str, Any]) -> None:
    row(content)["level"] = "SHOULD"


def no_list(content: dict[str, Any]) -> None:
    content["rules"] = {}


@pytest.mark.parametrize(
    "change",
    [
        held,
        held_with_care,
        without_findings,
        twice,
        never_met,
        no_answer,
        another_chapter,
        only_inferred,
        gave_no_reason,
        sealed_and_more,
        without_summary,
        without_target,
        of_another_level,
        only_a_recommendation,
        no_list,
    ],
)
def test_a_result_that_contradicts_itself_proves_nothing(made: Made, baseline: Path, cli: Cli, change: Change) -> None:
    """A violation is made to disappear, or something is put together by hand: 3, and never 0; nothing is written."""
    made.ends(BACK, Outcome.VIOLATED, "back after at most 1", "back at once")
    result = made.write(change=change)
    before = baseline.read_bytes()
    assert cli(result, "--baseline", baseline)[0] == 3
    assert cli(result, "--baseline", baseline, "--update")[0] == 3
    assert baseline.read_bytes() == before


def test_a_result_is_cut_off_at_any_place(made: Made, baseline: Path, cli: Cli) -> None:
    """None of its beginnings passes."""
    text = made.write().read_text()
    cut = made.folder / "cut.json"
    for place in (0, 1, 20, len(text) // 2, len(text) - 20, len(text) - 1):
        cut.write_text(text[:place])
        assert cli(cut, "--baseline", baseline)[0] == 3, place


@pytest.mark.parametrize(
    "text", ["null", "[]", "{}", "1", '"popreceipt/verdicts@1"', '{"format": "popreceipt/poems@1"}']
)
def test_what_is_no_result_is_wrong_usage(made: Made, baseline: Path, cli: Cli, text: str) -> None:
    """Somebody named another file."""
    path = made.folder / "other.json"
    path.write_text(text)
    assert cli(path, "--baseline", baseline)[0] == 2


def test_a_member_that_stands_there_twice_is_damage(made: Made, baseline: Path, cli: Cli) -> None:
    """Readers see the last one; a person may see the first."""
    made.complete = False
    path = made.write()
    path.write_text(path.read_text().removesuffix("}") + ', "complete": true}')
    status, _, err = cli(path, "--baseline", baseline)
    assert status == 3
    assert "twice" in err


def test_an_incomplete_result_never_passes(made: Made, baseline: Path, cli: Cli) -> None:
    """Complete has to be true, and nothing that is like it. What was found convicts all the same."""
    made.complete = False
    assert cli(made.write(), "--baseline", baseline)[0] == 3
    assert cli(made.write(), "--baseline", baseline, "--update")[0] == 3
    made.complete = True
    for value in (False, None, 1, "true"):
        assert (
            cli(made.write(change=lambda content, value=value: content.update(complete=value)), "--baseline", baseline)[
                0
            ]
            == 3
        )
    assert cli(made.write(change=lambda content: content.pop("complete")), "--baseline", baseline)[0] == 3
    made.complete = False
    made.ends(BACK, Outcome.VIOLATED, "back at once")
    assert cli(made.write(), "--baseline", baseline)[0] == 1


def test_an_empty_result_never_passes(made: Made, baseline: Path, cli: Cli) -> None:
    """No rules, or none of them exercised; also beside a baseline that has seen nothing."""
    nothing = made.write("nothing.json", lambda content: (content.update(rules=[]), counted(content)))
    for each in made.rules():
        made.ends(each.id, Outcome.UNEXERCISED)
    unexercised = made.write("unexercised.json")
    fresh = made.folder / "fresh.toml"
    fresh.write_text('format = "popreceipt/baseline@1"\n')
    for result in (nothing, unexercised):
        for file in (baseline, fresh):
            assert cli(result, "--baseline", file)[0] == 3
    assert cli(nothing, "--baseline", made.folder / "new.toml", "--update")[0] == 3
    assert not (made.folder / "new.toml").exists()


def test_a_middleware_result_whose_scenarios_say_something_else_proves_nothing(played: Played, cli: Cli) -> None:
    """The verdict of all is the worst of each."""
    path = played.folder / "middleware.toml"
    assert cli(played.write("first.json"), "--baseline", path, "--update")[0] == 0

    def violated_below(content: dict[str, Any]) -> None:
        found = content["scenarios"][0]["rules"][0]
        found |= {
            "outcome": "violated",
            "findings": [{"outcome": "violated", "message": "lost", "exchanges": [1], "bundle": None}],
        }

    def played_twice(content: dict[str, Any]) -> None:
        content["scenarios"].append(content["scenarios"][0])

    for change in (violated_below, played_twice):
        assert cli(played.write(change=change), "--baseline", path)[0] == 3


def test_a_result_is_found_in_its_folder(made: Made, baseline: Path, cli: Cli) -> None:
    """By its usual name; where there are several nobody guesses."""
    made.write()
    assert cli(made.folder, "--baseline", baseline)[0] == 0
    (made.folder / "load.json").write_text("{}")
    status, _, err = cli(made.folder, "--baseline", baseline)
    assert status == 2
    assert "several" in err
    assert cli(made.folder / "missing", "--baseline", baseline)[0] == 2


def test_words_of_strangers_are_shown_and_never_obeyed(made: Made, baseline: Path, cli: Cli) -> None:
    """No escape reaches the terminal, no markup the summary."""
    evil = "\x1b[2J[bold]x[/bold] | <script>alert(1)</script> [a](http://e.example) @everyone `x` \u202e"
    result = made.ends(BACK, Outcome.VIOLATED, evil).write()
    status, out, _ = cli(result, "--baseline", baseline)
    assert status == 1
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "[bold]x[/bold]" in out
    status, out, _ = cli(result, "--baseline", baseline, "--markdown", "-")
    assert status == 1
    assert "<script" not in out
    assert "\x1b" not in out
    assert "](http" not in out
    assert "@everyone" not in out
    (line,) = (each for each in out.splitlines() if BACK.replace("-", r"\-").replace(".", r"\.") in each)
    assert line.replace(r"\|", "").count("|") == 4


def test_the_summary_is_written_where_it_was_asked_for(made: Made, baseline: Path, cli: Cli) -> None:
    """Beside the table; where it cannot be, that is wrong usage."""
    summary = made.folder / "deep" / "gate.md"
    status, out, _ = cli(made.write(), "--baseline", baseline, "--markdown", summary)
    assert status == 0
    assert "passed" in out
    assert summary.read_text().startswith("### ✔ Gate passed")
    assert cli(made.write(), "--baseline", baseline, "--markdown", made.folder)[0] == 2
    assert cli(made.write(), "--baseline", baseline, "--markdown", "-", "--json")[0] == 2


def test_a_summary_stays_short_enough_for_a_pull_request(made: Made, baseline: Path, cli: Cli) -> None:
    """However much was found."""
    for each in made.rules():
        made.ends(each.id, Outcome.VIOLATED, *("long words " * 100 + f"number {n}" for n in range(5)))
    out = cli(made.write(), "--baseline", baseline, "--markdown", "-")[1]
    assert len(out) < 65_536
    assert json.dumps(out).count("more |") == 1
