"""The desk of one export: every dequeue of its recurring data job goes out here, and every message is known again.

A message is known by its payload's digest, by a CorrelationId that it had before, or by when it says that it was last
dequeued; never by its receipt, which is another each time. Each new one is handed to the next of a list of scripts,
small generators that say when they go on: when the message is delivered again, or at an instant. The desk joins these
waits, and dequeues when the answer tells something: shortly before a half hour is over, when it is over, and never
just as it ends. It acknowledges nothing by itself but what a script has left.
"""

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from popreceipt.client import wire
from popreceipt.client.times import instant
from popreceipt.client.wire import PLAIN, Delivery, Reply, Spelling
from popreceipt.tour.errand import Call, Route, Stopped, Until
from popreceipt.tour.errands.asking import FAULT, LEASE, PAUSE, PRECISION, TRIES, asked, in_doubt, unanswered

LINGER: Final = timedelta(minutes=1)
"""So much later than its caller gave up a lost dequeue may still take effect."""

TARDY: Final = timedelta(seconds=35)
"""Services may look now and then only for what is to be offered again: so much later it should be back."""

LOOKS_AGAIN: Final = 2
"""So often what did not come is looked for so much later: whoever is later than may be brings it back all the same."""

LONGEST_AWAY: Final = timedelta(minutes=16)
"""A server that answers nothing is asked again after so long at most."""

MOST_AWAY: Final = timedelta(hours=2)
"""So much longer at most a first export is waited for where the server was away."""

LATELY: Final = 2 * LEASE
"""A message that somebody dequeued so short a time ago is somebody's who is still at work."""

OTHER_SPELLINGS: Final = (Spelling(activity="braced"), Spelling(language="en"), Spelling(case="upper"))
"""Other ways to write the path: some dequeues go out so."""

MOST_ODD: Final = 6
"""How many dequeues in another spelling may be refused or lost, at most."""

ZERO_DATES: Final = datetime(1901, 1, 1, tzinfo=UTC)
"""What lies before stands for a blank: the zero dates of either platform."""

COLLEAGUE: Final = "authorised/two"
"""The same application with a token of its own, as consumers that work side by side have them."""

COLLEAGUES: Final = 4
"""Every so many times the colleague dequeues."""

GUARD_AT_MOST: Final = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Again:
    """Wait until the message is delivered again.

    Args:
        due: when to look for it; by default when its half hour is over, a download counted in.
        alone: stop looking when one of those that are looked for then is there, whatever else waits.
        what: completes "waiting for …".
    """

    due: datetime | Callable[[], datetime] | None = None
    alone: bool = False
    what: str = "messages of {role} to be offered again"


@dataclass(frozen=True, slots=True)
class Look:
    """Wait for an instant, and dequeue then until nothing waits; `what` completes "waiting for …"."""

    instant: datetime
    what: str


Wish = Again | Look | Until

Script = Generator[Wish, None, bool]
"""What is done with one message; tells in the end whether it showed what it should."""

Asking = Generator[Until, None, Reply]


@dataclass(slots=True, eq=False)
class Held:
    """A message that was delivered here.

    Args:
        born: when the last empty answer before its first delivery was asked for; None where it may be older.
        taken: when each delivery was asked for and answered.
        delivery: what the last one said.
        touched: when it was delivered or downloaded last.
        digest: of its file, once that was fetched.
        correlations: the CorrelationIds that it had.
        acknowledged: an acknowledgment was accepted.
        given_up: it did not come back.
        in_doubt: an acknowledgment since the last delivery got no answer.
        endings: how often it was to be acknowledged for good.
        quiet_until: nobody may dequeue from shortly before the end of its half hour until then.
        missed: how often it was looked for in vain since its last delivery.
        adrift: it had been dequeued before it was first seen, and nobody knows which message it is.
        round: the delivery with which the two half hours began that its script looks at.
        waits: what its script waits for.
    """

    born: datetime | None
    taken: list[tuple[datetime, datetime]]
    delivery: Delivery
    touched: datetime
    digest: str | None = None
    correlations: set[str] = field(default_factory=set)
    acknowledged: bool = False
    given_up: bool = False
    in_doubt: bool = False
    endings: int = 0
    quiet_until: datetime | None = None
    adrift: bool = False
    missed: int = 0
    round: int = 0
    waits: Wish | None = None
    script: Script | None = None
    entry: "Entry | None" = None

    @property
    def lease_end(self) -> datetime:
        """When its half hour is certainly over, unless a download begins it anew."""
        return self.taken[-1][1] + LEASE

    @property
    def due(self) -> datetime:
        """When it is back, a download counted in."""
        return self.touched + LEASE

    @property
    def live(self) -> bool:
        """Whether it may come back."""
        return not self.acknowledged and not self.given_up

    def lost(self) -> bool:
        """Whether it did not come back."""
        return self.given_up


