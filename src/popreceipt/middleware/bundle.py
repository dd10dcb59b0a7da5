"""A violation in a folder: what was expected, what was seen, the message's timeline, and how to play it again.

Whoever gets the folder needs nothing else: the scenario as a file, the journal, the subject's last words. No secret
enters that the journal would hide.
"""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import tomli_w

from popreceipt.journal import without_tokens
from popreceipt.middleware.played import Judged
from popreceipt.middleware.running import label
from popreceipt.middleware.scenario import Scenario
from popreceipt.middleware.timeline import Timelines
from popreceipt.reports import evidence, lanes
from popreceipt.reports.lanes import Drawing
from popreceipt.reports.result import file_name
from popreceipt.rules import catalogue
from popreceipt.rules.rule import Rule
from popreceipt.verdict import Binds, Finding, Outcome, RuleVerdict

README: Final = "README.md"
SCENARIO: Final = "scenario.toml"
JOURNAL: Final = "journal.ndjson"
TIMELINE: Final = "timeline.txt"
PICTURE: Final = "timeline.svg"
OUTPUT: Final = "output.txt"

SHOWN: Final = 5
"""Findings of a violation that are told with their exchanges; the journal has all."""


def write(judged: Judged, folder: Path, command: Sequence[str]) -> dict[str, Path]:
    """Write a bundle for each violated rule of a scenario.

    Args:
        judged: the scenario and its verdicts.
        folder: gets a folder for each rule, and is made where it is not there.
        command: plays the scenario again.

    Returns:
        The bundles by rule.

    Raises:
        OSError: something cannot be written.
    """
    rules = {each.id: each for each in catalogue(Binds.CLIENT)}
    timelines = Timelines(judged)
    made: dict[str, Path] = {}
    for verdict in judged.rules:
        if verdict.outcome is not Outcome.VIOLATED:
            continue
        own = folder / file_name(verdict.id)
        own.mkdir(parents=True, exist_ok=True)
        drawing = timelines.of(verdict)
        _write(own / README, readme(judged, verdict, rules.get(verdict.id), drawing, command))
        _write(own / SCENARIO, as_toml(judged.played.scenario))
        _write(own / TIMELINE, lanes.as_text(drawing))
        _write(own / PICTURE, str(lanes.as_svg(drawing, "timeline", alone=True)))
        _write(own / OUTPUT, without_tokens(judged.played.output_tail))
        with (own / JOURNAL).open("wb") as file:
            file.writelines(line + b"\n" for line in judged.played.journal.lines())
        made[verdict.id] = own
    return made


def _write(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8", errors="replace", newline="\n")


def as_toml(scenario: Scenario) -> str:
    """A scenario as a file from which it can be read again; what is as usual is left out.

    The name is the file's, and a dialect is a matter of the command line: a comment says both.
    """
    told = _differing(msgspec.to_builtins(scenario), Scenario(name="", title="", source=""))
    del told["name"]
    under = told.pop("dialect", None)
    if "imports" in told:
        told["import"] = told.pop("imports")
    comment = f"# {scenario.name}" + (f", under {under}" if under is not None else "")
    return f"{comment}\n\n{tomli_w.dumps(told, multiline_strings=False)}"


def _differing(told: Mapping[str, Any], usual: Scenario) -> dict[str, Any]:
    """Members that are not as they would be anyway; a table within is told whole, but for what is nothing."""
    plain = msgspec.to_builtins(usual)
    kept = {name: value for name, value in told.items() if value != plain[name] or name in ("title", "source", "sides")}
    cleaned: dict[str, Any] = _without_nothing(kept)
    return cleaned


def _without_nothing(value: Any) -> Any:
    """TOML has no word for nothing."""
    if isinstance(value, Mapping):
        return {name: _without_nothing(each) for name, each in value.items() if each is not None}
    if isinstance(value, (list, tuple)):
        return [_without_nothing(each) for each in value]
    return value


# In words


def readme(judged: Judged, verdict: RuleVerdict, rule: Rule | None, drawing: Drawing, command: Sequence[str]) -> str:
    """What a person reads first."""
    return "\n".join(_lines(judged, verdict, rule, drawing, command)) + "\n"


def _lines(
    judged: Judged, verdict: RuleVerdict, rule: Rule | None, drawing: Drawing, command: Sequence[str]
) -> Iterator[str]:
    played = judged.played
    scenario = played.scenario
    yield f"# {verdict.id} is violated"
    yield ""
    yield f"Scenario `{label(scenario)}`: {scenario.title} ({scenario.source})"
    yield f"The lease lasted {played.lease_seconds:g} seconds."
    yield ""
    yield "## Expected"
    yield ""
    if rule is not None:
        yield f"{rule.text} ({verdict.level}, {verdict.provenance}: {rule.source})"
        if rule.reading:
            yield ""
            yield f"As it is read here: {rule.reading}"
    else:
        yield f"What the rule {verdict.id} says ({verdict.level}, {verdict.provenance})."
    yield ""
    yield "## Seen"
    yield ""
    yield from _seen(judged, verdict)
    yield "## When"
    yield ""
    yield "```text"
    yield lanes.as_text(drawing).rstrip("\n")
    yield "```"
    yield ""
    yield "## Again"
    yield ""
    yield "```sh"
    yield shlex.join(command)
    yield "```"
    yield ""
    yield "## Beside this file"
    yield ""
    yield f"- `{SCENARIO}`: the scenario"
    yield f"- `{JOURNAL}`: what crossed the wire and lay in the folders (`popreceipt judge {JOURNAL} --binds client`)"
    yield f"- `{TIMELINE}`, `{PICTURE}`: the timeline"
    yield f"- `{OUTPUT}`: the last of what the subject wrote; its processes ended with {_exits(judged)}"


def _seen(judged: Judged, verdict: RuleVerdict) -> Iterator[str]:
    exchanges = evidence.by_number(judged.played.journal.exchanges())
    found: list[Finding] = [each for each in verdict.findings if each.outcome is Outcome.VIOLATED]
    for each in found[:SHOWN]:
        yield f"- {each.message}"
        shown = evidence.lines_for(each.exchanges, exchanges, movable=False)[0]
        if shown:
            yield ""
            yield "  ```text"
            yield from (f"  {line}" for line in shown)
            yield "  ```"
        yield ""
    if len(found) > SHOWN:
        yield f"and {len(found) - SHOWN} more like it."
        yield ""


def _exits(judged: Judged) -> str:
    """The ends of the subject's processes, in words."""
    if not judged.played.exits:
        return "no status that is known"
    told = [f"{each.status}{' (the scenario was over)' if each.by_us else ''}" for each in judged.played.exits]
    return ", ".join(told)
