"""Deeds of consumers: exports that run, messages that are taken, fetched and acknowledged, rightly or not."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar, Literal

from hypothesis import strategies as st
from hypothesis.stateful import MultipleResults, multiple

from popreceipt.client import wire
from popreceipt.client.wire import Delivery, Spelling
from popreceipt.lifecycle.driving import (
    BETWEEN_TWO_LOOKS,
    Driven,
    Search,
    Taken,
    deed,
    deliveries,
    exports,
    spellings,
)
from popreceipt.lifecycle.losses import losses
from popreceipt.stage import SEVEN_DAYS, Export
from popreceipt.targets import ADVANCE_TIME
from popreceipt.vocabulary import CORRELATION_ID, DOWNLOAD_LOCATION, POP_RECEIPT

SIZES = st.sampled_from((1, 2, 0, 3, 4, 1, 2, 0, 3, 4, 1, 2, 0, 3, 150, 900))
"""Records of an export: few, and now and then many."""

BACKLOGS = st.sampled_from((2, 3) * 10 + (12, 25, 25, 120))
"""Messages that are left waiting."""

ELSEWHERE = ("https://graph.microsoft.com", "https://elsewhere.example")
"""Resources that are not the target: one that every directory knows, and one that some will issue tokens for."""

MOST_ASKED_FOR = 2
"""So many exports are asked for by their message, the latest ones."""

POOR_BODIES: tuple[bytes, ...] = (b"", b"{", b"null", b"[]", b"{}")


class Consuming(Driven):
    """Whoever consumes exports; and the back office that runs them."""

    consumers: ClassVar[tuple[str, ...]] = ("authorised",)

    def __init__(self, search: Search) -> None:
        super().__init__(search)
        self.runs: list[tuple[Export, str]] = []
        self.taken: list[Taken] = []

    def consumer(self, number: int) -> str:
        """One of the consumers."""
        return self.consumers[number % len(self.consumers)]

    def opened(self, queue: Export) -> Export:
        """Remember an export's job."""
        self.queues.append(queue)
        return queue

    def produced(self, queue: Export, records: int) -> Mapping[str, Any]:
        """Run an export: in seven days its file is gone."""
        told = queue.produce(records)
        self.runs.append((queue, str(told["messageId"])))
        del self.runs[:-MOST_ASKED_FOR]
        self.expect(SEVEN_DAYS, "the file's end", lambda: self.fetch_again(queue))
        return told

    def fetch_again(self, queue: Export) -> None:
        """Fetch what was handed out before, and take what there is."""
        for each in [each for each in self.taken if each.queue is queue and each.delivery.has_file][-2:]:
            queue.download(each.delivery)
        self.news.extend(self.drain(queue))

    def took(self, queue: Export, delivery: Delivery) -> Taken:
        """Remember a delivery."""
        made = super().took(queue, delivery)
        self.taken.append(made)
        return made

    def fresh(self, queue: Export) -> Taken | None:
        """A message that was just exported and taken; None where the target cannot be told to export."""
        if not self.is_able("produce"):
            return None
        self.produced(queue, 1)
        return next(iter(self.drain(queue, limit=1)), None)

    @deed("produce", queue=exports, records=SIZES)
    def produce(self, queue: Export, records: int) -> None:
        """Run an export."""
        self.produced(queue, records)

    @deed("produce", queue=exports, backlog=BACKLOGS, target=deliveries, number=st.integers(0, 2))
    def produce_a_backlog(self, queue: Export, backlog: int, number: int) -> MultipleResults[Taken]:
        """Let messages wait, and then take them one after another."""
        for _ in range(backlog):
            queue.produce(1)
        taken = self.drain(queue, self.consumer(number), backlog + 2)
        return multiple(*taken[:3])

    @deed("produce", target=deliveries, queue=exports, records=SIZES, number=st.integers(0, 2), watched=st.booleans())
    def receive(self, queue: Export, records: int, number: int, watched: bool) -> MultipleResults[Taken]:
        """Run an export, and take what it made, as a consumer should; perhaps its status is looked at on the way."""
        self.produced(queue, records)
        if watched:
            self.watch(queue)
        taken = self.drain(queue, self.consumer(number), 1)
        if watched:
            self.watch(queue)
        return multiple(*taken)

    @deed(queue=exports)
    def watch_an_export(self, queue: Export) -> None:
        """Look at Manage messages, and ask for the status of the latest exports."""
        self.watch(queue)

    def watch(self, queue: Export) -> None:
        """Look at Manage messages, and ask for the status of the latest exports."""
        if self.is_able("messages"):
            queue.observe_messages()
        for _, message in [each for each in self.runs if each[0] is queue]:
            queue.status(message)

    @deed(target=deliveries, queue=exports, number=st.integers(0, 2), spelling=spellings, fetched=st.booleans())
    def dequeue(self, queue: Export, number: int, spelling: Spelling, fetched: bool) -> Taken | None:
        """Take a message, and perhaps fetch its file."""
        actor = self.consumer(number)
        found = queue.dequeue(actor, spelling=spelling)
        if found is None:
            return None
        if fetched and found.has_file:
            queue.download(found, actor)
        return self.took(queue, found)

    @deed(target=deliveries, queue=exports, number=st.integers(0, 2))
    def empty(self, queue: Export, number: int) -> MultipleResults[Taken]:
        """Take and fetch what there is."""
        return multiple(*self.drain(queue, self.consumer(number)))

    @deed(taken=deliveries, number=st.integers(0, 2), times=st.sampled_from((1, 2)))
    def download(self, taken: Taken, number: int, times: int) -> None:
        """Fetch a file that was handed out at some time."""
        for _ in range(times):
            taken.queue.download(taken.delivery, self.consumer(number))

    @deed(
        taken=deliveries,
        number=st.integers(0, 2),
        spelling=spellings,
        times=st.sampled_from((1, 1, 1, 2)),
        watched=st.booleans(),
    )
    def acknowledge(self, taken: Taken, number: int, spelling: Spelling, times: int, watched: bool) -> None:
        """Acknowledge something that was handed out at some time, perhaps twice."""
        for _ in range(times):
            taken.queue.ack_with(taken.delivery.body, self.consumer(number), spelling=spelling)
        if watched:
            self.watch(taken.queue)
        self.expect(BETWEEN_TWO_LOOKS, "what comes back", lambda: self.news.extend(self.drain(taken.queue)))

    @deed(
        queue=exports,
        taken=st.one_of(st.none(), deliveries),
        poor=st.sampled_from(("three members", "no receipt", "no name", "no flag", "null", "poor", "elsewhere")),
        place=st.integers(0, len(POOR_BODIES) - 1),
    )
    def acknowledge_otherwise(self, queue: Export, taken: Taken | None, poor: str, place: int) -> None:
        """Acknowledge with a part of what was handed out, with something else, or on another job."""
        of = taken or self.fresh(queue)
        if of is None:
            return
        members = dict(of.delivery.members)
        if poor == "three members":
            members = {name: members.get(name) for name in (CORRELATION_ID, POP_RECEIPT, DOWNLOAD_LOCATION)}
        elif poor == "no receipt":
            members.pop(POP_RECEIPT, None)
        elif poor == "no name":
            members.pop(CORRELATION_ID, None)
        elif poor == "null":
            members[POP_RECEIPT] = None
        elif poor == "no flag":
            members = {name: value for name, value in members.items() if not isinstance(value, bool)}
        if poor == "elsewhere":
            for other in [each for each in self.queues if each is not of.queue][:1]:
                other.ack_with(of.delivery.body)
        else:
            of.queue.ack_with(POOR_BODIES[place] if poor == "poor" else json.dumps(members).encode())
        self.drain(of.queue, limit=2)

    @deed(number=st.integers(0, 2))
    def renew_tokens(self, number: int) -> None:
        """Go on with tokens of one's own that were asked for just now."""
        self.target.tokens.forget()
        self.target.tokens.current(self.consumer(number))

    # Lost answers

    @deed("faults", target=deliveries, queue=exports, loss=losses, place=st.sampled_from((1, 1, 2)))
    def lose_a_dequeue(self, queue: Export, loss: Mapping[str, Any], place: int) -> MultipleResults[Taken]:
        """Dequeue while the answer is lost, and again."""
        with self.stage.fault("dequeue", activity=queue.id, position=place, **loss):
            taken = self.drain(queue, limit=2)
        return multiple(*taken, *self.drain(queue, limit=2))

    @deed("faults", taken=deliveries, loss=losses)
    def lose_an_acknowledgment(self, taken: Taken, loss: Mapping[str, Any]) -> None:
        """Acknowledge while the answer is lost, and again with the same body."""
        with self.stage.fault("ack", activity=taken.queue.id, **loss):
            taken.queue.ack(taken.delivery)
        taken.queue.ack(taken.delivery)

    @deed("faults", taken=deliveries, loss=losses)
    def lose_a_download(self, taken: Taken, loss: Mapping[str, Any]) -> None:
        """Fetch a file while the answer is lost, and again."""
        if taken.delivery.has_file:
            with self.stage.fault("download", activity=taken.queue.id, **loss):
                taken.queue.download(taken.delivery)
            taken.queue.download(taken.delivery)

    # Strangers

    @deed(
        queue=exports,
        number=st.integers(0, 3),
        what=st.sampled_from(("dequeue", "ack", "download")),
        taken=st.one_of(st.none(), deliveries),
    )
    def come_as_a_stranger(self, queue: Export, number: int, what: str, taken: Taken | None) -> None:
        """Dequeue, fetch or acknowledge as somebody who must be refused; the state is looked at before and after."""
        actor, token = self.stranger(number)
        if self.is_able("messages"):
            queue.observe_messages()
        of = None if what == "dequeue" else taken or self.fresh(queue)
        if of is None:
            queue.dequeue(actor, token=token)
        elif what == "ack":
            of.queue.ack(of.delivery, actor, token=token)
        elif of.delivery.location is not None:
            self.stage.send(wire.download(of.delivery.location), actor, token=token)
        if self.is_able("messages"):
            queue.observe_messages()

    @deed(
        queue=exports,
        how=st.sampled_from(("version 1", "version 2", "elsewhere", "wrong secret", "password", "password 1")),
    )
    def ask_for_a_token(self, queue: Export, how: str) -> None:
        """Ask for a token at either endpoint, for oneself, a user, or somebody else's resource, and call with it."""
        version: Literal[1, 2] = 1 if how in ("version 1", "password 1") else 2
        if how.startswith("password") and not self.is_able("user"):
            return
        actor = None
        if how == "elsewhere":
            actor = "foreign-audience"
            for resource in ELSEWHERE:
                issued = self.target.tokens.obtain(resource=resource, actor=actor)
                if issued.token is not None:
                    break
        elif how == "wrong secret":
            issued = self.target.tokens.obtain(secret="not-the-secret")  # noqa: S106 - it is none
        elif how.startswith("password"):
            issued = self.target.tokens.obtain(version=version, grant="password")
        else:
            issued = self.target.tokens.obtain(version=version)
        if issued.token is not None:
            self.call_with(queue, issued.token, actor or "authorised")

    @deed(ADVANCE_TIME, queue=exports)
    def outlive_a_token(self, queue: Export) -> None:
        """Keep a token for longer than it lives, and call with it before and after its end."""
        issued = self.target.tokens.obtain()
        if issued.token is None or issued.expires_in is None:
            return
        token = issued.token
        if self.is_able("produce"):
            self.produced(queue, 1)
        self.call_with(queue, token)
        # Services allow for clocks that go wrong by some minutes.
        self.expect(timedelta(seconds=issued.expires_in + 600), "a token's end", lambda: self.call_with(queue, token))

    def call_with(self, queue: Export, token: str, actor: str = "authorised") -> None:
        """Call the connector and an action with a token that may open no door."""
        queue.dequeue(actor, token=token)
        message = self.runs[-1][1] if self.runs else self.stage.unknown_guid()
        self.stage.send(wire.message_status(message), actor, token=token)
