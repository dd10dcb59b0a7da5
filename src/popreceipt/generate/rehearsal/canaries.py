"""Looking for what must be found nowhere: secrets and tokens, in whatever a command wrote.

It looks as somebody would who wants to find them: also in other spellings, inside of archives, and in what is written
in base64.
"""

import base64
import gzip
import html
import json
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Final
from urllib.parse import quote, quote_plus

TOKEN: Final = re.compile(rb"eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}")
"""A signed token as the emulator issues them (RFC 7519, "Compact Serialization")."""

SIGNED: Final = re.compile(rb"[?&;]sig=(?!redacted)[\w%+/=-]{20,}", re.IGNORECASE)
"""An address with what signs it, as blob storage hands it out: no token is asked for there."""

ENCODED: Final = re.compile(rb"[A-Za-z0-9+/_-]{24,}={0,2}")

DEEPEST: Final = 3
LONGEST: Final = 64 << 20


def leaks(folder: Path, secrets: Iterable[str], *, but: Iterable[Path] = ()) -> list[str]:
    """Where below a folder a secret or a token is found, each place in words.

    Args:
        folder: what commands wrote.
        secrets: what must be found nowhere, in any spelling.
        but: files that may have them.
    """
    needles = [needle for secret in secrets for needle in spellings(secret)]
    left_out = {each.resolve() for each in but}
    found = []
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file.resolve() not in left_out:
            found += [f"{file.relative_to(folder)}: {what}" for what in leaks_in(file.read_bytes(), needles)]
    return found


def leaks_in(content: bytes, needles: Iterable[bytes]) -> list[str]:
    """What of it is found in this content."""
    known = tuple(needles)
    return list(dict.fromkeys(_leaks(content, known, 0)))


def spellings(secret: str) -> list[bytes]:
    """A secret as it may stand in a file: plain, in a URL, in JSON, in HTML, in base64 at any place."""
    raw = secret.encode()
    plain = {raw, quote(secret).encode(), quote(secret, safe="").encode(), quote_plus(secret).encode()}
    plain |= {re.sub(rb"%..", lambda found: found[0].lower(), each) for each in plain}
    plain |= {json.dumps(secret)[1:-1].encode(), json.dumps(secret)[1:-1].replace("/", "\\/").encode()}
    plain |= {secret.replace("&", "&amp;").replace("<", "&lt;").encode(), html.escape(secret).encode()}
    plain |= {raw.hex().encode(), raw.hex().upper().encode(), secret[::-1].encode(), repr(secret)[1:-1].encode()}
    for how in ("\\u{:04X}", "\\u{:04x}", "&#x{:X};", "&#{};"):
        plain.add(
            "".join(each if each.isalnum() or each in "-_.~" else how.format(ord(each)) for each in secret).encode()
        )
    for signs in ("+&<>'/", "+&<>'", "&<>"):
        # As System.Text.Json, Jackson and others escape what could end a script.
        plain.add("".join(f"\\u{ord(each):04X}" if each in signs else each for each in secret).encode())
    for shift in range(3):
        # Whatever stands before and after it: the letters that are made of nothing but the secret.
        encoded = base64.b64encode(b"\0" * shift + raw)
        encoded = encoded[-(-shift * 8 // 6) : (shift + len(raw)) * 8 // 6]
        plain |= {encoded, encoded.replace(b"+", b"-").replace(b"/", b"_")}
    return sorted(plain)


def _leaks(content: bytes, needles: tuple[bytes, ...], depth: int) -> Iterator[str]:
    yield from (f"a secret ({needle[:4].decode(errors='replace')}…)" for needle in needles if needle in content)
    if TOKEN.search(content):
        yield "a token"
    if SIGNED.search(content):
        yield "a signed address"
    if depth == DEEPEST:
        return
    for inner in _inside(content):
        yield from _leaks(inner, needles, depth + 1)


def _inside(content: bytes) -> Iterator[bytes]:
    """What is packed into it."""
    if content[:2] == b"PK":
        try:
            with zipfile.ZipFile(BytesIO(content)) as archive:
                yield from (archive.read(each) for each in archive.infolist() if each.file_size < LONGEST)
        except (zipfile.BadZipFile, RuntimeError, zlib.error):
            return
    elif content[:2] == b"\x1f\x8b":
        try:
            yield gzip.decompress(content)
        except (OSError, EOFError, zlib.error):
            return
    else:
        for match in ENCODED.finditer(content):
            text = match[0].rstrip(b"=").replace(b"-", b"+").replace(b"_", b"/")
            decoded = base64.b64decode(text[: len(text) - (len(text) % 4 == 1)] + b"==", validate=False)
            if decoded[:2] in (b"PK", b"\x1f\x8b", b'{"', b"ey"):
                yield decoded
