"""Results as commands write them, made without running any, and a baseline beside them."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from popreceipt.cli.main import run
from popreceipt.rules import catalogue
from popreceipt.verdict import Binds, Finding, Outcome, RuleVerdict, SuiteFailure, Verdicts

BACK = "redelivery.not-before-half-an-hour"
EMPTY = "dequeue.empty-queue"

KNOWN = {each.id: each for each in catalogue(None)}

Cli = Callable[..., tuple[int, str, str]]


def verdict(rule: str, outcome: Outcome, *messages: str, answer: str | None = None) -> RuleVerdict:
    """A verdict on a rule of the catalogue, with a finding for each message."""
    known = KNOWN[rule]
    findings = tuple(Finding(outcome, each, (1,)) for each in messages)
    exercised = outcome is not Outcome.UNEXERCISED
    return RuleVerdict(
        id=rule,
        chapter=known.chapter,
        level=known.level,
        binds=known.binds,
        provenance=known.provenance,
        outcome=outcome,
        situations=max(1, len(findings)) if exercised else 0,
        answer=answer,
        reason=None if exercised else "the target lacks produce",
        findings=findings,
    )


@dataclass
class Made:
    """A result in the making: all rules held or answered, but for those that are said otherwise."""

    folder: Path
    binds: Binds = Binds.SERVICE
    target: str = "a server at http://127.0.0.1:8000"
    said: dict[str, RuleVerdict] = field(default_factory=dict)
    failures: list[SuiteFailure] = field(default_factory=list)
    suites: dict[str, Mapping[str, Any]] = field(default_factory=lambda: {"fuzz": {"cases": 3}})
    complete: bool = True

    def ends(self, rule: str, outcome: Outcome, *messages: str, answer: str | None = None) -> "Made":
        """Let a rule end so."""
        self.said[rule] = verdict(rule, outcome, *messages, answer=answer)
        return self

    def rules(self) -> tuple[RuleVerdict, ...]:
        """The verdict on every rule."""
        made = []
        for each in catalogue(self.binds):
            asked = each.level == "ASK"
            usual = verdict(each.id, Outcome.ANSWERED if asked else Outcome.HELD, answer="yes" if asked else None)
            made.append(self.said.get(each.id, usual))
        return tuple(made)

    def json(self) -> dict[str, Any]:
        """As it is written."""
        verdicts = Verdicts(
            rules=self.rules(),
            target={"name": self.target, "build": "b", "clock": "manual", "abilities": []},
            seed=1,
            duration_seconds=1.0,
            complete=self.complete,
            suites=self.suites,
            failures=tuple(self.failures),
        )
        content: dict[str, Any] = json.loads(json.dumps(verdicts.as_json()))
        return content

    def write(self, name: str = "verdicts.json", change: Callable[[dict[str, Any]], object] | None = None) -> Path:
        """Write it, changed by hand where a change is given."""
        content = self.json()
        if change is not None:
            change(content)
        path = self.folder / name
        path.write_text(json.dumps(content), encoding="utf-8")
        return path


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """A result on which all is well."""
    return Made(tmp_path)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """`popreceipt gate` in this process: exit status, standard output, standard error."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "400")

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            run(["gate", *map(str, arguments)])
        told = capsys.readouterr()
        code = ended.value.code
        return (code if isinstance(code, int) else 0), told.out, told.err

    return call


@pytest.fixture
def baseline(made: Made, cli: Cli) -> Path:
    """A baseline in which all was well."""
    path = made.folder / "baseline.toml"
    status, _, err = cli(made.write("first.json"), "--baseline", path, "--update")
    assert status == 0, err
    return path


def entry(path: Path, **members: str) -> None:
    """Add an acceptance to a baseline by hand; values are TOML."""
    usual = {
        "rule": f'"{BACK}"',
        "message": '"back after at most *"',
        "owner": '"team-a"',
        "issue": '"https://example.com/17"',
        "expires": "2098-01-01",
    } | members
    with path.open("a", encoding="utf-8") as file:
        file.write("\n[[accepted]]\n" + "".join(f"{name} = {value}\n" for name, value in usual.items() if value))
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("# longest_days = 366 ", "longest_days = 99999 "), encoding="utf-8")


@dataclass
class Played:
    """A middleware result in the making: by scenario what was said of rules that bind clients."""

    folder: Path
    scenarios: dict[str, Made] = field(default_factory=dict)

    def scenario(self, name: str) -> Made:
        """A scenario of that name."""
        return self.scenarios.setdefault(name, Made(self.folder, binds=Binds.CLIENT))

    def write(self, name: str = "verdicts.json", change: Callable[[dict[str, Any]], object] | None = None) -> Path:
        """Write it: the top-level verdicts are the worst of all scenarios."""
        worst = Made(self.folder, binds=Binds.CLIENT, target="python client.py", suites={})
        order = list(Outcome)
        for number, each in enumerate(catalogue(Binds.CLIENT)):
            rows: Sequence[RuleVerdict] = [made.rules()[number] for made in self.scenarios.values()]
            worst.said[each.id] = replace(min(rows, key=lambda row: order.index(row.outcome)))
        blocks = [
            {
                "name": title.partition(" under ")[0],
                "dialect": title.partition(" under ")[2] or None,
                "lease_seconds": 6.0,
                "fault": None,
                "subject": {"exits": [0], "seconds": 1.0, "output_tail": ""},
                "lacks": None,
                "rules": made.json()["rules"],
            }
            for title, made in self.scenarios.items()
        ]

        def with_blocks(content: dict[str, Any]) -> None:
            complete = content.pop("complete")
            content |= {"scenarios": blocks, "complete": complete}
            if change is not None:
                change(content)

        return worst.write(name, with_blocks)


@pytest.fixture
def played(tmp_path: Path) -> Played:
    """A middleware result with two scenarios in which all is well."""
    made = Played(tmp_path)
    made.scenario("export-file")
    made.scenario("import-file under enqueue.content-type=text")
    return made
