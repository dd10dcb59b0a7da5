"""Consumers in a process of their own: a task comes in as an argument, a journal goes out on standard output.

What the clock of the service shows it finds out by itself. Its journal is a part: whoever gave the task joins them.
"""

import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from popreceipt.client.control import Control
from popreceipt.client.session import Session
from popreceipt.client.tokens import Tokens
from popreceipt.client.transport import Transport
from popreceipt.histories.actors import Consumer, CutOff, Jobs, work
from popreceipt.journal import Entry, Header, Journal, JournalFile


@dataclass(frozen=True, slots=True)
class Task:
    """Who works here, where, and for how long; `seed`, `steps` and `seconds` as in a plan."""

    base_url: str
    names: list[str]
    seed: int
    steps: int
    seconds: float
    exports: list[str]


def start(task: Task) -> "subprocess.Popen[str]":
    """A process that works on this task."""
    return subprocess.Popen(  # noqa: S603 - this very module
        [sys.executable, "-m", __name__, json.dumps(asdict(task))],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def entries_of(written: str) -> list[Entry]:
    """What such a process wrote down."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.ndjson"
        path.write_text(written, encoding="utf-8")
        return list(JournalFile(path))


def main(text: str) -> None:
    """Work on a task, and write down what happened."""
    task = Task(**json.loads(text))
    journal = Journal(Header(clock="scaled", concurrent=True))
    with ExitStack() as closing:
        transport = Transport(None)
        closing.callback(transport.close)
        control = Control(task.base_url, transport=transport)
        times, identity = control.times, control.world().identity
        consumers = []
        for name in task.names:
            cut = CutOff()
            closing.callback(cut.close)
            session = Session(task.base_url, times, journal, transport=cut)
            tokens = Tokens(session, identity)
            made = Consumer(name, f"histories/{task.seed}", task.steps, session, tokens, Jobs(exports=task.exports))
            made.cut = cut
            consumers.append(made)
        work(consumers, (), task.seconds)
    journal.seal()
    sys.stdout.buffer.write(b"".join(line + b"\n" for line in journal.lines()))


if __name__ == "__main__":
    main(sys.argv[1])
