"""One rehearsal: a stranger is described, planned for, toured, and what came of it looked at from outside.

Every command is run as a person would run it, in a process of its own. It knows what the stranger really is, which the
commands do not.
"""

import json
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

OUT: Final = "out"

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
        seconds: how long the tour took in real time.
        status: its exit status.
    """

    manner: Manner
    result: ResultFile
    plan: dict[str, Any]
    problems: tuple[str, ...]
    seconds: float
    status: int


def rehearse(
    folder: Path, manner: Manner, *, patience: str | None = None, arguments: Sequence[str] = (), status: int = 0
) -> Rehearsed:
    """Rehearse on a stranger of this manner.

    Args:
        folder: gets everything.
        manner: how it behaves.
        patience: how long the tour may wait in real time; None for two leases of the stranger's.
        arguments: further ones of the tour's command.
        status: what the tour should end with.

    Raises:
        NothingProved: a command did not come to its end, or left nothing that could be looked at.
    """
    profile = folder / "profile.toml"
    quick = patience is None
    patience = patience or f"{checks.TWO_LEASES.total_seconds() / manner.rate:.1f}s"
    with stranger(folder, manner) as host:
        plan = planned(host, patience, arguments)
        before = len(_exchanges(host.journal))
        began = stopwatch()
        run = host.run(
            *("verify", "--target", host.target, "--out", OUT, "--patience", patience, *arguments), seconds=LONGEST
        )
        seconds = stopwatch() - began
        (folder / "verify.txt").write_text(run.stdout + run.stderr, encoding="utf-8")
    if not (folder / OUT / "verdicts.json").is_file():
        raise NothingProved(f"The tour left no verdicts (status {run.returncode}): {run.stderr[-2000:]}")
    found = result.read(folder / OUT)
    problems = [f"planning sent {before} requests"] if before else []
    problems += [f"the tour ended with {run.returncode}, not {status}"] if run.returncode != status else []
    truth = load_profile(str(profile))
    if manner.mutant is None:
        problems += checks.false_convictions(found.rules)
        problems += checks.left_open(plan, found.rules, truth, but=checks.LONGER if quick else ())
        problems += checks.untrue(found.rules, found.target["abilities"], truth)
    problems += beside_the_plan(host, plan)
    problems += canaries.leaks(folder, host.secrets)
    return Rehearsed(manner, found, plan, tuple(problems), seconds, run.returncode)


def planned(host: Stranger, patience: str, arguments: Sequence[str] = ()) -> dict[str, Any]:
    """What `--plan --json` tells, of a process that has no secret.

    Raises:
        NothingProved: it tells none.
    """
    bare = Stranger(host.folder, host.base_url, (), host.activities, {"POPRECEIPT_CONFIG": str(host.description)})
    run = bare.run(
        *("verify", "--target", host.target, "--plan", "--json", "--patience", patience, *arguments), seconds=LONGEST
    )
    try:
        found: dict[str, Any] = json.loads(run.stdout)
    except ValueError as error:
        raise NothingProved(f"There is no plan (status {run.returncode}): {run.stderr[-2000:]}") from error
    return found


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
