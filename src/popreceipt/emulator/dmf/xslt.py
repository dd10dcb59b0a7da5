"""XSLT 1.0 on inbound XML, with a time limit.

"Recurring integrations", section "Create a data project", lets style sheets be set that are applied to inbound data;
anybody who may hand in a package can bring some. They are run in a process of their own (`xslt_worker`), which may
neither read nor write files nor use the network, has a bounded memory, and is killed when it takes too long. One such
process is kept warm for the next transform.

Whoever asks waits: an emulator that serves requests stands still for as long as a transform takes, at most the limit.
"""

import atexit
import contextlib
import hashlib
import math
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

from popreceipt.emulator.dmf.problems import Unreadable

Transform = Callable[[bytes, Sequence[bytes]], bytes]
"""From a document and its style sheets to what they make of it."""

_WORKER: Final = Path(__file__).with_name("xslt_worker.py")

_SPARE: Final = 5
"""Seconds after the limit when a process ends by itself, should this one no longer be there to end it."""


_REMEMBERED: Final = 1_000
"""So many style sheets that were stopped are remembered."""


class _Stopped(Unreadable):
    """Style sheets that were still at work when their time was over."""


class Transformer:
    """Applies style sheets. `limit` is the real time that all of one document's may take together.

    Style sheets that were stopped get a tenth of it from then on, until they come to an end again: a queue of messages
    that all bring the same endless one must not keep everybody waiting once for each.
    """

    def __init__(self, limit: timedelta) -> None:
        self._limit = limit
        self._stopped: dict[bytes, None] = {}

    def __call__(self, document: bytes, sheets: Sequence[bytes]) -> bytes:
        """The document after these style sheets, one after another, in UTF-8.

        Raises:
            Unreadable: one of them is no XML or no XSLT, wants what it may not have, fails, makes no XML, or the limit
                is over.
        """
        if not sheets:
            return document
        known = hashlib.sha256(b"\0".join(sheets)).digest()
        limit = self._limit / 10 if known in self._stopped else self._limit
        try:
            made = _POOL.transformed([document, *sheets], limit)
        except _Stopped:
            self._stopped[known] = None
            if len(self._stopped) > _REMEMBERED:
                del self._stopped[next(iter(self._stopped))]
            raise
        self._stopped.pop(known, None)
        return made


class _Pool:
    """One warm process for all emulators of this one; a second and a third where threads ask at the same time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: subprocess.Popen[bytes] | None = None

    def transformed(self, blocks: Sequence[bytes], limit: timedelta) -> bytes:
        worker = self._taken()
        try:
            good, answer = _asked(worker, blocks, limit)
        except BaseException:
            _end(worker)
            raise
        self._give_back(worker)
        if not good:
            raise Unreadable(answer.decode("utf-8"))
        return answer

    def _taken(self) -> subprocess.Popen[bytes]:
        with self._lock:
            worker, self._idle = self._idle, None
        if worker is not None:
            if worker.poll() is None:
                return worker
            _end(worker)
        # -P keeps the folder of the script, with its module `xml`, off the worker's path.
        return subprocess.Popen(  # noqa: S603 - our own script, in our own interpreter
            [sys.executable, "-P", str(_WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # Ctrl-C is for whoever asks: a worker that it reached too would end in the middle of a transform.
            start_new_session=True,
        )

    def _give_back(self, worker: subprocess.Popen[bytes]) -> None:
        with self._lock:
            if self._idle is None:
                self._idle = worker
                return
        _end(worker)

    def close(self) -> None:
        with self._lock:
            worker, self._idle = self._idle, None
        if worker is not None:
            _end(worker)


def _asked(worker: subprocess.Popen[bytes], blocks: Sequence[bytes], limit: timedelta) -> tuple[bool, bytes]:
    assert worker.stdin is not None  # noqa: S101 - tells the type checker what PIPE means
    assert worker.stdout is not None  # noqa: S101
    over = threading.Event()

    def stop() -> None:
        over.set()
        worker.kill()

    alarm = threading.Timer(limit.total_seconds(), stop)
    alarm.start()
    try:
        worker.stdin.write(struct.pack("!II", math.ceil(limit.total_seconds()) + _SPARE, len(blocks)))
        for block in blocks:
            worker.stdin.write(struct.pack("!I", len(block)))
            worker.stdin.write(block)
        worker.stdin.flush()
        head = worker.stdout.read(5)
        answer = worker.stdout.read(struct.unpack("!I", head[1:])[0]) if len(head) == 5 else None
    except BrokenPipeError:
        answer = None
    finally:
        alarm.cancel()
        alarm.join()
    if over.is_set():
        said = f"The style sheets were still at work after {limit.total_seconds():g} seconds and were stopped."
        raise _Stopped(said)
    if answer is None or len(answer) != struct.unpack("!I", head[1:])[0]:
        raise Unreadable("The style sheets ended the process that applied them. Do they need very much memory?")
    return head[0] == 1, answer


def _end(worker: subprocess.Popen[bytes]) -> None:
    worker.kill()
    for pipe in (worker.stdin, worker.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):  # what was still to be written has no reader any more
                pipe.close()
    worker.wait()


_POOL: Final = _Pool()
atexit.register(_POOL.close)
