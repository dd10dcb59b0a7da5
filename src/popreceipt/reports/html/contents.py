"""What stands on a page, before it is written: the answer, the violated rules with their stories, and all the rest.

Everything is in the result, the catalogue and the journals; here it is chosen, put in order and put into words. It
knows no markup.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from popreceipt.journal import Header, instant
from popreceipt.reports import evidence
from popreceipt.reports.comparison import Comparison, Direction, RuleChange
from popreceipt.reports.html import figures, telling
from popreceipt.reports.html.gathering import Gathered, gather
from popreceipt.reports.html.story import Story, story
from popreceipt.reports.html.views import (
    ANSWERED,
    HELD,
    LEVELS,
    NOT_KEPT,
    OTHERWISE,
    SIGNS,
    UNDECIDED,
    UNEXERCISED,
    VIOLATED,
    Changed,
    Chapter,
    Contents,
    FailureView,
    FindingView,
    Reason,
    RuleView,
    ScenarioView,
    Sign,
)
from popreceipt.reports.page import Tone
from popreceipt.reports.places import address
from popreceipt.reports.plain import cut, one_line
from popreceipt.reports.result import FindingRow, ResultFile, RuleRow, rule_row, scenario_name
from popreceipt.rules import CHAPTERS
from popreceipt.rules.rule import Rule
from popreceipt.verdict import Level, Outcome

SHOWN_FINDINGS: Final = 3
"""Findings of a rule that are shown; the rest stands in the verdict file."""

SHOWN_EXCHANGES: Final = 6
"""Witnesses of a finding that are shown."""

SHOWN_STORIES: Final = 60
"""Rules whose story is told: whoever violates more has a beginning to make anyway."""

SHOWN_FAILURES: Final = 60
"""Checks of suites that failed and are shown."""

MOST_OF_A_MESSAGE: Final = 1500
"""Characters of a finding's words that are shown."""

SHOWN_RULES: Final = 1000
"""Rules of a result that are shown: the catalogue has a quarter of them."""

SHOWN_SCENARIOS: Final = 1000
"""Scenarios of a middleware's run that are listed."""

THINNEST: Final = 12
"""Thousandths of the bar that a single rule takes at least."""

ScenarioJournal = Callable[[Mapping[str, Any]], Path | None]
"""Finds the journal of a scenario's block in the verdict file; None where it was not kept."""


@dataclass(frozen=True, slots=True)
class _Shown:
    """A rule's verdict with the recording in which its findings are to be seen."""

    row: RuleRow
    journal: Path | None
    where: str = ""

    @property
    def findings(self) -> tuple[FindingRow, ...]:
        """The findings that are shown, the worst first; of a rule that held, the situation that was kept."""
        listed = [each for each in self.row.findings if each.outcome is self.row.outcome] or list(self.row.findings)
        if not listed and self.row.witness is not None:
            listed = [self.row.witness]
        alike = self.row.outcome is Outcome.ANSWERED and " | " not in (self.row.answer or "")
        return tuple(listed[: 1 if alike else SHOWN_FINDINGS])


@dataclass(frozen=True, slots=True)
class _Failure:
    """A failure of a suite's own, as the verdict file has it."""

    raw: Mapping[str, Any]
    finding: FindingRow


