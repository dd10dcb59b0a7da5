"""A story as a shell script: curl, sed and a POSIX shell are all that it needs.

It signs in by itself, makes the jobs through the control plane, keeps what the answers give in variables and prints
every answer. It judges nothing: what should be seen, and what was, stands in its first lines.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from typing import Final

import msgspec

from popreceipt import vocabulary
from popreceipt.reproduction import names
from popreceipt.reproduction.steps import RESTART, Advance, Call, Obtain, Step, Tell, Token, given_name, needed
from popreceipt.reproduction.story import sentence

LARGE: Final = "body-{}.bin"
"""The file beside the script in which a body lies that is no text; its number is the step's."""


def script(steps: Sequence[Step], comment: str) -> tuple[str, dict[str, bytes]]:
    """The script that plays a story, and the files that must lie beside it.

    Args:
        steps: the story.
        comment: what should be seen, and what was.
    """
    beside = {
        LARGE.format(number): step.body
        for number, step in enumerate(steps, start=1)
        if isinstance(step, Call) and isinstance(step.body, bytes)
    }
    said = "\n".join(f"# {each}".rstrip() for each in comment.splitlines())
    lines = [_functions().replace("# @COMMENT@", said).rstrip()]
    wanted = {name for step in steps for name in needed(step)}
    for number, step in enumerate(steps, start=1):
        lines += ["", f"say {_plain(f'{number}. {sentence(step)}')}"]
        lines += _step(step, number)
        if (name := given_name(step)) is not None:
            lines += _keep(step, name, needed_later=name in wanted)
    return "\n".join([*lines, ""]), beside


@cache
def _functions() -> str:
    """What every such script begins with."""
    return files(__package__).joinpath("story.sh").read_text(encoding="utf-8")


def _step(step: Step, number: int) -> Iterator[str]:
    if isinstance(step, Advance):
        yield f"advance {step.seconds:.10g}"
        return
    yield "begin"
    if isinstance(step, Obtain):
        yield from _obtain(step)
    elif isinstance(step, Tell):
        yield from _tell(step)
    else:
        yield from _call(step, number)


def _obtain(step: Obtain) -> Iterator[str]:
    secret = "not-the-secret" if step.wrong_secret else ""
    resource = _words(step.resource) if step.resource is not None else "''"
    yield f"status=$(ask_token {_plain(step.role)} {step.version} {step.grant} {resource} {_plain(secret)})"
    yield "printf 'token endpoint → %s\\n' \"$status\""


def _tell(step: Tell) -> Iterator[str]:
    if (step.method, step.path) == RESTART:
        yield "printf 'Restart the target now, then press Enter. '; read -r _"
        return
    body = "" if step.body is None else _words(msgspec.json.encode(step.body).decode("utf-8"))
    yield " ".join(filter(None, (f"control {_plain(step.method)} {_words(step.path)}", body)))


def _call(call: Call, number: int) -> Iterator[str]:
    arguments = []
    token = _token(call.token)
    if token is not None:
        yield f"bearer={token}"
        arguments.append('-H "authorization: Bearer $bearer"')
    given = {name.lower() for name, _ in call.headers}
    arguments += [f"-H {_header(name, value)}" for name, value in call.headers]
    if call.chunked:
        arguments.append("-H 'transfer-encoding: chunked'")
    if call.body:
        if isinstance(call.body, bytes):
            arguments.append(f'--data-binary @"$here/{LARGE.format(number)}"')
        elif (whole := _whole_delivery(call.body)) is not None:
            arguments.append(f'--data-binary @"$work/{whole}"')
        else:
            yield f'{_printed(call.body)} > "$work/sent"'
            arguments.append('--data-binary @"$work/sent"')
        if "content-type" not in given:
            arguments.append("-H 'content-type:'")
    elif call.method in ("POST", "PUT", "PATCH"):
        arguments.append("-H 'content-length: 0'")
    yield " \\\n  ".join([f"send {_plain(call.method)} {_url(call)}", *arguments])


def _keep(step: Step, name: str, *, needed_later: bool) -> Iterator[str]:
    """Lines that keep what an answer gives; a story that needs it ends where there is nothing."""
    variable = _variable(name)
    kind = name.rpartition("-")[0]
    if kind == "rows":
        yield f'cp "$work/told" "$work/{name}"'
        return
    if kind == "delivery":
        yield f'cp "$work/answer" "$work/{name}"'
        first, second = vocabulary.CORRELATION_ID, vocabulary.DOWNLOAD_LOCATION
        yield f'{variable}=$(member {first} < "$work/{name}")'
        yield f'if [ -z "${variable}" ]; then {variable}=$(member {second} < "$work/{name}"); fi'
    elif kind == "location":
        yield f"{variable}=$(tr -d '\\r' < \"$work/head\" | sed -n 's/^[Ll]ocation: *//p')"
    elif kind == "message" and isinstance(step, Call):
        yield f'{variable}=$(guid < "$work/answer")'
    else:
        member = {"execution": "value", "message": "messageId", "token": "access_token"}.get(kind, "id")
        file = {"execution": "answer", "token": "token"}.get(kind, "told")
        yield f'{variable}=$(member {member} < "$work/{file}")'
    # A token is a secret: nothing of it is shown.
    shown = f"${{{variable}:+(a token)}}" if kind == "token" else f"${variable}"
    yield f'got {name} "{shown}"' if needed_later else f"printf '   %s = %s\\n' {name} \"{shown}\""


