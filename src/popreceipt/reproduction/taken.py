"""A tape as steps: what stood in earlier answers gets a name, tokens become whose they are, secrets stay behind.

It knows how drivers of this project ask for tokens and read answers. It sends nothing. Ids that nobody handed out stay
as they are: they were made up.
"""

import base64
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import takewhile
from typing import Any, Final, cast
from urllib.parse import parse_qsl

from popreceipt import journal, vocabulary
from popreceipt.client import wire
from popreceipt.client.tape import Done, Sent, Told
from popreceipt.client.times import instant
from popreceipt.client.tokens import ASSUMED_LIFETIME, RENEWED_BEFORE
from popreceipt.reproduction import names
from popreceipt.reproduction.answers import Values, kind_of_reply, kind_of_told, of_reply, of_told
from popreceipt.reproduction.steps import Advance, Call, Grant, Obtain, Part, Step, Steps, Tell, Token, renumbered
from popreceipt.targets import Target

LEAST: Final = 8
"""Characters of the shortest value that is looked for in later requests: shorter ones meet by chance."""

NEVER_A_TOKEN: Final = 24
"""A bearer of at most so many characters was made up; longer ones might open a door somewhere."""

SEARCHED: Final = 1 << 16
"""Bodies above this many characters are files; nothing is looked for in them."""

NOTICED: Final = timedelta(seconds=1)
"""A pause of a clock that runs by itself, from which on it becomes a step."""

_DROPPED: Final = {"world", "clock", "journal"}
_FORM: Final = frozenset({"grant_type", "client_id", "client_secret", "scope", "resource", "username", "password"})
_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)?")
_GUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Known:
    """What a target's world tells before anything is done: jobs by name, identities, and its own address."""

    jobs: Mapping[str, str] = field(default_factory=dict)
    identity: Mapping[str, Any] = field(default_factory=dict, repr=False)
    base_url: str = ""

    def values(self) -> Values:
        """The values of the world, under their names."""
        found = {f"{names.WORLD}job.{name}": each for name, each in self.jobs.items()}
        for role, client in _mapping(self.identity.get("clients")).items():
            for member, word in (("client_id", "client"), ("client_secret", "secret")):
                if isinstance(value := _mapping(client).get(member), str):
                    found[f"{names.WORLD}{word}.{role}"] = value
        for member, value in _mapping(self.identity.get("user")).items():
            if isinstance(value, str):
                found[f"{names.WORLD}user.{member}"] = value
        if isinstance(tenant := self.identity.get("tenant"), str):
            found[f"{names.WORLD}tenant"] = tenant
        if self.base_url:
            found[f"{names.WORLD}base-url"] = self.base_url
        return {name: value for name, value in found.items() if value}

    def role_of(self, client_id: str) -> str | None:
        """Whose client this is."""
        for role, client in _mapping(self.identity.get("clients")).items():
            if _mapping(client).get("client_id") == client_id:
                return role
        return None


def known_of(target: Target, base_url: str = "") -> Known:
    """What an open target's world tells.

    Args:
        target: it.
        base_url: its address, where that was another one.
    """
    jobs = {name: str(each["id"]) for name, each in target.activities.items()}
    return Known(jobs, target.tokens.identity, base_url or target.session.base_url)


def steps_of(tape: Sequence[Done], known: Known | None = None, *, exact_tokens: bool = False) -> Steps:
    """The story that a tape tells.

    Args:
        tape: what was done, from a moment on at which the target (or its jobs) was fresh.
        known: the target's world; without it a world's own jobs stay GUIDs.
        exact_tokens: let each token be asked for where it was, and used where it was, also where it is only the current
            one of its role: for servers that tell consumers by their tokens.
    """
    return renumbered(_Taker(tape, known if known is not None else Known(), exact_tokens).steps())


@dataclass(slots=True)
class _Issued:
    """A token that some request was answered with."""

    token: str
    role: str
    plain: bool
    fresh_until: datetime
    place: int
    used: bool = False
    name: str | None = None


