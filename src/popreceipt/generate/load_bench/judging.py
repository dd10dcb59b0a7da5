"""How long it takes to judge what a long run of two workers left behind, and how much memory.

The journals are made up, in a load run's mix, and not by load: a million requests would take longer to make than to
judge. What is measured is what `popreceipt load --judge` does, joining the journals and judging the whole, in a process
of its own.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import msgspec

from popreceipt.clock import EPOCH, stopwatch
from popreceipt.exceptions import NothingProved
from popreceipt.generate.bench import load_journal, peak_megabytes
from popreceipt.journal import instant_text
from popreceipt.load import run as runs
from popreceipt.load.figures import Figures
from popreceipt.load.judging import judge_run
from popreceipt.load.plan import LoadPlan
from popreceipt.load.run import Run
from popreceipt.verdict import Outcome

WORKERS: Final = 2

_CYCLE: Final = 5
"""Lines of the made-up journal that belong together."""

_NUMBER: Final = re.compile(rb'\{"seq":\d+')


def measured(requests: int, folder: Path) -> dict[str, Any]:
    """Seconds and the peak of memory; the folder must be empty.

    Raises:
        NothingProved: it could not be judged.
    """
    _made(requests, folder)
    size = sum(path.stat().st_size for path in folder.iterdir())
    told = subprocess.run([sys.executable, "-m", __name__, str(folder)], capture_output=True, text=True)
    if told.returncode:
        raise NothingProved(f"The run could not be judged: {told.stderr.strip()[-500:]}")
    return {"requests": requests, "megabytes": size / 1e6, **json.loads(told.stdout)}


def _made(requests: int, folder: Path) -> None:
    lines = load_journal(requests)
    header = next(lines)
    counts = [0] * WORKERS
    files = [(folder / f"journal-{worker}.ndjson").open("wb") for worker in range(WORKERS)]
    try:
        for file in files:
            file.write(header + b"\n")
        for number, line in enumerate(lines):
            if number < requests:
                worker = number // _CYCLE % WORKERS
                counts[worker] += 1
                files[worker].write(_NUMBER.sub(b'{"seq":%d' % counts[worker], line, count=1) + b"\n")
        for file, count in zip(files, counts, strict=True):
            file.write(json.dumps({"footer": True, "lines": count + 2}).encode() + b"\n")
    finally:
        for file in files:
            file.close()
    for worker in range(WORKERS):
        figures = Figures(worker=str(worker), journal=f"journal-{worker}.ndjson", cpu_seconds=1.0, wall_seconds=1.0)
        (folder / f"figures-{worker}.json").write_bytes(msgspec.json.encode(figures))
    runs.write(Run(plan=LoadPlan(), target="bench", began=instant_text(EPOCH), workers=WORKERS), folder)


def _judge(folder: Path) -> dict[str, Any]:
    began, worked = stopwatch(), sum(os.times()[:2])
    result = judge_run(folder)
    return {
        "seconds": stopwatch() - began,
        "cpu_seconds": sum(os.times()[:2]) - worked,
        "peak_megabytes": peak_megabytes(),
        "violated": [each.id for each in result.verdicts.with_outcome(Outcome.VIOLATED)],
        "exercised": sum(each.outcome is not Outcome.UNEXERCISED for each in result.verdicts.rules),
    }


if __name__ == "__main__":
    print(json.dumps(_judge(Path(sys.argv[1]))))
