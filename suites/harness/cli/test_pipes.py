"""A command whose output nobody reads to its end, as before `head`: it ends quietly, and says no findings by it."""

import os
import subprocess
import sys

import pytest

from popreceipt import resources

CODE = "from popreceipt.cli.main import run; run()"

VIOLATED = "redelivery/not-before-half-an-hour.violated.ndjson"


def ended(*arguments: str) -> tuple[int, str]:
    """Exit status of the command, and what it says on standard error, where nobody reads its standard output."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-c", CODE, *arguments]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    os.close(writing)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("rules",),
        ("rules", "--json"),
        ("--help",),
        ("judge", str(resources.fixtures() / "journals" / VIOLATED)),
    ],
    ids=["a table", "one long line", "help", "findings"],
)
def test_nobody_reads_on(arguments: tuple[str, ...]) -> None:
    """Tables of rich, text of print and help of typer end alike: 141, as of other programs, and without a word."""
    assert ended(*arguments) == (141, "")


def test_what_was_wrong_stays_wrong_where_no_output_is_lost() -> None:
    """A command that had nothing to hand out keeps its exit status."""
    status, said = ended("explain", "no.such-rule")
    assert status == 2
    assert "no.such-rule" in said
