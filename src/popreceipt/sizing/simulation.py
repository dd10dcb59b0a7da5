"""A batch job with a recurrence, run by run: what waits at the start of a run is taken, what comes later waits.

A run that outlasts its recurrence makes the next one start at the following tick, or at once where the plan says so.
What arrives exactly on a tick waits for the next one. Ticks are the multiples of the recurrence from the start.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from popreceipt.sizing.work import Floats, Work


@dataclass(frozen=True, slots=True)
class Job:
    """A batch job with its recurrence, in seconds.

    Args:
        every: the processing recurrence.
        threads: files processed at once; 1 is in order.
        startup: from the start of a run to its first file.
        at_once: whether a run that was due while the last one went on starts when that ends, instead of at the
            following tick.
    """

    every: float
    threads: int = 1
    startup: float = 0.0
    at_once: bool = False


@dataclass(frozen=True, slots=True)
class Simulated:
    """What became of each message, in seconds from the start, and of each run that took any.

    The arrays `taken` (start of the run that took it), `started` and `completed` go with `work.arrived`.
    """

    work: Work
    job: Job
    taken: Floats
    started: Floats
    completed: Floats
    run_started: Floats
    run_ended: Floats

    @property
    def waits(self) -> Floats:
        """From the arrival to the end of the processing, in seconds."""
        return self.completed - self.work.arrived


def simulate(work: Work, job: Job, *, pauses: Sequence[tuple[float, float]] = ()) -> Simulated:
    """Let a job process the work to its end.

    Args:
        work: what arrives; runs go on after its horizon until all is done.
        job: how it is processed.
        pauses: spans (start and end in seconds) in which no run starts: an outage of the batch server.
    """
    raise NotImplementedError((work, job, pauses))
