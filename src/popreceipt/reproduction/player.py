"""Plays a story on a target: does each step as its own driver would, and remembers what the answers give.

It judges nothing. Where a step cannot be done, because the target lacks an ability or an earlier answer did not give
what it needs, the story stops there, and the reason is told.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urljoin

from popreceipt import vocabulary
from popreceipt.client import wire
from popreceipt.client.control import Control
from popreceipt.client.recording import observe
from popreceipt.client.session import Session, split_base
from popreceipt.client.tokens import forge
from popreceipt.client.wire import Ask, Reply
from popreceipt.exceptions import NotAbleTo, PopreceiptError, UsageError
from popreceipt.journal import Entry, Header
from popreceipt.reproduction import names
from popreceipt.reproduction.answers import Values, of_reply, of_told
from popreceipt.reproduction.names import Unresolved
from popreceipt.reproduction.steps import RESTART, Advance, Call, Obtain, Step, Tell, Token, makes_a_job, plans_a_fault
from popreceipt.reproduction.taken import known_of
from popreceipt.targets import PATIENCE_SECONDS, Target, open_target

WRONG_SECRET: Final = "not-the-secret"


@dataclass(frozen=True, slots=True)
class Stopped:
    """Where a story stopped: the step's place, from 0, and why it could not be done.

    `missing` is the name that nothing gave a value to, where that is why.
    """

    place: int
    reason: str
    missing: str | None = None


@dataclass(frozen=True, slots=True)
class Played:
    """What became of a story on a target: the journal of it, and where it stopped if it did.

    `began` is the target's time before the first step; `answers` and `numbers` are what its requests were answered and
    their numbers in the journal, by the step's place.
    """

    header: Header
    entries: Sequence[Entry] = field(repr=False)
    stopped: Stopped | None = None
    began: datetime | None = None
    answers: Mapping[int, str] = field(default_factory=dict)
    numbers: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Place:
    """Where stories are played: a target string, and what is needed to open it."""

    target: str
    seed: int = 0
    ca: Path | None = None
    control_key: str | None = field(default=None, repr=False)
    patience_seconds: float = PATIENCE_SECONDS

    def open(self) -> AbstractContextManager[Target]:
        """Open the target, to be closed by a `with`.

        Raises:
            UsageError: no such target.
            NothingProved: it cannot be reached.
        """
        return open_target(
            self.target,
            seed=self.seed,
            ca=self.ca,
            control_key=self.control_key,
            patience_seconds=self.patience_seconds,
        )

    def play(self, steps: Sequence[Step]) -> Played:
        """Open the target, play the story on it, and close it.

        Raises:
            UsageError: no such target.
            NothingProved: it cannot be reached.
        """
        with self.open() as target:
            return play(steps, target)


def play(steps: Sequence[Step], target: Target) -> Played:
    """Play a story on an open target, from its first state on where it can be brought there."""
    if target.emulator is None and target.control is not None and target.can("reset"):
        target.control.reset()
    mark = target.journal_mark()
    began = target.times.latest()
    player = _Player(target)
    stopped = None
    answers: dict[int, str] = {}
    numbers: dict[int, int] = {}
    for place, step in enumerate(steps):
        try:
            reply = player.do(step)
        except PopreceiptError as error:
            stopped = Stopped(place, str(error), error.name if isinstance(error, Unresolved) else None)
            break
        if reply is not None:
            answers[place] = str(reply.status) if reply.failure is None else reply.failure
            numbers[place] = reply.exchange.seq
    entries = target.entries_since(mark)
    if target.emulator is None and target.control is not None and any(map(plans_a_fault, steps)):
        # Whoever uses the server next should meet none.
        target.control.clear_faults()
    return Played(target.journal.header, entries, stopped, began, answers, numbers)


class _Player:
    def __init__(self, target: Target) -> None:
        self._target = target
        self._values: Values = known_of(target).values()
        self._elsewhere: dict[str, Session] = {}
        self._lent: set[str] = set()
        self._start: datetime | None = None

    @property
    def start(self) -> datetime:
        """When the story began: leading movements of the clock only bring it to the right hour."""
        return self._start if self._start is not None else self._target.times.latest()

    def do(self, step: Step) -> Reply | None:
        """Do one step; the reply, where it is a request.

        Raises:
            PopreceiptError: it cannot be done; the error says why.
        """
        if isinstance(step, Advance):
            self._target.advance(timedelta(seconds=step.seconds))
            return None
        if self._start is None:
            self._start = self._target.times.latest()
        if isinstance(step, Tell):
            self._tell(step)
            return None
        return self._obtain(step) if isinstance(step, Obtain) else self._call(step)

    # Requests

    def _call(self, call: Call) -> Reply:
        session = self._target.session
        path, query = self._text(call.path), self._text(call.query)
        if (places := _only_name(call.path)) is not None:
            location = self._value(places)
            asked = wire.download(location)
            path, query = asked.path, asked.query
            if names.giver(places) == places:
                session = self._session_for(location)
        body = call.body if isinstance(call.body, bytes) else self._text(call.body).encode("utf-8")
        headers = tuple((name, self._text(value)) for name, value in call.headers)
        reply = session.send(
            Ask(call.method, path, query, headers, body, call.operation),
            actor=call.actor,
            token=self._token(call.token) if session is self._target.session else None,
            chunked=call.chunked,
        )
        if call.name is not None:
            self._values.update(of_reply(call.name, reply))
        return reply

    def _session_for(self, location: str) -> Session:
        """The session that reaches where a redirect leads: no other host gets a token."""
        ours = self._target.session
        origin = split_base(urljoin(ours.base_url, location).partition("?")[0].partition("#")[0])[0]
        if origin == ours.origin:
            return ours
        if origin not in self._elsewhere:
            self._elsewhere[origin] = ours.elsewhere(origin)
        return self._elsewhere[origin]

    def _token(self, token: Token | None) -> str | None:
        if token is None:
            return None
        if token.kind == "literal":
            return token.of
        real = self._value(token.of) if names.giver(token.of) else self._target.tokens.current(token.of)
        return forge(real, token.part) if token.kind == "forged" else real

    def _obtain(self, step: Obtain) -> Reply:
        issued = self._target.tokens.obtain(
            step.role,
            version=step.version,
            grant=step.grant,
            resource=None if step.resource is None else self._text(step.resource),
            secret=WRONG_SECRET if step.wrong_secret else None,
            actor=step.actor,
        )
        if step.name is not None and issued.token is not None:
            self._values[step.name] = issued.token
        return issued.reply

    # Control calls

    def _tell(self, step: Tell) -> None:
        if makes_a_job(step) and step.name is not None and not self._target.can("create-activity"):
            self._values[step.name] = self._named_job(step)
            return
        if (step.method, step.path) == RESTART:
            self._restart()
            return
        if (control := self._target.control) is None:
            words = step.path.partition("?")[0].strip("/").split("/")
            raise NotAbleTo(self._target.name, words[-1], "a target with a control plane")
        path = self._text(step.path)
        body = names.in_json(step.body, self._text)
        answer = told(control, step.method, path, body)
        if step.name is not None:
            self._values.update(of_told(step.name, answer))

    def _restart(self) -> None:
        if self._target.restart is None:
            raise NotAbleTo(self._target.name, "restart", "a target that this process may let die, such as emulator:")
        times = self._target.times
        since = times.latest()
        self._target.restart()
        observe(self._target.journal, "restart", since, times.latest(), {})

    def _named_job(self, step: Tell) -> str:
        """A job of the target's own that is like the one wanted, where none can be made."""
        wanted = {"type": "package" if step.body.get("direction") == "export" else "file", "enabled": True} | step.body
        for each in self._target.activities.values():
            like = all(each.get(name, False) == value for name, value in wanted.items())
            if like and each["id"] not in self._lent:
                self._lent.add(each["id"])
                return str(each["id"])
        said = ", ".join(f"{name} {value}" for name, value in step.body.items())
        raise NotAbleTo(self._target.name, "create-activity", f"a target with a job of its own that has {said}")

    # Names

    def _text(self, text: str) -> str:
        return names.resolved(text, self._value)

    def _value(self, name: str) -> str:
        if name in self._values:
            return self._values[name]
        if (instant := names.at(name, self.start)) is not None:
            return instant
        if name.startswith(names.TOKEN_OF):
            return self._target.tokens.current(name.removeprefix(names.TOKEN_OF))
        raise Unresolved(name)


