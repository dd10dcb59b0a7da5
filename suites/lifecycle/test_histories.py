"""Many callers at once, with pauses, lost connections, stale and repeated acknowledgments, and a clock that moves."""

import pytest

from popreceipt.exceptions import NotAbleTo
from popreceipt.histories import running
from popreceipt.plugin import Playing
from popreceipt.verdict import Level


def test_no_history_needs_a_broken_promise(playing: Playing) -> None:
    """Some order of things, within what was observed, keeps every promise; and no rule is violated."""
    try:
        result = running.run(playing.target, seed=playing.seed, effort=playing.effort)
    except NotAbleTo as error:
        pytest.skip(str(error))
    playing.figures["histories"] = result.figures
    playing.failures += result.failures
    convicting = [each for each in result.failures if each.oracle.level is Level.MUST]
    if convicting:
        pytest.fail("\n".join(f"{each.oracle.name}: {each.message}" for each in convicting), pytrace=False)
    assert result.figures["dequeues"] > 0