@dataclass(slots=True)
class Entry:
    """One script of the desk's list.

    Args:
        play: makes the script for a message.
        fits: whether a message will do.
        group: it looks at two half hours, and these should be the same for all such messages.
        long: it goes on when all others are over.
        attempts: how often it may be begun.
        with_file: it is for messages with a file, else for those without.
    """

    play: "Callable[[Desk, Held], Script]"
    fits: "Callable[[Desk, Held], bool]" = lambda desk, held: True  # noqa: ARG005  every message will do
    group: bool = False
    long: bool = False
    attempts: int = 3
    with_file: bool = True


class OtherConsumer(Stopped):
    """Somebody else takes messages there: nothing is acknowledged any more."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How much a desk does.

    Args:
        backlog: how many messages it may find waiting at first.
        messages: how many it takes at most while it looks for new ones.
        between: how many more at most while one is left for hours or days.
        pace: how often it looks for new ones.
        supply: for how long.
        first: by when a first one must have come.
        strangers: roles of clients whose acknowledgment must be refused.
        elsewhere: the role of another export, on which an acknowledgment is tried; None where there is none.
    """

    backlog: int
    messages: int
    between: int
    pace: timedelta
    supply: timedelta
    first: timedelta
    strangers: tuple[str, ...] = ("anonymous",)
    elsewhere: str | None = None


