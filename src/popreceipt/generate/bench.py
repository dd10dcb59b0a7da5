"""Measurements of the harness itself, on the machine that runs them: the suites, judging, a virtual week.

Nothing here judges a figure. Each measurement runs in a process of its own, so that its time and its peak of memory
are its own; ratios within one run are what may be compared.

    python -m popreceipt.generate.bench [--json FILE] [--only NAME]
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from os import cpu_count
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from popreceipt.clock import EPOCH, stopwatch
from popreceipt.journal import Header, Journal, Target, instant_text

Measured = dict[str, Any]


def conformance_in_process() -> Measured:
    """All conformance scenarios on the emulator in this process, judged."""
    from popreceipt.targets import open_target
    from popreceipt.verification import verify

    began = stopwatch()
    with open_target("emulator:") as target:
        verdicts = verify(target)
        exchanges = sum(1 for _ in target.journal.exchanges())
    return {"seconds": stopwatch() - began, "exchanges": exchanges, **verdicts.summary()}


def conformance_over_http() -> Measured:
    """The same on an emulator in a process of its own, over loopback."""
    from popreceipt.targets import open_target
    from popreceipt.verification import verify

    serve = [sys.executable, "-m", "popreceipt", "serve", "--port", "0", "--clock", "manual"]
    server = subprocess.Popen(serve, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        ready = json.loads(server.stdout.readline())
        began = stopwatch()
        with open_target(ready["base_url"]) as target:
            verdicts = verify(target)
            exchanges = sum(1 for _ in target.journal.exchanges())
        return {"seconds": stopwatch() - began, "exchanges": exchanges, **verdicts.summary()}
    finally:
        server.terminate()
        server.wait(timeout=30)


def judging(exchanges: int) -> Measured:
    """Reading and judging a journal of so many exchanges with all rules: a load run's mix of exports and imports."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.ndjson"
        with path.open("wb") as file:
            for line in load_journal(exchanges):
                file.write(line + b"\n")
        size = path.stat().st_size
        # The journal was made in this process: its memory must not count, so judging runs in a fresh one.
        code = (
            "import sys, json\n"
            "from pathlib import Path\n"
            "from popreceipt.generate.bench import judge_file\n"
            "print(json.dumps(judge_file(Path(sys.argv[1]))))\n"
        )
        run = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    measured: Measured = json.loads(run.stdout)
    return {"exchanges": exchanges, "megabytes": size / 1e6, **measured}


def judge_file(path: Path) -> Measured:
    """Read and judge a journal in this process: seconds, and the peak of memory."""
    from popreceipt.journal import JournalFile
    from popreceipt.rules import catalogue
    from popreceipt.rules.readings import Readings
    from popreceipt.verdict import Outcome, judge

    began = stopwatch()
    journal = JournalFile(path)
    readings = Readings(journal.header, journal)
    read = stopwatch()
    verdicts = judge(readings, catalogue())
    return {
        "seconds": stopwatch() - began,
        "reading_seconds": read - began,
        "peak_megabytes": peak_megabytes(),
        "violated": [each.id for each in verdicts if each.outcome is Outcome.VIOLATED],
        "exercised": sum(1 for each in verdicts if each.outcome is not Outcome.UNEXERCISED),
    }


