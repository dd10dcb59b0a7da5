"""What `--update` writes: never an uncovered finding, never less than was seen, never over a person's words."""

import json
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from popreceipt import resources
from popreceipt.gates import baseline as baselines
from popreceipt.rules import catalogue
from popreceipt.verdict import Level, Outcome

from .conftest import BACK, EMPTY, Cli, Made, entry

ANSWERS = ("--owner", "team-a", "--issue", "https://example.com/17", "--expires", "2026-12-31")


def seen(path: Path) -> baselines.Seen:
    """What a baseline says was seen."""
    found = baselines.read(path).seen
    assert found is not None
    return found


def test_an_update_quietly_accepts_nothing(made: Made, baseline: Path, cli: Cli) -> None:
    """A violation is listed, ends with 1, and is not written down as anything."""
    before = baseline.read_bytes()
    status, out, _ = cli(
        made.ends(BACK, Outcome.VIOLATED, "back at once, twice").write(), "--baseline", baseline, "--update"
    )
    assert status == 1
    assert "back at once, twice" in out
    assert baseline.read_bytes() == before


def test_a_new_baseline_of_a_broken_target_fails_from_the_beginning(made: Made, cli: Cli) -> None:
    """It is made, without what is broken, and that goes on failing."""
    path = made.folder / "baseline.toml"
    result = made.ends(BACK, Outcome.VIOLATED, "back at once, twice").write()
    assert cli(result, "--baseline", path, "--update")[0] == 1
    assert BACK not in seen(path).outcomes
    assert seen(path).outcomes[EMPTY] is Outcome.ANSWERED
    assert cli(result, "--baseline", path)[0] == 1


def test_findings_are_accepted_by_name_with_owner_issue_and_last_day(made: Made, baseline: Path, cli: Cli) -> None:
    """An entry for each message that is unlike the others; from then on the gate passes, and the fall is written."""
    messages = ("back after at most 0:12:00", "back after at most 0:13:00", "handed out twice at once")
    result = made.ends(BACK, Outcome.VIOLATED, *messages).write()
    for missing in range(0, 6, 2):
        options = ANSWERS[:missing] + ANSWERS[missing + 2 :]
        assert cli(result, "--baseline", baseline, "--update", "--accept", BACK, *options)[0] == 2
    assert baselines.read(baseline).accepted == ()
    status, _, err = cli(result, "--baseline", baseline, "--update", "--accept", BACK, *ANSWERS)
    assert status == 0, err
    assert [each.message for each in baselines.read(baseline).accepted] == [
        "back after at most *",
        "handed out twice at once",
    ]
    assert seen(baseline).outcomes[BACK] is Outcome.VIOLATED
    assert cli(result, "--baseline", baseline)[0] == 0


def test_only_what_is_named_is_accepted(made: Made, baseline: Path, cli: Cli) -> None:
    """The other rule goes on failing; one without a finding cannot be accepted."""
    other = next(each.id for each in catalogue() if each.level is Level.MUST and each.id != BACK)
    made.ends(BACK, Outcome.VIOLATED, "back after at most 1").ends(other, Outcome.VIOLATED, "something else is wrong")
    result = made.write()
    assert cli(result, "--baseline", baseline, "--update", "--accept", BACK, *ANSWERS)[0] == 1
    (only,) = baselines.read(baseline).accepted
    assert only.rule == BACK
    assert cli(result, "--baseline", baseline, "--update", "--accept", BACK, *ANSWERS)[0] == 2
    assert cli(result, "--baseline", baseline, "--update", "--accept", EMPTY, *ANSWERS)[0] == 2


def test_an_acceptance_with_a_pattern_of_ones_own_takes_what_it_matches(made: Made, baseline: Path, cli: Cli) -> None:
    """One that would match everything is refused, and nothing is written."""
    result = made.ends(BACK, Outcome.VIOLATED, "back after at most 1", "handed out twice at once").write()
    before = baseline.read_bytes()
    asked = (result, "--baseline", baseline, "--update", "--accept", BACK, *ANSWERS, "--message")
    assert cli(*asked, "*")[0] == 2
    assert baseline.read_bytes() == before
    assert cli(*asked, "back after *")[0] == 1
    assert [each.message for each in baselines.read(baseline).accepted] == ["back after *"]


