"""The scenarios in files: each says where it comes from, is another than the others, and does what it says."""

import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from popreceipt import resources
from popreceipt.exceptions import UsageError
from popreceipt.middleware import dialects, matrix, reading, selection
from popreceipt.middleware.scenario import EXPORT, Imported, Scenario
from popreceipt.rules import catalogue
from popreceipt.rules.rule import Binds

from .conftest import QUICK_LEASE_SECONDS, Hands, OpenInstrument

EVERY = selection.everything()

BY_NAME = [pytest.param(each, id=each.name) for each in EVERY]

LEASE_SECONDS = 6
JOBS = 4


def test_the_files_are_the_scenarios() -> None:
    """A name is a file's name, so that whoever reads of one finds it."""
    files = {path.stem for path in (resources.fixtures() / "scenarios").glob("*.toml")}
    assert {each.name for each in EVERY} == files
    assert len(files) >= 30


@pytest.mark.parametrize("scenario", BY_NAME)
def test_each_says_what_goes_wrong_and_where_it_was_seen(scenario: Scenario) -> None:
    """In a sentence, with a place."""
    assert scenario.title.endswith(".")
    assert 20 < len(scenario.title) < 140
    assert len(scenario.source) > 10
    assert scenario.shows


def test_no_two_are_the_same() -> None:
    """They differ in more than their words."""
    plain = [replace(each, name="", title="", source="", touches=(), shows=(), quick=False) for each in EVERY]
    assert all(one not in plain[place + 1 :] for place, one in enumerate(plain))
    assert len({each.title for each in EVERY}) == len(EVERY)


def test_each_shows_rules_that_there_are() -> None:
    """Rules that bind clients, by their ids."""
    known = {each.id for each in catalogue(Binds.CLIENT)}
    assert {rule for each in (*EVERY, *matrix.matrix()) for rule in each.shows} <= known


def test_every_rule_is_shown_somewhere() -> None:
    """A rule that no scenario shows could be left out, and nobody would notice."""
    shown = {rule for each in (*EVERY, *matrix.matrix()) for rule in each.shows}
    assert {each.id for each in catalogue(Binds.CLIENT)} <= shown


def test_the_quick_ones_take_less_than_three_minutes_even_if_none_ends_early() -> None:
    """Four at a time, with the usual lease."""
    longest = sum(each.leases * each.lease_factor * LEASE_SECONDS for each in selection.quick())
    assert longest / JOBS < 180


@pytest.mark.parametrize("scenario", BY_NAME)
def test_its_faults_strike_where_they_say(scenario: Scenario, opened: OpenInstrument) -> None:
    """At the request of that number, and at as many as it says, with the kind and the phase it says."""
    for fault in scenario.faults:
        hands = opened(replace(scenario, faults=(fault,)), lease_seconds=QUICK_LEASE_SECONDS)
        if fault["operation"] == "processing":
            strike_a_file(hands, fault)
            continue
        position, times = fault.get("position", 1), fault.get("times", 1)
        most = position + (3 if times == "all" else times)
        for _ in range(most):
            hands.ask(fault["operation"])
        exchanges = struck_among(hands, fault["operation"])
        wanted = range(position, most if times == "all" else position + times)
        assert exchanges[: len(wanted)] == list(wanted)
        told = hands.seen("fault")
        assert {each["kind"] for each in told} == {fault["kind"]}
        assert {each["phase"] for each in told} == {
            fault.get("phase", "after" if fault["kind"] == "slow" else "before")
        }


def struck_among(hands: Hands, operation: str) -> list[int]:
    """Which requests of an operation were struck, counted from 1."""
    numbers = {each["exchange"] for each in hands.seen("fault")}
    names = {"status": "message-status"}
    asked = [
        each.seq
        for each in hands.instrument.journal.exchanges()
        if operation == "*" or each.operation == names.get(operation, operation)
    ]
    return [place for place, seq in enumerate(asked, 1) if seq in numbers]


