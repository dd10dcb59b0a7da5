"""What a gate is asked to let pass: a result of verify, judge, middleware, load or size, read with suspicion.

A file that was cut off, written by hand without care, or put together from parts shows it in itself: it does not add
up. Such a result proves nothing. What was changed with care nothing can show; a gate belongs where the result was made.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from popreceipt.exceptions import NothingProved, UsageError
from popreceipt.gates.baseline import Kind
from popreceipt.reports import result
from popreceipt.reports.result import RuleRow
from popreceipt.verdict import KEPT_FINDINGS, Level, Outcome, Provenance

VERDICTS: Final = result.FORMAT
LOAD: Final = "popreceipt/load@1"
SIZING: Final = "popreceipt/sizing@1"
PAIRED: Final = "popreceipt/paired@1"

NAMES: Final = ("verdicts.json", "paired.json", "load.json", "sizing.json")
"""What results are called in the folders that commands write."""

_WORST_FIRST: Final = tuple(Outcome)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A violation, or what could not be decided: of which rule or check, in which scenario, in words."""

    rule: str
    level: Level
    outcome: Outcome
    message: str
    scenario: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A result, as a gate sees it.

    Args:
        path: where it was read.
        kind: of which command.
        target: its target's name.
        binds: whose rules were judged.
        rules: by id; of middleware the worst over all scenarios.
        found: violations and undecided situations, each once.
        cut: rules, with the scenario or None, of which as many findings are listed as a result keeps: there may be
            more.
        suites: those that ran.
        scenarios: of middleware, by name the verdicts of those that were played.
        operations: requests that a load run made.
        recommended: of a sizing, the recurrences in minutes; empty where there is no recommendation.
        incomplete: in words, why the run proves nothing by itself; None where it came to its end.
        damage: in words, where the file contradicts itself; then nothing in it counts.
    """

    path: Path
    kind: Kind
    target: str
    binds: str = "service"
    rules: Mapping[str, RuleRow] = field(default_factory=dict)
    found: tuple[Found, ...] = ()
    cut: frozenset[tuple[str, str | None]] = frozenset()
    suites: tuple[str, ...] = ()
    scenarios: Mapping[str, Mapping[str, RuleRow]] = field(default_factory=dict)
    operations: tuple[str, ...] = ()
    recommended: Mapping[str, float] = field(default_factory=dict)
    incomplete: str | None = None
    damage: tuple[str, ...] = ()

    @property
    def exercised(self) -> Mapping[str, RuleRow]:
        """The rules that found something to judge."""
        return exercised(self.rules)


def exercised(rules: Mapping[str, RuleRow]) -> dict[str, RuleRow]:
    """Those of the rules that found something to judge."""
    return {name: row for name, row in rules.items() if row.outcome is not Outcome.UNEXERCISED}


def result_file(path: Path) -> Path:
    """The result that a path names: the file itself, or the one in a folder under its usual name.

    Raises:
        UsageError: there is none.
    """
    if not path.is_dir():
        if path.is_file():
            return path
        raise UsageError(f"There is no result {path}.")
    there = [path / name for name in NAMES if (path / name).is_file()]
    if len(there) == 1:
        return there[0]
    if there:
        raise UsageError(f"{path} holds several results ({', '.join(each.name for each in there)}): name one of them.")
    raise UsageError(f"There is no result in {path}: none of {', '.join(NAMES)}.")


def load(path: Path) -> dict[str, Any]:
    """The JSON object in a result's file.

    Raises:
        UsageError: there is no such file, it cannot be read, or it is no result of ours.
        NothingProved: it is empty, was cut off, or says a thing twice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"Cannot read the result {path}: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise NothingProved(f"The result {path} is damaged: {error}.") from error
    try:
        raw = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise NothingProved(f"The result {path} is damaged or was cut off, and proves nothing: {error}.") from error
    if not isinstance(raw, dict) or not isinstance(raw.get("format"), str):
        raise UsageError(f"{path} is no result: it does not say its format.")
    return raw


