"""A story in plain sentences, each with the time since the start: for whoever has to believe it, not to run it."""

import io
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote_plus

from popreceipt import vocabulary
from popreceipt.journal import is_unsigned
from popreceipt.reproduction import names
from popreceipt.reproduction.steps import Advance, Call, Obtain, Step, Tell, Token, makes_a_job

_SHOWN: Final = 160
"""Characters of a text that a sentence shows."""

_UNITS: Final = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def sentences(steps: Sequence[Step]) -> Iterator[tuple[str, str]]:
    """Time since the start, and what happens then."""
    now = 0.0
    for step in steps:
        yield clock_text(now), sentence(step)
        if isinstance(step, Advance):
            now += step.seconds


def sentence(step: Step) -> str:
    """What a step does, as a sentence."""
    if isinstance(step, Advance):
        return f"{duration(step.seconds)} {'passes' if step.seconds == 1 else 'pass'}."
    if isinstance(step, Obtain):
        return _obtaining(step)
    if isinstance(step, Tell):
        return _telling(step)
    return _calling(step)


def duration(seconds: float) -> str:
    """A span of time in words: 29 minutes 59 seconds."""
    if seconds != int(seconds):
        return f"{seconds:g} seconds"
    rest, parts = int(seconds), []
    for size, unit in _UNITS:
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count} {unit}{'' if count == 1 else 's'}")
    return " ".join(parts) or "0 seconds"


def clock_text(seconds: float) -> str:
    """A time since the start as a clock shows it: 0:29:59, 7 d 0:00:01."""
    whole = int(seconds)
    days, rest = divmod(whole, 86_400)
    text = f"{rest // 3600}:{rest // 60 % 60:02}:{rest % 60:02}"
    if seconds != whole:
        text += f"{seconds - whole:.3f}"[1:].rstrip("0")
    return f"{days} d {text}" if days else text


def _obtaining(step: Obtain) -> str:
    said = f"The {step.role} client asks for a token"
    details = []
    if step.version == 1:
        details.append("at the first version of the endpoint")
    if step.grant == "password":
        details.append("by the password grant")
    if step.resource is not None:
        details.append(f"for {step.resource}")
    if step.wrong_secret:
        details.append("with a wrong secret")
    called = f" ({step.name})" if step.name is not None else ""
    return " ".join([said, *details]) + called + "."


def _telling(step: Tell) -> str:
    words = step.path.partition("?")[0].strip("/").split("/")
    body = step.body if isinstance(step.body, Mapping) else {}
    if makes_a_job(step):
        others = {name: value for name, value in body.items() if name != "direction"}
        article = "An" if body.get("direction") in ("export", "import") else "A"
        direction = body.get("direction") or "recurring data"
        return f"{article} {direction} job is there: {step.name}{_settings(others, ' with ')}."
    if (step.method, words) == ("POST", ["projects"]):
        return f"A data project is there: {step.name}{_settings(body, ' with ')}."
    key = (step.method, words[0] if len(words) == 1 else words[-1] if len(words) == 3 else "*")
    job = _bare(words[1]) if len(words) > 1 else ""
    records = body.get("records")
    said = {
        ("POST", "produce"): f"The export {job} runs with {_counted(records, 'record')}{_as(step.name)}",
        ("POST", "process"): f"The batch of {job} runs",
        ("GET", "messages"): f"Somebody looks at Manage messages of {job}",
        ("GET", "records"): f"Somebody looks at the target table of {job}{_entity(step.path)}",
        ("GET", "load"): f"Somebody looks at the load samples of {job}",
        ("POST", "cleanup"): f"The message clean-up of {job} runs{_settings(body, ' with ')}",
        ("POST", "batch"): f"On the batch history of {job}: {body.get('action')}",
        ("PATCH", "*"): f"{job} is changed{_settings(body, ' to ')}",
        ("GET", "*"): f"Somebody looks at {job}",
        ("PATCH", "parameters"): f"The framework's parameters are changed{_settings(body, ' to ')}",
        ("GET", "parameters"): "Somebody looks at the framework's parameters",
        ("POST", "faults"): f"A fault is planned{_settings(body, ': ')}",
        ("DELETE", "faults"): "Planned faults are taken back",
        ("POST", "reset"): "The target goes back to its first state",
        ("POST", "restart"): "The target dies and comes back with what it had stored",
    }.get(key)
    if said is None:
        said = f"Control call {step.method} {step.path}{_settings(body, ' with ')}"
    return f"{said}."


