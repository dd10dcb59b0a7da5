"""What whoever began a load run knows of it, kept beside the workers' journals so that it can be judged, also later.

No secret stands here. What the target answered stands in the journals, and what was counted in the workers' figures.
"""

from pathlib import Path
from typing import Final

import msgspec

from popreceipt.exceptions import UsageError
from popreceipt.load.plan import LoadPlan

FORMAT: Final = "popreceipt/load-run@1"

FILE: Final = "run.json"


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run, as whoever began it saw it.

    Args:
        plan: what it should do.
        target: as the user named it.
        build: what the target calls itself.
        clock: scaled or system.
        rate: the target's seconds in a real one.
        abilities: what the target is able to do.
        began: the target's time (ISO 8601) when it began.
        imports: activity IDs that took files.
        exports: activity IDs that were dequeued.
        ours: whether the target is this project's emulator on this machine, so that its own speed is a limit of the
            measurement and not its result.
        cores: of this machine, 0 where that is not known.
        target_cpu_seconds: what the target's processes used while load ran, None where they could not be seen.
        target_processes: how many they were.
        generator_ceiling: requests a second that somebody measured before, None if nobody did.
        target_ceiling: the same of the target.
        workers: how many figures there should be, None where nobody knows.
        finished: it came to its end by itself.
        interrupted: somebody stopped it.
        problems: in words, what else went wrong: a target that died, a question that was not answered.
        faults: in words, what went wrong in the harness itself.
    """

    format: str = FORMAT
    plan: LoadPlan
    target: str
    build: str = ""
    clock: str = "system"
    rate: float = 1.0
    abilities: tuple[str, ...] = ()
    began: str
    imports: tuple[str, ...] = ()
    exports: tuple[str, ...] = ()
    ours: bool = False
    cores: int = 0
    target_cpu_seconds: float | None = None
    target_processes: int = 1
    generator_ceiling: float | None = None
    target_ceiling: float | None = None
    workers: int | None = None
    finished: bool = True
    interrupted: bool = False
    problems: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()


def write(run: Run, folder: Path) -> None:
    """Write it into the run's folder, so that nobody ever reads half of it."""
    beside = folder / f".{FILE}"
    beside.write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=1))
    beside.replace(folder / FILE)


def read(folder: Path) -> Run:
    """The run of a folder.

    Raises:
        UsageError: there is none, or it is not one of ours.
    """
    path = folder / FILE
    try:
        run = msgspec.json.decode(path.read_bytes(), type=Run)
    except OSError as error:
        raise UsageError(
            f"{folder} holds no load run: {path} cannot be read ({error.strerror or error}). Name the folder that "
            "popreceipt load --out wrote."
        ) from error
    except msgspec.MsgspecError as error:
        raise UsageError(f"{path} is not what a load run leaves behind: {error}.") from error
    if run.format != FORMAT:
        raise UsageError(f"{path} has the format {run.format!r}; this version reads {FORMAT!r}.")
    return run
