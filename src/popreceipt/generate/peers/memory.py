"""Memory of a server through which many messages have gone: enqueued and processed, produced and acknowledged.

It drives one emulator on a manual clock over loopback and looks at what the process holds. Nothing is cleaned up by a
control call on the way: rows and files stay as long as the documentation lets them stay.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from popreceipt.generate.peers.dialogues import Emulator, Work
from popreceipt.generate.peers.load import Client, resident_megabytes

PORTION = 5000
"""Messages that wait together at most."""

CONNECTIONS = 16


@dataclass(frozen=True, slots=True)
class Held:
    """What the process holds (MiB) after so many messages of a kind."""

    kind: str
    messages: int
    megabytes: float


def growth(base_url: str, process: int, core: int, imports: int, exports: int) -> Iterator[Held]:
    """What the process holds at the start, then after each tenth of the imports and of the exports."""
    emulator = Emulator(base_url)
    emulator.ready()
    address = urlsplit(base_url)
    client = Client((address.hostname or "", address.port or 80), CONNECTIONS, process, core)
    try:
        _both(emulator, client, 100)
        yield Held("at the start", 0, resident_megabytes(process))
        for kind, number, drain in (("imports", imports, _import), ("exports", exports, _export)):
            done = 0
            for _ in range(10 if number else 0):
                done += _drained(emulator, client, drain, number // 10)
                yield Held(kind, done, resident_megabytes(process))
    finally:
        client.close()


Drain = Callable[[Emulator, Client, int], None]


def _both(emulator: Emulator, client: Client, messages: int) -> None:
    _import(emulator, client, messages)
    _export(emulator, client, messages)


def _drained(emulator: Emulator, client: Client, drain: Drain, messages: int) -> int:
    for begun in range(0, messages, PORTION):
        drain(emulator, client, min(PORTION, messages - begun))
    return messages


def _import(emulator: Emulator, client: Client, messages: int) -> None:
    work = Work(messages)
    client.run([emulator.put(work) for _ in range(CONNECTIONS)])
    emulator.process(messages)


def _export(emulator: Emulator, client: Client, messages: int) -> None:
    work = Work(messages)
    client.run([emulator.fill(work) for _ in range(CONNECTIONS)])
    work = Work(messages)
    client.run([emulator.take(work) for _ in range(CONNECTIONS)])
