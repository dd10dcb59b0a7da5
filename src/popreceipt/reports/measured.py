"""What was measured, a load run or a sizing, as a summary and in the words of a badge.

It knows the formats `popreceipt/load@1` and `popreceipt/sizing@1` and nothing of how they come about. It tells figures
and decides none: whether something became slower only rounds taken in turns can tell, and those the gate judges. So no
figure of speed is in a badge, and no two runs are held against each other.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from popreceipt.exceptions import UsageError
from popreceipt.reports.markdown import code, fitting, literal, of_rules
from popreceipt.reports.result import ResultFile, of_json, rows
from popreceipt.verdict import Level, Outcome

LOAD: Final = "popreceipt/load@1"
SIZING: Final = "popreceipt/sizing@1"

PAIRED: Final = "popreceipt/paired@1"
"""Two measured in turns: that is for the gate to judge and to tell."""

NAMES: Final = ("load.json", "sizing.json", "paired.json")
"""What such results are called in the folders in which they lie."""

ENOUGH: Final = ("requests, at least", "files handed in, exports produced or taken, at least")
"""Thresholds of a load run that tell one which proves something from one that hardly happened."""

_OF_PART: Final = 8_000
"""Characters that each table or list may take."""

_SENTENCE: Final = 400

_SLOWER: Final = (
    "Latencies are real milliseconds from the instant at which a request was intended, in this run on this machine. "
    "Whether something became slower they do not tell: `popreceipt load --against` measures both in turns."
)


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured: its file's format, the words of its badge with their colour, and a summary in Markdown."""

    format: str
    badge: tuple[str, str]
    summary: str


def read(path: Path) -> Measured | None:
    """Read a result of this kind: a file, or the one in a folder that holds no verdicts; None where it is another.

    Raises:
        UsageError: it is damaged, or a measurement of two in turns.
    """
    if not path.is_dir():
        file = path
    elif (path / "verdicts.json").is_file():
        return None
    else:
        file = next((path / each for each in NAMES if (path / each).is_file()), path)
    try:
        raw = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, RecursionError, ValueError):
        return None  # Whoever reads verdicts says what is wrong with it.
    if isinstance(raw, dict) and raw.get("format") == PAIRED:
        raise UsageError(f"{file} has two measured in turns, which the gate tells: popreceipt gate {path} --markdown -")
    if not isinstance(raw, dict) or raw.get("format") not in (LOAD, SIZING):
        return None
    try:
        return _of_load(raw, file) if raw["format"] == LOAD else _of_sizing(raw)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{file} is damaged: {type(error).__name__}: {error}.") from error


# A load run


def _of_load(raw: Mapping[str, Any], file: Path) -> Measured:
    result = of_json(raw["verdicts"], file)
    words, colour = _load_in_words(raw, result)
    sign = {"red": "✘", "brightgreen": "✔"}.get(colour, "!")
    plan, target = raw["plan"], raw["target"]
    shape = literal(f"{plan['scenario']}, {plan['shape']}", 80)
    size = f"{_number(plan['per_hour'])} messages an hour for {_number(plan['minutes'])} minutes of the target's time"
    rate = float(target.get("rate") or 1.0)
    facts = [code(str(target.get("name") or "a target without a name")), shape, size]
    facts += [f"{_number(rate)} seconds in one"] if rate != 1.0 else []
    facts += [f"seed {int(plan['seed'])}", literal(str(raw["standing"]), 40)]
    reasons = [f"- {literal(str(each), _SENTENCE)}" for each in (*raw.get("faults", ()), *raw.get("reasons", ()))]
    warnings = [f"- {literal(str(each), _SENTENCE)}" for each in raw.get("warnings", ())]
    parts = [
        f"## popreceipt load: {sign} {words}",
        " · ".join(facts),
        _items(reasons),
        _table(
            ["operation", "requests", "failed", "p50 ms", "p95 ms", "p99 ms", "longest ms"],
            [_operation(name, each) for name, each in raw["operations"].items()],
        ),
        _SLOWER if raw["operations"] else "",
        _table(["threshold", "allowed", "found", ""], [_threshold(each) for each in rows(raw["gates"])]),
        of_rules(result),
        _items(warnings),
    ]
    return Measured(LOAD, (words, colour), _joined(parts))


