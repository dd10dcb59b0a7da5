"""The whole reference middleware as a process of its own, as a subject is run."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from popreceipt.client.connection import Connection
from popreceipt.client.consumer import Consumer
from popreceipt.client.patience import Patience
from popreceipt.client.producer import Producer
from popreceipt.client.reference import Reference, main
from popreceipt.exceptions import UsageError
from popreceipt.middleware.instrument import Instrument
from popreceipt.middleware.scenario import EXPORT, IMPORT, Exported, Imported, Scenario

LEASE = 4.0

COMMAND = (sys.executable, "-m", "popreceipt.client.reference")

BOTH = Scenario(
    name="both",
    title="Three packages wait, and three files.",
    source="Recurring integrations",
    sides=(EXPORT, IMPORT),
    leases=6,
    export=Exported(messages=3, no_file=1),
    imports=Imported(files=("good", "bad-records", "unreadable")),
)

Subject = subprocess.Popen[bytes]


@pytest.fixture
def play(tmp_path: Path) -> Iterator[Callable[..., tuple[Instrument, Callable[[], Subject], Callable[[Any], None]]]]:
    """Opens a scenario: the instrument, what starts the subject, and what goes on until something is so."""
    with contextlib.ExitStack() as closing:

        def open_scenario(
            scenario: Scenario = BOTH, **options: Any
        ) -> tuple[Instrument, Callable[[], Subject], Callable[[Any], None]]:
            instrument = closing.enter_context(
                Instrument(scenario, lease_seconds=LEASE, folder=tmp_path / "scenario", **options)
            )
            instrument.begin()
            running: list[Subject] = []

            def start() -> Subject:
                environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
                output = closing.enter_context((tmp_path / f"output-{len(running)}").open("wb"))
                subject = subprocess.Popen(
                    COMMAND, env=environment | instrument.environment, cwd=tmp_path, stdout=output, stderr=output
                )
                closing.callback(subject.wait)
                closing.callback(subject.kill)
                running.append(subject)
                return subject

            def until(is_so: Callable[[], bool]) -> None:
                while not is_so():
                    assert running[-1].returncode is None, "it ended too early"
                    instrument.tick()
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        running[-1].wait(0.05)

            return instrument, start, until

        yield open_scenario


def stored(instrument: Instrument) -> list[Path]:
    return [each for each in instrument.inbox.iterdir() if not each.name.startswith(".")]


def told_of(instrument: Instrument) -> dict[str, str]:
    lines = [msgspec.json.decode(line) for line in instrument.report.read_bytes().splitlines()]
    assert len({line["file"] for line in lines}) == len(lines)
    return {line["file"]: line["outcome"] for line in lines}


@pytest.mark.parametrize("way", ["http", "tls", "proxy"])
def test_it_does_both_sides_and_ends_when_it_is_told(play: Any, way: str) -> None:
    """In clear text, by TLS with an authority of its own, and through a proxy to a name that only the proxy knows."""
    instrument, start, until = play(tls=way == "tls", proxy=way == "proxy")
    subject = start()
    until(instrument.is_settled)
    subject.send_signal(signal.SIGTERM)
    assert subject.wait(20) == 0
    assert len(stored(instrument)) == 3
    assert sorted(told_of(instrument).values()) == ["failed", "failed", "processed"]


def test_a_process_that_is_killed_leaves_nothing_undone_or_done_twice(play: Any) -> None:
    """Killed when the first file lies in the inbox; another process goes on from there."""
    instrument, start, until = play()
    first = start()
    until(lambda: bool(stored(instrument)))
    first.kill()
    first.wait()
    second = start()
    until(lambda: len(stored(instrument)) == 3 and instrument.report.exists() and len(told_of(instrument)) == 3)
    second.send_signal(signal.SIGTERM)
    assert second.wait(20) == 0
    assert len(stored(instrument)) == 3
    assert set(told_of(instrument).values()) <= {"processed", "failed", "uncertain"}


def test_it_ends_by_itself_when_its_seconds_are_over(play: Any) -> None:
    instrument, start, until = play(replace(BOTH, leases=0.3))
    subject = start()
    until(lambda: subject.poll() is not None)
    assert subject.returncode == 0
    assert instrument.seconds == pytest.approx(1.2)


def test_what_the_guide_shows_works(play: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ten lines, with the names in capitals filled in, in the folder of a scenario."""
    guide = (Path(__file__).parents[3] / "src/popreceipt/docs/pages/guides/write-middleware.md").read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    (code,) = [each for each in blocks if "popreceipt.client.consumer" in each]
    instrument, *_ = play()
    told = {name.removeprefix("POPRECEIPT_"): value for name, value in instrument.environment.items()}
    names = {
        "SECRET": told["CLIENT_SECRET"],
        "EXPORT_ID": told["EXPORT_ACTIVITY"],
        "IMPORT_ID": told["IMPORT_ACTIVITY"],
    }
    monkeypatch.chdir(tmp_path / "scenario")
    # No batch runs here: what is handed in is given up soon instead of after hours.
    soon = Patience.fitted_to(LEASE, 1.0)
    monkeypatch.setattr("popreceipt.client.connection.Patience", lambda: soon)
    exec(code, told | names)
    assert len(stored(instrument)) == 3
    assert sorted(told_of(instrument).values()) == ["uncertain"] * 3
    assert [each.operation for each in instrument.journal.exchanges()].count("enqueue") == 3