def test_a_last_day_too_far_ahead_is_not_accepted_quietly(made: Made, baseline: Path, cli: Cli) -> None:
    """It is written as it was asked for, and fails."""
    result = made.ends(BACK, Outcome.VIOLATED, "back after at most 1").write()
    asked = (*ANSWERS[:-1], "9999-12-31")
    assert cli(result, "--baseline", baseline, "--update", "--accept", BACK, *asked)[0] == 1


@pytest.mark.parametrize("shrink", [(), ("--shrink",)])
def test_what_became_less_is_written_only_when_that_was_asked_for(
    made: Made, baseline: Path, cli: Cli, shrink: tuple[str, ...]
) -> None:
    """A rule no longer exercised, one no longer decided, a suite that did not run."""
    made.ends(BACK, Outcome.UNDECIDED, "hidden for 29 to 31 minutes").ends(EMPTY, Outcome.UNEXERCISED)
    made.suites = {}
    result = made.write()
    assert cli(result, "--baseline", baseline, "--update", *shrink)[0] == (0 if shrink else 1)
    known = seen(baseline)
    assert known.outcomes[BACK] is (Outcome.UNDECIDED if shrink else Outcome.HELD)
    assert (EMPTY in known.outcomes, EMPTY in known.answers) == ((False, False) if shrink else (True, True))
    assert known.suites == (() if shrink else ("fuzz",))
    assert cli(result, "--baseline", baseline, "--shrink")[0] == 2


def test_what_became_better_and_what_is_new_is_written(made: Made, cli: Cli) -> None:
    """From then on it must stay so."""
    path = made.folder / "baseline.toml"
    made.ends(BACK, Outcome.UNDECIDED, "hidden for 29 to 31 minutes").ends(EMPTY, Outcome.UNEXERCISED)
    assert cli(made.write(), "--baseline", path, "--update")[0] == 0
    made.said.clear()
    made.suites |= {"lifecycle": {"examples": 1}}
    assert cli(made.write(), "--baseline", path, "--update")[0] == 0
    known = seen(path)
    assert (known.outcomes[BACK], known.answers[EMPTY], known.suites) == (Outcome.HELD, "yes", ("fuzz", "lifecycle"))


def test_a_changed_answer_is_written(made: Made, baseline: Path, cli: Cli) -> None:
    """Who updates has seen it: it is in the change that is reviewed."""
    made.ends(EMPTY, Outcome.ANSWERED, answer="200-empty")
    assert cli(made.write(), "--baseline", baseline, "--update")[0] == 0
    assert seen(baseline).answers[EMPTY] == "200-empty"


def test_an_update_keeps_what_people_wrote(made: Made, baseline: Path, cli: Cli) -> None:
    """Comments, order and spelling, also in the part that is kept by the machine; only what changed is another line."""
    entry(baseline, reason='"slow"   # until the new gateway')
    text = baseline.read_text().replace("[seen.outcomes]", "# what was seen\n[seen.outcomes] # of each rule")
    baseline.write_text(text)
    made.ends(BACK, Outcome.VIOLATED, "back after at most 1").ends(EMPTY, Outcome.ANSWERED, answer="200-empty")
    assert cli(made.write(), "--baseline", baseline, "--update")[0] == 0
    lines, before = baseline.read_text().splitlines(), text.splitlines()
    assert [(old, new) for old, new in zip(before, lines, strict=True) if old != new] == [
        (f'"{BACK}" = "held"', f'"{BACK}" = "violated"'),
        (f'"{EMPTY}" = "yes"', f'"{EMPTY}" = "200-empty"'),
    ]


def test_an_update_that_changes_nothing_leaves_every_byte(made: Made, baseline: Path, cli: Cli) -> None:
    """Line ends of Windows as well."""
    baseline.write_bytes(baseline.read_bytes().replace(b"\n", b"\r\n"))
    before = baseline.read_bytes()
    assert cli(made.write(), "--baseline", baseline, "--update")[0] == 0
    assert baseline.read_bytes() == before


