"""Wrong acknowledgments: refused though right, effective though refused, accepted without effect, or forgotten."""

from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from popreceipt.emulator import problems
from popreceipt.emulator.activity import Activity
from popreceipt.emulator.bodies import NotJson, read_object
from popreceipt.emulator.deliveries import Acknowledgment, Offer
from popreceipt.emulator.guids import read_guid
from popreceipt.emulator.http import Response
from popreceipt.emulator.message import Message
from popreceipt.emulator.mutants.mutant import mutant
from popreceipt.emulator.mutants.parts import Around, Mutated, OwnDeliveries, Route, answers
from popreceipt.emulator.routes.call import Call
from popreceipt.vocabulary import ACK, ACKED, CORRELATION_ID, DEQUEUED, FILE_EXISTS, POP_RECEIPT


def _ended(message: Message, now: datetime) -> Message:
    return msgspec.structs.replace(message, status=ACKED, acknowledged=now, queued=False)


# Refused though right


class _RefusesAfterARedelivery(OwnDeliveries):
    def acknowledge(self, activity: Activity, correlation: str, receipt: str, now: datetime) -> Acknowledgment:
        """Refused for whatever was delivered more than once."""
        message = self.message_of(correlation)
        if message is not None and message.deliveries > 1:
            return Acknowledgment.UNKNOWN
        return super().acknowledge(activity, correlation, receipt, now)


class _KnowsTheLatestOnly(OwnDeliveries):
    """Of several messages that are held at once only the one that was dequeued last can be acknowledged."""

    def __init__(self, emulator: Mutated) -> None:
        super().__init__(emulator)
        self._latest: dict[str, str] = {}

    def dequeue(self, activity: Activity, now: datetime) -> Offer | None:
        """The next message, which is then the latest."""
        offer = super().dequeue(activity, now)
        if offer is not None:
            self._latest[activity.id] = offer.message.id
        return offer

    def acknowledge(self, activity: Activity, correlation: str, receipt: str, now: datetime) -> Acknowledgment:
        """Refused for any other."""
        message = self.message_of(correlation)
        if message is not None and message.queued and self._latest.get(activity.id) != message.id:
            return Acknowledgment.STALE
        return super().acknowledge(activity, correlation, receipt, now)


class _WantsTheSameConsumer(OwnDeliveries):
    """Only the token that dequeued a message can acknowledge it."""

    def __init__(self, emulator: Mutated) -> None:
        super().__init__(emulator)
        self._takers: dict[str, str | None] = {}

    def dequeue(self, activity: Activity, now: datetime) -> Offer | None:
        """The next message, with who took it."""
        offer = super().dequeue(activity, now)
        if offer is not None:
            self._takers[offer.message.id] = self.emulator.speaker
        return offer

    def acknowledge(self, activity: Activity, correlation: str, receipt: str, now: datetime) -> Acknowledgment:
        """Refused to others."""
        message = self.message_of(correlation)
        if message is not None and self._takers.get(message.id) != self.emulator.speaker:
            return Acknowledgment.UNKNOWN
        return super().acknowledge(activity, correlation, receipt, now)


# Accepted without effect


class _OnlySaysSo(OwnDeliveries):
    def acknowledge(self, activity: Activity, correlation: str, receipt: str, now: datetime) -> Acknowledgment:
        """Said to be accepted, where it would be."""
        message = self.message_of(correlation)
        right = message is not None and (message.activity, message.receipt) == (activity.id, receipt)
        if message is not None and right and self.is_forgotten(message):
            return Acknowledgment.ACCEPTED
        return super().acknowledge(activity, correlation, receipt, now)

    def is_forgotten(self, message: Message) -> bool:
        """Whether the acknowledgment of a message has no effect."""
        return message.queued


class _OnlySaysSoAfterARedelivery(_OnlySaysSo):
    def is_forgotten(self, message: Message) -> bool:
        """Those that were delivered more than once."""
        return message.queued and message.deliveries > 1


class _ForgetsAfterADay(OwnDeliveries):
    def __init__(self, emulator: Mutated) -> None:
        super().__init__(emulator)
        emulator.agenda.on("bring-back", self._bring_back)

    def acknowledge(self, activity: Activity, correlation: str, receipt: str, now: datetime) -> Acknowledgment:
        """Accepted, for a day."""
        outcome = super().acknowledge(activity, correlation, receipt, now)
        message = self.message_of(correlation)
        if outcome is Acknowledgment.ACCEPTED and message is not None:
            self.emulator.agenda.at(now + timedelta(days=1), "bring-back", message.id)
        return outcome

    def _bring_back(self, identifier: str, now: datetime) -> None:
        message = self._store.message(identifier)
        if message is not None:
            again = msgspec.structs.replace(message, status=DEQUEUED, queued=True, visible_from=now)
            self._store.put_message(again)


# Effective though refused


class _StaleOnesCount(OwnDeliveries):
    """A receipt that a later delivery replaced still ends the redelivery."""

    refused = False

    def acknowledge(self, activity: Activity, correlation: str, receipt: str, now: datetime) -> Acknowledgment:
        """Accepted, or refused with the same effect."""
        outcome = super().acknowledge(activity, correlation, receipt, now)
        message = self.message_of(correlation)
        if outcome is not Acknowledgment.STALE or message is None or not message.queued:
            return outcome
        self._store.put_message(_ended(message, now))
        return outcome if self.refused else Acknowledgment.ACCEPTED