class _Taker:
    """Goes over a tape once for its tokens, and once for its steps."""

    def __init__(self, tape: Sequence[Done], known: Known, exact_tokens: bool) -> None:
        self._exact_tokens = exact_tokens
        self._tape = tape
        self._known = known
        self._values: list[tuple[str, str]] = []
        self._counts: dict[str, int] = {}
        self._issued = self._tokens()
        self._secret = [each.token for each in self._issued.values()]
        self._secret += sorted({each.token or "" for each in _sents(tape) if _may_be_real(each.token)})
        self._start = _start(tape)
        self._first: list[Step] = []
        self._learn(known.values())

    def steps(self) -> list[Step]:
        """The steps, one for each thing that matters."""
        # Which tokens have to be asked for on purpose is known only when all their uses have been seen.
        tokens = {
            place: self._token(each) for place, each in enumerate(self._tape) if isinstance(each, Sent) and each.token
        }
        made: list[Step] = []
        at: datetime | None = None
        for place, done in enumerate(self._tape):
            if isinstance(done, Told):
                step = self._told(done)
                if isinstance(step, Advance) and at is not None:
                    at += timedelta(seconds=step.seconds)
            else:
                sent = done.reply.exchange.sent
                if at is not None and sent - at >= NOTICED:
                    made.append(Advance(float(round((sent - at).total_seconds()))))
                at = done.reply.exchange.answered
                step = self._sent(place, done, tokens.get(place))
            if step is not None:
                made.append(step)
        return [*self._first, *made]

    # Tokens

    def _tokens(self) -> dict[str, _Issued]:
        found: dict[str, _Issued] = {}
        for place, done in enumerate(self._tape):
            if isinstance(done, Sent) and (token := _token_in(done)) is not None:
                obtain = self._obtain(done)
                role = obtain.role if obtain is not None else _role(done.actor)
                plain = obtain == Obtain(role, actor=obtain.actor) and _role(done.actor) == role if obtain else False
                until = done.reply.exchange.sent + _lifetime(done)
                found[token] = _Issued(token, role, plain, until, place)
        return found

    def _token(self, sent: Sent) -> Token | None:
        """Which token a request carried."""
        token = sent.token or ""
        issued = self._issued.get(token)
        role = _role(sent.actor)
        if issued is not None:
            issued.used = True
            if issued.plain and sent.reply.exchange.sent < issued.fresh_until and not self._exact_tokens:
                return Token("current", (sent.actor or role) if role == issued.role else issued.role)
            return Token("named", self._name_token(issued))
        for base in self._secret:
            if base != token and (part := _forged_part(base, token)) is not None:
                of = self._issued.get(base)
                if of is not None and not of.plain:
                    of.used = True
                    return Token("forged", self._name_token(of), part)
                # Of the two that differ, the one whose caller has a role is the real one.
                if of is not None or self._is_role_of(base):
                    return Token("forged", of.role if of is not None else self._role_of(base), part)
        if not _may_be_real(token):
            return Token("literal", token)
        if self._is_role(role):
            if not self._exact_tokens:
                return Token("current", sent.actor or role)
            issued = self._issued[token] = _Issued(token, role, plain=False, fresh_until=_NEVER, place=-1)
            return Token("named", self._name_token(issued))
        if sent.actor == "forged":
            # Made of one from before the tape.
            return Token("forged", "authorised", "payload" if _is_written_anew(token) else "signature")
        # Somebody's token from before the tape began, used under another name: one that the role had then.
        issued = self._issued[token] = _Issued(token, "authorised", plain=False, fresh_until=_NEVER, place=-1)
        return Token("named", self._name_token(issued))

    def _name_token(self, issued: _Issued) -> str:
        if issued.name is None:
            issued.name = self._new("token")
            if issued.place < 0:
                self._first.append(Obtain(issued.role, name=issued.name))
        return issued.name

    def _is_role(self, role: str) -> bool:
        clients = _mapping(self._known.identity.get("clients"))
        return role in clients if clients else role in ("authorised", "unlisted", "unmapped")

    def _is_role_of(self, token: str) -> bool:
        return any(each.token == token and self._is_role(_role(each.actor)) for each in _sents(self._tape))

    def _role_of(self, token: str) -> str:
        return next(_role(each.actor) for each in _sents(self._tape) if each.token == token)

    def _obtain(self, sent: Sent) -> Obtain | None:
        """A request for a token as a step of its own kind; None where it is asked for in no usual way."""
        if vocabulary.operation_of(sent.ask.path)[0] != vocabulary.TOKEN or sent.ask.method != "POST":
            return None
        try:
            pairs = parse_qsl(sent.ask.body.decode("ascii"), keep_blank_values=True, strict_parsing=True)
        except (ValueError, UnicodeDecodeError):
            return None
        form = dict(pairs)
        audience = form.get("resource", (form.get("scope") or "").removesuffix("/.default"))
        grant = form.get("grant_type")
        usual = (
            len(form) == len(pairs)
            and set(form) <= _FORM
            and {"client_id", "client_secret"} <= set(form)
            and ("resource" in form) != (form.get("scope", "").endswith("/.default"))
            and grant in ("client_credentials", "password")
            and (grant == "password") == ("password" in form)
            and not sent.chunked
            and not sent.headers
        )
        if not usual:
            return None
        role = self._known.role_of(form["client_id"]) or (
            _role(sent.actor) if self._is_role(_role(sent.actor)) else "authorised"
        )
        identity = self._known.identity
        own = _mapping(_mapping(identity.get("clients")).get(role)).get("client_secret")
        resource = identity.get("resource") or self._known.base_url
        return Obtain(
            role,
            1 if "resource" in form else 2,
            cast(Grant, grant),
            None
            if audience in (resource, self._known.base_url) or (not resource and sent.reply.ok)
            else names.escaped(audience),
            # A target that was started anew has other secrets: what was answered well, and no pretence, was right.
            own is not None and form["client_secret"] != own and not (sent.reply.ok and _role(sent.actor) == role),
            None if sent.actor == role else sent.actor,
        )

    # Steps

    def _told(self, told: Told) -> Step | None:
        if (told.method, told.path) == ("POST", "/clock"):
            seconds = _movement(told).total_seconds()
            return Advance(seconds) if seconds else None
        if _looks_only(told):
            return None
        path = self._named(told.path)
        body = names.in_json(told.body, self._setting)
        kind = kind_of_told(told.method, told.path, told.body)
        name = None
        if kind is not None and of_told(kind, told.answer):
            name = self._new(kind)
            self._learn(of_told(name, told.answer))
        return Tell(told.method, path, body, name)

    def _setting(self, text: str) -> str:
        """A text in the body of a control call; an instant counts from the start of the story."""
        moment = instant(text) if self._start is not None and _INSTANT.fullmatch(text) else None
        if moment is not None and self._start is not None:
            return names.reference(names.instant_name(moment, self._start))
        return self._named(text)

    def _sent(self, place: int, sent: Sent, token: Token | None) -> Step | None:
        obtain = self._obtain(sent)
        if obtain is not None:
            issued = self._issued.get(_token_in(sent) or "")
            if issued is None:
                return obtain
            # One that is used as the role's own need not be asked for: whoever plays the story does.
            if issued.name is None and issued.plain and issued.used:
                return None
            first = issued.place == place and issued.name is not None
            return replace(obtain, name=issued.name if first else self._new("token"))
        path, query = self._place(sent)
        ask = sent.ask
        operation = sent.reply.exchange.operation
        # A file's content is nobody's answer, whatever it holds.
        is_file = operation == vocabulary.ENQUEUE
        kind = kind_of_reply(sent.reply)
        call = Call(
            ask.method,
            path,
            query,
            tuple((header, self._header(header, value)) for header, value in (*ask.headers, *sent.headers)),
            self._body(ask.body, operation, is_file=is_file),
            sent.actor,
            token,
            sent.chunked,
            ask.operation,
        )
        if kind is None:
            return call
        name = self._new(kind)
        self._learn(of_reply(name, sent.reply))
        return replace(call, name=name)

    def _place(self, sent: Sent) -> tuple[str, str]:
        """Path and query of a request; where they are a location's, its name alone."""
        ask = sent.ask
        for value, name in reversed(self._values):
            if name.endswith(f".{vocabulary.DOWNLOAD_LOCATION}") or name.startswith("location-"):
                asked = wire.download(value)
                if (asked.path, asked.query) == (ask.path, ask.query):
                    return names.reference(name), ""
        operation = sent.reply.exchange.operation
        return self._named(ask.path, operation), _without_secrets(self._named(ask.query, operation))

    def _header(self, header: str, value: str) -> str:
        named = self._named(value)
        if any(True for _ in names.named(named)):
            return journal.without_tokens(named)
        if header.lower() == "authorization" and len(value) <= NEVER_A_TOKEN:
            return named
        ((_, hidden),) = journal.redacted_headers([(header, value)])
        return named if hidden == value else names.escaped(hidden)

    def _body(self, body: bytes, operation: str, *, is_file: bool) -> str | bytes:
        try:
            text = body.decode("utf-8")
        except UnicodeDecodeError:
            return body if is_file else journal.without_strays(body)
        if is_file:
            return names.escaped(journal.without_tokens(text))
        for value, name in reversed(self._values):
            if value == text and name.startswith("delivery-") and "." not in name:
                return names.reference(name)
        if len(text) > SEARCHED:
            return names.escaped(journal.without_strays(body).decode("utf-8", "replace"))
        named = self._named(text, operation)
        # What has been named is hidden already; a secret of another world is not.
        if "grant_type=" in text and "\n" not in text:
            return _without_secrets(named)
        return journal.without_strays(named.encode("utf-8")).decode("utf-8", "replace")

    # Names

    def _new(self, kind: str) -> str:
        self._counts[kind] = self._counts.get(kind, 0) + 1
        return f"{kind}-{self._counts[kind]}"

    def _learn(self, values: Values) -> None:
        self._values += [(value, name) for name, value in values.items() if len(value) >= LEAST]

    def _named(self, text: str, operation: str = "") -> str:
        """A text with names in the place of what earlier answers gave."""
        pieces = [(text, False)]
        for token in self._secret:
            of = self._issued.get(token)
            if token in text and len(token) > NEVER_A_TOKEN:
                role = of.role if of is not None else "authorised"
                pieces = list(_split(pieces, re.compile(re.escape(token)), names.reference(names.TOKEN_OF + role)))
        for value, name in self._candidates(text, operation):
            for pattern, spellings in _spellings(value):
                pieces = list(_split(pieces, pattern, names.reference(name, *spellings)))
        return "".join(piece if is_name else names.escaped(piece) for piece, is_name in pieces)

    def _candidates(self, text: str, operation: str) -> list[tuple[str, str]]:
        """The values that may stand in a text, longest first, each under the name that fits there best."""
        lower = text.lower()
        held: dict[str, list[str]] = {}
        matches: dict[str, int] = {}
        for value, name in self._values:
            if any(pattern.search(text) for pattern, _ in _spellings(value)) or value.lower() in lower:
                held.setdefault(value, []).append(name)
                giver = names.giver(name) or name
                matches[giver] = matches.get(giver, 0) + 1
        takes = operation in (vocabulary.ACK, vocabulary.DOWNLOAD)

        def fitness(name: str) -> tuple[bool, bool, int, bool, int]:
            giver = names.giver(name)
            if giver is None:
                # A world lists the jobs that were made in it too.
                return False, False, 0, False, 0
            is_delivery = giver.startswith("delivery-")
            number = int(giver.rpartition("-")[2])
            # An acknowledgment speaks of a delivery, and of the latest that fits; others of the first to tell an id.
            return (
                True,
                is_delivery == takes,
                matches[giver] if is_delivery else 0,
                not giver.startswith("rows-"),
                number if is_delivery else -number,
            )

        chosen = [(value, max(given, key=fitness)) for value, given in held.items()]
        return sorted(chosen, key=lambda each: -len(each[0]))


