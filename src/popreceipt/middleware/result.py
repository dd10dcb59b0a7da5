"""The result of a run: every scenario's verdicts, the worst of each rule, which dialects were survived, and the files.

It decides what a run amounts to and how a program reads it; how a person does stands in module `terminal`.
"""

import json
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from pathlib import Path
from typing import Any, Final

from popreceipt import __version__
from popreceipt.middleware.judging import sides_touched, without_untouched
from popreceipt.middleware.played import Exit, Judged
from popreceipt.middleware.running import Options, label
from popreceipt.middleware.scenario import EXPORT, IMPORT, Side
from popreceipt.reports import junit
from popreceipt.reports.result import of_json
from popreceipt.verdict import Finding, Level, Outcome, RuleVerdict, Verdicts, merged

FINDINGS, FAULT, NOTHING, INTERRUPTED = 1, 4, 3, 130

_NONE_HERE: Final = "no situation for it arose"
_NO_SITUATION: Final = "none of the scenarios that were played gave rise to it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """Where and how a dialect broke a subject: scenario, rules, in words; `plain` where it breaks without it too."""

    scenario: str
    rules: tuple[str, ...]
    words: str
    plain: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Survival:
    """What became of a subject under one dialect.

    Args:
        dialect: `POINT=VALUE`, or several with a comma between.
        scenarios: how many were played under it.
        broken: where it broke the subject; None where the subject survived.
        decided: whether that may be said: no fault of ours came in between.
        shaken: recommendations that were not kept under it and were kept without it.
    """

    dialect: str
    scenarios: int
    broken: Break | None
    decided: bool = True
    shaken: tuple[str, ...] = ()


@dataclass(frozen=True)
class Result:
    """A run over scenarios.

    Args:
        judged: those that were played, in the order in which they were asked for.
        command: the command line as it was given, placeholders and all; nothing where a process was attached.
        asked: how many scenarios there should have been.
        sides: those that the subject was said to have.
        lease_seconds: the lease in real seconds, before a scenario made it longer.
        seed: of everything that was made up.
        seconds: from the first start to the last verdict.
        jobs: how many scenarios were played at once.
        interrupted: somebody stopped it.
        notes: what else is worth knowing.
    """

    judged: tuple[Judged, ...]
    command: tuple[str, ...] = ()
    asked: int = 0
    sides: tuple[Side, ...] = (EXPORT, IMPORT)
    lease_seconds: float = 0.0
    seed: int = 0
    seconds: float = 0.0
    jobs: int = 1
    interrupted: bool = False
    notes: tuple[str, ...] = field(default=())

    @classmethod
    def of(cls, judged: Sequence[Judged], *, sides: tuple[Side, ...] = (EXPORT, IMPORT), **facts: Any) -> "Result":
        """The result of a run: what the subject never touched is taken out of the verdicts."""
        return cls(judged=without_untouched(judged, sides), sides=sides, **({"asked": len(judged)} | facts))

    @cached_property
    def sides_touched(self) -> frozenset[Side]:
        """The sides of the connector that the subject called."""
        return sides_touched(each.played for each in self.judged)

    @cached_property
    def rules(self) -> tuple[RuleVerdict, ...]:
        """The worst of each rule over all scenarios; findings name the scenario."""
        worst = (reduce(merged, each) for each in zip(*map(_named, self.judged), strict=True))
        return tuple(replace(each, reason=_NO_SITUATION) if each.reason == _NONE_HERE else each for each in worst)

    @property
    def faults(self) -> list[Judged]:
        """Scenarios in which we failed."""
        return [each for each in self.judged if each.played.fault is not None]

    @property
    def complete(self) -> bool:
        """Every scenario was played to its end, and none failed for our sake."""
        cut = self.interrupted or any(each.played.cut_short for each in self.judged)
        return not cut and not self.faults and len(self.judged) == self.asked

    @cached_property
    def dialects(self) -> tuple[Survival, ...]:
        """What became of the subject under each dialect, in the order in which they were played."""
        under: dict[str, list[Judged]] = {}
        plain: dict[str, Judged] = {}
        for each in self.judged:
            if each.played.scenario.dialect is None:
                plain[each.played.scenario.name] = each
            else:
                under.setdefault(each.played.scenario.dialect, []).append(each)
        return tuple(_survival(dialect, judged, plain) for dialect, judged in under.items())

    @cached_property
    def verdicts(self) -> Verdicts:
        """The top-level verdicts, as other reports take them."""
        return Verdicts(
            rules=self.rules,
            target={
                "name": shlex.join(self.command) if self.command else "an attached process",
                "build": f"judged by popreceipt {__version__}",
                "clock": "system",
                "abilities": sorted(self.sides_touched),
            },
            seed=self.seed,
            duration_seconds=self.seconds,
            complete=self.complete,
            notes=self.notes,
        )

    def violated(self, *, strict: bool = False) -> bool:
        """Whether a MUST is violated; `strict`: or a SHOULD, or a rule is undecided."""
        broken = self.verdicts.with_outcome(Outcome.VIOLATED)
        if any(strict or each.level is Level.MUST for each in broken):
            return True
        return strict and bool(self.verdicts.with_outcome(Outcome.UNDECIDED))

    def exit_status(self, *, strict: bool = False) -> int:
        """What the command ends with.

        130 stopped, 1 a MUST violated (`strict`: or a SHOULD, or a rule undecided), 4 a fault of ours in any scenario,
        3 nothing exercised, 0 all well.
        """
        if self.interrupted:
            return INTERRUPTED
        # What we left undecided is no finding, however strict somebody is.
        if self.violated() or (strict and not self.faults and self.violated(strict=True)):
            return FINDINGS
        if self.faults:
            return FAULT
        if all(each.outcome is Outcome.UNEXERCISED for each in self.rules):
            return NOTHING
        return 0

    def as_json(self) -> dict[str, Any]:
        """As the verdict file has it; `complete` stands last."""
        content = self.verdicts.as_json()
        complete = content.pop("complete")
        return content | {
            "command": list(self.command),
            "lease_seconds": self.lease_seconds,
            "jobs": self.jobs,
            "played_seconds": round(sum(each.played.seconds for each in self.judged), 3),
            "interrupted": self.interrupted,
            "dialects": [_survival_json(each) for each in self.dialects],
            "scenarios": [each.as_json() for each in self.judged],
            "complete": complete,
        }

    def write(self, path: Path) -> None:
        """Write the verdict file in two steps, so that one that was cut off never says that it is complete.

        Raises:
            OSError: it cannot be written.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        content = self.as_json()
        path.write_text(json.dumps(content | {"complete": False}, indent=1), encoding="utf-8")
        if self.complete:
            path.write_text(json.dumps(content, indent=1), encoding="utf-8")

    def write_junit(self, path: Path) -> None:
        """Write the verdicts as JUnit XML: a suite a scenario, a case for each rule that said something.

        Raises:
            OSError: it cannot be written.
        """
        junit.write_result(of_json(self.as_json(), path), path)


