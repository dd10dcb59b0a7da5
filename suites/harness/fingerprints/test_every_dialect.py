"""The fingerprint of an emulator is the profile that it runs under, whichever that is."""

import os
from pathlib import Path

import pytest

from popreceipt.emulator.profile import DIALECTS, POINTS, Profile, load_profile
from popreceipt.fingerprints import profile_file, running
from popreceipt.generate.combined import COMBINED, PROFILES, SINGLES, named, written
from popreceipt.targets import open_target

NOT_SEEN = {
    # A client that is sent elsewhere for a file does not learn what the connector would have said of it.
    "download.answer=redirect": {"download.content-type", "retention.expired-download"},
    # An empty answer is all that a message without a file leaves to be seen.
    "zero-records.no-file-answer=204": {"retention.expired-dequeue", "zero-records.no-file-leaves"},
    # Stories that take many calls in a row are cut short.
    "throttling.connector=429": {"acknowledgment.stale-receipt", "redelivery.order", "batch.overrun"},
}
"""What cannot be told under a dialect. Under every other all open points are seen."""

WANTED = SINGLES if os.environ.get("POPRECEIPT_DIALECTS") == "all" else PROFILES
"""Profiles that every run tries; POPRECEIPT_DIALECTS=all has it try each dialect alone."""


def test_every_answer_to_every_open_point_is_in_a_profile_that_is_tried() -> None:
    """Combined or alone: what CI tries has them all."""
    tried = {f"{name}={value}" for points in PROFILES for name, value in points.items()}
    assert tried == set(DIALECTS)
    assert len(COMBINED) == 4


@pytest.mark.parametrize("points", WANTED, ids=named)
def test_a_fingerprint_is_the_profile_and_nothing_else(points: dict[str, str], tmp_path: Path) -> None:
    """What is seen is true, what cannot be seen is listed with its reason, and the file serves the same again."""
    file = written(points, tmp_path)
    profile = load_profile(str(file))
    with open_target(f"{running.PROFILE}{file}") as asked:
        found = running.play(asked).fingerprint()
    hidden = {name for dialect, names in NOT_SEEN.items() if dialect in _dialects(points) for name in names}
    assert {name: value for name, value in found.points.items() if value != _answer(profile, name)} == {}
    assert set(found.unseen) | set(found.unknown) == hidden
    assert not found.several
    again = tmp_path / "again.toml"
    profile_file.write(found, again)
    taken = load_profile(str(again))
    assert {name for name in POINTS if _answer(taken, name) != _answer(profile, name)} <= hidden
    if not hidden:
        assert taken == profile


def _dialects(points: dict[str, str]) -> set[str]:
    return {f"{name}={value}" for name, value in points.items()}


def _answer(profile: Profile, name: str) -> str:
    return str(getattr(profile, POINTS[name].field))
