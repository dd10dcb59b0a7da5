"""How long a client waits for what, and the watch that it waits by.

The numbers are fitted to the lease, since everything that a consumer does has to be over before it ends; in the
documentation it is half an hour ("Recurring integrations", section "API for acknowledgment"). Nothing here knows what
is waited for.
"""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from popreceipt.clock import SystemClock, stopwatch

HALF_HOUR: Final = 1800.0

HOUR: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Lengths of time in real seconds, and numbers of tries.

    Args:
        lease: how long a delivered message stays hidden.
        margin: what must be left of the lease for an acknowledgment to be sent.
        answer: for the whole of a short answer, and for each silence within a file.
        file: for the whole of a file.
        poll: between two dequeues while the queue is empty.
        first: the first pause after a failure; it doubles with each that follows.
        longest: the longest such pause.
        tries: how often one file is fetched or handed in, or one message acknowledged, without a break.
        status: between two looks at a message's status; it grows to ten times that while nothing happens.
        status_limit: how long a status is asked for that never comes to an end.
        execution_limit: how long a failed message is given to get an execution, and that its errors.
    """

    lease: float = HALF_HOUR
    margin: float = 30.0
    answer: float = 60.0
    file: float = HOUR
    poll: float = 30.0
    first: float = 1.0
    longest: float = 60.0
    tries: int = 5
    status: float = 30.0
    status_limit: float = 4 * HOUR
    execution_limit: float = HALF_HOUR / 2

    @classmethod
    def fitted_to(cls, lease: float, whole: float | None = None) -> "Patience":
        """What fits a lease of so many seconds, in a run that takes `whole` seconds where that is known."""
        limit = 8 * lease
        return cls(
            lease=lease,
            margin=lease / 20,
            answer=_between(2.0, lease / 3, 60.0),
            file=max(HOUR, 2 * lease),
            poll=_between(0.25, lease / 20, 30.0),
            first=_between(0.2, lease / 30, 1.0),
            longest=_between(1.0, lease / 4, 60.0),
            status=_between(0.25, lease / 20, 30.0),
            status_limit=limit if whole is None else min(limit, 0.7 * whole),
            execution_limit=lease / 2,
        )

    def pause(self, failures: int, chance: Callable[[], float] = random.random) -> float:
        """Seconds to wait after so many failures in a row: twice as long each time, and a little more by chance.

        Without the chance several clients that failed together would come back together.
        """
        return min(self.longest, self.first * 2.0 ** max(0, min(failures - 1, 30))) * (1 + chance() / 2)


def _between(least: float, wanted: float, most: float) -> float:
    return max(least, min(wanted, most))


class Watch:
    """Real time until it is over: after so many seconds, or when somebody says so from another thread.

    Args:
        seconds: how long there is; None for no end.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self._ends = None if seconds is None else stopwatch() + seconds
        self._stopped = threading.Event()
        self._clock = SystemClock()

    def now(self) -> float:
        """Seconds from a fixed but unknown moment."""
        return stopwatch()

    def date(self) -> float:
        """The time of day, in seconds since 1970: what may be remembered until the next start."""
        return self._clock.now().timestamp()

    @property
    def over(self) -> bool:
        """Nothing new should be begun."""
        return self._stopped.is_set() or (self._ends is not None and self.now() >= self._ends)

    def stop(self) -> None:
        """Let it be over, and wake whoever waits."""
        self._stopped.set()

    def wait(self, seconds: float) -> bool:
        """Wait, but not beyond the end; whether it is not over then."""
        left = seconds if self._ends is None else min(seconds, self._ends - self.now())
        if left > 0:
            self._stopped.wait(left)
        return not self.over
