"""Playing scenarios: one instrument and one subject each, within limits of time, to an end in good order.

What a subject does is told and never raised. What goes wrong with us ends the scenario and stands in what was played,
so that nobody holds it against the subject.
"""

import contextlib
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Protocol

from popreceipt.clock import stopwatch
from popreceipt.exceptions import NotAbleTo, UsageError
from popreceipt.journal import Header, Journal
from popreceipt.middleware.played import OUTPUT_KEPT, Exit, Played
from popreceipt.middleware.scenario import EXPORT, IMPORT, Scenario, Side
from popreceipt.middleware.subject import CannotStart, Subject, filled_in
from popreceipt.reports.result import file_name

LEASE_SECONDS: Final = 6.0
"""The lease that runs are made with unless told: short enough to wait for, long enough for a subject's own pauses."""

TICK: Final = 0.05
"""Real seconds between two looks at the subject and its folders."""

RESTART: Final = 2.0
"""Real seconds from an end with status 0 to the next start."""

SETTLED_FOR: Final = 1.0
"""Real seconds for which nothing may be left to do before a scenario ends early: who does too much does it then."""

OUTPUT_LEFT: Final = 1024 * 1024
"""Bytes of a subject's output, the last ones, that are left beside the journal."""


class Instrument(Protocol):
    """What plays the connector in one scenario; the runner's end of module `instrument`."""

    @property
    def environment(self) -> dict[str, str]:
        """What the subject is told."""

    @property
    def journal(self) -> Journal:
        """What was written down so far."""

    def begin(self) -> None:
        """The scenario begins now."""

    def count_from_now(self) -> None:
        """What happens in between counts from now, not from the beginning."""

    def tick(self) -> None:
        """Do what has fallen due."""

    def is_settled(self) -> bool:
        """Nothing is left to do, or it cannot come to more."""

    def note_subject(self, event: str, run: int, **facts: Any) -> None:
        """Tell of a start or an end of the subject."""

    def finish(self) -> None:
        """The scenario is over: look for the last time, and seal the journal."""


OpenInstrument = Callable[..., AbstractContextManager[Instrument]]


class Life(Protocol):
    """A subject, whoever runs it."""

    @property
    def is_ours(self) -> bool:
        """Whether its process is started and ended here: else nobody can tell of its lives."""

    @property
    def number(self) -> int:
        """Which of its lives it is in, from 1; 0 before the first."""

    def start(self) -> None:
        """Begin its next life."""

    def ended(self) -> Exit | None:
        """How its present life ended by itself; None while it lives."""

    def end(self) -> Exit | None:
        """See that nothing of it lives on."""

    def output(self) -> str:
        """The end of what it wrote."""


MakeSubject = Callable[[Scenario, Instrument, Path, "Stopping"], Life]
"""Makes the subject for a scenario: told its instrument, an empty folder, and what says that the run is to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How scenarios are played.

    Args:
        lease_seconds: the lease in real seconds, before a scenario makes it longer.
        seconds: no scenario lasts longer, in real seconds; None for as long as each wants.
        sides: those that the subject has.
        tls: the connector speaks TLS also where the scenario does not ask for it.
        proxy: the subject reaches it through a CONNECT proxy.
        seed: of everything that is made up.
        port: of the connector; 0 picks a free one for each scenario.
        folder: where journals and output are left, a folder each; None to leave nothing.
    """

    lease_seconds: float = LEASE_SECONDS
    seconds: float | None = None
    sides: tuple[Side, ...] = (EXPORT, IMPORT)
    tls: bool = False
    proxy: bool = False
    seed: int = 0
    port: int = 0
    folder: Path | None = None

    def lease_of(self, scenario: Scenario) -> float:
        """The lease of a scenario in real seconds."""
        return self.lease_seconds * scenario.lease_factor

    def longest(self, scenario: Scenario) -> float:
        """How long a scenario lasts at most, in real seconds, without its set-up and its end."""
        whole = scenario.leases * self.lease_of(scenario)
        return whole if self.seconds is None else min(whole, self.seconds)

    def shortened(self, scenario: Scenario) -> Scenario:
        """The scenario, as long as it may be."""
        return replace(scenario, leases=self.longest(scenario) / self.lease_of(scenario))


