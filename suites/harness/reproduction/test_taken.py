"""A tape becomes steps: values get names however they are spelled, tokens are whose they are, secrets stay behind."""

import json
import random
import re
from datetime import timedelta
from urllib.parse import quote

import pytest

from popreceipt.client import wire
from popreceipt.client.tape import Done
from popreceipt.client.wire import Ask, Spelling
from popreceipt.emulator.profile import DIALECTS
from popreceipt.generate.soundness import Story
from popreceipt.journal import Exchange
from popreceipt.reproduction import names, steps
from popreceipt.reproduction.player import Place, Played
from popreceipt.reproduction.steps import Advance, Call, Obtain, Step, Steps, Tell, Token
from popreceipt.reproduction.taken import known_of, steps_of
from popreceipt.rules import catalogue
from popreceipt.rules.readings import Readings
from popreceipt.stage import Stage
from popreceipt.targets import Target, open_target
from popreceipt.verdict import judge


def calls(story: Steps) -> list[Call]:
    return [each for each in story if isinstance(each, Call)]


def taken(target: Target, tape: list[Done]) -> Steps:
    return steps_of(tape, known_of(target))


@pytest.mark.parametrize(
    ("spelling", "path"),
    [
        (Spelling(), "/api/connector/dequeue/{export-1}"),
        (Spelling(activity="upper"), "/api/connector/dequeue/{export-1|upper}"),
        (Spelling(activity="braced"), "/api/connector/dequeue/%7B{export-1|upper}%7D"),
        (Spelling(activity="raw-braces", language="en"), "/en/api/connector/dequeue/{{export-1|upper}}"),
    ],
)
def test_a_job_is_found_in_every_spelling(spelling: Spelling, path: str) -> None:
    """And played in the same one."""
    with open_target("emulator:") as target, target.taping() as tape:
        Stage(target, "x").export().dequeue(spelling=spelling)
        story = taken(target, tape)
        assert story == (
            Tell("POST", "/activities", {"direction": "export", "type": "package"}, "export-1"),
            Call("GET", path, actor="authorised", token=Token("current", "authorised")),
        )
        (asked,) = (each for each in target.journal.exchanges() if each.operation == "dequeue")
    (again,) = (each for each in exchanges(Place("emulator:", seed=4).play(story)) if each.operation == "dequeue")
    assert again.request.url != asked.request.url
    assert shape(again.request.url) == shape(asked.request.url)


def exchanges(played: Played) -> list[Exchange]:
    return [each for each in played.entries if isinstance(each, Exchange)]


def shape(url: str) -> str:
    """A URL with every digit of a GUID as a letter, large or small as the GUID is written."""
    return re.sub(
        r"[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}",
        "ID",
        re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "id", url),
    )


def test_an_acknowledgment_echoes_a_delivery_or_mixes_two() -> None:
    """The whole body is one name; members of two deliveries keep apart; what was made up stays."""
    with open_target("emulator:") as target, target.taping() as tape:
        stage = Stage(target, "x")
        queue = stage.export()
        queue.holds(2)
        one = queue.obtain()
        stage.advance(seconds=1)
        two = queue.obtain()
        queue.download(one)
        queue.ack(one)
        mixed = {"CorrelationId": two.correlation, "PopReceipt": one.receipt, "Note": "made up"}
        queue.ack_with(json.dumps(mixed).encode())
        queue.ack_with(b'{"CorrelationId": "0a0a0a0a-0a0a-4a0a-8a0a-0a0a0a0a0a0a"}')
        stories = calls(taken(target, tape))
    assert [each.path for each in stories[2:4]] == ["{delivery-1.DownloadLocation}", "/api/connector/ack/{export-1}"]
    assert stories[3].body == "{delivery-1}"
    assert stories[4].body == (
        '{"CorrelationId": "{delivery-2.CorrelationId}", "PopReceipt": "{delivery-1.PopReceipt}", "Note": "made up"}'
    )
    assert stories[5].body == '{"CorrelationId": "0a0a0a0a-0a0a-4a0a-8a0a-0a0a0a0a0a0a"}'


def test_parts_of_a_location_have_names() -> None:
    """Whoever takes a location apart asks with what it was made of."""
    with open_target("emulator:") as target, target.taping() as tape:
        stage = Stage(target, "x")
        queue = stage.export()
        location = str(queue.take().location)
        path, _, query = location.partition("://")[2].partition("/")[2].partition("?")
        blob = dict(each.split("=") for each in query.split("&"))["blob"]
        stage.send(Ask("GET", f"/{path}", f"blob={quote(blob.upper(), safe='')}&blob=none"))
        last = calls(taken(target, tape))[-1]
    assert last.path == "/api/connector/download/{export-1}"
    assert last.query == "blob={delivery-1.DownloadLocation?blob|upper}&blob=none"