def _load_in_words(raw: Mapping[str, Any], result: ResultFile) -> tuple[str, str]:
    """In the order in which the command's exit status decides: who is convicted stays so, however the run went."""
    counts = {outcome: sum(each.outcome is outcome for each in result.rules) for outcome in Outcome}
    musts = sum(each.outcome is Outcome.VIOLATED and each.level is Level.MUST for each in result.rules)
    failures = rows(result.raw.get("failures"))
    convicting = [each for each in failures if each.get("level") == Level.MUST.value]
    if raw.get("faults"):
        return "a fault of the harness", "lightgrey"
    if musts or convicting:
        return f"{max(counts[Outcome.VIOLATED], 1)} violated", "red"
    if raw.get("interrupted") or raw.get("finished") is not True:
        return "not complete", "lightgrey"
    if raw["standing"] != "VALID":
        return literal(str(raw["standing"]).lower(), 40), "lightgrey"
    if raw.get("complete") is not True or not result.complete:
        return "not complete", "lightgrey"
    missed = [str(each.get("what")) for each in rows(raw["gates"]) if each.get("kept") is False]
    decided = any(each.outcome is not Outcome.UNEXERCISED for each in result.rules)
    if not decided or any(each in ENOUGH for each in missed):
        return "nothing proved", "lightgrey"
    if missed:
        return f"{len(missed)} {'threshold' if len(missed) == 1 else 'thresholds'} not kept", "red"
    words = [
        f"{counts[each]} {each.value}" for each in (Outcome.VIOLATED, Outcome.UNDECIDED, Outcome.HELD) if counts[each]
    ] or [f"{counts[Outcome.ANSWERED]} answered"]
    caution = counts[Outcome.VIOLATED] or counts[Outcome.UNDECIDED] or failures
    return f"{' · '.join(words)} at {_number(raw['plan']['per_hour'])}/h", "yellow" if caution else "brightgreen"


def _operation(name: str, each: Mapping[str, Any]) -> list[str]:
    percentiles = [each["response_ms"].get(word) for word in ("p50", "p95", "p99", "max")]
    failed = sum(int(count) for count in each["failures"].values())
    return [code(name), f"{int(each['requests']):,}", f"{failed:,}", *(_milliseconds(value) for value in percentiles)]


def _milliseconds(value: float | None) -> str:
    return "" if value is None else f"{float(value):,.1f}"


def _threshold(gate: Mapping[str, Any]) -> list[str]:
    found = gate["found"]
    kept = {True: "✔ kept", False: "✘ not kept"}.get(gate["kept"], "? nothing to measure")
    return [literal(str(gate["what"]), 80), _number(gate["allowed"]), "" if found is None else _number(found), kept]


# A sizing


def _of_sizing(raw: Mapping[str, Any]) -> Measured:
    chosen = raw["recommended"]
    if chosen is None:
        words, colour, answer = "no recurrence meets the objective", "red", "✘ no recurrence meets the objective"
    else:
        processing, monitoring = _number(chosen["processing_minutes"]), chosen["monitoring_minutes"]
        words, colour = f"process every {processing} min", "brightgreen"
        answer = f"✔ process every {processing} minutes"
        answer += f", monitor every {_number(monitoring)}" if monitoring is not None else ""
    margin = raw.get("margin")
    parts = [
        f"## popreceipt size: {answer}",
        _items([f"- {literal(str(each), _SENTENCE)}" for each in raw["reasons"]]),
        _table(
            ["every, minutes", "p50 min", "p95 min", "p99 min", "busy", "objective"],
            [_candidate(each, chosen) for each in rows(raw["candidates"])],
        ),
        f"Margin: {literal(str(margin['breaks_first']), _SENTENCE)}" if isinstance(margin, Mapping) else "",
        _items([f"- ! {literal(str(each), _SENTENCE)}" for each in raw["warnings"]]),
    ]
    return Measured(SIZING, (words, colour), _joined(parts))


def _candidate(each: Mapping[str, Any], chosen: Mapping[str, Any] | None) -> list[str]:
    minutes = each["processing_minutes"]
    recommended = chosen is not None and chosen["processing_minutes"] == minutes
    waits = [each["wait_minutes"].get(word) for word in ("p50", "p95", "p99")]
    standing = "✔ meets it" if each["meets_objective"] else "✘ misses it" if each["stable"] else "✘ never settles"
    return [
        f"**{_number(minutes)}**" if recommended else _number(minutes),
        *("" if value is None else _number(value) for value in waits),
        f"{float(each['utilisation']):.0%}" if each["utilisation"] is not None else "",
        f"{standing}, recommended" if recommended else standing,
    ]


# What both have


def _number(value: float) -> str:
    """A figure with three digits, a large one whole."""
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{number} is no figure")
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"


def _table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    if not lines:
        return ""
    made = ["| " + " | ".join(heads) + " |", "|---" + "|--:" * (len(heads) - 1) + "|"]
    told = ["| " + " | ".join(each) + " |" for each in lines]
    return "\n".join([*made, *_fit(told, "| … and {} more |" + " |" * (len(heads) - 1))])


def _items(items: Sequence[str]) -> str:
    return "\n".join(_fit(items, "- … and {} more"))


def _fit(items: Sequence[str], rest: str) -> Iterator[str]:
    return fitting(items, _OF_PART, rest)


def _joined(parts: Sequence[str]) -> str:
    return "\n\n".join(each for each in parts if each) + "\n"
