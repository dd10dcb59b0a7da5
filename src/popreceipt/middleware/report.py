"""A run over scenarios as one self-contained page: what a subject must mend, where it held, and each violation's story.

What it shows is all in the result; it computes nothing but where to draw. The same result gives the same bytes.
"""

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from markupsafe import Markup

from popreceipt.journal import without_tokens
from popreceipt.middleware.matrix import cell_of
from popreceipt.middleware.played import Judged
from popreceipt.middleware.result import Result, Survival, crash_of, ending_in_words, violations
from popreceipt.middleware.running import label
from popreceipt.middleware.timeline import Timelines
from popreceipt.reports import evidence, lanes, page
from popreceipt.reports.page import Cell, Column, Fact, Row, Tone
from popreceipt.rules import CHAPTERS, catalogue
from popreceipt.rules.rule import Rule
from popreceipt.verdict import Binds, Level, Outcome, RuleVerdict

SHOWN_EXCHANGES: Final = 6
SHOWN_SCENARIOS: Final = 4
SHOWN_LINES: Final = 12
"""Lines of the subject's last words."""

ABREAST: Final = 24
"""Rules that stand beside each other in one table."""

NARROWEST: Final = 4
"""A chapter's name takes the room of so many rules."""

SIGNS: Final = {
    Outcome.VIOLATED: ("✘", "bad", "violated"),
    Outcome.UNDECIDED: ("?", "caution", "undecided"),
    Outcome.HELD: ("✔", "good", "held"),
    Outcome.ANSWERED: ("·", "neutral", "answered"),
    Outcome.UNEXERCISED: ("", "neutral", "nothing to judge"),
}

NOT_KEPT: Final = ("!", "caution", "a recommendation not kept")


