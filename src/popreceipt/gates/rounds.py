"""Rounds of a paired measurement: from its file, or put together from the results of load runs taken in turns.

A run that may not be believed does not count, nor does a figure of few requests; a run that is there twice, or two that
did not do the same, are refused.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from popreceipt.exceptions import NothingProved, UsageError
from popreceipt.gates import evidence
from popreceipt.gates.paired import Paired, Round

FILE: Final = "paired.json"

FIGURES: Final[Mapping[str, int]] = {"p50": 20, "p95": 100}
"""The figures of a request's response time that are compared, and how many requests each needs in every run."""

FAILED: Final = 0.01
"""The share of requests that may end without a success, where more did not before either."""

_BESIDE: Final = ("seed", "thresholds")
"""What the plans of two rounds may differ in."""


def read(file: Path, raw: Mapping[str, Any]) -> Paired:
    """A paired measurement from its file.

    Args:
        file: where it stands.
        raw: the JSON in it.

    Raises:
        NothingProved: it is damaged.
    """
    try:
        rounds = tuple(
            Round(
                before=_figures(each["before"]),
                after=_figures(each["after"]),
                doubt=None if each.get("doubt") is None else str(each["doubt"]),
            )
            for each in raw["rounds"]
        )
        return Paired(
            before=str(raw["before"]),
            after=str(raw["after"]),
            what=str(raw["what"]),
            rounds=rounds,
            convicted=tuple(str(each) for each in raw.get("convicted", ())),
            complete=raw.get("complete") is True and list(raw)[-1] == "complete",
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NothingProved(f"The measurement {file} is damaged: {type(error).__name__}: {error}.") from error


def _figures(told: Mapping[str, Any]) -> dict[str, float]:
    figures = {str(name): float(value) for name, value in told.items()}
    for name, value in figures.items():
        if not math.isfinite(value):
            raise ValueError(f"{name} is {value}")
    return figures


def write(paired: Paired, path: Path) -> None:
    """Write a paired measurement in two steps, so that a file that was cut off never says that it is complete.

    Raises:
        UsageError: it cannot be written.
    """
    content = paired.as_json()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content | {"complete": False}, indent=1), encoding="utf-8")
        if content["complete"]:
            path.write_text(json.dumps(content, indent=1), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"Cannot write {path}: {error.strerror or error}. Give another folder.") from error


def results_in(paths: Sequence[Path]) -> list[Path]:
    """The load results that paths name: files, and folders with such files anywhere in them, in the order of names.

    Raises:
        UsageError: a path names none.
    """
    found: list[Path] = []
    for path in paths:
        here = sorted(path.rglob("load.json")) if path.is_dir() else [path] if path.is_file() else []
        if not here:
            raise UsageError(f"There is no load result {path}.")
        found += here
    return found


def of_load(before: Sequence[Path], after: Sequence[Path], *, complete: bool = True) -> Paired:
    """A paired measurement from load results: the first of the one with the first of the other, and so on.

    Args:
        before: results of what is compared with.
        after: as many of what is to be let pass, taken in turns with them.
        complete: whether all were taken that should be.

    Raises:
        UsageError: they are not as many, one is there twice, or two did not do the same.
        NothingProved: one is damaged.
    """
    if len(before) != len(after) or not before:
        raise UsageError(f"Each round needs a run of both: there are {len(before)} before and {len(after)} after.")
    try:
        return _of_runs(before, after, complete=complete)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NothingProved(f"A load result is damaged: {type(error).__name__}: {error}.") from error


