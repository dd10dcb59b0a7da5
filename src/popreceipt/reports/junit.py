"""Verdicts as JUnit XML: a suite a chapter, a case a rule."""

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
    path.parent.mkdir(parents=True, exist_ok=True)
    Xml.indent(root)
    Xml.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)
