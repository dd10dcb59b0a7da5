"""Results for Allure: every verdict is there, nobody's identity is another's, nothing grows without bound."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from popreceipt import resources
from popreceipt.cli.main import run
from popreceipt.clock import ManualClock
from popreceipt.emulator.emulator import Emulator
from popreceipt.emulator.server import HttpServer
from popreceipt.exceptions import UsageError
from popreceipt.journal import Exchange, Header, Journal, JournalFile
from popreceipt.middleware.result import Result
from popreceipt.reports.allure import bounds, metrics, surroundings, verdicts
from popreceipt.reports.allure.bounds import Budget
from popreceipt.reports.allure.cases import Attachment, Case, Status, Step
from popreceipt.reports.allure.discretion import LONGEST_TRACE, Discretion, figures_text
from popreceipt.reports.allure.folder import LONGEST_MESSAGE, Folder, clear
from popreceipt.reports.result import of_json
from popreceipt.rules import find
from popreceipt.verdict import Finding, Level, Outcome

from ..middleware import played_back
from . import runs

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)

TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJl"

CANARY = "sR9~tU2_vW5xY8.zA1bC4dE7"

EVIL = f"\u202e\x1b[31m {TOKEN} <script>alert(1)</script>\n\ud800"

SHAPE: Mapping[str, Any] = {
    "type": "object",
    "required": ["uuid", "name", "fullName", "historyId", "testCaseId", "status", "start", "stop", "labels"],
    "properties": {
        "uuid": {"type": "string", "minLength": 36, "maxLength": 36},
        "name": {"type": "string", "minLength": 1, "maxLength": 400},
        "historyId": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
        "testCaseId": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
        "status": {"enum": ["passed", "failed", "broken", "skipped", "unknown"]},
        "statusDetails": {"type": "object", "properties": {"message": {"type": "string"}}},
        "start": {"type": "integer", "minimum": 10**12},
        "stop": {"type": "integer", "minimum": 10**12},
        "steps": {"type": "array", "items": {"$ref": "#/$defs/step"}, "maxItems": bounds.STEPS + 3},
        "attachments": {"$ref": "#/$defs/attachments"},
        "labels": {
            "type": "array",
            "items": {"type": "object", "required": ["name", "value"]},
            "contains": {"properties": {"name": {"const": "epic"}}},
        },
        "links": {
            "type": "array",
            "items": {"required": ["type", "url", "name"], "properties": {"url": {"pattern": "^https://"}}},
        },
        "parameters": {"type": "array", "items": {"type": "object", "required": ["name", "value"]}},
    },
    "$defs": {
        "step": {
            "type": "object",
            "required": ["name", "status", "start", "stop"],
            "properties": {
                "name": {"type": "string", "minLength": 1, "maxLength": 900},
                "status": {"enum": ["passed", "failed", "broken", "skipped", "unknown"]},
                "steps": {"type": "array", "items": {"$ref": "#/$defs/step"}},
            },
        },
        "attachments": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "source", "type"],
                "properties": {"source": {"pattern": "^[0-9a-f-]{36}-attachment\\.[a-z]+$"}},
            },
        },
    },
}
"""What Allure reads of a result, and the bounds that we set."""


def results(folder: Path) -> list[dict[str, Any]]:
    """The results in a folder."""
    return [json.loads(each.read_text(encoding="utf-8")) for each in sorted(folder.glob("*-result.json"))]


def labels(result: Mapping[str, Any], name: str) -> list[str]:
    """The values of a label."""
    return [each["value"] for each in result["labels"] if each["name"] == name]


def identities(folder: Path) -> dict[str, str]:
    """The identity of each result by its name; no two results share either."""
    found = results(folder)
    named = {f"{each['fullName']} {each['name']}": each["historyId"] for each in found}
    assert len(named) == len(found)
    assert len(set(named.values())) == len(found)
    return named


def verify(folder: Path, *options: str) -> int:
    """Run the command in this process; its exit status."""
    chosen = () if "--chapter" in options else ("--chapter", "redelivery")
    with pytest.raises(SystemExit) as ended:
        run(["verify", *chosen, "--allure", str(folder), *options])
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is written of a server that brings messages back too early."""
    folder = tmp_path_factory.mktemp("allure") / "results"
    assert verify(folder, "--target", "emulator:lease-of-29-minutes") == 1
    return folder


def test_scenarios_and_rules_are_results_of_their_own(broken: Path) -> None:
    """Each has the shape that Allure reads; whatever is attached is there, and nothing lies about."""
    found = results(broken)
    for each in found:
        jsonschema.validate(each, SHAPE)
        assert each["start"] <= each["stop"]
    attached = [one["source"] for each in found for one in each.get("attachments", ())]
    assert sorted(attached) == sorted(each.name for each in broken.glob("*-attachment*"))
    epics = Counter(epic for each in found for epic in labels(each, "epic"))
    rules = [each for each in found if labels(each, "epic") == ["Rules"]]
    assert epics.keys() == {"Rules", "Scenarios"}
    assert {each["name"].partition(".")[0] for each in rules} == {"redelivery"}
    assert epics["Scenarios"] > 5


