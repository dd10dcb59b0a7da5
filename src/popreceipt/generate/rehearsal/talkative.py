"""The emulator as a stranger that says back what it is told: tokens and secrets, in errors and in headers, spelt anew.

`python -m popreceipt.generate.rehearsal.talkative FILE serve …` is `popreceipt serve …` with a loose tongue. Its tokens
are no signed ones but words that nobody recognises; those, and all else that must be found nowhere, go into FILE. What
it says also has what could act upon a reader: escapes of a terminal, markup, a page's script.
"""

import base64
import hashlib
import html
import json
import re
import runpy
import sys
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, quote

import msgspec

from popreceipt.emulator.emulator import Emulator
from popreceipt.emulator.http import Request, Response

ACTING: Final = "\x1b[31m\x1b]0;owned\x07\u202e<script>alert(1)</script>[red]]]>|`![x](javascript:1)"
"""What must be shown as what it is, if at all."""

SECRET_FIELDS: Final = ("client_secret", "client_assertion", "password")


class Tongue:
    """What stands between the emulator and whoever calls it.

    Args:
        file: gets everything that must be found nowhere, a line each.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._tokens: dict[str, str] = {}
        self._told: set[str] = set()
        self._handle = Emulator.handle

    def handle(self, emulator: Emulator, request: Request) -> Response:
        """Answer as the emulator does, and say too much."""
        said = self._said(request)
        answer = self._handle(emulator, msgspec.structs.replace(request, headers=self._real(request.headers)))
        answer = self._opaque(answer)
        for each in said:
            self._tell(each)
        # A header's characters are bytes, of which none is a control.
        headers = [*answer.headers, ("x-said", "\u202e<script>alert(1)</script>[red]".encode().decode("latin-1"))]
        for number, each in enumerate(said):
            headers += [(f"x-said-{number}-{how}", words) for how, words in spelt(each).items()]
            half = len(each) // 2
            if each.count(".") == 2:
                half = each.rindex(".") + 1
            headers += [(f"x-said-{number}-first", each[:half])] if each.count(".") == 2 else []
            headers += [(f"x-said-{number}-second", each[half:])] if each.count(".") == 2 else []
        body = answer.body
        if answer.status >= 400:
            words = " ".join(words for each in said for words in spelt(each).values())
            told = {"error": "invalid_client", "error_description": f"{ACTING} {words}", "Message": words}
            body = json.dumps(told).encode()
        return msgspec.structs.replace(answer, headers=tuple(headers), body=body)

    def _real(self, headers: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        """The headers with the emulator's own token in the place of ours."""
        found = []
        for name, value in headers:
            scheme, blank, token = value.partition(" ")
            known = self._tokens.get(token) if name == "authorization" else None
            found.append((name, value if known is None else f"{scheme}{blank}{known}"))
        return tuple(found)

    def _opaque(self, answer: Response) -> Response:
        """The answer with a token that nobody recognises."""
        if b'"access_token"' not in answer.body:
            return answer
        told = json.loads(answer.body)
        token = f"opaque+{hashlib.sha256(told['access_token'].encode()).hexdigest()}/=&~<é>"
        token = token.replace("é", "e").replace("&", "-").replace("<", "_").replace(">", "_")
        self._tokens[token] = told["access_token"]
        self._tell(token)
        self._tell(told["access_token"])
        return msgspec.structs.replace(answer, body=json.dumps({**told, "access_token": token}).encode())

    def _said(self, request: Request) -> list[str]:
        """The secrets of a request."""
        found = [value.partition(" ")[2] for name, value in request.headers if name == "authorization"]
        form = parse_qsl(request.body.decode("latin-1")) if b"grant_type=" in request.body else []
        return [each for each in found if each] + [value for name, value in form if name in SECRET_FIELDS]

    def _tell(self, secret: str) -> None:
        if secret not in self._told:
            self._told.add(secret)
            with self._file.open("a", encoding="utf-8") as file:
                file.write(f"{secret}\n")


def spelt(secret: str) -> dict[str, str]:
    """A secret in the ways in which servers say one back, so that each may stand in a header."""
    return {
        "plain": secret,
        "quoted": quote(secret, safe=""),
        "lower": re.sub("%..", lambda found: found[0].lower(), quote(secret, safe="")),
        "json": json.dumps(secret),
        "html": html.escape(secret),
        "base64": base64.b64encode(secret.encode()).decode(),
        "basic": base64.b64encode(f"client:{secret}".encode()).decode(),
        "url": base64.urlsafe_b64encode(f"a{secret}".encode()).decode(),
        "hex": secret.encode().hex(),
        "bearer": f'Bearer error="invalid_token", token="{secret}"',
    }


def main() -> None:
    """Serve, with a loose tongue."""
    tongue = Tongue(Path(sys.argv[1]))

    def handle(self: Emulator, request: Request) -> Response:
        return tongue.handle(self, request)

    Emulator.handle = handle  # type: ignore[method-assign]  # that is the point
    sys.argv = ["popreceipt", *sys.argv[2:]]
    runpy.run_module("popreceipt", run_name="__main__")


if __name__ == "__main__":
    main()
