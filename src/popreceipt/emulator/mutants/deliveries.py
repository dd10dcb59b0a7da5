"""Wrong queues: messages that are lost, come too early, too late, not at all, or to the wrong consumer."""

import dataclasses
from datetime import datetime, timedelta

import msgspec

from popreceipt.emulator.activity import EXPORT, Activity
from popreceipt.emulator.batch import Produced
from popreceipt.emulator.deliveries import Acknowledgment, Missing, Offer
from popreceipt.emulator.message import Message
from popreceipt.emulator.mutants.mutant import mutant
from popreceipt.emulator.mutants.parts import Mutated, OwnBatch, OwnDeliveries
from popreceipt.emulator.profile import Profile

HALF_HOUR = timedelta(minutes=30)


class Hiding(OwnDeliveries):
    """Changes until when a message that was just handed out hides."""

    def dequeue(self, activity: Activity, now: datetime) -> Offer | None:
        """The next message, hidden otherwise than usual."""
        offer = super().dequeue(activity, now)
        if offer is None:
            return None
        message = self.hidden(offer.message, now)
        self._store.put_message(message)
        return msgspec.structs.replace(offer, message=message)

    def hidden(self, message: Message, now: datetime) -> Message:  # noqa: ARG002 - for subclasses to use
        """The message as it stands in the queue after its delivery."""
        return message


# Lost before anybody saw them


class _TwentyAreEnough(OwnBatch):
    """A queue has room for twenty."""

    room = 20

    def rework(self, produced: Produced) -> Produced:
        """What is over the room never enters the queue."""
        messages = self._store.messages_of(produced.message.activity)
        waiting = [each for each in messages if each.queued and not each.deliveries]
        if len(waiting) > self.room:
            self._store.put_message(msgspec.structs.replace(produced.message, queued=False))
        return produced


class _AHundredAreEnough(_TwentyAreEnough):
    room = 100


class _EveryTenthIsLost(OwnBatch):
    def rework(self, produced: Produced) -> Produced:
        """The tenth, the twentieth, ... message of an activity never enters the queue."""
        if len(self._store.messages_of(produced.message.activity)) % 10 == 0:
            self._store.put_message(msgspec.structs.replace(produced.message, queued=False))
        return produced


class _DeafAfterAnEmptyAnswer(OwnDeliveries):
    """Once it said that nothing waits, it says so for an hour."""

    def __init__(self, emulator: Mutated) -> None:
        super().__init__(emulator)
        self._empty_until: dict[str, datetime] = {}

    def dequeue(self, activity: Activity, now: datetime) -> Offer | None:
        """The next message, unless the queue was empty lately."""
        if now < self._empty_until.get(activity.id, now):
            return None
        offer = super().dequeue(activity, now)
        if offer is None:
            self._empty_until[activity.id] = now + timedelta(hours=1)
        return offer


class _OneConsumerAtATime(OwnDeliveries):
    """While one consumer holds a message, others are told that nothing waits."""

    def __init__(self, emulator: Mutated) -> None:
        super().__init__(emulator)
        self._holds: dict[str, tuple[str | None, str]] = {}

    def dequeue(self, activity: Activity, now: datetime) -> Offer | None:
        """The next message, for whoever holds one already or when nobody does."""
        speaker = self.emulator.speaker
        holder, identifier = self._holds.get(activity.id, (speaker, ""))
        held = self._store.message(identifier) if identifier else None
        if holder != speaker and held is not None and held.queued and self._is_leased(held, now):
            return None
        offer = super().dequeue(activity, now)
        if offer is not None:
            self._holds[activity.id] = (speaker, offer.message.id)
        return offer


class _FromTheNeighbour(OwnDeliveries):
    """An empty queue is helped out with what the job made before it still has."""

    def dequeue(self, activity: Activity, now: datetime) -> Offer | None:
        """The next message, in need one that another job exported."""
        offer = super().dequeue(activity, now)
        if offer is not None:
            return offer
        jobs = [each for each in self._store.activities() if each.direction == EXPORT]
        place = next(place for place, each in enumerate(jobs) if each.id == activity.id)
        if place == 0 or jobs[place - 1].enabled is False:
            return None
        waiting = [each for each in self._store.messages_of(jobs[place - 1].id) if each.queued]
        fresh = waiting and all(each.total_records and not each.deliveries for each in waiting)
        return super().dequeue(jobs[place - 1], now) if fresh else None

    def download(self, activity: Activity, correlation: str, blob_name: str, now: datetime) -> bytes | Missing:
        """The file, whoever's it is."""
        return super().download(self._owner(activity, correlation), correlation, blob_name, now)

    def _owner(self, activity: Activity, correlation: str) -> Activity:
        message = self.message_of(correlation)
        owner = None if message is None else self._store.activity(message.activity)
        return owner or activity


