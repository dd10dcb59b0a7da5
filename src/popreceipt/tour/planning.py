"""What a tour would do: which errands it runs and why not the others, each request it may send, and how long it takes.

From the description of a tenant alone: nothing is sent, no connection opened, no secret looked up. What is told here
as the most that is sent of a kind is enforced when the tour runs.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from popreceipt import vocabulary
from popreceipt.rules import catalogue, find
from popreceipt.rules.rule import Rule
from popreceipt.targets import DATES_TAKEN
from popreceipt.tenants.description import Tenant
from popreceipt.tenants.production import looks_like_production
from popreceipt.tour.errand import Errand, Line
from popreceipt.tour.waiting import period_option, period_text

FORMAT: Final = "popreceipt/plan@1"

LEASE: Final = timedelta(minutes=30)
"""How long a dequeue hides a message ("API for acknowledgment"): told to whoever lets one be sent."""

CLOCK_LINE: Final = "tour/time-of-day"

TOKENS_LINE: Final = "tour/tokens"

LOOKS: Final = 12
"""How often a tour may ask for Dates anew because this computer's clocks have parted."""

TOKEN_LIFETIME: Final = timedelta(minutes=5)
"""The shortest life of a token that the bound for them reckons with, as they live an hour and longer as a rule."""

MOST_TOKENS: Final = 40
"""So many tokens a client is asked for at most: errands that wait for a week use few of them."""

DISCOVERY: Final = 3
"""What MSAL may ask beside a token: the issuer's metadata and its tenant's."""


@dataclass(frozen=True, slots=True)
class Planned:
    """An errand, and why it is not run (None where it is)."""

    errand: Errand
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class OwnLines:
    """What a tour itself may send, beside its errands: questions for the time of day, and tokens."""

    clock: Line
    tokens: Line


@dataclass(frozen=True, slots=True)
class Plan:
    """What a tour of a tenant would do.

    Args:
        tenant: the description.
        errands: all that there are for the rules asked for, in their order.
        rules: the rules that were asked for.
        patience_seconds: how long waits may take in real time.
        own: what the tour sends beside its errands.
    """

    tenant: Tenant
    errands: tuple[Planned, ...]
    rules: tuple[Rule, ...]
    patience_seconds: float
    own: OwnLines

    @property
    def run(self) -> tuple[Errand, ...]:
        """The errands that are run."""
        return tuple(each.errand for each in self.errands if each.reason is None)

    @property
    def lines(self) -> tuple[Line, ...]:
        """Everything that may be sent, the tour's own first."""
        own = (self.own.clock, self.own.tokens) if self.run else ()
        return (*own, *(line for each in self.run for line in each.lines))

    def real_seconds(self, errand: Errand) -> float:
        """How long an errand takes at most, waits included, in real time."""
        return errand.takes.total_seconds() / self.tenant.rate

    @property
    def longest_seconds(self) -> float:
        """How long everything takes at most in real time: all waits are at the same time."""
        return max((self.real_seconds(each) for each in self.run), default=0.0)

    def is_parked(self, errand: Errand) -> bool:
        """Whether an errand takes longer than there is patience for, so that it would be gone on with later."""
        return self.real_seconds(errand) > self.patience_seconds

    def warnings(self) -> Iterator[str]:
        """What somebody should know who lets this go to an environment."""
        tenant = self.tenant
        if (why := looks_like_production(tenant.host)) is not None:
            permitted = "permitted by its description" if tenant.production else "refused without the explicit word"
            yield f"{tenant.host} looks like production, since {why}: {permitted}."
        used = self._roles(vocabulary.DEQUEUE, "export")
        if used:
            yield (
                f"A dequeue hides a message from everybody for half an hour: {', '.join(used)}. A consumer of "
                "that activity gets it later, or not at all where it is acknowledged."
            )
        shared = [role for role in used if not tenant.is_exclusive(role)]
        if shared:
            yield f"Not marked exclusive, so nothing is acknowledged there: {', '.join(shared)}."
        taken = [role for role in self._roles(vocabulary.ACK, "export") if tenant.is_exclusive(role)]
        if taken:
            yield f"Messages are acknowledged, and so taken out of the queue for good: {', '.join(taken)}."
        filled = self._roles(vocabulary.ENQUEUE, "import")
        if filled:
            yield f"Files are handed in, and what is in them stays in the environment: {', '.join(filled)}."
        if tenant.budget.requests is not None and tenant.budget.requests < self.most:
            yield (
                f"The budget of {tenant.budget.requests} requests is less than the {self.most} that may be sent: "
                "where it is spent the tour ends, and goes on with a larger one."
            )
        parked = [each for each in self.run if self.is_parked(each)]
        if parked:
            longest = max(self.real_seconds(each) for each in parked)
            yield (
                f"{len(parked)} errands take longer than the patience of {period_text(self.patience_seconds)}: they "
                f"are parked and go on with --resume, or wait with --patience {period_option(longest)}."
            )

    def _roles(self, operation: str, direction: str) -> list[str]:
        """The roles of jobs of this direction that are asked for this: in the other direction it changes nothing."""
        found = {line.role for line in self.lines if line.operation == operation and line.role is not None}
        return sorted(role for role in found if self.tenant.activities[role].settings["direction"] == direction)

    @property
    def most(self) -> int:
        """How many requests are sent at most."""
        return sum(each.most for each in self.lines)

    @property
    def most_bytes(self) -> int:
        """How many bytes of files are sent at most."""
        return sum(each.most * each.bytes_each for each in self.lines)

    def unexercised(self, rule: str) -> str | None:
        """Why no errand of this tour shows a rule; None where one does."""
        shown = [each for each in self.errands if rule in each.errand.shows]
        if any(each.reason is None for each in shown):
            return None
        return shown[0].reason if shown else _never(rule, self.tenant)

    def as_json(self) -> dict[str, Any]:
        """For machines: what a person is told, with every bound."""
        return {
            "format": FORMAT,
            "target": f"tenant:{self.tenant.name}",
            "base_url": self.tenant.base_url,
            "activities": {role: each.id for role, each in self.tenant.activities.items()},
            "sends_nothing": True,
            "patience_seconds": self.patience_seconds,
            "takes_at_most_seconds": round(self.longest_seconds, 3),
            "requests_at_most": self.most,
            "bytes_at_most": self.most_bytes,
            "warnings": list(self.warnings()),
            "each_interruption_adds": (
                "one request to the line it fell into; a tour that is gone on with sends its own lines anew, and "
                "errands that had asked for a token of their own begin anew"
            ),
            "errands": [
                {
                    "name": each.errand.name,
                    "text": each.errand.text,
                    "shows": list(each.errand.shows),
                    "run": each.reason is None,
                    "reason": each.reason,
                    "takes_at_most_seconds": round(self.real_seconds(each.errand), 3),
                    "parked": each.reason is None and self.is_parked(each.errand),
                }
                for each in self.errands
            ],
            "lines": [
                {
                    "id": each.id,
                    "operation": each.operation,
                    "role": each.role,
                    "most": each.most,
                    "bytes_each": each.bytes_each,
                    "effect": each.effect,
                    "text": each.text,
                }
                for each in self.lines
            ],
            "unexercised": {
                each.id: reason for each in self.rules if (reason := self.unexercised(each.id)) is not None
            },
        }