def test_a_broken_promise_is_told_with_its_evidence(broken: Path) -> None:
    """The rule and the scenarios that show it are failed; steps are exchanges; a journal and curl are attached."""
    failed = [each for each in results(broken) if each["status"] == "failed"]
    [rule] = [each for each in failed if labels(each, "epic") == ["Rules"]]
    scenarios = [each for each in failed if labels(each, "epic") == ["Scenarios"]]
    assert rule["name"] == runs.HALF_HOUR
    assert rule["statusDetails"]["message"].startswith("MUST violated: back after at most 0:29:59")
    assert rule["description"].startswith(find(runs.HALF_HOUR).text)
    assert labels(rule, "severity") == ["critical"]
    assert any("/dequeue/" in step["name"] for step in rule["steps"][0]["steps"])
    assert scenarios
    for each in scenarios:
        assert f"{runs.HALF_HOUR} is violated" in each["statusDetails"]["message"]
        assert runs.HALF_HOUR in labels(each, "story")
        assert labels(each, "feature") == ["redelivery"]
        assert {one["name"] for one in each["attachments"]} == {"journal", "again with curl"}
        assert [one["url"] for one in each["links"] if one["name"].startswith(runs.HALF_HOUR)]
        assert any("GET /api/connector/dequeue/" in step["name"] for step in each["steps"])


def test_an_attached_journal_can_be_judged(broken: Path) -> None:
    """It is a journal as any other: whole, and it convicts again."""
    each = next(one for one in results(broken) if one["name"] == "test_hides_for_half_an_hour_and_comes_back")
    [source] = [one["source"] for one in each["attachments"] if one["name"] == "journal"]
    with pytest.raises(SystemExit) as ended:
        run(["verify", "--target", f"journal:{broken / source}", "--rule", runs.HALF_HOUR])
    assert ended.value.code == 1


def test_identities_do_not_follow_from_seeds_and_ports(broken: Path, tmp_path: Path) -> None:
    """Another seed, another server on another port, another day: the same cases."""
    emulator = Emulator(ManualClock())
    with HttpServer(emulator) as server:
        assert verify(tmp_path / "far", "--target", server.base_url, "--seed", "7") == 0
    assert identities(tmp_path / "far") == identities(broken)


def test_a_second_run_takes_the_place_of_the_first(tmp_path: Path) -> None:
    """And leaves what others wrote into the folder: another command's results, and somebody's files."""
    folder = tmp_path / "results"
    assert verify(folder, "--target", "emulator:", "--chapter", "ordering") == 0
    first = {each.name for each in folder.iterdir()}
    own = resources.fixtures() / "journals" / "redelivery" / "not-before-half-an-hour.violated.ndjson"
    with pytest.raises(SystemExit):
        run(["judge", str(own), "--allure", str(folder)])
    others = {each.name for each in folder.iterdir()} - first
    (folder / "notes.txt").write_text("mine")
    (folder / "11111111-result.json").write_text('{"labels": 3}')
    assert verify(folder, "--target", "emulator:", "--chapter", "ordering") == 0
    second = {each.name for each in folder.iterdir()}
    assert {*others, "notes.txt", "11111111-result.json"} < second
    assert len(second) == len(first) + len(others) + 2
    assert len(first & second) == 2  # the environment and the categories
    environment = (folder / "environment.properties").read_text()
    assert environment.count("verify.target = ") == environment.count("judge.target = ") == 1


def test_only_attachments_of_the_folder_itself_are_cleared(tmp_path: Path) -> None:
    """A result that names a file elsewhere takes nothing with it."""
    folder = tmp_path / "results"
    writer = Folder(folder, "verify", NOW)
    writer.add(case(attachments=(Attachment("a", "b"),)))
    [result] = folder.glob("*-result.json")
    content = json.loads(result.read_text())
    (tmp_path / "x-attachment.txt").write_text("elsewhere")
    content["attachments"].append({"name": "x", "source": "../x-attachment.txt", "type": "text/plain"})
    content["attachments"].append({"name": "y", "source": "precious.txt", "type": "text/plain"})
    result.write_text(json.dumps(content))
    (folder / "precious.txt").write_text("here")
    clear(folder, "verify")
    assert [each.name for each in folder.iterdir()] == ["precious.txt"]
    assert (tmp_path / "x-attachment.txt").is_file()


