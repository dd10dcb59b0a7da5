"""Verdicts as cases: one for each rule, for each failure that a search found, and for each scenario of a middleware.

A violated MUST is failed; a violated SHOULD is skipped, as in JUnit, unless somebody is strict; what is undecided is
unknown; what was not exercised is skipped with its reason; where a rule itself failed the case is broken.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from popreceipt.clock import SystemClock
from popreceipt.exceptions import UsageError
from popreceipt.journal import Exchange, Header
from popreceipt.recordings import open_recording
from popreceipt.reports.allure import bounds, surroundings
from popreceipt.reports.allure.bounds import Budget
from popreceipt.reports.allure.cases import SEVERITY, Attachment, Case, Parameter, Status, Step
from popreceipt.reports.allure.folder import Folder, clear
from popreceipt.reports.places import address
from popreceipt.reports.plain import one_line
from popreceipt.reports.result import FindingRow, ResultFile, RuleRow, rows, rule_row, scenario_name
from popreceipt.rules import find
from popreceipt.rules.rule import Rule
from popreceipt.verdict import Level, Outcome

RULES: Final = "Rules"
SEARCHES: Final = "Searches"
SCENARIOS: Final = "Scenarios"

Exchanges = Mapping[int, Exchange]
"""Exchanges by their number in the journal."""

ScenarioExchanges = Mapping[tuple[str, str | None], Exchanges]
"""The exchanges of scenarios of a middleware, by the scenario's name and its dialect."""

_FINDINGS: Final = 10
_WITNESSES: Final = 20
_SENTENCE: Final = 600


def write_result(
    result: ResultFile,
    path: Path,
    *,
    command: str,
    exchanges: Exchanges | None = None,
    scenario_exchanges: ScenarioExchanges | None = None,
    strict: bool = False,
    budget: Budget | None = None,
    variables: Mapping[str, str] | None = None,
    cleared: bool = False,
) -> int:
    """Write a result into a folder as Allure reads it; how many results that made.

    Args:
        result: the verdicts.
        path: the folder; what others wrote there stays.
        command: whose results they are: verify, judge, middleware.
        exchanges: the witnesses; read from the journal beside the verdict file unless given.
        scenario_exchanges: the witnesses in each scenario of a middleware.
        strict: a violated SHOULD and an undecided rule count as findings.
        budget: what may be attached.
        variables: those of a pipeline; this process's own unless given.
        cleared: what this command wrote there before is gone already.

    Raises:
        UsageError: the folder cannot be written, what writes results is not installed, or the result is damaged.
    """
    if not cleared:
        clear(path, command)
    folder = Folder(path, command, SystemClock().now(), budget)
    witnesses = exchanges if exchanges is not None else witnesses_of(result)
    try:
        found = list(cases(result, witnesses, scenario_exchanges or {}, command=command, strict=strict))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{result.path} is a damaged verdict file: {type(error).__name__}: {error}.") from error
    for each in found:
        folder.add(each)
    folder.finish(environment(result), os.environ if variables is None else variables)
    return folder.written


def witnesses_of(result: ResultFile, journal: Path | None = None) -> dict[int, Exchange]:
    """The exchanges that a result names; nothing where there is no journal.

    Args:
        result: names them.
        journal: the recording; the journal beside the result's file unless given.

    Raises:
        UsageError: the recording that was given cannot be read.
    """
    recording = journal if journal is not None else result.journal
    findings = [one for rule in result.rules for one in (*rule.findings, rule.witness) if one is not None]
    named = {number for each in findings for number in each.exchanges}
    for each in rows(result.raw.get("failures")):
        named.update(number for number in each.get("exchanges") or () if isinstance(number, int))
    if recording is None or not named:
        return {}
    try:
        entries = open_recording(recording)
    except UsageError:
        if journal is not None:
            raise
        return {}  # a verdict is told without its evidence rather than not at all
    return {each.seq: each for each in entries if isinstance(each, Exchange) and each.seq in named}


def environment(result: ResultFile) -> dict[str, str]:
    """What the report says of the run."""
    target = result.target
    abilities = target.get("abilities")
    return {
        "target": str(target.get("name") or ""),
        "build": str(target.get("build") or ""),
        "clock": str(target.get("clock") or ""),
        "abilities": ", ".join(map(str, abilities)) if isinstance(abilities, list | tuple) else "",
        "seed": "" if result.seed is None else str(result.seed),
        "seconds": f"{result.duration_seconds:.1f}",
        "complete": "yes" if result.complete else "no: this is no pass",
        **surroundings.facts(),
    }


def command_of(result: ResultFile) -> str:
    """The command that made a result, as far as that can be told from it."""
    return "middleware" if "scenarios" in result.raw else "verify"


