"""JSON that others sent: what it is, or that it is none. Never more than one exception to catch."""

import codecs
import json
import re
from typing import Any

import msgspec

_decode = msgspec.json.Decoder().decode
# A string that is not closed reaches to the end: else it would be looked for anew at each quote within it.
_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\Z)' + r"|'((?:[^'\\]|\\.)*)(?:'|\Z)", re.DOTALL)


class NotJson(ValueError):
    """A body that is no JSON, or not the JSON that was asked for; the text says which."""


def read_json(body: bytes) -> Any:
    """The value that a body holds, in UTF-8 with or without a byte order mark.

    Raises:
        NotJson: it holds none.
    """
    try:
        return _decode(body.removeprefix(codecs.BOM_UTF8))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise NotJson(f"The body is no JSON: {error}." if body else "The body is empty; JSON was expected.") from error


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object that a body holds.

    Raises:
        NotJson: it holds something else.
    """
    value = read_json(body)
    if not isinstance(value, dict):
        raise NotJson("The body is JSON, but no object.")
    return value


def read_lenient_object(body: bytes) -> dict[str, Any]:
    """The same, with strings in single quotes too: a PowerShell module sends them and is understood.

    Raises:
        NotJson: it holds something else.
    """
    try:
        return read_object(body)
    except NotJson:
        if b"'" not in body:
            raise
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NotJson(f"The body is no UTF-8: {error}.") from error
    return read_object(_STRINGS.sub(_in_double_quotes, text).encode("utf-8"))


def _in_double_quotes(found: re.Match[str]) -> str:
    inside = found.group(1)
    return found.group() if inside is None else json.dumps(inside.replace("\\'", "'"), ensure_ascii=False)
