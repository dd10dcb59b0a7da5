"""The whole conformance suite on durable storage: every rule is judged as it is in memory."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ON_DISK = Path(__file__).with_name("on_disk.py")
VERIFY = [sys.executable, "-m", "popreceipt", "verify", "--suite", "conformance"]


def verdicts(folder: Path, command: list[str]) -> dict[str, tuple[Any, Any]]:
    """Outcome and answer of each rule."""
    run = subprocess.run([*command, "--out", str(folder)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    result = json.loads((folder / "verdicts.json").read_text())
    assert result["complete"]
    return {each["id"]: (each["outcome"], each["answer"]) for each in result["rules"]}


@pytest.fixture(scope="module")
def in_memory(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Any, Any]]:
    return verdicts(tmp_path_factory.mktemp("memory"), VERIFY)


def test_a_server_on_a_folder(tmp_path: Path, in_memory: dict[str, tuple[Any, Any]]) -> None:
    """Over HTTP, with grouped commits."""
    serve = [sys.executable, "-m", "popreceipt", "serve", "--port", "0", "--clock", "manual"]
    process = subprocess.Popen([*serve, "--data", str(tmp_path / "data")], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        base_url = json.loads(process.stdout.readline())["base_url"]
        assert verdicts(tmp_path / "out", [*VERIFY, "--target", base_url]) == in_memory
    finally:
        process.terminate()
        assert process.wait(timeout=30) == 0
        process.stdout.close()


def test_an_emulator_of_this_process(tmp_path: Path, in_memory: dict[str, tuple[Any, Any]]) -> None:
    """Without a server each request is a transaction of its own."""
    command = [sys.executable, str(ON_DISK), str(tmp_path / "data"), "verify", "--suite", "conformance"]
    assert verdicts(tmp_path / "out", command) == in_memory


def test_the_other_order_of_redelivery(tmp_path: Path) -> None:
    """The store keeps the queues' order itself, so the dialect that changes it is judged on both."""
    target = ["--target", "emulator:dialect=redelivery.order=original-place", "--chapter", "redelivery"]
    here = verdicts(tmp_path / "memory", [*VERIFY, *target])
    there = verdicts(
        tmp_path / "out",
        [sys.executable, str(ON_DISK), str(tmp_path / "data"), "verify", "--suite", "conformance", *target],
    )
    assert there == here
    assert there["redelivery.order"] == ("answered", "original-place")
