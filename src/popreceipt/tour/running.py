"""Running a tour: every errand in turn, each request written down before and after, all waits at the same time.

One thread, one request under way. An errand that was begun by an earlier process is run again with what it got then,
up to where that process stopped, and goes on from there. What comes of an errand is told as its state; what it showed
is in the journal, and nobody here judges it.
"""

import fnmatch
import hashlib
import heapq
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import Final, Literal, Protocol
from urllib.parse import urljoin, urlsplit

from popreceipt import vocabulary
from popreceipt.client import wire
from popreceipt.client.guarding import Heard, NotPermitted, asked_for
from popreceipt.client.recording import observe
from popreceipt.client.session import Session, split_base
from popreceipt.client.tokens import Issued
from popreceipt.client.wire import Ask, Reply
from popreceipt.exceptions import NotAbleTo, NothingProved, PopreceiptError, UsageError
from popreceipt.journal import Exchange, is_unsigned, redacted_url, secret_digest
from popreceipt.targets import DATES_TAKEN, Target
from popreceipt.tenants.guard import TenantGuard, pause_of
from popreceipt.tour.errand import Errand, Line, Route, Stopped, TokenLost, Until
from popreceipt.tour.ledger import (
    Assisted,
    Began,
    CannotKeep,
    Done,
    Ended,
    Intent,
    Ledger,
    Refused,
    Step,
    Token,
)
from popreceipt.tour.planning import OwnLines
from popreceipt.tour.waiting import (
    ClockCheck,
    Interruption,
    Patience,
    Silent,
    Watcher,
    real_seconds_until,
    wait,
)

AUTHORISED: Final = "authorised"

ANONYMOUS: Final = "anonymous"

INTERRUPTED: Final = "interrupted"
"""The failure of a request that a process may have sent before it was killed."""

TOKEN_TRIES: Final = 3
"""How often a token is asked for in a row, where its endpoint is out of reach."""

TOKEN_PAUSE: Final = timedelta(seconds=10)

DATES: Final = 3
"""How many Dates are asked for when this computer's clocks have parted."""

TOO_MANY: Final = 429

OWN_BODY: Final = 64 * 1024
"""Bytes that an acknowledgment (the server's own words sent back) and a question may have."""


class How(StrEnum):
    """How it is with an errand at the end of a run."""

    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"
    HELD_UP = "held up"
    PARKED = "parked"


@dataclass(frozen=True, slots=True)
class State:
    """What became of an errand.

    `why` is empty where it came to its end; `until` is when a parked one goes on, by the target's clock.
    """

    errand: str
    how: How
    why: str = ""
    until: datetime | None = None


class Person(Protocol):
    """Somebody at the terminal."""

    def asked(self, step: str) -> bool:
        """Ask them to do something; true when they say it is done, false where they would not."""


