"""How a test says what it shows.

    @shows("redelivery.not-before-half-an-hour")
    def test_stays_hidden_for_half_an_hour(stage): ...

The plugin judges the rules named here on what the test sent and received. The test fails when a MUST among them is
violated, and also when one found nothing to judge: no scenario passes because nothing happened.
"""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import pytest

Test = TypeVar("Test", bound=Callable[..., Any])


def shows(*rules: str, needs: Iterable[str] = ()) -> Callable[[Test], Test]:
    """Declare the rules that a scenario shows.

    Args:
        rules: ids of rules that must find something to judge in this scenario.
        needs: abilities of the target that the scenario asks for beyond what its rules need.
    """

    def mark(test: Test) -> Test:
        marked: Test = pytest.mark.shows(*rules, needs=tuple(needs))(test)
        return marked

    return mark
