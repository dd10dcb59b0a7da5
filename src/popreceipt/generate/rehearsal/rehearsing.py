"""One rehearsal: a stranger is described, planned for, toured, and what came of it looked at from outside.

Every command is run as a person would run it, in a process of its own. It knows what the stranger really is, which the
commands do not.
"""

import json
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from popreceipt.clock import stopwatch
from popreceipt.emulator.profile import load_profile
from popreceipt.exceptions import NothingProved
from popreceipt.generate.rehearsal import bounds, canaries, checks
from popreceipt.generate.rehearsal.stranger import Manner, Stranger, stranger
from popreceipt.journal import Exchange
from popreceipt.recordings import open_recording
from popreceipt.reports import result
from popreceipt.reports.result import ResultFile
from popreceipt.rules import catalogue

OUT: Final = "out"

LEDGER: Final = "ledger.ndjson"

LOOK: Final = 0.01
"""Real seconds between two looks at a ledger."""

LONGEST: Final = 300.0
"""Real seconds that a command may take before the rehearsal is given up."""

DATE: Final = "GET /"
"""What a tour asks before its journal is begun: the time of day. The plan speaks of it."""


@dataclass(frozen=True)
class Rehearsed:
    """What came of a rehearsal.

    Args:
        manner: how the stranger behaved.
        result: the verdicts.
        plan: what `--plan --json` told.
        problems: what should not be, in words; none where all is well.
        open: rules that were to be decided and were not, in words; a clock that runs fast leaves little room for some.
        seconds: how long the tour took in real time.
        status: its exit status.
        secrets: what must be found nowhere.
        killed: how many processes were killed on the way.
    """

    manner: Manner
    result: ResultFile
    plan: dict[str, Any]
    problems: tuple[str, ...]
    open: tuple[str, ...]
    seconds: float
    status: int
    secrets: tuple[str, ...]
    killed: int


def rehearse(
    folder: Path,
    manner: Manner,
    *,
    patience: str | None = None,
    arguments: Sequence[str] = (),
    kills: Sequence[int] = (),
    status: int = 0,
    longest: float = LONGEST,
) -> Rehearsed:
    """Rehearse on a stranger of this manner.

    Args:
        folder: gets everything.
        manner: how it behaves.
        patience: how long the tour may wait in real time; None for two leases of the stranger's.
        arguments: further ones of the tour's command.
        kills: after so many lines of the ledger the process is killed, and another one goes on.
        status: what the tour should end with.
        longest: real seconds that the tour may take.

    Raises:
        NothingProved: a command did not come to its end, or left nothing that could be looked at.
    """
    profile = folder / "profile.toml"
    quick = patience is None
    patience = patience or f"{checks.TWO_LEASES.total_seconds() / manner.rate:.1f}s"
    with stranger(folder, manner) as host:
        command = ("verify", "--target", host.target, "--out", OUT, "--patience", patience, *arguments)
        began = stopwatch()
        killed = sum(_killed(host, lines, *command, *_resuming(folder)) for lines in kills)
        run = host.run(*command, *_resuming(folder), seconds=longest)
        seconds = stopwatch() - began
        (folder / "verify.txt").write_text(run.stdout + run.stderr, encoding="utf-8")
        # Only now, since a stranger whose clock runs fast fills its queues while a process starts.
        before = len(_exchanges(host.journal))
        plan = planned(host, patience, arguments)
        by_planning = len(_exchanges(host.journal)) - before
    if not (folder / OUT / "verdicts.json").is_file():
        raise NothingProved(f"The tour left no verdicts (status {run.returncode}): {run.stderr[-2000:]}")
    found = result.read(folder / OUT)
    problems = [f"planning sent {by_planning} requests"] if by_planning else []
    problems += [f"the tour ended with {run.returncode}, not {status}"] if run.returncode != status else []
    left_open: list[str] = []
    truth = load_profile(str(profile))
    if manner.mutant is None:
        problems += checks.false_convictions(found.rules)
        asked = {each.id for each in found.rules}
        but = {*(checks.LONGER if quick else ()), *(each.id for each in catalogue() if each.id not in asked)}
        left_open += checks.left_open(plan, found.rules, truth, but=but)
        problems += checks.untrue(found.rules, found.target["abilities"], truth)
    problems += beside_the_plan(host, plan, interruptions=killed)
    problems += canaries.leaks(folder, host.secrets)
    return Rehearsed(
        manner, found, plan, tuple(problems), tuple(left_open), seconds, run.returncode, host.secrets, killed
    )


def _resuming(folder: Path) -> tuple[str, ...]:
    return ("--resume",) if (folder / OUT / LEDGER).is_file() else ()


def _killed(host: Stranger, lines: int, *command: str) -> bool:
    """Run a command until the tour's ledger has so many lines, then kill it; false where it ended before."""
    ledger = host.folder / OUT / LEDGER
    process = host.start(*command, output=host.folder / "killed.txt")
    while not ledger.is_file() or ledger.read_bytes().count(b"\n") < lines:
        try:
            process.wait(timeout=LOOK)
        except subprocess.TimeoutExpired:
            continue
        return False
    process.kill()
    process.wait()
    return True


def planned(host: Stranger, patience: str, arguments: Sequence[str] = ()) -> dict[str, Any]:
    """What `--plan --json` tells, of a process that has no secret.

    Raises:
        NothingProved: it tells none.
    """
    run = without_secrets(host.folder).run(
        *("verify", "--target", host.target, "--plan", "--json", "--patience", patience, *arguments), seconds=LONGEST
    )
    try:
        found: dict[str, Any] = json.loads(run.stdout)
    except ValueError as error:
        raise NothingProved(f"There is no plan (status {run.returncode}): {run.stderr[-2000:]}") from error
    (host.folder / "plan.json").write_text(run.stdout, encoding="utf-8")
    return found


def without_secrets(folder: Path) -> Stranger:
    """A stranger that is described in a folder, for commands that need no secret, whether it still runs or not."""
    return Stranger(folder, "", (), {}, {"POPRECEIPT_CONFIG": str(folder / "popreceipt.toml"), "NO_COLOR": "1"})


def beside_the_plan(host: Stranger, plan: dict[str, Any], *, interruptions: int = 0) -> Iterator[str]:
    """What was sent, or arrived, outside of the plan; after the server has ended."""
    client = _exchanges(host.folder / OUT / "journal.ndjson")
    server = _exchanges(host.journal)
    for who, exchanges in (("client", client), ("server", server)):
        yield from (
            f"outside of the plan, by the {who}: {each}"
            for each in bounds.outside(plan, exchanges, interruptions=interruptions)
        )
    for each in bounds.unrecorded(client, server):
        if not each.endswith(f" times {DATE}"):
            yield f"reached the server and is not in the journal: {each}"


def _exchanges(journal: Path) -> list[Exchange]:
    return [each for each in open_recording(journal) if isinstance(each, Exchange)] if journal.is_file() else []