def contents(
    result: ResultFile,
    rules: Mapping[str, Rule],
    journal: Path | None,
    comparison: Comparison | None = None,
    scenario_journal: ScenarioJournal = lambda _: None,
    *,
    kept: bool = True,
) -> Contents:
    """What stands on the page of a result.

    Args:
        result: the verdict file.
        rules: the catalogue, by id.
        journal: the recording that its findings name; None where it was not kept.
        comparison: the result beside an earlier one.
        scenario_journal: finds the recordings of a middleware's scenarios.
        kept: the recording is still there when the page is read.

    Raises:
        UsageError: a recording cannot be read.
    """
    shown = [_worst(each, result, journal, scenario_journal) for each in result.rules[:SHOWN_RULES]]
    failures = _failures(result)
    gathered = _gathered(shown, failures, journal)
    main = gathered[journal]
    changes = comparison.by_id if comparison is not None else {}
    anchors: Counter[str] = Counter()
    views = []
    for each in shown:
        view = _rule(each, rules.get(each.row.id), gathered[each.journal], _anchor(each.row.id, anchors))
        views.append(replace(view, change=changes.get(each.row.id)))
    order = {name: place for place, name in enumerate(CHAPTERS)}
    views.sort(key=lambda each: order.get(_chapter_of(each.id), len(order)))
    told = _failure_views(failures, {each.id for each in views if each.sign in (VIOLATED, NOT_KEPT)}, main)
    views, told = _once_in_full(views, told)
    scenarios = tuple(_scenarios(result.raw.get("scenarios") or ()))
    word, tone, sentence, more = _answer(result, views, told, len(scenarios))
    tiles = tuple((sign, len([each for each in views if each.sign is sign])) for sign in SIGNS)
    answers = [each for each in views if each.level == Level.ASK.value and each.answer]
    return Contents(
        title=_title(result),
        word=word,
        tone=tone,
        sentence=sentence,
        more=more,
        notes=tuple(_notes(result, main)),
        tiles=tiles,
        bar=tuple(_bar(tiles)),
        total=len(views),
        mended=tuple([each for sign in (VIOLATED, NOT_KEPT) for each in views if each.sign is sign]),
        failures=told,
        undecided=tuple(each for each in views if each.sign is UNDECIDED),
        chapters=tuple(_chapters(views)),
        reasons=tuple(_reasons(views)),
        otherwise=tuple(each for each in answers if each.sign is not ANSWERED),
        usual=tuple(each for each in answers if each.sign is ANSWERED),
        scenarios=scenarios,
        dialects=tuple(_dialects(result.raw.get("dialects") or ())),
        changed=None if comparison is None else _changed(comparison, views),
        ran=figures.ran(result.raw.get("suites") or {}),
        facts=tuple(_facts(result)),
        abilities=tuple(one_line(str(each), 60) for each in result.target.get("abilities") or ()),
        traffic=main.traffic,
        journal=tuple(_recording(main, kept=kept)),
        rules=tuple(views),
    )


# Evidence


def _worst(row: RuleRow, result: ResultFile, journal: Path | None, scenario_journal: ScenarioJournal) -> _Shown:
    """Where the findings of a rule are to be seen: of a middleware, in the first scenario that ended like the whole."""
    for block in result.raw.get("scenarios") or ():
        for one in block.get("rules") or ():
            if one.get("id") == row.id and one.get("outcome") == row.outcome.value:
                found = rule_row(one)
                if found.findings or found.witness:
                    kept = replace(row, findings=found.findings, witness=found.witness)
                    return _Shown(kept, scenario_journal(block), one_line(scenario_name(block), 200))
    return _Shown(row, journal if not result.raw.get("scenarios") else None)


def _failures(result: ResultFile) -> tuple[_Failure, ...]:
    found = []
    for each in (result.raw.get("failures") or ())[:SHOWN_FAILURES]:
        level = Level(each.get("level", Level.MUST))
        outcome = Outcome.VIOLATED if level is not Level.ASK else Outcome.ANSWERED
        row = FindingRow(
            outcome,
            str(each.get("message", "")),
            tuple(int(number) for number in each.get("exchanges") or ()),
            each.get("bundle"),
        )
        found.append(_Failure(each, row))
    return tuple(found)


def _gathered(
    shown: Sequence[_Shown], failures: Sequence[_Failure], journal: Path | None
) -> dict[Path | None, Gathered]:
    """Each recording, read for what is shown of it."""
    numbers: dict[Path | None, set[int]] = {journal: set(), None: set()}
    stories: dict[Path | None, dict[str, tuple[int, ...]]] = {journal: {}, None: {}}
    for each in shown:
        wanted = numbers.setdefault(each.journal, set())
        told = stories.setdefault(each.journal, {})
        for finding in each.findings:
            wanted.update(finding.exchanges[:SHOWN_EXCHANGES])
        first = next((one for one in each.findings if one.exchanges), None)
        if (
            first is not None
            and each.row.outcome in (Outcome.VIOLATED, Outcome.UNDECIDED)
            and len(told) < SHOWN_STORIES
        ):
            told[each.row.id] = first.exchanges[:SHOWN_EXCHANGES]
    for place, failure in enumerate(failures):
        numbers[journal].update(failure.finding.exchanges[:SHOWN_EXCHANGES])
        if failure.finding.exchanges:
            stories[journal][_failure_key(place)] = failure.finding.exchanges[:SHOWN_EXCHANGES]
    return {path: gather(path, numbers[path], stories[path]) for path in numbers}


