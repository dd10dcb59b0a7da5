"""Eight consumers at once at real servers: in memory, on a disk, and several processes on one database."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from popreceipt.exceptions import NotAbleTo, NothingProved
from popreceipt.histories.checker import judge as judge_history
from popreceipt.histories.driver import Plan, Played, play
from popreceipt.histories.history import Anomaly
from popreceipt.histories.serving import COMMAND, served
from popreceipt.journal import ClockMovement
from popreceipt.rules import catalogue
from popreceipt.rules.readings import Readings
from popreceipt.verdict import Level, Outcome, judge

LOCKLESS = (sys.executable, str(Path(__file__).parents[1] / "storage" / "lockless.py"))


def played(*options: str, command: Sequence[str] = COMMAND, **plan: int) -> Played:
    with served(*options, command=command) as base_url:
        return play(base_url, Plan(**plan))


def faultless(history: Played) -> None:
    """No rule and no checker finds anything, and a lot happened."""
    judgement = judge_history(history.history())
    assert judgement.found == []
    assert judgement.messages > 10
    readings = Readings(history.journal.header, history.journal.entries)
    wrong = [each.id for each in judge(readings, catalogue()) if each.outcome is Outcome.VIOLATED]
    assert wrong == []
    figures = history.figures()
    assert figures["dequeues"] > 50
    assert figures["acknowledgments"] > 10
    assert figures["callers"] >= 8
    assert history.journal.header.concurrent


def test_in_memory() -> None:
    """On a clock that one of them moves while others are asking; connections are lost on both sides."""
    history = played("--clock", "manual")
    faultless(history)
    assert any(isinstance(each, ClockMovement) for each in history.journal.entries)
    assert any(each.sent < each.answered for each in history.journal.exchanges()), "nobody asked while the clock moved"
    failures = {each.failure for each in history.journal.exchanges()}
    assert {"reset", "truncated"} <= failures
    assert len(history.tape) > 100


def test_on_a_disk(tmp_path: Path) -> None:
    """SQLite, on a clock that runs."""
    faultless(played("--clock", "scaled:1800", "--data", str(tmp_path / "data")))


def test_consumers_in_processes() -> None:
    """Two of them, each with its own idea of the time; one journal."""
    history = played("--clock", "scaled:1800", processes=2)
    faultless(history)
    assert [each.seq for each in history.journal.exchanges()] == list(range(1, history.figures()["exchanges"] + 1))


@pytest.mark.parametrize("disturbed", [True, False])
def test_several_servers_on_one_database(database: str, disturbed: bool) -> None:
    """PostgreSQL, four processes behind one address; planned faults would make them stand in line."""
    options = ("--clock", "manual", "--database", database, "--processes", "4")
    faultless(played(*options, waiting=15, disturbed=disturbed))


def test_leases_without_a_row_lock(database: str) -> None:
    """Servers that look for a message without locking it hand it to two at once."""
    options = ("--clock", "manual", "--database", database, "--processes", "4")
    history = played(*options, command=LOCKLESS, exports=1, waiting=30, disturbed=False)
    assert Anomaly.TWICE in judge_history(history.history()).kinds


def test_an_acknowledgment_without_effect() -> None:
    """Is found under concurrency too."""
    history = played("--clock", "manual", "--mutant", "acknowledgment-without-effect")
    judgement = judge_history(history.history())
    assert Anomaly.BACK in judgement.kinds
    worst = judgement.found[0]
    numbers = {each.seq for each in history.journal.exchanges()}
    assert set(worst.exchanges) <= numbers


def test_wants_are_seeded() -> None:
    """What somebody wants follows from the seed, though not when he gets to it."""
    from popreceipt.histories.actors import Actor

    one, two, other = (Actor("c1", seed, 5).chance.random() for seed in ("a", "a", "b"))
    assert one == two != other


def test_what_cannot_be_asked_is_said() -> None:
    """A clock that cannot be moved; a process on a clock that others move; a server that does not start."""
    with served("--clock", "system") as base_url, pytest.raises(NotAbleTo, match="clock"):
        play(base_url, Plan())
    with served("--clock", "manual") as base_url, pytest.raises(NotAbleTo, match="threads"):
        play(base_url, Plan(processes=2))
    with pytest.raises(NothingProved, match="nobody"), served("--mutant", "nobody"):
        pass


def test_levels() -> None:
    """Receipts that were replaced are a SHOULD, everything else convicts; JSON is read back."""
    from popreceipt.histories.oracle import AnomalyOracle, make_known
    from popreceipt.reproduction.oracles import oracle_of

    make_known()
    for kind in Anomaly:
        oracle = AnomalyOracle(kind)
        assert oracle_of(oracle.as_json()) == oracle
        assert oracle.expected.endswith(".")
        assert (oracle.level is Level.SHOULD) is (kind is Anomaly.STALE)


STRANGER = Path(__file__).parents[1] / "verification" / "stranger.py"


@contextmanager
def stranger(*options: str) -> Iterator[str]:
    """The independent server in a process of its own."""
    process = subprocess.Popen([sys.executable, str(STRANGER), *options], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())["base_url"]
    finally:
        process.terminate()
        process.wait(timeout=30)
        process.stdout.close()


def test_a_server_of_somebody_else() -> None:
    """The independent server is asked by eight at once, and nothing is found."""
    with stranger() as base_url:
        history = play(base_url, Plan(disturbed=False))
    judgement = judge_history(history.history())
    assert judgement.found == []
    assert history.figures()["dequeues"] > 50