def _token(token: Token | None) -> str | None:
    """An expression for the token of a request."""
    if token is None:
        return None
    if token.kind == "literal":
        return _plain(token.of)
    real = f'"${_variable(token.of)}"' if names.giver(token.of) else f'"$(token {_plain(token.of)})"'
    return f'"$(forged {real} {token.part})"' if token.kind == "forged" else real


def _url(call: Call) -> str:
    found = list(names.named(call.path))
    if len(found) == 1 and call.path == names.reference(found[0]):
        if found[0].startswith("location-"):
            return _words(call.path)
        return f'"$BASE_URL$(place {_words(call.path)})"'
    query = f"?{call.query}" if call.query else ""
    return f'"$BASE_URL"{_words(call.path + query)}'


def _header(name: str, value: str) -> str:
    # To curl a header without a value is one to leave out; with a semicolon it is sent empty.
    return _plain(f"{name};") if not value else _plain(f"{name}: ") + _words(value)


def _whole_delivery(body: str) -> str | None:
    found = list(names.named(body))
    is_whole = len(found) == 1 and body == names.reference(found[0]) and found[0].startswith("delivery-")
    return found[0] if is_whole and names.giver(found[0]) == found[0] else None


# Texts


def _plain(text: str) -> str:
    """A word of the shell that is exactly this text."""
    return "'" + text.replace("'", "'\\''") + "'"


def _words(text: str) -> str:
    """A word of the shell in which values stand in place of names."""
    return "".join(_plain(piece) if value is None else f'"{value}"' for piece, value in _pieces(text)) or "''"


def _printed(text: str) -> str:
    """A command that prints a text byte for byte, line ends and all."""
    form, values = "", []
    for piece, value in _pieces(text):
        if value is None:
            form += "".join(_ESCAPES.get(letter) or _escaped(letter) for letter in piece)
        else:
            form += "%s"
            values.append(f'"{value}"')
    return " ".join(["printf", f"'{form}'", *values])


_ESCAPES: Final = {"\\": "\\\\", "%": "%%", "'": "'\\''", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _escaped(letter: str) -> str:
    return letter if letter >= " " else f"\\{ord(letter):03o}"


def _pieces(text: str) -> Iterator[tuple[str, str | None]]:
    """Pieces of a text: as they are, or with the expression that gives a name's value."""
    for piece, spellings in names.pieces(text):
        yield (piece, None) if spellings is None else ("", _value(piece, spellings))


def _value(name: str, spellings: Sequence[str]) -> str:
    """What stands between double quotes for a name's value."""
    found = _expression(name)
    return found if not spellings else f'$(printf %s "{found}" | {" | ".join(spellings)})'


def _expression(name: str) -> str:
    if name.startswith(names.START):
        return f"$(later {int(float(name.removeprefix(names.START)))})"
    if name.startswith(names.TOKEN_OF):
        return f"$(token {name.removeprefix(names.TOKEN_OF)})"
    if name.startswith(names.WORLD):
        return _of_world(name.removeprefix(names.WORLD))
    giver = names.giver(name) or name
    rest = name[len(giver) :]
    if not rest:
        return f'$(cat "$work/{giver}")' if giver.startswith("delivery-") else f"${{{_variable(giver)}}}"
    if giver.startswith("rows-"):
        place = int(rest.split(".")[1])
        return f'$(member MessageId {place + 1} < "$work/{giver}")'
    member, _, parameter = rest[1:].partition("?")
    value = f'$(member {member} < "$work/{giver}")'
    if parameter:
        return f"$(printf %s \"{value}\" | tr '?&' '\\n\\n' | sed -n 's/^{parameter}=//p')"
    return value


def _of_world(what: str) -> str:
    kind, _, which = what.partition(".")
    if kind == "base-url":
        return "$BASE_URL"
    expressions = {
        "job": f"$(job {which})",
        "client": f"$(client {which} client_id POPRECEIPT_CLIENT_ID)",
        "secret": f"$(client {which} client_secret POPRECEIPT_CLIENT_SECRET)",
        "user": f"$(user {which})",
        "tenant": "$(world | member tenant)",
    }
    return expressions.get(kind, "")


def _variable(name: str) -> str:
    return re.sub(r"\W", "_", name)