_NEVER: Final = datetime.min.replace(tzinfo=UTC)

_SECRET_FIELDS: Final = frozenset(
    ("client_secret", "password", "client_assertion", "assertion", "refresh_token", "access_token", "id_token", "code")
)


def _without_secrets(text: str) -> str:
    """A form or a query in which nothing stands in a secret's place but names."""
    pairs = []
    for pair in text.split("&"):
        field_name, equals, value = pair.partition("=")
        if field_name.lower() in _SECRET_FIELDS and value and not any(names.named(value)):
            value = journal.redacted(value)
        pairs.append(f"{field_name}{equals}{value}")
    return journal.without_tokens("&".join(pairs))


def _split(pieces: Iterable[tuple[str, bool]], pattern: re.Pattern[str], reference: str) -> Iterator[tuple[str, bool]]:
    """Pieces of text, cut again wherever the pattern meets one that is no name yet."""
    for piece, is_name in pieces:
        if is_name:
            yield piece, is_name
            continue
        rest = 0
        for found in pattern.finditer(piece):
            yield piece[rest : found.start()], False
            yield reference, True
            rest = found.end()
        yield piece[rest:], False


@lru_cache(maxsize=4096)
def _spellings(value: str) -> tuple[tuple[re.Pattern[str], tuple[str, ...]], ...]:
    """How a value may be written in a later request, and the words that say so."""
    if _GUID.fullmatch(value):
        anyhow = re.compile(re.escape(value), re.IGNORECASE)
        capitals = re.compile(re.escape(value.upper()))
        return ((anyhow, ()),) if value.upper() == value else ((capitals, ("upper",)), (anyhow, ()))
    written: dict[str, tuple[str, ...]] = {value: ()}
    for how in ("quoted", "json"):
        written.setdefault(names.SPELLINGS[how](value), (how,))
    return tuple((re.compile(re.escape(text)), how) for text, how in written.items())


