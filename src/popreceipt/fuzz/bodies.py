"""Bodies of the formats that imports take: delimited files and data packages, good ones and every kind of bad one.

Strategies for Hypothesis that yield bytes. What schemathesis makes of its own accord are random bytes, which no import
gets past its first look at; these get further. Made for as long as a block lasts: nobody else's schemathesis sees them.
"""

import io
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from hypothesis import strategies as st
from schemathesis.core.media_types import MEDIA_TYPE_STRATEGIES

from popreceipt.client.packages import COLUMNS, ENTITY, data_package, delimited

_keys: Final = st.integers(0, 16**10 - 1).map(lambda number: f"{number:010X}")
_words: Final = st.text("abcdefgh ,\"'äß€", max_size=12)
_noise: Final = st.binary(max_size=200)


@st.composite
def records(draw: st.DrawFn) -> list[dict[str, str]]:
    """Customer groups: mostly good ones, some without a key, with too long a key, or twice the same."""
    made = []
    for _ in range(draw(st.integers(0, 4))):
        key = draw(_keys)
        kind = draw(st.sampled_from(("good", "good", "good", "keyless", "long", "twice")))
        key = {"keyless": "", "long": f"{key}TOOLONG"}.get(kind, key)
        record = dict(zip(COLUMNS, (key, draw(_words), draw(st.sampled_from(("Net30", "", "Net60")))), strict=True))
        made += [record, record] if kind == "twice" else [record]
    return made


@st.composite
def delimited_files(draw: st.DrawFn) -> bytes:
    """Delimited files: good, ragged, in a wrong encoding, with zero bytes, without a header, empty."""
    good = delimited(draw(records()))
    kind = draw(st.sampled_from(("good", "good", "good", "ragged", "utf-16", "latin-1", "zero", "headless", "empty")))
    if kind == "ragged":
        return good + b"ONE\r\nONE,TWO,THREE,FOUR,FIVE\r\n,\r\n"
    if kind in ("utf-16", "latin-1"):
        return good.decode("utf-8").encode(kind, "replace")
    if kind == "zero":
        place = draw(st.integers(0, len(good)))
        return good[:place] + b"\x00" + good[place:]
    if kind == "headless":
        return good.partition(b"\r\n")[2]
    return b"" if kind == "empty" else good


@st.composite
def packages(draw: st.DrawFn) -> bytes:
    """Data packages: valid, in a folder, without a part, with a manifest of something else, cut short, garbage."""
    file = draw(delimited_files())
    kind = draw(
        st.sampled_from(
            ("good", "good", "good", "folder", "without", "manifest", "nothing", "truncated", "padded", "garbage")
        )
    )
    encoding = draw(st.sampled_from(("utf-16", "utf-8")))
    if kind == "garbage":
        return draw(_noise)
    if kind == "nothing":
        return _zip({})
    if kind == "folder":
        return data_package(file, encoding=encoding, folder="popreceipt")
    if kind == "without":
        part = draw(st.sampled_from(("Manifest.xml", "PackageHeader.xml", "Customer groups.csv")))
        return data_package(file, encoding=encoding, without=part)
    if kind == "manifest":
        wrong = draw(st.sampled_from(("<", "<a/>", "", "<DataManagementPackageManifest/>", "\ufeff<!DOCTYPE a><a/>")))
        return _zip({"Manifest.xml": wrong.encode(encoding), "PackageHeader.xml": b"<a/>", f"{ENTITY}.csv": file})
    whole = data_package(file, encoding=encoding, backwards=draw(st.booleans()))
    if kind == "truncated":
        return whole[: draw(st.integers(0, len(whole)))]
    return draw(_noise) + whole if kind == "padded" else whole


def workbooks() -> st.SearchStrategy[bytes]:
    """Workbooks: a zip that is none, since no client of this kind writes them."""
    return st.one_of(_noise, packages())


def as_bytes(document: dict[str, Any]) -> None:
    """Turn the examples of such bodies into bytes, in place: beside a strategy nothing else is taken."""
    for item in document["paths"].values():
        for told in item.values():
            if isinstance(told, dict):
                for media_type, content in told.get("requestBody", {}).get("content", {}).items():
                    for example in content.get("examples", {}).values() if media_type in STRATEGIES else ():
                        if isinstance(example.get("value"), str):
                            example["value"] = example["value"].encode("utf-8")


def _zip(members: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), content)
    return made.getvalue()


STRATEGIES: Final[Mapping[str, st.SearchStrategy[bytes]]] = {
    "text/csv": delimited_files(),
    "application/zip": packages(),
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": workbooks(),
}
"""The media types of the specification that schemathesis cannot make bodies of, or none that are worth sending."""


@contextmanager
def known() -> Iterator[None]:
    """Let schemathesis make such bodies for as long as the block lasts."""
    before = dict(MEDIA_TYPE_STRATEGIES)
    MEDIA_TYPE_STRATEGIES.update(STRATEGIES)
    try:
        yield
    finally:
        MEDIA_TYPE_STRATEGIES.clear()
        MEDIA_TYPE_STRATEGIES.update(before)