SUITE = """
import os

import pytest
import schemathesis

CANARY = os.environ["CANARY"]

DOCUMENT = {
    "openapi": "3.1.0",
    "info": {"title": "t", "version": "1"},
    "paths": {
        f"/{name}": {"get": {"operationId": name, "responses": {"200": {"description": "ok"}}}}
        for name in ("dequeue", "ack", "status")
    },
}
schema = schemathesis.openapi.from_dict(DOCUMENT)


@schema.parametrize()
def test_an_operation(case):
    assert case.path


class Anything:
    pass


@pytest.mark.parametrize(("one", "other"), [("", "x"), ("x", ""), ("xx", ""), ("a", "bc"), ("ab", "c")])
def test_swapped(one, other):
    assert one != other


@pytest.mark.parametrize("value", [Anything(), Anything()])
def test_objects(value):
    assert value


@pytest.mark.parametrize("value", [1, 2])
def test_skipped_before_it_begins(value, missing):
    assert value


@pytest.fixture
def missing():
    pytest.skip("not here")


@pytest.fixture
def upset():
    yield
    raise OSError(f"while leaving: password={CANARY}")


def test_quotes_what_it_met(upset):
    raise AssertionError(f"first Bearer {CANARY} \\x1b[31m {'x' * 50_000} client_secret={CANARY} last")
"""

