"""Our own load as `popreceipt load` makes it: its locustfile, its pacing, its journal, against the freezing server.

Only what surrounds a run is left out: no target is set up and nothing is judged, for the server keeps no messages. The
errand that the locustfile is handed is written here instead.
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from popreceipt.clock import EPOCH, stopwatch
from popreceipt.generate.load_bench.freezing import TENANT, TOKEN_PATH
from popreceipt.generate.load_bench.stub import ACTIVITY, Stub, pinned
from popreceipt.generate.load_bench.truth import Waits
from popreceipt.journal import instant_text
from popreceipt.load import figures, pacing
from popreceipt.load.plan import Errand, LoadPlan, Site
from popreceipt.load.siting import this_machine
from popreceipt.resources import locustfiles

NAME: Final = "popreceipt, scenario imports"

_LAG: Final = 10.0
"""What the plan allows the generator to lag behind, in seconds: this is measured here, and not a reason to stop."""


def plan(rate: float, seconds: float, records: int = 3) -> LoadPlan:
    """So many enqueues a second for so many seconds, on the computer's own clock."""
    return LoadPlan(
        scenario="imports",
        shape="steady",
        per_hour=rate * 3600,
        minutes=seconds / 60,
        monitoring_minutes=None,
        records=records,
        lag_seconds=_LAG,
        seed=1,
    )


def intended(of: LoadPlan) -> Sequence[float]:
    """When its arrivals are due, in seconds from its start."""
    return [each.at for each in pacing.arrivals(of, pacing.ENQUEUED, rate=1.0)]


def started(of: LoadPlan, stub: Stub, core: int, folder: Path) -> "subprocess.Popen[bytes]":
    """The load, begun in a process of its own on this core; it ends with the plan."""
    folder.mkdir(parents=True)
    site = Site(
        base_url=stub.base_url,
        identity={
            "token_url": f"{stub.base_url}{TOKEN_PATH}",
            "token_url_v1": None,
            "resource": stub.base_url,
            "tenant": TENANT,
            "clients": {"authorised": {"client_id": "bench", "client_secret": "bench"}},
        },
        imports=(ACTIVITY,),
        exports=(),
        clock="system",
        rate=1.0,
        target_at_start=instant_text(EPOCH),
        real_at_start=stopwatch(),
        clock_error_seconds=0.0,
        machine=this_machine(),
        name="freezing",
        control=False,
    )
    errand = folder / "errand.json"
    errand.touch(mode=0o600)
    errand.write_bytes(msgspec.json.encode(Errand(of, site, str(folder))))
    with (folder / "output.txt").open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "locust", "-f", str(locustfiles() / "imports.py"), "--headless", "--only-summary"],
            cwd=folder,
            env=os.environ | {"POPRECEIPT_ERRAND": str(errand)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            preexec_fn=pinned(core),
        )


def told(folder: Path) -> figures.Figures:
    """What it counted."""
    return figures.added(
        msgspec.json.decode(path.read_bytes(), type=figures.Figures) for path in sorted(folder.glob("figures-*.json"))
    )


def reported(of: figures.Figures) -> Waits:
    """What it reports of the enqueues' response times."""
    known = figures.percentiles(of.operations["enqueue"].response)
    return Waits(known["p50"], known["p95"], known["p99"], known["max"])


def as_json(of: figures.Figures) -> Mapping[str, Any]:
    """What is kept of the figures beside the response times."""
    return {
        "arrivals": of.arrivals,
        "requests": of.operations["enqueue"].requests,
        "failures": of.operations["enqueue"].failures,
        "worst_lag_seconds": of.worst_lag_seconds,
        "errors": of.errors,
    }
