"""Wrong clean-ups: nothing goes, too much goes, or what is gone can still be had."""

from collections.abc import Sequence

import msgspec

from popreceipt.emulator.message import Message
from popreceipt.emulator.mutants.mutant import mutant
from popreceipt.emulator.mutants.parts import Mutated, StoreAround
from popreceipt.emulator.store import Store


class _LeavesAll(StoreAround):
    def delete_message(self, identifier: str) -> None:
        """Nothing."""


class _LeavesTheQueue(StoreAround):
    """Takes a message out of Manage messages, and leaves it in the queue."""

    def __init__(self, emulator: Mutated, store: Store) -> None:
        super().__init__(emulator, store)
        self._hidden: set[str] = set()

    def delete_message(self, identifier: str) -> None:
        """Show it no more."""
        self._hidden.add(identifier)

    def messages_of(self, activity: str, after: int = 0, limit: int | None = None) -> Sequence[Message]:
        """The messages that are shown."""
        return [each for each in super().messages_of(activity, after, limit) if each.id not in self._hidden]


class _TakesTheNextToo(StoreAround):
    def delete_message(self, identifier: str) -> None:
        """Forget a message and the one after it."""
        message = self.store.message(identifier)
        if message is not None:
            later = [each for each in self.store.messages_of(message.activity) if each.number > message.number]
            for each in later[:1]:
                super().delete_message(each.id)
        super().delete_message(identifier)


class _TakesAll(StoreAround):
    def delete_message(self, identifier: str) -> None:
        """Forget all messages of the same activity."""
        message = self.store.message(identifier)
        if message is None:
            return
        for each in self.store.messages_of(message.activity):
            super().delete_message(each.id)


class _TakesOtherJobsToo(StoreAround):
    def delete_message(self, identifier: str) -> None:
        """Forget a message, and those of the same age or older of all other activities."""
        message = self.store.message(identifier)
        if message is None:
            return
        for activity in self.store.activities():
            for each in self.store.messages_of(activity.id):
                if each.activity != message.activity and each.enqueued <= message.enqueued:
                    super().delete_message(each.id)
        super().delete_message(identifier)


class _EmptiesTheQueue(StoreAround):
    def delete_message(self, identifier: str) -> None:
        """Forget a message, and hand out none of those that stay."""
        message = self.store.message(identifier)
        super().delete_message(identifier)
        if message is None:
            return
        for each in self.store.messages_of(message.activity):
            if each.queued:
                self.store.put_message(msgspec.structs.replace(each, queued=False))


REMOVES = "cleanup.removes-what-was-asked"
SPARES = "cleanup.spares-the-rest"

MUTANTS = (
    mutant("clean-up-removes-nothing", "Says that messages were removed, and leaves them.", REMOVES, store=_LeavesAll),
    mutant(
        "clean-up-leaves-the-queue",
        "Removes messages from Manage messages, and hands them out all the same.",
        REMOVES,
        store=_LeavesTheQueue,
    ),
    mutant(
        "clean-up-takes-the-next-too",
        "Removes with each message the one that came after it.",
        SPARES,
        store=_TakesTheNextToo,
    ),
    mutant("clean-up-takes-all", "Removes all messages of a job once one is to go.", SPARES, store=_TakesAll),
    mutant(
        "clean-up-takes-other-jobs-along",
        "Removes messages of other jobs that are as old.",
        SPARES,
        "retention.kept-for-seven-days",
        store=_TakesOtherJobsToo,
    ),
    mutant(
        "clean-up-empties-the-queue",
        "Leaves the younger messages in Manage messages, and takes them out of the queue.",
        SPARES,
        store=_EmptiesTheQueue,
    ),
)