def _failure_key(place: int) -> str:
    return f"failure {place}"


def _finding(row: FindingRow, level: Level, gathered: Gathered) -> FindingView:
    wanted = row.exchanges[:SHOWN_EXCHANGES]
    there = [gathered.exchanges[each] for each in wanted if each in gathered.exchanges]
    return FindingView(
        sign=_sign(row.outcome, level),
        message=cut(row.message, MOST_OF_A_MESSAGE),
        exchanges=tuple(telling.told(each) for each in there),
        missing=tuple(each for each in wanted if each not in gathered.exchanges),
        more=len(row.exchanges) - len(wanted),
    )


def _story_of(key: str, row: FindingRow | None, gathered: Gathered) -> Story | None:
    if row is None or key not in gathered.stories:
        return None
    return story(gathered.stories[key], row.exchanges[:SHOWN_EXCHANGES], gathered.header or Header())


# Rules


def _rule(shown: _Shown, rule: Rule | None, gathered: Gathered, anchor: str) -> RuleView:
    row = shown.row
    findings = shown.findings
    first = next((one for one in findings if one.exchanges), None)
    usual = rule.answers[0] if rule is not None and rule.answers else ""
    sign = _sign(row.outcome, row.level)
    if sign is ANSWERED and usual and row.answer != usual:
        sign = OTHERWISE
    commands: tuple[str, ...] = ()
    if row.outcome is Outcome.VIOLATED and first is not None:
        movable = gathered.header is not None and gathered.header.clock == "manual"
        lines = evidence.lines_for(first.exchanges[:SHOWN_EXCHANGES], gathered.exchanges, movable=movable)[1]
        commands = tuple(cut(each, MOST_OF_A_MESSAGE) for each in lines)
    return RuleView(
        anchor=anchor,
        id=one_line(row.id, 200),
        claim=one_line(row.id.partition(".")[2].replace("-", " ") or row.id, 200),
        text=rule.text if rule is not None else "This version of popreceipt does not know the rule.",
        level=row.level.value,
        level_words=LEVELS[row.level],
        binds=one_line(row.binds, 40),
        provenance=one_line(row.provenance, 40),
        source=str(rule.source) if rule is not None else "",
        address=address(rule.source) if rule is not None else None,
        reading=rule.reading if rule is not None else "",
        sign=sign,
        situations=row.situations,
        answer=one_line(row.answer or "", 300),
        usual=usual,
        known=rule.answers if rule is not None else (),
        reason=cut(row.reason or "", MOST_OF_A_MESSAGE),
        findings=tuple(_finding(each, row.level, gathered) for each in findings),
        more=max(len([each for each in row.findings if each.outcome is row.outcome]) - len(findings), 0),
        story=_story_of(row.id, first, gathered),
        commands=commands,
        replay=one_line(next((each.bundle for each in row.findings if each.bundle), "") or "", 300),
        where=shown.where,
        change=None,
    )


def _once_in_full(
    views: list[RuleView], failures: tuple[FailureView, ...]
) -> tuple[list[RuleView], tuple[FailureView, ...]]:
    """The same with each exchange marked that stands in full further up on the page."""
    seen: set[tuple[str, int]] = set()

    def marked(finding: FindingView, where: str) -> FindingView:
        shown = []
        for each in finding.exchanges:
            shown.append(replace(each, repeated=(where, each.number) in seen))
            seen.add((where, each.number))
        return replace(finding, exchanges=tuple(shown))

    def of_rules(*signs: Sign) -> None:
        for sign in signs:
            for place, each in enumerate(views):
                if each.sign is sign:
                    findings = tuple(marked(one, each.where) for one in each.findings)
                    views[place] = replace(each, findings=findings)

    of_rules(VIOLATED, NOT_KEPT)
    told = tuple(replace(each, finding=marked(each.finding, "")) for each in failures)
    of_rules(UNDECIDED)
    for place, each in enumerate(views):
        if each.sign not in (VIOLATED, NOT_KEPT, UNDECIDED):
            views[place] = replace(each, findings=tuple(marked(one, each.where) for one in each.findings))
    return views, told


