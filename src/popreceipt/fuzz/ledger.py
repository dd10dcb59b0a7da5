"""What was done and what was wrong with it: examples in stretches, each stretch judged by all rules at its end.

A stretch begins with a fresh world (reset, where the target is able to) and has its own jobs. Its tape holds
everything since; a failure takes the part of it that its example did, where that alone shows the failure.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import Final

from popreceipt.client.guarding import NotPermitted
from popreceipt.client.tape import Done
from popreceipt.client.transport import TOO_LONG
from popreceipt.client.wire import Reply
from popreceipt.exceptions import NotAbleTo
from popreceipt.fuzz.world import World
from popreceipt.journal import Entry, Exchange
from popreceipt.reproduction.failure import Failure, Oracle
from popreceipt.reproduction.oracles import AnswerOracle, RuleOracle
from popreceipt.rules import catalogue
from popreceipt.rules.readings import Readings
from popreceipt.rules.rule import Rule
from popreceipt.shapes.documents import Operation
from popreceipt.targets import Target
from popreceipt.verdict import Level, Outcome, judge

CASES_A_STRETCH: Final = 25
"""Examples of one operation that share a world."""

EXAMPLES_A_STRETCH: Final = 8
"""Stateful examples that share a world; each still has its own jobs."""

STATEFUL: Final = "stateful"


@dataclass(frozen=True, slots=True)
class Call:
    """One example's call, as it was answered.

    Args:
        operation: of which operation.
        reply: the answer.
        actor: who called.
        positive: nothing was wrong with it on purpose, and the authorised client sent it.
        met: it found the state that its success needs.
        must_succeed: the documentation leaves nothing open that could keep it from its success.
        known_activity: its path names a recurring data job that has the operation.
    """

    operation: Operation
    reply: Reply
    actor: str
    positive: bool
    met: bool
    must_succeed: bool
    known_activity: bool


@dataclass(slots=True)
class _Segment:
    """What one example did: from where on the tape and in the journal."""

    tape: int
    entries: int


@dataclass
class Ledger:
    """The book of one run.

    Args:
        target: whom the run drives.
        seed: of the run.
        chance: decides what worlds are like.
        epilogue: does what is to be done at the end of a stretch, before it is judged.
    """

    target: Target
    seed: int
    chance: Random
    epilogue: Callable[["Ledger"], None] = lambda _: None
    failures: dict[tuple[str, str], Failure] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    phases: Counter[str] = field(default_factory=Counter)
    statuses: dict[str, Counter[int]] = field(default_factory=dict)
    positive: Counter[str] = field(default_factory=Counter)
    met: Counter[str] = field(default_factory=Counter)
    not_sendable: Counter[str] = field(default_factory=Counter)
    unexercised: dict[str, str] = field(default_factory=dict)
    stretches: int = 0
    spent: str | None = None
    """Why nothing more is sent, in words: a tenant's budget."""

    def __post_init__(self) -> None:
        self._open = ExitStack()
        self._tape: list[Done] = []
        self._mark = 0
        self._segments: list[_Segment] = []
        self._cases = 0
        self._phase = ""
        self._by_case: dict[str, Call] = {}
        self.world = World(self.target, "", self.chance)
        self.step = 0
        """How many calls a stateful example has made; counts on elsewhere."""
        self.worlds: list[World] = []
        """The worlds before in this stretch: each stateful example has its own."""

    # Stretches

    def begin(self) -> None:
        """A fresh world."""
        self.stretches += 1
        if self.target.control is not None and self.target.can("reset"):
            self.target.control.reset()
        self._tape = self._open.enter_context(self.target.taping())
        self._mark = self.target.journal_mark()
        self._segments, self._cases = [], 0
        self._by_case.clear()
        self._new_world()
        self.worlds.clear()

    def end(self) -> None:
        """Judge what the stretch brought into the journal."""
        if self._segments:
            self.segment()
            try:
                self.epilogue(self)
            except NotPermitted as refusal:
                self.refused("what was left behind", refusal)
            self._judge()
        self._open.close()
        self._segments = []

    def example(self) -> None:
        """A stateful example begins, with jobs of its own."""
        self._phase = STATEFUL
        if not self._segments or self._cases >= EXAMPLES_A_STRETCH:
            self.end()
            self.begin()
        self._cases += 1
        self.step = 0
        self._new_world()
        self.segment()

    def next_case(self, phase: str) -> None:
        """An example of a single call begins, or one more call of a stateful example."""
        self.step += 1
        if phase == STATEFUL and self._phase == STATEFUL:
            return
        if phase != self._phase or not self._segments or self._cases >= CASES_A_STRETCH:
            self.end()
            self.begin()
        self._phase = phase
        self._cases += 1
        self.segment()

    def segment(self) -> None:
        """What follows was done by another example."""
        self._segments.append(_Segment(len(self._tape), self.target.journal_mark()))

    def _new_world(self) -> None:
        self.worlds.append(self.world)
        self.world = World(self.target, f"fuzz {self.seed} {self.stretches} {len(self._segments)}", self.chance)

    # Calls

    def note(self, call: Call, case: str) -> None:
        """Count a call, and look at its answer."""
        name = call.operation.name
        self._by_case[case] = call
        self.calls[name] += 1
        self.phases[self._phase] += 1
        if call.reply.status is not None:
            self.statuses.setdefault(name, Counter())[call.reply.status] += 1
        if call.positive:
            self.positive[name] += 1
            self.met[name] += call.met
        status = call.reply.status
        if call.reply.failure == TOO_LONG:
            return  # It was answered, with more than there was room for.
        if status is None:
            told = f"A call of {name} is answered."
            self.wrong_answer(name, call, ("none",), "answered-at-all", told)
            return
        if status in BUSY:
            return
        if call.must_succeed and status in (401, 403):
            told = f"The authorised client is let in at {name}."
            self.wrong_answer(name, call, ("401", "403"), "authorised-call-is-let-in", told, actor=call.actor)
        elif call.must_succeed and not 200 <= status < 400:
            told = f"A call of {name} that finds what it asks for succeeds."
            self.wrong_answer(name, call, (str(status),), "what-was-handed-out-works", told, actor=call.actor)

    def call_of(self, case: str) -> Call | None:
        """The call of an example in this stretch."""
        return self._by_case.get(case)

    def unsendable(self, operation: str) -> None:
        """An example could not be written as HTTP."""
        self.not_sendable[operation] += 1

    def refused(self, operation: str, refusal: NotAbleTo) -> None:
        """Something was not sent, since a tenant's description forbids it or nothing is left of its budget."""
        if isinstance(refusal, NotPermitted) and refusal.final:
            self.spent = self.spent or str(refusal)
        else:
            self.unable(operation, str(refusal))

    def unable(self, operation: str, reason: str) -> None:
        """The target could not be brought to the state that an operation's success needs."""
        self.unexercised.setdefault(operation, reason)

    # Failures

    def wrong_answer(
        self,
        where: str,
        call: Call,
        unwanted: tuple[str, ...],
        check: str,
        told: str,
        actor: str | None = None,
    ) -> None:
        """The call that was made last got an answer that it must not get."""
        oracle = AnswerOracle(call.reply.exchange.operation, unwanted, actor, check=check, told=told)
        self.fail(where, oracle, f"it was answered {call.reply.status}", (call.reply.exchange.seq,))

    def fail(self, where: str, oracle: Oracle, message: str, exchanges: tuple[int, ...]) -> None:
        """Note a failure of the example that runs, once for each thing that goes wrong at one place."""
        key = (oracle.name, where)
        if key in self.failures or not self._segments:
            return
        begins = self._segments[-1].tape
        self.failures[key] = Failure("fuzz", where, oracle, message, exchanges, tuple(self._tape[begins:]), self.seed)

    def _judge(self) -> None:
        header, entries = self.target.journal.header, self.target.entries_since(self._mark)
        for verdict in judge(Readings(header, entries), _convicting()):
            if verdict.outcome is not Outcome.VIOLATED or (verdict.id, RULES) in self.failures:
                continue
            finding = next(each for each in verdict.findings if each.outcome is Outcome.VIOLATED)
            oracle = RuleOracle(verdict.id)
            tape = self._shortest(oracle, finding.exchanges)
            self.failures[(verdict.id, RULES)] = Failure(
                "fuzz", self._phase, oracle, finding.message, finding.exchanges, tape, self.seed
            )

    def _shortest(self, oracle: Oracle, witnesses: Iterable[int]) -> tuple[Done, ...]:
        """What the examples of the witnesses did, if that alone shows the failure; else the whole stretch."""
        seen = frozenset(witnesses)
        everything = self.target.journal.entries
        bounds = [*self._segments, _Segment(len(self._tape), len(everything))]
        chosen = [
            (this, following)
            for this, following in pairwise(bounds)
            if any(
                isinstance(each, Exchange) and each.seq in seen for each in everything[this.entries : following.entries]
            )
        ]
        told = self.target.entries_since(self._mark)[: -len(everything[self._mark :]) or None]
        entries: list[Entry] = [*told]
        tape: list[Done] = []
        for this, following in chosen:
            entries += everything[this.entries : following.entries]
            tape += self._tape[this.tape : following.tape]
        if oracle.observed(self.target.journal.header, entries) is None:
            return tuple(self._tape)
        return tuple(tape)

    def found(self) -> list[Failure]:
        """All failures, those that convict first."""
        return sorted(self.failures.values(), key=lambda each: (each.oracle.level is not Level.MUST, each.where))


RULES: Final = "*"
"""Stands among the places of failures for what rules find: they name a place themselves."""

BUSY: Final = frozenset({408, 429, 502, 503, 504})
"""Answers of a server, or of one before it, that has no time: they say nothing about the call."""


def _convicting() -> list[Rule]:
    return [each for each in catalogue() if each.level is not Level.ASK]