def write(result: Result, path: Path) -> None:
    """Write the page.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(as_page(result), encoding="utf-8", errors="replace", newline="\n")


def as_page(result: Result) -> str:
    """The page."""
    rules = {each.id: each for each in catalogue(Binds.CLIENT)}
    parts = [
        _glance(result),
        _violations(result, rules),
        _dialects(result),
        _lost(result),
        _matrix(result),
        _rules(result, rules),
        _open(result),
        _again(result),
    ]
    name = result.verdicts.target["name"]
    return page.document(
        f"Middleware: {name}",
        *(each for each in parts if each is not None),
        verdict=_verdict(result),
        description=_sentence(result),
    )


# The answer


def _counts(result: Result) -> tuple[int, int]:
    found = result.verdicts.with_outcome(Outcome.VIOLATED)
    must = sum(each.level is Level.MUST for each in found)
    return must, len(found) - must


def _sentence(result: Result) -> str:
    must, should = _counts(result)
    held = result.verdicts.summary()[Outcome.HELD.value]
    found = must + should
    violated = f"{found} rule{' was' if found == 1 else 's were'} violated" if found else "No rule was violated"
    detail = f" ({must} that must be kept, {should} that should)" if found else ""
    played = len(result.judged)
    of = f"{played}" if played == result.asked else f"{played} of {result.asked}"
    return f"{violated}{detail}, {held} held, in {of} scenario{'' if result.asked == 1 else 's'}."


def _verdict(result: Result) -> Markup:
    must, should = _counts(result)
    more = [*(f"A fault of ours in {label(each.played.scenario)}: {each.played.fault}" for each in result.faults)]
    if result.interrupted:
        more.append("Somebody stopped the run before its end.")
    more += result.notes
    if must:
        return page.verdict("Violated", _sentence(result), *more, tone=Tone.BAD)
    if result.faults:
        return page.verdict("A fault of the harness", _sentence(result), *more, tone=Tone.CAUTION)
    if not result.complete:
        return page.verdict("Cut short", _sentence(result), *more, tone=Tone.CAUTION)
    if result.exit_status() == 3:
        return page.verdict("Nothing was exercised", "The subject never called the connector.", *more, tone=Tone.BAD)
    if should:
        return page.verdict("Held, with recommendations not kept", _sentence(result), *more, tone=Tone.CAUTION)
    return page.verdict("Held", _sentence(result), *more, tone=Tone.GOOD)


def _glance(result: Result) -> Markup:
    counts = result.verdicts.summary()
    must, should = _counts(result)
    shown = [
        Fact("Scenarios", str(len(result.judged)), f"of {result.asked}; {result.seconds:.0f} s, {result.jobs} at once"),
        Fact("Violated", str(must + should), f"{must} MUST, {should} SHOULD"),
        Fact("Held", str(counts[Outcome.HELD.value]), "rules"),
        Fact("Undecided", str(counts[Outcome.UNDECIDED.value]), "rules"),
        Fact("Not exercised", str(counts[Outcome.UNEXERCISED.value]), "rules, with the reason below"),
        Fact("Lease", f"{result.lease_seconds:g} s", "shortened from half an hour"),
    ]
    if result.dialects:
        survived = sum(each.broken is None and each.decided for each in result.dialects)
        shown.insert(
            1, Fact("Dialects survived", f"{survived} of {len(result.dialects)}", "what is left open, otherwise")
        )
    return page.section("glance", "At a glance", page.facts(*shown))


# Violations


def _violations(result: Result, rules: Mapping[str, Rule]) -> Markup | None:
    """Each violated rule once, the worst first, with the timeline of the first scenario that shows it."""
    found = sorted(result.verdicts.with_outcome(Outcome.VIOLATED), key=lambda each: each.level is not Level.MUST)
    if not found:
        return None
    parts: list[Markup] = []
    known: dict[int, Timelines] = {}
    for number, verdict in enumerate(found, 1):
        where = [(each, one) for each in result.judged for one in violations(each) if one.id == verdict.id]
        judged, here = where[0]
        timelines = known.setdefault(id(judged), Timelines(judged))
        parts += _violation(number, verdict, rules.get(verdict.id), where, timelines, here)
    return page.section("violations", "What went wrong", *parts)


def _violation(
    number: int,
    verdict: RuleVerdict,
    rule: Rule | None,
    where: Sequence[tuple[Judged, RuleVerdict]],
    timelines: Timelines,
    here: RuleVerdict,
) -> Iterator[Markup]:
    judged = where[0][0]
    scenario = judged.played.scenario
    tone = Tone.BAD if verdict.level is Level.MUST else Tone.CAUTION
    level = "must be kept" if verdict.level is Level.MUST else "should be kept"
    yield Markup('<h3 id="violation-{}">{}</h3>').format(number, verdict.id)
    yield page.paragraph(
        Markup("{} {}").format(page.said(f"violated, {level}", tone), "" if rule is None else rule.text)
    )
    if rule is not None:
        yield page.paragraph(f"{rule.source} ({rule.provenance}). {rule.reading}".strip(), quiet=True)
    yield page.paragraph(Markup("In <code>{}</code>: {}").format(label(scenario), scenario.title))
    drawing = timelines.of(here)
    yield page.figure(
        drawing.sentence or "What happened",
        lanes.as_svg(drawing, f"timeline-{number}"),
        f"Seconds from the beginning of the scenario; the lease lasted {judged.played.lease_seconds:g} s."
        " Letters with a ring are what the finding rests on.",
    )
    exchanges = evidence.by_number(judged.played.journal.exchanges())
    finding = next((each for each in here.findings if each.outcome is Outcome.VIOLATED), None)
    if finding is not None and finding.exchanges:
        shown = evidence.lines_for(finding.exchanges[:SHOWN_EXCHANGES], exchanges, movable=False)[0]
        yield page.code("\n".join(shown), label=f"Exchanges behind {verdict.id}")
    others = [label(each.played.scenario) for each, _ in where[1:]]
    if others:
        more = f" and {len(others) - SHOWN_SCENARIOS} more" if len(others) > SHOWN_SCENARIOS else ""
        yield page.paragraph(f"Also in {', '.join(others[:SHOWN_SCENARIOS])}{more}.", quiet=True)
    if here.bundle is not None:
        yield page.paragraph(Markup("All of it: <code>{}</code>").format(here.bundle), quiet=True)


# Dialects


def _dialects(result: Result) -> Markup | None:
    """What became of the subject where the connector answers otherwise than usual."""
    if not result.dialects:
        return None
    survived = sum(each.broken is None and each.decided for each in result.dialects)
    rows = [_dialect(each) for each in sorted(result.dialects, key=lambda each: each.broken is None)]
    columns = [Column("Dialect"), Column("Scenarios", number=True), Column("Survived"), Column("How it broke")]
    return page.section(
        "dialects",
        "Dialects",
        page.paragraph(
            f"Survives {survived} of {len(result.dialects)}. What the documentation leaves open, a service may answer "
            "one way or another: a dialect is one of these answers, changed."
        ),
        page.table("What became of the subject under each dialect", columns, rows),
    )


def _dialect(each: Survival) -> Row:
    if each.broken is not None:
        known = " (as it does without the dialect)" if each.broken.plain else ""
        broke = Cell(f"{each.broken.scenario}: {each.broken.words}{known}", ", ".join(each.broken.rules))
        return Row([Cell(each.dialect), str(each.scenarios), Cell("no", tone=Tone.BAD), broke], Tone.BAD)
    if not each.decided:
        return Row([Cell(each.dialect), str(each.scenarios), Cell("undecided", tone=Tone.CAUTION), "a fault of ours"])
    shaken = f"recommendations not kept: {', '.join(each.shaken)}" if each.shaken else ""
    return Row([Cell(each.dialect), str(each.scenarios), Cell("yes", tone=Tone.GOOD), shaken])


# Grids


def _lost(result: Result) -> Markup | None:
    """The lost-response matrix: a row an operation, a column for each phase and kind."""
    cells = {
        place: each
        for each in result.judged
        if each.played.scenario.dialect is None and (place := cell_of(each.played.scenario)) is not None
    }
    if not cells:
        return None
    columns = list(dict.fromkeys((phase, kind) for _, phase, kind in cells))
    phases = dict.fromkeys(phase for phase, _ in columns)
    columns.sort(key=lambda each: list(phases).index(each[0]))
    above = Markup().join(
        Markup('<th scope="colgroup" colspan="{}">{} its effect</th>').format(
            sum(each[0] == phase for each in columns), phase
        )
        for phase in phases
    )
    heads = Markup().join(Markup('<th scope="col">{}</th>').format(kind) for _, kind in columns)
    rows = Markup("\n").join(
        Markup('<tr><th scope="row">{}</th>{}</tr>').format(
            operation, Markup().join(_lost_cell(cells.get((operation, *each))) for each in columns)
        )
        for operation in dict.fromkeys(operation for operation, _, _ in cells)
    )
    return page.section(
        "lost",
        "Answers that are lost",
        page.paragraph("Each operation once without its answer: before it had taken effect, and after."),
        _wide(
            "What became of the subject where an answer was lost",
            Markup('<tr><td rowspan="2"></td>{}</tr><tr>{}</tr>').format(above, heads),
            rows,
        ),
        _key(),
    )


def _lost_cell(judged: Judged | None) -> Markup:
    if judged is None:
        return Markup("<td></td>")
    worst = min(judged.rules, key=_badness, default=None)
    broken = [each.id for each in violations(judged, Level.MUST)] or [each.id for each in violations(judged)]
    return _sign(worst, f"{label(judged.played.scenario)}: {', '.join(broken) or _word(worst)}")


def _matrix(result: Result) -> Markup | None:
    """A row a scenario and a column for each rule that said something in any of them."""
    judged = [each for each in result.judged if each.played.scenario.dialect is None]
    judged = [each for each in judged if cell_of(each.played.scenario) is None]
    said = {one.id for each in judged for one in each.rules if one.outcome is not Outcome.UNEXERCISED}
    shown = [each.id for each in result.rules if each.id in said]
    if not shown:
        return None
    order = {chapter: place for place, chapter in enumerate(CHAPTERS)}
    chapters: dict[str, list[str]] = {}
    for each in sorted(shown, key=lambda one: order.get(_chapter(one), len(order))):
        chapters.setdefault(_chapter(each), []).append(each)
    tables = [_block(block, judged) for block in _blocks(chapters)]
    return page.section("matrix", "Scenarios and rules", _key(), *tables)


def _chapter(rule: str) -> str:
    return rule.partition(".")[0]


def _blocks(chapters: Mapping[str, list[str]]) -> Iterator[dict[str, list[str]]]:
    """Chapters that stand beside each other in one table: as many as a page is wide."""
    block: dict[str, list[str]] = {}
    room = ABREAST
    for chapter, rules in chapters.items():
        wide = max(len(rules), NARROWEST)
        if block and wide > room:
            yield block
            block, room = {}, ABREAST
        block[chapter] = rules
        room -= wide
    if block:
        yield block


def _block(chapters: Mapping[str, Sequence[str]], judged: Sequence[Judged]) -> Markup:
    """Some chapters' rules beside each other, and the scenarios that gave them something to judge."""
    rules = [rule for listed in chapters.values() for rule in listed]
    above = Markup().join(
        Markup('<th scope="colgroup" colspan="{}" class="chapter">{}</th>').format(len(listed), chapter)
        for chapter, listed in chapters.items()
    )
    heads = Markup().join(
        Markup('<th scope="col" class="upright"><span>{}</span></th>').format(rule.partition(".")[2].replace("-", " "))
        for rule in rules
    )
    found = [(each, [_outcome_of(each, rule) for rule in rules]) for each in judged]
    rows = Markup("\n").join(
        Markup('<tr><th scope="row">{}</th>{}</tr>').format(
            each.played.scenario.name,
            Markup().join(_sign(one, f"{rule}: {_word(one)}") for rule, one in zip(rules, outcomes, strict=True)),
        )
        for each, outcomes in found
        if any(outcomes)
    )
    caption = f"Scenarios and the rules on {', '.join(chapters)}"
    return _wide(caption, Markup('<tr><td rowspan="2"></td>{}</tr><tr>{}</tr>').format(above, heads), rows)