def strike_a_file(hands: Hands, fault: Any) -> None:
    """Hand in the files and wait for the fault of processing."""
    for file in sorted(hands.instrument.outbox.iterdir()):
        hands.enqueue(file.name)
    hands.until(lambda: bool(hands.seen("fault")))
    (told,) = hands.seen("fault")
    assert told["kind"] == fault["kind"]
    assert told["message"] == hands.handed_in[0]


@pytest.mark.parametrize("scenario", BY_NAME)
def test_what_waits_is_what_it_says(scenario: Scenario, opened: OpenInstrument) -> None:
    """So many messages with a file, so many without, and the outbox has its files; no two payloads are alike."""
    if scenario.name == "backlog":
        scenario = replace(scenario, export=replace(scenario.export or pytest.fail("it exports"), messages=20))
    hands = opened(scenario)
    produced = hands.seen("produced")
    export = scenario.export
    assert sum(each["uploaded"] for each in produced) == (export.messages if export is not None else 0)
    assert sum(not each["uploaded"] for each in produced) == (export.no_file if export is not None else 0)
    payloads = [each["sha256"] for each in hands.seen("payload")]
    assert len(set(payloads)) == len(payloads)
    (outbox,) = hands.seen("outbox") or [{"appeared": []}]
    digests = [each["sha256"] for each in outbox["appeared"]]
    assert len(digests) == (len(scenario.imports.files) if scenario.imports is not None else 0)
    assert len(set(digests)) == len(digests)
    if EXPORT in scenario.sides and export is not None and export.no_file:
        first = [each["uploaded"] for each in produced]
        assert first.index(False) == export.no_file_at - 1


# What cannot be is refused

