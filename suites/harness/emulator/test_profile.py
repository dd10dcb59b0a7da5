"""Profiles and dialects: every open point once, every alternative by name."""

from datetime import timedelta
from pathlib import Path

import pytest

from popreceipt.emulator.profile import DIALECTS, POINTS, PROFILES, Profile, dialect, load_profile
from popreceipt.exceptions import UsageError


def test_each_dialect_differs_in_one_point() -> None:
    """And in nothing else."""
    for name in DIALECTS:
        point, _, value = name.partition("=")
        changed = [one.name for one in POINTS.values() if getattr(dialect(name), one.field) != one.values[0]]
        assert changed == [point]
        assert getattr(dialect(name), POINTS[point].field) == value


def test_the_default_comes_first() -> None:
    """A profile without arguments has the first value of each point, and each point has another."""
    for point in POINTS.values():
        assert getattr(Profile(), point.field) == point.values[0]
        assert len(point.values) > 1
        assert point.text


def test_profiles_have_names() -> None:
    """By name, by dialect, and each stays loadable."""
    assert load_profile("default") == Profile()
    assert load_profile("dequeue.empty-queue=200-empty").dequeue_empty_queue == "200-empty"
    assert all(load_profile(name) == profile for name, profile in PROFILES.items())


def test_a_file_deviates_in_several_points(tmp_path: Path) -> None:
    """Points by their names, periods in seconds."""
    file = tmp_path / "mine.toml"
    file.write_text(  # as editors of Windows write it, with a byte order mark
        'base = "2019"\n[points]\n"enqueue.message-id-form" = "bare"\n'
        "[parameters]\nlease_seconds = 90\nbody_limit = 10\n",
        encoding="utf-8-sig",
    )
    profile = load_profile(str(file))
    assert profile.enqueue_message_id_form == "bare"
    assert profile.dequeue_file_error_message == "empty"
    assert profile.lease == timedelta(seconds=90)
    assert profile.body_limit == 10


def test_what_a_run_takes_can_be_told(tmp_path: Path) -> None:
    """Its start-up, the files that go together, and the time of each record, down to milliseconds."""
    file = tmp_path / "slow.toml"
    file.write_text(
        "[parameters]\nbatch_startup_seconds = 20\nbatch_parallel = 4\nprocessing_record_seconds = 0.0125\n"
        "processing_seconds = 1.5\n[points]\n'batch.overrun' = 'at-once'\n"
    )
    profile = load_profile(str(file))
    assert profile.batch_startup == timedelta(seconds=20)
    assert profile.batch_parallel == 4
    assert profile.processing_record == timedelta(milliseconds=12, microseconds=500)
    assert profile.processing == timedelta(milliseconds=1500)
    assert profile.batch_overrun == "at-once"


@pytest.mark.parametrize(
    "text",
    [
        "[points]\nunknown = 'x'",
        "[points]\n'dequeue.empty-queue' = '205'",
        "[parameters]\nlease_seconds = 'long'",
        "[parameters]\nlease_seconds = true",
        "[parameters]\nbody_limit = -1",
        "[parameters]\nbatch_parallel = -1",
        "[parameters]\nbatch_parallel = 1.5",
        "[parameters]\nbatch_startup_seconds = -1",
        "[parameters]\nprocessing_record_seconds = 'much'",
        "[parameters]\nlease = 5",
        "points = 3",
        "base = 'none'",
        "more = 1",
        "not toml",
    ],
)
def test_a_wrong_file_says_what_is_wrong(tmp_path: Path, text: str) -> None:
    """One sentence, and no traceback of a library."""
    file = tmp_path / "wrong.toml"
    file.write_text(text)
    with pytest.raises(UsageError):
        load_profile(str(file))


@pytest.mark.parametrize("name", ["none", "dequeue.empty-queue=205", "x=y"])
def test_what_there_is_not(name: str) -> None:
    """Unknown profiles, values and points."""
    with pytest.raises(UsageError):
        load_profile(name)
    with pytest.raises(UsageError):
        dialect(name)


def test_a_profile_cannot_be_made_with_a_value_its_point_lacks() -> None:
    """A misspelling in code is found at once."""
    with pytest.raises(UsageError):
        Profile(dequeue_empty_queue="205")
    with pytest.raises(UsageError, match="any number"):
        Profile(batch_parallel=-1)
