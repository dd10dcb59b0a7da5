"""The clocks: one stands still until told, one runs faster, none goes back."""

from datetime import timedelta

import pytest

from popreceipt.clock import EPOCH, ManualClock, ScaledClock, SystemClock, clock_from
from popreceipt.exceptions import UsageError


def test_a_manual_clock_moves_when_told() -> None:
    """By a step or to an instant; never back."""
    clock = ManualClock()
    assert clock.now() == EPOCH
    assert clock.advance(timedelta(minutes=30)) == EPOCH + timedelta(minutes=30)
    clock.sleep_until(EPOCH)
    assert clock.now() == EPOCH + timedelta(minutes=30)
    clock.sleep_until(EPOCH + timedelta(days=7))
    assert clock.now() == EPOCH + timedelta(days=7)
    with pytest.raises(UsageError, match="never goes back"):
        clock.advance(timedelta(seconds=-1))


def test_a_scaled_clock_runs_by_itself() -> None:
    """An hour has passed when it says so, and little real time with it."""
    clock = ScaledClock(1_000_000, EPOCH)
    clock.sleep_until(EPOCH + timedelta(hours=1))
    assert clock.now() >= EPOCH + timedelta(hours=1)


def test_the_system_clock_waits_for_what_is_past_not_at_all() -> None:
    """An instant in the past is over at once."""
    clock = SystemClock()
    clock.sleep_until(clock.now() - timedelta(days=1))
    later = clock.now() + timedelta(milliseconds=5)
    clock.sleep_until(later)
    assert clock.now() >= later


@pytest.mark.parametrize(("text", "kind"), [("system", "system"), ("manual", "manual"), ("scaled:60", "scaled")])
def test_a_clock_by_its_name(text: str, kind: str) -> None:
    """As the command line names it."""
    assert clock_from(text).kind == kind


@pytest.mark.parametrize("text", ["", "fast", "scaled", "scaled:", "scaled:x", "scaled:0", "scaled:-1", "scaled:nan"])
def test_a_clock_that_does_not_exist(text: str) -> None:
    """Said in one sentence."""
    with pytest.raises(UsageError):
        clock_from(text)
