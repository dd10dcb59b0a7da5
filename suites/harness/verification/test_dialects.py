"""Right servers that differ: no dialect breaks a promise, and each is told apart by the rule of its name."""

import pytest

from popreceipt.emulator.profile import DIALECTS
from popreceipt.generate.kills import verdicts_on
from popreceipt.rules import find
from popreceipt.verdict import Level, Outcome


@pytest.mark.parametrize("name", DIALECTS)
def test_a_dialect_is_classified_and_never_convicted(name: str) -> None:
    """The suites run on the dialect: its point is answered as it is, and no MUST is violated."""
    point, _, value = name.partition("=")
    verdicts = {each.id: each for each in verdicts_on(f"emulator:dialect={name}").rules}
    convicted = [
        f"{each.id}: {each.findings[0].message}"
        for each in verdicts.values()
        if each.level is Level.MUST and each.outcome is Outcome.VIOLATED
    ]
    assert not convicted
    assert verdicts[point].outcome is Outcome.ANSWERED, verdicts[point]
    assert value in str(verdicts[point].answer).split(" | "), verdicts[point]


def test_the_plain_emulator_answers_as_usual_and_breaks_nothing() -> None:
    """Every rule is exercised; each open point has its usual answer."""
    for verdict in verdicts_on("emulator:").rules:
        assert verdict.outcome in (Outcome.HELD, Outcome.ANSWERED), verdict
        if verdict.level is Level.ASK:
            assert str(verdict.answer) == find(verdict.id).answers[0], verdict
