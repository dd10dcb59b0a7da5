"""The tenant path from end to end: strangers in processes of their own, over TLS, met by commands as people type them.

They are met all at once, since nearly all of the time is waiting. What must be true of each holds on any machine,
however slow: nobody is convicted falsely, nothing is sent outside of the plan, no secret is left behind.
"""

import json
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from popreceipt.emulator.profile import load_profile
from popreceipt.generate.combined import PROFILES
from popreceipt.generate.rehearsal import bounds, canaries, checks, rehearsing
from popreceipt.generate.rehearsal.certificate import made_up
from popreceipt.generate.rehearsal.rehearsing import Rehearsed, rehearse
from popreceipt.generate.rehearsal.stranger import Manner
from popreceipt.journal import Exchange
from popreceipt.recordings import open_recording
from popreceipt.verdict import Outcome

RATE = 60.0
"""Two leases in a minute and a half; a round trip is a second of the stranger's."""

FEWEST_DECIDED = 60
"""A machine under load answers late, and a tour leaves open what it was too late for. How much is left open where
nothing comes late, which is nothing, is in virtual time's tests and in `nox -s rehearsal`."""

MUTANT = "lease-of-29-minutes"

SHARED = ("export-package", "export-file", "export-no-zero")


CHAPTERS = ("enqueue", "transport", "execution-errors", "processing")
"""What takes no half hour, so that a process that starts anew has not missed it."""

KILLS = (25, 90, 180)
"""Lines of the ledger after which the process is killed, each time another one."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the strangers are."""
    return tmp_path_factory.mktemp("strangers")


@pytest.fixture(scope="module")
def met(folders: Path) -> dict[str, Future[Rehearsed]]:
    """All of them, met at once."""
    manners = {
        "plain": Manner(rate=RATE),
        "otherwise": Manner(rate=RATE, points=PROFILES[2], certificate=made_up(folders)),
        "elsewhere": Manner(rate=RATE, points={"download.answer": "redirect"}, msal=False),
        "shared": Manner(rate=RATE, shared=SHARED, export_every=20, seed=7),
        "wrong": Manner(rate=RATE, mutant=MUTANT),
    }
    with ThreadPoolExecutor(len(manners) + 1) as pool:
        told = {
            name: pool.submit(rehearse, folders / name, manner, status=1 if manner.mutant else 0)
            for name, manner in manners.items()
        }
        chapters = [word for chapter in CHAPTERS for word in ("--chapter", chapter)]
        killed = pool.submit(
            rehearse, folders / "killed", Manner(rate=60.0), patience="30s", arguments=chapters, kills=KILLS
        )
        return {**told, "killed": killed}


@pytest.mark.parametrize("name", ["plain", "otherwise", "elsewhere", "shared"])
def test_a_right_stranger_is_convicted_of_nothing(met: dict[str, Future[Rehearsed]], name: str) -> None:
    """Nor is anything sent outside of the plan, kept out of the journal, or leaked; and the fingerprint is true."""
    found = met[name].result()
    assert not found.problems, "\n".join(found.problems)
    assert len([each for each in found.result.rules if each.outcome in checks.DECIDED]) > FEWEST_DECIDED


def test_a_wrong_stranger_is_convicted(met: dict[str, Future[Rehearsed]]) -> None:
    """Its half hour is a minute short, and nothing else is held against it."""
    found = met["wrong"].result()
    violated = {each.id for each in found.result.rules if each.outcome is Outcome.VIOLATED}
    assert violated == {"redelivery.not-before-half-an-hour"}
    assert not found.problems, "\n".join(found.problems)


def test_a_process_that_is_killed_again_and_again_leaves_nothing_undone(met: dict[str, Future[Rehearsed]]) -> None:
    """By a signal that it cannot see coming: each goes on where the one before was, and all is decided in the end."""
    found = met["killed"].result()
    assert found.killed == len(KILLS)
    assert not found.problems, "\n".join(found.problems)
    assert not found.open, "\n".join(found.open)


def test_nothing_is_acknowledged_where_others_may_consume(met: dict[str, Future[Rehearsed]], folders: Path) -> None:
    """By the server's own journal: on the activities that are not said to be exclusive there is no acknowledgment."""
    met["shared"].result()
    server = [each for each in open_recording(folders / "shared" / "server.ndjson") if isinstance(each, Exchange)]
    plan = json.loads((folders / "shared" / "plan.json").read_text())
    shared = {plan["activities"][role] for role in SHARED}
    assert not bounds.acknowledged(server) & shared
    assert any(each.operation == "dequeue" for each in server)


def test_the_fingerprint_of_a_tour_is_what_the_stranger_really_is(
    met: dict[str, Future[Rehearsed]], folders: Path
) -> None:
    """The command takes it from the folder; no secret, address or ID is in it; an emulator under it does not part."""
    met["otherwise"].result()
    folder = folders / "otherwise"
    truth = load_profile(str(folder / "profile.toml"))
    run = rehearsing.without_secrets(folder).run("fingerprint", "--from", "out", "--out", "taken.toml", seconds=60)
    assert run.returncode == 0, run.stderr
    taken = load_profile(str(folder / "taken.toml"))
    seen = {name for name in PROFILES[2] if checks.answer_of(taken, name) == checks.answer_of(truth, name)}
    assert set(PROFILES[2]) - seen <= set(checks.UNSEEN_BY_TOURS)
    text = (folder / "taken.toml").read_text()
    for word in ("127.0.0.1", "tenant:", *json.loads((folder / "plan.json").read_text())["activities"].values()):
        assert word not in text


def test_every_command_about_a_tour_keeps_the_secrets(met: dict[str, Future[Rehearsed]], folders: Path) -> None:
    """Whatever is made of the folder afterwards: pages, summaries, judgments, timelines, profiles."""
    found = met["plain"].result()
    host = rehearsing.without_secrets(folders / "plain")
    for arguments in (
        ("judge", "out/journal.ndjson", "--out", "judged", "--timelines", "timelines"),
        ("fingerprint", "--from", "out", "--against", "profile.toml", "--json"),
        ("report", "out", "--html", "report.html", "--markdown", "summary.md", "--badge", "badge.svg"),
        ("verify", "--target", "journal:out/journal.ndjson", "--out", "again"),
    ):
        run = host.run(*arguments, seconds=120)
        assert run.returncode in (0, 1), run.stderr
        (host.folder / f"{arguments[0]}.said.txt").write_text(run.stdout + run.stderr)
    assert canaries.leaks(host.folder, found.secrets) == []
