"""What `--update` writes: the table `seen`, and entries for findings that somebody accepts by name.

It takes what became better or is new. A finding that no entry accepts is never written down as seen, and what became
less only when that was asked for. People's comments, order and spelling stay as they are.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import tomlkit
import tomlkit.items
from tomlkit.exceptions import TOMLKitError

from popreceipt.exceptions import UsageError
from popreceipt.gates.baseline import FORMAT, Baseline, Seen, parse, text_of
from popreceipt.gates.deciding import Decision
from popreceipt.gates.evidence import Evidence, Found, exercised
from popreceipt.gates.pattern import matches, pattern_of
from popreceipt.reports.result import RuleRow
from popreceipt.verdict import Outcome

BEGINNING: Final = f"""\
# What `popreceipt gate` lets pass. People write [gate] and [[accepted]]; `--update` keeps [seen].
# An entry is a finding that somebody answers for, for a while: every member but scenario, outcome and reason is needed.
#
# [[accepted]]
# rule = "redelivery.not-before-half-an-hour"
# message = "back after at most *"      # the whole message; a star stands for any characters
# owner = "team-integrations"
# issue = "https://example.com/issues/17"
# expires = 2027-01-31                  # the last day (UTC); without quotes

format = "{FORMAT}"

[gate]
# target = "* at http://127.0.0.1:*"    # whose results belong here; without it the target that was seen
# answers = "fail"                      # when the server answers an open point otherwise than before
# recommendations = "report"            # when a SHOULD is violated that no entry accepts
# longest_days = 366                    # so far ahead an entry may expire
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """Who answers for findings that are to be accepted now.

    Args:
        rules: whose findings: rules, or checks of suites.
        owner: who sees to it.
        issue: where.
        expires: the last day.
        message: the pattern of their messages; None for one made from each message.
    """

    rules: tuple[str, ...]
    owner: str
    issue: str
    expires: date
    message: str | None = None


def opened(path: Path) -> Baseline:
    """The baseline at a path, or an empty one where there is no such file.

    Raises:
        UsageError: it cannot be read, or is wrong.
    """
    return parse(text_of(path) if path.exists() else BEGINNING, path)


def accepted(decision: Decision, acceptance: Acceptance) -> list[dict[str, Any]]:
    """Entries for the uncovered findings of the rules that are named, one for each message that is unlike the others.

    Raises:
        UsageError: a rule has no finding that an entry would have to accept.
    """
    entries: list[dict[str, Any]] = []
    for rule in dict.fromkeys(acceptance.rules):
        found = [each for each in decision.uncovered if each.rule == rule]
        if acceptance.message is not None:
            found = [each for each in found if matches(acceptance.message, each.message)]
        if not found:
            raise UsageError(f"There is nothing to accept of {rule}: it has no finding that is not covered already.")
        entries += _entries(found, acceptance)
    return entries


def _entries(found: Sequence[Found], acceptance: Acceptance) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for each in found:
        # Two patterns that both match a finding would overlap.
        if any(one["scenario"] == each.scenario and matches(one["message"], each.message) for one in made):
            continue
        pattern = acceptance.message or pattern_of(each.message)
        if not any(one.isalnum() for one in pattern):
            words = f"The message {each.message!r} of {each.rule} names nothing to go by: say with --message what does."
            raise UsageError(words)
        entry = {
            "rule": each.rule,
            "message": pattern,
            "owner": acceptance.owner,
            "issue": acceptance.issue,
            "expires": acceptance.expires,
            "scenario": each.scenario,
        }
        made = [one for one in made if not _within(one, entry)] + [entry]
    return [{name: value for name, value in each.items() if value is not None} for each in made]


def with_entries(baseline: Baseline, entries: Sequence[Mapping[str, Any]]) -> Baseline:
    """The baseline as it would be with these entries; nothing is written.

    Raises:
        UsageError: an entry is wrong.
    """
    text = text_of(baseline.path) if baseline.path.exists() else BEGINNING
    return parse(_with(text, None, entries, baseline.path), baseline.path)


