"""A whole tour in virtual time: under whatever dialect it convicts nobody falsely, and it convicts who is wrong."""

import os

import pytest

from popreceipt.emulator.mutants import MUTANTS
from popreceipt.emulator.profile import POINTS
from popreceipt.fingerprints import taking
from popreceipt.generate.combined import PROFILES, SINGLES, Points, named
from popreceipt.generate.rehearsal import virtual

ALL = os.environ.get("POPRECEIPT_DIALECTS") == "all"
"""POPRECEIPT_DIALECTS=all has each dialect tried alone, instead of as few profiles as have every answer in one."""

CONVICTED = (
    "lease-of-29-minutes",
    "lease-of-31-minutes",
)
"""Mutants of several chapters; nox -s rehearsal goes through all of them."""


@pytest.mark.parametrize("points", ({}, *SINGLES) if ALL else PROFILES, ids=named)
def test_every_rule_that_the_wire_can_decide_is_decided_and_nobody_convicted(points: Points) -> None:
    """Within two leases, and retention within eight days; inside of the plan; and the fingerprint is true."""
    found = virtual.under(points)
    assert not found.problems, "\n".join(found.problems)
    assert found.days < 8.1


@pytest.mark.parametrize("mutant", CONVICTED)
def test_a_server_that_breaks_a_promise_is_convicted_by_its_wire(mutant: str) -> None:
    """By a rule that is about its defect."""
    found = virtual.claim(mutant)
    assert mutant in MUTANTS
    assert found.convicted_by


def test_the_open_points_that_no_tour_sees_are_known() -> None:
    """Each with the reason why the wire alone does not show it; all others are seen on the plain emulator."""
    seen = virtual.under({}).seen
    assert set(POINTS) - seen == set(taking.BEYOND_THE_WIRE)
