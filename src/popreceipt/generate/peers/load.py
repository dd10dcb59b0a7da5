"""The client of the speed measurements: keep-alive connections in one thread, each with one request under way.

It sends bytes that were made before, reads what comes back as far as it must to find the answer's end, and asks a
script what this connection sends next. It knows no protocol beyond HTTP/1.1's framing and no server; what it costs
itself is measured as well, since a client that is busy measures itself.
"""

import re
import select
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from os import getpid
from pathlib import Path

from popreceipt.clock import stopwatch

Script = Callable[[int, bytes], bytes | None]
"""Told status and body of an answer (0 and nothing at the start): the connection's next request, None at the end."""

_PATIENCE = 60.0
"""Real seconds without any answer after which a measurement is given up."""

_READ = 64 * 1024


class Unanswered(Exception):
    """A server that stopped answering or sent what is no answer."""


class Silent(Unanswered):
    """A server that stopped answering."""


@dataclass(slots=True)
class Burst:
    """What a number of requests cost. Seconds, all of them; `latencies` has one entry a request."""

    seconds: float = 0.0
    server_cpu: float = 0.0
    client_cpu: float = 0.0
    foreign_cpu: float = 0.0
    latencies: list[float] = field(default_factory=list)

    def add(self, other: "Burst") -> None:
        """Count another burst in."""
        self.seconds += other.seconds
        self.server_cpu += other.server_cpu
        self.client_cpu += other.client_cpu
        self.foreign_cpu += other.foreign_cpu
        self.latencies += other.latencies


class Client:
    """So many connections to one server, kept open from burst to burst.

    Args:
        address: host and port.
        connections: how many.
        server: the process whose CPU time is counted.
        core: the core it is pinned to; CPU time that others take there is counted as foreign.
    """

    def __init__(self, address: tuple[str, int], connections: int, server: int, core: int) -> None:
        self._server = server
        self._core = core
        self._sockets: dict[int, socket.socket] = {}
        for _ in range(connections):
            opened = socket.create_connection(address, timeout=_PATIENCE)
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets[opened.fileno()] = opened

    def close(self) -> None:
        """Close every connection."""
        for opened in self._sockets.values():
            opened.close()

    def run(self, scripts: Sequence[Script]) -> Burst:
        """Let each connection play its script to the end, all at once.

        Raises:
            Unanswered: an answer that does not come, or is none.
        """
        burst = Burst()
        busy = busy_seconds(self._core)
        server, client = cpu_seconds(self._server), cpu_seconds(getpid())
        began = stopwatch()
        self._play(scripts, burst.latencies)
        burst.seconds = stopwatch() - began
        burst.server_cpu = cpu_seconds(self._server) - server
        burst.client_cpu = cpu_seconds(getpid()) - client
        burst.foreign_cpu = busy_seconds(self._core) - busy - burst.server_cpu
        return burst

    def _play(self, scripts: Sequence[Script], latencies: list[float]) -> None:
        script_of: dict[int, Script] = {}
        began: dict[int, float] = {}
        pending: dict[int, bytes] = {}
        with select.epoll() as poll:
            for (number, opened), script in zip(self._sockets.items(), scripts, strict=True):
                first = script(0, b"")
                if first is not None:
                    poll.register(number, select.EPOLLIN)
                    script_of[number] = script
                    began[number] = stopwatch()
                    opened.sendall(first)
            while script_of:
                ready = poll.poll(_PATIENCE)
                if not ready:
                    raise Silent(f"No answer within {_PATIENCE:.0f} seconds.")
                for number, _ in ready:
                    opened = self._sockets[number]
                    received = opened.recv(_READ)
                    if not received:
                        raise Unanswered("The server closed a connection.")
                    if number in pending:
                        received = pending.pop(number) + received
                    answer = answer_of(received)
                    if answer is None:
                        pending[number] = received
                        continue
                    now = stopwatch()
                    latencies.append(now - began[number])
                    following = script_of[number](*answer)
                    if following is None:
                        poll.unregister(number)
                        del script_of[number]
                    else:
                        began[number] = stopwatch()
                        opened.sendall(following)


def answer_of(received: bytes) -> tuple[int, bytes] | None:
    """Status and body of the answer that these bytes hold; None when it is not all there yet.

    A chunked body is handed over as it came, framing and all: nobody here needs it clean.
    """
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    if not received.startswith(b"HTTP/1.1 "):
        raise Unanswered(f"This is no answer: {received[:80]!r}.")
    status, begin = int(received[9:12]), end + 4
    length = _LENGTH.search(received, 0, begin)
    if length is not None:
        return (status, received[begin:]) if len(received) - begin >= int(length[1]) else None
    if _CHUNKED.search(received, 0, begin):
        return (status, received[begin:]) if received.endswith(b"0\r\n\r\n") else None
    return status, b""


_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)


def cpu_seconds(process: int) -> float:
    """CPU time of all threads of a process, in seconds; the kernel's scheduler counts it in nanoseconds."""
    return sum(_ran(each / "schedstat") for each in Path(f"/proc/{process}/task").iterdir()) / 1e9


def _ran(statistics: Path) -> int:
    return int(statistics.read_text(encoding="ascii").split()[0])


def busy_seconds(core: int) -> float:
    """How long a core has been busy since the computer started, in seconds; the kernel counts it in hundredths."""
    for line in Path("/proc/stat").read_text(encoding="ascii").splitlines():
        name, *counts = line.split()
        if name == f"cpu{core}":
            user, nice, system, _idle, _wait, interrupts, soft, *_ = map(int, counts)
            return (user + nice + system + interrupts + soft) / 100
    raise Unanswered(f"This computer has no core {core}.")


def resident_megabytes(process: int) -> float:
    """Memory that a process holds now, in MiB."""
    return _megabytes(process, "VmRSS:")


def peak_megabytes(process: int) -> float:
    """The most memory that a process ever held, in MiB."""
    return _megabytes(process, "VmHWM:")


def _megabytes(process: int, name: str) -> float:
    for line in Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    raise Unanswered(f"Process {process} is gone.")
