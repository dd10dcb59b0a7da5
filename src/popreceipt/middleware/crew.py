"""Many scenarios, some at once, each judged when it is over; what is still to come is foretold.

Those that may last longest begin first, so that nobody waits for one straggler at the end. A scenario that does not
come to its end long after its time is given up, and decides nothing.
"""

import contextlib
import queue
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from popreceipt.clock import stopwatch
from popreceipt.exceptions import PopreceiptError
from popreceipt.journal import Header, Journal
from popreceipt.middleware.judging import judge_played
from popreceipt.middleware.played import Judged, Played
from popreceipt.middleware.running import (
    Life,
    MakeSubject,
    OpenInstrument,
    Options,
    Stopping,
    label,
    play,
)
from popreceipt.middleware.scenario import Scenario
from popreceipt.middleware.subject import GRACE, REAPING

LATE: Final = 60.0
"""Real seconds beyond its own that a scenario may take before it is given up: setting up, ending and judging."""

LOOKED_EVERY: Final = 0.2

SETTLES_AT: Final = 0.5
"""The share of its longest time after which a scenario that can settle is thought to, until some have shown it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run is: scenarios over, of all, those being played, and the real seconds that should remain."""

    done: int
    total: int
    playing: tuple[str, ...]
    remaining: float


Watch = Callable[[Progress], None]

_Ended = tuple[int, Judged | PopreceiptError]
"""Place of the scenario, and what became of it."""


def play_all(
    scenarios: Sequence[Scenario],
    subject: MakeSubject,
    options: Options,
    *,
    jobs: int = 1,
    watch: Watch = lambda _: None,
    open_instrument: OpenInstrument | None = None,
    late: float = LATE,
) -> tuple[tuple[Judged, ...], bool]:
    """Play and judge scenarios.

    A Ctrl-C (or SIGTERM) asks those under way to come to an end, and what was played is judged as far as it went; a
    second one does not wait for subjects that take their time.

    Args:
        scenarios: which; they come back in this order.
        subject: makes the one that is judged.
        options: how.
        jobs: so many at once.
        watch: told now and then how far it is.
        open_instrument: makes the connector; the emulator of this project unless told.
        late: real seconds beyond its own after which a scenario is given up.

    Returns:
        Those that were played, and whether somebody stopped the run.

    Raises:
        CannotStart: the subject could not be started.
        UsageError: the connector could not be set up as it was asked for.
    """
    crew = _Crew(scenarios, subject, options, open_instrument, jobs, late)
    with _told_to_end(crew.stopping):
        return crew.run(watch), crew.stopping.asked.is_set()


