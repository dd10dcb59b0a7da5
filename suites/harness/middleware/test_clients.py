"""Clients that exist get the verdict that their users came to.

Each subject makes the calls that a public client is known to make; what it fails at in the field it fails at here, and
where nobody complained it is convicted of no MUST.
"""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from popreceipt.generate.convictions import LEVELS, Conviction, convict, known_clients, loaded
from popreceipt.resources import suites
from popreceipt.verdict import Level

CASES = [
    (name, scenario, rules)
    for name, breaks in loaded(suites() / "middleware" / "clients.py").BREAKS.items()
    for scenario, rules in breaks.items()
]


@pytest.fixture(scope="module")
def found() -> Mapping[str, Conviction]:
    """What was found of each client in each scenario, by both names."""
    clients = known_clients()
    subjects = [
        replace(clients[name], name=f"{name} in {scenario}", claims=rules, scenarios=(scenario,))
        for name, scenario, rules in CASES
    ]
    return {each.subject.name: each for each in convict(subjects, jobs=6)}


@pytest.mark.parametrize(("name", "scenario", "rules"), CASES, ids=[f"{name} in {at}" for name, at, _ in CASES])
def test_gets_the_verdict_that_its_users_came_to(
    found: Mapping[str, Conviction], name: str, scenario: str, rules: tuple[str, ...]
) -> None:
    """What a client is known to fail at convicts it, and no other MUST does."""
    conviction = found[f"{name} in {scenario}"]
    assert conviction.is_as_claimed, conviction.words
    assert {each for each in conviction.violated if LEVELS[each] is Level.MUST} <= set(rules)