def read(path: Path) -> Evidence:
    """Read a result of any kind but a paired measurement.

    Raises:
        UsageError: there is none, or it is of a format that gates do not know.
        NothingProved: it is damaged or cut off.
    """
    file = result_file(path)
    raw = load(file)
    if raw["format"] == VERDICTS:
        return _of_verdicts(file, raw)
    if raw["format"] == LOAD:
        return _of_load(file, raw)
    if raw["format"] == SIZING:
        return _of_sizing(file, raw)
    known = ", ".join((VERDICTS, LOAD, SIZING, PAIRED))
    raise UsageError(f"{file} has the format {raw['format']!r}; a gate reads {known}.")


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose members are there once each: of two that contradict each other a reader would see the last."""
    counted = Counter(name for name, _ in pairs)
    twice = [name for name, often in counted.items() if often > 1]
    if twice:
        raise ValueError(f"the member {twice[0]!r} stands there twice")
    return dict(pairs)


def _no_number(constant: str) -> float:
    raise ValueError(f"{constant} is no number")


def _of_verdicts(file: Path, raw: Mapping[str, Any]) -> Evidence:
    with _damage(file):
        rows = _rows(raw["rules"])
        blocks = {_name(each): each for each in raw.get("scenarios", ())}
        played = {name: _rows(each["rules"]) for name, each in blocks.items() if not each.get("lacks")}
        failures = [
            Found(
                rule=str(each["check"]),
                level=Level(each["level"]),
                outcome=Outcome.VIOLATED,
                message=str(each["message"]),
            )
            for each in raw.get("failures", ())
        ]
        by_scenario = {name: _by_id(each) for name, each in played.items()}
        parts: list[tuple[str | None, Sequence[RuleRow]]] = list(played.items()) if blocks else [(None, rows)]
        binds = Counter(each.binds for each in rows)
        damage = [
            *_contradictions(raw, rows),
            *(words for name, each in played.items() for words in _rules_wrong(each, name)),
        ]
        if len(blocks) != len(raw.get("scenarios", ())):
            damage.append("a scenario stands there twice")
        if blocks:
            damage += _not_the_worst(_by_id(rows), by_scenario)
        return Evidence(
            path=file,
            kind="middleware" if "scenarios" in raw else "verdicts",
            target=str(raw["target"].get("name", "")),
            binds=binds.most_common(1)[0][0] if binds else "service",
            rules=_by_id(rows),
            found=tuple(dict.fromkeys([*_findings(parts), *failures])),
            cut=frozenset(_cut(parts)),
            suites=tuple(
                name for name, figures in dict(raw.get("suites", {})).items() if not figures.get("unexercised")
            ),
            scenarios=by_scenario,
            incomplete=_incomplete(raw),
            damage=tuple(damage),
        )


def _of_load(file: Path, raw: Mapping[str, Any]) -> Evidence:
    with _damage(file):
        inner = raw["verdicts"]
        rows = _rows(inner["rules"])
        why = _incomplete(raw) or _incomplete(inner)
        if raw.get("faults"):
            why = f"the harness itself failed ({raw['faults'][0]})"
        elif raw.get("standing") != "VALID":
            why = f"it is {raw.get('standing')} ({'; '.join(map(str, raw.get('reasons', ())))})"
        parts: list[tuple[str | None, Sequence[RuleRow]]] = [(None, rows)]
        operations = {name: int(each["requests"]) for name, each in raw["operations"].items()}
        return Evidence(
            path=file,
            kind="load",
            target=str(raw["target"].get("name", "")),
            rules=_by_id(rows),
            found=tuple(dict.fromkeys(_findings(parts))),
            cut=frozenset(_cut(parts)),
            operations=tuple(name for name, requests in operations.items() if requests > 0),
            incomplete=why,
            damage=tuple(_contradictions(inner, rows)),
        )


def _of_sizing(file: Path, raw: Mapping[str, Any]) -> Evidence:
    with _damage(file):
        recommended = raw["recommended"]
        candidates = [float(each["processing_minutes"]) for each in raw["candidates"]]
        told = {} if recommended is None else {name: float(m) for name, m in recommended.items() if m is not None}
        damage = []
        if told and told.get("processing_minutes") not in candidates:
            damage.append("what it recommends is none of its candidates")
        return Evidence(
            path=file,
            kind="sizing",
            target=file.name,
            recommended=told,
            incomplete=None if candidates else "it has no candidates",
            damage=tuple(damage),
        )


class _damage:  # noqa: N801 - used as a context, like a function
    """Whatever a file lacks, or has of another kind, makes it a damaged one."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, KeyError | TypeError | ValueError | AttributeError | IndexError):
            said = f"{type(error).__name__}: {error}"
            raise NothingProved(f"The result {self._file} is damaged, and proves nothing: {said}.") from error


