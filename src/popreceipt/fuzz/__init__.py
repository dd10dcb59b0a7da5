"""Fuzzing: what the specifications say is asked in every way that schemathesis knows, and in ways that are wrong.

Every call crosses the target's own session and is judged three times: by schemathesis' checks, by checks of our own
on what was handed out, and (in stretches) by all rules. It drives and takes over what was found; nothing of it writes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from popreceipt.clock import stopwatch
from popreceipt.exceptions import NotAbleTo, UsageError
from popreceipt.fuzz.campaign import EXTENTS, Campaign, Extent
from popreceipt.reproduction.failure import Failure
from popreceipt.targets import Target

__all__ = ["FLOOR", "FuzzResult", "run"]

FLOOR: Final = 0.5
"""The share of an operation's sound examples that must have met the state that their success needs.

Of every hundred some twelve are sent with made-up values on purpose, and some negative ones turn out sound; where less
than half find what they ask about, it is refusals that are fuzzed, and a green run says little."""

FEW: Final = 8
"""Below so many sound examples of an operation a share says nothing."""


@dataclass(frozen=True, slots=True)
class FuzzResult:
    """What a run did and what it found.

    Args:
        figures: numbers for the report, as JSON values.
        failures: what went wrong, those that convict first.
        shortfalls: why the run shows less than it should, in sentences; none of them is the target's fault.
    """

    figures: dict[str, Any]
    failures: list[Failure]
    shortfalls: tuple[str, ...] = ()


def run(
    target: Target,
    *,
    seed: int = 0,
    effort: str = "fast",
    progress: Callable[[int, int, str], None] | None = None,
    extent: Extent | None = None,
    operation_ids: frozenset[str] | None = None,
) -> FuzzResult:
    """Fuzz a target.

    Args:
        target: open; on a tenant only where its table permits it.
        seed: the same seed makes the same run on a target that answers the same.
        effort: fast or thorough.
        progress: called with what is done, of all, and the name of what comes next.
        extent: how far to look, instead of what the effort says.
        operation_ids: only these operations of the specifications.

    Raises:
        NotAbleTo: the target does not permit fuzzing.
        UsageError: there is no such effort.
    """
    if not target.permits_fuzzing:
        raise NotAbleTo(target.name, "fuzzing", "`fuzz = true` in its table: made-up files would land in its tables")
    if effort not in EXTENTS:
        raise UsageError(f"Effort is {' or '.join(EXTENTS)}, not {effort!r}.")
    began = stopwatch()
    campaign = Campaign(target, seed, extent or EXTENTS[effort], operation_ids=operation_ids)
    campaign.run(progress)
    return FuzzResult(_figures(campaign, stopwatch() - began), campaign.ledger.found(), tuple(_shortfalls(campaign)))


def _figures(campaign: Campaign, seconds: float) -> dict[str, Any]:
    ledger = campaign.ledger
    unexercised = dict(ledger.unexercised)
    told = {}
    for each in campaign.operations:
        sound, met = ledger.positive[each.name], ledger.met[each.name]
        told[each.name] = {
            "calls": ledger.calls[each.name],
            "statuses": {str(status): count for status, count in sorted(ledger.statuses.get(each.name, {}).items())},
            "sound": sound,
            "met_precondition": met,
            "share": round(met / sound, 3) if sound else None,
        }
        if met:
            unexercised.pop(each.name, None)
    calls = sum(ledger.calls.values())
    return {
        "seconds": round(seconds, 2),
        "cases": calls,
        "cases_per_second": round(calls / seconds, 1) if seconds else None,
        "phases": dict(sorted(ledger.phases.items())),
        "stretches": ledger.stretches,
        "operations": told,
        "strangers": dict(sorted(campaign.strangers.tried.items())),
        "not_sendable": sum(ledger.not_sendable.values()),
        "unexercised": unexercised,
        "floor": FLOOR,
        "failures": len(ledger.failures),
    } | ({} if ledger.spent is None else {"stopped": ledger.spent})


def _shortfalls(campaign: Campaign) -> list[str]:
    ledger = campaign.ledger
    found = []
    for name in sorted({each.name for each in campaign.operations if each.precondition is not None}):
        sound, met = ledger.positive[name], ledger.met[name]
        if sound >= FEW and met < FLOOR * sound and name not in ledger.unexercised:
            found.append(
                f"{name}: {met} of {sound} sound examples met their precondition, which is less than {FLOOR:.0%}"
            )
    if not ledger.calls:
        found.append("nothing was called")
    if ledger.spent is not None:
        found.append(f"{ledger.spent} The rest was not asked, and nothing is known of it.")
    return found
