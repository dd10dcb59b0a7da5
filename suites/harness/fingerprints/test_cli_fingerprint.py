"""`popreceipt fingerprint` as a person or a pipeline meets it."""

import contextlib
import io
import json
import tomllib
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from popreceipt.cli.main import run
from popreceipt.emulator.profile import POINTS, dialect, load_profile
from popreceipt.fingerprints.tour import AsTenant
from popreceipt.histories.serving import served
from popreceipt.rules import catalogue
from popreceipt.rules.rule import Rule
from popreceipt.tour.tour import write_results


@dataclass
class Ended:
    """A command that came to its end."""

    returncode: int
    stdout: str
    stderr: str


def popreceipt(*arguments: str, folder: Path) -> Ended:
    """Run the command in this process, standing in a folder."""
    output, errors = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
        pytest.raises(SystemExit) as ended,
    ):
        run(arguments)
    return Ended(int(ended.value.code or 0), output.getvalue(), errors.getvalue())


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `verify --out` leaves, of an emulator that answers one thing otherwise."""
    folder = tmp_path_factory.mktemp("verified")
    ended = popreceipt(
        *("verify", "--target", "emulator:dialect=acknowledgment.second=404", "--suite", "conformance", "--out", "r"),
        folder=folder,
    )
    assert ended.returncode == 0, ended.stderr
    return folder / "r"


def test_a_server_is_asked_over_http_and_its_profile_served(tmp_path: Path) -> None:
    """What `serve` does under a dialect is what the file says, and `serve --profile` takes the file."""
    name = "download.location-scheme=https"
    with served("--clock", "manual", "--dialect", name) as url:
        ended = popreceipt("fingerprint", "--target", url, "--out", "server.toml", "--label", "ours", folder=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "download.location-scheme" in ended.stderr
    file = tmp_path / "server.toml"
    assert load_profile(str(file)) == dialect(name)
    assert "127.0.0.1" not in file.read_text()
    with served("--clock", "manual", "--profile", str(file)) as url:
        ended = popreceipt("fingerprint", "--target", url, "--json", folder=tmp_path)
    assert ended.returncode == 0, ended.stderr
    points = json.loads(ended.stdout)["points"]
    assert {name: each["value"] for name, each in points.items()} == tomllib.loads(file.read_text())["points"]
    assert [name for name, each in points.items() if not each["usual"]] == ["download.location-scheme"]


def test_a_finished_result_tells_as_much(result: Path, tmp_path: Path) -> None:
    """Nothing is sent: the verdicts have the answers; without --out the profile is printed."""
    ended = popreceipt("fingerprint", "--from", str(result), folder=tmp_path)
    assert ended.returncode == 0, ended.stderr
    content = tomllib.loads(ended.stdout)
    assert content["points"]["acknowledgment.second"] == "404"
    assert set(content["points"]) == set(POINTS)
    assert list(tmp_path.iterdir()) == []


def test_a_result_is_held_against_a_profile(result: Path, tmp_path: Path) -> None:
    """Status 0 where emulator and recording are alike, 1 and the differences where they part."""
    (tmp_path / "alike.toml").write_text('[points]\n"acknowledgment.second" = "404"\n')
    (tmp_path / "other.toml").write_text("[points]\n")
    ended = popreceipt("fingerprint", "--from", str(result), "--against", "alike.toml", folder=tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "no difference in 17" in ended.stdout
    ended = popreceipt("fingerprint", "--from", str(result), "--against", "other.toml", "--json", folder=tmp_path)
    assert ended.returncode == 1, ended.stderr
    partings = json.loads(ended.stdout)["against"]["partings"]
    assert [each["place"] for each in partings] == ["acknowledgment.second"]
    assert partings[0]["target"] == "404"
    assert partings[0]["emulator"] == "500"
    ended = popreceipt("fingerprint", "--from", str(result), "--against", "other.toml", folder=tmp_path)
    assert ended.returncode == 1
    assert "acknowledgment.second is answered 404 by the target and 500 by the emulator." in ended.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("--target", "nonsense"), 2, "Unknown target"),
        (("--target", "emulator:profile=missing.toml"), 2, "There is no profile 'missing.toml'"),
        (("--target", "journal:x.ndjson"), 2, "A recording answers no questions"),
        (("--target", "http://127.0.0.1:9"), 3, "Is the target running"),
        (("--from", "nowhere"), 2, "There is no result"),
        (("--against", "missing.toml"), 2, "There is no profile missing.toml"),
        (("--against", "."), 2, "There is no profile ."),
        (("--against", "p.toml", "--out", "p.toml"), 2, "both name p.toml"),
        (("--out", "."), 2, "Cannot write ."),
        (("--out", "p.toml/x"), 2, "Cannot write p.toml/x"),
        (("--label", "a\nb"), 2, "one line of printable text"),
    ],
)
def test_wrong_usage_is_one_sentence(arguments: tuple[str, ...], status: int, words: str, tmp_path: Path) -> None:
    """What is wrong is said before anybody is asked, and no traceback is shown."""
    (tmp_path / "p.toml").write_text("[points]\n")
    ended = popreceipt("fingerprint", *arguments, folder=tmp_path)
    assert ended.returncode == status, ended.stdout + ended.stderr
    assert words in " ".join(ended.stderr.split())
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('[points]\n"no.such-point" = "1"\n', "no open point 'no.such-point'"),
        ("[points\n", "Cannot read the profile"),
        ("[fingerprints]\n", "unknown 'fingerprints'"),
    ],
)
def test_a_profile_that_is_none_is_refused(content: str, words: str, tmp_path: Path) -> None:
    """Before anything is played on anybody."""
    (tmp_path / "p.toml").write_text(content)
    ended = popreceipt("fingerprint", "--against", "p.toml", folder=tmp_path)
    assert ended.returncode == 2
    assert words in " ".join(ended.stderr.split())


def test_a_result_that_was_cut_off_is_no_source(result: Path, tmp_path: Path) -> None:
    """Half a run would pass for a server that was asked everything."""
    verdicts = json.loads((result / "verdicts.json").read_text())
    (tmp_path / "verdicts.json").write_text(json.dumps(verdicts | {"complete": False}))
    ended = popreceipt("fingerprint", "--from", ".", folder=tmp_path)
    assert ended.returncode == 2
    assert "did not come to its end" in " ".join(ended.stderr.split())
    (tmp_path / "verdicts.json").write_text(json.dumps(verdicts))
    ended = popreceipt("fingerprint", "--from", ".", "--against", str(tmp_path / "p.toml"), folder=tmp_path)
    assert ended.returncode == 2


def test_a_tour_of_a_tenant_is_held_against_the_same_tour_of_the_emulator(tmp_path: Path) -> None:
    """From what the tour left: under the profile that the server runs by nothing parts, under another one it does."""
    emulator = AsTenant(dialect("enqueue.message-id-form=bare"), exports_for=timedelta(hours=2))
    toured = emulator.toured(chapters("enqueue", "transport"), tmp_path / "tour")
    write_results(toured.verdicts, tmp_path / "tour")
    ended = popreceipt("fingerprint", "--from", "tour", "--out", "alike.toml", folder=tmp_path)
    assert ended.returncode == 0, ended.stderr
    content = tomllib.loads((tmp_path / "alike.toml").read_text())
    assert content["points"]["enqueue.message-id-form"] == "bare"
    assert content["fingerprint"]["means"] == "tour"
    assert content["fingerprint"]["unseen"]["batch.overrun"].startswith("nobody knows by the wire")
    ended = popreceipt("fingerprint", "--from", "tour", "--against", "alike.toml", "--json", folder=tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (tmp_path / "other.toml").write_text("[points]\n")
    ended = popreceipt("fingerprint", "--from", "tour", "--against", "other.toml", "--json", folder=tmp_path)
    assert ended.returncode == 1
    partings = json.loads(ended.stdout)["against"]["partings"]
    assert {each["place"] for each in partings} == {"enqueue.message-id-form", "enqueue"}


def chapters(*names: str) -> list[Rule]:
    """The rules of these chapters."""
    return [each for each in catalogue() if each.chapter in names]