def _rows(rules: Sequence[Mapping[str, Any]]) -> list[RuleRow]:
    return [result.rule_row(each) for each in rules]


def _by_id(rows: Sequence[RuleRow]) -> dict[str, RuleRow]:
    return {each.id: each for each in rows}


def _name(scenario: Mapping[str, Any]) -> str:
    name, dialect = str(scenario["name"]), scenario["dialect"]
    return name if dialect is None else f"{name} under {dialect}"


def _incomplete(raw: Mapping[str, Any]) -> str | None:
    if raw.get("interrupted") is True:
        return "somebody stopped it"
    if raw.get("complete") is not True:
        return "it does not say that it is complete"
    return None


def _findings(parts: Sequence[tuple[str | None, Sequence[RuleRow]]]) -> Iterator[Found]:
    """What is violated or undecided, a situation each; a verdict that lists none counts with its reason."""
    for scenario, rows in parts:
        for row in rows:
            if row.outcome not in (Outcome.VIOLATED, Outcome.UNDECIDED):
                continue
            messages = [each.message for each in row.findings if each.outcome is row.outcome] or [row.reason or ""]
            for message in messages:
                yield Found(rule=row.id, level=row.level, outcome=row.outcome, message=message, scenario=scenario)


def _cut(parts: Sequence[tuple[str | None, Sequence[RuleRow]]]) -> Iterator[tuple[str, str | None]]:
    for scenario, rows in parts:
        for row in rows:
            listed = sum(each.outcome is row.outcome for each in row.findings)
            if row.outcome in (Outcome.VIOLATED, Outcome.UNDECIDED) and listed >= KEPT_FINDINGS:
                yield row.id, scenario


# Does it add up?


def _contradictions(raw: Mapping[str, Any], rows: Sequence[RuleRow]) -> Iterator[str]:
    if "complete" in raw and list(raw)[-1] != "complete":
        yield "something was added after it had been sealed"
    counted = Counter(each.outcome.value for each in rows)
    for name, number in raw["summary"].items():
        if counted[name] != number:
            yield f"its summary counts {number} rules as {name}, and {counted[name]} are"
    yield from _rules_wrong(rows, None)


def _rules_wrong(rows: Sequence[RuleRow], scenario: str | None) -> Iterator[str]:
    where = "" if scenario is None else f" in {scenario}"
    for name, often in Counter(each.id for each in rows).items():
        if often > 1:
            yield f"the rule {name} stands there {often} times{where}"
    for row in rows:
        for words in _rule_wrong(row):
            yield f"{row.id}{where} {words}"


def _rule_wrong(row: RuleRow) -> Iterator[str]:
    listed = Counter(each.outcome for each in row.findings)
    if row.chapter != row.id.partition(".")[0]:
        yield f"stands under the chapter {row.chapter}"
    if row.level is Level.MUST and row.provenance not in (Provenance.DOCUMENTED, Provenance.RECORDED):
        yield f"is a MUST though {row.provenance}"
    if row.outcome is Outcome.VIOLATED and not listed[Outcome.VIOLATED]:
        yield "is violated, and no violation is listed"
    if row.outcome is not Outcome.VIOLATED and listed[Outcome.VIOLATED]:
        yield f"is {row.outcome}, and violations are listed"
    if row.outcome in (Outcome.HELD, Outcome.ANSWERED, Outcome.UNEXERCISED) and listed[Outcome.UNDECIDED]:
        yield f"is {row.outcome}, and undecided situations are listed"
    if row.outcome in (Outcome.HELD, Outcome.ANSWERED, Outcome.VIOLATED) and row.situations < 1:
        yield f"is {row.outcome} without a situation"
    if row.outcome is Outcome.UNEXERCISED and (row.situations or not row.reason):
        yield "is unexercised, with situations or without a reason"
    if row.outcome is Outcome.ANSWERED and not row.answer:
        yield "is answered, and has no answer"
    if sum(listed.values()) > max(row.situations, 1):
        yield "lists more than it met"


def _not_the_worst(top: Mapping[str, RuleRow], scenarios: Mapping[str, Mapping[str, RuleRow]]) -> Iterator[str]:
    for name, row in top.items():
        there = [rules[name].outcome for rules in scenarios.values() if name in rules]
        worst = min(there, key=_WORST_FIRST.index, default=Outcome.UNEXERCISED)
        if worst is not row.outcome:
            yield f"{name} is {row.outcome}, and {worst} at worst in its scenarios"
