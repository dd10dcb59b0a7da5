"""A reproduction bundle: a folder with a failure in it, made small, tried again, and told in several ways.

`bundle.json` is what `popreceipt replay` reads; the story in sentences, the script, the archive and the journal are of
the same minimised run. No secret enters: steps hold none, and the journal hides them.
"""

import hashlib
import json
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from popreceipt import __version__
from popreceipt.client.session import split_base
from popreceipt.exceptions import UsageError
from popreceipt.journal import Exchange, Header, Journal
from popreceipt.reproduction import curl, har, names, story
from popreceipt.reproduction.failure import Failure, Oracle
from popreceipt.reproduction.minimise import BUDGET, Minimised, minimise
from popreceipt.reproduction.oracles import Observed, RuleOracle, oracle_of
from popreceipt.reproduction.player import Place, Played
from popreceipt.reproduction.steps import Advance, Step, Steps, as_json, counted, given_name, of_json, repeated
from popreceipt.reproduction.taken import began, known_of, steps_of
from popreceipt.rules import catalogue, find
from popreceipt.rules.readings import Readings
from popreceipt.targets import PATIENCE_SECONDS, TENANT_PREFIX
from popreceipt.verdict import Level, Outcome, judge, judge_rule

FORMAT: Final = "popreceipt/bundle@1"
FILE: Final = "bundle.json"

TRIED: Final = 3
"""How often a failure is tried again before it is written down."""

WAITING_BUDGET: Final = 20
"""How often a story may be played where time has to be waited for."""

MOST_STEPS: Final = 1000
"""Steps of the longest story that is made of one which did not fail again by repeating it."""

A_WEEK: Final = timedelta(days=7)

State = Literal["failing", "fixed", "unreached"]

EXIT: Final[Mapping[State, int]] = {"failing": 1, "fixed": 0, "unreached": 3}


@dataclass(frozen=True, slots=True)
class Bundle:
    """What a bundle tells.

    Args:
        path: its folder.
        oracle: finds the failure again.
        steps: the story.
        target: the string of the target on which it failed.
        seed: of the target's chance.
        told: the whole of `bundle.json`.
    """

    path: Path
    oracle: Oracle
    steps: Steps
    target: str
    seed: int
    told: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of a failure: it still fails, it is fixed, or the story did not come so far.

    Args:
        state: which of the three.
        message: what was observed, or why nothing could be.
        played: the journal, and where the story stopped.
        exchanges: the numbers of those that show the failure.
    """

    state: State
    message: str
    played: Played = field(repr=False)
    exchanges: tuple[int, ...] = ()

    @property
    def exit_status(self) -> int:
        """What the command ends with."""
        return EXIT[self.state]


def write(
    failure: Failure,
    target: str,
    folder: Path,
    *,
    seed: int | None = None,
    budget: int = BUDGET,
    ca: Path | None = None,
    control_key: str | None = None,
    patience_seconds: float = PATIENCE_SECONDS,
) -> Path:
    """Make a failure small, try it again three times, and write it down however often it failed.

    Args:
        failure: what went wrong, with its tape.
        target: the string of the target on which it did.
        folder: gets a folder for the bundle; the same story ends in the same one.
        seed: of the target's chance; the failure's unless given.
        budget: how often the story may be played to make it small.
        ca: authority of a TLS target.
        control_key: key of a control plane off loopback.
        patience_seconds: the longest real wait for a clock that runs.

    Raises:
        UsageError: the folder cannot be written, or the target string means nothing.
        NothingProved: the target cannot be reached.
    """
    place = Place(target, failure.seed if seed is None else seed, ca, control_key, patience_seconds)
    steps, runs = story_of(failure, place)
    made = Minimised(steps, 0, exhausted=False)
    if runs:
        made = minimise(
            steps, lambda tried: observed(failure.oracle, place.play(tried)) is not None, _budget(place, budget)
        )
    played = place.play(made.steps)
    found = observed(failure.oracle, played)
    seen, failed = (played, found), int(found is not None)
    for _ in range(TRIED - 1):
        played = place.play(made.steps)
        found = observed(failure.oracle, played)
        if found is not None:
            seen, failed = (played, found), failed + 1
    return _write(failure, place, made, len(steps), folder, seen, failed)


def observed(oracle: Oracle, played: Played) -> Observed | None:
    """What an oracle finds in what was played."""
    return oracle.observed(played.header, played.entries)


def story_of(failure: Failure, place: Place) -> tuple[Steps, bool]:
    """The steps of a failure's tape, and whether they fail again: as they are, on their day and hour, or in a row."""
    with place.open() as target:
        known = known_of(target, failure.base_url)
        steps = steps_of(failure.tape, known)
        manual = target.times.kind == "manual"
    if not steps:
        raise UsageError(f"There is nothing on the tape of {failure.oracle.name} that could be done again.")
    played = place.play(steps)
    if observed(failure.oracle, played) is not None:
        return steps, True
    exact = steps_of(failure.tape, known, exact_tokens=True)
    for other in _otherwise(steps, exact, began(failure.tape), played.began) if manual else ():
        if observed(failure.oracle, place.play(other)) is not None:
            return other, True
    return steps, False