def _may_be_real(token: str | None) -> bool:
    return token is not None and len(token) > NEVER_A_TOKEN


def _token_in(sent: Sent) -> str | None:
    """The token that a request was answered with."""
    if vocabulary.operation_of(sent.ask.path)[0] != vocabulary.TOKEN or not sent.reply.ok:
        return None
    token = _mapping(sent.reply.json()).get("access_token")
    return token if isinstance(token, str) and token else None


def _lifetime(sent: Sent) -> timedelta:
    """How long whoever plays a story uses a token for which it asked."""
    told = _mapping(sent.reply.json()).get("expires_in")
    try:
        lives = timedelta(seconds=float(told)) if isinstance(told, (int, float, str)) else None
    except (ValueError, OverflowError):
        lives = None
    lives = timedelta(seconds=ASSUMED_LIFETIME) if lives is None else lives
    return lives - min(RENEWED_BEFORE, lives / 2)


def _forged_part(base: str, token: str) -> Part | None:
    """What of a token somebody changed to make another; None where the two have nothing to do with each other."""
    parts, others = base.split("."), token.split(".")
    if len(parts) == len(others) == 3 and parts[2]:
        if parts[:2] == others[:2]:
            return "signature"
        return "payload" if (parts[0], parts[2]) == (others[0], others[2]) else None
    same_length = len(base) == len(token)
    return "signature" if same_length and sum(a != b for a, b in zip(base, token, strict=True)) == 1 else None