def _sign(outcome: Outcome, level: Level) -> Sign:
    if outcome is Outcome.VIOLATED:
        return VIOLATED if level is Level.MUST else NOT_KEPT
    return {
        Outcome.UNDECIDED: UNDECIDED,
        Outcome.HELD: HELD,
        Outcome.ANSWERED: ANSWERED,
        Outcome.UNEXERCISED: UNEXERCISED,
    }[outcome]


def _anchor(name: str, taken: Counter[str]) -> str:
    """An address within the page, like no other."""
    made = "rule-" + (re.sub(r"[^a-z0-9.]+", "-", name.lower())[:120] or "unnamed")
    taken[made] += 1
    return made if taken[made] == 1 else f"{made}--{taken[made]}"


def _chapter_of(name: str) -> str:
    return name.partition(".")[0]


def _chapters(views: Sequence[RuleView]) -> Iterator[Chapter]:
    grouped: dict[str, list[RuleView]] = {}
    for each in views:
        grouped.setdefault(_chapter_of(each.id), []).append(each)
    levels = [level for level in Level if any(each.level == level.value for each in views)]
    for place, (name, members) in enumerate(grouped.items()):
        yield Chapter(
            name=name,
            anchor=f"chapter-{place}",
            rules=tuple(members),
            levels=tuple(
                (level.value, tuple(each for each in members if each.level == level.value)) for level in levels
            ),
            signs=tuple((sign, count) for sign in SIGNS if (count := len([e for e in members if e.sign is sign]))),
        )


def _reasons(views: Sequence[RuleView]) -> Iterator[Reason]:
    """Why rules were not exercised, what holds back most of them first."""
    grouped: dict[str, list[RuleView]] = {}
    for each in views:
        if each.sign is UNEXERCISED:
            grouped.setdefault(each.reason or "no reason was told", []).append(each)
    for words, members in sorted(grouped.items(), key=lambda one: -len(one[1])):
        yield Reason(words, tuple(members))


# What else was found


def _failure_views(failures: Sequence[_Failure], violated: set[str], gathered: Gathered) -> tuple[FailureView, ...]:
    """What suites found; what a violated rule tells already is left to it."""
    told = []
    for place, each in enumerate(failures):
        check = one_line(str(each.raw.get("check", "")), 200)
        if check in violated:
            continue
        level = Level(each.raw.get("level", Level.MUST))
        told.append(
            FailureView(
                anchor=f"failure-{place}",
                suite=one_line(str(each.raw.get("suite", "")), 60),
                where=one_line(str(each.raw.get("where", "")), 200),
                check=check,
                level=level.value,
                sign=_sign(each.finding.outcome, level),
                expected=cut(str(each.raw.get("expected", "")), MOST_OF_A_MESSAGE),
                finding=_finding(each.finding, level, gathered),
                story=_story_of(_failure_key(place), each.finding, gathered),
                replay=one_line(each.finding.bundle or "", 300),
            )
        )
    return tuple(told)


def _scenarios(blocks: Sequence[Mapping[str, Any]]) -> Iterator[ScenarioView]:
    worst = list(SIGNS)
    for block in blocks[:SHOWN_SCENARIOS]:
        rows = [rule_row(each) for each in block.get("rules") or ()]
        signs = sorted((_sign(each.outcome, each.level) for each in rows), key=worst.index)
        note = block.get("harness_fault") or block.get("lacks") or ""
        yield ScenarioView(
            name=one_line(scenario_name(block), 200),
            title=one_line(str(block.get("title", "")), 300),
            sign=signs[0] if signs else UNEXERCISED,
            violated=tuple(each.id for each in rows if each.outcome is Outcome.VIOLATED),
            note=one_line(str(note), 300),
        )


def _dialects(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Sign, str]]:
    for each in rows[:SHOWN_SCENARIOS]:
        survived, broken = each.get("survived"), each.get("broken")
        sign = UNDECIDED if survived is None else HELD if survived else VIOLATED
        how = f"{broken.get('scenario', '')}: {broken.get('words', '')}" if isinstance(broken, Mapping) else ""
        yield one_line(str(each.get("dialect", "")), 200), sign, one_line(how, 300)


