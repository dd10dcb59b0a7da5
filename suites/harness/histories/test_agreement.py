"""The checker and the one that tries everything agree on random histories, and would not if one were wrong."""

import pytest

from popreceipt.generate import agreement
from popreceipt.histories import checker
from popreceipt.histories.invented import DEFECTS


def test_they_agree() -> None:
    """One finds an anomaly if and only if the other finds no way to explain a history; none is left open."""
    result = agreement.compare(2_000, seed=7)
    assert result.smallest is None, agreement.written(result.smallest[1].history)
    assert (result.disagreements, result.open) == (0, 0)
    assert result.histories == 2_000
    assert 150 < result.histories - result.explained < 1_000
    assert {each.partition("+")[0] for each in result.planted} >= {*DEFECTS, "overlaps", "swaps", "backwards", "right"}
    assert result.shown["right"] == 0
    assert result.named >= 0.95 * result.asked > 0


@pytest.mark.parametrize("blind", ["_that_may_have_missed", "_strangers", "_crowds"])
def test_a_checker_that_overlooks_something_is_found(monkeypatch: pytest.MonkeyPatch, blind: str) -> None:
    """Empty answers, unknown messages, or what several messages show together."""
    monkeypatch.setattr(checker, blind, lambda *_: iter(()))
    result = agreement.compare(3_000, seed=7)
    assert result.disagreements > 0
    assert result.smallest is not None
    assert not result.smallest[2]


def test_a_checker_that_convicts_too_much_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that takes it that no lost answer was ever a delivery."""
    monkeypatch.setattr(checker, "_that_may_have_taken", lambda *_: [])
    result = agreement.compare(1_000, seed=7)
    assert result.smallest is not None
    assert result.smallest[2]


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    """It prints what was planted, and answers with 0 where they agree."""
    assert agreement.main(["--histories", "200", "--seed", "3"]) == 0
    assert "200 histories" in capsys.readouterr().out


def test_the_command_tells_the_smallest_disagreement(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a checker that sees nothing."""
    monkeypatch.setattr(agreement, "judge", lambda _: checker.Judgement())
    assert agreement.main(["--histories", "200", "--seed", "3"]) == 1
    assert "The smallest disagreement" in capsys.readouterr().out