def _of_runs(before: Sequence[Path], after: Sequence[Path], *, complete: bool) -> Paired:
    runs = [(_run(one), _run(other)) for one, other in zip(before, after, strict=True)]
    _no_run_twice(
        [*zip(before, (one for one, _ in runs), strict=True), *zip(after, (one for _, one in runs), strict=True)]
    )
    plan = _plan(runs[0][0])
    for number, pair in enumerate(runs, 1):
        for run, path in zip(pair, (before[number - 1], after[number - 1]), strict=True):
            if _plan(run) != plan:
                raise UsageError(f"{path} had another plan than {before[0]}: only runs that did the same are compared.")
        if pair[0]["plan"].get("seed") != pair[1]["plan"].get("seed"):
            raise UsageError(f"The two runs of round {number} had different seeds, and so did not do the same.")
    return Paired(
        before=_one_name([each for each, _ in runs], before),
        after=_one_name([each for _, each in runs], after),
        what=_in_words(plan),
        rounds=tuple(
            Round(_of_run(one), _of_run(other), "; ".join((*_doubts(one, "before"), *_doubts(other, "after"))) or None)
            for one, other in runs
        ),
        convicted=tuple(_convicted([each for each, _ in runs], [each for _, each in runs])),
        complete=complete,
    )


def _in_words(plan: Mapping[str, Any]) -> str:
    rate, minutes = (float(plan[name]) for name in ("per_hour", "minutes"))
    return f"load {plan.get('scenario')}, {rate:g} messages an hour for {minutes:g} minutes"


def _run(path: Path) -> dict[str, Any]:
    raw = evidence.load(path)
    if raw["format"] != evidence.LOAD:
        raise UsageError(f"{path} has the format {raw['format']!r}: rounds are results of `popreceipt load`.")
    if evidence.read(path).damage:
        raise NothingProved(f"The result {path} contradicts itself, and proves nothing.")
    return raw


def _no_run_twice(runs: Sequence[tuple[Path, Mapping[str, Any]]]) -> None:
    """A copy adds nothing: what was measured once is evidence once."""
    known: dict[str, Path] = {}
    for path, raw in runs:
        digest = hashlib.sha256(json.dumps(_measured(raw), sort_keys=True).encode()).hexdigest()
        if digest in known:
            raise UsageError(f"{path} and {known[digest]} are one and the same run.")
        known[digest] = path


def _measured(raw: Mapping[str, Any]) -> object:
    return {name: raw.get(name) for name in ("operations", "generator", "target")}


def _plan(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in raw["plan"].items() if name not in _BESIDE} | {
        "clock": raw["target"].get("clock"),
        "rate": raw["target"].get("rate"),
    }


def _one_name(runs: Sequence[Mapping[str, Any]], paths: Sequence[Path]) -> str:
    names = {str(each["target"].get("name")) for each in runs}
    if len(names) > 1:
        raise UsageError(
            f"{paths[0]} and the other runs of its side were not of one target: {', '.join(sorted(names))}."
        )
    return names.pop()


def _of_run(raw: Mapping[str, Any]) -> dict[str, float]:
    return {
        f"{operation} {name} ms": float(each["response_ms"][name])
        for operation, each in raw["operations"].items()
        for name, least in FIGURES.items()
        if each["requests"] >= least
    }


def _doubts(raw: Mapping[str, Any], side: str) -> Iterator[str]:
    """Why a run may not be believed."""
    if raw.get("faults"):
        yield f"{side}: the harness itself failed"
    elif raw.get("standing") != "VALID":
        yield f"{side}: {raw.get('standing')}"
    elif raw.get("complete") is not True:
        yield f"{side}: not complete"


def _convicted(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What is wrong with the second one and was not with the first, however fast it is."""
    known = {each["id"] for run in before for each in _violated(run)}
    found = {each["id"]: each for run in after for each in _violated(run) if each["id"] not in known}
    for name, each in found.items():
        yield f"{name} is violated: {next((one['message'] for one in each['findings']), '')}"
    # Who refuses does so fast.
    allowed = max(_failed(before), FAILED)
    if (share := _failed(after)) > allowed:
        yield f"{share:.1%} of its requests ended without a success; {allowed:.1%} is the most"


def _violated(raw: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [each for each in raw["verdicts"]["rules"] if each["outcome"] == "violated" and each["level"] == "MUST"]


def _failed(runs: Sequence[Mapping[str, Any]]) -> float:
    operations = [each for run in runs for each in run["operations"].values()]
    requests = sum(int(each["requests"]) for each in operations)
    return sum(sum(each["failures"].values()) for each in operations) / max(1, requests)