@dataclass
class Tour:
    """A tour of a target.

    Args:
        target: whom.
        errands: what to see to, in the order of their importance.
        ledger: what was done so far.
        own: how much may be sent beside the errands.
        patience: how long all waits together may take.
        watcher: is told how far it is.
        person: does what only a person can do; None where nobody is there.
        interruption: how it is broken off.
        keep: lets the journal reach the disk.
    """

    target: Target
    errands: Sequence[Errand]
    ledger: Ledger
    own: OwnLines
    patience: Patience
    watcher: Watcher = field(default_factory=Silent)
    person: Person | None = None
    interruption: Interruption = field(default_factory=Interruption)
    keep: Callable[[], None] = lambda: None
    sent: Counter[str] = field(default_factory=Counter)
    """Requests of this process by line."""

    def __post_init__(self) -> None:
        self._clock = ClockCheck(self.target.times, self.patience.here)
        self._journal = {each.seq: each for each in self.target.journal.exchanges()}
        self._states: dict[str, State] = {}
        # Whoever opened a tenant has asked it for the time before this was made.
        self.sent[self.own.clock.id] += 0 if self.target.tenant is None else DATES_TAKEN

    @property
    def margin(self) -> timedelta:
        """How far from a boundary probes stay: a second, and a tenth of a real second on a clock that runs faster."""
        return timedelta(seconds=1 + 0.1 * self.ledger.terms.rate)

    def run(self) -> tuple[State, ...]:
        """Run every errand that is not over, until all are, or patience is used up; their states, in their order.

        Raises:
            CannotKeep: what is done cannot be written down any more.
            KeyboardInterrupt: somebody broke it off.
            NothingProved: no token is to be had for the authorised client.
        """
        terms = self.ledger.terms
        waiting: list[tuple[datetime, int]] = []
        routes: dict[int, _Going] = {}
        for place, errand in enumerate(self.errands):
            ended = self.ledger.book(errand.name).ended
            if ended is not None:
                self._states[errand.name] = State(errand.name, How(ended.how), ended.why)
            else:
                routes[place] = _Going(self, errand)
                waiting.append((terms.began, place))
        heapq.heapify(waiting)
        if routes:
            self._begin()
        while waiting:
            due, place = waiting[0]
            going = routes[place]
            if self.target.times.earliest() < due:
                if not self._wait(going, len(waiting)):
                    break
                continue
            heapq.heappop(waiting)
            self.watcher.doing(going.errand.text, len(self._states), len(self.errands))
            if (until := going.go_on()) is not None:
                heapq.heappush(waiting, (until.instant, place))
        for due, place in sorted(waiting):
            going = routes[place]
            self._states[going.errand.name] = State(going.errand.name, How.PARKED, going.what, due)
        return tuple(self._states[each.name] for each in self.errands)

    def _begin(self) -> None:
        """Nothing is begun where the first token is not to be had."""
        try:
            self.token(AUTHORISED)
        except _Parked as error:
            raise NothingProved(f"There is no token: nobody waits longer here for {error}.") from error
        except (Stopped, _HeldUp) as error:
            raise NothingProved(str(error)) from error

    def sent_by_itself(self) -> Counter[str]:
        """Requests of this process that no errand asked for, by line."""
        return Counter({each.id: self.sent[each.id] for each in (self.own.tokens, self.own.clock)})

    def _wait(self, going: "_Going", errands: int) -> bool:
        """Wait for the errand that goes on first; false where that would take longer than there is patience for."""
        due = going.due
        seconds = real_seconds_until(self.target.times, due)
        if not self.patience.lasts_for(seconds):
            return False
        wait(self.target.times, Until(due, going.what), errands, self.patience, self.watcher, self.look_at_the_clock)
        return True

    def over(self, state: State) -> None:
        """An errand is over, or can go on no further for now."""
        self._states[state.errand] = state
        if state.how not in (How.PARKED, How.HELD_UP):
            self.ledger.write(Ended(state.errand, state.how.value, state.why))

    def held(self) -> AbstractContextManager[None]:
        """A section that a signal does not break off."""
        return self.interruption.held()

    def exchange(self, number: int) -> Exchange | None:
        """An exchange that an earlier process wrote down."""
        return self._journal.get(number)

    # What the tour itself sends

    def token(self, actor: str) -> str:
        """The current token of an actor, asked for where there is none.

        Raises:
            Stopped: more were asked for than the plan says.
            _HeldUp: none is to be had now.
        """
        own = self.own.tokens
        for attempt in itertools.count(1):
            if self.sent[own.id] >= own.most:
                raise Stopped(f"{own.most} tokens were asked for, and no more are ({own.id})")
            self.leave_alone(str(self.target.identity.get("token_url")))
            before = self.target.journal.next_number
            try:
                with self.held():
                    return self.target.tokens.current(actor)
            except (NotPermitted, UsageError) as refused:
                raise _HeldUp(str(refused)) from refused
            except NothingProved as error:
                if attempt == TOKEN_TRIES or not self._unreached(before):
                    raise _HeldUp(str(error)) from error
            except OSError as error:
                raise cannot_keep(error) from error
            finally:
                self.sent[own.id] += self.target.journal.next_number - before
            self.pause(TOKEN_PAUSE * attempt, "the token endpoint, which did not answer as it should")
        raise AssertionError("the last try has ended in one way or the other")

    def _unreached(self, number: int) -> bool:
        """Whether the last exchange since then is one that another moment may answer otherwise."""
        last = self.target.journal.entries[-1] if self.target.journal.entries else None
        if not isinstance(last, Exchange) or last.seq < number:
            return False
        return last.response is None or last.response.status >= 500 or last.response.status == TOO_MANY

    def leave_alone(self, url: str) -> None:
        """Wait where the server of this URL has asked to be left alone.

        Raises:
            _Parked: that is longer than there is patience for.
        """
        until = None if not isinstance(self.target.guard, TenantGuard) else self.target.guard.not_before(url)
        if until is not None and self.target.times.earliest() < until:
            self.pause_until(until, "the server, which asked to come later")

    def pause(self, length: timedelta, what: str) -> None:
        """Wait in the midst of an errand; all others wait as well.

        Raises:
            _Parked: that is longer than there is patience for.
        """
        self.pause_until(self.target.times.latest() + length, what)

    def pause_until(self, instant: datetime, what: str) -> None:
        """Wait for an instant in the midst of an errand.

        Raises:
            _Parked: that is longer than there is patience for.
        """
        seconds = real_seconds_until(self.target.times, instant)
        if not self.patience.lasts_for(seconds):
            raise _Parked(Until(instant, what))
        others = len(self.errands) - len(self._states)
        wait(self.target.times, Until(instant, what), others, self.patience, self.watcher, self.look_at_the_clock)

    def look_at_the_clock(self) -> None:
        """Where this computer's clocks have parted, ask the target for its Date, and set the clock on if need be."""
        parted = self._clock.parted()
        if not parted:
            return
        date = None
        for _ in range(DATES):
            if self.sent[self.own.clock.id] >= self.own.clock.most:
                break
            self.sent[self.own.clock.id] += 1
            try:
                with self.held():
                    reply = self.target.session.send(Ask("GET", "/"), actor=ANONYMOUS)
            except NotPermitted:
                break
            except OSError as error:
                raise cannot_keep(error) from error
            date = _date(reply) or date
        if self._clock.put_right(date, parted):
            self.watcher.note(f"This computer stood still for {parted.total_seconds():.0f} s: the clock was set on.")


