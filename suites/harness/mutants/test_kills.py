"""Wrong emulators: every rule that convicts has one, and the conformance suites do convict it."""

import re
from collections.abc import Sequence

import pytest

from popreceipt.clock import ManualClock
from popreceipt.emulator.emulator import World
from popreceipt.emulator.http import Request
from popreceipt.emulator.mutants import MUTANTS, Mutant, build, maker
from popreceipt.emulator.profile import Profile, dialect
from popreceipt.exceptions import UsageError
from popreceipt.generate import catalogue as generated
from popreceipt.generate.kills import measured_kills
from popreceipt.rules import catalogue
from popreceipt.verdict import Level

MUSTS = frozenset(rule.id for rule in catalogue() if rule.level is Level.MUST)
EACH = pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS)


def test_every_rule_that_convicts_is_claimed_by_a_mutant() -> None:
    """If nobody can think of a mutant, the rule may say nothing."""
    claimed = {rule for mutant in MUTANTS.values() for rule in mutant.convicted_by}
    assert not sorted(MUSTS - claimed)


@EACH
def test_a_mutant_is_well_named(mutant: Mutant) -> None:
    """An id in kebab case, one sentence, and rules that exist and can be violated."""
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", mutant.id)
    assert re.fullmatch(r"[A-Z][^.]+\.", mutant.text), mutant.text
    assert mutant.convicted_by
    assert len(set(mutant.convicted_by)) == len(mutant.convicted_by)
    levels = {rule.id: rule.level for rule in catalogue()}
    assert all(levels.get(rule) in (Level.MUST, Level.SHOULD) for rule in mutant.convicted_by), mutant.convicted_by


def test_an_unknown_mutant_is_refused_by_name() -> None:
    """The error names mutants that come near."""
    with pytest.raises(UsageError, match="lease-of-29-minutes"):
        build("lease-of-28-minutes", ManualClock(), Profile())
    with pytest.raises(UsageError, match="acknowledgment-without-effect"):
        maker("effect-without-acknowledgment")


@EACH
def test_a_mutant_is_an_emulator_like_any_other(mutant: Mutant) -> None:
    """It takes the emulator's options, answers, and begins anew when it is told to."""
    emulator = build(
        mutant.id,
        ManualClock(),
        dialect("dequeue.empty-queue=200-empty"),
        seed=7,
        base_url="http://elsewhere",
        control_key="key",
        world=World(export_records=5),
    )
    assert (emulator.base_url, emulator.seed, emulator.control_key) == ("http://elsewhere", 7, "key")
    assert emulator.profile.dequeue_empty_queue == "200-empty"
    for method, path in (("GET", "world"), ("POST", "reset"), ("GET", "world")):
        assert emulator.handle(Request(method, f"/_control/v1/{path}")).status in (200, 204)
    assert not emulator.faults


def complaints(mutant: Mutant, convicting: Sequence[str]) -> list[str]:
    """What is wrong with the rules that convicted a mutant."""
    survived = sorted(set(mutant.convicted_by) - set(convicting))
    unrelated = sorted((set(convicting) & MUSTS) - set(mutant.convicted_by))
    return [f"{mutant.id} survives {rule}" for rule in survived] + [
        f"{mutant.id} is convicted by {rule} too, which does not claim it" for rule in unrelated
    ]


@pytest.mark.timeout(2400)
def test_mutants_are_convicted_by_the_rules_that_claim_them(subtests: pytest.Subtests) -> None:
    """By each of these, and by no other that may convict. The generated catalogue tells the same.

    One test, so that the suites are played against every mutant only once, however tests are spread over processes.
    """
    kills = measured_kills(processes=2)
    with subtests.test("kills"):
        wrong = [each for mutant in MUTANTS.values() for each in complaints(mutant, kills[mutant.id])]
        assert not wrong, "\n".join(["the kill table is not what the mutants claim:", *wrong])
    with subtests.test("specs/RULES.md"):
        made = generated.page(catalogue(None), kills)
        assert generated.path().read_text(encoding="utf-8") == made, "out of date: run nox -s catalogue"
