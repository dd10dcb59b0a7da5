"""Wrong middlewares are convicted of what they do wrong: of every rule somebody, and of no MUST without cause.

All of them are measured by `nox -s convictions`, which takes minutes of real time; what it found is held against what
they claim. Here a few are played.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from popreceipt.generate.convictions import (
    LEVELS,
    Conviction,
    convict,
    known_clients,
    path,
    reference_at,
    scenario_of,
    wrong_ones,
)
from popreceipt.verdict import Level

PLAYED = {
    "acknowledges-first": "export-package",
    "stores-later": "export-package",
    "acknowledges-in-its-own-words": "export-package",
    "hammers-an-empty-queue": "export-package",
    "downloads-without-token": "export-package",
    "token-to-where-it-is-sent": "redirected-to-another-host",
    "checks-no-certificate": "foreign-certificate",
    "crashes-without-a-file": "no-file",
    "takes-200-for-the-end": "import-unreadable",
    "takes-the-message-for-the-execution": "import-bad-records",
    "hands-in-text": "import-file",
    "sends-the-rest-of-it": "lost.enqueue.before.status",
}
"""What is played here, each where it shows at once."""


@pytest.fixture(scope="module")
def found() -> Mapping[str, Conviction]:
    """What was found of those that are played here, and of the reference in the same scenarios."""
    wrong = wrong_ones()
    subjects = [replace(wrong[name], scenarios=(scenario,)) for name, scenario in PLAYED.items()]
    return {each.subject.name: each for each in convict([*subjects, *reference_at(subjects)], jobs=6)}


@pytest.fixture(scope="module")
def measured() -> Mapping[str, Mapping[str, Any]]:
    """What the last measurement of all of them found, by name."""
    told = json.loads(path().read_text(encoding="utf-8"))
    return {**told["wrong"], **told["clients"]}


@pytest.mark.parametrize("name", PLAYED)
def test_is_convicted_of_what_it_does_wrong(found: Mapping[str, Conviction], name: str) -> None:
    """The rules that a wrong middleware claims to break convict it, and no MUST that has nothing to do with it."""
    assert found[name].is_as_claimed, found[name].words


def test_the_reference_is_convicted_of_nothing(found: Mapping[str, Conviction]) -> None:
    """In the scenarios that bring down the wrong ones the right one breaks no rule, be it a recommendation."""
    assert not found["reference"].violated, found["reference"].words
    assert not found["reference"].faults, found["reference"].words


def test_for_every_rule_there_is_somebody_who_breaks_it() -> None:
    """A rule that binds clients and that nobody breaks may be saying nothing."""
    claimed = {rule for each in wrong_ones().values() for rule in each.claims}
    assert set(LEVELS) - claimed == set()
    assert claimed <= set(LEVELS)


def test_each_says_what_it_does_and_where_that_shows() -> None:
    """Text, claims and scenarios are there; every scenario is one; no two are told in the same words."""
    subjects = [*wrong_ones().values(), *known_clients().values()]
    for each in subjects:
        assert each.text.endswith("."), each.name
        assert each.scenarios, each.name
        assert set(each.claims) | set(each.besides) <= set(LEVELS), each.name
        for scenario in each.scenarios:
            assert scenario_of(scenario).title
    texts = [each.text for each in subjects]
    assert len(set(texts)) == len(texts)
    assert len(wrong_ones()) >= 45


def test_the_measurement_is_of_what_there_is_now(measured: Mapping[str, Mapping[str, Any]]) -> None:
    """Since all of them were measured none has come, gone, or come to claim something else."""
    now = wrong_ones() | known_clients()
    assert list(measured) == list(now)
    for name, each in now.items():
        assert measured[name]["text"] == each.text
        assert measured[name]["claims"] == list(each.claims)
        assert measured[name]["scenarios"] == list(each.scenarios)


def test_in_the_measurement_all_are_convicted_as_they_claim(measured: Mapping[str, Mapping[str, Any]]) -> None:
    """Each by every rule that it claims, and by no MUST besides."""
    for name, each in measured.items():
        assert set(each["claims"]) <= set(each["convicted"]), name
        assert not {rule for rule in each["convicted"] if LEVELS[rule] is Level.MUST} - set(each["claims"]), name
