"""How many users a run has, as Locust asks: those that the plan names, from the first second on, until it is over.

What rises and falls in a run is its arrivals, and those are no users (`load/pacing.py`).
"""

from typing import Any, Final

from locust import LoadTestShape

from popreceipt.load import driving

AT_ONCE: Final = 100
"""Users a second; Locust warns of more."""


class Course(LoadTestShape):
    """The users of the plan, until every process has done its part."""

    def tick(self) -> tuple[int, float, list[Any] | None] | None:
        """How many users there should be, how fast they come; None when the run is over."""
        users = driving.users()
        return None if users is None else (users, min(AT_ONCE, max(1, users)), None)