def test_an_update_keeps_line_ends_and_the_files_rights(made: Made, baseline: Path, cli: Cli) -> None:
    """Where something did change."""
    baseline.write_bytes(baseline.read_bytes().replace(b"\n", b"\r\n"))
    baseline.chmod(0o640)
    made.ends(EMPTY, Outcome.ANSWERED, answer="200-empty")
    assert cli(made.write(), "--baseline", baseline, "--update")[0] == 0
    assert baseline.read_bytes().count(b"\n") == baseline.read_bytes().count(b"\r\n") > 100
    assert baseline.stat().st_mode & 0o777 == 0o640
    assert [each.name for each in made.folder.iterdir() if each.name.startswith(".")] == []


def test_another_target_is_not_written_unless_that_was_asked_for(made: Made, baseline: Path, cli: Cli) -> None:
    """The file is of the one that was seen."""
    made.target = "a server at http://127.0.0.1:9000"
    assert cli(made.write(), "--baseline", baseline, "--update")[0] == 2
    assert seen(baseline).target == "a server at http://127.0.0.1:8000"
    assert cli(made.write(), "--baseline", baseline, "--update", "--another-target")[0] == 0
    assert seen(baseline).target == made.target


def test_words_of_strangers_are_written_so_that_a_file_can_hold_them(made: Made, baseline: Path, cli: Cli) -> None:
    """Controls and halves of characters become stars; where nothing else is left, somebody has to say a pattern."""
    evil = 'answered \x1b[2J and \ud800 and\n\u202e"]]] to everything'
    result = made.ends(BACK, Outcome.VIOLATED, evil).write()
    assert cli(result, "--baseline", baseline, "--update", "--accept", BACK, *ANSWERS)[0] == 0
    assert "\x1b" not in baseline.read_text()
    before = baseline.read_bytes()
    result = made.ends(EMPTY, Outcome.VIOLATED, "\ud800").write()
    status, _, err = cli(result, "--baseline", baseline, "--update", "--accept", EMPTY, *ANSWERS)
    assert status == 2
    assert "say with --message" in err
    assert baseline.read_bytes() == before


def to_a_folder(path: Path) -> None:
    path.mkdir()


def to_a_wrong_file(path: Path) -> None:
    path.write_text("[seen\n")


@pytest.mark.parametrize("spoil", [to_a_folder, to_a_wrong_file])
def test_a_baseline_that_cannot_be_written_is_named(made: Made, cli: Cli, spoil: Callable[[Path], None]) -> None:
    """Status 2, and a sentence."""
    path = made.folder / "other.toml"
    spoil(path)
    status, _, err = cli(made.write(), "--baseline", path, "--update")
    assert status == 2
    assert "other.toml" in err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "--baseline"),
        (("--baseline", "none.toml"), "--update"),
        (("--baseline", "none.toml", "--accept", BACK), "--update"),
        (("--before", "x.json", "--baseline", "b.toml"), "leave out"),
        (("--before", "x.json"), "no load result"),
    ],
)
def test_options_that_do_not_fit_together_are_wrong_usage(
    made: Made, cli: Cli, options: tuple[str, ...], words: str
) -> None:
    """Each with what to do instead."""
    status, _, err = cli(made.write(), *options)
    assert status == 2
    assert words in err


def test_what_is_written_is_toml_of_the_schema(made: Made, baseline: Path, cli: Cli) -> None:
    """Also with an entry in it."""
    schema = json.loads((resources.specs() / "baseline.schema.json").read_text(encoding="utf-8"))
    result = made.ends(BACK, Outcome.VIOLATED, "back after at most 1").write()
    assert cli(result, "--baseline", baseline, "--update", "--accept", BACK, *ANSWERS)[0] == 0
    written: Any = json.loads(json.dumps(tomllib.loads(baseline.read_text()), default=str))
    Draft202012Validator(schema).validate(written)
    assert len(written["accepted"]) == 1


def test_without_tomlkit_nothing_is_written_and_everything_is_read(
    made: Made, baseline: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gate itself needs no more than the core."""
    for name in [
        each for each in sys.modules if each.partition(".")[0] == "tomlkit" or each == "popreceipt.gates.updating"
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tomlkit", None)
    assert cli(made.write(), "--baseline", baseline)[0] == 0
    status, _, err = cli(made.write(), "--baseline", baseline, "--update")
    assert status == 2
    assert 'pip install "popreceipt[gate]"' in err