# Back too early


class _HidesForTwentyNineMinutes(OwnDeliveries):
    def profile(self, profile: Profile) -> Profile:
        """A lease that is a minute short."""
        return dataclasses.replace(profile, lease=timedelta(minutes=29))


class _HidesShorterEachTime(Hiding):
    def hidden(self, message: Message, now: datetime) -> Message:
        """Hidden for a minute less at each further delivery."""
        lease = HALF_HOUR - timedelta(minutes=message.deliveries - 1)
        return msgspec.structs.replace(message, visible_from=now + max(lease, timedelta(minutes=1)))


class _CountsFromTheFirst(Hiding):
    """Half hours are counted from the first delivery on."""

    def __init__(self, emulator: Mutated) -> None:
        super().__init__(emulator)
        self._first: dict[str, datetime] = {}

    def hidden(self, message: Message, now: datetime) -> Message:
        """Hidden up to the next whole half hour since the first delivery."""
        first = self._first.setdefault(message.id, now)
        return msgspec.structs.replace(message, visible_from=first + ((now - first) // HALF_HOUR + 1) * HALF_HOUR)


class _HidesFromTheOneWhoTookIt(OwnDeliveries):
    """A message hides from the consumer that took it, not from others."""

    def __init__(self, emulator: Mutated) -> None:
        super().__init__(emulator)
        self._takers: dict[str, set[str | None]] = {}

    def dequeue(self, activity: Activity, now: datetime) -> Offer | None:
        """The oldest message that this consumer does not hold."""
        speaker = self.emulator.speaker
        for message in self._store.messages_of(activity.id):
            if message.queued and self._is_leased(message, now) and speaker not in self._takers.get(message.id, ()):
                self._store.put_message(msgspec.structs.replace(message, visible_from=message.enqueued))
                break
        offer = super().dequeue(activity, now)
        if offer is not None:
            takers = self._takers.setdefault(offer.message.id, set())
            if offer.previous is None or now - offer.previous >= HALF_HOUR:
                takers.clear()
            takers.add(speaker)
        return offer


class _ADownloadEndsTheLease(OwnDeliveries):
    def download(self, activity: Activity, correlation: str, blob_name: str, now: datetime) -> bytes | Missing:
        """The file; its message can be dequeued again ten minutes later."""
        content = super().download(activity, correlation, blob_name, now)
        message = self.message_of(correlation)
        if message is not None and message.queued and message.visible_from is not None:
            soon = min(message.visible_from, now + timedelta(minutes=10))
            self._store.put_message(msgspec.structs.replace(message, visible_from=soon))
        return content


# Back too late, or never


class _HidesForThirtyOneMinutes(OwnDeliveries):
    def profile(self, profile: Profile) -> Profile:
        """A lease that is a minute long."""
        return dataclasses.replace(profile, lease=timedelta(minutes=31))


class _NeverAgain(Hiding):
    def hidden(self, message: Message, now: datetime) -> Message:  # noqa: ARG002 - whenever it is
        """Gone from the queue with its first delivery."""
        return msgspec.structs.replace(message, queued=False)


class _ThreeTimesAtMost(OwnDeliveries):
    def _is_given_up(self, message: Message, has_file: bool) -> bool:
        return message.deliveries >= 3 or super()._is_given_up(message, has_file)


class _TenBackAtMost(Hiding):
    def hidden(self, message: Message, now: datetime) -> Message:
        """Of more than ten messages that hide at once the eleventh is forgotten."""
        hiding = [each for each in self._store.messages_of(message.activity) if each.queued and each.deliveries]
        leased = [each for each in hiding if self._is_leased(each, now)]
        return msgspec.structs.replace(message, queued=False) if len(leased) > 10 else message


class _ADownloadIsEnough(OwnDeliveries):
    def download(self, activity: Activity, correlation: str, blob_name: str, now: datetime) -> bytes | Missing:
        """The file; its message leaves the queue."""
        content = super().download(activity, correlation, blob_name, now)
        message = self.message_of(correlation)
        if message is not None and not isinstance(content, Missing):
            self._store.put_message(msgspec.structs.replace(message, queued=False))
        return content


class _TakesTheNextAlong(OwnDeliveries):
    """An acknowledgment also ends the redelivery of the message that came after."""

    def acknowledge(self, activity: Activity, correlation: str, receipt: str, now: datetime) -> Acknowledgment:
        """What becomes of it, and of the next one."""
        outcome = super().acknowledge(activity, correlation, receipt, now)
        message = self.message_of(correlation)
        if outcome is Acknowledgment.ACCEPTED and message is not None:
            others = (each for each in self._store.messages_of(activity.id) if each.queued and each.deliveries)
            for other in self.taken_along(message, list(others)):
                self._store.put_message(msgspec.structs.replace(other, queued=False))
        return outcome

    def taken_along(self, message: Message, others: list[Message]) -> list[Message]:
        """Which of the others that were delivered go as well."""
        return [each for each in others if each.number > message.number][:1]


class _TakesAllAlong(_TakesTheNextAlong):
    def taken_along(self, message: Message, others: list[Message]) -> list[Message]:  # noqa: ARG002 - whichever it is
        """All of them."""
        return others


# What a delivery says of the one before


class Saying(OwnDeliveries):
    """Changes what a delivery says of the one before."""

    def dequeue(self, activity: Activity, now: datetime) -> Offer | None:
        """The next message, with another LastDequeueDateTime."""
        offer = super().dequeue(activity, now)
        return None if offer is None else msgspec.structs.replace(offer, previous=self.said(offer, now))

    def said(self, offer: Offer, now: datetime) -> datetime | None:  # noqa: ARG002 - for subclasses to use
        """When it claims to have been dequeued last."""
        return offer.previous


class _SaysNowAtFirst(Saying):
    def said(self, offer: Offer, now: datetime) -> datetime | None:
        """This very instant, at the first delivery."""
        return offer.previous or now


class _NeverSays(Saying):
    def said(self, offer: Offer, now: datetime) -> datetime | None:  # noqa: ARG002 - whatever it was
        """Nothing."""
        return None


class _AlwaysSaysTheFirst(Saying):
    """Right at the second delivery, and wrong from the third on."""

    def __init__(self, emulator: Mutated) -> None:
        super().__init__(emulator)
        self._first: dict[str, datetime] = {}

    def said(self, offer: Offer, now: datetime) -> datetime | None:
        """The first delivery."""
        first = self._first.setdefault(offer.message.id, now)
        return None if offer.previous is None else first


class _SaysThisOne(Saying):
    def said(self, offer: Offer, now: datetime) -> datetime | None:
        """This very delivery."""
        return None if offer.previous is None else now


class _SaysItInLocalTime(Saying):
    def said(self, offer: Offer, now: datetime) -> datetime | None:  # noqa: ARG002 - whenever it is
        """An hour ahead, and called UTC."""
        return None if offer.previous is None else offer.previous + timedelta(hours=1)


class _CountsEmptyAnswers(OwnDeliveries):
    """A dequeue that found nothing counts as the last one of what was hidden."""

    def __init__(self, emulator: Mutated) -> None:
        super().__init__(emulator)
        self._asked: dict[str, datetime] = {}

    def dequeue(self, activity: Activity, now: datetime) -> Offer | None:
        """The next message, last dequeued when the queue was last asked."""
        offer = super().dequeue(activity, now)
        if offer is None:
            self._asked[activity.id] = now
            return None
        if offer.previous is None:
            return offer
        asked = self._asked.get(activity.id, offer.previous)
        return msgspec.structs.replace(offer, previous=max(asked, offer.previous))


OFFERED = "dequeue.waiting-message-is-offered"
EARLY = "redelivery.not-before-half-an-hour"
BACK = "redelivery.after-half-an-hour"
SAYS = "redelivery.says-when-last-dequeued"

MUTANTS = (
    mutant(
        "twenty-first-waiting-message-lost",
        "Loses what is exported while twenty messages wait.",
        OFFERED,
        batch=_TwentyAreEnough,
    ),
    mutant(
        "hundred-and-first-waiting-message-lost",
        "Loses what is exported while a hundred messages wait.",
        OFFERED,
        batch=_AHundredAreEnough,
    ),
    mutant("every-tenth-message-lost", "Loses every tenth message of a job.", OFFERED, batch=_EveryTenthIsLost),
    mutant(
        "empty-answer-lasts-an-hour",
        "Having said once that nothing waits it says so for an hour, whatever comes.",
        OFFERED,
        BACK,
        deliveries=_DeafAfterAnEmptyAnswer,
    ),
    mutant(
        "one-consumer-at-a-time",
        "Tells a second consumer that nothing waits while the first one holds a message.",
        OFFERED,
        deliveries=_OneConsumerAtATime,
    ),
    mutant(
        "messages-cross-jobs",
        # A neighbour's message without a file denies the job's own that have one.
        "Hands out another job's message when the queue of the one asked for is empty.",
        "dequeue.own-activity-only",
        "dequeue.waiting-message-is-offered",
        deliveries=_FromTheNeighbour,
    ),
    mutant("lease-of-29-minutes", "Hides a message for 29 minutes.", EARLY, deliveries=_HidesForTwentyNineMinutes),
    mutant(
        "lease-shrinks",
        "Hides a message for half an hour at first, and for a minute less at each further delivery.",
        EARLY,
        deliveries=_HidesShorterEachTime,
    ),
    mutant(
        "lease-counted-from-the-first-delivery",
        "Counts the half hours of all deliveries from the first one, so later ones come early.",
        EARLY,
        deliveries=_CountsFromTheFirst,
    ),
    mutant(
        "lease-for-one-consumer-only",
        "Hides a message from the consumer that took it, and hands it to a second one at once.",
        EARLY,
        deliveries=_HidesFromTheOneWhoTookIt,
    ),
    mutant(
        "lease-ends-after-the-download",
        "Offers a message again ten minutes after it was downloaded.",
        EARLY,
        deliveries=_ADownloadEndsTheLease,
    ),
    mutant("lease-of-31-minutes", "Hides a message for 31 minutes.", BACK, deliveries=_HidesForThirtyOneMinutes),
    mutant("never-redelivered", "Offers each message once.", BACK, deliveries=_NeverAgain),
    mutant(
        "redelivered-twice-at-most",
        "Gives a message up after three deliveries.",
        BACK,
        deliveries=_ThreeTimesAtMost,
    ),
    mutant(
        "eleventh-hidden-message-lost",
        "Of the messages that hide at the same time brings back ten.",
        BACK,
        deliveries=_TenBackAtMost,
    ),
    mutant(
        "download-counts-as-acknowledgment",
        "Ends the redelivery of a message with its download.",
        BACK,
        deliveries=_ADownloadIsEnough,
    ),
    mutant(
        "acknowledgment-takes-the-next-along",
        "Ends with an acknowledgment the redelivery of the next message too.",
        BACK,
        deliveries=_TakesTheNextAlong,
    ),
    mutant(
        "acknowledgment-takes-all-along",
        "Ends with an acknowledgment the redelivery of everything that was handed out.",
        BACK,
        deliveries=_TakesAllAlong,
    ),
    mutant(
        "first-delivery-names-a-last-dequeue",
        "Gives a first delivery its own instant as LastDequeueDateTime.",
        "redelivery.first-delivery-has-no-last-dequeue",
        deliveries=_SaysNowAtFirst,
    ),
    mutant(
        "last-dequeue-always-blank", "Leaves LastDequeueDateTime blank at redeliveries.", SAYS, deliveries=_NeverSays
    ),
    mutant(
        "last-dequeue-is-the-first",
        "Names at each redelivery the first delivery, which is right at the second only.",
        SAYS,
        deliveries=_AlwaysSaysTheFirst,
    ),
    mutant(
        "last-dequeue-is-this-one", "Names at each redelivery the redelivery itself.", SAYS, deliveries=_SaysThisOne
    ),
    mutant("last-dequeue-in-local-time", "Writes local time and calls it UTC.", SAYS, deliveries=_SaysItInLocalTime),
    mutant(
        "last-dequeue-counts-empty-answers",
        "Takes a dequeue that found nothing for the last one.",
        SAYS,
        deliveries=_CountsEmptyAnswers,
    ),
)