def _is_written_anew(token: str) -> bool:
    """The claims of a token stand there as our own JSON does, with blanks, and not as issuers write it."""
    parts = token.split(".")
    if len(parts) != 3:
        return False
    try:
        claims = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
    except ValueError:
        return False
    return b'": ' in claims


def began(tape: Sequence[Done]) -> datetime | None:
    """The target's time when a tape began; None where nothing on it tells."""
    moved = timedelta(0)
    for done in tape:
        if isinstance(done, Sent):
            return done.reply.exchange.sent - moved
        moved += _movement(done)
        now = _mapping(done.answer).get("now")
        told = instant(now) if _movement(done) and isinstance(now, str) else None
        if told is not None:
            return told - moved
    return None


def _movement(done: Done) -> timedelta:
    """By how much a control call moved the clock."""
    if isinstance(done, Sent) or (done.method, done.path) != ("POST", "/clock"):
        return timedelta(0)
    return timedelta(seconds=_mapping(done.body).get("advance_seconds", 0))


def _start(tape: Sequence[Done]) -> datetime | None:
    """The instant from which on instants are counted: after the movements of the clock with which a tape begins."""
    first = began(tape)
    if first is None:
        return None
    return first + sum(map(_movement, takewhile(_only_brings_there, tape)), timedelta(0))


def _only_brings_there(done: Done) -> bool:
    return isinstance(done, Told) and (bool(_movement(done)) or _looks_only(done))


def _looks_only(told: Told) -> bool:
    """A control call that is no step: nothing comes of it, in the target or in the journal."""
    words = told.path.partition("?")[0].strip("/").split("/")
    return told.method == "GET" and (words[0] in _DROPPED or words in (["faults"], ["projects"]))


def _sents(tape: Sequence[Done]) -> Iterator[Sent]:
    return (each for each in tape if isinstance(each, Sent) and each.token)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _role(actor: str | None) -> str:
    return (actor or "authorised").partition("/")[0]