def _outcome_of(judged: Judged, rule: str) -> RuleVerdict | None:
    """What a rule said of a scenario; None where it had nothing to say."""
    found = next((each for each in judged.rules if each.id == rule), None)
    return None if found is None or found.outcome is Outcome.UNEXERCISED else found


def _badness(verdict: RuleVerdict) -> tuple[int, bool]:
    return list(Outcome).index(verdict.outcome), verdict.level is not Level.MUST


def _drawn(verdict: RuleVerdict | None) -> tuple[str, str, str]:
    if verdict is None:
        return SIGNS[Outcome.UNEXERCISED]
    if verdict.outcome is Outcome.VIOLATED and verdict.level is not Level.MUST:
        return NOT_KEPT
    return SIGNS[verdict.outcome]


def _word(verdict: RuleVerdict | None) -> str:
    return _drawn(verdict)[2]


def _sign(verdict: RuleVerdict | None, told: str) -> Markup:
    """A cell with a sign, and what it means for those who do not see it or point at it."""
    sign, tone, word = _drawn(verdict)
    if not sign:
        return Markup("<td></td>")
    return Markup(
        '<td class="sign"><span class="said tone-{}" title="{}" role="img" aria-label="{}">{}</span></td>'
    ).format(tone, told, word, sign)


def _wide(caption: str, head: Markup, rows: Markup) -> Markup:
    return Markup(
        '<div class="scroll" role="region" aria-label="{caption}" tabindex="0">\n<table class="grid">\n'
        "<caption>{caption}</caption>\n<thead>{head}</thead>\n<tbody>\n{rows}\n</tbody>\n</table>\n</div>"
    ).format(caption=caption, head=head, rows=rows)


