"""Machines that let their target die in between: in this process, and a durable server that is killed."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from popreceipt.generate.crash.server import Server
from popreceipt.journal import Observation
from popreceipt.lifecycle import Effort, run
from popreceipt.stage import Stage
from popreceipt.targets import Target, open_target

SERVE = [sys.executable, "-m", "popreceipt", "serve", "--clock", "manual"]


def restarts(target: Target) -> int:
    return sum(isinstance(each, Observation) and each.observation == "restart" for each in target.journal.entries)


def test_an_emulator_in_this_process_comes_back_with_what_it_stored() -> None:
    """Messages, leases, tokens and the time are what they were, and no id comes twice."""
    with open_target("emulator:") as target:
        stage = Stage(target, "restart")
        queue, intake = stage.export(), stage.imports(processing_recurrence_minutes=5)
        queue.holds(2)
        taken, message = queue.obtain(), intake.enqueue(stage.file())
        before, now = target.emulator, stage.now()
        assert target.restart is not None
        target.restart()
        assert target.emulator is not before
        assert stage.now() == now
        assert queue.download(taken).ok
        assert queue.ack(taken).ok
        assert queue.dequeue() is not None
        assert queue.dequeue() is None
        stage.advance(minutes=6)
        assert intake.status(message) == "Processed"
        ids = [each["MessageId"] for each in (queue.produce(), queue.produce()) if "MessageId" in each]
        ids += [str(each["MessageId"]) for each in (*queue.observe_messages(), *intake.observe_messages())]
        assert len(ids) == len(set(ids)) == 5


def test_a_mutant_comes_back_as_the_same_mutant() -> None:
    """Its own parts are put around what was stored, once."""
    with open_target("emulator:lease-of-29-minutes") as target:
        stage = Stage(target, "restart")
        queue = stage.export()
        assert target.restart is not None
        for _ in range(3):
            target.restart()
        queue.receive()
        stage.advance(minutes=29, seconds=1)
        assert queue.dequeue() is not None


def test_a_durable_server_is_killed_in_between(tmp_path: Path) -> None:
    """Over HTTP, with SIGKILL: what was answered with success is there afterwards, so no rule is violated."""
    with killable(tmp_path) as target:
        for machine in ("consumer", "producer"):
            result = run(target, machine, seed=8, effort=Effort(((3, 15),)))
            assert result.failures == []
        assert restarts(target) > 0


@contextmanager
def killable(folder: Path) -> Iterator[Target]:
    """A server with everything on disk, as a target that can be killed and started again."""
    server = Server(SERVE, folder)
    server.start()

    def restart() -> None:
        server.kill()
        server.start()

    try:
        with open_target(server.base_url) as target:
            target.restart = restart
            yield target
    finally:
        server.stop()
