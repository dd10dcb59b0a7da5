"""Whether a result may pass: beside the findings that are accepted, and beside what was seen before.

Pure: it is handed the result, the baseline and the day. A verdict may improve and never fall, what was exercised once
must stay so, and every acceptance needs its finding, its owner, its issue and its last day.
"""

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from itertools import combinations
from typing import Any, Final

from popreceipt.gates.baseline import Accepted, Baseline, Seen
from popreceipt.gates.evidence import Evidence, Found, exercised
from popreceipt.gates.pattern import matches
from popreceipt.reports.result import RuleRow
from popreceipt.verdict import KEPT_FINDINGS, Level, Outcome

FORMAT: Final = "popreceipt/gate@1"

PASSED, FINDINGS, NOTHING = 0, 1, 3

SOON: Final = timedelta(days=14)
"""So long before its last day an entry is spoken of."""

_RANK: Final = {Outcome.VIOLATED: 0, Outcome.UNDECIDED: 1, Outcome.HELD: 2, Outcome.ANSWERED: 2}
"""How good an outcome is; a verdict may only rise."""


class Kind(StrEnum):
    """What a remark is about."""

    DAMAGED = "the result contradicts itself"
    INCOMPLETE = "the result is not complete"
    NOTHING = "nothing was exercised"
    OTHER_TARGET = "another target"
    OTHER_KIND = "a result of another kind"
    NEW = "not accepted"
    RECOMMENDED = "a recommendation that is not kept"
    EXPIRED = "expired acceptance"
    TOO_LONG = "acceptance for too long"
    STALE = "stale acceptance"
    UNSETTLED = "acceptance that cannot be checked"
    OVERLAPPING = "overlapping acceptances"
    UNKNOWN = "unknown rule"
    FALLEN = "fallen verdict"
    UNEXERCISED = "no longer exercised"
    UNDECIDED = "undecided"
    GONE = "gone"
    CUT = "findings that nobody listed"
    ANSWER = "answered otherwise"
    CHANGED = "recommended otherwise"
    SOON = "expires soon"
    ACCEPTED = "accepted"
    IMPROVED = "improved"
    ADDED = "exercised for the first time"
    UNSEEN = "never seen"


NOTHING_PROVED: Final = frozenset({Kind.DAMAGED, Kind.INCOMPLETE, Kind.NOTHING})
"""What says that the result proves nothing, rather than that it shows something bad."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """One thing that the gate has to say.

    Args:
        kind: what it is about.
        subject: the rule, check, scenario, suite or target.
        words: what was found, and what was wanted or may be done.
        fails: whether the result may not pass for it.
        scenario: where, in a middleware result.
        entry: the number of the acceptance concerned.
    """

    kind: Kind
    subject: str
    words: str
    fails: bool = True
    scenario: str | None = None
    entry: int | None = None

    def as_json(self) -> dict[str, Any]:
        """As `--json` writes it."""
        return {
            "kind": self.kind.name.lower().replace("_", "-"),
            "title": self.kind.value,
            "subject": self.subject,
            "scenario": self.scenario,
            "entry": self.entry,
            "words": self.words,
            "fails": self.fails,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a gate decided, and why: what fails first, then what is only told.

    `uncovered` are the findings that an entry would have to accept.
    """

    evidence: Evidence
    baseline: Baseline
    today: date
    remarks: tuple[Remark, ...]
    uncovered: tuple[Found, ...] = field(default=(), repr=False)

    @property
    def failing(self) -> tuple[Remark, ...]:
        """Why the result may not pass."""
        return tuple(each for each in self.remarks if each.fails)

    @property
    def told(self) -> tuple[Remark, ...]:
        """What else is worth knowing."""
        return tuple(each for each in self.remarks if not each.fails)

    @property
    def exit_status(self) -> int:
        """What the command ends with: 0 passed, 1 not passed, 3 the result proves nothing."""
        if not self.failing:
            return PASSED
        return NOTHING if all(each.kind in NOTHING_PROVED for each in self.failing) else FINDINGS

    def as_json(self) -> dict[str, Any]:
        """As `--json` writes it, format `popreceipt/gate@1`."""
        return {
            "format": FORMAT,
            "passed": self.exit_status == PASSED,
            "status": self.exit_status,
            "result": str(self.evidence.path),
            "baseline": str(self.baseline.path),
            "target": self.evidence.target,
            "today": self.today.isoformat(),
            "exercised": len(self.evidence.exercised),
            "remarks": [each.as_json() for each in self.remarks],
        }


