"""A whole tour in virtual time: under whatever dialect it convicts nobody falsely, and it convicts who is wrong."""

import os
from typing import Final

import pytest

from popreceipt.emulator.mutants import MUTANTS
from popreceipt.emulator.profile import POINTS
from popreceipt.fingerprints import taking
from popreceipt.generate.combined import PROFILES, SINGLES, Points, named
from popreceipt.generate.rehearsal import virtual

ALL = os.environ.get("POPRECEIPT_DIALECTS") == "all"
"""POPRECEIPT_DIALECTS=all has each dialect tried alone, instead of as few profiles as have every answer in one."""

CHOSEN = ({}, *SINGLES) if ALL else PROFILES

SLOW = ("throttling.connector=429",)
"""Servers that ask to be left alone for a while take longer."""

SAMPLE = 10
"""Every so manieth mutant is toured here; nox -s rehearsal tours them all."""


@pytest.mark.parametrize("points", CHOSEN, ids=named)
def test_every_rule_that_the_wire_can_decide_is_decided_and_nobody_convicted(points: Points) -> None:
    """Retention within eight days; all inside of the plan; and the fingerprint is true."""
    found = virtual.under(points)
    assert not found.problems, "\n".join(found.problems)
    assert found.days < 8


@pytest.mark.parametrize("points", [each for each in CHOSEN if named(each) not in SLOW], ids=named)
def test_two_leases_are_enough_for_what_takes_no_days(points: Points) -> None:
    """Where exports come often enough, all waits are at the same time."""
    assert virtual.left_open_after_two_leases(points) == []


def test_servers_that_break_a_promise_are_convicted_by_their_wire() -> None:
    """Of a sample of mutants: each by a rule about it, if a tour shows one; those that are not are known."""
    claims = [virtual.claim(each) for each in list(MUTANTS)[::SAMPLE]]
    shown = [each for each in claims if each.rules]
    assert len(shown) >= 8
    assert {each.mutant for each in shown if not each.convicted_by} <= set(virtual.NOT_CONVICTED)


@pytest.mark.parametrize(
    ("mutant", "rule"),
    [
        ("processed-at-once", "processing.waits-for-the-recurrence"),
        ("monitoring-starts-the-batch", "processing.waits-for-the-recurrence"),
        ("preprocessing-before-the-run", "status.enqueued-until-taken"),
        ("order-ignored", "ordering.in-order-one-after-another"),
        ("order-reversed", "ordering.in-order-one-after-another"),
        ("order-by-size", "ordering.in-order-one-after-another"),
        ("order-overlaps", "ordering.in-order-one-after-another"),
        ("order-within-a-run-only", "ordering.in-order-one-after-another"),
    ],
)
def test_whoever_takes_files_too_early_or_out_of_turn_is_seen_to(mutant: str, rule: str) -> None:
    """Statuses alone show it, where they are asked for at the right times; nothing else is said of that server."""
    found = virtual.claim(mutant)
    assert (found.convicted_by, found.others) == ((rule,), ())


LOOKED_FOR: Final = (
    "refused-dequeue-leases",
    "first-delivery-names-a-last-dequeue",
    "acknowledgment-forgotten-after-a-day",
    "refused-acknowledgment-shows-the-message",
)
"""Mutants that are seen only by who looks where, and when, nobody else does."""


@pytest.mark.parametrize("mutant", LOOKED_FOR)
def test_what_takes_a_look_of_its_own_is_looked_for(mutant: str) -> None:
    """A message that waits while somebody is refused; one that was acknowledged, a day later."""
    assert virtual.claim(mutant).convicted_by


def test_the_open_points_that_no_tour_sees_are_known() -> None:
    """Each with the reason why the wire alone does not show it; all others are seen on the plain emulator."""
    seen = virtual.under({}).seen
    assert set(POINTS) - seen == set(taking.BEYOND_THE_WIRE)