def test_messages_and_executions_have_names() -> None:
    """Ids in bodies and queries, in braces and capitals too; ids that nobody gave stay as they are."""
    with open_target("emulator:") as target, target.taping() as tape:
        stage = Stage(target, "x")
        intake = stage.imports()
        message = intake.enqueue(stage.file())
        intake.run(message)
        execution = intake.execution_of(message)
        assert execution is not None
        intake.errors_of(execution)
        stage.send(wire.message_status("{" + message.upper() + "}"))
        intake.jobstatus(message)
        stage.send(wire.message_status("0a0a0a0a-0a0a-4a0a-8a0a-0a0a0a0a0a0a"))
        story = calls(taken(target, tape))
    bodies = [each.body for each in story[-5:]]
    assert bodies[0] == '{"_messageId": "{message-1}"}'
    assert bodies[1] == '{"executionId": "{execution-1}"}'
    assert bodies[2] == '{"messageId": "{{message-1|upper}}"}'
    assert story[-2].query == "jobId={message-1}"
    assert bodies[4] == '{"messageId": "0a0a0a0a-0a0a-4a0a-8a0a-0a0a0a0a0a0a"}'


def test_a_message_that_was_only_looked_at_has_a_name() -> None:
    """An export that ran by itself is known from Manage messages."""
    with open_target("emulator:") as target, target.taping() as tape:
        stage = Stage(target, "x")
        queue = stage.export(processing_recurrence_minutes=5)
        stage.advance(minutes=6)
        (row,) = queue.observe_messages()
        queue.status(row["MessageId"])
        last = calls(taken(target, tape))[-1]
    assert last.body == '{"messageId": "{rows-1.0.MessageId}"}'