def _calling(call: Call) -> str:
    operation, segment = vocabulary.operation_of(call.path)
    if names.reference(f"x.{vocabulary.DOWNLOAD_LOCATION}")[2:] in call.path or "{location-" in call.path:
        operation = vocabulary.DOWNLOAD
    who = _who(call)
    job = _bare(segment or "")
    value = _bare(_value(call))
    said = {
        vocabulary.ENQUEUE: f"{who} enqueues {_file(call.body)} to {job}{_parameters(call.query)}",
        vocabulary.DEQUEUE: f"{who} dequeues from {job}",
        vocabulary.DOWNLOAD: f"{who} downloads {_bare(call.path)}",
        vocabulary.ACK: f"{who} acknowledges on {job} with {_echo(call.body)}",
        vocabulary.JOBSTATUS: f"{who} asks for the job status on {job} ({call.query})",
        vocabulary.MESSAGE_STATUS: f"{who} asks for the status of {value}",
        vocabulary.EXECUTION_ID: f"{who} asks for the execution of {value}",
        vocabulary.EXECUTION_ERRORS: f"{who} asks for the errors of {value}",
        vocabulary.EXECUTION_SUMMARY: f"{who} asks for the summary status of {value}",
        vocabulary.TOKEN: f"{who} sends a request for a token",
    }.get(operation)
    # A request in another form than the usual one is shown as it is.
    if said is None or (operation not in _FORMS or call.method != _FORMS[operation]):
        query = f"?{call.query}" if call.query else ""
        said = f"{who} sends {call.method} {call.path}{query}"
        if is_unsigned(query):
            said += " (what signed this address is kept nowhere, so whoever plays the story is refused here)"
        if call.body:
            said += f" with {_echo(call.body)}"
    if call.chunked:
        said += ", in chunks"
    shown = [f"{name}: {value}" for name, value in call.headers if name.lower() not in ("content-type", "accept")]
    if shown:
        said += f", with the header {' and '.join(_short(each) for each in shown)}"
    return f"{said}{_as(call.name)}."


_FORMS: Final = {
    vocabulary.ENQUEUE: "POST",
    vocabulary.DEQUEUE: "GET",
    vocabulary.DOWNLOAD: "GET",
    vocabulary.ACK: "POST",
    vocabulary.JOBSTATUS: "GET",
    vocabulary.MESSAGE_STATUS: "POST",
    vocabulary.EXECUTION_ID: "POST",
    vocabulary.EXECUTION_ERRORS: "POST",
    vocabulary.EXECUTION_SUMMARY: "POST",
    vocabulary.TOKEN: "POST",
}


def _who(call: Call) -> str:
    actor = call.actor or "Somebody"
    token: Token | None = call.token
    if token is None:
        with_what = "without a token"
    elif token.kind == "current":
        if token.of == call.actor:
            return f"The {actor} client" if actor == "authorised" else f"The client {actor}"
        with_what = f"with the token of {token.of}"
    elif token.kind == "named":
        with_what = f"with {token.of}"
    elif token.kind == "forged":
        with_what = f"with a token of {token.of} whose {token.part} was changed"
    else:
        with_what = f"with the token {json.dumps(token.of)}"
    return f"{actor[:1].upper()}{actor[1:]}, {with_what},"


def _file(body: str | bytes) -> str:
    if not body:
        return "nothing"
    if isinstance(body, bytes):
        if not zipfile.is_zipfile(io.BytesIO(body)):
            return f"{_counted(len(body), 'byte')}"
        with zipfile.ZipFile(io.BytesIO(body)) as package:
            return f"a package of {', '.join(package.namelist())}"
    lines = [line for line in body.splitlines() if line.strip()]
    if lines and "," in lines[0]:
        return f"a file of {_counted(max(0, len(lines) - 1), 'record')}"
    return f"the text {json.dumps(_short(body), ensure_ascii=False)}"


def _echo(body: str | bytes) -> str:
    if not body:
        return "nothing"
    if isinstance(body, bytes):
        return _counted(len(body), "byte")
    found = list(names.named(body))
    if len(found) == 1 and body == names.reference(found[0]):
        return found[0]
    return f"`{_short(body)}`"


def _value(call: Call) -> str:
    """What an action is asked about: the one value in its body."""
    try:
        told = json.loads(call.body)
    except ValueError:
        return _echo(call.body)
    if isinstance(told, dict) and len(told) == 1:
        return str(next(iter(told.values())))
    return _echo(call.body)


def _parameters(query: str) -> str:
    given = unquote_plus(query)
    if not given or given == "entity=Customer groups":
        return ""
    return f" ({given})"


def _entity(path: str) -> str:
    query = path.partition("?")[2]
    return f" ({unquote_plus(query)})" if query else ""


def _settings(body: Mapping[str, Any], before: str) -> str:
    if not body:
        return ""
    return before + ", ".join(f"{name} {_setting(value)}" for name, value in body.items())


def _setting(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _as(name: str | None) -> str:
    return f" → {name}" if name is not None else ""


def _bare(text: str) -> str:
    """A text with names out of their braces, for reading."""
    return names.resolved(text, lambda name: name).replace("%7B", "").replace("%7D", "")


def _counted(count: object, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