def plan(
    tenant: Tenant,
    errands: Sequence[Errand],
    *,
    rules: Sequence[Rule] | None = None,
    assisted: bool = False,
    patience_seconds: float,
) -> Plan:
    """What a tour of this tenant would do.

    Args:
        tenant: its description.
        errands: all that there are.
        rules: show only these; None for all.
        assisted: a person is there.
        patience_seconds: how long waits may take in real time.
    """
    wanted = None if rules is None else {each.id for each in rules}
    picked = [each for each in errands if wanted is None or wanted & set(each.shows)]
    planned = tuple(Planned(each, _reason(each, tenant, assisted=assisted)) for each in picked)
    run = [each.errand for each in planned if each.reason is None]
    return Plan(
        tenant,
        planned,
        tuple(catalogue() if rules is None else rules),
        patience_seconds,
        _own(tenant, run),
    )


def _reason(errand: Errand, tenant: Tenant, *, assisted: bool) -> str | None:
    """Why an errand is not run, in words; None where it is."""
    missing = [role for role in errand.roles if role not in tenant.activities]
    if missing:
        return f"{tenant.where} names no activity {' and no '.join(missing)}"
    absent = [role for role in errand.clients if role not in tenant.clients]
    if absent:
        return f"{tenant.where} names no client {' and no '.join(absent)}"
    if errand.changes and tenant.read_only:
        return f"{tenant.where} says read_only = true"
    taken = {line.role for line in errand.lines if line.operation in (vocabulary.ACK, vocabulary.DEQUEUE)}
    shared = [role for role in errand.roles if role in taken and not tenant.is_exclusive(role)]
    if errand.acknowledges and shared:
        return f"{' and '.join(shared)} may be used by others: {tenant.where} does not say exclusive = true"
    if errand.assisted and not assisted:
        return "it takes a person who does a step by hand: --assisted"
    return None


def _own(tenant: Tenant, errands: Collection[Errand]) -> OwnLines:
    """What a tour sends by itself: questions for the time of day, and tokens."""
    longest = max((each.takes for each in errands), default=timedelta(0))
    clients = {"authorised", *(role for each in errands for role in each.clients)}
    each_client = min(MOST_TOKENS, 2 + int(longest / TOKEN_LIFETIME))
    tokens = len(clients) * each_client + (DISCOVERY if tenant.through_msal else 0)
    return OwnLines(
        Line(
            CLOCK_LINE,
            vocabulary.OTHER,
            None,
            DATES_TAKEN + LOOKS,
            "nothing",
            "GET / for the Date of its answers, by which the target's time is known",
        ),
        Line(
            TOKENS_LINE,
            vocabulary.TOKEN,
            None,
            tokens,
            "nothing",
            f"tokens for {', '.join(sorted(clients))}, renewed when they run out",
        ),
    )


def _never(rule: str, tenant: Tenant) -> str:
    """Why no tour shows a rule."""
    # Waiting stands in for a clock that can be moved.
    needs = sorted(find(rule).needs - {"advance-time"})
    if needs:
        return f"tenant:{tenant.name} lacks {', '.join(needs)}"
    return "nothing that a tour does over the wire shows it"