def test_instants_in_settings_count_from_the_start() -> None:
    """Wherever the clock stands when the story is told again."""
    with open_target("emulator:") as target:
        stage = Stage(target, "x")
        stage.advance(days=3, seconds=7)
        with target.taping() as tape:
            stage.advance(hours=1)
            start = stage.now()
            stage.imports(
                processing_recurrence={
                    "every": 10,
                    "unit": "minutes",
                    "start": (start + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%SZ"),
                }
            )
            stage.send(Ask("GET", "/"))
        story = taken(target, tape)
    assert story[0] == Advance(3600)
    assert isinstance(story[1], Tell)
    assert story[1].body["processing_recurrence"]["start"] == "{start+7200}"
    assert Place("emulator:").play(story).stopped is None


def test_a_job_of_the_worlds_own_goes_by_its_name() -> None:
    """No GUID of one target is asked of another."""
    with open_target("emulator:") as target, target.taping() as tape:
        stage = Stage(target, "x")
        stage.send(wire.dequeue(str(target.activity("export-file")["id"])))
        (call,) = taken(target, tape)
    assert isinstance(call, Call)
    assert call.path == "/api/connector/dequeue/{world.job.export-file}"
    played = Place("emulator:", seed=9).play((call,))
    assert played.answers == {0: "204"}


# Tokens and secrets


def test_a_target_that_was_served_elsewhere_for_the_occasion_is_the_target() -> None:
    """A token for the address that it had then is one for the target: no story asks for a place that is gone."""
    elsewhere = "http://127.0.0.1:9"
    with open_target("emulator:") as target:
        with target.taping() as tape:
            target.tokens.obtain(resource=elsewhere, actor="authorised")
            target.tokens.obtain(resource="https://graph.microsoft.com", actor="authorised")
        told = steps_of(tape, known_of(target, elsewhere))
        as_it_is = steps_of(tape, known_of(target))
    assert [each.resource for each in told if isinstance(each, Obtain)] == [None, "https://graph.microsoft.com"]
    assert next(each.resource for each in as_it_is if isinstance(each, Obtain)) == elsewhere


def test_tokens_are_whose_they_are() -> None:
    """Current ones, forged ones, earlier ones, ones for somebody else, and texts that never were any."""
    with open_target("emulator:") as target:
        stage = Stage(target, "x")
        queue = stage.export()
        queue.dequeue()  # so that the token is older than the tape
        with target.taping() as tape:
            queue.dequeue("authorised/two")
            queue.dequeue("forged", token=target.tokens.forged())
            queue.dequeue("forged", token=target.tokens.forged("authorised", "payload"))
            queue.dequeue("forged", token="a.b.c")
            foreign = target.tokens.obtain(resource="https://graph.microsoft.com", actor="foreign-audience")
            queue.dequeue("foreign-audience", token=foreign.token)
            old = target.tokens.obtain()
            assert old.expires_in is not None
            stage.advance(seconds=old.expires_in + 600)
            queue.dequeue(token=old.token)
            queue.dequeue("unlisted")
            queue.dequeue("anonymous")
        story = taken(target, tape)
    assert [each for each in story if not isinstance(each, (Call, Advance))] == [
        Obtain(resource="https://graph.microsoft.com", actor="foreign-audience", name="token-1"),
        Obtain(name="token-2"),
    ]
    assert [each.token for each in calls(story)] == [
        Token("current", "authorised/two"),
        Token("forged", "authorised"),
        Token("forged", "authorised", "payload"),
        Token("literal", "a.b.c"),
        Token("named", "token-1"),
        Token("named", "token-2"),
        Token("current", "unlisted"),
        None,
    ]


def test_the_wrong_secret_is_told_as_such() -> None:
    """Not by what it was."""
    with open_target("emulator:") as target, target.taping() as tape:
        target.tokens.obtain(version=1, secret="hunter2")
        (step,) = taken(target, tape)
    assert step == Obtain(version=1, wrong_secret=True, actor="wrong-secret")
    assert Place("emulator:").play((step,)).answers == {0: "401"}


def test_nothing_secret_enters_a_story() -> None:
    """Wherever a client puts its tokens, secrets and passwords."""
    with open_target("emulator:") as target:
        stage = Stage(target, "x")
        queue, intake = stage.export(), stage.imports()
        early = target.tokens.current("unlisted")
        identity = target.tokens.identity
        client, user = identity["clients"]["authorised"], identity["user"]
        form = (("content-type", "application/x-www-form-urlencoded"),)
        token_path = wire.download(identity["token_url"]).path
        with target.taping() as tape:
            token = target.tokens.current()
            queue.dequeue("somebody", token=early)
            for place in (
                Ask("GET", "/x", f"access_token={token}"),
                Ask("GET", f"/{token}"),
                Ask("POST", "/x", body=json.dumps({"password": user["password"], "t": token}).encode()),
                Ask("POST", "/x", headers=(("cookie", f"session={token}"), ("x-mine", client["client_secret"]))),
                Ask("POST", "/x", headers=(("authorization", "Basic c29tZWJvZHk6aHVudGVyMmh1bnRlcjI="),)),
                Ask(
                    "POST",
                    token_path,
                    headers=form,
                    body=f"client_secret={quote(client['client_secret'])}&a=b".encode(),
                ),
                Ask("POST", token_path, headers=form, body=b"grant_type=password&password=hunter2hunter2"),
                Ask("POST", token_path, headers=form, body=b"\xff" + token.encode()),
            ):
                stage.send(place, "anonymous")
            stage.send(wire.dequeue(queue.id), headers=(("authorization", f"bearer {token}"),))
            intake.offer(f"a,b\r\n{token},x\r\n".encode())
            for version in (1, 2):
                target.tokens.obtain(version=version, grant="password")  # type: ignore[arg-type]
        secrets = [
            token,
            early,
            "hunter2",
            client["client_secret"],
            user["password"],
            identity["clients"]["unlisted"]["client_secret"],
        ]
        for story in (taken(target, tape), steps_of(tape)):
            written = json.dumps([steps.as_json(each) for each in story])
            shown = [each for each in secrets if each in written or quote(each, safe="") in written]
            if story == taken(target, tape):
                assert not shown
            # Without the world's secrets to compare with, those that stand where no secret should are not known.
            assert not [each for each in shown if each not in (client["client_secret"], user["password"])]
            assert "eyJ" not in written


# Stories as a whole


@pytest.mark.parametrize("seed", range(6))
def test_a_random_story_is_judged_alike_when_it_is_told_again(seed: int) -> None:
    """On the plain emulator and on a dialect: the same rules, the same situations."""
    target = "emulator:" if seed % 2 == 0 else f"emulator:dialect={DIALECTS[seed * 7 % len(DIALECTS)]}"
    with open_target(target, seed=seed) as opened:
        with opened.taping() as tape:
            story = Story(Stage(opened, f"again {seed}"), random.Random(seed))
            story.begin()
            story.play(40)
        told = steps_of(tape, known_of(opened))
        first = judge(Readings(opened.journal.header, opened.journal.entries), catalogue())
    assert {name for each in told for text in steps.texts(each) for name in names.named(text)}
    played = Place(target, seed).play(told)
    assert played.stopped is None
    again = judge(Readings(played.header, played.entries), catalogue())
    assert [(each.id, each.outcome, each.situations) for each in first] == [
        (each.id, each.outcome, each.situations) for each in again
    ]


def test_pauses_of_a_clock_that_runs_become_steps(convicted_pause: list[Done]) -> None:
    """Where time passed by itself, the story says so."""
    story = steps_of(convicted_pause)
    assert [each for each in story if isinstance(each, Advance)] == [Advance(90.0)]


@pytest.fixture
def convicted_pause() -> list[Done]:
    """Two requests with a minute and a half between them that nobody asked for."""
    with open_target("emulator:") as target:
        with target.taping() as tape:
            target.session.send(Ask("GET", "/"))
        target.advance(timedelta(seconds=90))
        with target.taping() as later:
            target.session.send(Ask("GET", "/"))
    return [*tape, *later]


def test_a_restart_is_a_step() -> None:
    """Where the target can be let die, it dies again."""
    with open_target("emulator:") as target, target.taping() as tape:
        queue = Stage(target, "x").export()
        assert target.restart is not None
        target.restart()
        queue.dequeue()
        story: tuple[Step, ...] = taken(target, tape)
    assert Tell("POST", "/restart") in story
    assert any(getattr(each, "observation", "") == "restart" for each in Place("emulator:").play(story).entries)