def _key() -> Markup:
    """What the signs mean."""
    signs = [SIGNS[Outcome.HELD], SIGNS[Outcome.VIOLATED], NOT_KEPT, SIGNS[Outcome.UNDECIDED]]
    told = Markup(", ").join(
        Markup('<span class="said tone-{}">{}</span> {}').format(tone, sign, word) for sign, tone, word in signs
    )
    return page.paragraph(Markup("{}; empty where nothing was to be judged.").format(told), quiet=True)


# The rest


def _rules(result: Result, rules: Mapping[str, Rule]) -> Markup:
    """Every rule with the worst that any scenario said."""
    columns = [Column("Rule"), Column("Level"), Column("Outcome"), Column("Situations", number=True)]
    rows = []
    for each in result.rules:
        sign, _, word = _drawn(each)
        tone = Tone(_drawn(each)[1])
        rule = rules.get(each.id)
        outcome = Cell(word, each.reason or "", tone=tone if sign else None)
        rows.append(
            Row([Cell(each.id, rule.text if rule is not None else ""), each.level, outcome, str(each.situations)])
        )
    return page.section("rules", "Rules", page.table("All rules that bind a client", columns, rows))


def _open(result: Result) -> Markup | None:
    """Where the subject fell over, and what could not be decided."""
    parts: list[Markup] = []
    crashed = [(each, how) for each in result.judged if (how := crash_of(each)) is not None]
    if crashed:
        first, how = crashed[0]
        others = [label(each.played.scenario) for each, _ in crashed[1:]]
        more = f" And so, or in another way, in {', '.join(others[:SHOWN_SCENARIOS])}" if others else ""
        more += (
            f" and {len(others) - SHOWN_SCENARIOS} more." if len(others) > SHOWN_SCENARIOS else "." if others else ""
        )
        parts.append(page.heading("It ended by itself"))
        parts.append(page.paragraph(f"In {label(first.played.scenario)} it {ending_in_words(how)}.{more}"))
        last = without_tokens("\n".join(first.played.output_tail.splitlines()[-SHOWN_LINES:]))
        if last:
            parts.append(page.code(_printable(last), label="The last of what it wrote"))
    undecided = [
        f"{each.id}: {told}"
        for each in result.verdicts.with_outcome(Outcome.UNDECIDED)
        if (told := next((one.message for one in each.findings if one.outcome is Outcome.UNDECIDED), each.reason))
    ]
    if undecided:
        parts += [page.heading("Undecided"), page.bullets(undecided)]
    lacking = _unplayed(result.judged)
    if lacking:
        parts += [page.heading("Not played here"), page.bullets(lacking)]
    return page.section("open", "What else there is to know", *parts) if parts else None


def _unplayed(judged: Iterable[Judged]) -> list[str]:
    return [f"{label(each.played.scenario)}: {each.played.lacks}" for each in judged if each.played.lacks is not None]


def _printable(text: str) -> str:
    """What a subject wrote, without what moves a cursor."""
    return "".join(each if each.isprintable() or each in "\t\n" else "\ufffd" for each in text)


def _again(result: Result) -> Markup:
    words = ["popreceipt", "middleware", "--lease", f"{result.lease_seconds:g}", "--seed", str(result.seed)]
    words += ["--", *result.command] if result.command else ["--attach"]
    return page.section(
        "again",
        "Again",
        page.paragraph("The command, with the scenarios as they were chosen then:"),
        page.code(shlex.join(words), label="The command"),
    )