def cannot_keep(error: OSError) -> CannotKeep:
    """What is told where the journal's file cannot be written."""
    return CannotKeep(Path(str(error.filename or "the journal")), error)


class AnotherPlan(UsageError):
    """What stands in a folder cannot be gone on with: it was begun under another plan, or is damaged."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} The description of the tenant, or this program, may have changed since. What was done is kept "
            "there and can be judged (popreceipt judge); begin a new tour in another folder (--out)."
        )


class _Parked(Exception):
    """An errand cannot go on before an instant that nobody waits for now."""

    def __init__(self, until: Until) -> None:
        super().__init__(until.what)
        self.until = until


class _HeldUp(Exception):
    """An errand may not go on as things are; with another budget or another permit it may."""


class _Going:
    """An errand that is under way: its route, and what it waits for."""

    def __init__(self, tour: Tour, errand: Errand) -> None:
        self.tour = tour
        self.errand = errand
        self.due = tour.ledger.terms.began
        self.what = "its turn"
        self._route: Route | None = None
        self._call: _Call | None = None

    def go_on(self) -> Until | None:
        """Run it until it waits for something that has not come; None where it is over, or waits for another day."""
        tour, name = self.tour, self.errand.name
        while True:
            if self._route is None or self._call is None:
                self._call = _Call(tour, self.errand)
                self._route = self.errand.run(self._call)
            call = self._call
            try:
                until = next(self._route)
            except StopIteration:
                tour.over(State(name, How.DONE))
                return None
            except TokenLost:
                self._anew()
                continue
            except _Parked as parked:
                tour.over(State(name, How.PARKED, parked.until.what, parked.until.instant))
                return None
            except _HeldUp as held:
                tour.over(State(name, How.HELD_UP, str(held)))
                return None
            except Stopped as stopped:
                tour.over(State(name, How.STOPPED, str(stopped)))
                return None
            except (CannotKeep, AnotherPlan):
                raise
            except NotAbleTo as error:
                tour.over(State(name, How.STOPPED, str(error)))
                return None
            except PopreceiptError as error:
                tour.over(State(name, How.FAILED, str(error)))
                return None
            except Exception as error:  # noqa: BLE001  one errand's fault must not cost what the others waited for
                tour.over(State(name, How.FAILED, f"{type(error).__name__}: {error}"))
                return None
            call.waited_for(until)
            if call.replaying:
                continue
            self.due, self.what = until.instant, until.what
            return until

    def _anew(self) -> None:
        """Begin it from its start: what it held is gone."""
        if self._route is not None:
            self._route.close()
        self._route = self._call = None
        book = self.tour.ledger.book(self.errand.name)
        self.tour.ledger.write(Began(self.errand.name, book.attempt + 1, self.tour.target.times.latest()))


class _Call:
    """What one attempt of an errand may do (`popreceipt.tour.errand.Call`)."""

    def __init__(self, tour: Tour, errand: Errand) -> None:
        self._tour = tour
        self._errand = errand
        self._lines = {each.id.partition("/")[2]: each for each in errand.lines}
        book = tour.ledger.book(errand.name)
        if book.began is None:
            tour.ledger.write(Began(errand.name, book.attempt, tour.target.times.latest()))
        self._book = book
        self._place = 0
        self._earlier = len(book.steps)
        self._sent: Counter[str] = Counter()
        self._moment = book.began or tour.ledger.terms.began
        seed = f"{tour.ledger.terms.seed}:{errand.name}:{book.attempt}"
        self._random = Random(seed)  # noqa: S311 - contents of test files, not secrets

    # What an errand is told

    @property
    def random(self) -> Random:
        """Chance that follows from the tour's seed and the errand's name."""
        return self._random

    @property
    def margin(self) -> timedelta:
        """How far from a boundary a probe stays."""
        return self._tour.margin

    @property
    def moment(self) -> datetime:
        """The end of what this errand sent or waited for last."""
        return self._moment

    @property
    def replaying(self) -> bool:
        """Whether what comes next was done by an earlier process."""
        return self._place < self._earlier

    def waited_for(self, until: Until) -> None:
        """A wait of this errand is over, or was when an earlier process ran it."""
        self._moment = max(self._moment, until.instant)

    def activity(self, role: str) -> str:
        """The activity ID of this role."""
        return str(self._tour.target.activity(role)["id"])

    def settings(self, role: str) -> dict[str, object]:
        """What is known of this role's recurring data job."""
        return dict(self._tour.target.activity(role))

    def exclusive(self, role: str) -> bool:
        """Whether nobody else uses the job."""
        return self._tour.target.activity(role).get("exclusive") is True

    # What an errand does

    def send(
        self,
        line: str,
        ask: Ask,
        *,
        actor: str = "authorised",
        token: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
        chunked: bool = False,
    ) -> Reply:
        """Send a request under a line."""
        more = tuple(headers)

        def sending() -> Reply:
            own = token
            if own is None and actor != ANONYMOUS:
                own = self._tour.token(actor)
            return self._tour.target.session.send(ask, actor=actor, token=own, headers=more, chunked=chunked)

        def prepare() -> None:
            if token is None and actor != ANONYMOUS:
                self._tour.token(actor)  # before the intent is written down: it is a request of its own

        return self._asked(line, ask, actor, sending, given=token is not None, prepare=prepare, headers=more)

    def follow(self, line: str, reply: Reply, *, actor: str = "authorised") -> Reply:
        """The answer from where a reply redirects to."""
        if self._is_to_be_asked_again(reply):
            reply = self.send(line, wire.download(reply.exchange.request.url), actor=actor)
        location = reply.header("location")
        if reply.status not in _REDIRECTS or not location:
            return reply
        session = self._tour.target.session
        try:
            url = urljoin(reply.exchange.request.url, location)
            origin = split_base(url.partition("?")[0].partition("#")[0])[0]
        except (UsageError, ValueError):  # It is no address.
            return reply
        ask = wire.download(url)
        if origin == session.origin or _named_alike(origin, session.origin):
            return self.send(line, ask, actor=actor)
        tenant, host = self._tour.target.tenant, urlsplit(origin).hostname or ""
        if tenant is None or not any(fnmatch.fnmatchcase(host, each) for each in tenant.hosts):
            return reply
        elsewhere = session.elsewhere(origin)
        return self._asked(
            line, ask, actor, lambda: elsewhere.send(ask, actor=actor), given=False, origin=elsewhere.origin
        )

    def _is_to_be_asked_again(self, reply: Reply) -> bool:
        """Whether a redirect was answered to an earlier process: what signs its location is written down nowhere."""
        if not is_unsigned(reply.header("location") or "") or is_unsigned(reply.exchange.request.url):
            return False
        following = self._next_step()
        if isinstance(following, Intent):
            return following.target == redacted_url(wire.download(reply.exchange.request.url).target)
        return True

    def obtain(
        self,
        line: str,
        *,
        role: str = "authorised",
        version: Literal[1, 2] = 2,
        resource: str | None = None,
        secret: str | None = None,
        actor: str | None = None,
    ) -> Issued:
        """Ask for a token of one's own."""
        identity = self._tour.target.identity
        if role.partition("/")[0] not in identity.get("clients", {}):
            raise NotAbleTo(self._tour.target.name, f"{role}-client", f"a description of the client {role}")
        if version == 1 and not identity.get("token_url_v1"):
            raise NotAbleTo(self._tour.target.name, "token_url_v1", "a description that names this endpoint")
        issued: list[Issued] = []
        called = actor or (role if secret is None else "wrong-secret")

        def sending() -> Reply:
            found = self._tour.target.tokens.obtain(
                role, version=version, resource=resource, secret=secret, actor=actor
            )
            issued.append(found)
            return found.reply

        asked = f"token v{version} for {role}{' of another resource' if resource else ''}"
        reply = self._asked(line, Ask("POST", f"/{asked}", operation=vocabulary.TOKEN), called, sending, given=False)
        if issued:
            return issued[0]
        if reply.ok:
            # The answer in the journal holds a digest in the token's place.
            raise TokenLost
        return Issued(reply)

    def token(self, actor: str = "authorised") -> str:
        """The token that `send` would use for this actor."""
        if self._next_step() is not None:
            self._next(Token(self._errand.name, actor))
            if self._next_step() is not None:
                raise TokenLost
            # Nothing was done with it: another one does as well.
            return self._tour.token(actor)
        found = self._tour.token(actor)
        self._write(Token(self._errand.name, actor))
        return found

    def shared(self, role: str) -> None:
        """Write down that others use a job too."""
        if self.replaying:
            return
        target = self._tour.target
        settings = {name: value for name, value in target.activities[role].items() if name != "id"}
        told = {"activity": self.activity(role), "created": False, "settings": settings | {"exclusive": False}}
        observe(target.journal, "activity", target.times.earliest(), target.times.latest(), told)

    def assist(self, step: str, done: str) -> bool:
        """Ask the person at the terminal to do something."""
        answer = self._next_step()
        if isinstance(answer, Assisted):
            self._place += 1
        elif answer is not None or self._tour.person is None:
            return False
        else:
            since = self._tour.target.times.earliest()
            agreed = self._tour.person.asked(step)
            answer = Assisted(self._errand.name, agreed, self._tour.target.times.latest())
            if agreed:
                observe(self._tour.target.journal, "assisted", since, answer.at, {"done": done})
            self._write(answer)
        self._moment = max(self._moment, answer.at)
        return answer.done

    # How a request goes out, or is found in the ledger

    def _asked(
        self,
        line: str,
        ask: Ask,
        actor: str,
        sending: Callable[[], Reply],
        *,
        given: bool,
        prepare: Callable[[], None] = lambda: None,
        headers: tuple[tuple[str, str], ...] = (),
        origin: str | None = None,
    ) -> Reply:
        """Send, and do as an answer says that asks to come later: wait, and (it was not heard at all) ask again."""
        full = self._line_of(line, ask)
        while True:
            if self.replaying:
                reply = self._replayed(full, ask, actor, given, headers, origin)
                if reply is None:
                    continue
            else:
                prepare()
                reply = self._sent_now(full, ask, actor, sending, given, origin)
            self._moment = max(self._moment, reply.exchange.answered)
            later = pause_of(Heard(reply.status, reply.headers, reply.body, reply.failure, 0, 0.0))
            if later is None:
                return reply
            if not self.replaying:
                self._tour.pause_until(reply.exchange.answered + later, "the server, which asked to come later")
            self._moment = max(self._moment, reply.exchange.answered + later)
            if reply.status != TOO_MANY:
                # It may have taken effect: what to do is the errand's to say.
                return reply

    def _line_of(self, line: str, ask: Ask) -> Line:
        """The line that a request is sent under, if it is such a request."""
        full = self._lines.get(line)
        if full is None:
            raise LookupError(f"{self._errand.name} has no line {line!r} in its plan")
        meant, activity = asked_for(ask.path, ask.operation)
        told = vocabulary.operation_of(ask.path)[0]
        if full.operation not in (meant, told, ask.operation):
            raise Stopped(f"{full.id} is a line for {full.operation}, and {meant} would have been sent under it")
        # Where a file lies is the server's word, whatever its path looks like.
        if full.role is not None and activity is not None and full.operation != vocabulary.DOWNLOAD:
            wanted = vocabulary.bare_guid(self.activity(full.role))
            if vocabulary.bare_guid(activity) != wanted:
                raise Stopped(f"{full.id} is a line for {full.role}, and another activity would have been asked")
        most = full.bytes_each if full.operation == vocabulary.ENQUEUE else max(full.bytes_each, OWN_BODY)
        if len(ask.body) > most:
            raise Stopped(f"{full.id} carries at most {most} bytes, and {len(ask.body)} would have been sent")
        return full

    def _sent_now(
        self,
        line: Line,
        ask: Ask,
        actor: str,
        sending: Callable[[], Reply],
        given: bool,
        origin: str | None,
    ) -> Reply:
        tour, name = self._tour, self._errand.name
        if is_unsigned(ask.target):
            raise TokenLost
        if self._sent[line.id] >= line.most:
            raise Stopped(f"{line.id} was to send {line.most} requests at most, and has")
        tour.leave_alone(tour.target.session.base_url if origin is None else origin)
        tour.look_at_the_clock()
        with tour.held():
            self._write(self._intent(line, ask, actor, given, origin))
            try:
                reply = sending()
                tour.keep()
            except NotPermitted as refused:
                self._write(Refused(name, str(refused), final=False))
                raise _HeldUp(str(refused)) from refused
            except OSError as error:
                raise cannot_keep(error) from error
            self._sent[line.id] += 1
            tour.sent[line.id] += 1
            self._write(Done(name, reply.exchange.seq, _altered(reply)))
        return reply

    def _intent(self, line: Line, ask: Ask, actor: str, given: bool, origin: str | None) -> Intent:
        times, journal = self._tour.target.times, self._tour.target.journal
        return Intent(
            self._errand.name,
            line.id,
            ask.method,
            redacted_url((origin or "") + ask.target),
            actor,
            given,
            hashlib.sha256(ask.body).hexdigest(),
            journal.next_number,
            times.earliest(),
            self._tour.patience.here.wall(),
        )

    def _write(self, step: Step) -> None:
        """Write down a step that is done for real."""
        self._tour.ledger.write(step)
        self._place = self._earlier = len(self._book.steps)

    def _next_step(self) -> Step | None:
        """What an earlier process did next; None where it did nothing more."""
        return self._book.steps[self._place] if self.replaying else None

    def _replayed(
        self,
        line: Line,
        ask: Ask,
        actor: str,
        given: bool,
        headers: tuple[tuple[str, str], ...],
        origin: str | None,
    ) -> Reply | None:
        """What became of a request that an earlier process sent; None where it never went out, and may now."""
        intent = self._next(self._intent(line, ask, actor, given, origin))
        step = self._next_step()
        if isinstance(step, Refused):
            # The errand came no further then; it is tried again.
            self._place += 1
            return None
        if isinstance(step, Done):
            self._place += 1
            found = self._tour.exchange(step.seq)
            if found is None:
                raise AnotherPlan(f"The journal in this folder lacks exchange {step.seq}, which its ledger names.")
            altered = step.altered
        else:
            found = self._in_doubt(intent, line, ask, actor, origin)
            if found is None:
                found, altered = self._interrupted(intent, ask, actor, headers, origin), False
            else:
                # Whether a secret was taken out of its answer nobody knows any more: where one may have been.
                body = found.response.body if found.response is not None else None
                altered = body is not None and "redacted:" in (body.text or "")
            self._write(Done(self._errand.name, found.seq, altered))
        if altered:
            raise TokenLost
        # One that an interruption fell into may never have gone out, and is not held against the errand.
        self._sent[line.id] += found.failure != INTERRUPTED
        return _reply(found)

    def _next(self, wanted: "Intent | Token") -> "Intent":
        """The next step in the ledger, which must be what is asked for now."""
        found = self._book.steps[self._place]
        self._place += 1
        same = type(found) is type(wanted) and (
            _named(found) == _named(wanted) if isinstance(found, Intent) and isinstance(wanted, Intent) else True
        )
        if not same:
            raise AnotherPlan(
                f"The tour in this folder was begun under another plan: {self._errand.name} asked then {_words(found)}."
            )
        return found  # type: ignore[return-value]  # it is of the type that was asked for

    def _in_doubt(self, intent: Intent, line: Line, ask: Ask, actor: str, origin: str | None) -> Exchange | None:
        """The exchange that was under way when the earlier process ended, where it was still written down."""
        found = self._tour.exchange(intent.seq)
        path = urlsplit(self._tour.target.session.base_url).path if origin is None else ""
        if found is None or found.request.method != ask.method or found.actor != actor:
            return None
        same = line.operation == vocabulary.TOKEN or urlsplit(found.request.url).path == path + ask.path
        return found if same else None

    def _interrupted(
        self,
        intent: Intent,
        ask: Ask,
        actor: str,
        headers: tuple[tuple[str, str], ...],
        origin: str | None,
    ) -> Exchange:
        """Write down that a request may have gone out, and that nobody knows what became of it."""
        target = self._tour.target
        session: Session = target.session
        # As with a request whose answer did not come in time: by then it had taken effect, or never will.
        late = intent.at + timedelta(seconds=session.timeout * max(1.0, target.times.rate))
        sent_headers = list(ask.headers) + list(headers)
        if actor != ANONYMOUS and origin is None:
            sent_headers.append(("authorization", f"Bearer redacted:{secret_digest(INTERRUPTED)}"))
        base = session.base_url if origin is None else origin
        return target.journal.record(
            sent=intent.at,
            answered=max(intent.at, min(late, target.times.latest())),
            method=ask.method,
            url=base + ask.target,
            request_headers=sent_headers,
            request_body=ask.body,
            failure=INTERRUPTED,
            actor=actor,
            operation=ask.operation,
        )


