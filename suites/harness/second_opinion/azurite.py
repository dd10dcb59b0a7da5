"""Stories on Azurite's queue service, in real time and through the library that Microsoft keeps for its queues.

Every request is made once, and timed. Where a story lets time pass it is waited for: the server's clock is the
computer's.
"""

import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from time import sleep
from typing import Any, Final

from azure.core.exceptions import HttpResponseError
from azure.storage.queue import QueueClient, QueueServiceClient

from popreceipt.clock import stopwatch

from .stories import Delete, Get, Put, Receipt, Step, Story, Wait
from .timeline import Aim, Delivery, Seen, Timeline

VERSION: Final = "3.37.0"

API: Final = "2025-11-05"
"""A version of the protocol that both the server and the library know."""

ACCOUNT: Final = "devstoreaccount1"
# Azurite's published development key: every installation has it.
KEY: Final = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

LISTENS: Final = "successfully listens on "

NOBODY: Final = "00000000-0000-4000-8000-000000000000"


@contextmanager
def running(command: Sequence[str]) -> Iterator[str]:
    """Azurite's queue service on a free port of the loopback, in memory; its address."""
    options = ("--queuePort", "0", "--inMemoryPersistence", "--silent", "--disableTelemetry")
    server = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert server.stdout is not None
    try:
        said = []
        for line in server.stdout:
            said.append(line)
            if LISTENS in line:
                yield line.partition(LISTENS)[2].strip()
                break
        else:
            raise AssertionError(f"Azurite ended at its start: {''.join(said)}")
    finally:
        server.terminate()
        server.communicate(timeout=30)


def play(address: str, name: str, story: Story) -> Timeline:
    """Play a story on a queue of this name, then let everything come back and look at what is left."""
    with ExitStack() as closing:
        return _Player(address, name, story, closing).play()


class _Player:
    """One story, one queue, two consumers."""

    def __init__(self, address: str, name: str, story: Story, closing: ExitStack) -> None:
        self._story = story
        self._timeline = Timeline(story.visibility)
        service = closing.enter_context(
            # A request that fails is told, not repeated.
            QueueServiceClient(f"{address}/{ACCOUNT}", credential=KEY, api_version=API, retry_total=0)
        )
        service.create_queue(name)
        service.create_queue(f"{name}-other")
        self._consumers = [closing.enter_context(service.get_queue_client(name)) for _ in range(2)]
        self._elsewhere = closing.enter_context(service.get_queue_client(f"{name}-other"))
        self._begun = stopwatch()

    def play(self) -> Timeline:
        for step in self._story.steps:
            self._take(step)
        self._take(Wait())
        while self._take(Get()):
            pass
        return self._timeline

    def _take(self, step: Step) -> bool:
        """Play one step; whether it handed out a message."""
        match step:
            case Wait(share=None):
                sleep(max(0.0, self._timeline.end_of_hiding() - self._now()))
            case Wait(share=float(share)):
                sleep(share * self._story.visibility)
            case Put():
                text = str(self._timeline.puts + 1)
                self._timed(step, lambda: self._consumers[0].send_message(text))
            case Get(consumer=consumer):
                return self._get(step, self._consumers[consumer])
            case Delete(consumer=consumer) if aim := self._timeline.aim(step):
                client = self._elsewhere if step.receipt is Receipt.ELSEWHERE else self._consumers[consumer]
                identifier = self._timeline.deliveries[aim.delivery].identifier
                shown = NOBODY if step.receipt is Receipt.NOBODYS else identifier
                self._timed(aim, lambda: client.delete_message(shown, self._receipt(aim)))
        return False

    def _get(self, step: Get, client: QueueClient) -> bool:
        def read(message: Any) -> Seen:
            if message is None:
                return Seen("nothing")
            return Seen("2xx", int(message.content), message.dequeue_count > 1)

        message = self._timed(step, lambda: client.receive_message(visibility_timeout=self._story.visibility), read)
        if message is None:
            return False
        moment = self._timeline.moments[-1]
        handed = Delivery(int(message.content), message.id, message.pop_receipt, moment.began, moment.ended)
        self._timeline.handed_out(handed)
        return True

    def _timed(
        self, step: Put | Get | Aim, call: Callable[[], Any], read: Callable[[Any], Seen] = lambda _: Seen("2xx")
    ) -> Any:
        began = self._now()
        situation = self._timeline.situation(step, began)
        answer = None
        try:
            answer = call()
            seen = read(answer)
        except HttpResponseError as refused:
            if refused.status_code is None:
                raise
            seen = Seen(f"{refused.status_code // 100}xx")
        self._timeline.add(step, situation, began, self._now(), seen)
        return answer

    def _receipt(self, aim: Aim) -> str:
        whose = aim.delivery if aim.other is None else aim.other
        return spoiled(aim.delete.receipt, self._timeline.deliveries[whose].receipt)

    def _now(self) -> float:
        return stopwatch() - self._begun


def spoiled(kind: Receipt, receipt: str) -> str:
    """A receipt as it is shown: as it came, with one character changed, or not at all."""
    if kind is Receipt.NONE:
        return "no receipt"
    if kind is not Receipt.ALTERED:
        return receipt
    place = len(receipt) // 2
    return f"{receipt[:place]}{'B' if receipt[place] == 'A' else 'A'}{receipt[place + 1 :]}"