def _changed(comparison: Comparison, views: Sequence[RuleView]) -> Changed:
    by_id = {each.id: each for each in views}
    previous = comparison.previous
    tones = {Direction.WORSE: Tone.BAD, Direction.BETTER: Tone.GOOD, Direction.OTHER: Tone.NEUTRAL}
    return Changed(
        name=one_line(str(previous.target.get("name") or "journal"), 200),
        written=_written(previous),
        circumstances=tuple(one_line(each, 300) for each in comparison.circumstances),
        groups=tuple(
            (direction.value, tones[direction], len(going), _by_change(going[:SHOWN_RULES], by_id))
            for direction in Direction
            if (going := comparison.going(direction))
        ),
        alike=comparison.alike,
        still_violated=len(comparison.still_violated),
        found=_checks(comparison.found, comparison),
        gone=_checks(comparison.gone, comparison),
    )


def _checks(told: Sequence[str], comparison: Comparison) -> tuple[str, ...]:
    """The checks of suites that changed; what a rule's own change tells already is left to it."""
    beside = [each for each in told if each.partition(": ")[2] not in comparison.by_id]
    return tuple(one_line(each, 300) for each in beside[:SHOWN_FAILURES])


def _by_change(
    changes: Sequence[RuleChange], by_id: Mapping[str, RuleView]
) -> tuple[tuple[str, tuple[tuple[RuleView | None, RuleChange], ...]], ...]:
    grouped: dict[str, list[tuple[RuleView | None, RuleChange]]] = {}
    for each in changes:
        grouped.setdefault(each.change.value, []).append((by_id.get(each.id), each))
    return tuple((words, tuple(members)) for words, members in grouped.items())


# The answer


def _bar(tiles: Sequence[tuple[Sign, int]]) -> Iterator[tuple[Sign, float, float]]:
    """The outcomes as stretches of a bar, from where and how wide in thousandths; the smallest is still to be seen."""
    shown = [(sign, count) for sign, count in tiles if count]
    total = sum(count for _, count in shown)
    wide = [max(1000 * count / total, THINNEST) for _, count in shown]
    x = 0.0
    for (sign, _), width in zip(shown, wide, strict=True):
        part = 1000 * width / sum(wide)
        yield sign, x, part
        x += part


def _title(result: ResultFile) -> str:
    name = one_line(str(result.target.get("name") or "journal"), 200)
    return f"Verdict on {name}"


def _answer(
    result: ResultFile, views: Sequence[RuleView], failures: Sequence[FailureView], scenarios: int
) -> tuple[str, Tone, str, tuple[str, ...]]:
    """A word, how it is meant, a sentence that can be acted on, and what else to know at once."""
    must = [each for each in views if each.sign is VIOLATED]
    convicting = [each for each in failures if each.sign is VIOLATED]
    should = [each for each in views if each.sign is NOT_KEPT]
    undecided = [each for each in views if each.sign is UNDECIDED]
    judged = [each for each in views if each.sign is not UNEXERCISED]
    more = list(_counted(views, scenarios))
    unsure = [] if result.complete else ["The run did not come to its end: what it did not reach is not judged."]
    if must or convicting:
        if must:
            first = must[0]
            what = f"{_some(len(must), 'rule')} that must hold {_is_or_are(must)} violated"
            sentence = f"{what}: {first.text}" if len(must) == 1 else f"{what}, among them: {first.text}"
            if convicting:
                more.insert(0, f"{_some(len(convicting), 'further check')} of {convicting[0].suite} failed.")
        else:
            what = f"{_some(len(convicting), 'check')} of {convicting[0].suite} failed"
            sentence = f"{what}: {convicting[0].expected}"
        return "Violated", Tone.BAD, sentence, (*unsure, *more)
    if not judged:
        return "Nothing proved", Tone.CAUTION, "No rule found anything to judge.", (*unsure, *more)
    if not result.complete:
        return "Not complete", Tone.CAUTION, "The run did not come to its end. This is no pass.", tuple(more)
    if should or undecided:
        parts = []
        if should:
            parts.append(f"{_some(len(should), 'recommendation')} {_is_or_are(should)} not kept")
        if undecided:
            parts.append(f"{_some(len(undecided), 'rule')} could not be decided")
        return (
            "Held, with remarks",
            Tone.CAUTION,
            f"No rule that must hold is violated; {' and '.join(parts)}.",
            (*more,),
        )
    return "Held", Tone.GOOD, "No rule is violated: whatever could be judged was kept.", tuple(more)