_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


def _words(step: Step) -> str:
    if isinstance(step, Intent):
        return f"{step.method} {step.target} as {step.actor}"
    return f"for something else ({type(step).__name__.lower()})"


def _named(step: Intent) -> tuple[object, ...]:
    return step.line, step.method, step.target, step.actor, step.given, step.body


def _reply(exchange: Exchange) -> Reply:
    """The reply that stands in the journal; of a large body only its digest is left, in the exchange."""
    response = exchange.response
    if response is None:
        return Reply(exchange, None, (), b"", exchange.failure)
    content = (response.body.content() if response.body is not None else b"") or b""
    status = response.status if exchange.failure is None else None
    return Reply(exchange, status, response.headers, content, exchange.failure)


def _altered(reply: Reply) -> bool:
    """Whether the journal holds other words than the server's own."""
    body = reply.exchange.response.body if reply.exchange.response is not None else None
    if body is None:
        return bool(reply.body)
    return body.digest() != hashlib.sha256(reply.body).hexdigest()


def _named_alike(one: str, other: str) -> bool:
    """Whether two origins name the same host: a server may leave out its port, or name http where it speaks https."""
    loopback = {"localhost", "127.0.0.1", "::1"}
    first, second = urlsplit(one).hostname, urlsplit(other).hostname
    return first == second or (first in loopback and second in loopback)


def _date(reply: Reply) -> datetime | None:
    text = reply.header("date")
    if text is None:
        return None
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return found if found.tzinfo is not None else None
