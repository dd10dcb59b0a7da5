"""A violation in a folder: whoever gets it needs nothing else, and finds no secret in it."""

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from lxml import etree

from popreceipt import resources
from popreceipt.journal import JournalFile
from popreceipt.middleware import bundle, matrix, reading
from popreceipt.middleware.played import Exit
from popreceipt.middleware.scenario import Scenario
from popreceipt.rules import catalogue, find
from popreceipt.rules.readings import Readings
from popreceipt.verdict import Binds, Outcome, judge

from .played_back import of_fixture, violated

COMMAND = ["popreceipt", "middleware", "--scenario", "export-package", "--", "python", "my middleware.py"]

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJlLWNhbmFyeQ"

SCENARIOS = {
    **{each.name: each for each in reading.read_folder(resources.fixtures() / "scenarios")},
    **{each.name: each for each in matrix.matrix()},
}


@pytest.fixture
def written(tmp_path: Path) -> dict[str, Path]:
    one = of_fixture(
        "acknowledgment/after-storing.violated",
        output_tail=f"fetching\nusing {JWT}\n\x1b[31mdone",
        exits=(Exit(status=0, seconds=1.0), Exit(status=-15, seconds=2.0, by_us=True)),
    )
    return bundle.write(one, tmp_path / "bundles", COMMAND)


def test_a_bundle_for_each_violated_rule(written: dict[str, Path], tmp_path: Path) -> None:
    """In a folder of the rule's name, with everything in it."""
    assert set(written) == set(violated(of_fixture("acknowledgment/after-storing.violated")))
    assert "acknowledgment.after-storing" in written
    for rule, folder in written.items():
        assert folder == tmp_path / "bundles" / rule
        assert {each.name for each in folder.iterdir()} == {
            bundle.README,
            bundle.SCENARIO,
            bundle.JOURNAL,
            bundle.TIMELINE,
            bundle.PICTURE,
            bundle.OUTPUT,
        }


def test_the_readme_says_what_was_expected_what_was_seen_and_how_to_play_it_again(written: dict[str, Path]) -> None:
    """The rule's text and source, the finding with its exchanges, the timeline, and the command."""
    rule = find("acknowledgment.after-storing")
    text = (written[rule.id] / bundle.README).read_text(encoding="utf-8")
    for expected in (
        rule.text,
        str(rule.source),
        rule.reading,
        "/api/connector/ack/",
        "ack: acknowledges the message: 200",
        "popreceipt middleware --scenario export-package -- python 'my middleware.py'",
        "its processes ended with 0, -15 (the scenario was over)",
    ):
        assert expected in text
    assert (written[rule.id] / bundle.TIMELINE).read_text(encoding="utf-8").rstrip("\n") in text


def test_the_journal_of_a_bundle_is_judged_alike(written: dict[str, Path]) -> None:
    """It is whole, and the rule is violated in it."""
    for rule, folder in written.items():
        file = JournalFile(folder / bundle.JOURNAL)
        readings = Readings(file.header, file)
        outcomes = {each.id: each.outcome for each in judge(readings, catalogue(Binds.CLIENT))}
        assert file.complete
        assert outcomes[rule] is Outcome.VIOLATED


def test_the_picture_is_a_file_of_its_own(written: dict[str, Path]) -> None:
    """It can be opened without a page around it."""
    root = etree.parse(written["acknowledgment.after-storing"] / bundle.PICTURE).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"


def test_a_token_that_a_subject_wrote_to_its_output_stays_out(written: dict[str, Path]) -> None:
    """What else it wrote is there."""
    for folder in written.values():
        text = (folder / bundle.OUTPUT).read_text(encoding="utf-8")
        assert "fetching" in text
        assert "redacted:" in text
        for file in folder.iterdir():
            assert JWT.encode() not in file.read_bytes()


def test_nothing_violated_leaves_nothing(tmp_path: Path) -> None:
    """Not even an empty folder."""
    assert bundle.write(of_fixture("acknowledgment/after-storing.held"), tmp_path / "bundles", COMMAND) == {}
    assert not (tmp_path / "bundles").exists()


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_every_scenario_can_be_read_again_from_its_bundle(name: str) -> None:
    """Those of the fixtures and those of the matrix: the same scenario, whatever it says."""
    scenario = SCENARIOS[name]
    text = bundle.as_toml(scenario)
    assert reading.scenario_of(tomllib.loads(text), name, name) == scenario


def test_a_dialect_is_told_in_a_comment() -> None:
    """It is no part of a scenario's file: the command line puts it on."""
    under = replace(SCENARIOS["export-package"], dialect="download.answer=redirect")
    text = bundle.as_toml(under)
    assert text.startswith("# export-package, under download.answer=redirect\n")
    assert reading.scenario_of(tomllib.loads(text), under.name, "here") == replace(under, dialect=None)


def test_what_is_as_usual_is_left_out() -> None:
    """A short scenario is a short file."""
    text = bundle.as_toml(Scenario(name="short", title="Nothing.", source="nowhere"))
    assert tomllib.loads(text) == {"title": "Nothing.", "source": "nowhere", "sides": ["export"]}
