"""A server that freezes for one second in every twenty, and knows to the millisecond what that means for its callers.

It hands out tokens and takes files as the connector does ("Recurring integrations", section "API for import
(enqueue)"), whatever they say, so that load of the real kind can be measured with it. While it is frozen it writes no
answer; what came meanwhile is answered in the order of its coming as soon as it thaws. When each request came and was
answered is written down in memory. It keeps no message and knows nothing of leases, statuses or rules.

Whoever measures talks to it below `/_bench`: `begin` forgets what was, `times` and `told` hand over what is known.

    python -m popreceipt.generate.load_bench.freezing [--every SECONDS] [--for SECONDS] [--first SECONDS]
"""

import argparse
import asyncio
import json
import os
import sys
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from popreceipt.clock import stopwatch

TENANT: Final = "bench"
TOKEN_PATH: Final = f"/{TENANT}/oauth2/v2.0/token"
ENQUEUE: Final = "/api/connector/enqueue/"
COMMANDS: Final = "/_bench/"

_TOKEN: Final = json.dumps(
    {"token_type": "Bearer", "expires_in": 86_400, "access_token": "bench." + "0" * 700}
).encode()
"""As long as those that Entra ID issues."""


class Record:
    """What came, and when, since the last `begin`. Instants are the stopwatch's, which all processes share."""

    def __init__(self) -> None:
        self.came = array("d")
        self.answered = array("d")
        self.bytes = 0
        self.head = b""
        self.freezes: list[tuple[float, float]] = []
        self.watched: int | None = None
        self.watch_from = 0
        self.cpu_then: float | None = None

    def told(self) -> dict[str, object]:
        """What is not instants: JSON."""
        return {
            "requests": len(self.came),
            "bytes": self.bytes,
            "head": self.head.decode("latin-1"),
            "freezes": self.freezes,
            "cpu_then": self.cpu_then,
        }


class Freezer:
    """When the server is frozen: for `length` seconds every `period`, the first time `first` after a run's begin.

    Args:
        first: seconds; below zero never.
    """

    def __init__(self, first: float, period: float, length: float) -> None:
        self.first = first
        self.period = period
        self.length = length
        self.record = Record()
        self._held: list[tuple[asyncio.Transport, int, bytes]] = []
        self._since: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Forget what was; the next request begins the period."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._thaw()
        self.record = Record()

    def came(self, transport: asyncio.Transport, answer: bytes) -> None:
        """A request is here, whole: answer it now, or when the ice is gone."""
        record, now = self.record, stopwatch()
        if not record.came and self.first >= 0:
            self._timer = asyncio.get_running_loop().call_later(self.first, self._freeze)
        number = len(record.came)
        record.came.append(now)
        if self._since is None:
            transport.write(answer)
            record.answered.append(stopwatch())
        else:
            record.answered.append(0.0)
            self._held.append((transport, number, answer))
        if number + 1 == record.watch_from and record.watched is not None:
            record.cpu_then = cpu_seconds(record.watched)

    def _freeze(self) -> None:
        self._since = stopwatch()
        self._timer = asyncio.get_running_loop().call_later(self.length, self._end)

    def _end(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self.period - self.length, self._freeze)
        self._thaw()

    def _thaw(self) -> None:
        if self._since is not None:
            self.record.freezes.append((self._since, stopwatch()))
            self._since = None
        held, self._held = self._held, []
        for transport, number, answer in held:
            if not transport.is_closing():
                transport.write(answer)
            self.record.answered[number] = stopwatch()


class Connection(asyncio.Protocol):
    """One caller: HTTP/1.1 with announced lengths, kept alive."""

    def __init__(self, freezer: Freezer) -> None:
        self._freezer = freezer
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody is here."""
        if not isinstance(transport, asyncio.Transport):
            raise TypeError("Only streams are served.")
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Bytes came: answer all requests that are whole with them."""
        received = self._received + data if self._received else data
        while (end := received.find(b"\r\n\r\n")) >= 0:
            head = received[:end]
            length = _length(head)
            whole = end + 4 + length
            if len(received) < whole:
                break
            self._asked(head, whole)
            received = received[whole:]
        self._received = received

    def _asked(self, head: bytes, whole: int) -> None:
        target = head[head.find(b" ") + 1 : head.find(b" HTTP/1.1")].decode("latin-1")
        if target.startswith(ENQUEUE):
            record = self._freezer.record
            record.bytes += whole
            if not record.head:
                record.head = head
            self._freezer.came(self._transport, _json(_guid(len(record.came))))
        elif target.startswith(COMMANDS):
            self._transport.write(self._commanded(target))
        elif target.startswith(TOKEN_PATH):
            self._transport.write(_json(_TOKEN))
        else:
            self._transport.write(_answer(b"404 Not Found", b"text/plain", target.encode("latin-1")))

    def _commanded(self, target: str) -> bytes:
        parts = urlsplit(target)
        command, told = parts.path.removeprefix(COMMANDS), dict(parse_qsl(parts.query))
        record = self._freezer.record
        if command == "begin":
            self._freezer.begin()
            return _json(b"{}")
        if command == "watch":
            record.watched, record.watch_from = int(told["pid"]), int(told["from"])
            return _json(b"{}")
        if command == "told":
            return _json(json.dumps(record.told()).encode("utf-8"))
        if command == "times":
            return _answer(b"200 OK", b"application/octet-stream", record.came.tobytes() + record.answered.tobytes())
        return _answer(b"404 Not Found", b"text/plain", command.encode("latin-1"))


def cpu_seconds(process: int) -> float:
    """CPU time that a process has used so far, with threads that are gone; in hundredths."""
    after_name = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(") ")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


def _length(head: bytes) -> int:
    lowered = head.lower()
    start = lowered.find(b"\r\ncontent-length:")
    if start < 0:
        return 0
    start += len(b"\r\ncontent-length:")
    end = lowered.find(b"\r\n", start)
    return int(lowered[start:] if end < 0 else lowered[start:end])


def _guid(number: int) -> bytes:
    text = f"{number:032x}"
    return f'"{text[:8]}-{text[8:12]}-4{text[13:16]}-8{text[17:20]}-{text[20:]}"'.encode()


def _json(body: bytes) -> bytes:
    return _answer(b"200 OK", b"application/json; charset=utf-8", body)


def _answer(status: bytes, kind: bytes, body: bytes) -> bytes:
    return b"HTTP/1.1 %b\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n%b" % (status, kind, len(body), body)


async def serve(freezer: Freezer, port: int) -> None:
    """Serve on loopback until cancelled; the port is printed once it is open."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(freezer), "127.0.0.1", port, backlog=4096)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    async with server:
        await server.serve_forever()


def main(arguments: Sequence[str]) -> int:
    """Serve until ended by a signal."""
    parser = argparse.ArgumentParser(prog="freezing")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--every", type=float, default=20.0, help="seconds from freeze to freeze")
    parser.add_argument("--for", dest="length", type=float, default=1.0, help="seconds that it stays frozen")
    parser.add_argument("--first", type=float, default=10.0, help="seconds from the first request; below zero: never")
    chosen = parser.parse_args(arguments)
    asyncio.run(serve(Freezer(chosen.first, chosen.every, chosen.length), chosen.port))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
