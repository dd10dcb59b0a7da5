"""Subjects that are no middleware at all: they hang, flood, fall over, leave children behind, or soil the inbox.

Run as `python bad.py NAME`. Nothing here speaks to the connector. Whoever runs them must come away well and hold
nothing against a rule that they never touched. Each ends by itself after a while, should nobody end it: `LONGEST`
seconds, children included.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

LONGEST: Final = 120.0
"""Seconds after which even the worst of them ends by itself."""

CHILDREN: Final = 3

RUBBISH_BYTES: Final = 3_000_000
RUBBISH_FILES: Final = 300


def hangs() -> None:
    """Does nothing, and ignores every request to end that can be ignored."""
    for name in ("SIGTERM", "SIGINT", "SIGBREAK"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    wait()


def floods() -> None:
    """Writes as much as it can to both outputs."""
    line = b"x" * 65_535 + b"\n"
    for number in range(4_000):
        os.write(1 + number % 2, line)
    wait()


def floods_one_line() -> None:
    """Writes one line that never ends, in bytes that are no text in any encoding."""
    for _ in range(2_000):
        os.write(1, bytes(range(128, 256)) * 256)
    wait()


def exits_at_once() -> None:
    """Ends with 0 before it has done anything, each time that it is started."""


def crashes_at_once() -> None:
    """Ends with 3 and a word of its own."""
    sys.stderr.write("bad.py: there is nothing here that could work\n")
    sys.exit(3)


def kills_itself() -> None:
    """Dies of a signal (on Windows: ends with a status that no program means)."""
    if hasattr(signal, "SIGKILL"):
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(255)


def forks() -> None:
    """Leaves children behind that ignore a request to end and keep both outputs open; ends itself at once with 0."""
    for _ in range(CHILDREN):
        _child()


def forks_and_stays() -> None:
    """Has such children and lives on beside them."""
    forks()
    wait()


def forks_again_and_again() -> None:
    """Each child has a child and ends, so that no parent knows the last one; a few generations deep."""
    generation = int(os.environ.get("BAD_GENERATION", "0"))
    if generation < CHILDREN:
        subprocess.Popen(
            [sys.executable, __file__, "forks-again-and-again"],
            env=os.environ | {"BAD_GENERATION": str(generation + 1)},
        )
    else:
        hangs()


def writes_rubbish() -> None:
    """Fills the inbox with what nobody sent: folders, empty and large files, odd names, links, what cannot be read."""
    inbox = Path(os.environ["POPRECEIPT_INBOX"])
    (inbox / "deep" / "er" / "still").mkdir(parents=True, exist_ok=True)
    (inbox / "deep" / "er" / "still" / "file.zip").write_bytes(b"PK\x03\x04 this is no zip")
    (inbox / "empty.zip").write_bytes(b"")
    (inbox / "large.bin").write_bytes(b"\x00" * RUBBISH_BYTES)
    (inbox / "a name with blanks, ümlauts and 'quotes'.zip").write_bytes(b"rubbish")
    (inbox / ".hidden").write_bytes(b"rubbish that does not count")
    (inbox / "half.part").write_bytes(b"rubbish that does not count either")
    for number in range(RUBBISH_FILES):
        (inbox / f"rubbish-{number}.txt").write_text("the same every time\n", encoding="utf-8")
    # What a system lacks, or does not allow, is left out.
    with contextlib.suppress(OSError, AttributeError, NotImplementedError):
        (inbox / "loop").symlink_to(inbox, target_is_directory=True)
    with contextlib.suppress(OSError, AttributeError, NotImplementedError):
        (inbox / "nowhere").symlink_to(inbox / "does-not-exist")
    with contextlib.suppress(OSError, AttributeError, NotImplementedError):
        os.mkfifo(inbox / "pipe.zip")
    with contextlib.suppress(OSError, AttributeError, NotImplementedError):
        (inbox / "closed.zip").write_bytes(b"nobody may read this")
        (inbox / "closed.zip").chmod(0)
    report = os.environ.get("POPRECEIPT_REPORT")
    if report:
        Path(report).write_bytes(
            b'no JSON\n[1, 2]\n{"outcome": 7}\n\xff\xfe\n{"file": "a", "outcome": "splendid"}\n{"file"'
        )
    wait()


def writes_without_end() -> None:
    """Makes and removes files in the inbox all the time, so that no look at it finds what the last one found."""
    inbox = Path(os.environ["POPRECEIPT_INBOX"])
    ended = threading.Event()
    for number in range(int(LONGEST * 200)):
        (inbox / f"{number}.zip").write_bytes(b"rubbish %d" % number)
        (inbox / f"{number - 5}.zip").unlink(missing_ok=True)
        if ended.wait(0.005):
            return


def removes_its_folders() -> None:
    """Removes inbox, outbox and report, which are not its own to remove."""
    for name in ("POPRECEIPT_INBOX", "POPRECEIPT_OUTBOX"):
        folder = Path(os.environ[name])
        for file in sorted(folder.rglob("*"), reverse=True):
            file.rmdir() if file.is_dir() else file.unlink()
        folder.rmdir()
    Path(os.environ["POPRECEIPT_REPORT"]).unlink(missing_ok=True)
    wait()


def wait() -> None:
    """Stay until somebody ends it, but not for ever."""
    threading.Event().wait(LONGEST)


def _child() -> None:
    """A process that hangs. Nobody waits for it."""
    subprocess.Popen([sys.executable, __file__, "hangs"])


SUBJECTS: Final[dict[str, Callable[[], None]]] = {
    each.__name__.replace("_", "-"): each
    for each in (
        hangs,
        floods,
        floods_one_line,
        exits_at_once,
        crashes_at_once,
        kills_itself,
        forks,
        forks_and_stays,
        forks_again_and_again,
        writes_rubbish,
        writes_without_end,
        removes_its_folders,
    )
}
"""All of them, by the name on the command line."""


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in SUBJECTS:
        sys.exit(f"usage: python bad.py {'|'.join(SUBJECTS)}")
    SUBJECTS[sys.argv[1]]()
