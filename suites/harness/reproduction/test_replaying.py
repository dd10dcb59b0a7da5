"""A bundle run again: by the command, over HTTP, and by a script that has nothing but curl and a shell."""

import json
import os
import re
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from popreceipt.cli import replay as command
from popreceipt.cli.main import run
from popreceipt.clock import ScaledClock
from popreceipt.emulator.emulator import Emulator
from popreceipt.emulator.server import HttpServer
from popreceipt.reproduction import bundle
from popreceipt.reproduction.curl import script
from popreceipt.reproduction.player import Place
from popreceipt.reproduction.steps import Advance, Call, Obtain, Steps, Tell, Token
from popreceipt.targets import PATIENCE_SECONDS

Served = Callable[[str], AbstractContextManager[str]]
Outside = Callable[..., str]

STALE = ("stale-receipt-acknowledges", "acknowledgment:a_stale_receipt", "acknowledgment.stale-receipt-changes-nothing")


@pytest.fixture(scope="module")
def stale(tmp_path_factory: pytest.TempPathFactory, convicted: Any) -> Path:
    mutant, scenario, rule = STALE
    target = f"emulator:{mutant}"
    return bundle.write(convicted(target, scenario, rule), target, tmp_path_factory.mktemp("stale"))


def popreceipt(*arguments: object) -> int:
    """Run the command in this process; what it ends with."""
    with pytest.raises(SystemExit) as ended:
        run([str(each) for each in arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_a_failure_that_is_still_there(stale: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Status 1, by the folder and by its file; the story, what was observed, and the exchanges that show it."""
    for path in (stale, stale / "bundle.json"):
        assert popreceipt("replay", path) == 1
        said = capsys.readouterr().out
        for words in ("still failing", "31 minutes pass", "nothing offered after the half hour", "/api/connector/ack/"):
            assert words in said


def test_a_failure_that_is_fixed(stale: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Status 0 on the plain emulator, and in JSON."""
    assert popreceipt("replay", stale, "--target", "emulator:") == 0
    assert "✔ fixed on emulator:" in capsys.readouterr().out
    assert popreceipt("replay", stale, "--target", "emulator:", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["format"], told["state"], told["stopped"]) == ("popreceipt/replay@1", "fixed", None)


@pytest.fixture
def tenant(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A server that is known by its wire alone: no job can be made, nothing told, no clock moved."""
    with served("") as url, Place(url).open() as target:
        client = target.tokens.identity["clients"]["authorised"]
        jobs = "\n".join(f'{name} = "{each["id"]}"' for name, each in target.activities.items())
        config = tmp_path / "popreceipt.toml"
        config.write_text(
            f'[tenant.t]\nbase_url = "{url}"\ntoken_url = "{target.tokens.identity["token_url"]}"\n'
            f'client_id = "{client["client_id"]}"\nclient_secret_env = "T_SECRET"\n'
            f"[tenant.t.activities]\n{jobs}\n"
        )
        monkeypatch.setenv("POPRECEIPT_CONFIG", str(config))
        monkeypatch.setenv("T_SECRET", client["client_secret"])
        yield "tenant:t"


def test_a_state_that_cannot_be_reached(stale: Path, tenant: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Status 3, with the step and the reason."""
    assert popreceipt("replay", stale, "--target", tenant) == 3
    said = capsys.readouterr().out
    assert "the state could not be reached" in said
    assert re.search(r"Step 2 could not be done: tenant:t lacks the ability 'produce'", said)
    assert popreceipt("replay", stale, "--target", tenant, "--json") == 3
    told = json.loads(capsys.readouterr().out)
    assert told["state"] == "unreached"
    assert told["stopped"]["step"] == 2


def test_a_tenants_own_job_stands_for_one_that_is_made(tenant: str) -> None:
    """Where it is like the one wanted; another is not taken."""
    job = Tell("POST", "/activities", {"direction": "export"}, "export-1")
    asked = Call("GET", "/api/connector/dequeue/{export-1}", actor="authorised", token=Token("current", "authorised"))
    assert Place(tenant).play((job, asked)).answers == {1: "204"}
    odd = Tell("POST", "/activities", {"direction": "export", "use_company_from_message": True}, "export-1")
    stopped = Place(tenant).play((odd, asked)).stopped
    assert stopped is not None
    assert (stopped.place, "create-activity" in stopped.reason) == (0, True)


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: None,
        lambda _: [],
        lambda told: {**told, "format": "popreceipt/bundle@9"},
        lambda told: {**told, "steps": []},
        lambda told: {**told, "steps": [{"do": "dance"}]},
        lambda told: {**told, "oracle": {"rule": "no.such-rule"}},
        lambda told: {**told, "oracle": None},
        lambda told: {**told, "target": None},
        lambda told: {**told, "seed": "x"},
    ],
)
def test_a_damaged_bundle(
    stale: Path, damage: Callable[[Any], Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 2 and one sentence."""
    told = json.loads((stale / "bundle.json").read_bytes())
    (tmp_path / "bundle.json").write_text(json.dumps(damage(told)))
    assert popreceipt("replay", tmp_path) == 2
    said = capsys.readouterr().err
    assert said.startswith("popreceipt: ")
    assert said.count("\n") == 1


def test_what_is_no_bundle_at_all(tmp_path: Path, stale: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is missing, a file that is no JSON, a target that is none."""
    (tmp_path / "bundle.json").write_bytes(b"\xff")
    for arguments in ((tmp_path,), (tmp_path / "missing",), (stale, "--target", "nonsense")):
        assert popreceipt("replay", *arguments) == 2
        assert "Traceback" not in capsys.readouterr().err


def test_bundles_and_targets_are_completed(stale: Path) -> None:
    """Folders that are bundles as they are, others as a way there."""
    (stale.parent / "other").mkdir(exist_ok=True)
    offered = command._bundles(f"{stale.parent}/")
    assert offered == [str(stale), f"{stale.parent}/other/"]
    assert command._bundles(str(stale)[:-3]) == [str(stale)]
    assert command._bundles("/no/such/folder/x") == []
    assert command._targets("e") == ["emulator:"]


# Over HTTP


def test_over_http_a_failure_is_made_small_and_played_again(served: Served, convicted: Any, tmp_path: Path) -> None:
    """The same story as in process, and either is played on the other's target; fixed on a server that is right."""
    mutant, scenario, rule = STALE
    target = f"emulator:{mutant}"
    near = bundle.read(bundle.write(convicted(target, scenario, rule), target, tmp_path / "near"))
    with served(mutant) as url, served("") as plain:
        far = bundle.read(bundle.write(convicted(url, scenario, rule), url, tmp_path / "far"))
        assert far.told["failed"] == 3
        assert far.steps == near.steps
        assert bundle.replay(near, Place(url)).state == "failing"
        assert bundle.replay(far, Place(target)).state == "failing"
        assert bundle.replay(far, Place(plain)).state == "fixed"


def test_a_clock_that_runs_is_waited_for_as_far_as_patience_goes() -> None:
    """Then the state is not reached, and the reason says how long it would take."""
    assert PATIENCE_SECONDS > 1
    with HttpServer(Emulator(ScaledClock(3600))) as server:
        story = (Advance(1800), Call("GET", "/"))
        assert Place(server.base_url, patience_seconds=5).play(story).answers == {1: "404"}
        stopped = Place(server.base_url, patience_seconds=0.1).play(story).stopped
    assert stopped is not None
    assert stopped.place == 0
    assert "advance-time" in stopped.reason


# The script


@pytest.fixture(scope="session")
def curl(outside_program: Outside) -> None:
    for name in ("curl", "sed", "base64", "sh"):
        outside_program(name, {"base64": "coreutils", "sh": "dash"}.get(name, name))


def played_by_script(folder: Path, url: str) -> tuple[int, list[str], str]:
    """Run a bundle's script; its exit status, the statuses that its requests were answered, and all it said."""
    environment = {"PATH": os.environ["PATH"], "BASE_URL": url}
    done = subprocess.run(
        ["sh", str(folder / "replay.sh")], env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    statuses = re.findall(rf"^(?:[A-Z]+ {re.escape(url)}\S*|token endpoint) → (\d+)", done.stdout, re.MULTILINE)
    return done.returncode, statuses, done.stdout + done.stderr


SCRIPTED = [
    STALE,
    ("text-uploads-refused", "enqueue:any_content_type_is_taken", "enqueue.any-content-type"),
    ("utf-16-packages-only", "packages:both_encodings_of_the_manifest", "packages.utf-8-and-utf-16"),
    ("expired-tokens-accepted", "authorization:an_expired_token_is_refused", "authorization.expired-token-refused"),
    (
        "foreign-tokens-accepted",
        "authorization:a_token_for_another_resource_is_refused",
        "authorization.foreign-audience-refused",
    ),
    ("any-secret-gets-a-token", "authorization:a_wrong_secret_gets_no_token", "authorization.wrong-secret-refused"),
    ("braces-unknown", "transport:the_activity_in_braces", "transport.braced-activity-id"),
    ("recurrence-without-its-start", "batch:a_start_of_its_own", "batch.recurrence-starts"),
    ("filters-ignored", "filters:an_export_with_a_filter", "processing.filter-applied"),
    (
        "errors-end-with-the-first",
        "execution_errors:every_bad_record_is_listed",
        "execution-errors.lists-every-bad-record",
    ),
]


@pytest.mark.usefixtures("curl")
@pytest.mark.parametrize(("mutant", "scenario", "rule"), SCRIPTED, ids=[each[0] for each in SCRIPTED])
def test_the_script_gets_the_same_answers(
    mutant: str, scenario: str, rule: str, served: Served, convicted: Any, tmp_path: Path
) -> None:
    """Every request of the story is answered by a server as it was when the story was written."""
    path = bundle.write(convicted(f"emulator:{mutant}", scenario, rule), f"emulator:{mutant}", tmp_path)
    story = bundle.read(path)
    with served(mutant) as url:
        status, answers, said = played_by_script(path, url)
        again = bundle.replay(story, Place(url))
    assert status == 0, said
    assert again.state == "failing"
    assert answers == list(again.played.answers.values()), said


def authorised(method: str, path: str, query: str = "", **more: Any) -> Call:
    return Call(method, path, query, actor="authorised", token=Token("current", "authorised"), **more)


@pytest.mark.usefixtures("curl")
def test_the_script_can_do_all_that_steps_can(served: Served, tmp_path: Path) -> None:
    """Awkward bodies and headers, tokens of every kind, names in every spelling, and bytes that are no text."""
    form = (("content-type", "application/x-www-form-urlencoded"),)
    steps: Steps = (
        Tell(
            "POST",
            "/activities",
            {"direction": "export", "processing_recurrence": {"unit": "days", "start": "{start+7200}"}},
            "export-1",
        ),
        Tell("POST", "/activities", {"direction": "import"}, "import-1"),
        Tell("POST", "/activities/{export-1}/produce", {"records": 2}, "message-1"),
        Tell("POST", "/faults", {"operation": "jobstatus", "kind": "status", "status": 503, "activity": "{import-1}"}),
        Tell("GET", "/activities/{export-1}/messages", None, "rows-1"),
        Obtain(name="token-1"),
        Obtain(grant="password", version=1),
        Obtain(wrong_secret=True, actor="wrong-secret"),
        authorised("GET", "/en/api/connector/dequeue/%7B{export-1|upper}%7D", name="delivery-1"),
        authorised("GET", "{delivery-1.DownloadLocation}"),
        Call("GET", "{delivery-1.DownloadLocation}"),
        authorised(
            "GET",
            "/api/connector/download/{export-1}",
            "correlation-id={delivery-1.CorrelationId}&blob={delivery-1.DownloadLocation?blob|quoted}",
        ),
        authorised(
            "POST",
            "/api/connector/ack/{export-1}",
            body='{"CorrelationId": "{delivery-1.CorrelationId}", "PopReceipt": "it\'s 100% \\"wrong\\""}',
        ),
        authorised(
            "POST",
            "/api/connector/ack/{export-1}",
            body="{delivery-1}",
            headers=(("content-type", "application/json"),),
        ),
        authorised(
            "POST",
            "/api/connector/enqueue/{import-1}",
            "entity=Customer%20groups",
            body="CUSTOMERGROUPID\r\nä'%\\,\t$x`\r\n",
            name="message-2",
        ),
        authorised(
            "POST",
            "/api/connector/enqueue/{import-1}",
            "entity=Customer+groups",
            body=bytes(range(256)) * 3,
            chunked=True,
        ),
        authorised("POST", "/api/connector/enqueue/{import-1}", "entity=Customer%20groups"),
        authorised("GET", "/api/connector/jobstatus/{import-1}", "jobId={message-2}"),
        authorised("GET", "/api/connector/jobstatus/{import-1}", "jobId={message-2}"),
        Call(
            "POST",
            "/data/DataManagementDefinitionGroups/Microsoft.Dynamics.DataEntities.GetMessageStatus",
            headers=(("content-type", "application/json"), ("x-empty", "")),
            body='{"messageId": "{rows-1.0.MessageId}"}',
            token=Token("named", "token-1"),
            actor="authorised",
        ),
        Call("GET", "/api/connector/dequeue/{export-1}", token=Token("forged", "authorised"), actor="forged"),
        Call("GET", "/api/connector/dequeue/{export-1}", token=Token("forged", "token-1", "payload"), actor="forged"),
        Call("GET", "/api/connector/dequeue/{export-1}", token=Token("literal", "a.b'.c"), actor="forged"),
        Call("GET", "/api/connector/dequeue/{export-1}", token=Token("current", "unlisted"), actor="unlisted"),
        Call(
            "GET",
            "/api/connector/dequeue/{world.job.export-file}",
            headers=(("authorization", "bearer {token.authorised}"),),
        ),
        Call(
            "POST",
            "/{world.tenant}/oauth2/v2.0/token",
            headers=form,
            body="grant_type=client_credentials&client_id={world.client.authorised|quoted}"
            "&client_secret={world.secret.authorised|quoted}&scope={world.base-url|quoted}%2F.default",
        ),
        authorised("DELETE", "/api/connector/dequeue/{export-1}"),
        authorised("HEAD", "/api/connector/dequeue/{export-1}"),
        Advance(4000),
        Call("GET", "/api/connector/dequeue/{export-1}", token=Token("named", "token-1"), actor="authorised"),
        Tell("DELETE", "/faults"),
    )
    text, beside = script(steps, "a test")
    (tmp_path / "replay.sh").write_text(text)
    for name, content in beside.items():
        (tmp_path / name).write_bytes(content)
    with served("") as url:
        status, answers, said = played_by_script(tmp_path, url)
        played = Place(url).play(steps)
    assert played.stopped is None
    assert status == 0, said
    assert answers == list(played.answers.values()), said
    assert {"200", "204", "401", "405", "503"} <= set(answers)


@pytest.mark.usefixtures("curl")
def test_the_script_says_where_it_could_not_go_on(served: Served, tmp_path: Path) -> None:
    """Status 3, as the command."""
    text, _ = script((Tell("POST", "/activities", {"direction": "sideways"}, "export-1"),), "a test")
    (tmp_path / "replay.sh").write_text(text)
    with served("") as url:
        status, _, said = played_by_script(tmp_path, url)
    assert (status, "The state was not reached" in said) == (3, True)


@pytest.mark.usefixtures("curl")
def test_the_script_wants_to_know_whom_to_ask(stale: Path) -> None:
    """Without an address it says so."""
    done = subprocess.run(
        ["sh", str(stale / "replay.sh")], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "BASE_URL" in done.stderr