class Stopping:
    """Says to all who play that they should come to an end (`asked`), and then that they should not wait (`hurry`)."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.hurry = threading.Event()

    def more(self) -> None:
        """Ask once, then once more with emphasis."""
        if self.asked.is_set():
            self.hurry.set()
        self.asked.set()


def command_of(command: Sequence[str]) -> MakeSubject:
    """Subjects that are a command, its placeholders filled in."""

    def make(scenario: Scenario, instrument: Instrument, folder: Path, stopping: Stopping) -> Subject:
        del scenario
        told = instrument.environment
        return Subject(filled_in(command, told), told, folder, kept=OUTPUT_LEFT, hurry=stopping.hurry)

    return make


def label(scenario: Scenario) -> str:
    """What a scenario is called where several dialects of it are told side by side."""
    return scenario.name if scenario.dialect is None else f"{scenario.name} under {scenario.dialect}"


def play(
    scenario: Scenario,
    subject: MakeSubject,
    options: Options,
    *,
    open_instrument: OpenInstrument | None = None,
    stopping: Stopping | None = None,
) -> Played:
    """Play one scenario to its end.

    Args:
        scenario: which.
        subject: makes the one that is judged.
        options: how.
        open_instrument: makes the connector; the emulator of this project unless told.
        stopping: ends it before its time.

    Raises:
        CannotStart: the subject could not be started even once.
        UsageError: the connector could not be set up as it was asked for (a port that is taken).
    """
    playing = _Playing(options.shortened(scenario), subject, options, stopping or Stopping())
    folder = tempfile.TemporaryDirectory(prefix="popreceipt-", ignore_cleanup_errors=True)
    try:
        return playing.play(Path(folder.name), open_instrument or _the_instrument())
    finally:
        # A subject that made folders in folders without end is not worth its verdict: some of them stay then.
        with contextlib.suppress(RecursionError):
            folder.cleanup()


def _the_instrument() -> OpenInstrument:
    from popreceipt.middleware.instrument import Instrument as Real  # late: it brings the whole emulator

    return Real


class _Playing:
    """One scenario, while it is played."""

    def __init__(self, scenario: Scenario, make: MakeSubject, options: Options, stopping: Stopping) -> None:
        self._scenario = scenario
        self._make = make
        self._options = options
        self._stopping = stopping
        self._exits: list[Exit] = []
        self._journal = Journal(Header(recorded_by="service"))
        self._output = ""
        self._seconds = 0.0
        self._fault: str | None = None
        self._cut_short = False
        self._lacks: str | None = None

    def play(self, folder: Path, open_instrument: OpenInstrument) -> Played:
        """Play it, with a folder for its instrument and one for the subject."""
        for each in (own := folder / "instrument", empty := folder / "empty"):
            each.mkdir()
        try:
            with open_instrument(
                self._scenario,
                lease_seconds=self._options.lease_seconds,
                folder=own,
                tls=self._options.tls,
                proxy=self._options.proxy,
                sides=tuple(each for each in self._scenario.sides if each in self._options.sides),
                port=self._options.port,
                seed=self._options.seed,
            ) as instrument:
                self._journal = instrument.journal
                self._with(instrument, empty)
        except NotAbleTo as error:
            self._lacks = str(error)
        except (CannotStart, UsageError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is ours and not the subject's
            self._note_fault("the instrument failed", error)
        header = self._journal.header
        left = None if self._options.folder is None else self._leave(self._options.folder)
        return Played(
            scenario=self._scenario,
            lease_seconds=header.lease_seconds or self._options.lease_of(self._scenario),
            seconds=self._seconds,
            journal=self._journal,
            exits=tuple(self._exits),
            output_tail=self._output[-OUTPUT_KEPT:],
            fault=self._fault,
            folder=left,
            cut_short=self._cut_short,
            lacks=self._lacks,
        )

    def _with(self, instrument: Instrument, empty: Path) -> None:
        subject = self._make(self._scenario, instrument, empty, self._stopping)
        began = stopwatch()
        try:
            self._to_the_end(instrument, subject)
        except CannotStart as error:
            if not self._exits:
                raise
            self._note_fault("the subject could not be started again", error)
        except Exception as error:  # noqa: BLE001 - as above; the subject is ended in any case
            self._note_fault("playing the scenario failed", error)
        finally:
            try:
                self._end(instrument, subject)
            finally:
                self._seconds = stopwatch() - began
                self._output = subject.output()
        instrument.finish()

    def _to_the_end(self, instrument: Instrument, subject: Life) -> None:
        """Until the scenario's time is over, nothing is left to do, the subject fell over, or somebody stopped it."""
        longest = self._options.longest(self._scenario)
        instrument.begin()
        if subject.is_ours:
            self._start(instrument, subject)
        else:
            subject.start()
            # It came in its own time, and the scenario's counts from there.
            instrument.count_from_now()
        began = stopwatch()
        again_at: float | None = None
        settled_since: float | None = None
        while not self._stopping.asked.wait(TICK):
            instrument.tick()
            now = stopwatch() - began
            if now >= longest:
                return
            over = subject.ended() if again_at is None else None
            if over is not None:
                self._note_end(instrument, subject, over)
                if over.status != 0:
                    return
                again_at = now + RESTART
            if self._scenario.ends == "settled":
                if not instrument.is_settled():
                    settled_since = None
                elif settled_since is None:
                    settled_since = now
                elif now - settled_since >= SETTLED_FOR:
                    return
            if again_at is not None and now >= again_at:
                again_at = None
                self._start(instrument, subject)
        self._cut_short = True

    def _start(self, instrument: Instrument, subject: Life) -> None:
        instrument.note_subject("started", run=subject.number + 1)
        subject.start()

    def _end(self, instrument: Instrument, subject: Life) -> None:
        try:
            last = subject.end()
        except OSError as error:
            self._note_fault("the subject could not be ended", error)
        else:
            if last is not None:
                self._note_end(instrument, subject, last)

    def _note_end(self, instrument: Instrument, subject: Life, how: Exit) -> None:
        self._exits.append(how)
        whose = "us" if how.by_us else "itself"
        instrument.note_subject("ended", run=subject.number, status=how.status, ended_by=whose)

    def _leave(self, folder: Path) -> Path:
        """Leave the journal and the output in a folder of the scenario's name."""
        own = folder / file_name(label(self._scenario))
        own.mkdir(parents=True, exist_ok=True)
        with (own / "journal.ndjson").open("wb") as file:
            for line in self._journal.lines():
                file.write(line + b"\n")
        (own / "output.txt").write_text(self._output, encoding="utf-8", errors="replace")
        return own

    def _note_fault(self, what: str, error: Exception | None) -> None:
        words = what if error is None else f"{what} ({type(error).__name__}: {error})"
        self._fault = words if self._fault is None else f"{self._fault}; {words}"