class Desk:
    """One export's queue as one caller sees it.

    Args:
        call: the errand's.
        role: the export's.
        terms: how much is done.
        entries: the scripts, in the order in which messages are handed to them.
        rest: what is done with a message that no script wants.
        ending: what is sent when all but the long scripts are over.
    """

    def __init__(
        self,
        call: Call,
        role: str,
        terms: Terms,
        entries: Iterable[Entry],
        *,
        rest: "Callable[[Desk, Held], Script]",
        ending: "Callable[[Desk], Route]",
    ) -> None:
        self.call = call
        self.role = role
        self.terms = terms
        self.activity = call.activity(role)
        self.entries = list(entries)
        self.held: list[Held] = []
        self.kept: list[Held] = []
        """Messages that are kept for days, in the order in which they came."""
        self.served: set[str] = set()
        """What some of them were kept for, and served."""
        self._rest = rest
        self._ending = ending
        self._ended = False
        self._emptied: datetime | None = None
        self._doubts: list[tuple[datetime, datetime]] = []
        self._knocks: list[tuple[datetime, datetime]] = []
        self._silences: list[tuple[datetime, datetime]] = []
        self._began: datetime | None = None
        self._once_more: datetime | None = None
        self._poll: datetime | None = None
        self._look: datetime | None = None
        self._trip = timedelta(0)
        self._odd: list[Spelling] = list(OTHER_SPELLINGS)
        self._odd_left = MOST_ODD
        self._drains = 0
        self._away = LINGER / 2
        self._unheard = timedelta(0)
        self._fresh = 0
        self._assisted = 0

    def run(self) -> Route:
        """Serve the scripts until all are over.

        Raises:
            Stopped: nothing came, too much waited, or a request was not permitted. What was taken is acknowledged
                then, as far as it may be, but for what waited already.
            OtherConsumer: somebody else takes messages there.
        """
        try:
            yield from self._first()
            yield from self._serve()
            yield from self._settle()
        except OtherConsumer:
            raise
        except Stopped:
            if self._began is not None:
                # Before, nobody knows whose the messages are that waited: they come back by themselves.
                self._tidy()
            raise

    # What scripts do

    @property
    def now(self) -> datetime:
        """It is at least this late."""
        return self.call.moment

    @property
    def margin(self) -> timedelta:
        """How far behind a boundary a probe stays."""
        return self.call.margin

    @property
    def guard(self) -> timedelta:
        """How far before the end of a half hour a dequeue stays, so that it is over by then."""
        return PRECISION + min(self.margin, GUARD_AT_MOST) + 3 * self._trip

    def fetch(self, held: Held, *, fault_tells: bool = False, insist: bool = True) -> Asking:
        """Download a message's file, from where that is redirected to as well.

        `fault_tells`: a fault of the server may be the answer. `insist`: what fails is tried again; else only the first
        try tells something.
        """
        ask = wire.download(str(held.delivery.location))
        if insist:
            reply = yield from asked(self.call, "download", ask, fault_tells=fault_tells)
        else:
            reply = self.call.send("download", ask)
        held.touched = max(held.touched, reply.exchange.answered)
        for attempt in range(TRIES):
            followed = self.call.follow("redirected", reply)
            if followed is reply or not unanswered(followed):
                break
            if attempt + 1 < TRIES:
                yield Until(followed.exchange.answered + PAUSE, "another try at a file")
        held.touched = max(held.touched, followed.exchange.answered)
        response = followed.exchange.response
        if followed.ok and response is not None and response.body is not None:
            held.digest = held.digest or response.body.digest()
        return followed

    def acknowledge(self, held: Held, *, insist: bool = True) -> Asking:
        """Acknowledge a message with the very answer of its last dequeue.

        `insist`: what fails is tried again; else it is the first try that tells something.
        """
        for attempt in range(TRIES if insist else 1):
            before = held.in_doubt
            reply = self.once("ack", held, held.delivery.body)
            # A fault that follows a lost answer may mean that the first try was effective.
            if not in_doubt(reply) or (before and not unanswered(reply)):
                break
            if insist and attempt + 1 < TRIES:
                yield Until(reply.exchange.answered + PAUSE * 2**attempt, "another try to acknowledge")
        held.acknowledged = held.acknowledged or reply.ok
        return reply

    def once(
        self,
        line: str,
        held: Held,
        body: bytes,
        *,
        actor: str = "authorised",
        activity: str | None = None,
        spelling: Spelling = PLAIN,
    ) -> Reply:
        """Send an acknowledgment of which only the first try tells anything."""
        reply = self.call.send(line, wire.ack(activity or self.activity, body, spelling), actor=actor)
        held.in_doubt = held.in_doubt or unanswered(reply)
        return reply

    def knock(self, actor: str) -> Reply:
        """Dequeue as somebody who is to be refused."""
        reply = self.call.send("dequeue-refused", wire.dequeue(self.activity), actor=actor)
        span = reply.exchange.sent, reply.exchange.answered
        self._knocks.append(span)
        if in_doubt(reply) or wire.delivery(reply) is not None:
            self._doubts.append(span)
        return reply

    def silent_until(self) -> datetime | None:
        """The end of a silence that is on; None where there is none."""
        return max((until for since, until in self._silences if since <= self.now < until), default=None)

    def silence(self, since: datetime, until: datetime) -> None:
        """Let nobody dequeue within a stretch of time."""
        self._silences.append((since, until))

    def in_doubt_since(self, instant: datetime) -> bool:
        """Whether a dequeue that was sent since may have taken a message that nobody was told of."""
        return any(answered + LINGER >= instant for _, answered in self._doubts)

    def unknown_since(self, instant: datetime) -> bool:
        """Whether a message was delivered since of which nobody knows which one it is."""
        return any(each.adrift and each.taken[-1][1] >= instant for each in self.held)

    def eldest(self) -> Held | None:
        """The first message of those that are looked at for two half hours."""
        return next((each for each in self.held if each.entry is not None and each.entry.group), None)

    def group(self) -> list[Held]:
        """The messages that are looked at for two half hours, as far as these began within minutes."""
        eldest = self.eldest()
        if eldest is None:
            return []
        since = eldest.taken[eldest.round][0]
        return [
            each
            for each in self.held
            if each.entry is not None
            and each.entry.group
            and each.live
            and since <= each.taken[-1][0] <= since + GROUP_WITHIN
        ]

    def once_more(self, entry: Entry) -> None:
        """Try a script again with another message, and look for one for a while yet."""
        self.entries.insert(0, entry)
        self._once_more = self.now + LEASE

    # Serving

    def _first(self) -> Route:
        """Take what waits already: not more than was to be expected, and nothing that somebody else is at work on."""
        yield from self._drain(everything=True)
        self._began = self.call.moment
        self._poll = self._began
        for held in list(self.held):
            self._hand_out(held)

    def _serve(self) -> Route:
        while True:
            due = self._next()
            if due is None:
                if self._ended:
                    return
                self._ended = True
                yield from self._ending(self)
                continue
            when, what, act = due
            if not self._ended and not self._busy():
                self._ended = True
                yield from self._ending(self)
            if when > self.call.moment:
                yield Until(when, what)
            yield from act()

    def _busy(self) -> bool:
        """Whether anything but long scripts is under way, or looked for."""
        short = any(
            each.script is not None and (each.entry is None or not each.entry.long) and each.live for each in self.held
        )
        return short or self._looks_for_more()

    def _looks_for_more(self) -> bool:
        if self._began is None:
            return True
        if not self.entries or self._fresh >= self.terms.messages:
            return False
        if not self.held:
            # As long as the server was away nobody can say that no export came.
            return self.call.moment < self._began + self.terms.first + self._unheard
        return self.call.moment < self._supplied(self._began)

    def _supplied(self, began: datetime) -> datetime:
        """Until when new messages are looked for: longer where a script is tried again."""
        return max(began + self.terms.supply, self._once_more or began)

    def _next(self) -> "tuple[datetime, str, Callable[[], Route]] | None":
        """What is done next: when, what for, and how."""
        found: list[tuple[datetime, int, str, Callable[[], Route]]] = []
        for held in self.held:
            waits = held.waits
            if isinstance(waits, Until):
                found.append((waits.instant, 0, waits.what, self._going_on(held)))
            elif isinstance(waits, Look):
                found.append((self._open(waits.instant), 1, waits.what, self._looking(held)))
            elif isinstance(waits, Again):
                when = self._back(held, waits)
                what = waits.what.format(role=self.role)
                found.append((self._open(when), 2, what, self._expecting(alone=waits.alone)))
        if self._look is not None:
            found.append((self._open(self._look), 3, f"the queue of {self.role}", self._expecting()))
        if self._poll is not None and self._looks_for_more():
            found.append((self._open(self._poll), 4, f"an export of {self.role}", self._polling))
        if not found:
            return None
        when, _, what, act = min(found, key=lambda each: each[:2])
        return when, what, act

    def _going_on(self, held: Held) -> Callable[[], Route]:
        def act() -> Route:
            self._go_on(held)
            yield from ()

        return act

    def _looking(self, held: Held) -> Callable[[], Route]:
        def act() -> Route:
            waits = held.waits
            empty = yield from self._drain()
            if held.waits is waits and (empty or self._look is None):
                self._go_on(held)

        return act

    def _expecting(self, *, alone: bool = False) -> Callable[[], Route]:
        def act() -> Route:
            expected = [each for each in self.held if self._is_expected(each)]
            empty = yield from self._drain(until=expected if alone else None)
            if not empty:
                return
            for held in expected:
                if self._is_expected(held):
                    self._missed(held)

        return act

    def _polling(self) -> Route:
        self._poll = self.call.moment + self.terms.pace
        yield from self._drain()
        self._poll = max(self._poll, self.call.moment)
        if not self.held and self._began is not None:
            yield from self._assist()

    def _assist(self) -> Route:
        """Where no export comes by itself, ask a person to run some."""
        patience = self.terms.first / (MOST_ASSISTED + 1) * (self._assisted + 1)
        if self._began is None or self._assisted >= MOST_ASSISTED or self.call.moment < self._began + patience:
            return
        self._assisted += 1
        step = (
            f"No export has come from {self.role} (activity ID {self.activity}). Run the export of its recurring data "
            "job now, several times if you can, each time with records that were not exported before."
        )
        if self.call.assist(step, f"exports of {self.role} were run by hand"):
            yield from self._drain()

    def _is_expected(self, held: Held) -> bool:
        waits = held.waits
        return isinstance(waits, Again) and held.live and self._back(held, waits) <= self.call.moment

    def _back(self, held: Held, waits: Again) -> datetime:
        """When to look for a message that is waited for."""
        due = waits.due() if callable(waits.due) else waits.due
        return (due or held.due) + self.margin

    def _missed(self, held: Held) -> None:
        """A message did not come although its time was over and nothing more waits."""
        doubt = max((answered for _, answered in self._doubts), default=None)
        if doubt is not None and doubt + LINGER + LEASE > self.call.moment:
            held.waits = Again(doubt + LINGER + LEASE)
            return
        if self.call.moment < held.due:
            # It was looked for at an instant of its own, and was delivered shortly before.
            held.waits = Again()
            return
        held.missed += 1
        if held.missed <= LOOKS_AGAIN:
            held.waits = Again(self.call.moment + TARDY)
            return
        held.given_up = True
        self._go_on(held)

    def _go_on(self, held: Held) -> None:
        """Run a message's script until it waits again, or is over."""
        script = held.script
        if script is None:
            return
        held.waits = None
        try:
            held.waits = next(script)
        except StopIteration as end:
            self._over(held, showed=bool(end.value))

    def _over(self, held: Held, *, showed: bool) -> None:
        held.script, entry = None, held.entry
        held.quiet_until = None
        if entry is not None and not showed and entry.attempts > 1:
            entry.attempts -= 1
            self.once_more(entry)
        if held.live and entry is not None:
            held.entry = None
            self._begin(held, self._rest(self, held))

    def _begin(self, held: Held, script: Script) -> None:
        held.script = script
        self._go_on(held)

    # Dequeues

    def _open(self, when: datetime) -> datetime:
        """The first instant from then on at which a dequeue may go out.

        Not in a silence, not where a script wants quiet, and not so shortly before the end of a half hour that nobody
        could say on which side of it the answer was.
        """
        when = max(when, self.call.moment)
        while (later := self._closed_until(when)) is not None:
            when = later
        return when

    def _closed_until(self, when: datetime) -> datetime | None:
        for since, until in self._silences:
            if since <= when < until:
                return until
        for held in self.held:
            if not held.live:
                continue
            end = held.lease_end + PRECISION + ROUNDING
            if held.quiet_until is not None:
                end = max(end, held.quiet_until)
            if held.lease_end - self.guard <= when < end:
                return end
        return None

    def _drain(self, *, everything: bool = False, until: list[Held] | None = None) -> Generator[Until, None, bool]:
        """Dequeue until nothing waits; whether that is so.

        Where a dequeue would fall on the end of a half hour the rest is left for later, but for `everything`. `until`:
        only until one of these is there.
        """
        self._look = None
        odd = self._other_spelling() if self._emptied is not None else None
        while True:
            closed = None if everything else self._closed_until(self.call.moment)
            if closed is not None:
                self._look = closed
                return False
            reply = yield from self._dequeue(odd or PLAIN)
            odd = None
            if reply is None:
                # The server is away: it is left alone, for longer each time.
                self._away = min(2 * self._away, LONGEST_AWAY)
                self._unheard = min(self._unheard + self._away, MOST_AWAY)
                self.silence(self.call.moment, self.call.moment + self._away)
                if self._looks_for_more():
                    self._look = self.call.moment + self._away
                return False
            self._away = LINGER / 2
            found = wire.delivery(reply)
            if found is None:
                if reply.ok:
                    self._emptied = reply.exchange.sent
                return True
            yield from self._take(reply, found, hand_out=not everything)
            if everything and len(self.held) > self.terms.backlog:
                raise OtherConsumer(self._hidden(f"more than {self.terms.backlog} messages waited in {self.role}"))
            if until is not None and not all(self._is_expected(each) for each in until):
                return False
            if self._fresh >= self.terms.messages and not any(self._is_expected(each) for each in self.held):
                return False
            if self._fresh >= self.terms.messages + self.terms.between:
                self._give_up()
                return False

    def _give_up(self) -> None:
        """More wait than are to be taken: what is looked for behind them is left, and not said to be gone."""
        for held in self.held:
            if self._is_expected(held):
                held.given_up = True
                self._go_on(held)

    def _other_spelling(self) -> Spelling | None:
        """Another way to write the path, for the first dequeue of some."""
        self._drains += 1
        return self._odd[0] if self._odd and self._odd_left and self._drains % 2 else None

    def _dequeue(self, spelling: Spelling) -> Generator[Until, None, Reply | None]:
        """Dequeue once; again where no message can have been taken, or one may have been taken unseen.

        None where no answer is to be had.
        """
        for attempt in range(TRIES + 1):
            actor = COLLEAGUE if self._drains % COLLEAGUES == 0 and spelling is PLAIN else "authorised"
            reply = self.call.send("dequeue", wire.dequeue(self.activity, spelling), actor=actor)
            exchange = reply.exchange
            if reply.ok:
                self._trip = max(exchange.answered - exchange.sent, self._trip * 0.8)
                self._spelled(spelling, delivered=wire.delivery(reply) is not None)
                return reply
            if in_doubt(reply):
                self._doubts.append((exchange.sent, exchange.answered))
            if spelling is not PLAIN:
                # Whether this spelling is understood is told by now; what waits is asked for plainly.
                self._odd_left -= 1
                if reply.status is not None and reply.status <= FAULT:
                    self._odd = [each for each in self._odd if each != spelling]
                spelling = PLAIN
                continue
            if attempt < TRIES:
                yield Until(exchange.answered + PAUSE * 2**attempt, "another try after a failure")
        if not in_doubt(reply) and not unanswered(reply):
            raise Stopped(f"dequeues of {self.role} are refused with {reply.status}")
        return None

    def _spelled(self, spelling: Spelling, *, delivered: bool) -> None:
        """A spelling was understood. With braces a message is wanted: how its location is spelled is to be seen."""
        if spelling in self._odd and (delivered or spelling.activity != "braced"):
            self._odd.remove(spelling)
        elif spelling in self._odd:
            self._odd.append(self._odd.pop(0))

    # Messages

    def _take(self, reply: Reply, found: Delivery, *, hand_out: bool) -> Route:
        """Find out which message was delivered, and let its script go on, or hand it to one.

        At first nothing is handed out: nothing is acknowledged before it is known that nobody else is at work.
        """
        sent, answered = reply.exchange.sent, reply.exchange.answered
        last = last_dequeued(found)
        held = self._by_correlation(found) or self._by_last(found, last)
        new = Held(self._emptied, [(sent, answered)], found, answered)
        if held is None and last is not None:
            self._explained(last, sent)
        elif held is not None and last is not None and held.due <= last <= sent - LEASE and not self._is_own(last):
            # It was back, somebody took it, and his half hour is over.
            self._met_another(last)
        if held is None and last is not None and found.has_file:
            yield from self.fetch(new)
            held = next((each for each in self.held if each.digest is not None and each.digest == new.digest), None)
        if held is None:
            self._fresh += 1
            new.born = new.born if last is None else None
            new.adrift = last is not None
            new.correlations.add(found.correlation or "")
            self.held.append(new)
            if hand_out:
                self._hand_out(new)
            return
        held.taken.append((sent, answered))
        held.delivery = found
        held.touched = max(new.touched, answered)
        held.correlations.add(found.correlation or "")
        held.given_up = held.in_doubt = False
        held.missed = 0
        if held.script is None and hand_out:
            # Nobody waited for it: acknowledged before, or given up.
            held.acknowledged = False
            held.endings += 1
            if held.endings <= MOST_ENDINGS:
                self._begin(held, self._rest(self, held))
        elif isinstance(held.waits, Again):
            self._go_on(held)

    def _by_correlation(self, found: Delivery) -> Held | None:
        if not found.correlation:
            return None
        return next((each for each in reversed(self.held) if found.correlation in each.correlations), None)

    def _by_last(self, found: Delivery, last: datetime | None) -> Held | None:
        """The one message without a file, or whose file is another now, that was dequeued when this says it was."""
        if last is None or found.has_file:
            return None
        fitting = [
            each
            for each in self.held
            if each.live and each.taken[-1][0] - PRECISION <= last <= each.taken[-1][1] + PRECISION
        ]
        return fitting[0] if len(fitting) == 1 else None

    def _explained(self, last: datetime, now: datetime) -> None:
        """See to it that a message which was dequeued before was so by nobody who is still at work.

        One that names the very dequeue that brought it tells of nobody else.

        Raises:
            OtherConsumer: it was dequeued lately, and not here.
        """
        itself = now - PRECISION - self.margin <= last
        if not self._is_own(last) and not itself and now - LATELY <= last:
            self._met_another(last)

    def _is_own(self, last: datetime) -> bool:
        """Whether a dequeue that went out here may be the one of an instant."""
        unseen = (*self._doubts, *self._knocks)
        return any(sent - PRECISION <= last <= answered + LINGER for sent, answered in unseen) or any(
            sent - PRECISION <= last <= answered + PRECISION for each in self.held for sent, answered in each.taken
        )

    def _met_another(self, last: datetime) -> None:
        """Leave the job to whoever dequeued a message then, and say so to who judges.

        Raises:
            OtherConsumer: always.
        """
        self.call.shared(self.role)
        raise OtherConsumer(self._hidden(f"somebody else dequeued a message of {self.role} at {last.isoformat()}"))

    def _hidden(self, why: str) -> str:
        live = [each for each in self.held if each.live]
        if not live:
            return f"{why}: it is not used by this run alone"
        until = max(each.due for each in live).isoformat(timespec="seconds")
        return (
            f"{why}: nothing further is taken or acknowledged there; {len(live)} of its messages are hidden, the last "
            f"until {until}"
        )

    def _hand_out(self, held: Held) -> None:
        over = self._began is not None and self.call.moment >= self._supplied(self._began) + 2 * LEASE
        for place, entry in enumerate(() if over else self.entries):
            if entry.with_file == held.delivery.has_file and entry.fits(self, held):
                del self.entries[place]
                held.entry = entry
                self._begin(held, entry.play(self, held))
                return
        self._begin(held, self._rest(self, held))

    # The end

    def _settle(self) -> Route:
        """Look once more for what a lost dequeue or a lost acknowledgment may have left, and acknowledge it."""
        if not self.held:
            every = int(self.terms.first.total_seconds() / 60)
            raise Stopped(
                f"no export came from {self.role} within {every} minutes: let its recurring data job run meanwhile, or "
                "run it by hand (--assisted)"
            )
        for _ in range(TRIES):
            doubt = max((answered for _, answered in self._doubts), default=None)
            if doubt is None or (self._emptied is not None and self._emptied > doubt + LINGER + LEASE):
                return
            self._look = doubt + LINGER + LEASE + self.margin
            yield from self._serve()

    def _tidy(self) -> None:
        """Acknowledge what is held, where that is still permitted; at the first refusal it is left."""
        try:
            for held in self.held:
                if held.live and self.call.moment < held.taken[-1][0] + LEASE:
                    self.call.send("ack", wire.ack(self.activity, held.delivery.body))
        except Stopped:
            # Why the errand ends is told by what stopped it first.
            return


GROUP_WITHIN: Final = timedelta(minutes=8)
"""Messages that came so close together are looked for again together."""

MOST_ASSISTED: Final = 3
"""How often a person is asked for exports."""

MOST_ENDINGS: Final = 2
"""A message that comes back although it was acknowledged is acknowledged so often again, and then left."""

ROUNDING: Final = timedelta(milliseconds=10)


def last_dequeued(found: Delivery) -> datetime | None:
    """When a message says that it was last dequeued; None for a blank in any of its forms."""
    if not found.last_dequeue:
        return None
    said = instant(found.last_dequeue)
    return None if said is None or said < ZERO_DATES else said
