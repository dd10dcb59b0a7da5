"""A result as a summary in Markdown: for the page of a pipeline's step, or a comment on a pull request.

Whatever a server or a subject said stands in code, with every character written as text that means something to
Markdown or to those who render it: it makes no markup, addresses nobody and refers to no issue. The summary keeps below
the length that a comment may have; what had to be left out is counted.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from popreceipt.exceptions import UsageError
from popreceipt.reports.comparison import Comparison, Direction, RuleChange, compare
from popreceipt.reports.places import address
from popreceipt.reports.plain import one_line
from popreceipt.reports.result import ResultFile, RuleRow, rows
from popreceipt.rules import find
from popreceipt.rules.rule import Rule
from popreceipt.verdict import Level, Outcome

LONGEST: Final = 65_000
"""Characters of a summary; GitHub takes comments of 65,536."""

SIGNS: Final = {
    Outcome.VIOLATED: "✘",
    Outcome.UNDECIDED: "?",
    Outcome.HELD: "✔",
    Outcome.ANSWERED: "→",
    Outcome.UNEXERCISED: "·",
}

# Characters that each part may take; with the line at the top they stay below the longest.
_OF_NOTES: Final = 4_000
_OF_TABLE: Final = 6_000
_OF_VIOLATED: Final = 20_000
_OF_FAILURES: Final = 6_000
_OF_COMPARISON: Final = 7_000
_OF_SCENARIOS: Final = 5_000
_OF_UNDECIDED: Final = 5_000
_OF_UNEXERCISED: Final = 4_000
_OF_ANSWERS: Final = 4_000

_SENTENCE: Final = 400
"""Characters of one finding or reason."""

_NAME: Final = 120
_FINDINGS: Final = 2
_WITNESSES: Final = 12

_MEANING: Final = re.compile(r"[\\`*_{}\[\]<>#+!|~&@:$^\"']|(?<=www)\.")


def summary(result: ResultFile, previous: ResultFile | None = None) -> str:
    """The summary of a result.

    Args:
        result: what it is about.
        previous: an earlier result that it is held against.
    """
    parts = [
        _head(result),
        _table(result.rules),
        _violated(result),
        _failures(result),
        _compared(compare(result, previous)) if previous is not None else "",
        _scenarios(result.raw),
        _undecided(result.rules),
        _unexercised(result.rules),
        _answers(result.rules),
    ]
    return "\n\n".join(each for each in parts if each) + "\n"


def of_rules(result: ResultFile) -> str:
    """What became of the rules that were exercised, chapter by chapter, and what is wrong with them; no heading."""
    exercised = [each for each in result.rules if each.outcome is not Outcome.UNEXERCISED]
    parts = [_table(exercised), _violated(result), _undecided(exercised)]
    return "\n\n".join(each for each in parts if each)


def code(text: str, most: int = _NAME) -> str:
    """Words of others as code, on one line, of which nothing is markup.

    Args:
        text: whatever it is.
        most: characters of it that are shown.
    """
    return f"<code>{literal(text, most)}</code>"


def literal(text: str, most: int = LONGEST) -> str:
    """A text on one line, in which no character means anything to Markdown.

    Args:
        text: whatever it is.
        most: characters of it that are shown.
    """
    return _MEANING.sub(lambda found: f"&#{ord(found.group())};", one_line(text, most))


def _head(result: ResultFile) -> str:
    """The answer in a line, and whom it is about."""
    counts = Counter(each.outcome for each in result.rules)
    broken = [each for each in result.rules if each.outcome is Outcome.VIOLATED]
    musts = sum(each.level is Level.MUST for each in broken)
    if musts:
        answer = f"✘ {musts} {'promise' if musts == 1 else 'promises'} broken"
    elif any(each.get("level") == Level.MUST.value for each in rows(result.raw.get("failures"))):
        answer = "✘ searches found failures"
    elif not result.complete:
        answer = "! not complete: this is no pass"
    elif not counts[Outcome.HELD] and not counts[Outcome.ANSWERED] and not broken:
        answer = "! nothing was proved"
    elif broken:
        answer = f"! {len(broken)} {'recommendation' if len(broken) == 1 else 'recommendations'} not kept"
    elif counts[Outcome.UNDECIDED]:
        answer = f"! no promise broken, {counts[Outcome.UNDECIDED]} undecided"
    else:
        answer = "✔ no promise broken"
    target = result.target
    facts = [code(str(target.get("name") or "a target without a name"))]
    facts += [code(str(target["build"]))] if target.get("build") else []
    facts += [f"{literal(str(target['clock']), 20)} clock"] if target.get("clock") else []
    facts += [f"seed {result.seed}"] if result.seed is not None else []
    facts.append(f"{result.duration_seconds:,.1f} s")
    lines = [f"## popreceipt: {answer}", "", " · ".join(facts)]
    if not result.complete and musts:
        lines += ["", "**Not complete:** the run did not come to its end, or its journal was cut off."]
    told = result.raw.get("notes")
    notes = [f"\n> {code(str(each), _SENTENCE)}" for each in told] if isinstance(told, list) else []
    return "\n".join([*lines, *fitting(notes, _OF_NOTES, "\n> … and {} more notes")])


def _table(rules: Sequence[RuleRow]) -> str:
    """How many rules of each chapter ended how."""
    if not rules:
        return ""
    chapters: dict[str, Counter[Outcome]] = {}
    for each in rules:
        chapters.setdefault(each.chapter, Counter())[each.outcome] += 1
    order = (Outcome.VIOLATED, Outcome.UNDECIDED, Outcome.HELD, Outcome.ANSWERED, Outcome.UNEXERCISED)
    head = ["| chapter | " + " | ".join(f"{SIGNS[each]} {each.value}" for each in order) + " |"]
    head.append("|---" + "|--:" * len(order) + "|")
    whole = sum(chapters.values(), Counter[Outcome]())
    rows = [_row("**all**", whole, order)]
    rows += [_row(literal(name, _NAME), counts, order) for name, counts in chapters.items()]
    return "\n".join([*head, *fitting(rows, _OF_TABLE, "| … and {} more chapters |" + " |" * len(order))])


def _row(name: str, counts: Counter[Outcome], order: Sequence[Outcome]) -> str:
    def cell(outcome: Outcome) -> str:
        if not counts[outcome]:
            return ""
        return f"**{counts[outcome]}**" if outcome is Outcome.VIOLATED else str(counts[outcome])

    return f"| {name} | " + " | ".join(map(cell, order)) + " |"


def _violated(result: ResultFile) -> str:
    broken = [each for each in result.rules if each.outcome is Outcome.VIOLATED]
    broken.sort(key=lambda each: each.level is not Level.MUST)
    return _part("### Violated", map(_told, broken), _OF_VIOLATED)


def _told(row: RuleRow) -> str:
    """A violated rule: what it says, where that stands, and what was seen."""
    rule = _known(row.id)
    lines = [f"- **{code(row.id)}** ({row.level})"]
    if rule is not None:
        where = literal(str(rule.source))
        place = address(rule.source)
        lines[0] += f" {literal(rule.text)} " + (f"[{where}]({place})" if place is not None else where)
    found = [each for each in row.findings if each.outcome is Outcome.VIOLATED]
    for each in found[:_FINDINGS]:
        witnesses = ", ".join(map(str, each.exchanges[:_WITNESSES])) + ("…" if len(each.exchanges) > _WITNESSES else "")
        lines.append(f"  - {code(each.message or 'violated', _SENTENCE)}" + (witnesses and f" (exchanges {witnesses})"))
        if each.bundle:
            lines.append(f"    - to be run again: {code(f'popreceipt replay {each.bundle}', _SENTENCE)}")
    if len(found) > _FINDINGS:
        lines.append(f"  - and {len(found) - _FINDINGS} more findings")
    return "\n".join(lines)


def _failures(result: ResultFile) -> str:
    """What searches found beside the rules."""
    told = {each.id for each in result.rules if each.outcome is Outcome.VIOLATED}
    others = [each for each in rows(result.raw.get("failures")) if each.get("check") not in told]
    items = (
        f"- **{code(str(each.get('check')))}** ({code(str(each.get('suite')), 30)}, "
        f"{code(str(each.get('level')), 10)}): {code(str(each.get('message')), _SENTENCE)}"
        for each in others
    )
    return _part("### Found by searching", items, _OF_FAILURES)


def _compared(comparison: Comparison) -> str:
    """What became of the rules since an earlier run."""
    words = {Direction.WORSE: "worse", Direction.BETTER: "better", Direction.OTHER: "different"}
    items = [f"- {code(each, _SENTENCE)}" for each in comparison.circumstances]
    for direction, word in words.items():
        items += [f"- {word}: {_changed(each)}" for each in comparison.going(direction)]
    # What a rule's own change tells already is left to it.
    found, gone = (
        [each for each in told if each.partition(": ")[2] not in comparison.by_id]
        for told in (comparison.found, comparison.gone)
    )
    items += [f"- worse: {code(each)} is found now" for each in found]
    items += [f"- better: {code(each)} is not found any more" for each in gone]
    if comparison.still_violated:
        still = len(comparison.still_violated)
        items.append(f"- {still} {'rule is' if still == 1 else 'rules are'} violated as before")
    if not comparison.changes and not comparison.found and not comparison.gone:
        items.append(f"- nothing changed: {comparison.alike} rules ended as before")
    return _part("### Beside the previous run", items, _OF_COMPARISON)


def _changed(change: RuleChange) -> str:
    told = f"{code(change.id)} {change.change.value}"
    if change.before is not None and change.after is not None and change.before.answer != change.after.answer:
        told += f" ({code(change.before.answer or 'no answer')} then, {code(change.after.answer or 'no answer')} now)"
    return told


def _scenarios(raw: Mapping[str, Any]) -> str:
    """Of a middleware that was judged: in which scenarios it broke, and which dialects it survived."""
    dialects = rows(raw.get("dialects"))
    decided = [each for each in dialects if each.get("survived") is not None]
    survived = sum(each["survived"] is True for each in decided)
    items = [f"- survived {survived} of {len(decided)} dialects"] if decided else []
    scenarios = rows(raw.get("scenarios"))
    broken = 0
    for each in scenarios:
        rules = [
            one
            for one in rows(each.get("rules"))
            if one.get("outcome") == Outcome.VIOLATED.value and one.get("level") == Level.MUST.value
        ]
        if rules:
            broken += 1
            under = f" under {code(str(each['dialect']))}" if each.get("dialect") else ""
            names = ", ".join(code(str(one.get("id"))) for one in rules[:4]) + ("…" if len(rules) > 4 else "")
            items.append(f"- ✘ {code(str(each.get('name')))}{under}: {names}")
    if scenarios:
        items.insert(0, f"- {len(scenarios)} scenarios, a promise was broken in {broken}")
    return _part("### Scenarios", items, _OF_SCENARIOS)


def _undecided(rules: Sequence[RuleRow]) -> str:
    items = []
    for each in rules:
        if each.outcome is Outcome.UNDECIDED:
            found = next((one.message for one in each.findings if one.outcome is Outcome.UNDECIDED), "")
            items.append(f"- {code(each.id)} ({each.level}): {code(each.reason or found or 'undecided', _SENTENCE)}")
    return _part("### Undecided", items, _OF_UNDECIDED)


def _unexercised(rules: Sequence[RuleRow]) -> str:
    """What was not exercised, by the reason why."""
    reasons: dict[str, list[str]] = {}
    for each in rules:
        if each.outcome is Outcome.UNEXERCISED:
            reasons.setdefault(each.reason or "no reason was told", []).append(each.id)
    items = [
        f"- {code(reason, _SENTENCE)}: {', '.join(map(code, names[:12]))}"
        + (f" and {len(names) - 12} more" if len(names) > 12 else "")
        for reason, names in sorted(reasons.items(), key=lambda pair: -len(pair[1]))
    ]
    count = sum(map(len, reasons.values()))
    return _folded(f"Not exercised: {count} {'rule' if count == 1 else 'rules'}", items, _OF_UNEXERCISED)


def _answers(rules: Sequence[RuleRow]) -> str:
    """What the target chose where the documentation leaves it open."""
    items = [f"- {code(each.id)}: {code(each.answer)}" for each in rules if each.answer is not None]
    return _folded(f"Answers to what is left open: {len(items)}", items, _OF_ANSWERS)


def _part(heading: str, items: Iterable[str], most: int) -> str:
    found = list(items)
    return "\n".join([heading, "", *fitting(found, most, "- … and {} more")]) if found else ""


def _folded(heading: str, items: Sequence[str], most: int) -> str:
    if not items:
        return ""
    told = fitting(items, most, "- … and {} more")
    return "\n".join([f"<details><summary>{heading}</summary>", "", *told, "", "</details>"])


def fitting(items: Sequence[str], most: int, rest: str) -> Iterator[str]:
    """As many items as fit into so many characters, and in the words of `rest` how many do not."""
    taken = 0
    for number, each in enumerate(items):
        taken += len(each) + 1
        if taken > most:
            yield rest.format(len(items) - number)
            return
        yield each


def _known(rule_id: str) -> Rule | None:
    """The catalogue's rule of this id; None where the file comes from another version."""
    try:
        return find(rule_id)
    except UsageError:
        return None
