"""Days of a few recurring data jobs, in any order that machines come upon: whatever is done, no rule is violated."""

import pytest

from popreceipt import lifecycle
from popreceipt.lifecycle.telling import told
from popreceipt.plugin import Playing
from popreceipt.verdict import Level


@pytest.mark.parametrize("machine", lifecycle.MACHINES)
def test_rules_are_kept_whatever_is_done(playing: Playing, machine: str, pytestconfig: pytest.Config) -> None:
    """Every example is judged by all rules at its end."""

    def tell(done: int, total: int) -> None:
        if playing.tell is not None:
            playing.tell(f"{machine} ({done} of {total})")

    if playing.target.times.kind != "manual":
        pytest.skip(f"the clock of {playing.target.name} cannot be moved, and machines let weeks pass")
    result = lifecycle.run(playing.target, machine, seed=playing.seed, effort=playing.effort, progress=tell)
    playing.figures.setdefault("lifecycle", {})[machine] = result.figures
    playing.failures += result.failures
    strict = pytestconfig.getoption("--popreceipt-strict", default=False)
    counted = [each for each in result.failures if strict or each.oracle.level is Level.MUST]
    if counted:
        pytest.fail("\n".join(told(each, playing.target, playing.seed) for each in counted), pytrace=False)
    assert result.figures["steps"] > 0, "the target lacks what every deed needs"
