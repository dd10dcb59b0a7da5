"""Verdicts as JUnit XML: a suite a chapter, a case a rule; and a suite for each that searched, a case a failure.

Of a middleware a suite is a scenario, with a case for each rule that said something in it. Whatever a server or a
subject said is made plain first: XML has no place for most controls.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree as Xml  # only written here, never parsed

from popreceipt.exceptions import UsageError
from popreceipt.reports.plain import cut, one_line, plain
from popreceipt.reports.result import ResultFile, RuleRow, of_json, rows, rule_row, scenario_name
from popreceipt.verdict import Level, Outcome, Verdicts

LONGEST: Final = 20_000
"""Characters of what a case tells."""

INCOMPLETE: Final = "The run did not come to its end: this is no pass."

_NAME: Final = 300


def write(verdicts: Verdicts, path: Path) -> None:
    """Write the verdicts of a run that has just ended; see `write_result`.

    Raises:
        OSError: the file cannot be written.
    """
    write_result(of_json(verdicts.as_json(), path), path)


def write_result(result: ResultFile, path: Path) -> None:
    """Write a result.

    A violated MUST is a failure; a violated SHOULD, an undecided or an unexercised rule is skipped with its reason, so
    that a dashboard shows it without turning red. A run that did not come to its end is an error, for it is no pass.

    Args:
        result: the verdicts.
        path: the file; its folder is made.

    Raises:
        OSError: the file cannot be written.
        UsageError: the result is damaged.
    """
    root = Xml.Element("testsuites", name="popreceipt", time=f"{result.duration_seconds:.3f}")
    try:
        for name, members in _grouped(result).items():
            _suite_of_rules(root, name, members)
        searched = result.raw.get("suites")
        for name, figures in searched.items() if isinstance(searched, Mapping) else ():
            failures = [each for each in rows(result.raw.get("failures")) if each.get("suite") == name]
            _suite_of_search(root, name, figures.get("unexercised"), failures)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{result.path} is a damaged verdict file: {type(error).__name__}: {error}.") from error
    if not result.complete:
        suite = _suite(root, "popreceipt")
        _told(_case(suite, "popreceipt", "complete"), "error", INCOMPLETE)
        _count(suite, 1, errors=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    Xml.indent(root)
    Xml.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def _grouped(result: ResultFile) -> dict[str, list[RuleRow]]:
    """The rules of each suite."""
    if scenarios := rows(result.raw.get("scenarios")):
        told = {scenario_name(each): map(rule_row, rows(each.get("rules"))) for each in scenarios}
        said = {name: [each for each in told[name] if each.outcome is not Outcome.UNEXERCISED] for name in told}
        return {name: members for name, members in said.items() if members}
    grouped: dict[str, list[RuleRow]] = {}
    for each in result.rules:
        grouped.setdefault(each.chapter, []).append(each)
    return grouped


def _suite_of_rules(root: Xml.Element, name: str, members: Sequence[RuleRow]) -> None:
    suite = _suite(root, name)
    failures = skips = 0
    for row in members:
        case = _case(suite, f"popreceipt.{name}", row.id)
        found = "\n".join(each.message for each in row.findings if each.outcome is row.outcome)
        if row.outcome is Outcome.VIOLATED and row.level is Level.MUST:
            failures += 1
            _told(case, "failure", "violated", found)
        elif row.outcome in (Outcome.VIOLATED, Outcome.UNDECIDED, Outcome.UNEXERCISED):
            skips += 1
            _told(case, "skipped", f"{row.outcome}: {row.reason or found}")
        elif row.answer is not None:
            _told(case, "system-out", None, f"answered: {row.answer}")
    _count(suite, len(members), failures, skips)


def _suite_of_search(root: Xml.Element, name: str, unexercised: object, failures: list[Mapping[str, Any]]) -> None:
    suite = _suite(root, name)
    convicting = [each for each in failures if each["level"] == Level.MUST.value]
    for each in failures:
        case = _case(suite, f"popreceipt.{name}.{each['where']}", str(each["check"]))
        kind = "failure" if each["level"] == Level.MUST.value else "skipped"
        _told(case, kind, str(each["expected"]), str(each["message"]))
    if not failures:
        case = _case(suite, "popreceipt", name)
        if unexercised is not None:
            _told(case, "skipped", f"unexercised: {unexercised}")
    skips = len(failures) - len(convicting) + (unexercised is not None)
    _count(suite, len(failures) or 1, len(convicting), skips)


def _suite(root: Xml.Element, name: str) -> Xml.Element:
    return Xml.SubElement(root, "testsuite", name=one_line(name, _NAME))


def _count(suite: Xml.Element, tests: int, failures: int = 0, skips: int = 0, errors: int = 0) -> None:
    for name, number in (("tests", tests), ("failures", failures), ("errors", errors), ("skipped", skips)):
        suite.set(name, str(number))


def _case(suite: Xml.Element, classname: str, name: str) -> Xml.Element:
    return Xml.SubElement(suite, "testcase", classname=one_line(classname, _NAME), name=one_line(name, _NAME))


def _told(case: Xml.Element, kind: str, message: str | None, text: str = "") -> None:
    told = Xml.SubElement(case, kind)
    if message is not None:
        told.set("message", plain(cut(message, LONGEST)))
    if text:
        told.text = plain(cut(text, LONGEST))
