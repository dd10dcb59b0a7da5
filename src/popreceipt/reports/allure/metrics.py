"""The result of a load run as Allure reads it: figures that it draws from run to run, and cases of what was judged.

It knows the format `popreceipt/load@1` and nothing of how load is put on a target. A figure of a run that may not be
believed is no figure: of such a run only the cases are written.
"""

import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from popreceipt.clock import SystemClock
from popreceipt.exceptions import UsageError
from popreceipt.reports.allure import surroundings
from popreceipt.reports.allure.cases import Case, Parameter, Status
from popreceipt.reports.allure.folder import Folder, clear
from popreceipt.reports.allure.verdicts import cases as cases_of
from popreceipt.reports.plain import one_line
from popreceipt.reports.result import of_json
from popreceipt.verdict import Outcome

FORMAT: Final = "popreceipt/load@1"

LOAD: Final = "Load"

PERCENTILES: Final = {"p50": 2, "p95": 20, "p99": 100}
"""Percentiles, and how many requests there have to be for one of them to lie above it."""


def read(path: Path) -> dict[str, Any]:
    """The result of a load run from its file, or from `load.json` in a folder.

    Raises:
        UsageError: there is none, or it is of another format.
    """
    file = path / "load.json" if path.is_dir() else path
    try:
        raw = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise UsageError(f"Cannot read the result {file}: {error}.") from error
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise UsageError(f"{file} is no result of a load run: its format is not {FORMAT!r}.")
    return raw


def write_load(
    raw: Mapping[str, Any],
    path: Path,
    *,
    ended: datetime | None = None,
    strict: bool = False,
    variables: Mapping[str, str] | None = None,
) -> int:
    """Write the result of a load run into a folder; how many cases that made.

    Args:
        raw: its JSON.
        path: the folder; what other commands wrote there stays.
        ended: when the run ended; now unless given.
        strict: a violated SHOULD and an undecided rule count as findings.
        variables: those of a pipeline; this process's own unless given.

    Raises:
        UsageError: the folder cannot be written, or the result is damaged.
    """
    at = ended if ended is not None else SystemClock().now()
    try:
        name = _name(raw)
        found = [*_cases(raw, strict=strict)]
        figures = [*_figures(raw, at)]
        environment = _environment(raw)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"The result of the load run is damaged: {type(error).__name__}: {error}.") from error
    clear(path, name)
    folder = Folder(path, name, at)
    for each in found:
        folder.add(each)
    if figures:
        folder.metrics(name, figures)
    folder.finish(environment, os.environ if variables is None else variables)
    return folder.written


def _cases(raw: Mapping[str, Any], *, strict: bool) -> Iterator[Case]:
    scenario = f"{raw['plan']['scenario']}, {raw['plan']['shape']}"
    standing = str(raw["standing"])
    reasons = "\n".join(map(str, raw.get("reasons", ())))
    seconds = float(raw["generator"]["wall_seconds"])
    faults = [str(each) for each in raw.get("faults", ())]
    believed = standing == "VALID" and raw.get("finished") is True and not faults
    yield Case(
        identity="standing",
        name=f"{scenario}: the run may be believed",
        status=Status.BROKEN if faults else Status.PASSED if believed else Status.UNKNOWN,
        message="\n".join(faults) or ("" if believed else f"undecided: {standing}: {reasons}"),
        epic=LOAD,
        feature=scenario,
        parameters=(
            Parameter("standing", standing),
            Parameter("messages an hour", f"{raw['plan']['per_hour']:g}"),
            Parameter("minutes of the target's time", f"{raw['plan']['minutes']:g}"),
        ),
        seconds=seconds,
    )
    for gate in raw["gates"]:
        yield _of_gate(gate, scenario, believed=believed)
    verdicts = of_json(raw["verdicts"], Path("load.json"))
    # Load shows few rules, and what it does not show is no news.
    exercised = tuple(each for each in verdicts.rules if each.outcome is not Outcome.UNEXERCISED)
    yield from (_under_load(each) for each in cases_of(replace(verdicts, rules=exercised), {}, {}, strict=strict))