def peak_megabytes() -> float | None:
    """The most memory this process ever held; None where the system does not tell."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def load_journal(exchanges: int) -> Iterator[bytes]:
    """A journal as a load run writes it: a packet of export cycles and imports every second, on twenty activities."""
    journal = Journal(Header(target=Target(name="bench", clock="system"), clock="system"))
    yield next(journal.lines())
    now = EPOCH
    step = timedelta(milliseconds=40)
    bearer = ("authorization", "Bearer redacted:1a2b3c4d")
    count = 0
    cycle = 0
    while count < exchanges:
        cycle += 1
        activity = f"00000000-0000-4000-8000-{cycle % 20:012d}"
        correlation = f"{cycle:08x}-1111-4111-8111-111111111111"
        message = f"{cycle:08x}-2222-4222-8222-222222222222"
        query = f"correlation-id={correlation}&blob={cycle:08x}-3333-4333-8333-333333333333"
        said = json.dumps(
            {
                "CorrelationId": correlation,
                "PopReceipt": f"AgAAAAMAAAAAAAAA{cycle:012x}",
                "DownloadLocation": f"http://h/api/connector/download/{activity}?{query}",
                "IsDownLoadFileExist": True,
                "FileDownLoadErrorMessage": None,
                "LastDequeueDateTime": None,
            }
        ).encode()
        root = "http://h/api/connector"
        payload = f"payload {cycle} ".encode() * 20
        story: tuple[tuple[str, str, bytes, bytes], ...] = (
            ("GET", f"{root}/dequeue/{activity}", b"", said),
            ("GET", f"{root}/download/{activity}?{query}", b"", payload),
            ("POST", f"{root}/ack/{activity}", said, b""),
            ("POST", f"{root}/enqueue/{activity}?entity=Customer%20groups", payload, f'"{message}"'.encode()),
            (
                "POST",
                "http://h/data/DataManagementDefinitionGroups/Microsoft.Dynamics.DataEntities.GetMessageStatus",
                json.dumps({"messageId": message}).encode(),
                b'{"@odata.context":"http://h/data/$metadata#Edm.String","value":"Enqueued"}',
            ),
        )
        for method, url, sent, received in story:
            if count == exchanges:
                break
            count += 1
            journal.record(
                sent=now,
                answered=now + step,
                method=method,
                url=url,
                request_headers=(bearer,),
                request_body=sent,
                status=200,
                response_headers=(("content-type", "application/json; charset=utf-8"),),
                response_body=received,
                actor="authorised",
            )
            now += step
        lines = journal.lines()
        next(lines)
        yield from lines
        journal.entries.clear()
    yield json.dumps({"footer": True, "lines": count + 2}).encode()


def virtual_week() -> Measured:
    """Ten thousand messages in one activity over a virtual week: produced, dequeued, downloaded, acknowledged."""
    from popreceipt.stage import Stage
    from popreceipt.targets import open_target

    began = stopwatch()
    with open_target("emulator:") as target:
        queue = Stage(target, "bench").export()
        messages = 10_000
        for _ in range(messages):
            queue.produce(1)
            queue.stage.advance(seconds=7 * 86_400 / messages)
            found = queue.dequeue()
            if found is not None and found.has_file:
                queue.download(found)
                queue.ack(found)
        exchanges = sum(1 for _ in target.journal.exchanges())
    return {
        "seconds": stopwatch() - began,
        "messages": messages,
        "exchanges": exchanges,
        "ends": instant_text(target.times.latest()),
    }


def backlog_week() -> Measured:
    """Ten thousand messages that wait together in one activity, then are taken one by one within the week."""
    from popreceipt.stage import Stage
    from popreceipt.targets import open_target

    began = stopwatch()
    with open_target("emulator:") as target:
        queue = Stage(target, "bench").export()
        messages = 10_000
        for _ in range(messages):
            queue.produce(1)
        for _ in range(messages):
            queue.stage.advance(seconds=6 * 86_400 / messages)
            found = queue.dequeue()
            if found is not None:
                queue.ack(found)
    return {"seconds": stopwatch() - began, "messages": messages}


MEASUREMENTS: dict[str, Callable[[], Measured]] = {
    "conformance-in-process": conformance_in_process,
    "conformance-over-http": conformance_over_http,
    "judging-10^4": lambda: judging(10_000),
    "judging-10^5": lambda: judging(100_000),
    "judging-10^6": lambda: judging(1_000_000),
    "virtual-week": virtual_week,
    "virtual-week-backlog": backlog_week,
}


def main(arguments: Sequence[str]) -> int:
    """Measure, print, and write what was asked for."""
    parser = argparse.ArgumentParser(prog="bench")
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--only", choices=MEASUREMENTS, help="one measurement; its figures are printed as JSON")
    chosen = parser.parse_args(arguments)
    if chosen.only is not None:
        print(json.dumps(MEASUREMENTS[chosen.only]()))
        return 0
    figures: dict[str, Measured] = {}
    console = Console(stderr=True)
    for name in MEASUREMENTS:
        with console.status(f"measuring {name}"):
            run = subprocess.run(
                [sys.executable, "-m", "popreceipt.generate.bench", "--only", name],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
        figures[name] = json.loads(run.stdout)
    machine = {"python": platform.python_version(), "system": platform.platform(), "cores": cpu_count()}
    table = Table("measurement", "seconds", "else", title=f"{machine}", title_justify="left")
    for name, each in figures.items():
        rest = ", ".join(
            f"{key} {round(value, 1) if isinstance(value, float) else value}"
            for key, value in each.items()
            if key != "seconds"
        )
        table.add_row(name, f"{each['seconds']:.1f}", rest)
    Console().print(table)
    if chosen.json is not None:
        chosen.json.write_text(json.dumps({"machine": machine, "figures": figures}, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
