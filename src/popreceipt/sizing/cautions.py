"""What a sizing answer warns of: documented bounds that a plan or a recommendation comes near.

Each warning is a sentence with the figure, the bound, and the article that has it. Nothing here is simulated.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from popreceipt.sizing.bounds import HEALS
from popreceipt.sizing.margin import MOST as LARGEST
from popreceipt.sizing.outlasting import MOST, RARE
from popreceipt.sizing.plan import Export, Plan
from popreceipt.sizing.result import Candidate, Lease, Monitoring
from popreceipt.sizing.trials import limits
from popreceipt.sizing.wording import brief, share

LOOKS: Final = 1.0
"""Minutes between two looks of a batch server for free threads ("Batch processing and batch servers")."""

SHORTEST: Final = 2 * LOOKS
"""Minutes of a recurrence that is shorter than one look to start a run and one to mark its end."""

THROTTLED: Final = 60.0
"""Tasks of one batch class a minute above which it is throttled unless set otherwise (the same, "Batch throttling")."""

THREADS: Final = 16
"""Threads of one batch server at most, 8 unless set otherwise ("Batch capacity")."""

FEW: Final = 1000
"""Fewer messages make poor percentiles."""


def cautions(
    plan: Plan,
    chosen: Candidate | None,
    rates: Sequence[float],
    messages: int,
    monitoring: Monitoring | None,
    lease: Lease | None,
) -> Iterator[str]:
    """All warnings.

    Args:
        plan: that is sized.
        chosen: the recurrence that is recommended.
        rates: messages an hour for each hour of the day.
        messages: of one replication.
        monitoring: the monitoring recurrence.
        lease: the export's side.
    """
    if max(rates) / 60 > THROTTLED:
        yield (
            f"{brief(max(rates) / 60)} files come a minute in the busiest hour. If each of them is a task: tasks of "
            f"one batch class are throttled above an average of {THROTTLED:g} a minute unless this is set otherwise "
            "(Batch processing and batch servers, Batch throttling)."
        )
    if plan.batch.parallel > THREADS:
        servers = -(-plan.batch.parallel // THREADS)
        yield (
            f"{plan.batch.parallel} files at once take {servers} batch servers or more: one has 8 threads unless this "
            f"is set otherwise, and never more than {THREADS} (Batch capacity)."
        )
    if messages < FEW:
        yield f"The figures rest on few messages ({messages} in each replication): percentiles far out are rough."
    if chosen is not None:
        yield from _of_recurrence(plan, chosen)
    if chosen is not None and monitoring is None:
        yield (
            f"No monitoring recurrence is told: the objective is kept up to {LARGEST:g} times the arrivals, and no "
            "overload that would miss it was looked for. What stops the queue altogether is to be watched for "
            "otherwise."
        )
    if monitoring is not None and monitoring.minutes is None:
        yield f"No monitoring recurrence shows an overload in time. {monitoring.why}"
    if lease is not None and plan.export is not None:
        yield from _of_lease(plan.export, lease)


def _of_recurrence(plan: Plan, chosen: Candidate) -> Iterator[str]:
    minutes = chosen.processing_minutes
    if minutes < SHORTEST:
        yield (
            f"A recurrence of {minutes:g} minutes is not kept in practice: batch servers look for free threads once a "
            "minute, so that starting a run and marking its end take up to a minute each (Batch processing and batch "
            f"servers). Prefer {SHORTEST:g} minutes or more."
        )
    slack = min(limit - chosen.wait_minutes[name].high for name, limit in limits(plan.objective).items())
    if slack < LOOKS and plan.batch.startup_seconds < 60 * LOOKS:
        yield (
            f"The objective is met by {60 * slack:.0f} seconds only, and the plan grants a run "
            f"{plan.batch.startup_seconds:g} seconds to start. Batch servers look for free threads once a minute, so "
            "it may start up to a minute late (Batch processing and batch servers)."
        )
    if chosen.overruns > HEALS:
        told = "Every run outlasts" if chosen.overruns > 0.995 else f"{chosen.overruns:.0%} of the runs outlast"
        yield f"{told} the recurrence of {minutes:g} minutes, so that runs in fact start less often than that."
    if chosen.utilisation > HEALS:
        skipped = plan.batch.after_overrun == "next-tick"
        yield (
            f"Runs take {chosen.utilisation:.0%} of the time. Above half of it, one that outlasts its recurrence can "
            "make the next ones do so too, where a tick that falls into a run is skipped. The documentation does not "
            f"say whether it is; the plan says that it is{'' if skipped else ' not'}."
        )


def _of_lease(export: Export, lease: Lease) -> Iterator[str]:
    if lease.outlasting >= RARE:
        yield (
            f"Download and handling of a single file outlast the half hour with a chance of {share(lease.outlasting)}; "
            "then it is offered again (Recurring integrations, API for acknowledgment)."
        )
    if lease.redelivery_rate.value >= RARE:
        yield (
            f"{share(lease.redelivery_rate.value)} of all messages are offered again before they are "
            f"acknowledged; {brief(lease.redeliveries_a_day)} a day are in fact delivered again (Recurring "
            "integrations, API for acknowledgment)."
        )
    if export.prefetch > lease.safe_prefetch:
        yield (
            f"{export.prefetch} messages are dequeued at once; the chance that any of them comes back is "
            f"{share(lease.batch_outlasting)}. Safe would be {lease.safe_prefetch} (Recurring integrations, API for "
            "acknowledgment)."
        )
    if lease.utilisation >= 1:
        yield (
            f"Consumers fall behind: they would have to work {lease.utilisation:.0%} of the time. It takes "
            f"{lease.consumers_needed} of them. Files are kept for seven days (Recurring integrations, API for getting "
            "message status)."
        )
    elif lease.consumers_needed > export.consumers:
        yield (
            f"In the busiest hour more is produced than {export.consumers} consumers can fetch. It takes "
            f"{lease.consumers_needed} of them."
        )
    if lease.safe_prefetch == MOST:
        yield f"Safe prefetch was not looked for beyond {MOST:,} messages."
