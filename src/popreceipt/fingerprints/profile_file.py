"""A fingerprint as a profile's file: what `popreceipt serve --profile FILE` behaves like, with what was not seen.

It knows how the file is laid out. What the points mean stands in the emulator's profile, and reading the file is the
profile's own business: the table `[fingerprint]` is there for people and for comparisons, and changes nothing.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from popreceipt.emulator.profile import POINTS
from popreceipt.exceptions import UsageError
from popreceipt.fingerprints.taking import FORMAT, Fingerprint

LONGEST_LABEL = 120


def checked_label(label: str) -> str:
    """A label that can stand in the file.

    Raises:
        UsageError: it is too long, or not one line of printable text.
    """
    if len(label) > LONGEST_LABEL or not label.isprintable():
        raise UsageError(f"The label is one line of printable text, {LONGEST_LABEL} characters at most.")
    return label


def as_toml(fingerprint: Fingerprint) -> str:
    """The file's text."""
    return "\n".join(_lines(fingerprint)) + "\n"


def write(fingerprint: Fingerprint, path: Path) -> None:
    """Write the file.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(as_toml(fingerprint), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"Cannot write {path}: {error.strerror or error}. Give another --out.") from error


def _lines(fingerprint: Fingerprint) -> Iterator[str]:
    yield "# How a server answers what the documentation leaves open, as `popreceipt fingerprint` saw it."
    yield "# `popreceipt serve --profile FILE` answers alike. What was not seen is answered as usual."
    yield ""
    yield "[points]"
    for name, value in fingerprint.points.items():
        usual = POINTS[name].values[0]
        otherwise = "" if value == usual else f" (usually {usual})"
        yield f"{_text(name)} = {_text(value)}  # {POINTS[name].text}{otherwise}"
    yield ""
    yield "[fingerprint]"
    yield f"format = {_text(FORMAT)}"
    if fingerprint.by:
        yield f"popreceipt = {_text(fingerprint.by)}"
    if fingerprint.taken is not None:
        yield f"taken = {fingerprint.taken.isoformat()}"
    yield f"means = {_text(fingerprint.means)}"
    if fingerprint.clock:
        yield f"clock = {_text(fingerprint.clock)}"
    if fingerprint.label:
        yield f"label = {_text(fingerprint.label)}"
    yield from _table("several", "answered in more than one way", _lists(fingerprint.several.items()))
    yield from _table("unknown", "answered as no profile knows", _lists(fingerprint.unknown.items()))
    yield from _table("unseen", "not seen, and why", [(n, _text(why)) for n, why in fingerprint.unseen.items()])
    yield from _table("beside", "answers that no profile has", [(n, _text(a)) for n, a in fingerprint.beside.items()])


def _table(name: str, about: str, rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    kept = list(rows)
    if kept:
        yield ""
        yield f"[fingerprint.{name}]  # {about}"
        yield from (f"{_text(key)} = {value}" for key, value in kept)


def _lists(rows: Iterable[tuple[str, tuple[str, ...]]]) -> list[tuple[str, str]]:
    return [(name, f"[{', '.join(map(_text, values))}]") for name, values in rows]


def _text(text: str) -> str:
    """A basic string of TOML: printable text needs the escapes that JSON has."""
    return json.dumps(text, ensure_ascii=False)