def _within(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether everything that the one pattern matches is matched by the other: a star is matched by a star alone."""
    return one["scenario"] == other["scenario"] and matches(other["message"], one["message"])


def seen_now(decision: Decision, *, shrink: bool) -> Seen:
    """What is to be seen from now on.

    Args:
        decision: on a result that is whole.
        shrink: what is no longer exercised, played or decided may go.
    """
    evidence, before = decision.evidence, decision.baseline.seen
    bad = {(each.rule, each.scenario) for each in decision.uncovered}
    old = before if before is not None else Seen(kind=evidence.kind, target=evidence.target)
    names = evidence.scenarios if shrink else {**old.scenarios, **evidence.scenarios}
    worst_bad: set[tuple[str, str | None]] = {(rule, None) for rule, _ in bad}
    return Seen(
        kind=evidence.kind,
        target=evidence.target,
        binds=evidence.binds,
        suites=_together(old.suites, evidence.suites, shrink),
        outcomes=_outcomes(old.outcomes, evidence.rules, worst_bad, None, shrink),
        answers=_answers(old.answers, evidence, shrink),
        scenarios={
            name: _outcomes(old.scenarios.get(name, {}), evidence.scenarios.get(name, {}), bad, name, shrink)
            for name in sorted(names)
        },
        operations=_together(old.operations, evidence.operations, shrink),
        recommended=evidence.recommended,
    )


def _together(before: Sequence[str], now: Sequence[str], shrink: bool) -> tuple[str, ...]:
    return tuple(sorted({*now} if shrink else {*before, *now}))


def _outcomes(
    before: Mapping[str, Outcome],
    rows: Mapping[str, RuleRow],
    bad: set[tuple[str, str | None]],
    scenario: str | None,
    shrink: bool,
) -> dict[str, Outcome]:
    now = exercised(rows)
    kept = {rule: outcome for rule, outcome in before.items() if not shrink or rule in now}
    for rule, row in now.items():
        fallen = row.outcome is Outcome.UNDECIDED and before.get(rule) in (Outcome.HELD, Outcome.ANSWERED)
        if (rule, scenario) not in bad and (shrink or not fallen):
            kept[rule] = row.outcome
    return dict(sorted(kept.items()))


def _answers(before: Mapping[str, str], evidence: Evidence, shrink: bool) -> dict[str, str]:
    now = {rule: row.answer for rule, row in evidence.exercised.items() if row.answer is not None}
    kept = {} if shrink else {rule: answer for rule, answer in before.items() if rule not in now}
    return dict(sorted({**kept, **now}.items()))


# The file


def write(path: Path, seen: Seen | None, entries: Sequence[Mapping[str, Any]] = ()) -> Baseline:
    """Write what is seen, and further entries, into a baseline file that is made where there is none.

    Raises:
        UsageError: it cannot be read or written, or what it would hold is wrong; then it stays as it was.
    """
    text = text_of(path) if path.exists() else BEGINNING
    written = _with(text, seen, entries, path)
    made = parse(written, path)
    _replace(path, written)
    return made


def _with(text: str, seen: Seen | None, entries: Sequence[Mapping[str, Any]], path: Path) -> str:
    try:
        document = tomlkit.parse(text)
        for entry in entries:
            _list_of(document, "accepted").append(_table(entry))
        if seen is not None:
            _put(document, "seen", _plain(seen))
        written = tomlkit.dumps(document)
    except TOMLKitError as error:
        raise UsageError(f"The baseline {path} is no TOML: {error}.") from error
    return written.replace("\r\n", "\n").replace("\n", "\r\n") if "\r\n" in text else written


def _plain(seen: Seen) -> dict[str, Any]:
    """The table `seen`; what is empty is left out."""
    scenarios: dict[str, dict[str, list[str]]] = {}
    for name, outcomes in seen.scenarios.items():
        by_outcome: dict[str, list[str]] = {}
        for rule, outcome in sorted(outcomes.items()):
            by_outcome.setdefault(outcome.value, []).append(rule)
        scenarios[name] = dict(sorted(by_outcome.items()))
    whole: dict[str, Any] = {
        "kind": seen.kind,
        "target": seen.target,
        "binds": seen.binds,
        "suites": list(seen.suites),
        "operations": list(seen.operations),
        "recommended": dict(seen.recommended),
        "outcomes": {rule: outcome.value for rule, outcome in seen.outcomes.items()},
        "answers": dict(seen.answers),
        "scenarios": scenarios,
    }
    return {name: value for name, value in whole.items() if value or isinstance(value, str)}


def _put(table: Any, name: str, value: Any) -> None:
    """Set a member of a table, and touch nothing of it that stays: comments beside it stay too."""
    if isinstance(value, Mapping):
        if not isinstance(table.get(name), Mapping):
            table[name] = tomlkit.table()
        inner = table[name]
        for member in [each for each in inner if each not in value]:
            del inner[member]
        for member, each in value.items():
            _put(inner, member, each)
    elif isinstance(value, list):
        if list(table.get(name, ())) != value or name not in table:
            table[name] = _array(value)
    elif table.get(name) != value:
        table[name] = value


def _array(values: Sequence[str]) -> tomlkit.items.Array:
    made = tomlkit.array()
    made.extend(values)
    # A line each, so that a change is seen as what it is.
    made.multiline(len(values) > 1)
    return made


def _list_of(document: Any, name: str) -> Any:
    if name not in document:
        document.append(name, tomlkit.aot())
    return document[name]


def _table(entry: Mapping[str, Any]) -> tomlkit.items.Table:
    made = tomlkit.table()
    made.trivia.indent = "\n"  # An empty line before it.
    for name, value in entry.items():
        made.add(name, value)
    return made


def _replace(path: Path, text: str) -> None:
    """Put the file there whole, or leave the one that is there."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        content = text.encode()
    except UnicodeEncodeError as error:
        words = "a message has characters that no file can hold; say with --message how it is to be matched"
        raise UsageError(f"Cannot write the baseline {path}: {words}.") from error
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(content)
        if path.exists():
            beside.chmod(path.stat().st_mode & 0o777)
        beside.replace(path.resolve())
    except OSError as error:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise UsageError(f"Cannot write the baseline {path}: {error.strerror or error}.") from error
