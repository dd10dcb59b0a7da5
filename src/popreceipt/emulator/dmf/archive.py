"""Zip files from outside, opened without trust: data packages and Excel workbooks are both of them.

Checks names, number, size and tightness before anything is unpacked, and unpacks no more than was announced.
"""

import io
import stat
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from popreceipt.emulator.dmf.problems import Unreadable

MOST_FILES: Final = 1_000
MOST_BYTES: Final = 300_000_000
MOST_RATIO: Final = 1_000
"""Limits of what is unpacked: members, bytes in all, and how often a member may be larger than packed."""

_PIECE: Final = 1 << 16


class Archive:
    """An opened zip file. `what` names it in complaints.

    Raises:
        Unreadable: it is no zip file, has members that no honest file has, or passes a limit.
    """

    def __init__(self, content: bytes, what: str) -> None:
        self._what = what
        with self._complaints():
            self._zip = zipfile.ZipFile(io.BytesIO(content))
        self._members = self._checked()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all members, in order."""
        return tuple(self._members)

    def content(self, name: str, most: int = MOST_BYTES) -> bytes | None:
        """A member's bytes; None where there is no such member, or it is a folder.

        Raises:
            Unreadable: it cannot be unpacked, or is larger than announced or than `most` bytes.
        """
        if name not in self:
            return None
        size = self._members[name].file_size
        if size > most:
            raise Unreadable(f"The member {name!r} has {size} bytes; at most {most} are read.")
        return b"".join(self.pieces(name))

    def pieces(self, name: str) -> Iterator[bytes]:
        """A member's bytes, piece by piece, for what need not be in memory at once.

        Raises:
            Unreadable: it cannot be unpacked, or is larger than announced.
        """
        info = self._members[name]
        with self._complaints(), self._zip.open(info) as member:
            while piece := member.read(_PIECE):
                yield piece

    def __contains__(self, name: str) -> bool:
        return name in self._members and not self._members[name].is_dir()

    def _checked(self) -> Mapping[str, zipfile.ZipInfo]:
        infos = self._zip.infolist()
        if len(infos) > MOST_FILES:
            raise Unreadable(f"The {self._what} has {len(infos)} members; at most {MOST_FILES} are taken.")
        if sum(info.file_size for info in infos) > MOST_BYTES:
            raise Unreadable(f"The {self._what} is larger than {MOST_BYTES} bytes unpacked.")
        members: dict[str, zipfile.ZipInfo] = {}
        for info in infos:
            name = info.filename
            if name.startswith("/") or "\\" in name or ":" in name or ".." in name.split("/"):
                raise Unreadable(f"The {self._what} has a member with the name {name!r}.")
            if name in members:
                raise Unreadable(f"The {self._what} has two members with the name {name!r}.")
            if info.file_size > MOST_RATIO * max(info.compress_size, 1):
                raise Unreadable(f"The member {name!r} is packed more tightly than honest files are.")
            if stat.S_ISLNK(info.external_attr >> 16):
                raise Unreadable(f"The member {name!r} is a symbolic link; a {self._what} holds files.")
            if info.flag_bits & 0x1:
                raise Unreadable(f"The member {name!r} is encrypted; a {self._what} without a password is expected.")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                # The others are unpacked in one go, whatever comes out of it.
                raise Unreadable(f"The member {name!r} is packed by an unusual method; deflate is expected.")
            members[name] = info
        return members

    @contextmanager
    def _complaints(self) -> Iterator[None]:
        try:
            yield
        except (
            zipfile.BadZipFile,
            zlib.error,
            NotImplementedError,
            EOFError,
            OSError,
            RuntimeError,
            ValueError,
        ) as error:
            raise Unreadable(f"The {self._what} cannot be unpacked: {error}.") from error