PLAY = """
import sys
import pytest

base = ["-q", "-p", "no:cacheprovider", "-p", "allure_pytest.plugin", "-p", "schemathesis.pytest.plugin"]
ours = ["-p", "popreceipt.reports.allure.listening"]
for name, plugins in (("first", ours), ("second", ours), ("bare", [])):
    pytest.main([*base, sys.argv[1], "--rootdir", sys.argv[2], *plugins, f"--alluredir={sys.argv[2]}/{name}"])
"""


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cases that a generator makes: played twice with our plugin, and once without."""
    folder = tmp_path_factory.mktemp("generated")
    suite = folder / "test_generated.py"
    suite.write_text(SUITE)
    environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": "", "CANARY": CANARY}
    done = subprocess.run(
        [sys.executable, "-c", PLAY, str(suite), str(folder)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert len(results(folder / "bare")) == 13, done.stdout + done.stderr
    return folder


def test_each_generated_case_has_an_identity_of_its_own(generated: Path) -> None:
    """Operations of one test, parameters swapped, objects that are told by their place in memory."""
    first, second = identities(generated / "first"), identities(generated / "second")
    assert len(first) == 13
    assert first == second


def test_without_it_they_would_be_taken_for_each_other(generated: Path) -> None:
    """The case for the plugin: three operations were one test with two retries, and swapped parameters another."""
    found = [each["historyId"] for each in results(generated / "bare")]
    assert len(set(found)) < len(found) - 2


def test_what_a_failure_quotes_is_bounded_and_without_secrets(generated: Path) -> None:
    """Beginning and end are told, of what a fixture threw as well; without the plugin a canary gets out."""
    [failed] = [each for each in results(generated / "first") if each["name"] == "test_quotes_what_it_met"]
    told = failed["statusDetails"]["message"]
    assert told.startswith("AssertionError: first Bearer redacted:")
    assert told.endswith(" last")
    assert "⟨U+001B⟩" in told
    assert len(told) <= LONGEST_MESSAGE
    assert len(failed["statusDetails"]["trace"]) <= LONGEST_TRACE
    for name, gets_out in (("first", False), ("bare", True)):
        files = [*(generated / name).glob("*-result.json"), *(generated / name).glob("*-container.json")]
        written = [each.read_text(encoding="utf-8") for each in files]
        assert any(CANARY in each for each in written) is gets_out
        assert any("while leaving: password=" in each for each in written)


def test_the_runs_own_secrets_are_known_by_themselves() -> None:
    """Wherever they stand, however they are spelled; a short one might be a word, and is none that it knows."""
    discretion = Discretion()
    secret = 'quo"te\\d-and-größer'
    discretion.learn({"clients": {"a": {"client_secret": secret, "client_id": "id-that-stays"}}, "password": "word"})
    text = f"{secret} {json.dumps(secret)} {secret!r} id-that-stays word {TOKEN}"
    told = discretion.told(text, 1000)
    assert "quo" not in told
    assert "größer" not in told
    assert "eyJ" not in told
    assert "id-that-stays word" in told


@pytest.mark.parametrize(
    "text",
    [
        f"client_secret={CANARY}&x=1",
        f'{{"client_secret": "{CANARY}"}}',
        f"{{'password': '{CANARY}'}}",
        f"'access_token': \\\"{CANARY}\\\"",
        f"Authorization: Bearer {CANARY}",
        f"('authorization', 'Basic {CANARY}==')",
        f"refresh_token: {CANARY}",
        f'client_assertion="a\\"{CANARY}" and more',
    ],
)
def test_what_looks_like_a_secret_is_replaced(text: str) -> None:
    """By the name before it, or by the scheme that carries it."""
    assert CANARY not in Discretion().told(text, 1000)
    assert "redacted:" in Discretion().told(text, 1000)


def test_figures_stay_json_whatever_their_size() -> None:
    """Of long lists and mappings the first members are told, and how many there are more."""
    figures = {"requests": 7, "asked": {f"line {each}": each for each in range(50_000)}, "why": ["x" * 90_000]}
    told = json.loads(figures_text(figures, bounds.FIGURES_BYTES))
    assert told["requests"] == 7
    assert told["asked"]["line 0"] == 0
    assert told["asked"]["…"].endswith(" more")
    assert len(json.dumps(told)) < bounds.FIGURES_BYTES
    small = {"a": [1, 2.5, None, True, "é"]}
    assert json.loads(figures_text(small, 1000)) == small
    assert json.loads(figures_text({"a": 10**90}, 20)) == {"left out": "101 characters"}


def case(**facts: Any) -> Case:
    """A case, whatever it is about."""
    told: dict[str, Any] = {"identity": "one", "name": "One", "status": Status.PASSED, "epic": "E", "feature": "F"}
    return Case(**(told | facts))


def of_run(**more: Any) -> dict[str, Case]:
    """The cases of a small run by name."""
    raw = json.loads(json.dumps(runs.verdicts(**more).as_json()))
    exchanges = {each.seq: each for each in runs.journal().exchanges()}
    return {each.name: each for each in verdicts.cases(of_json(raw, Path("verdicts.json")), exchanges, {})}


@pytest.mark.parametrize(
    ("name", "status", "begins"),
    [
        (runs.HALF_HOUR, Status.FAILED, "MUST violated: back after"),
        (runs.SHOULD, Status.SKIPPED, "SHOULD violated: not understood"),
        ("redelivery.after-half-an-hour", Status.UNKNOWN, "undecided: cannot tell"),
        (runs.STALE, Status.PASSED, ""),
        ("redelivery.same-payload", Status.PASSED, ""),
        ("cleanup.by-age", Status.SKIPPED, "unexercised: no situation"),
        ("no-server-fault (dequeue)", Status.FAILED, "found by the suite fuzz: 500\nexpected: No 5xx."),
    ],
)
def test_an_outcome_becomes_a_status(name: str, status: Status, begins: str) -> None:
    """Only what convicts is failed; what is not known is not passed."""
    found = of_run()
    chosen = found.get(name) or next(each for each in found.values() if each.name.startswith("cleanup."))
    assert chosen.status is status
    assert chosen.message.startswith(begins)
    assert bool(chosen.message) == bool(begins)


def test_a_rule_that_crashed_is_our_fault() -> None:
    """It is broken, not failed: nothing was found against the target."""
    crashed = runs.verdict(runs.HALF_HOUR, Outcome.UNDECIDED, reason="the rule itself failed: KeyError: 'x'")
    assert of_run(rules=(crashed,))[runs.HALF_HOUR].status is Status.BROKEN


def test_strictness_fails_a_recommendation() -> None:
    """As it does everywhere."""
    result = of_json(json.loads(json.dumps(runs.verdicts().as_json())), Path("verdicts.json"))
    found = {each.name: each.status for each in verdicts.cases(result, {}, {}, strict=True)}
    assert found[runs.SHOULD] is Status.FAILED


@pytest.mark.parametrize(
    ("message", "status", "epic", "category"),
    [
        ("MUST violated: back", "failed", "Rules", "Promise broken (MUST)"),
        ("Failed: redelivery.a is violated: back", "failed", "Scenarios", "Promise broken (MUST)"),
        ("SHOULD violated: \nplus", "skipped", "Rules", "Recommendation not kept (SHOULD)"),
        ("found by the suite fuzz: 500", "failed", "Searches", "Found by searching"),
        ("Failed: redelivery.a (consumer): back", "failed", "Searches", "Found by searching"),
        ("undecided: cannot tell", "unknown", "Rules", "Undecided"),
        ("unexercised: parked until 2026-01-09", "skipped", "Rules", "Parked: waits for an instant to come"),
        ("unexercised: tenant:qa lacks batch", "skipped", "Rules", "Not exercised: the target lacks an ability"),
        ("Skipped: tenant:qa lacks batch", "skipped", "Scenarios", "Not exercised: the target lacks an ability"),
        ("unexercised: no situation arose", "skipped", "Rules", "Not exercised"),
        ("Failed: redelivery.a found nothing to judge", "failed", "Scenarios", "Scenario without anything to judge"),
        ("threshold not kept: found 3", "failed", "Load", "Threshold of a load run not kept"),
        ("KeyError", "broken", "Rules", "Fault of the harness"),
    ],
)
def test_each_verdict_falls_into_one_category(message: str, status: str, epic: str, category: str) -> None:
    """By the rules of Allure 2, where an expression fits a whole message, and by those of Allure 3."""
    two = [
        each["name"]
        for each in surroundings.categories_of_allure_2()
        if status in each["matchedStatuses"] and re.fullmatch(each.get("messageRegex", r"[\s\S]*"), message)
    ]
    three = [
        each["name"]
        for each in surroundings.categories_of_allure_3()
        for one in each["matchers"]
        if status in one["statuses"]
        and re.search(one.get("message", ""), message)
        and re.search(one.get("labels", {}).get("epic", ""), epic)
    ]
    assert two[0] == three[0] == category


def test_scenarios_of_a_middleware_are_cases(tmp_path: Path) -> None:
    """One for each scenario and dialect, with a step for each rule that said something; our faults are ours."""
    judged = [
        played_back.of_fixture("acknowledgment/after-storing.violated", name="too-soon", output_tail=f"said {EVIL}"),
        played_back.of_fixture("download/from-the-location.held", name="held"),
        played_back.of_fixture("download/from-the-location.held", name="held", dialect="download.answer=redirect"),
        played_back.judged(played_back.Tape().journal, name="two-hosts", lacks="a second address"),
        played_back.judged(played_back.Tape().journal, name="ours", fault="no port was free"),
        played_back.judged(played_back.Tape().journal, name="idle"),
    ]
    result = Result.of(judged, command=("python", "mine.py"), lease_seconds=6.0, seconds=9.0)
    raw = of_json(json.loads(json.dumps(result.as_json())), Path("verdicts.json"))
    crossed = {
        (each.played.scenario.name, each.played.scenario.dialect): {
            one.seq: one for one in each.played.journal.exchanges()
        }
        for each in judged
    }
    verdicts.write_result(raw, tmp_path, command="middleware", scenario_exchanges=crossed, variables={})
    found = {each["name"]: each for each in results(tmp_path) if labels(each, "epic") == ["Scenarios (middleware)"]}
    for each in results(tmp_path):
        jsonschema.validate(each, SHAPE)
    assert {name: each["status"] for name, each in found.items()} == {
        "too-soon": "failed",
        "held": "passed",
        "held under download.answer=redirect": "passed",
        "two-hosts": "skipped",
        "ours": "broken",
        "idle": "skipped",
    }
    assert len({each["historyId"] for each in results(tmp_path)}) == len(results(tmp_path))
    assert "acknowledgment.after-storing (MUST): violated" in [step["name"] for step in found["too-soon"]["steps"]]
    assert {one["name"] for one in found["too-soon"]["attachments"]} == {"output of the subject", "exchanges"}
    assert found["held"]["stop"] - found["held"]["start"] == 3_000


def load_result(**more: Any) -> dict[str, Any]:
    """What a load run writes, with two operations."""
    verdict = runs.verdicts(rules=(runs.verdict(runs.HALF_HOUR, Outcome.HELD),), failures=()).as_json()
    times = {"p50": 1.5, "p90": 2.0, "p95": 2.5, "p99": 9.0, "p99.9": 9.0, "max": 9.0, "mean": 1.6}
    operation = {"failures": {"503": 5}, "response_ms": times, "service_ms": times}
    return {
        "format": "popreceipt/load@1",
        "plan": {"scenario": "imports", "shape": "steady", "per_hour": 600.0, "minutes": 60.0, "seed": 0},
        "target": {"name": "emulator:", "abilities": []},
        "standing": "VALID",
        "reasons": [],
        "finished": True,
        "interrupted": False,
        "faults": [],
        "operations": {
            "enqueue": {"requests": 200, **operation},
            "token": {"requests": 1, **operation, "failures": {}},
        },
        "generator": {"wall_seconds": 20.0},
        "gates": [
            {"what": "enqueue p95 in ms, at most", "allowed": 2.0, "found": 2.5, "kept": False},
            {"what": "requests, at least", "allowed": 1, "found": 201, "kept": True},
            {"what": "ack p95 in ms, at most", "allowed": 2.0, "found": None, "kept": None},
        ],
        "verdicts": json.loads(json.dumps(verdict)),
        "complete": True,
    } | more


def test_load_becomes_metrics_and_cases(tmp_path: Path) -> None:
    """Percentiles that so few requests can have, the share that failed, and a case for each threshold."""
    metrics.write_load(load_result(), tmp_path, ended=NOW, variables={})
    figures = json.loads((tmp_path / "load-imports-steady-perf.json").read_text())
    # A name ends at its first blank, unless that is escaped.
    told = (tmp_path / "environment.properties").read_text()
    assert "load-imports-steady.messages\\ an\\ hour = " in told
    assert not [line for line in told.splitlines() if " " in line.partition(" = ")[0].replace("\\ ", "")]
    told = {each["key"].removeprefix("load-imports-steady."): each["value"] for each in figures}
    assert told == {
        "enqueue.p50_ms": 1.5,
        "enqueue.p95_ms": 2.5,
        "enqueue.p99_ms": 9.0,
        "enqueue.failed_share": 0.025,
        "token.failed_share": 0.0,
        "requests_per_second": 10.05,
    }
    assert {each["stop"] - each["start"] for each in figures} == {20_000}
    assert len({each["id"] for each in figures}) == len(figures)
    shown = metrics.configuration([each["key"] for each in figures])
    assert shown.keys() == {each["key"] for each in figures}
    assert shown["load-imports-steady.enqueue.p95_ms"] == {
        "title": "enqueue: p95 of the response time",
        "unit": "ms",
        "better": "lower",
    }
    assert shown["load-imports-steady.requests_per_second"]["better"] == "higher"
    found = {each["name"]: each for each in results(tmp_path)}
    assert {name: each["status"] for name, each in found.items()} == {
        "imports, steady: the run may be believed": "passed",
        "enqueue p95 in ms, at most": "failed",
        "requests, at least": "passed",
        "ack p95 in ms, at most": "unknown",
        runs.HALF_HOUR: "passed",
    }
    assert found["enqueue p95 in ms, at most"]["statusDetails"]["message"] == (
        "threshold not kept: found 2.5, allowed 2"
    )


@pytest.mark.parametrize(
    "facts", [{"standing": "INVALID", "reasons": ["late"]}, {"finished": False, "complete": False}]
)
def test_what_may_not_be_believed_makes_no_trend(tmp_path: Path, facts: dict[str, Any]) -> None:
    """A run that measured something else has no figures, and decides no threshold against a target."""
    metrics.write_load(load_result(), tmp_path, variables={})
    metrics.write_load(load_result(**facts), tmp_path, variables={})
    assert not list(tmp_path.glob("*-perf.json"))
    found = {each["name"]: each["status"] for each in results(tmp_path)}
    assert found["imports, steady: the run may be believed"] == "unknown"
    assert found["enqueue p95 in ms, at most"] == "unknown"


def test_a_load_run_beside_another_leaves_it(tmp_path: Path) -> None:
    """Another scenario has results and figures of its own; the same one again takes the place of the former."""
    metrics.write_load(load_result(), tmp_path, variables={})
    other = load_result()
    other["plan"] = other["plan"] | {"scenario": "exports"}
    metrics.write_load(other, tmp_path, variables={})
    metrics.write_load(other, tmp_path, variables={})
    assert len(list(tmp_path.glob("*-perf.json"))) == 2
    assert len(results(tmp_path)) == 10
    assert len({each["historyId"] for each in results(tmp_path)}) == 10


@pytest.mark.parametrize("raw", [{"plan": None}, {"gates": [{}]}, {"operations": {"enqueue": {}}}, {"verdicts": {}}])
def test_a_damaged_load_result_is_wrong_usage(tmp_path: Path, raw: dict[str, Any]) -> None:
    """One sentence, and nothing is written."""
    with pytest.raises(UsageError):
        metrics.write_load(load_result(**raw), tmp_path / "results", variables={})
    assert not list(tmp_path.glob("results/*-result.json"))


def exchanges(count: int, body: bytes = b"") -> list[Exchange]:
    """So many calls, a second apart."""
    journal = Journal()
    for number in range(count):
        at = NOW + timedelta(seconds=number)
        journal.record(
            sent=at,
            answered=at,
            method="POST",
            url=f"http://h/api/connector/enqueue/{'a' * 900}?entity=x",
            request_body=body,
            status=200,
            response_body=body,
        )
    return list(journal.exchanges())


def test_a_long_story_is_cut_and_says_so(tmp_path: Path) -> None:
    """Steps, journal and command lines are bounded; a journal that was cut is a journal that was cut off."""
    many = exchanges(500, b"x" * 3_000)
    names = bounds.step_names(many)
    assert len(names) == bounds.STEPS + 1
    assert max(map(len, names)) <= bounds.STEP_TEXT + 1
    assert [each for each in names if "460 more exchanges" in each]
    assert names[0].startswith("#1 ")
    assert names[-1].startswith("#500 ")
    text = bounds.journal_text(Header(), many, bounds.JOURNAL_BYTES)
    assert len(text) <= bounds.JOURNAL_BYTES
    file = tmp_path / "part.ndjson"
    file.write_text(text)
    read = JournalFile(file)
    assert 0 < len(list(read)) < 10
    assert not read.complete
    assert not bounds.is_whole(text)
    assert bounds.is_whole(bounds.journal_text(Header(), many[:1], bounds.JOURNAL_BYTES))
    lines = bounds.curl_text(many, movable=True)
    assert len(lines) < bounds.CURL_BYTES + 100
    assert lines.endswith("# … and more: see the journal\n")


def test_a_journal_part_loses_no_letter(tmp_path: Path) -> None:
    """It is in ASCII, so that nothing in it acts on a screen, and reads as it was written."""
    body = "größe \u202e 漢 \ufeff 😀 \x7f".encode()
    text = bounds.journal_text(Header(), exchanges(1, body), bounds.JOURNAL_BYTES)
    assert text.isascii()
    file = tmp_path / "part.ndjson"
    file.write_text(text)
    read = JournalFile(file)
    [one] = [each for each in read if isinstance(each, Exchange)]
    assert read.complete
    assert one.request.body is not None
    assert one.request.body.content() == body


def test_all_attachments_together_are_bounded(tmp_path: Path) -> None:
    """A quarter is kept for what went wrong; what has no room is said in its place."""
    writer = Folder(tmp_path, "verify", NOW, Budget(4_000))
    for number in range(6):
        writer.add(case(identity=f"well {number}", attachments=(Attachment("journal", "x" * 900),)))
    writer.add(case(identity="broken", status=Status.FAILED, attachments=(Attachment("journal", "x" * 900),)))
    writer.add(case(identity="more", status=Status.FAILED, attachments=(Attachment("journal", "x" * 900),)))
    kept = {each["fullName"]: "attachments" in each for each in results(tmp_path)}
    assert sum(kept.values()) == 4
    assert kept["popreceipt.verify.broken"]
    for each in results(tmp_path):
        told = [step["name"] for step in each.get("steps", ())]
        assert told == ([] if kept[each["fullName"]] else ["left out, for the report is full: journal"])
    assert sum(each.stat().st_size for each in tmp_path.glob("*-attachment*")) <= 4_000


def test_a_whole_run_is_bounded(broken: Path) -> None:
    """A chapter with a broken promise, less than two megabytes."""
    assert sum(each.stat().st_size for each in broken.iterdir()) < 2_000_000


def test_words_of_strangers_do_nothing(tmp_path: Path) -> None:
    """In names, messages, steps, labels, facts and attachments: no control sign, no broken letter, no token."""
    raw = json.loads(json.dumps(runs.verdicts(EVIL.replace("\ud800", "")).as_json()))
    crossed = {each.seq: each for each in runs.journal(EVIL.replace("\ud800", "")).exchanges()}
    verdicts.write_result(of_json(raw, Path("v.json")), tmp_path, command="verify", exchanges=crossed, variables={})
    writer = Folder(tmp_path, "verify", NOW)
    writer.add(
        case(
            name=EVIL,
            message=EVIL,
            tags=(EVIL,),
            steps=(Step(EVIL, message=EVIL),),
            attachments=(Attachment("a", EVIL),),
        )
    )
    for each in tmp_path.iterdir():
        text = each.read_text(encoding="utf-8")
        assert TOKEN not in text, each
        assert "\u202e" not in text, each
        assert "\x1b" not in text, each
        assert "\\u001b" not in text or each.name.endswith(".ndjson"), each
    assert len(results(tmp_path)) > 170


def test_no_secret_of_a_run_is_written(tmp_path: Path) -> None:
    """Neither a client's secret nor a token that was issued stands in any file."""
    emulator = Emulator(ManualClock())
    with HttpServer(emulator) as server:
        assert verify(tmp_path, "--target", server.base_url, "--chapter", "authorization") == 0
        identity = emulator.world()["identity"]
    secrets = [each["client_secret"] for each in identity["clients"].values()] + [identity["user"]["password"]]
    assert len(secrets) == 4
    whole = "\n".join(each.read_text(encoding="utf-8") for each in tmp_path.iterdir())
    assert "redacted:" in whole
    for each in secrets:
        assert each not in whole
    assert "eyJ" not in whole


