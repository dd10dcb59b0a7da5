"""Pages of the reference that tell rules, open points and statements, from the catalogue itself."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from popreceipt.emulator.mutants import MUTANTS
from popreceipt.emulator.profile import POINTS
from popreceipt.generate.catalogue import convictions, rules_by_statement, statements
from popreceipt.reports.places import address
from popreceipt.rules import CHAPTERS, catalogue
from popreceipt.rules.rule import Rule
from popreceipt.verdict import Binds, Level

LEVELS: Final = {Level.MUST: "convicts", Level.SHOULD: "recommends", Level.ASK: "classifies"}

ABOUT_POINTS: Final = """What the documentation leaves open. The first value is what the emulator does unless told;
another is a *dialect*, as in `popreceipt serve --dialect acknowledgment.stale-receipt=404`, and several make a
*profile*. The ASK rule of the same name tells which value a server has."""

ABOUT_STATEMENTS: Final = """Every statement of the article "Recurring integrations", in words of this project, with
the rules that test it; or with the reason why nothing that can be observed does."""


def pages() -> dict[str, str]:
    """The pages by name: a chapter's rules on one page, their index, the open points, the statements."""
    rules = catalogue(None)
    return {
        "rules/index.md": _index(rules),
        **{f"rules/{chapter}.md": _chapter(chapter, rules) for chapter in CHAPTERS},
        "open-points.md": _open_points(),
        "statements.md": _statements(rules),
    }


def _index(rules: Sequence[Rule]) -> str:
    rows = []
    for chapter in CHAPTERS:
        counts = (_counts(_of(rules, chapter, binds)) for binds in Binds)
        rows.append(f"| [{chapter}]({chapter}.md) | {' | '.join(counts)} |")
    table = "\n".join(["| chapter | binds the service | binds the client |", "|---|---|---|", *rows])
    listed = "\n".join(CHAPTERS)
    return f"# Rules\n\n```{{toctree}}\n:hidden:\n\n{listed}\n```\n\n{table}\n"


def _of(rules: Sequence[Rule], chapter: str, binds: Binds) -> list[Rule]:
    return [rule for rule in rules if (rule.chapter, rule.binds) == (chapter, binds)]


def _counts(rules: Sequence[Rule]) -> str:
    counted = [(level, sum(rule.level is level for rule in rules)) for level in Level]
    return ", ".join(f"{count} {level}" for level, count in counted if count) or "–"


def _chapter(chapter: str, rules: Sequence[Rule]) -> str:
    parts = [f"# {chapter}"]
    for binds in Binds:
        if listed := _of(rules, chapter, binds):
            parts += [f"## Rules that bind the {binds}", *(_rule(rule) for rule in listed)]
    return "\n\n".join(parts) + "\n"


def _rule(rule: Rule) -> str:
    told = f"**{rule.level}** ({LEVELS[rule.level]}). {_linked(rule.text)}"
    return "\n\n".join([f"({rule.id})=\n### `{rule.id}`", told, *_details(rule)])


def _details(rule: Rule) -> Iterator[str]:
    if rule.reading:
        yield f"*How it is read.* {_linked(rule.reading)}"
    if rule.answers:
        yield f"*Known answers.* {_code(rule.answers)}"
    if rule.needs:
        yield f"*Needs of the target.* {_code(sorted(rule.needs))}"
    place = address(rule.source)
    yield f"*Where it stands.* {f'[{rule.source}]({place})' if place else rule.source} ({rule.provenance})"
    if rule.binds is Binds.SERVICE:
        wrong = [mutant.id for mutant in MUTANTS.values() if rule.id in mutant.convicted_by]
    else:
        wrong = [name for name, each in convictions().items() if rule.id in each["claims"]]
    if wrong:
        yield f"*Wrong ones that it must convict.* {_code(wrong)}"


def _open_points() -> str:
    rows = [f"| `{point.name}` | {_code(point.values)} | {point.text} |" for point in POINTS.values()]
    table = "\n".join(["| point | values | what it is about |", "|---|---|---|", *rows])
    return f"# Open points\n\n{ABOUT_POINTS}\n\n{table}\n"


def _statements(rules: Sequence[Rule]) -> str:
    tested = rules_by_statement(rules)
    rows = []
    for each in statements():
        number = each["number"]
        by = ", ".join(map(_link, tested[number])) if number in tested else f"not observable: {each['unobservable']}"
        rows.append(f"| {number} | {each['section']} | {each['text']} | {by} |")
    table = "\n".join(["| | section | statement | tested by |", "|---|---|---|---|", *rows])
    return f"# Statements of the documentation\n\n{ABOUT_STATEMENTS}\n\n{table}\n"


def _linked(text: str) -> str:
    """A text in which every rule that it names leads to that rule."""
    known = {rule.id for rule in catalogue(None)}
    return re.sub(r"[a-z-]+\.[a-z0-9-]+", lambda found: _link(found[0]) if found[0] in known else found[0], text)


def _link(rule_id: str) -> str:
    return f"[`{rule_id}`](#{rule_id})"


def _code(names: Sequence[str]) -> str:
    return ", ".join(f"`{each}`" for each in names)