# What it makes of its environment


def environment(**changes: str | None) -> dict[str, str]:
    usual: Mapping[str, str | None] = {
        "BASE_URL": "http://127.0.0.1:9",
        "TOKEN_URL": "http://127.0.0.1:9/tenant/oauth2/v2.0/token",
        "CLIENT_ID": "client",
        "CLIENT_SECRET": "secret",
        "EXPORT_ACTIVITY": "c03bb937-09af-4f13-bd13-8f0b1c8d0a01",
        "IMPORT_ACTIVITY": "c03bb937-09af-4f13-bd13-8f0b1c8d0a02",
        "ENTITY": "Customer groups",
        "SECONDS": "1",
        "LEASE_SECONDS": "6",
    }
    return {f"POPRECEIPT_{name}": value for name, value in {**usual, **changes}.items() if value is not None}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"BASE_URL": None, "INBOX": "in"}, "POPRECEIPT_BASE_URL is not set"),
        ({"CLIENT_SECRET": "", "INBOX": "in"}, "POPRECEIPT_CLIENT_SECRET is not set"),
        ({"SECONDS": "long"}, "POPRECEIPT_SECONDS is 'long'"),
        ({"BASE_URL": "nowhere", "INBOX": "in"}, "no base URL"),
        ({"CA_FILE": "none.pem", "INBOX": "in"}, "certificate authority"),
        ({}, "Nothing to do"),
    ],
)
def test_an_environment_that_is_not_complete_is_told_and_ends_with_two(
    changes: dict[str, str | None],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=said):
        Reference(environment(**changes)).run()
    monkeypatch.setattr(os, "environ", environment(**changes))
    assert main() == 2
    assert said in capsys.readouterr().err


def test_it_has_the_sides_that_it_is_told_of(tmp_path: Path) -> None:
    one = Reference(environment(INBOX=str(tmp_path / "in"), EXPORT_TYPE="package"))
    consumer = one.consume()
    assert consumer is not None
    assert consumer.is_package is True
    assert one.produce() is None
    consumer.close()
    other = Reference(
        environment(EXPORT_ACTIVITY=None, OUTBOX=str(tmp_path / "out"), IN_ORDER="1", IMPORT_TYPE="package")
    )
    producer = other.produce()
    assert other.consume() is None
    assert producer is not None
    assert (producer.entity, producer.in_order, producer.report) == (None, True, None)
    producer.close()
    one.connection.close()
    other.connection.close()


def test_another_part_can_be_put_in(tmp_path: Path) -> None:
    """What those who make wrong versions, and others, rely on."""

    class OtherConnection(Connection):
        pass

    class OtherConsumer(Consumer):
        pass

    class OtherProducer(Producer):
        pass

    class Other(Reference):
        CONNECTION, CONSUMER, PRODUCER = OtherConnection, OtherConsumer, OtherProducer

    other = Other(environment(INBOX=str(tmp_path / "in"), OUTBOX=str(tmp_path / "out")))
    consumer, producer = other.consume(), other.produce()
    assert isinstance(consumer, OtherConsumer)
    assert isinstance(producer, OtherProducer)
    assert isinstance(consumer.connection, OtherConnection)
    assert consumer.connection is producer.connection
    consumer.close()
    producer.close()
    other.connection.close()


def test_a_fault_of_its_own_is_an_exit_status(tmp_path: Path) -> None:
    class Broken(Consumer):
        def take(self) -> bool:
            raise ZeroDivisionError

    class Other(Reference):
        CONSUMER = Broken

    other = Other(environment(INBOX=str(tmp_path / "in")))
    assert other.run() == 1
    assert isinstance(other.faults[0], ZeroDivisionError)
    other.connection.close()


def test_its_start_loads_nothing_of_the_instrument() -> None:
    """Every scenario starts it anew: the emulator, the rules and the runner have no place in its process."""
    code = "import sys, popreceipt.client.reference; print(*(n for n in sys.modules if n.startswith('popreceipt.')))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    parts = {name.split(".")[1] for name in loaded}
    assert parts == {"client", "clock", "exceptions", "vocabulary"}


def test_without_the_extra_it_says_what_to_install() -> None:
    code = "import sys; sys.modules['tenacity'] = None; import popreceipt.client.reference"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "pip install 'popreceipt[middleware]'" in ended.stderr.splitlines()[-1]
