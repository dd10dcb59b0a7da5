"""What all machines share: examples with a beginning and an end, deeds that are counted, time that is let pass.

A machine remembers its own jobs, what it was handed, and the instants of its own actions, so that it can wait until
just before, at or just after a moment when something may fall due. It predicts nothing: rules judge each example.
"""

import sys
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, MultipleResults, RuleBasedStateMachine, multiple, precondition, rule

from popreceipt.client.recording import observe
from popreceipt.client.tape import Done
from popreceipt.client.wire import Delivery, Spelling
from popreceipt.journal import Entry, Exchange
from popreceipt.reproduction.failure import Failure
from popreceipt.reproduction.oracles import RuleOracle
from popreceipt.rules import catalogue
from popreceipt.rules.readings import Readings
from popreceipt.stage import Export, Import, Job, NoDelivery, Stage
from popreceipt.targets import ADVANCE_TIME, Target
from popreceipt.verdict import Level, Outcome, judge
from popreceipt.vocabulary import TOKEN

SUITE = "lifecycle"

RESTART = "restart"
"""Stands among abilities for a target that whoever drives it can let die and come back."""

BETWEEN_TWO_LOOKS = timedelta(minutes=31)
"""How long a machine waits at the end before it looks at its jobs once more."""

STEPS = (1, 60, 600, 1860, 3600, 10_800, 86_400, 259_200)
"""Seconds that pass without a reason, the shortest first: what is not needed shrinks to the first."""

SIDES = ("after", "before", "at")

REMEMBERED = 12
"""So many moments ahead are kept in mind, the latest ones."""

MOST_KEPT = 40_000
"""Entries of examples that are kept in memory: some hundred megabytes."""

ALMOST_EMPTY = 6
"""As many dequeues as empty a usual queue; who takes a backlog says so."""


class RuleViolated(AssertionError):
    """A rule was violated in an example. Each rule has a class of its own, so that Hypothesis tells them apart."""


@cache
def violation_of(rule_id: str) -> type[RuleViolated]:
    """The class of the violations of one rule."""
    return type("".join(word.title() for word in rule_id.replace(".", "-").split("-")), (RuleViolated,), {})


@dataclass(frozen=True, slots=True)
class Taken:
    """A delivery, and the job that it came from."""

    queue: Export
    delivery: Delivery


@dataclass(frozen=True, slots=True)
class HandedIn:
    """A message that an enqueue has made, with its job and the file."""

    intake: Import
    message: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Moment:
    """When something may fall due that the machine has set going, and how one looks at it then."""

    at: datetime
    name: str
    look: Callable[[], None]


exports: Bundle[Export] = Bundle("exports")
imports: Bundle[Import] = Bundle("imports")
deliveries: Bundle[Taken] = Bundle("deliveries")
messages: Bundle[HandedIn] = Bundle("messages")

any_job = st.one_of(exports, imports)

spellings = st.sampled_from(
    (
        Spelling(),
        Spelling(),
        Spelling(activity="braced"),
        Spelling(activity="upper", blank="+"),
        Spelling(language="en"),
        Spelling(blank="+"),
    )
)


@dataclass
class Search:
    """One machine's examples on one target: what they did, and which rules they saw violated.

    `ignored` are rules whose violation no longer fails an example. `undone` counts deeds for which the target gave
    nothing to go on with, `exercised` the examples in which a rule found something to judge; `crashed` says which rules
    could not judge and why.
    """

    target: Target
    machine: str
    seed: int
    examples: int = 0
    steps: int = 0
    deeds: Counter[str] = field(default_factory=Counter)
    undone: Counter[str] = field(default_factory=Counter)
    exercised: Counter[str] = field(default_factory=Counter)
    left_out: dict[str, str] = field(default_factory=dict)
    crashed: dict[str, str] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)
    ignored: set[str] = field(default_factory=set)
    _since: int = -1

    def judge(self, mark: int, tape: tuple[Done, ...]) -> Failure | None:
        """Judge what an example brought into the journal; its failure, the worst first."""
        entries = self._entries(mark)
        found = []
        for verdict in judge(Readings(self.target.journal.header, entries), catalogue()):
            self.exercised[verdict.id] += verdict.situations > 0
            if verdict.outcome is Outcome.VIOLATED and verdict.id not in self.ignored:
                finding = verdict.findings[0]
                found.append(
                    Failure(
                        suite=SUITE,
                        where=self.machine,
                        oracle=RuleOracle(verdict.id),
                        message=finding.message,
                        exchanges=finding.exchanges,
                        tape=tape,
                        seed=self.seed,
                    )
                )
            elif verdict.outcome is Outcome.UNDECIDED and verdict.reason is not None:
                self.crashed.setdefault(verdict.id, verdict.reason)
        if not found:
            self._forget()
            return None
        self._since = -1
        worst = min(found, key=lambda each: each.oracle.level is not Level.MUST)
        # The last one stays: where Hypothesis shrinks, that is the smallest.
        self.failures[worst.oracle.name] = worst
        return worst

    def _forget(self) -> None:
        """Drop from memory what was judged and held, once it is much; the journal's file keeps it."""
        if not self.target.can("create-activity"):
            return  # There a story may have begun long ago.
        entries = self.target.journal.entries
        if self._since < 0:
            self._since = len(entries)
        if len(entries) - self._since > MOST_KEPT:
            del entries[self._since :]
            if self.target.emulator is not None:
                self.target.emulator.journal.entries.clear()  # The same seen from the other side.

    def _entries(self, mark: int) -> list[Entry]:
        """The entries of an example that asked for tokens of its own: those of examples before it say nothing here."""
        entries = self.target.entries_since(mark)
        if not self.target.can("create-activity"):
            return entries
        before = len(entries) - (len(self.target.journal.entries) - mark)
        told = [each for each in entries[:before] if not (isinstance(each, Exchange) and each.operation == TOKEN)]
        return told + entries[before:]