def decide(
    evidence: Evidence,
    baseline: Baseline,
    *,
    today: date,
    known: Mapping[str, Level],
    strict: bool = False,
    another_target: bool = False,
) -> Decision:
    """Decide whether a result may pass.

    Args:
        evidence: the result.
        baseline: what is accepted, and what was seen before.
        today: the day (UTC); an acceptance holds to the end of its last one.
        known: all rules that there are, with their levels.
        strict: what is undecided, answered otherwise or cut off may not pass either.
        another_target: the result's target may be another than was seen.
    """
    judging = _Deciding(evidence, baseline, today, known, strict, another_target)
    remarks = sorted(judging.remarks(), key=lambda each: not each.fails)
    return Decision(
        evidence=evidence,
        baseline=baseline,
        today=today,
        remarks=tuple(remarks),
        uncovered=() if judging.damage else tuple(judging.uncovered()),
    )


class _Deciding:
    def __init__(
        self,
        evidence: Evidence,
        baseline: Baseline,
        today: date,
        known: Mapping[str, Level],
        strict: bool,
        another_target: bool,
    ) -> None:
        self._evidence = evidence
        self._baseline = baseline
        self._today = today
        self._known = known
        self._strict = strict
        self._another_target = another_target
        self.damage = (*evidence.damage, *self._of_another_version())
        self._covering = {
            each: tuple(entry for entry in baseline.accepted if covers(entry, each)) for each in evidence.found
        }

    def remarks(self) -> Iterator[Remark]:
        """Everything that there is to say."""
        if self.damage:
            for words in self.damage:
                yield Remark(kind=Kind.DAMAGED, subject=self._evidence.path.name, words=words)
            return  # what it says is not believed
        yield from self._new()
        yield from self._entries()
        yield from self._overlapping()
        if self._evidence.incomplete is not None:
            words = f"{self._evidence.incomplete}: it proves nothing, whatever stands in it"
            yield Remark(kind=Kind.INCOMPLETE, subject=self._evidence.path.name, words=words)
            return  # what it did not come to cannot be held against it
        if self._evidence.kind == "sizing":
            yield from self._sizing()
        elif not self._evidence.exercised:
            words = "no rule found anything to judge"
            yield Remark(kind=Kind.NOTHING, subject=self._evidence.path.name, words=words)
            return
        yield from self._stale()
        if self._baseline.seen is None:
            words = "it has no [seen], so nothing can be less than it was: --update writes down what is"
            yield Remark(kind=Kind.UNSEEN, subject=self._baseline.path.name, words=words)
        else:
            yield from self._beside(self._baseline.seen)

    def uncovered(self) -> Iterator[Found]:
        """Violations that no entry accepts."""
        for each, entries in self._covering.items():
            if each.outcome is Outcome.VIOLATED and not entries:
                yield each

    def _of_another_version(self) -> Iterator[str]:
        """Where the result and this version's catalogue speak of two things by one name."""
        for rows in (self._evidence.rules, *self._evidence.scenarios.values()):
            for name, row in rows.items():
                if self._known.get(name, row.level) is not row.level:
                    yield f"{name} is a {row.level} in it, and a {self._known[name]} in the catalogue of this version"

    # What was found, and the entries

    def _new(self) -> Iterator[Remark]:
        for each in self.uncovered():
            kind, fails = Kind.NEW, True
            if each.level is not Level.MUST:
                kind = Kind.RECOMMENDED
                fails = self._baseline.settings.recommendations == "fail" or self._strict
            words = f"{each.level}: {each.message}"
            yield Remark(kind=kind, subject=each.rule, words=words, scenario=each.scenario, fails=fails)
        for each, entries in self._covering.items():
            if each.outcome is Outcome.VIOLATED and entries:
                words = f"{each.message} (until {entries[0].expires}, {entries[0].owner}, {entries[0].issue})"
                yield self._of_entry(Kind.ACCEPTED, entries[0], words, fails=False)
        for rule, scenario in sorted(self._evidence.cut, key=str):
            words = (
                f"{KEPT_FINDINGS} findings are listed, as many as a result keeps: whether the entries cover what was "
                "found beyond them cannot be told"
            )
            yield Remark(kind=Kind.CUT, subject=rule, words=words, scenario=scenario, fails=self._strict)

    def _entries(self) -> Iterator[Remark]:
        longest = self._today + timedelta(days=self._baseline.settings.longest_days)
        for entry in self._baseline.accepted:
            if entry.expires < self._today:
                words = f"it was accepted until {entry.expires}: mend it, or let {entry.owner} decide again"
                yield self._of_entry(Kind.EXPIRED, entry, words)
            elif entry.expires > longest:
                words = f"it expires on {entry.expires}, and {longest} is the latest that longest_days allows"
                yield self._of_entry(Kind.TOO_LONG, entry, words)
            elif entry.expires <= self._today + SOON:
                words = f"its last day is {entry.expires}"
                yield self._of_entry(Kind.SOON, entry, words, fails=False)
            if looks_like_a_rule(entry.rule, self._known) and entry.rule not in self._known:
                words = f"there is no such rule{_instead(entry.rule, self._known)}"
                yield self._of_entry(Kind.UNKNOWN, entry, words)

    def _overlapping(self) -> Iterator[Remark]:
        told: set[tuple[int, int]] = set()
        for each, entries in self._covering.items():
            for one, other in combinations(entries, 2):
                if (one.number, other.number) not in told:
                    told.add((one.number, other.number))
                    words = f"entries {one.number} and {other.number} both accept {each.message!r}: leave one of them"
                    yield self._of_entry(Kind.OVERLAPPING, other, words)

    def _stale(self) -> Iterator[Remark]:
        """Entries that accept what is no longer found. Where their rule can't be told of, neither can they."""
        needed = {entry.number for entries in self._covering.values() for entry in entries}
        for entry in self._baseline.accepted:
            if entry.number in needed or self._is_unknown(entry.rule):
                continue
            rows = self._rows_for(entry)
            cut = any(
                rule == entry.rule and entry.scenario in (None, scenario) for rule, scenario in self._evidence.cut
            )
            doubt = any(row.outcome is Outcome.UNDECIDED and entry.outcome is Outcome.VIOLATED for row in rows)
            if cut or doubt:
                words = "its rule is undecided" if doubt else "not all of the rule's findings are listed"
                words += ": whether it is still needed cannot be told"
                yield self._of_entry(Kind.UNSETTLED, entry, words, fails=False)
            else:
                words = f"nothing that was found is like {entry.message!r}: take it out of {self._baseline.path.name}"
                yield self._of_entry(Kind.STALE, entry, words)

    def _rows_for(self, entry: Accepted) -> list[RuleRow]:
        evidence = self._evidence
        blocks: Iterable[Mapping[str, RuleRow]] = [evidence.rules]
        if evidence.scenarios:
            blocks = [rows for name, rows in evidence.scenarios.items() if entry.scenario in (None, name)]
        return [rows[entry.rule] for rows in blocks if entry.rule in rows]

    def _is_unknown(self, rule: str) -> bool:
        return looks_like_a_rule(rule, self._known) and rule not in self._known

    def _of_entry(self, kind: Kind, entry: Accepted, words: str, *, fails: bool = True) -> Remark:
        return Remark(
            kind=kind, subject=entry.rule, words=words, scenario=entry.scenario, entry=entry.number, fails=fails
        )

    # Beside what was seen

    def _beside(self, seen: Seen) -> Iterator[Remark]:
        evidence = self._evidence
        if (evidence.kind, evidence.binds) != (seen.kind, seen.binds):
            words = (
                f"a result of {evidence.kind} on the {evidence.binds}'s rules, beside one of {seen.kind} on the "
                f"{seen.binds}'s: keep a baseline for each"
            )
            yield Remark(kind=Kind.OTHER_KIND, subject=evidence.path.name, words=words)
            return
        yield from self._target(seen)
        for what, before, now in (
            ("suite", seen.suites, evidence.suites),
            ("scenario", tuple(seen.scenarios), tuple(evidence.scenarios)),
            ("operation", seen.operations, evidence.operations),
        ):
            for name in before:
                if name not in now:
                    yield Remark(kind=Kind.GONE, subject=name, words=f"this {what} was played before, and was not now")
        yield from self._rules(seen.outcomes, evidence.rules, None)
        for name, outcomes in seen.scenarios.items():
            if name in evidence.scenarios:
                yield from self._rules(outcomes, evidence.scenarios[name], name)
        yield from self._answers(seen)

    def _target(self, seen: Seen) -> Iterator[Remark]:
        name, wanted = self._evidence.target, self._baseline.settings.target
        fits = name == seen.target if wanted is None else matches(wanted, name)
        if fits or self._another_target or self._evidence.kind == "sizing":
            return
        words = (
            f"the baseline is of {seen.target if wanted is None else wanted} – say in [gate] which targets belong to "
            "it (a star stands for anything), or --another-target this once"
        )
        yield Remark(kind=Kind.OTHER_TARGET, subject=name, words=words)

    def _rules(
        self, before: Mapping[str, Outcome], rows: Mapping[str, RuleRow], scenario: str | None
    ) -> Iterator[Remark]:
        now = exercised(rows)
        for rule, outcome in before.items():
            row = now.get(rule)
            if row is None:
                yield self._not_exercised(rule, rows.get(rule), scenario)
            elif _RANK[row.outcome] < _RANK[outcome] and row.outcome is Outcome.UNDECIDED:
                if not self._accepted_as_undecided(rule, scenario):
                    words = f"it was {outcome}, and now cannot be decided: {_first_words(row)}"
                    yield Remark(kind=Kind.FALLEN, subject=rule, words=words, scenario=scenario)
            elif _RANK[row.outcome] > _RANK[outcome]:
                words = f"it was {outcome}, and is {row.outcome}"
                yield Remark(kind=Kind.IMPROVED, subject=rule, words=words, scenario=scenario, fails=False)
        for rule, row in now.items():
            if rule not in before and row.outcome is not Outcome.VIOLATED and scenario is None:
                yield Remark(kind=Kind.ADDED, subject=rule, words=f"it is {row.outcome}", fails=False)
            if row.outcome is Outcome.UNDECIDED and before.get(rule, Outcome.UNDECIDED) is Outcome.UNDECIDED:
                fails = self._strict and not self._accepted_as_undecided(rule, scenario)
                words = _first_words(row)
                yield Remark(kind=Kind.UNDECIDED, subject=rule, words=words, scenario=scenario, fails=fails)

    def _not_exercised(self, rule: str, row: RuleRow | None, scenario: str | None) -> Remark:
        if row is None and self._is_unknown(rule):
            words = f"there is no such rule any more{_instead(rule, self._known)}"
            return Remark(kind=Kind.UNKNOWN, subject=rule, words=words, scenario=scenario)
        words = "it is not among the rules that were judged" if row is None else f"{row.reason}"
        # Whether a subject comes to a rule in the very scenario may be a matter of its own timing.
        fails = scenario is None or self._strict
        return Remark(kind=Kind.UNEXERCISED, subject=rule, words=words, scenario=scenario, fails=fails)

    def _accepted_as_undecided(self, rule: str, scenario: str | None) -> bool:
        """Whether entries accept that a rule cannot be decided: everything that is undecided of it."""
        entries = [
            entries
            for found, entries in self._covering.items()
            if found.rule == rule and found.outcome is Outcome.UNDECIDED and scenario in (None, found.scenario)
        ]
        return bool(entries) and all(entries)

    def _answers(self, seen: Seen) -> Iterator[Remark]:
        fails = self._strict or self._baseline.settings.answers == "fail"
        for rule, before in seen.answers.items():
            row = self._evidence.exercised.get(rule)
            if row is not None and row.answer is not None and row.answer != before:
                words = f"{before} before, {row.answer} now"
                yield Remark(kind=Kind.ANSWER, subject=rule, words=words, fails=fails)

    def _sizing(self) -> Iterator[Remark]:
        now = self._evidence.recommended
        if "processing_minutes" not in now:
            words = "no recurrence meets the objective"
            yield Remark(kind=Kind.NEW, subject="recommended", words=words)
            return
        before = {} if self._baseline.seen is None else self._baseline.seen.recommended
        for name, minutes in before.items():
            if now.get(name) != minutes:
                words = f"{minutes:g} min before, {'none' if name not in now else f'{now[name]:g} min'} now"
                fails = self._strict or name not in now
                yield Remark(kind=Kind.CHANGED, subject=name, words=words, fails=fails)


def covers(entry: Accepted, found: Found) -> bool:
    """Whether an entry accepts a finding; whether it has expired is another question."""
    return (
        entry.rule == found.rule
        and entry.outcome is found.outcome
        and entry.scenario in (None, found.scenario)
        and matches(entry.message, found.message)
    )


def looks_like_a_rule(name: str, known: Collection[str]) -> bool:
    """Whether a name is meant as a rule's: it begins with a chapter. A suite's own check has spaces, or no chapter."""
    chapter, point, claim = name.partition(".")
    return bool(point and claim) and " " not in name and chapter in {each.partition(".")[0] for each in known}


def _instead(rule: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(rule, sorted(known), 1)
    return f"; {close[0]} is like it (rules: `popreceipt rules`)" if close else " (rules: `popreceipt rules`)"


def _first_words(row: RuleRow) -> str:
    return next((each.message for each in row.findings if each.outcome is row.outcome), row.reason or "")