def _otherwise(steps: Steps, exact: Steps, then: datetime | None, now: datetime | None) -> Iterator[Steps]:
    """The story in circumstances that it may have had when it failed and that a fresh target has not."""
    if exact != steps:
        yield exact
    # What hangs on the day of the week or the hour fails only there: on the same instant, or on one like it.
    if then is not None and now is not None:
        for step in dict.fromkeys((then - now, (then - now) % A_WEEK)):
            if step > timedelta(0):
                yield (Advance(step.total_seconds()), *steps)
    # What fails every so many times had other calls before.
    for times in (4, 16):
        if times * len(steps) <= MOST_STEPS:
            yield repeated(steps, times)


def _budget(place: Place, budget: int) -> int:
    """How often a story may be played: seldom where it is waited for, never more than needed on a real environment."""
    if place.target.startswith(TENANT_PREFIX):
        return 1
    with place.open() as target:
        return budget if target.times.kind == "manual" else min(budget, WAITING_BUDGET)


# Writing


def _write(
    failure: Failure,
    place: Place,
    made: Minimised,
    before: int,
    folder: Path,
    seen: tuple[Played, Observed | None],
    failed: int,
) -> Path:
    oracle, (played, found) = failure.oracle, seen
    steps = [as_json(each) for each in made.steps]
    digest = hashlib.sha256(json.dumps([oracle.as_json(), steps], sort_keys=True).encode("utf-8")).hexdigest()[:8]
    bundle = folder / f"{re.sub(r'[^A-Za-z0-9.-]+', '-', oracle.name).strip('-.') or 'failure'}-{digest}"
    message, exchanges = found if found is not None else (failure.message, ())
    told = {
        "format": FORMAT,
        "name": oracle.name,
        "level": oracle.level.value,
        "oracle": oracle.as_json(),
        "expected": oracle.expected,
        "observed": message,
        "exchanges": list(exchanges),
        "shown_by": [place + 1 for place, number in played.numbers.items() if number in exchanges],
        "failed": failed,
        "tried": TRIED,
        "target": {
            "text": _shown(place.target),
            "build": played.header.target.build,
            "clock": played.header.clock,
            "abilities": list(played.header.target.abilities),
        },
        "seed": place.seed,
        "suite": failure.suite,
        "where": failure.where,
        "steps": steps,
        "counted": counted(made.steps),
        "minimised": {"from": before, "to": len(made.steps), "replays": made.replays, "exhausted": made.exhausted},
        "stopped": None if played.stopped is None else {"step": played.stopped.place + 1, "why": played.stopped.reason},
        "header": _facts(played.header),
        "versions": _versions(),
        "without": [] if har.is_possible() else ["exchanges.har: it takes pip install 'popreceipt[suites]'"],
    }
    script, beside = curl.script(made.steps, _comment(told))
    shown = [each for each in played.entries if isinstance(each, Exchange)]
    try:
        bundle.mkdir(parents=True, exist_ok=True)
        (bundle / "story.md").write_text(_story_page(told, made.steps, played.answers), encoding="utf-8", newline="\n")
        (bundle / "replay.sh").write_text(script, encoding="utf-8", newline="\n")
        (bundle / "replay.sh").chmod(0o755)
        for name, content in beside.items():
            (bundle / name).write_bytes(content)
        if har.is_possible():
            har.write(bundle / "exchanges.har", shown, f"{oracle.name}: {message}")
        with (bundle / "journal.ndjson").open("wb") as file:
            journal = Journal(played.header, file, at_once=False)
            for each in played.entries:
                journal.add(each)
            journal.seal()
        # Last: a folder without it is no bundle.
        (bundle / FILE).write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"Cannot write a bundle to {bundle}: {error.strerror or error}.") from error
    return bundle


def _shown(target: str) -> str:
    """A target string without the name and password that a URL may hold."""
    return split_base(target)[0] + split_base(target)[1] if "://" in target else target


def _facts(header: Header) -> dict[str, Any]:
    facts = msgspec.to_builtins(header)
    return {name: value for name, value in facts.items() if name not in ("format", "target", "seed")}


