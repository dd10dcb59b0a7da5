"""The catalogue as a whole: complete, shown, and accounted for."""

import re
from pathlib import Path

from popreceipt import resources
from popreceipt.cli.explain import scenarios_of
from popreceipt.emulator.profile import DIALECTS
from popreceipt.generate.catalogue import rules_by_statement, statements
from popreceipt.rules import CHAPTERS, catalogue
from popreceipt.verdict import Level


def test_every_statement_of_the_documentation_is_accounted_for() -> None:
    """Each line is tested by a rule, comes with a later part, or cannot be observed, and says why."""
    tested = rules_by_statement(catalogue(None))
    listed = statements()
    assert [each["number"] for each in listed] == list(range(1, 73))
    for each in listed:
        accounts = [each["number"] in tested, "coming" in each, "unobservable" in each]
        assert any(accounts), f"statement {each['number']} is accounted for by nothing"
        assert not (accounts[2] and accounts[0]), f"statement {each['number']} is tested and said to be unobservable"
    assert set(tested) <= {each["number"] for each in listed}


def test_every_rule_is_shown_by_a_scenario() -> None:
    """A rule that no scenario declares could stay unexercised unnoticed."""
    missing = [each.id for each in catalogue() if not scenarios_of(each)]
    assert not missing


def test_ids_have_the_form_that_others_rely_on() -> None:
    """Chapter, a dot, and a claim in few words."""
    for each in catalogue(None):
        assert re.fullmatch(r"[a-z-]+\.[a-z0-9-]+", each.id), each.id
        assert each.chapter in CHAPTERS
        assert each.text.endswith(".")


def test_every_open_point_is_asked_and_every_answer_has_its_dialect() -> None:
    """A dialect is named after the ASK rule that tells it apart, with the rule's own word for it."""
    asked = {each.id: each for each in catalogue() if each.level is Level.ASK}
    for name in DIALECTS:
        point, _, value = name.partition("=")
        assert point in asked, f"no ASK rule is called {point}"
        assert value in asked[point].answers, f"{point} does not know the answer {value}"


def test_chapters_have_one_name_everywhere() -> None:
    """Rules, scenarios and journals of a chapter are found under the chapter's name."""
    for chapter in {each.chapter for each in catalogue()}:
        module = chapter.replace("-", "_")
        assert (resources.suites() / "conformance" / f"test_{module}.py").is_file()
        assert (resources.fixtures() / "journals" / chapter).is_dir()
        assert (Path(resources.__file__).parent / "rules" / f"{module}.py").is_file()
