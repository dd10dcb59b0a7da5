"""What the specifications say is asked in every way that schemathesis knows, and in ways that are wrong."""

import pytest

from popreceipt import fuzz
from popreceipt.exceptions import NotAbleTo
from popreceipt.plugin import Playing
from popreceipt.verdict import Level


def test_specifications_are_kept_whatever_is_asked(playing: Playing) -> None:
    """Every call is judged by the specification's checks, by what was handed out before, and by all rules."""

    def tell(done: int, total: int, what: str) -> None:
        if playing.tell is not None:
            playing.tell(f"{what} ({done} of {total})")

    try:
        result = fuzz.run(playing.target, seed=playing.seed, effort=playing.effort, progress=tell)
    except NotAbleTo as error:
        pytest.skip(str(error))
    playing.figures["fuzz"] = result.figures
    playing.failures += result.failures
    convicting = [each for each in result.failures if each.oracle.level is Level.MUST]
    lines = [f"{each.where}: {each.oracle.name}: {each.message}" for each in convicting]
    lines += result.shortfalls
    if lines:
        pytest.fail("\n".join(lines), pytrace=False)