Deed = Callable[..., Any]


def deed(
    *needs: str, when: Callable[[Any], bool] | None = None, target: Bundle[Any] | None = None, **draws: Any
) -> Callable[[Deed], Deed]:
    """A rule of a machine: a step that is counted, and left out where the target lacks an ability that it needs.

    Args:
        needs: abilities of the target.
        when: whether it makes sense in the machine's present state.
        target: the bundle that takes what it returns; None (as a value) brings nothing into it.
        draws: strategies of its arguments.
    """

    def accept(does: Deed) -> Deed:
        def done(machine: "Driven", **arguments: Any) -> Any:
            machine.search.steps += 1
            machine.search.deeds[does.__name__] += 1
            try:
                found = does(machine, **arguments)
            except NoDelivery:
                # The server handed nothing out where something was expected; the rules say what that means.
                machine.search.undone[does.__name__] += 1
                found = None
            return multiple() if found is None and target is not None else found

        done.__name__, done.__qualname__, done.__doc__ = does.__name__, does.__qualname__, does.__doc__
        stepping = rule(target=target, **draws) if target is not None else rule(**draws)
        made: Deed = stepping(
            precondition(lambda machine: machine.is_able(*needs) and (when is None or when(machine)))(done)
        )
        made.needs = needs  # type: ignore[attr-defined]  # read by `left_out`
        return made

    return accept


def left_out(machine: "type[Driven]", target: Target) -> dict[str, str]:
    """The deeds of a machine that a target is not able to do, and what it lacks."""
    found = {}
    for name in dir(machine):
        missing = [each for each in getattr(getattr(machine, name), "needs", ()) if not is_able(target, each)]
        if missing:
            found[name] = ", ".join(missing)
    return found


def is_able(target: Target, ability: str) -> bool:
    """Whether a target is able to do this, or can be made to.

    Time is let pass only where nobody has to wait for it: no step depends on the real time.
    """
    if ability == RESTART:
        return target.restart is not None
    return target.can(ability) and (ability != ADVANCE_TIME or target.times.kind == "manual")