def again(result: Result, judged: Judged, options: Options) -> list[str]:
    """The command line that plays one scenario of a run again, alone."""
    words = ["popreceipt", "middleware", "--scenario", judged.played.scenario.name]
    if judged.played.scenario.dialect is not None:
        words += ["--dialect", judged.played.scenario.dialect]
    if len(result.sides) == 1:
        words += ["--side", *result.sides]
    words += ["--lease", f"{options.lease_seconds:g}", "--seed", str(options.seed)]
    if options.seconds is not None:
        words += ["--seconds", f"{options.seconds:g}"]
    words += ["--tls"] if options.tls else []
    words += ["--proxy"] if options.proxy else []
    return [*words, "--", *result.command] if result.command else [*words, "--attach"]


def crash_of(judged: Judged) -> Exit | None:
    """How a subject fell over by itself, or reported a problem; None where it did not."""
    return next((each for each in judged.played.exits if not each.by_us and each.status != 0), None)


def ending_in_words(how: Exit) -> str:
    """An end of a process, in words."""
    if how.status is None:
        return how.words or "it could not be started"
    return f"ended by signal {-how.status}" if how.status < 0 else f"ended with status {how.status}"


def violations(judged: Judged, *levels: Level) -> list[RuleVerdict]:
    """The violated rules of these levels; of all where none is named."""
    return [each for each in judged.rules if each.outcome is Outcome.VIOLATED and (not levels or each.level in levels)]


def _named(judged: Judged) -> tuple[RuleVerdict, ...]:
    """Verdicts of a scenario, with its name before each finding and reason."""
    where = label(judged.played.scenario)

    def named(finding: Finding) -> Finding:
        return finding if finding.outcome is Outcome.HELD else _with_message(finding, f"{where}: {finding.message}")

    return tuple(
        replace(
            each,
            findings=tuple(map(named, each.findings)),
            reason=f"{where}: {each.reason}" if each.outcome is Outcome.UNDECIDED and each.reason else each.reason,
        )
        for each in judged.rules
    )


def _with_message(finding: Finding, message: str) -> Finding:
    return Finding(finding.outcome, message, finding.exchanges, finding.answer)


_TOLD_AT_MOST: Final = 3


def _survival(dialect: str, judged: Sequence[Judged], plain: dict[str, Judged]) -> Survival:
    broken = next(filter(None, (_break(each, plain.get(each.played.scenario.name)) for each in judged)), None)
    return Survival(
        dialect=dialect,
        scenarios=len(judged),
        broken=broken,
        decided=broken is not None or all(each.played.fault is None for each in judged),
        shaken=tuple(dict.fromkeys(_shaken(judged, plain))),
    )


def _break(judged: Judged, plain: Judged | None) -> Break | None:
    """How a dialect broke a subject in a scenario: a MUST was violated, or it fell over where it had not without."""
    musts = violations(judged, Level.MUST)
    crash = crash_of(judged)
    told = [each.findings[0].message for each in musts if each.findings]
    if crash is not None and (plain is None or crash_of(plain) is None):
        told.insert(0, ending_in_words(crash))
    elif not musts:
        return None
    before = set() if plain is None else {each.id for each in violations(plain, Level.MUST)}
    names = tuple(each.id for each in musts)
    return Break(
        scenario=judged.played.scenario.name,
        rules=names,
        words="; ".join(told[:_TOLD_AT_MOST]),
        plain=bool(names) and set(names) <= before,
    )


def _shaken(judged: Sequence[Judged], plain: dict[str, Judged]) -> Iterator[str]:
    for each in judged:
        usual = plain.get(each.played.scenario.name)
        before: Iterable[RuleVerdict] = () if usual is None else violations(usual, Level.SHOULD)
        known = {one.id for one in before}
        yield from (one.id for one in violations(each, Level.SHOULD) if one.id not in known)


def _survival_json(each: Survival) -> dict[str, Any]:
    broken = each.broken
    return {
        "dialect": each.dialect,
        "scenarios": each.scenarios,
        "survived": broken is None if each.decided else None,
        "broken": None
        if broken is None
        else {
            "scenario": broken.scenario,
            "rules": list(broken.rules),
            "words": broken.words,
            "without_dialect_too": broken.plain,
        },
        "recommendations_not_kept": list(each.shaken),
    }
