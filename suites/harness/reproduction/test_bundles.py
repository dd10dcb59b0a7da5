"""From a wrong emulator to a folder: made small, tried three times, told in four ways, and run again."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from popreceipt.emulator.mutants import MUTANTS
from popreceipt.exceptions import UsageError
from popreceipt.journal import JournalFile
from popreceipt.recordings import HarFile
from popreceipt.reproduction import bundle, story
from popreceipt.reproduction.failure import Failure
from popreceipt.reproduction.oracles import AnswerOracle, RuleOracle, oracle_of
from popreceipt.reproduction.player import Place
from popreceipt.reproduction.steps import Advance, Call, Obtain, Tell, Token, counted
from popreceipt.stage import Stage
from popreceipt.targets import open_target

FOUND = {
    # mutant: scenario, rule, steps at most
    "enqueue-without-a-token": ("authorization:without_a_token_nothing_is_answered", "authorization.token-required", 1),
    "forged-tokens-accepted": ("authorization:a_forged_token_is_refused", "authorization.forged-token-refused", 1),
    "expired-tokens-accepted": ("authorization:an_expired_token_is_refused", "authorization.expired-token-refused", 3),
    "foreign-tokens-accepted": (
        "authorization:a_token_for_another_resource_is_refused",
        "authorization.foreign-audience-refused",
        2,
    ),
    "any-secret-gets-a-token": ("authorization:a_wrong_secret_gets_no_token", "authorization.wrong-secret-refused", 1),
    "text-uploads-refused": ("enqueue:any_content_type_is_taken", "enqueue.any-content-type", 1),
    "same-file-same-message": (
        "enqueue:the_same_file_twice_is_two_messages",
        "enqueue.each-call-its-own-message",
        2,
    ),
    "every-tenth-message-lost": ("dequeue:a_long_backlog_is_offered_whole", "dequeue.waiting-message-is-offered", 60),
    "messages-cross-jobs": ("dequeue:an_activity_hands_out_its_own_messages_only", "dequeue.own-activity-only", 4),
    "lease-of-29-minutes": (
        "redelivery:hides_for_half_an_hour_and_comes_back",
        "redelivery.not-before-half-an-hour",
        5,
    ),
    "never-redelivered": ("redelivery:hides_for_half_an_hour_and_comes_back", "redelivery.after-half-an-hour", 5),
    "last-byte-cut": ("download:brings_the_bytes_that_were_uploaded", "download.bytes-as-uploaded", 3),
    "acknowledgment-without-effect": ("acknowledgment:ends_the_redelivery", "acknowledgment.ends-redelivery", 6),
    "stale-receipt-acknowledges": ("acknowledgment:a_stale_receipt", "acknowledgment.stale-receipt-changes-nothing", 8),
    "kept-for-six-days": ("retention:a_file_stays_for_seven_days", "retention.kept-for-seven-days", 5),
    "prevention-ignored": (
        "zero_records:prevention_withholds_what_is_empty",
        "zero-records.prevention-uploads-nothing",
        4,
    ),
    "recurrence-counted-from-the-enqueue": (
        "processing:each_tick_takes_what_waits_then",
        "processing.runs-at-the-recurrence",
        5,
    ),
    "last-record-lost": ("processing:the_content_arrives_as_it_was_written", "processing.good-records-land", 6),
    "order-overlaps": ("ordering:in_order_one_after_another", "ordering.in-order-one-after-another", 8),
    "style-sheets-reversed": ("mapping:style_sheets_in_sequence", "processing.xslt-in-sequence", 7),
    "filters-ignored": ("filters:an_export_with_a_filter", "processing.filter-applied", 7),
    "package-in-a-folder": ("packages:an_export_is_a_data_package", "packages.export-is-a-package", 3),
    "utf-16-packages-only": ("packages:both_encodings_of_the_manifest", "packages.utf-8-and-utf-16", 5),
    "final-status-goes-back": ("status:a_final_status_stays", "status.final-stays-final", 7),
    "errors-end-with-the-first": (
        "execution_errors:every_bad_record_is_listed",
        "execution-errors.lists-every-bad-record",
        7,
    ),
    "clean-up-removes-nothing": ("cleanup:everything", "cleanup.removes-what-was-asked", 5),
    "braces-unknown": ("transport:the_activity_in_braces", "transport.braced-activity-id", 2),
    "recurrence-on-every-day": ("batch:weekdays", "batch.recurrence-pattern", 5),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bundles")


@pytest.fixture(scope="module")
def written(folder: Path, convicted: Any) -> Callable[[str], bundle.Bundle]:
    """The bundle of a wrong emulator, made once."""
    made: dict[str, bundle.Bundle] = {}

    def write(mutant: str) -> bundle.Bundle:
        if mutant not in made:
            scenario, rule, _ = FOUND[mutant]
            target = f"emulator:{mutant}"
            made[mutant] = bundle.read(bundle.write(convicted(target, scenario, rule), target, folder))
        return made[mutant]

    return write


@pytest.mark.parametrize("mutant", FOUND)
def test_a_wrong_emulator_becomes_a_bundle(mutant: str, written: Callable[[str], bundle.Bundle]) -> None:
    """It fails three times of three on the wrong one and not on the plain one, and the story is short."""
    _, rule, most = FOUND[mutant]
    assert rule in MUTANTS[mutant].convicted_by
    made = written(mutant)
    told = made.told
    assert (told["failed"], told["tried"]) == (3, 3)
    assert counted(made.steps) == told["counted"] <= most
    assert told["minimised"]["exhausted"] is False
    again = bundle.replay(made, Place(f"emulator:{mutant}"))
    assert (again.state, again.exit_status) == ("failing", 1)
    assert again.message == told["observed"]
    plain = bundle.replay(made, Place("emulator:", seed=3))
    assert (plain.state, plain.exit_status) == ("fixed", 0), plain.message
    # The jumps that are left are such as a person takes in.
    assert all(each.seconds == int(each.seconds) for each in made.steps if isinstance(each, Advance))


def test_half_of_the_stories_have_at_most_six_steps(written: Callable[[str], bundle.Bundle]) -> None:
    """Of all those above; making the jobs is not counted."""
    assert median(counted(written(mutant).steps) for mutant in FOUND) <= 6


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory, convicted: Any) -> Path:
    """A bundle of a stale receipt, with a package that was downloaded."""
    scenario, rule, _ = FOUND["stale-receipt-acknowledges"]
    target = "emulator:stale-receipt-acknowledges"
    return bundle.write(convicted(target, scenario, rule), target, tmp_path_factory.mktemp("one"))


def test_the_folder_has_all_that_it_should(example: Path) -> None:
    """The steps, the story, the script, the archive and the journal; its name tells what failed."""
    assert sorted(each.name for each in example.iterdir()) == [
        "bundle.json",
        "exchanges.har",
        "journal.ndjson",
        "replay.sh",
        "story.md",
    ]
    assert re.fullmatch(r"acknowledgment\.stale-receipt-changes-nothing-[0-9a-f]{8}", example.name)
    told = json.loads((example / "bundle.json").read_bytes())
    assert told["format"] == "popreceipt/bundle@1"
    assert {"expected", "observed", "target", "seed", "suite", "where", "header", "steps", "versions"} <= set(told)
    assert told["target"]["text"] == "emulator:stale-receipt-acknowledges"
    assert told["target"]["build"]


def test_the_journal_is_that_of_the_minimised_run(example: Path) -> None:
    """Whole, and judged by itself it shows the same."""
    journal = JournalFile(example / "journal.ndjson")
    entries = list(journal)
    assert journal.complete
    found = bundle.read(example).oracle.observed(journal.header, entries)
    told = json.loads((example / "bundle.json").read_bytes())
    assert found == (told["observed"], tuple(told["exchanges"]))


def test_the_archive_holds_the_same_exchanges(example: Path) -> None:
    """Bodies that are no text too; it is read back as a recording."""
    archive = json.loads((example / "exchanges.har").read_text())
    assert archive["log"]["version"] == "1.2"
    journal = [each for each in JournalFile(example / "journal.ndjson") if hasattr(each, "request")]
    read = list(HarFile(example / "exchanges.har"))
    assert [(each.request.url, each.request.body, each.response.status, each.response.body) for each in journal] == [  # type: ignore[union-attr]
        (each.request.url, each.request.body, each.response.status, each.response.body)  # type: ignore[union-attr]
        for each in read
    ]


def test_the_story_reads_as_one(example: Path) -> None:
    """Sentences with times, what was expected and observed, and how often it failed."""
    text = (example / "story.md").read_text()
    for words in (
        "**Expected**: An acknowledgment with a receipt",
        "An export job is there: export-1.",
        "| 0:00:00 | The authorised client dequeues from export-1 → delivery-1. | 200 |",
        "31 minutes pass.",
        "| 0:31:00 | The authorised client acknowledges on export-1 with delivery-1. | 200 |",
        "it failed each time",
    ):
        assert words in text


def test_no_secret_enters_a_bundle(folder: Path, example: Path, written: Callable[[str], bundle.Bundle]) -> None:
    """No token and no secret of the world, in no file."""
    with open_target("emulator:") as target:
        identity = target.tokens.identity
        secrets = [each["client_secret"] for each in identity["clients"].values()] + [identity["user"]["password"]]
    for mutant in ("expired-tokens-accepted", "foreign-tokens-accepted", "any-secret-gets-a-token"):
        written(mutant)
    files = [each for each in (*folder.rglob("*"), *example.rglob("*")) if each.is_file()]
    assert files
    for path in files:
        content = path.read_bytes()
        assert b"eyJ" not in content, path
        assert not [each for each in secrets if each.encode() in content], path


def test_the_same_failure_ends_in_the_same_folder(tmp_path: Path, convicted: Any) -> None:
    """However often it is found."""
    scenario, rule, _ = FOUND["lease-of-29-minutes"]
    failure = convicted("emulator:lease-of-29-minutes", scenario, rule)
    paths = {bundle.write(failure, "emulator:lease-of-29-minutes", tmp_path) for _ in range(2)}
    assert len(paths) == len(list(tmp_path.iterdir())) == 1


def test_what_does_not_fail_again_is_said_to(tmp_path: Path, convicted: Any) -> None:
    """Written all the same, unminimised, with 0 of 3."""
    scenario, rule, _ = FOUND["lease-of-29-minutes"]
    path = bundle.write(convicted("emulator:lease-of-29-minutes", scenario, rule), "emulator:", tmp_path)
    told = json.loads((path / "bundle.json").read_bytes())
    assert (told["failed"], told["tried"]) == (0, 3)
    assert told["minimised"]["from"] == told["minimised"]["to"]
    assert told["observed"].startswith("back after")
    assert "did not fail again" in (path / "story.md").read_text()
    # A story that was not made small needs a delivery that a right server does not make, and none is known to show it.
    assert bundle.replay(bundle.read(path), Place("emulator:")).state == "unreached"


def test_what_needs_many_calls_before_it_is_repeated_until_it_fails(tmp_path: Path) -> None:
    """A defect of every twentieth call shows after twenty, whatever came before the tape."""
    target = "emulator:every-twentieth-call-refused"
    oracle = RuleOracle("authorization.issued-token-accepted")
    with open_target(target) as opened, opened.taping() as made:
        queue = Stage(opened, "x").export()
        for _ in range(3):
            queue.dequeue()
    path = bundle.write(Failure("fuzz", "dequeue", oracle, "refused", tape=tuple(made)), target, tmp_path)
    assert json.loads((path / "bundle.json").read_bytes())["failed"] == 3


def test_what_hangs_on_a_renewed_token_is_played_with_its_tokens(tmp_path: Path) -> None:
    """A server that tells consumers by their tokens fails again where the token changes as it did."""
    target = "emulator:lease-for-one-consumer-only"
    oracle = RuleOracle("redelivery.not-before-half-an-hour")
    with open_target(target) as opened, opened.taping() as tape:
        queue = Stage(opened, "x").export()
        queue.receive()
        opened.tokens.forget()
        list(queue.drain())
        found = oracle.observed(opened.journal.header, opened.journal.entries)
    assert found is not None
    path = bundle.write(Failure("lifecycle", "x", oracle, *found, tape=tuple(tape)), target, tmp_path)
    made = bundle.read(path)
    assert made.told["failed"] == 3
    assert counted(made.steps) <= 5
    assert any(isinstance(each, Obtain) for each in made.steps)


def test_a_message_that_must_be_offered_is_not_rightly_missing(tmp_path: Path, convicted: Any) -> None:
    """Where a delivery that showed the failure does not come although one waits, the state is not reached."""
    scenario, rule, _ = FOUND["last-byte-cut"]
    path = bundle.write(convicted("emulator:last-byte-cut", scenario, rule), "emulator:last-byte-cut", tmp_path)
    held = bundle.read(path)
    dequeue = next(each for each in held.steps if isinstance(each, Call))
    first = held.steps.index(dequeue)
    story = (held.steps[0], replace(dequeue, name=None), *held.steps[1:])
    assert held.told["shown_by"] == [first + 1, first + 2]
    shown_by = [first + 2, first + 3]
    lost = bundle.judged(held.oracle, story, Place("emulator:empty-answer-lasts-an-hour").play(story), shown_by)
    assert (lost.state, lost.message) == ("unreached", "nothing gave delivery-1.DownloadLocation a value")
    assert bundle.judged(held.oracle, story, Place("emulator:").play(story), shown_by).state == "fixed"


def test_a_failure_without_a_tape_is_none_that_can_be_written(tmp_path: Path) -> None:
    """There is nothing to do again."""
    with pytest.raises(UsageError, match="nothing on the tape"):
        bundle.write(Failure("fuzz", "x", RuleOracle("dequeue.empty-queue"), ""), "emulator:", tmp_path)


def test_a_folder_that_cannot_be_written_is_said_so(convicted: Any) -> None:
    """In one sentence."""
    scenario, rule, _ = FOUND["lease-of-29-minutes"]
    failure = convicted("emulator:lease-of-29-minutes", scenario, rule)
    with pytest.raises(UsageError, match="Cannot write"):
        bundle.write(failure, "emulator:lease-of-29-minutes", Path("/dev/null/bundles"), budget=1)


# Oracles


@pytest.mark.parametrize(
    "oracle",
    [
        RuleOracle("redelivery.not-before-half-an-hour"),
        AnswerOracle("dequeue", ("5xx", "none"), "authorised", check="no-fault", told="It answers.", every=True),
        AnswerOracle("*", wanted=("2xx", "404")),
    ],
)
def test_oracles_survive_json(oracle: Any) -> None:
    """As a bundle holds them."""
    assert oracle_of(json.loads(json.dumps(oracle.as_json()))) == oracle
    assert oracle.expected.endswith(".")


@pytest.mark.parametrize("told", [None, {}, {"rule": 1}, {"rule": "no.such-rule"}, {"answer": "dequeue"}])
def test_what_is_no_oracle_is_refused(told: Any) -> None:
    """With one sentence."""
    with pytest.raises(UsageError):
        oracle_of(told)


def test_answers_are_judged_by_the_last_call_or_by_each() -> None:
    """Of an operation, of an actor; by statuses, classes of them, or no whole answer."""
    with open_target("emulator:") as target:
        stage = Stage(target, "x")
        queue = stage.export()
        with stage.fault("dequeue", "status", activity=queue.id, status=503):
            queue.dequeue()
        queue.dequeue()
        with stage.fault("dequeue", "reset", activity=queue.id):
            queue.dequeue("authorised/two")
        header, entries = target.journal.header, target.journal.entries
        numbers = [each.seq for each in target.journal.exchanges() if each.operation == "dequeue"]

    def seen(*statuses: str, **more: Any) -> tuple[int, ...] | None:
        found = AnswerOracle("dequeue", statuses, **more).observed(header, entries)
        return None if found is None else found[1]

    assert seen("5xx") is None
    assert seen("5xx", every=True) == (numbers[0],)
    assert seen("none") == (numbers[2],)
    assert seen("none", actor="authorised") is None
    assert seen("204", actor="authorised") == (numbers[1],)
    assert AnswerOracle("dequeue", wanted=("2xx",)).observed(header, entries) is not None
    assert AnswerOracle("ack", wanted=("2xx",)).observed(header, entries) is None


# Sentences


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (Advance(1), "1 second passes."),
        (Advance(90061), "1 day 1 hour 1 minute 1 second pass."),
        (Advance(0.5), "0.5 seconds pass."),
        (Tell("POST", "/activities/{export-1}/produce", {"records": 0}), "The export export-1 runs with 0 records."),
        (Tell("DELETE", "/faults"), "Planned faults are taken back."),
        (Tell("PATCH", "/activities/{import-1}", {"enabled": False}), "import-1 is changed to enabled off."),
        (
            Obtain(version=1, wrong_secret=True),
            "The authorised client asks for a token at the first version of the endpoint with a wrong secret.",
        ),
        (
            Call("POST", "/api/connector/enqueue/{import-1}", "entity=Customer%20groups", body="A,B\r\n1,2\r\n"),
            "Somebody, without a token, enqueues a file of 1 record to import-1.",
        ),
        (
            Call(
                "GET",
                "/api/connector/dequeue/{export-1}",
                actor="forged",
                token=Token("forged", "authorised", "payload"),
            ),
            "Forged, with a token of authorised whose payload was changed, dequeues from export-1.",
        ),
        (
            Call("PUT", "/x", "a=b", actor="authorised", token=Token("current", "authorised"), body="{}"),
            "The authorised client sends PUT /x?a=b with `{}`.",
        ),
    ],
)
def test_a_step_is_a_sentence(step: Any, said: str) -> None:
    """Plain words, whatever it is."""
    assert story.sentence(step) == said


def test_time_is_shown_as_a_clock_does() -> None:
    """With days before it and fractions behind it."""
    assert [story.clock_text(each) for each in (0, 1799, 604_801, 0.25)] == [
        "0:00:00",
        "0:29:59",
        "7 d 0:00:01",
        "0:00:00.25",
    ]