class Driven(RuleBasedStateMachine):
    """A machine that drives one target. Every instance is an example.

    Args:
        search: whose example it is.
    """

    def __init__(self, search: Search) -> None:
        super().__init__()
        self.search = search
        self.target = search.target
        search.examples += 1
        self.moments: list[Moment] = []
        self.queues: list[Export] = []
        self.intakes: list[Import] = []
        self.handed_in: list[HandedIn] = []
        self.news: list[Taken] = []
        self.has_restarted = False
        if self.target.can("reset") and self.target.control is not None:
            self.target.control.reset()
        # Tokens of its own: nothing before the mark is needed to judge the example.
        self.target.tokens.forget()
        self.mark = self.target.journal_mark()
        self.stage = Stage(self.target, f"{search.machine} {search.seed} {search.examples}")
        self._taping: AbstractContextManager[list[Done]] = self.target.taping()
        self.tape = self._taping.__enter__()

    def is_able(self, *abilities: str) -> bool:
        """Whether the target is able to do all this."""
        return all(is_able(self.target, each) for each in abilities)

    def teardown(self) -> None:
        """End the example, and let the rules judge it.

        Raises:
            RuleViolated: one of them was violated.
        """
        # An example that Hypothesis gave up, or that broke, is not judged: its own exception says why.
        is_whole = sys.exc_info()[1] is None
        try:
            if is_whole:
                self.look_once_more()
        finally:
            self._taping.__exit__(None, None, None)
        if not is_whole:
            return
        self.stage.leave()
        failure = self.search.judge(self.mark, tuple(self.tape))
        if failure is not None:
            raise violation_of(failure.oracle.name)(f"{failure.oracle.name}: {failure.message}")

    # The end of an example

    def look_once_more(self) -> None:
        """Look at everything, let every lease end, and look at what comes back."""
        if not self.is_able("create-activity"):
            return  # Jobs that others share are not emptied.
        for message in self.handed_in[-REMEMBERED:]:
            self.ask(message)
        self.look_at_jobs()
        if self.queues and self.is_able(ADVANCE_TIME):
            for queue in self.queues:
                self.drain(queue)
            self.target.advance(BETWEEN_TWO_LOOKS)
            for queue in self.queues:
                self.drain(queue)

    def look_at_jobs(self) -> None:
        """Manage messages, the samples of the load, and the target tables of imports."""
        jobs: tuple[Job, ...] = (*self.queues, *self.intakes)
        for job in jobs:
            if self.is_able("messages"):
                job.observe_messages()
            if self.is_able("monitoring") and job.settings.get("monitoring_recurrence"):
                job.observe_load()
        if self.is_able("records"):
            for intake in self.intakes:
                intake.observe_records()

    # What deeds have in common

    def drain(self, queue: Export, actor: str = "authorised", limit: int = ALMOST_EMPTY) -> list[Taken]:
        """Dequeue, and download, until nothing comes any more."""
        taken = []
        for _ in range(limit):
            found = queue.dequeue(actor)
            if found is None:
                break
            taken.append(self.took(queue, found))
            if found.has_file:
                queue.download(found, actor)
        return taken

    def took(self, queue: Export, delivery: Delivery) -> Taken:
        """Remember a delivery: in half an hour it may come back."""
        self.expect(timedelta(minutes=30), "the lease", lambda: self.news.extend(self.drain(queue)))
        return Taken(queue, delivery)

    def ask(self, handed_in: HandedIn) -> None:
        """Ask for the status of a message, and for its execution, errors and summary."""
        intake, message = handed_in.intake, handed_in.message
        intake.status(message)
        intake.jobstatus(message)
        execution = intake.execution_of(message)
        if execution is not None:
            intake.errors_of(execution)
            intake.summary_of(execution)

    def stranger(self, number: int) -> tuple[str, str | None]:
        """Somebody who must be refused, with a token where it is not its own."""
        roles = ["anonymous", "forged", *(each for each in ("unlisted", "unmapped") if self.is_able(f"{each}-client"))]
        actor = roles[number % len(roles)]
        return actor, self.target.tokens.forged() if actor == "forged" else None

    # Time

    def expect(self, period: timedelta, name: str, look: Callable[[], None]) -> None:
        """Remember that something may fall due a period from now."""
        self.expect_at(self.stage.now() + period, name, look)

    def expect_at(self, instant: datetime, name: str, look: Callable[[], None]) -> None:
        """Remember that something may fall due at an instant."""
        self.moments.append(Moment(instant, name, look))
        del self.moments[:-REMEMBERED]

    @deed(ADVANCE_TIME, seconds=st.sampled_from(STEPS))
    def let_time_pass(self, seconds: int) -> None:
        """Let time pass without a reason."""
        self.stage.advance(seconds=seconds)

    @deed(
        ADVANCE_TIME,
        when=lambda machine: bool(machine.moments),
        target=deliveries,
        ago=st.integers(0, REMEMBERED - 1),
        side=st.sampled_from(SIDES),
    )
    def wait_for_a_moment(self, ago: int, side: str) -> MultipleResults[Taken]:
        """Let time pass until just before, at or just after a moment that was remembered, and look."""
        return self.wait_for(self.moments[-1 - ago % len(self.moments)], side)

    @deed(ADVANCE_TIME, when=lambda machine: bool(machine.moments), target=deliveries, side=st.sampled_from(SIDES))
    def wait_for_the_latest_moment(self, side: str) -> MultipleResults[Taken]:
        """The same with the moment that was remembered last."""
        return self.wait_for(self.moments[-1], side)

    @deed(ADVANCE_TIME, when=lambda machine: bool(machine.moments), target=deliveries, side=st.sampled_from(SIDES))
    def wait_for_the_next_moment(self, side: str) -> MultipleResults[Taken]:
        """The same with the moment that comes next."""
        now = self.stage.now()
        return self.wait_for(min(self.moments, key=lambda each: (each.at <= now, each.at)), side)

    def wait_for(self, moment: Moment, side: str) -> MultipleResults[Taken]:
        """Let time pass until just before, at or just after a moment, and look."""
        if side == "before":
            self.stage.until_shortly_before(moment.at)
        elif side == "at" and self.target.times.kind == "manual":
            self.stage.until(moment.at)
        else:
            self.stage.until_shortly_after(moment.at)
        self.news.clear()
        moment.look()
        return multiple(*self.news)

    @deed(RESTART, when=lambda machine: not machine.has_restarted)
    def restart(self) -> None:
        """Let the target die, and come back with what it had stored; once is enough for an example."""
        self.has_restarted = True
        if self.target.restart is not None:
            since = self.stage.now()
            self.target.restart()
            observe(self.target.journal, "restart", since, self.stage.now(), {})
