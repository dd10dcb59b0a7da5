"""Secrets that were seen in their proper places, so that they can be taken out of every other.

A journal knows the places where secrets belong. Middleware in the making also puts them elsewhere, and an environment
may repeat them in an error. Whatever was once seen as a secret, or was named as one, is replaced wherever it stands.
They are kept in memory alone, and only as long as they are among the newest.
"""

import base64
import binascii
import contextlib
import json
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Any, Final
from urllib.parse import parse_qsl, quote, quote_plus, urlsplit

from popreceipt.journal import SECRET_FIELDS, SECRET_HEADERS, redacted

SHORTEST: Final = 8
"""Characters of the shortest secret that is looked for everywhere: a shorter one would be found in innocent words."""

REMEMBERED: Final = 1_000
"""So many secrets are remembered: tokens are renewed every hour."""

_PART: Final = re.compile(
    rb'name="?(%b)"?[^\r\n]*\r?\n(?:[^\r\n]+\r?\n)*\r?\n([^\r\n]+)' % "|".join(sorted(SECRET_FIELDS)).encode("ascii"),
    re.IGNORECASE,
)
"""A part of a multipart form that holds a secret."""


class Secrets:
    """The secrets that are known.

    Args:
        given: secrets that were named beforehand.
    """

    def __init__(self, given: Iterable[str] = ()) -> None:
        self._given = [form for secret in given if secret for form in _forms(secret)]
        self._seen: OrderedDict[str, tuple[tuple[str, str], ...]] = OrderedDict()

    def learn(self, headers: Iterable[tuple[str, str]], url: str, body: bytes) -> None:
        """Take in the secrets of a request, from the places where they belong."""
        for name, value in headers:
            lower = name.lower()
            if lower in SECRET_HEADERS:
                scheme, _, rest = value.strip().partition(" ")
                self._keep(rest.strip() or scheme)
                if scheme.lower() == "basic":
                    self._keep(_password_in(rest.strip()))
        for name, value in parse_qsl(urlsplit(url).query):
            if name.lower() in SECRET_FIELDS:
                self._keep(value)
        self.learn_body(body)

    def learn_body(self, body: bytes) -> None:
        """Take in the secrets of a body: of a form, of JSON, or of a form in several parts."""
        if not _may_name_a_secret(body):
            return
        try:
            self._learn_json(json.loads(body))
        except ValueError:
            for name, value in parse_qsl(body.decode("latin-1")):
                if name.lower() in SECRET_FIELDS:
                    self._keep(value)
        for found in _PART.finditer(body):
            self._keep(found[2].decode("utf-8", "replace"))

    def without(self, text: str) -> str:
        """A text without any of the secrets."""
        for form, instead in self._forms():
            if form in text:
                text = text.replace(form, instead)
        return text

    def without_bytes(self, content: bytes) -> bytes:
        """A body without any of the secrets."""
        for form, instead in self._forms():
            for encoded in _encoded(form):
                if encoded in content:
                    content = content.replace(encoded, instead.encode("ascii"))
        return content

    def _forms(self) -> Iterable[tuple[str, str]]:
        yield from self._given
        for forms in reversed(self._seen.values()):
            yield from forms

    def _keep(self, secret: str | None) -> None:
        if secret is None or len(secret) < SHORTEST:
            return
        secret = secret.encode("utf-8", "replace").decode("utf-8")  # JSON may name half a character
        if secret in self._seen:
            self._seen.move_to_end(secret)
            return
        self._seen[secret] = _forms(secret)
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)

    def _learn_json(self, value: Any) -> None:
        if isinstance(value, dict):
            for name, one in value.items():
                # In JSON a code is an error's, which is no secret and a word that comes again.
                if isinstance(one, str) and name.lower() in SECRET_FIELDS and name.lower() != "code":
                    self._keep(one)
                else:
                    self._learn_json(one)
        elif isinstance(value, list):
            for one in value:
                self._learn_json(one)


def _forms(secret: str) -> tuple[tuple[str, str], ...]:
    """A secret in each way in which it may be written, with what stands in its place; the longest first."""
    instead = redacted(secret)
    written = set(_in_base64(secret.encode("utf-8", "replace")))
    for each in _spelled(secret):
        written |= {each, quote(each, safe=""), quote_plus(each), quote(each), json.dumps(each)[1:-1]}
    return tuple((form, instead) for form in sorted(written, key=len, reverse=True))


def _spelled(secret: str) -> set[str]:
    """A secret, also as it looks where its UTF-8 was taken for Latin-1 (as headers are), and the other way round."""
    spelled = {secret, secret.encode("utf-8", "replace").decode("latin-1")}
    with contextlib.suppress(UnicodeError):
        spelled.add(secret.encode("latin-1").decode("utf-8"))
    return spelled


def _encoded(form: str) -> set[bytes]:
    """A form in the encodings of bodies."""
    encoded = {form.encode("utf-8", "replace")}
    with contextlib.suppress(UnicodeError):
        encoded.add(form.encode("latin-1"))
    return encoded


def _in_base64(content: bytes) -> Iterator[str]:
    """What of a secret stands in Base64 whatever stands before and behind it (a client's ID and a colon, say)."""
    for before in range(3):
        whole = base64.b64encode(bytes(before) + content).decode("ascii").rstrip("=")
        # The characters at either end have bits of what is beside it.
        core = whole[(before * 8 + 5) // 6 : (before + len(content)) * 8 // 6]
        if len(core) >= SHORTEST:
            yield core
            yield core.replace("+", "-").replace("/", "_")


def _may_name_a_secret(body: bytes) -> bool:
    lower = body.lower()
    return any(each.encode("ascii") in lower for each in SECRET_FIELDS)


def _password_in(credentials: str) -> str | None:
    """The second half of what Basic authentication sends (RFC 7617)."""
    try:
        return base64.b64decode(credentials, validate=True).decode("utf-8").partition(":")[2] or None
    except (binascii.Error, UnicodeDecodeError):
        return None