def _counted(views: Sequence[RuleView], scenarios: int) -> Iterator[str]:
    situations = sum(each.situations for each in views)
    judged = len([each for each in views if each.sign is not UNEXERCISED])
    yield (
        f"{judged:,} of {_some(len(views), 'rule')} met {_some(situations, 'situation')} to judge"
        + (f" in {_some(scenarios, 'scenario')}" if scenarios else "")
        + "."
    )
    otherwise = [each for each in views if each.sign is OTHERWISE]
    if otherwise:
        yield (
            f"{_some(len(otherwise), 'open point')} of the documentation "
            f"{_is_or_are(otherwise)} answered otherwise than usual."
        )
    if len(views) - judged:
        yield f"{_some(len(views) - judged, 'rule')} {'was' if len(views) - judged == 1 else 'were'} not exercised."


def _some(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _is_or_are(members: Sequence[object]) -> str:
    return "is" if len(members) == 1 else "are"


def _notes(result: ResultFile, gathered: Gathered) -> Iterator[str]:
    told = [str(each) for each in result.raw.get("notes") or ()]
    for each in told:
        yield cut(each, MOST_OF_A_MESSAGE)
    if gathered.damage is not None and not any(gathered.damage in each for each in told):
        yield f"The journal was cut off: {gathered.damage}."
    if gathered.path is None and not result.raw.get("scenarios"):
        yield "There is no journal beside the result: findings stand without their exchanges."
    if len(result.rules) > SHOWN_RULES:
        yield f"Only {SHOWN_RULES:,} of {len(result.rules):,} rules are shown; all of them stand in the verdict file."


# The run


def _facts(result: ResultFile) -> Iterator[tuple[str, str]]:
    target = result.target
    yield "Target", one_line(str(target.get("name") or "journal"), 200)
    if target.get("build"):
        yield "Build", one_line(str(target["build"]), 200)
    clocks = {
        "manual": "manual: time was moved on purpose",
        "system": "the real time",
        "scaled": "scaled: time ran faster",
    }
    if target.get("clock"):
        yield "Clock", clocks.get(str(target["clock"]), one_line(str(target["clock"]), 60))
    yield "Seed", "none" if result.seed is None else str(result.seed)
    yield "Duration", telling.lasting(timedelta(seconds=result.duration_seconds))
    if written := _written(result):
        yield "Result written", written
    made = result.raw.get("written")
    if isinstance(made, Mapping) and made.get("by"):
        yield "Made by", one_line(str(made["by"]), 60)
    if result.raw.get("command"):
        yield "Command", one_line(" ".join(str(each) for each in result.raw["command"]), 300)
    if isinstance(lease := result.raw.get("lease_seconds"), int | float):
        yield "Lease", f"{lease:g} s, shortened from half an hour"


def _written(result: ResultFile) -> str:
    """When the verdict file was written, where it says so."""
    made = result.raw.get("written")
    try:
        at = instant(str(made["at"])) if isinstance(made, Mapping) else None
    except (KeyError, ValueError):
        return ""
    return "" if at is None else f"{telling.day(at)}, {telling.time_of_day(at).partition('.')[0]} UTC"


def _recording(gathered: Gathered, *, kept: bool) -> Iterator[tuple[str, str]]:
    if gathered.path is None or gathered.header is None:
        return
    header = gathered.header
    requests = sum(each.requests for each in gathered.traffic)
    yield "File", one_line(gathered.path.name, 200) if kept else "not kept; with --out DIR it is"
    if kept and gathered.sha256 is not None:
        yield "SHA-256", gathered.sha256
    yield "Recorded by", f"the {header.recorded_by}"
    yield "Exchanges", f"{requests:,}"
    if gathered.first is not None and gathered.last is not None:
        yield "From", f"{telling.day(gathered.first)}, {telling.time_of_day(gathered.first)} UTC"
        yield "Until", f"{telling.day(gathered.last)}, {telling.time_of_day(gathered.last)} UTC"
        yield "Time of the target", telling.lasting(gathered.last - gathered.first)
    if header.rate not in (None, 0, 1.0):
        yield "Rate", f"{header.rate:g} seconds to one real second"
    if header.lease_seconds:
        yield "Lease", f"{header.lease_seconds:g} s, shortened on purpose"
    if header.retention_seconds:
        yield "Retention", f"{header.retention_seconds:g} s, shortened on purpose"
    if header.dialect:
        yield "Dialect", one_line(header.dialect, 200)
    yield "Whole", "yes" if gathered.damage is None else f"no: {one_line(gathered.damage, 200)}"