def _versions() -> dict[str, str]:
    found = {"popreceipt": __version__, "python": platform.python_version(), "system": platform.system()}
    for name in ("httpx", "hypothesis", "schemathesis"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue  # it is one of an extra, and had no part in this
    return found


def stamp(told: Mapping[str, Any]) -> str:
    """How often it failed when it was tried again, as a sentence."""
    failed, tried = told.get("failed"), told.get("tried")
    if not failed:
        return f"Tried {tried} times again, it did not fail again."
    return f"Tried {tried} times again, it failed {'each time' if failed == tried else f'{failed} times'}."


def _comment(told: Mapping[str, Any]) -> str:
    return (
        f"{told['name']}\n\nExpected: {told['expected']}\nObserved: {told['observed']}\n"
        f"On {told['target']['text']}. {stamp(told)}"
    )


def _story_page(told: Mapping[str, Any], steps: Steps, answers: Mapping[int, str]) -> str:
    """The story for a reader."""
    lines = [
        f"# {told['name']}",
        "",
        f"**Expected**: {told['expected']}",
        "",
        f"**Observed**: {told['observed']}",
        "",
        f"On `{told['target']['text']}` with seed {told['seed']}, found by {told['suite']} ({told['where']}). "
        + stamp(told),
        "",
        "| | time since the start | what happens | answer |",
        "|--:|--:|---|---|",
    ]
    for place, (at, said) in enumerate(story.sentences(steps)):
        lines.append(f"| {place + 1} | {at} | {said.replace('|', '&#124;')} | {answers.get(place, '')} |")
    if told["stopped"] is not None:
        lines += ["", f"The story stops at step {told['stopped']['step']}: {told['stopped']['why']}"]
    if told["minimised"]["exhausted"]:
        lines += ["", "It may not be as short as it could be: the bound of replays was hit."]
    wire = "`journal.ndjson`" if told["without"] else "`journal.ndjson` and `exchanges.har`"
    lines += [
        "",
        (
            "Creating the recurring data jobs aside, these are "
            f"{told['counted']} {'step' if told['counted'] == 1 else 'steps'}. What crossed the wire stands in {wire}. "
            "Again: `popreceipt replay .`, or `replay.sh` with nothing but curl and a shell."
        ),
        "",
    ]
    return "\n".join(lines)


# Reading


def read(path: Path) -> Bundle:
    """A bundle, by its folder or by its `bundle.json`.

    Raises:
        UsageError: it is none, or it is damaged.
    """
    file = path / FILE if path.is_dir() else path
    try:
        told = json.loads(file.read_bytes())
    except OSError as error:
        raise UsageError(f"Cannot read the bundle {file}: {error.strerror or error}.") from error
    except ValueError as error:
        raise UsageError(f"{file} is no bundle: it is no JSON ({error}).") from error
    if not isinstance(told, dict) or told.get("format") != FORMAT:
        found = told.get("format") if isinstance(told, dict) else None
        raise UsageError(f"{file} is no bundle of the format {FORMAT!r} (it says {found!r}).")
    target = told["target"].get("text") if isinstance(told.get("target"), dict) else None
    seed, steps = told.get("seed"), told.get("steps")
    if not (isinstance(target, str) and isinstance(seed, int) and isinstance(steps, list) and steps):
        raise UsageError(f"The bundle {file} is damaged: it should name a target and a seed, and list steps.")
    return Bundle(file.parent, oracle_of(told.get("oracle")), tuple(map(of_json, steps)), target, seed, told)


def replay(bundle: Bundle, place: Place) -> Replayed:
    """Play a bundle's story again, and look whether it still fails.

    Raises:
        UsageError: the target string means nothing.
        NothingProved: the target cannot be reached.
    """
    shown_by = bundle.told.get("shown_by")
    return judged(bundle.oracle, bundle.steps, place.play(bundle.steps), shown_by if isinstance(shown_by, list) else ())


def judged(oracle: Oracle, steps: Sequence[Step], played: Played, shown_by: Sequence[int] = ()) -> Replayed:
    """What became of a story that was played: whatever was seen before it stopped counts.

    Args:
        oracle: finds the failure.
        steps: the story.
        played: what became of it.
        shown_by: numbers of the steps, from 1, whose answers showed the failure when the story was written.
    """
    found = observed(oracle, played)
    if found is not None:
        return Replayed("failing", found[0], played, found[1])
    if played.stopped is not None:
        if _rightly_nothing(steps, played, shown_by):
            said = f"step {played.stopped.place + 1} has nothing to go on with, and rightly so: no message was offered"
            return Replayed("fixed", said, played)
        return Replayed("unreached", played.stopped.reason, played)
    if isinstance(oracle, RuleOracle):
        verdict = judge_rule(find(oracle.rule), Readings(played.header, played.entries))
        if verdict.outcome is Outcome.UNDECIDED:
            return Replayed("unreached", f"the journal cannot tell: {verdict.findings[0].message}", played)
        if verdict.outcome is Outcome.UNEXERCISED:
            return Replayed("fixed", f"{_all(steps)} played, and nothing came up that breaks it", played)
    return Replayed("fixed", f"{_all(steps)} played, and what is expected was observed", played)


def _all(steps: Sequence[Step]) -> str:
    return "the only step was" if len(steps) == 1 else f"all {len(steps)} steps were"


def _rightly_nothing(steps: Sequence[Step], played: Played, shown_by: Sequence[int]) -> bool:
    """The story stopped for want of a delivery that itself showed the failure, and that a right server does not make.

    Where something had to be offered, a rule says so.
    """
    missing = names.giver(played.stopped.missing or "") if played.stopped is not None else None
    if missing is None or not missing.startswith("delivery-"):
        return False
    place = next((place for place, step in enumerate(steps) if given_name(step) == missing), -1)
    if place + 1 not in shown_by or not played.answers.get(place, "").startswith("2"):
        return False
    verdicts = judge(Readings(played.header, played.entries), catalogue())
    return not any(each.outcome is Outcome.VIOLATED and each.level is Level.MUST for each in verdicts)
