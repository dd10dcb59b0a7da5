"""The catalogue as a whole: complete, shown, and accounted for."""

import re
from pathlib import Path

from popreceipt import resources
from popreceipt.cli.explain import scenarios_of
from popreceipt.emulator.profile import DIALECTS
from popreceipt.generate.catalogue import convictions, page, rules_by_statement, statements
from popreceipt.middleware import selection
from popreceipt.rules import CHAPTERS, catalogue
from popreceipt.verdict import Binds, Level

FEWEST_WRONG_ONES = 25


def test_every_statement_of_the_documentation_is_accounted_for() -> None:
    """Each line is tested by a rule, or cannot be observed and says why."""
    tested = rules_by_statement(catalogue(None))
    listed = statements()
    assert [each["number"] for each in listed] == list(range(1, 73))
    for each in listed:
        is_tested, is_not_observable = each["number"] in tested, "unobservable" in each
        assert is_tested or is_not_observable, f"statement {each['number']} is accounted for by nothing"
        assert not (is_tested and is_not_observable), (
            f"statement {each['number']} is tested and said to be unobservable"
        )
    assert set(tested) <= {each["number"] for each in listed}


def test_every_rule_is_shown_by_a_scenario() -> None:
    """A rule that no scenario declares could stay unexercised unnoticed."""
    missing = [each.id for each in catalogue(None) if not scenarios_of(each)]
    assert not missing


def test_every_scenario_for_middleware_shows_rules_that_bind_clients() -> None:
    """What a scenario says that it shows is the id of such a rule."""
    known = {each.id for each in catalogue(Binds.CLIENT)}
    for each in (*selection.everything(), *selection.matrix()):
        assert set(each.shows) <= known, each.name


def test_every_rule_that_binds_clients_convicts_a_wrong_middleware() -> None:
    """A rule that convicts nobody may say nothing; and no wrong middleware goes unpunished for what it claims."""
    wrong = convictions()
    assert len(wrong) >= FEWEST_WRONG_ONES
    convicting = {rule for each in wrong.values() for rule in each["convicted"]}
    assert not [each.id for each in catalogue(Binds.CLIENT) if each.id not in convicting]
    for name, each in wrong.items():
        assert set(each["claims"]) <= set(each["convicted"]), name


def test_no_module_of_rules_binds_the_other_side() -> None:
    """Rules that bind clients stand in a package of their own, each chapter under its name."""
    for each in catalogue(None):
        package = "popreceipt.rules.clients." if each.binds is Binds.CLIENT else "popreceipt.rules."
        assert each.check.__module__.rpartition(".")[0] + "." == package, each.id
        if each.binds is Binds.CLIENT:
            assert each.check.__module__.rpartition(".")[2] == each.chapter.replace("-", "_")


def test_the_page_tells_both_sides_apart() -> None:
    """The catalogue lists each rule once, under the side that it binds, and the wrong middlewares by name."""
    made = page(catalogue(None), {})
    service, _, clients = made.partition("## Rules that bind the client")
    clients = clients.partition("## Statements of the documentation")[0]
    for each in catalogue(None):
        row = f"\n| `{each.id}` | {each.level} | "
        assert (row in clients) is (each.binds is Binds.CLIENT), each.id
        assert (row in service) is (each.binds is Binds.SERVICE), each.id
    for name in convictions():
        assert f"\n| `{name}` | " in made


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