def cases(
    result: ResultFile,
    exchanges: Exchanges,
    scenario_exchanges: ScenarioExchanges,
    *,
    command: str = "verify",
    strict: bool = False,
) -> Iterator[Case]:
    """Every case of a result; see `write_result`."""
    movable = result.target.get("clock") == "manual"
    for row in result.rules:
        case = _of_rule(row, result, exchanges, strict=strict, movable=movable)
        # What other commands say of a rule stands beside it, not among it.
        yield case if command == "verify" else replace(case, epic=f"{case.epic} ({command})")
    told = {each.id for each in result.rules if each.outcome is Outcome.VIOLATED}
    seen: set[str] = set()
    for failure in rows(result.raw.get("failures")):
        # What a rule tells already is told there; of the rest the first of each kind.
        if failure.get("check") in told:
            continue
        case = _of_failure(failure, exchanges, strict=strict, movable=movable)
        if case.identity not in seen:
            seen.add(case.identity)
            yield case
    for block in rows(result.raw.get("scenarios")):
        yield _of_scenario(block, scenario_exchanges, strict=strict)


def _of_rule(row: RuleRow, result: ResultFile, exchanges: Exchanges, *, strict: bool, movable: bool) -> Case:
    rule = _known(row.id)
    status, message = _judged(row, strict=strict)
    findings = [each for each in row.findings if each.outcome in (Outcome.VIOLATED, Outcome.UNDECIDED)]
    shown = findings or [*row.findings, *([row.witness] if row.witness is not None else [])]
    parameters = [Parameter("outcome", row.outcome.value), Parameter("situations", str(row.situations))]
    parameters += [Parameter("answer", row.answer)] if row.answer is not None else []
    parameters += [Parameter("seed", str(result.seed))] if result.seed is not None else []
    return Case(
        identity=f"rules#{row.id}",
        name=row.id,
        status=status,
        message=message,
        description=_description(row, rule),
        epic=RULES,
        feature=row.chapter,
        severity=SEVERITY[row.level],
        tags=(row.level.value, row.outcome.value, row.provenance),
        links=links_of(rule) if rule is not None else (),
        parameters=tuple(parameters),
        steps=tuple(_step_of(each, exchanges) for each in shown[:_FINDINGS]),
        attachments=tuple(_evidence(findings, exchanges, movable=movable)),
    )


def _judged(row: RuleRow, *, strict: bool) -> tuple[Status, str]:
    """How a rule's case ended, and why."""
    words = [one_line(each.message, _SENTENCE) for each in row.findings if each.outcome is row.outcome]
    told = "\n".join(dict.fromkeys(filter(None, words)))
    if row.outcome is Outcome.VIOLATED:
        convicts = strict or row.level is Level.MUST
        return (Status.FAILED if convicts else Status.SKIPPED), f"{row.level} violated: {told}"
    if row.outcome is Outcome.UNDECIDED:
        crashed = row.reason is not None and row.reason.startswith("the rule itself failed")
        why = row.reason or told
        return (Status.BROKEN, why) if crashed else (Status.UNKNOWN, f"undecided: {why}")
    if row.outcome is Outcome.UNEXERCISED:
        return Status.SKIPPED, f"unexercised: {row.reason or 'no reason was told'}"
    return Status.PASSED, ""


def _description(row: RuleRow, rule: Rule | None) -> str:
    """What a rule says and where it stands, in the catalogue's words; nothing where the catalogue has no such rule."""
    if rule is None:
        return ""
    lines = [rule.text, "", f"*{rule.level}, binds the {rule.binds}, {rule.provenance}: {rule.source}*"]
    lines += ["", f"Read as: {rule.reading}"] if rule.reading else []
    if row.outcome is Outcome.ANSWERED:
        lines += ["", "Left open by the documentation: the answer is the server's choice."]
    return "\n".join(lines)


def links_of(rule: Rule) -> tuple[tuple[str, str], ...]:
    """The name and the address of the place where a rule stands."""
    place = address(rule.source)
    return () if place is None else ((f"{rule.id}: {rule.source}", place),)


_STATUS: Final = {
    Outcome.VIOLATED: Status.FAILED,
    Outcome.UNDECIDED: Status.UNKNOWN,
    Outcome.HELD: Status.PASSED,
    Outcome.ANSWERED: Status.PASSED,
    Outcome.UNEXERCISED: Status.SKIPPED,
}


def _step_of(finding: FindingRow, exchanges: Exchanges) -> Step:
    """A finding, and below it the exchanges that show it."""
    shown = [exchanges[each] for each in finding.exchanges[:_WITNESSES] if each in exchanges]
    steps = [Step(name) for name in bounds.step_names(shown)]
    if (more := len(finding.exchanges) - _WITNESSES) > 0:
        steps.append(Step(f"… {more} more exchanges"))
    words = one_line(finding.message, _SENTENCE) or finding.outcome.value
    return Step(f"{finding.outcome}: {words}", _STATUS[finding.outcome], tuple(steps))