PIPELINES = {
    "github": {
        "GITHUB_ACTIONS": "true",
        "GITHUB_WORKFLOW": "tests",
        "GITHUB_RUN_NUMBER": "17",
        "GITHUB_RUN_ID": "99",
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_REPOSITORY": "a/b",
        "GITHUB_TOKEN": "secret",
    },
    "azure": {
        "TF_BUILD": "True",
        "BUILD_DEFINITIONNAME": "tests",
        "BUILD_BUILDNUMBER": "20260301.1",
        "BUILD_BUILDID": "17",
        "SYSTEM_COLLECTIONURI": "https://me:secret@dev.azure.com/a/",
        "SYSTEM_TEAMPROJECT": "b",
    },
    "gitlab": {
        "GITLAB_CI": "true",
        "CI_JOB_NAME": "tests",
        "CI_PIPELINE_IID": "17",
        "CI_JOB_URL": "https://g/a/-/jobs/1",
    },
    "jenkins": {
        "JENKINS_URL": "https://j/",
        "JOB_NAME": "tests",
        "BUILD_NUMBER": "17",
        "BUILD_URL": "https://j:8080/1/",
    },
}


@pytest.mark.parametrize(
    ("kind", "address"),
    [
        ("github", "https://github.com/a/b/actions/runs/99"),
        ("azure", "https://dev.azure.com/a/b/_build/results?buildId=17"),
        ("gitlab", "https://g/a/-/jobs/1"),
        ("jenkins", "https://j:8080/1/"),
    ],
)
def test_a_pipeline_is_known_by_its_variables(kind: str, address: str) -> None:
    """Its name, its build and a link to that, in which no password stands."""
    found = surroundings.executor(PIPELINES[kind])
    assert found is not None
    assert found["type"] == kind
    assert found["buildOrder"] == 17
    assert found["buildUrl"] == address
    assert found["buildName"].startswith("tests")
    assert "secret" not in json.dumps(found)