def _of_gate(gate: Mapping[str, Any], scenario: str, *, believed: bool) -> Case:
    what, allowed, found, kept = str(gate["what"]), gate["allowed"], gate["found"], gate["kept"]
    told = "nothing could be found" if found is None else f"found {found:g}, allowed {allowed:g}"
    if kept is None or (not believed and kept is False):
        status, message = Status.UNKNOWN, f"undecided: {told}" + ("" if believed else "; the run may not be believed")
    elif kept:
        status, message = Status.PASSED, ""
    else:
        status, message = Status.FAILED, f"threshold not kept: {told}"
    return Case(
        identity=f"thresholds#{what}",
        name=what,
        status=status,
        message=message,
        epic=LOAD,
        feature=scenario,
        story="thresholds",
        severity="critical",
        parameters=(
            Parameter("allowed", f"{allowed:g}"),
            Parameter("found", "nothing" if found is None else f"{found:g}"),
        ),
    )


def _under_load(case: Case) -> Case:
    """A rule's case among those of the run."""
    return replace(case, epic=LOAD, feature=f"rules: {case.feature}")


def _figures(raw: Mapping[str, Any], at: datetime) -> Iterator[dict[str, Any]]:
    """Latencies in real milliseconds, the share of failures, and requests a real second; keys stay from run to run."""
    if raw["standing"] != "VALID" or raw.get("complete") is not True:
        return
    seconds = float(raw["generator"]["wall_seconds"])
    stop = round(at.timestamp() * 1000)
    start = round((at - timedelta(seconds=seconds)).timestamp() * 1000)
    name = _name(raw)

    def figure(key: str, value: float) -> Iterator[dict[str, Any]]:
        if math.isfinite(value):
            key = f"{name}.{key}"
            yield {"id": key, "key": key, "value": round(value, 4), "start": start, "stop": stop}

    requests = 0
    for word, operation in raw["operations"].items():
        requests += operation["requests"]
        if not operation["requests"]:
            continue
        for percentile, least in PERCENTILES.items():
            value = operation["response_ms"].get(percentile)
            if value is not None and operation["requests"] >= least:
                yield from figure(f"{_key(word)}.{percentile}_ms", float(value))
        failed = sum(operation["failures"].values())
        yield from figure(f"{_key(word)}.failed_share", failed / operation["requests"])
    if seconds > 0:
        yield from figure("requests_per_second", requests / seconds)


def _name(raw: Mapping[str, Any]) -> str:
    """What a load run is called from one time to the next; another scenario or shape is another one."""
    return f"load-{_key(str(raw['plan']['scenario']))}-{_key(str(raw['plan']['shape']))}"


def _key(text: str) -> str:
    return re.sub(r"[^\w-]+", "-", one_line(text, 60))


_TITLES: Final = (
    (re.compile(r"(p\d+)_ms$"), "{} of the response time", "ms", "lower"),
    (re.compile(r"(failed)_share$"), "share that failed", "", "lower"),
    (re.compile(r"(requests)_per_second$"), "requests a real second", "1/s", "higher"),
)


def configuration(keys: list[str]) -> dict[str, dict[str, str]]:
    """How a report shows figures: title, unit, and which way is better; of keys that are not ours nothing is said."""
    told = {}
    for key in keys:
        for pattern, title, unit, better in _TITLES:
            if (found := pattern.search(key)) is not None:
                # The first part of a key is the run, under which a page puts it.
                of = " ".join(key[: found.start()].rstrip(".").split(".")[1:])
                words = title.format(found[1])
                told[key] = {"title": f"{of}: {words}" if of else words, "unit": unit, "better": better}
    return told


def _environment(raw: Mapping[str, Any]) -> dict[str, str]:
    target, plan = raw["target"], raw["plan"]
    return {
        "target": str(target.get("name") or ""),
        "build": str(target.get("build") or ""),
        "clock": str(target.get("clock") or ""),
        "scenario": f"{plan['scenario']}, {plan['shape']}",
        "messages an hour": f"{plan['per_hour']:g}",
        "minutes": f"{plan['minutes']:g}",
        "seed": str(plan["seed"]),
        "standing": str(raw["standing"]),
        **surroundings.facts(),
    }
