"""Verdicts as JUnit XML: a suite a chapter, a case a rule; and a suite for each that searched, a case a failure."""

from pathlib import Path
from xml.etree import ElementTree as Xml  # only written here, never parsed

from popreceipt.verdict import Level, Outcome, RuleVerdict, Verdicts


def write(verdicts: Verdicts, path: Path) -> None:
    """Write the file.

    A violated MUST is a failure; a violated SHOULD, an undecided or an unexercised rule is skipped with its reason, so
    that a dashboard shows it without turning red.
    """
    root = Xml.Element("testsuites", name="popreceipt", time=f"{verdicts.duration_seconds:.3f}")
    suites: dict[str, list[RuleVerdict]] = {}
    for verdict in verdicts.rules:
        suites.setdefault(verdict.chapter, []).append(verdict)
    for chapter, members in suites.items():
        suite = Xml.SubElement(root, "testsuite", name=chapter, tests=str(len(members)))
        failures = skips = 0
        for verdict in members:
            case = Xml.SubElement(suite, "testcase", classname=f"popreceipt.{chapter}", name=verdict.id)
            found = "\n".join(each.message for each in verdict.findings if each.outcome is verdict.outcome)
            if verdict.outcome is Outcome.VIOLATED and verdict.level is Level.MUST:
                failures += 1
                Xml.SubElement(case, "failure", message="violated").text = found
            elif verdict.outcome in (Outcome.VIOLATED, Outcome.UNDECIDED, Outcome.UNEXERCISED):
                skips += 1
                Xml.SubElement(case, "skipped", message=f"{verdict.outcome}: {verdict.reason or found}")
            elif verdict.answer is not None:
                Xml.SubElement(case, "system-out").text = f"answered: {verdict.answer}"
        suite.set("failures", str(failures))
        suite.set("skipped", str(skips))
    for name in verdicts.suites:
        found_there = [each for each in verdicts.failures if each.suite == name]
        suite = Xml.SubElement(root, "testsuite", name=name, tests=str(len(found_there) or 1))
        convicting = [each for each in found_there if each.level is Level.MUST]
        for each in found_there:
            case = Xml.SubElement(suite, "testcase", classname=f"popreceipt.{name}.{each.where}", name=each.check)
            kind = "failure" if each.level is Level.MUST else "skipped"
            Xml.SubElement(case, kind, message=each.expected).text = each.message
        why = verdicts.suites[name].get("unexercised")
        if not found_there:
            case = Xml.SubElement(suite, "testcase", classname="popreceipt", name=name)
            if why is not None:
                Xml.SubElement(case, "skipped", message=f"unexercised: {why}")
        suite.set("failures", str(len(convicting)))
        suite.set("skipped", str(len(found_there) - len(convicting) + (why is not None)))
    path.parent.mkdir(parents=True, exist_ok=True)
    Xml.indent(root)
    Xml.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)