def test_nobody_is_named_on_somebodys_own_machine(tmp_path: Path) -> None:
    """No file about a pipeline is written, and an address that is none is left out."""
    assert surroundings.executor({"PATH": "/bin"}) is None
    odd = surroundings.executor({"JENKINS_URL": "x", "BUILD_URL": "javascript:alert(1)", "BUILD_NUMBER": "x"})
    assert odd == {"name": "Jenkins", "type": "jenkins", "buildName": "x"}
    Folder(tmp_path, "verify", NOW).finish({"a": "b"}, {})
    assert not (tmp_path / "executor.json").exists()


def test_the_environment_is_a_file_of_properties() -> None:
    """Signs of the format and letters beyond ASCII are escaped; facts of other commands stay."""
    first = surroundings.environment("judge", {"a": "1"}, "")
    text = surroundings.environment("verify", {"a b": " x=y:z\\ #é😀", "empty": ""}, first)
    assert text == "judge.a = 1\nverify.a\\ b = \\ x\\=y\\:z\\\\ \\#\\u00e9\\ud83d\\ude00\n"
    assert surroundings.environment("verify", {"c": "2"}, text) == "judge.a = 1\nverify.c = 2\n"


def test_two_cases_of_one_identity_are_a_fault_of_ours(tmp_path: Path) -> None:
    """Allure would take the second for a retry of the first."""
    writer = Folder(tmp_path, "verify", NOW)
    writer.add(case())
    with pytest.raises(ValueError, match="two cases are called one"):
        writer.add(case())