def _evidence(findings: Iterable[FindingRow], exchanges: Exchanges, *, movable: bool) -> Iterator[Attachment]:
    """What the first finding rests on: the part of the journal, and command lines that ask the same again."""
    first = next((each for each in findings if any(number in exchanges for number in each.exchanges)), None)
    if first is None:
        return
    shown = [exchanges[each] for each in first.exchanges if each in exchanges]
    yield Attachment(
        "exchanges",
        bounds.journal_text(Header(), shown, bounds.JOURNAL_BYTES_OF_FAILED),
        "application/x-ndjson",
        "ndjson",
    )
    yield Attachment("again with curl", bounds.curl_text(shown, movable=movable), "text/plain", "sh")


def _of_failure(failure: Mapping[str, Any], exchanges: Exchanges, *, strict: bool, movable: bool) -> Case:
    """What a suite found by a check of its own."""
    suite, where, check = (str(failure.get(name) or "") for name in ("suite", "where", "check"))
    level = _level(failure.get("level"))
    convicts = strict or level is Level.MUST
    numbers = tuple(each for each in failure.get("exchanges") or () if isinstance(each, int))
    finding = FindingRow(Outcome.VIOLATED, str(failure.get("message") or ""), numbers)
    expected = one_line(str(failure.get("expected") or ""), _SENTENCE)
    message = f"found by the suite {suite}: {one_line(finding.message, _SENTENCE)}"
    bundle = failure.get("bundle")
    return Case(
        identity=f"{suite}#{check}",
        name=f"{check} ({where})" if where else check,
        status=Status.FAILED if convicts else Status.SKIPPED,
        message=message + (f"\nexpected: {expected}" if expected else ""),
        epic=SEARCHES,
        feature=suite,
        severity=SEVERITY[level],
        tags=(level.value,),
        parameters=(Parameter("bundle", str(bundle)),) if bundle else (),
        steps=(_step_of(finding, exchanges),),
        attachments=tuple(_evidence([finding], exchanges, movable=movable)),
    )


def _of_scenario(block: Mapping[str, Any], exchanges: ScenarioExchanges, *, strict: bool) -> Case:
    """A scenario that a middleware was put through: a step for each rule that had something to say."""
    name = str(block.get("name") or "")
    dialect = str(block["dialect"]) if block.get("dialect") else None
    known = exchanges.get((name, dialect), {})
    judged = [(row, _judged(row, strict=strict)) for row in map(rule_row, rows(block.get("rules")))]
    said = [(row, status, message) for row, (status, message) in judged if row.outcome is not Outcome.UNEXERCISED]
    broken = [(row, message) for row, status, message in said if status is Status.FAILED]
    fault, lacks = block.get("harness_fault"), block.get("lacks")
    if fault:
        status, message = Status.BROKEN, f"a fault of the harness: {fault}"
    elif lacks:
        status, message = Status.SKIPPED, f"unexercised: this computer lacks what it takes: {lacks}"
    elif broken:
        status = Status.FAILED
        message = "\n".join(f"{row.id}: {words}" for row, words in broken)
    elif not said:
        status, message = Status.SKIPPED, "unexercised: no rule had anything to judge"
    elif any(each is Status.UNKNOWN for _, each, _ in said) and not any(each is Status.PASSED for _, each, _ in said):
        status, message = Status.UNKNOWN, "undecided: no rule could be decided"
    else:
        status, message = Status.PASSED, ""
    subject = block.get("subject")
    output = subject.get("output_tail") if isinstance(subject, Mapping) else None
    seconds = subject.get("seconds") if isinstance(subject, Mapping) else None
    shown = tuple(known.values())
    attachments = [Attachment("output of the subject", str(output))] if output else []
    if shown:
        most = bounds.JOURNAL_BYTES if status is Status.PASSED else bounds.JOURNAL_BYTES_OF_FAILED
        journal = bounds.journal_text(Header(recorded_by="service"), shown, most)
        attachments.append(Attachment("exchanges", journal, "application/x-ndjson", "ndjson"))
    called = scenario_name(block)
    return Case(
        identity=f"scenarios#{called}",
        name=called,
        status=status,
        message=message,
        epic=f"{SCENARIOS} (middleware)",
        feature="under another reading" if dialect is not None else "as documented",
        story=name,
        severity="critical",
        tags=tuple(dict.fromkeys(row.id for row, _ in broken)),
        steps=tuple(
            Step(
                f"{row.id} ({row.level}): {row.outcome}",
                step_status,
                tuple(_step_of(each, known) for each in row.findings[:_FINDINGS] if each.outcome is row.outcome),
            )
            for row, step_status, _ in said
        ),
        attachments=tuple(attachments),
        seconds=float(seconds) if isinstance(seconds, int | float) else 0.0,
    )


def _level(word: object) -> Level:
    """A level by its word; what is none convicts nobody."""
    return Level(word) if isinstance(word, str) and word in tuple(Level) else Level.ASK


def _known(rule_id: str) -> Rule | None:
    """The catalogue's rule of this id; None where the file comes from another version."""
    try:
        return find(rule_id)
    except UsageError:
        return None