class _RefusedStaleOnesCount(_StaleOnesCount):
    refused = True


class _AnyJobWillDo(OwnDeliveries):
    def acknowledge(self, activity: Activity, correlation: str, receipt: str, now: datetime) -> Acknowledgment:
        """Accepted for a message of whichever job."""
        message = self.message_of(correlation)
        owner = None if message is None else self._store.activity(message.activity)
        return super().acknowledge(owner or activity, correlation, receipt, now)


def _refused_but(effect: Callable[[Message, datetime], Message], *, lacking: str | None = None) -> Around:
    """What is refused has an effect all the same: always, or where the body lacks a member."""

    def tamper(call: Call, response: Response) -> Response:
        message = _named_in(call, lacking) if response.status >= 400 else None
        if message is not None and message.queued:
            call.emulator.store.put_message(effect(message, call.now))
        return response

    return answers(tamper, ACK)


def _named_in(call: Call, lacking: str | None) -> Message | None:
    try:
        body = read_object(call.request.body)
    except NotJson:
        return None
    correlation = body.get(CORRELATION_ID)
    if not isinstance(correlation, str) or (lacking is not None and body.get(lacking) is not None):
        return None
    store = call.emulator.store
    delivery = store.delivery(read_guid(correlation) or "")
    return None if delivery is None else store.message(delivery.message)


def _wanting(member: str) -> Around:
    """An acknowledgment without this member is refused."""

    def around(emulator: Mutated, route: Route) -> Route:
        def answer(call: Call) -> Response | None:
            if emulator.operation == ACK and _lacks(call, member):
                return problems.connector(400, f"The body lacks {member}.")
            return route(call)

        return answer

    return around


def _lacks(call: Call, member: str) -> bool:
    try:
        return member not in read_object(call.request.body)
    except NotJson:
        return False


def _visible_at_once(message: Message, now: datetime) -> Message:
    return msgspec.structs.replace(message, visible_from=now)


ACCEPTED = "acknowledgment.echo-accepted"
ENDS = "acknowledgment.ends-redelivery"
UNCHANGED = "acknowledgment.refused-changes-nothing"
ACKED_ONLY = "status.acked-only-when-acknowledged"

MUTANTS = (
    mutant(
        "acknowledgment-refused-after-a-redelivery",
        "Refuses every acknowledgment of a message that was delivered more than once.",
        ACCEPTED,
        deliveries=_RefusesAfterARedelivery,
    ),
    mutant(
        "only-the-latest-can-be-acknowledged",
        "Refuses the acknowledgment of a message once another one was dequeued.",
        ACCEPTED,
        deliveries=_KnowsTheLatestOnly,
    ),
    mutant(
        "acknowledgment-bound-to-the-token",
        "Refuses an acknowledgment that comes with another token than the dequeue.",
        ACCEPTED,
        deliveries=_WantsTheSameConsumer,
    ),
    mutant(
        "acknowledgment-without-effect",
        "Answers acknowledgments with success and offers the messages again.",
        ENDS,
        ACKED_ONLY,
        deliveries=_OnlySaysSo,
    ),
    mutant(
        "acknowledgment-of-a-redelivery-without-effect",
        "Answers the acknowledgment of a redelivery with success and offers the message again.",
        ENDS,
        ACKED_ONLY,
        deliveries=_OnlySaysSoAfterARedelivery,
    ),
    mutant(
        "acknowledgment-forgotten-after-a-day",
        "Offers a message again 24 hours after it was acknowledged.",
        ENDS,
        deliveries=_ForgetsAfterADay,
    ),
    mutant(
        "correlation-alone-acknowledges",
        "Refuses an acknowledgment without a receipt and ends the redelivery all the same.",
        UNCHANGED,
        routes=_refused_but(_ended, lacking=POP_RECEIPT),
    ),
    mutant(
        "refused-acknowledgment-shows-the-message",
        "Offers a message at once when an acknowledgment of it was refused.",
        "redelivery.not-before-half-an-hour",
        routes=_refused_but(_visible_at_once),
    ),
    mutant(
        "stale-receipt-acknowledges",
        "Accepts a receipt that a later delivery has replaced.",
        "acknowledgment.stale-receipt-changes-nothing",
        deliveries=_StaleOnesCount,
    ),
    mutant(
        "refused-stale-receipt-acknowledges",
        "Refuses a receipt that a later delivery has replaced and ends the redelivery all the same.",
        "acknowledgment.stale-receipt-changes-nothing",
        deliveries=_RefusedStaleOnesCount,
    ),
    mutant(
        "acknowledgment-needs-the-file-flag",
        "Refuses an acknowledgment that does not say whether there was a file.",
        "acknowledgment.three-members-suffice",
        routes=_wanting(FILE_EXISTS),
    ),
    mutant(
        "any-job-acknowledges",
        "Accepts the acknowledgment of a message on another job.",
        "acknowledgment.other-activity-changes-nothing",
        deliveries=_AnyJobWillDo,
    ),
)