class _Crew:
    """Workers that take scenarios one after the other."""

    def __init__(
        self,
        scenarios: Sequence[Scenario],
        subject: MakeSubject,
        options: Options,
        open_instrument: OpenInstrument | None,
        jobs: int,
        late: float,
    ) -> None:
        self._scenarios = scenarios
        self._subject = subject
        self._options = options
        self._open = open_instrument
        self._jobs = max(1, min(jobs, len(scenarios)))
        self._late = late
        self._waiting = self._in_order()
        self._lock = threading.Lock()
        self._ended: queue.SimpleQueue[_Ended] = queue.SimpleQueue()
        self._under_way: dict[int, tuple[int, float]] = {}
        self._judged: dict[int, Judged] = {}
        self._subjects: dict[int, Life] = {}
        self._lengths: list[tuple[float, float]] = []
        self._workers = 0
        self.stopping = Stopping()

    def _in_order(self) -> list[int]:
        """Places of the scenarios, the one that begins first last."""
        places = list(range(len(self._scenarios)))
        if self._jobs > 1:
            places.sort(key=lambda place: -self._options.longest(self._scenarios[place]))
        return places[::-1]

    def run(self, watch: Watch) -> tuple[Judged, ...]:
        """Until every scenario is over, given up, or was not begun because somebody stopped the run."""
        try:
            for _ in range(self._jobs):
                self._hire()
            while True:
                watch(self._progress())
                if self._is_over():
                    return tuple(self._judged[place] for place in sorted(self._judged))
                self._take()
                self._give_up_the_late()
        except BaseException:
            # Whatever it is: no subject outlives it.
            self._wind_up()
            raise

    def _is_over(self) -> bool:
        with self._lock:
            return not self._under_way and self._ended.empty()

    def _take(self) -> None:
        """Wait a moment for a scenario to be over."""
        with contextlib.suppress(queue.Empty):
            place, outcome = self._ended.get(timeout=LOOKED_EVERY)
            if isinstance(outcome, PopreceiptError):
                raise outcome
            self._judged[place] = outcome
            if self._scenarios[place].ends == "settled":
                self._lengths.append((self._longest(place), outcome.played.seconds))

    def _wind_up(self) -> None:
        """See that nothing is left of those under way."""
        self.stopping.more()
        self.stopping.more()
        until = stopwatch() + GRACE + REAPING
        while not self._is_over() and stopwatch() < until:
            with contextlib.suppress(PopreceiptError):
                self._take()

    def _give_up_the_late(self) -> None:
        now = stopwatch()
        with self._lock:
            late = {
                number: place
                for number, (place, since) in self._under_way.items()
                if now - since > self._longest(place) + GRACE + self._late
            }
            for number in late:
                del self._under_way[number]
        for place in late.values():
            if (subject := self._subjects.pop(place, None)) is not None:
                with contextlib.suppress(OSError):
                    subject.end()
            fault = f"it had not come to its end {self._late:g} s after its time"
            self._judged[place] = _given_up(self._scenarios[place], self._options, fault)
            self._hire()

    # What workers do

    def _hire(self) -> None:
        """Let another worker begin, if there is anything to do."""
        self._workers += 1
        number = self._workers
        with self._lock:
            place = self._next(number)
        if place is not None:
            threading.Thread(target=self._work, args=(number, place), name=f"scenario-{number}", daemon=True).start()

    def _next(self, worker: int) -> int | None:
        """The place of the next scenario, for a worker that holds the lock."""
        if self.stopping.asked.is_set() or not self._waiting:
            return None
        place = self._waiting.pop()
        self._under_way[worker] = (place, stopwatch())
        return place

    def _work(self, number: int, first: int) -> None:
        place: int | None = first
        while place is not None:
            outcome = self._play(place)
            with self._lock:
                if number not in self._under_way:
                    return  # It was given up, and another does its work.
                self._ended.put((place, outcome))
                del self._under_way[number]
                place = self._next(number)

    def _play(self, place: int) -> Judged | PopreceiptError:
        scenario = self._scenarios[place]

        def make(*told: Any) -> Life:
            self._subjects[place] = self._subject(*told)
            return self._subjects[place]

        try:
            played = play(scenario, make, self._options, open_instrument=self._open, stopping=self.stopping)
        except PopreceiptError as error:
            return error  # It cannot be played like that, and neither can the others.
        except Exception as error:  # noqa: BLE001 - it is ours, whatever it is, and stands in the verdict
            return _given_up(scenario, self._options, f"it could not be played ({type(error).__name__}: {error})")
        try:
            return judge_played(played)
        except Exception as error:  # noqa: BLE001 - as above
            fault = f"it could not be judged ({type(error).__name__}: {error})"
            return judge_played(replace(played, fault=fault))

    # What is to come

    def _longest(self, place: int) -> float:
        return self._options.longest(self._scenarios[place])

    def _expected(self, place: int) -> float:
        """How long a scenario will take, as far as those that are over tell."""
        longest = self._longest(place)
        if self._scenarios[place].ends == "time":
            return longest
        return longest * self._share

    @property
    def _share(self) -> float:
        known = [(longest, seconds) for longest, seconds in self._lengths if longest > 0]
        if not known:
            return SETTLES_AT
        return sum(seconds for _, seconds in known) / sum(longest for longest, _ in known)

    def _progress(self) -> Progress:
        now = stopwatch()
        with self._lock:
            under_way, waiting = list(self._under_way.values()), list(self._waiting)
        left = [max(0.0, self._expected(place) - (now - since)) for place, since in under_way]
        if not self.stopping.asked.is_set():
            left += [self._expected(place) for place in waiting]
        return Progress(
            done=len(self._judged),
            total=len(self._scenarios),
            playing=tuple(label(self._scenarios[place]) for place, _ in under_way),
            remaining=max(sum(left) / self._jobs, max(left, default=0.0)),
        )


def _given_up(scenario: Scenario, options: Options, fault: str) -> Judged:
    """A scenario of which nothing is known but that we failed."""
    return judge_played(
        Played(
            scenario=scenario,
            lease_seconds=options.lease_of(scenario),
            seconds=0.0,
            journal=Journal(Header(recorded_by="service")),
            exits=(),
            output_tail="",
            fault=fault,
        )
    )


@contextmanager
def _told_to_end(stopping: Stopping) -> Iterator[None]:
    """Take a Ctrl-C or a SIGTERM as a wish to come to an end: processes are about that nobody else would end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(*_: object) -> None:
        stopping.more()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
