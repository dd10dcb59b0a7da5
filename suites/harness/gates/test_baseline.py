"""The baseline file: what may stand in it, and a sentence for whatever is wrong."""

import json
import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from popreceipt import resources
from popreceipt.exceptions import UsageError
from popreceipt.gates import baseline as baselines
from popreceipt.gates.baseline import FORMAT, parse
from popreceipt.gates.updating import BEGINNING
from popreceipt.verdict import Outcome

SCHEMA = Draft202012Validator(
    json.loads((resources.specs() / "baseline.schema.json").read_text(encoding="utf-8")), format_checker=FormatChecker()
)

WHOLE = f"""\
format = "{FORMAT}"

[gate]
target = "http://127.0.0.1:*"
answers = "fail"
recommendations = "report"
longest_days = 90

[[accepted]]
rule = "redelivery.not-before-half-an-hour"
message = "back after at most *"
owner = "team-a"
issue = "https://example.com/17"
expires = 2027-01-31
scenario = "export-file"
outcome = "undecided"
reason = "the gateway is slow"

[seen]
kind = "middleware"
target = "python client.py"
binds = "client"
suites = ["fuzz"]
operations = ["enqueue"]

[seen.recommended]
processing_minutes = 5.0

[seen.outcomes]
"redelivery.not-before-half-an-hour" = "held"

[seen.answers]
"dequeue.empty-queue" = "204"

[seen.scenarios."export-file"]
held = ["redelivery.not-before-half-an-hour"]
"""


SEEN_BY_CODE_ALONE = {
    'expires = "2027-01-31"',
    'owner = " "',
    'issue = "-"',
    'message = "* after *"',
}
"""What a schema of JSON cannot tell from what is right."""


def as_json(text: str) -> Any:
    """A TOML text as JSON: days as text."""
    return json.loads(json.dumps(tomllib.loads(text), default=lambda day: day.isoformat()))


def test_a_whole_file_is_read() -> None:
    """Settings, entries and what was seen."""
    read = parse(WHOLE, Path("b.toml"))
    assert (read.settings.target, read.settings.answers, read.settings.longest_days) == (
        "http://127.0.0.1:*",
        "fail",
        90,
    )
    (entry,) = read.accepted
    assert (entry.expires, entry.outcome, entry.scenario) == (date(2027, 1, 31), Outcome.UNDECIDED, "export-file")
    assert read.seen is not None
    assert read.seen.outcomes == read.seen.scenarios["export-file"] == {entry.rule: Outcome.HELD}
    assert read.seen.recommended == {"processing_minutes": 5.0}


@pytest.mark.parametrize(
    ("what", "instead", "words"),
    [
        (f'format = "{FORMAT}"', 'format = "popreceipt/baseline@2"', "must say format"),
        (f'format = "{FORMAT}"', "", "must say format"),
        ("expires = 2027-01-31", 'expires = "2027-01-31"', "written without quotes"),
        ("expires = 2027-01-31", "expires = 2027-01-31T00:00:00Z", "written without quotes"),
        ("expires = 2027-01-31", "expirs = 2027-01-31", "did you mean expires?"),
        ("expires = 2027-01-31", "", "lacks expires"),
        ('owner = "team-a"', "", "lacks owner"),
        ('owner = "team-a"', 'owner = " "', "owner is some words"),
        ('issue = "https://example.com/17"', 'issue = "-"', "issue is some words"),
        ('message = "back after at most *"', 'message = "* after *"', "let nearly everything pass"),
        ('message = "back after at most *"', "message = 5", "message is some words"),
        ('outcome = "undecided"', 'outcome = "held"', "outcome is"),
        ("[[accepted]]", "[accepted]", "[[accepted]]"),
        ('answers = "fail"', "answers = true", '"fail" or "report"'),
        ("longest_days = 90", "longest_days = 0", "above 0"),
        ("longest_days = 90", "longest_days = true", "above 0"),
        ('kind = "middleware"', 'kind = "poems"', "kind is one of"),
        ('"redelivery.not-before-half-an-hour" = "held"', '"redelivery.not-before-half-an-hour" = "fine"', "outcome"),
        ('held = ["redelivery.not-before-half-an-hour"]', 'held = "all"', "list of names"),
        ('suites = ["fuzz"]', "suites = 1", "list of names"),
        ("processing_minutes = 5.0", 'processing_minutes = "five"', "numbers of minutes"),
        ("[gate]", "[gates]", "did you mean gate?"),
        ("[gate]", "[gate", "no TOML"),
    ],
)
def test_whatever_is_wrong_is_told_by_its_place(what: str, instead: str, words: str) -> None:
    """Nobody's typing error switches a check off, and the schema for editors says the same."""
    assert WHOLE.count(what) == 1
    wrong = WHOLE.replace(what, instead)
    with pytest.raises(UsageError) as refused:
        parse(wrong, Path("b.toml"))
    assert words in str(refused.value)
    assert "b.toml" in str(refused.value)
    if words != "no TOML":
        assert SCHEMA.is_valid(as_json(wrong)) is (instead in SEEN_BY_CODE_ALONE)


def test_the_schema_is_one_and_fits_what_is_read_and_what_is_begun() -> None:
    """Both files that people see first."""
    Draft202012Validator.check_schema(SCHEMA.schema)
    SCHEMA.validate(as_json(WHOLE))
    SCHEMA.validate(as_json(BEGINNING))
    assert parse(BEGINNING, Path("b.toml")).seen is None


def test_the_example_in_the_beginning_can_be_used() -> None:
    """Whoever takes the comment signs away has an entry."""
    lines = [line.removeprefix("# ") for line in BEGINNING.splitlines() if line.startswith("# ") and " = " in line]
    example = "\n".join(
        line for line in lines if line.partition(" ")[0] in ("rule", "message", "owner", "issue", "expires")
    )
    (entry,) = parse(f"{BEGINNING}\n[[accepted]]\n{example}", Path("b.toml")).accepted
    assert entry.owner == "team-integrations"


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """None there, a folder, or no text."""
    none, folder, bytes_ = tmp_path / "none.toml", tmp_path / "folder.toml", tmp_path / "bytes.toml"
    folder.mkdir()
    bytes_.write_bytes(b"\xff\xfe")
    for path in (none, folder, bytes_):
        with pytest.raises(UsageError, match=path.name):
            baselines.read(path)


def test_a_mark_at_the_beginning_is_no_matter(tmp_path: Path) -> None:
    """Editors on Windows write one."""
    path = tmp_path / "baseline.toml"
    path.write_bytes(b"\xef\xbb\xbf" + WHOLE.replace("\n", "\r\n").encode())
    assert len(baselines.read(path).accepted) == 1
