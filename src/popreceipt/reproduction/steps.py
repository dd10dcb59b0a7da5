"""The steps of a story as data: requests, control calls, movements of the clock, tokens asked for on purpose.

Nothing here is a target's own: what earlier answers gave stands there by name (`names`), tokens and secrets by whose
they are. Steps are written as JSON and read again.
"""

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, get_args

from popreceipt.client.wire import Pairs
from popreceipt.exceptions import UsageError
from popreceipt.reproduction import names

TokenKind = Literal["current", "named", "forged", "literal"]
Part = Literal["signature", "payload"]
Grant = Literal["client_credentials", "password"]


@dataclass(frozen=True, slots=True)
class Token:
    """Which token a request carries.

    Args:
        kind: the role's `current` one, one that an earlier step asked for and `named`, one of these `forged`, or a text
            that never was a token (`literal`).
        of: the role, the name (`token-1`) or the text.
        part: what of a forged one was changed.
    """

    kind: TokenKind
    of: str
    part: Part = "signature"


@dataclass(frozen=True, slots=True)
class Call:
    """A request to the target. Path, query, header values and a body that is text may hold names.

    `body` is bytes where it is no UTF-8 text. `name` is what its answer is called: `delivery-1`, `message-1`, ….
    """

    method: str
    path: str
    query: str = ""
    headers: Pairs = ()
    body: str | bytes = field(default="", repr=False)
    actor: str | None = None
    token: Token | None = None
    chunked: bool = False
    operation: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Tell:
    """A control call: the path below the control plane's root, and a body of JSON in whose texts names may stand."""

    method: str
    path: str
    body: Any = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Advance:
    """So many seconds of the target's time pass."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Obtain:
    """A token is asked for on purpose; it is called `name`.

    Args:
        role: whose.
        version: of the endpoint, 1 or 2.
        grant: client credentials or password.
        resource: for whom the token should be; None means the target.
        wrong_secret: a secret that is not the client's is sent.
        actor: who calls, for the journal; None means the role.
        name: what the token is called, `token-1`.
    """

    role: str = "authorised"
    version: Literal[1, 2] = 2
    grant: Grant = "client_credentials"
    resource: str | None = None
    wrong_secret: bool = False
    actor: str | None = None
    name: str | None = None


Step = Call | Tell | Advance | Obtain
Steps = tuple[Step, ...]

CREATE: Final = ("POST", "/activities")

RESTART: Final = ("POST", "/restart")
"""No control call: the target dies and comes back with what it had stored, where whoever plays is able to do that."""


def makes_a_job(step: Step) -> bool:
    """The step creates a recurring data job: a story is told from there on, so it does not count as a step."""
    return isinstance(step, Tell) and (step.method, step.path) == CREATE


def plans_a_fault(step: Step) -> bool:
    """The step plans a fault."""
    return isinstance(step, Tell) and (step.method, step.path) == ("POST", "/faults")


def counted(steps: Sequence[Step]) -> int:
    """How many steps a story has: everything but the creation of its recurring data jobs."""
    return sum(not makes_a_job(each) for each in steps)


def given_name(step: Step) -> str | None:
    """What the step gives a name to."""
    return None if isinstance(step, Advance) else step.name


def texts(step: Step) -> Iterator[str]:
    """Every text of a step in which names may stand."""
    if isinstance(step, Call):
        yield step.path
        yield step.query
        for _, value in step.headers:
            yield value
        if isinstance(step.body, str):
            yield step.body
    elif isinstance(step, Tell):
        yield step.path
        yield from names.strings(step.body)
    elif isinstance(step, Obtain) and step.resource is not None:
        yield step.resource


def needed(step: Step) -> set[str]:
    """The names of earlier steps whose answers this one needs."""
    found = {giver for text in texts(step) for each in names.named(text) if (giver := names.giver(each)) is not None}
    if isinstance(step, Call) and step.token is not None and names.giver(step.token.of) == step.token.of:
        found.add(step.token.of)
    return found


def with_names(step: Step, new: Mapping[str, str]) -> Step:
    """The step with other names in the places of those that the mapping has."""

    def changed(text: str) -> str:
        return names.renamed(text, lambda name: new.get(name, name))

    if isinstance(step, Advance):
        return step
    name = new.get(step.name, step.name) if step.name is not None else None
    if isinstance(step, Obtain):
        return replace(step, name=name, resource=None if step.resource is None else changed(step.resource))
    if isinstance(step, Tell):
        return replace(step, name=name, path=changed(step.path), body=names.in_json(step.body, changed))
    token = step.token
    if token is not None and token.kind in ("named", "forged"):
        token = replace(token, of=new.get(token.of, token.of))
    return replace(
        step,
        name=name,
        path=changed(step.path),
        query=changed(step.query),
        headers=tuple((header, changed(value)) for header, value in step.headers),
        body=changed(step.body) if isinstance(step.body, str) else step.body,
        token=token,
    )


def repeated(steps: Sequence[Step], times: int) -> Steps:
    """The same story so many times in a row, each with names of its own."""
    counts: dict[str, int] = {}
    given = [name for step in steps if (name := given_name(step)) is not None]
    for name in given:
        kind, _, number = name.rpartition("-")
        counts[kind] = max(counts.get(kind, 0), int(number))
    made: list[Step] = []
    for again in range(times):
        new = {}
        for name in given:
            kind, _, number = name.rpartition("-")
            new[name] = f"{kind}-{int(number) + again * counts[kind]}"
        made += [with_names(each, new) for each in steps]
    return tuple(made)


def renumbered(steps: Sequence[Step]) -> Steps:
    """The same story with names counted from 1 in the order in which they are given."""
    counts: dict[str, int] = {}
    new: dict[str, str] = {}
    for step in steps:
        name = given_name(step)
        if name is not None:
            kind = name.rpartition("-")[0]
            counts[kind] = counts.get(kind, 0) + 1
            new[name] = f"{kind}-{counts[kind]}"
    return tuple(with_names(each, new) for each in steps)


# JSON


def as_json(step: Step) -> dict[str, Any]:
    """A step as a bundle holds it; members that say nothing are left out."""
    if isinstance(step, Advance):
        return {"do": "advance", "seconds": step.seconds}
    told: dict[str, Any]
    if isinstance(step, Tell):
        told = {"do": "control", "method": step.method, "path": step.path, "body": step.body}
    elif isinstance(step, Obtain):
        told = {
            "do": "token",
            "role": step.role,
            "version": step.version,
            "grant": step.grant,
            "resource": step.resource,
            "wrong_secret": step.wrong_secret or None,
            "actor": step.actor,
        }
    else:
        told = {
            "do": "request",
            "method": step.method,
            "path": step.path,
            "query": step.query or None,
            "headers": [list(each) for each in step.headers] or None,
            "body": _body_as_json(step.body),
            "actor": step.actor,
            "token": _token_as_json(step.token),
            "chunked": step.chunked or None,
            "operation": step.operation,
        }
    told["name"] = step.name
    return {member: value for member, value in told.items() if value is not None}


def of_json(told: Any) -> Step:
    """The step that JSON tells of.

    Raises:
        UsageError: it is none.
    """
    try:
        return _READERS[told["do"]](told)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"A step cannot be read ({type(error).__name__}: {error}): {str(told)[:200]}") from error


def _body_as_json(body: str | bytes) -> dict[str, str] | None:
    if not body:
        return None
    if isinstance(body, str):
        return {"text": body}
    return {"base64": base64.b64encode(body).decode("ascii")}


def _body_of(told: Any) -> str | bytes:
    if told is None:
        return ""
    if "base64" in told:
        return base64.b64decode(told["base64"], validate=True)
    return _text(told["text"])


def _token_as_json(token: Token | None) -> dict[str, str] | None:
    if token is None:
        return None
    return {token.kind: token.of} | ({"part": token.part} if token.kind == "forged" else {})


def _token_of(told: Any) -> Token | None:
    if told is None:
        return None
    for kind in get_args(TokenKind):
        if kind in told:
            return Token(kind, _text(told[kind]), _one_of(told.get("part", "signature"), get_args(Part)))
    raise ValueError(f"no token is like {told!r}")


def _call(told: Mapping[str, Any]) -> Step:
    return Call(
        _text(told["method"]),
        _text(told["path"]),
        _text(told.get("query", "")),
        tuple((_text(name), _text(value)) for name, value in told.get("headers", ())),
        _body_of(told.get("body")),
        _text_or_none(told.get("actor")),
        _token_of(told.get("token")),
        told.get("chunked") is True,
        _text_or_none(told.get("operation")),
        _name_of(told),
    )


def _tell(told: Mapping[str, Any]) -> Step:
    return Tell(_text(told["method"]), _text(told["path"]), told.get("body"), _name_of(told))


def _advance(told: Mapping[str, Any]) -> Step:
    seconds = told["seconds"]
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 <= seconds < float("inf"):
        raise ValueError(f"time passes by seconds, not by {seconds!r}")
    return Advance(seconds)


def _obtain(told: Mapping[str, Any]) -> Step:
    version = told.get("version", 2)
    return Obtain(
        _text(told.get("role", "authorised")),
        1 if version == 1 else _one_of(version, (2,)),
        _one_of(told.get("grant", "client_credentials"), get_args(Grant)),
        _text_or_none(told.get("resource")),
        told.get("wrong_secret") is True,
        _text_or_none(told.get("actor")),
        _name_of(told),
    )


_READERS: Final = {"request": _call, "control": _tell, "advance": _advance, "token": _obtain}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a text was wanted, not {value!r}")
    return value


def _text_or_none(value: Any) -> str | None:
    return None if value is None else _text(value)


def _name_of(told: Mapping[str, Any]) -> str | None:
    name = _text_or_none(told.get("name"))
    if name is not None and names.giver(name) != name:
        raise ValueError(f"{name!r} is no name for an answer")
    return name


def _one_of(value: Any, allowed: Sequence[Any]) -> Any:
    if value not in allowed:
        raise ValueError(f"{value!r} is none of {', '.join(map(str, allowed))}")
    return value