GOOD = 'title = "Something goes wrong here."\nsource = "Somewhere"\n'
EXPORTS = GOOD + "[export]\nmessages = 1\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("title = ", "is not valid TOML"),
        ('title = "x"\n[export]\n', "source"),
        (GOOD, "[export] and the side export belong together"),
        (GOOD + 'sides = ["import"]\n', "[import] and the side import belong together"),
        (GOOD + "sides = []\n", "at least one"),
        (GOOD + 'sides = ["exports"]\n[export]\n', "sides"),
        (GOOD + "quik = true\n[export]\n", "Did you mean 'quick'?"),
        (GOOD + "leases = 0\n[export]\n", "leases"),
        (GOOD + 'export = "yes"\n', "export is a table"),
        (EXPORTS + "mesages = 2\n", "'mesages' in export. Did you mean 'messages'?"),
        (EXPORTS + 'expires = "soon"\n', "expires"),
        (EXPORTS + "expired = 2\n", "2 files cannot expire"),
        (EXPORTS + "no_file_at = 0\n", "no_file_at"),
        (EXPORTS + 'type = "file"\nrecords = 0\n', "all alike"),
        (EXPORTS + '[points]\n"dequeue.empty-queu" = "204"\n', "dequeue.empty-queu"),
        (EXPORTS + '[points]\n"dequeue.empty-queue" = "205"\n', "cannot be '205'"),
        (EXPORTS + "[parameters]\nlease = 3\n", "the parameter lease"),
        (GOOD + 'touches = ["dequeue.emptyqueue"]\n[export]\n', "Did you mean 'dequeue.empty-queue'?"),
        (EXPORTS + '[[faults]]\nkind = "reset"\n', "a fault's operation"),
        (EXPORTS + '[[faults]]\noperation = "dequeue"\n', "a fault has a kind"),
        (EXPORTS + '[[faults]]\noperation = "dequeue"\nkind = "slow"\nleases = 1\nseconds = 1\n', "not in both"),
        (EXPORTS + '[[faults]]\noperation = "dequeue"\nkind = "slow"\nleases = "1"\n', "is a number"),
        (EXPORTS + '[[faults]]\noperation = "dequeue"\nkind = "reset"\nside = "left"\n', "side"),
        (EXPORTS + '[[faults]]\noperation = "dequeue"\nknd = "reset"\n', "faults, number 1"),
        (EXPORTS + '[[steps]]\naction = "jump"\n', "action"),
        (EXPORTS + '[[steps]]\naction = "revoke"\nafter = "lunch"\n', "not after 'lunch'"),
        (EXPORTS + '[[steps]]\naction = "revoke"\nat = -1\n', "0 or more"),
        (EXPORTS + '[[steps]]\naction = "disable"\nside = "import"\n', "which the scenario does not have"),
        (EXPORTS + '[[steps]]\naction = "produce"\nside = "import"\n', "only an export produces"),
        (GOOD + 'steps = "none"\n[export]\n', "steps is a list of tables"),
        (GOOD + 'sides = ["import"]\n[import]\nfiles = ["empty", "empty"]\n', "only one file can be empty"),
        (GOOD + 'sides = ["import"]\n[import]\nfiles = ["odd"]\n', "files"),
        (GOOD + 'sides = ["import"]\n[import]\nprocess_every = -1\n', "process_every"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(text: str, said: str, tmp_path: Path) -> None:
    """With the file's name in front."""
    path = tmp_path / "odd.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=r"odd\.toml") as refused:
        reading.read(path)
    assert said in str(refused.value)


def test_a_folder_without_scenarios_is_refused(tmp_path: Path) -> None:
    """Nothing to play is not everything played."""
    with pytest.raises(UsageError, match="no scenarios"):
        reading.read_folder(tmp_path)


def test_a_fault_that_cannot_be_is_refused_before_the_subject_starts(opened: OpenInstrument) -> None:
    """In the fault plan's own words."""
    impossible = {"operation": "ack", "kind": "status", "phase": "after", "status": 404}
    with pytest.raises(UsageError, match="plans what cannot be: After its effect"):
        opened(faults=(impossible,))


def test_an_entity_that_nobody_knows_is_refused(opened: OpenInstrument) -> None:
    """The subject could not be blamed for it."""
    with pytest.raises(UsageError, match="unknown entity"):
        opened(sides=("import",), imports=Imported(entity="Moon phases"), export=None)


# Which are meant


def test_a_scenario_is_found_by_its_name() -> None:
    """Those of the matrix too."""
    assert selection.find("no-file").export is not None
    assert selection.find("lost.ack.after.reset").faults
    assert selection.select(["no-file", "empty-queue", "no-file"]) == (
        selection.find("no-file"),
        selection.find("empty-queue"),
    )


def test_a_scenario_of_ones_own_is_found_by_its_file(tmp_path: Path) -> None:
    """It need not be one of ours."""
    path = tmp_path / "mine.toml"
    path.write_text(EXPORTS, encoding="utf-8")
    assert selection.find(str(path)).name == "mine"
    with pytest.raises(UsageError, match="Cannot read the scenario"):
        selection.find(str(tmp_path / "yours.toml"))


@pytest.mark.parametrize(
    ("name", "said"),
    [("no-fil", "Did you mean no-file"), ("lost.ack.after.rest", "lost.ack.after.reset"), ("zzz", "There are backlog")],
)
def test_a_name_that_is_none_is_answered_with_one_that_is(name: str, said: str) -> None:
    """Whoever mistypes sees what was meant."""
    with pytest.raises(UsageError) as refused:
        selection.find(name)
    assert said in str(refused.value)


def test_the_documents_hold_nothing_that_a_scenario_does_not() -> None:
    """Each member of each file is one that is read."""

    def members() -> Iterator[str]:
        for path in (resources.fixtures() / "scenarios").glob("*.toml"):
            yield from tomllib.loads(path.read_text(encoding="utf-8"))

    known = {"title", "source", "sides", "quick", "leases", "lease_factor", "ends", "export", "import", "points"}
    assert set(members()) <= known | {"parameters", "faults", "steps", "network", "touches", "shows"}


def test_the_dialects_in_play_are_those_that_scenarios_touch() -> None:
    """Each of them is some scenario's."""
    assert len(dialects.names()) >= 40
