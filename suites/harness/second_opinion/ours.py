"""The same stories on our own side, in virtual time: what a queue does at one moment, an export's job does then.

The half hour stands for the visibility time-out, and the readings of the stopwatch are stretched by as much: each step
falls into the same part of every half hour as on the other side.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from datetime import timedelta

from popreceipt import vocabulary
from popreceipt.client import wire
from popreceipt.client.wire import Ask, Reply
from popreceipt.stage import AUTHORISED, HALF_HOUR, Stage
from popreceipt.targets import Target

from .azurite import NOBODY, spoiled
from .stories import Get, Put, Receipt
from .timeline import Aim, Moment, Seen


def play(target: Target, name: str, visibility: float, moments: Sequence[Moment]) -> Iterator[Seen]:
    """Play what was played before, each step at its moment, on a fresh job; what is seen at each.

    Whoever sees something else than the other side did may stop there: from then on the two are not in the same state.
    """
    player = _Player(target, name)
    stretch = HALF_HOUR.total_seconds() / visibility
    at = 0.0
    for moment in moments:
        middle = (moment.began + moment.ended) / 2
        target.advance(timedelta(seconds=(middle - at) * stretch))
        at = middle
        yield player.take(moment.step)


class _Player:
    """One story, one recurring data job, two consumers."""

    def __init__(self, target: Target, name: str) -> None:
        stage = Stage(target, name)
        self._job = stage.export()
        self._other = stage.export()
        self._payloads: dict[str, int] = {}
        self._deliveries: list[wire.Delivery] = []

    def take(self, step: Put | Get | Aim) -> Seen:
        """Play one step."""
        match step:
            case Put():
                self._payloads[self._job.produce(records=1)["sha256"]] = len(self._payloads) + 1
                return Seen("2xx")
            case Get(consumer=consumer):
                return self._get(consumer)
            case Aim():
                return _answer(self._send(self._ack(step), step.delete.consumer))

    def _get(self, consumer: int) -> Seen:
        reply = self._send(wire.dequeue(self._job.id), consumer)
        delivery = wire.delivery(reply)
        if delivery is None:
            return Seen("nothing") if reply.ok else _answer(reply)
        self._deliveries.append(delivery)
        # A message is known by its bytes: its ids are the server's own.
        digest = hashlib.sha256(self._job.download(delivery).body).hexdigest()
        return Seen("2xx", self._payloads[digest], bool(delivery.last_dequeue))

    def _ack(self, aim: Aim) -> Ask:
        body = json.loads(self._deliveries[aim.delivery].body)
        shown = self._deliveries[aim.delivery if aim.other is None else aim.other].receipt
        assert shown is not None
        body[vocabulary.POP_RECEIPT] = spoiled(aim.delete.receipt, shown)
        if aim.delete.receipt is Receipt.NOBODYS:
            body[vocabulary.CORRELATION_ID] = NOBODY
        job = self._other if aim.delete.receipt is Receipt.ELSEWHERE else self._job
        return wire.ack(job.id, json.dumps(body).encode("utf-8"))

    def _send(self, ask: Ask, consumer: int) -> Reply:
        return self._job.stage.send(ask, f"{AUTHORISED}/{consumer + 1}")


def _answer(reply: Reply) -> Seen:
    return Seen(f"{reply.status // 100}xx" if reply.status is not None else str(reply.failure))