@pytest.mark.parametrize(
    "command",
    [
        ["verify", "--rule", runs.HALF_HOUR],
        ["judge", str(resources.fixtures() / "journals/redelivery/not-before-half-an-hour.held.ndjson")],
        ["load", "imports"],
        ["middleware"],
    ],
)
def test_a_folder_that_cannot_be_written_is_said_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    """One sentence, and status 2."""
    file = tmp_path / "file"
    file.write_text("")
    last = ["--", "true"] if command == ["middleware"] else []
    with pytest.raises(SystemExit) as ended:
        run([*command, "--allure", str(file / "results"), *last])
    assert ended.value.code == 2
    assert "Cannot write results to" in capsys.readouterr().err


def test_a_result_is_reported_without_its_journal(tmp_path: Path) -> None:
    """A verdict is told without its evidence rather than not at all; with it, there are exchanges."""
    bare = runs.leave(tmp_path / "bare")
    (bare / "journal.ndjson").unlink()
    with pytest.raises(SystemExit) as ended:
        run(["report", str(bare), "--allure", str(tmp_path / "one")])
    assert ended.value.code == 0
    whole = runs.leave(tmp_path / "whole")
    with pytest.raises(SystemExit) as ended:
        run(["report", str(whole), "--allure", str(tmp_path / "two")])
    assert ended.value.code == 0
    assert identities(tmp_path / "one") == identities(tmp_path / "two")
    assert not list((tmp_path / "one").glob("*-attachment*"))
    assert list((tmp_path / "two").glob("*-attachment*"))


def test_levels_have_severities() -> None:
    """Each level, from the most to the least."""
    assert [verdicts.SEVERITY[each] for each in Level] == ["critical", "normal", "minor"]


def of_findings(count: int) -> Iterator[Finding]:
    """So many findings, each with so many witnesses."""
    return (Finding(Outcome.VIOLATED, f"{number}", tuple(range(1, 400))) for number in range(count))


def test_many_findings_with_many_witnesses_are_cut() -> None:
    """A rule's case has ten findings at most, each with twenty exchanges and how many more there are."""
    crossed = {each.seq: each for each in exchanges(400)}
    raw = runs.verdicts(rules=(runs.verdict(runs.HALF_HOUR, Outcome.VIOLATED, of_findings(25)),)).as_json()
    result = of_json(json.loads(json.dumps(raw)), Path("verdicts.json"))
    found = next(verdicts.cases(result, crossed, {}))
    assert len(found.steps) == 10
    assert {len(each.steps) for each in found.steps} == {21}
    assert found.steps[0].steps[-1].name == "… 379 more exchanges"