def told(control: Control, method: str, path: str, body: Any) -> Any:
    """Make a control call by the method of the client that writes down what it tells; its answer.

    Raises:
        NotAbleTo: the target lacks the ability.
        ControlError: the call was refused.
    """
    plain, _, query = path.strip("/").partition("?")
    words = plain.split("/")
    settings = body if isinstance(body, Mapping) else {}
    found: Callable[[], Any] | None = None
    if len(words) == 3 and words[0] == "activities":
        found = _of_activity(control, method, words[1], words[2], settings, query)
    elif len(words) == 2:
        found = {
            ("PATCH", "activities"): lambda: control.change(words[1], **settings),
            ("GET", "projects"): lambda: control.project(words[1]),
            ("PATCH", "projects"): lambda: control.change_project(words[1], **settings),
        }.get((method, words[0]))
    elif len(words) == 1:
        found = {
            ("POST", "reset"): control.reset,
            ("POST", "activities"): lambda: control.create(**settings),
            ("POST", "projects"): lambda: control.create_project(**settings),
            ("GET", "parameters"): control.parameters,
            ("PATCH", "parameters"): lambda: control.set_parameters(**settings),
            ("POST", "faults"): lambda: control.inject(**settings),
            ("DELETE", "faults"): control.clear_faults,
        }.get((method, words[0]))
    try:
        return found() if found is not None else control.call(method, path, body)
    except TypeError as error:
        raise UsageError(f"{method} {path} cannot be called with {body!r} ({error}).") from error


def _of_activity(
    control: Control, method: str, activity: str, call: str, settings: Mapping[str, Any], query: str
) -> Callable[[], Any] | None:
    entity = parse_qs(query).get("entity", [None])[0]
    return {
        ("POST", "produce"): lambda: control.produce(activity, **settings),
        ("POST", "process"): lambda: control.process(activity),
        ("GET", "messages"): lambda: control.messages(activity),
        ("GET", "records"): lambda: control.records(activity, entity),
        ("POST", "cleanup"): lambda: control.cleanup(
            activity, settings.get("olderThanDays", 0), settings.get("statuses", ())
        ),
        ("POST", "batch"): lambda: control.batch(activity, **settings),
        ("GET", "load"): lambda: control.load(activity),
    }.get((method, call))


def _only_name(path: str) -> str | None:
    """The name that a path consists of, where it is that of a location."""
    found = list(names.named(path))
    if len(found) == 1 and path == names.reference(found[0]):
        is_location = found[0].startswith("location-") or found[0].endswith(f".{vocabulary.DOWNLOAD_LOCATION}")
        return found[0] if is_location else None
    return None
