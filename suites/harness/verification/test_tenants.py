"""How a target that is known by its wire alone is described, and what is said of a description that will not do."""

import shutil
from pathlib import Path

import pytest

from popreceipt import resources
from popreceipt.exceptions import NothingProved, UsageError
from popreceipt.targets import open_target

EXAMPLE = resources.fixtures() / "popreceipt.toml"


@pytest.fixture
def described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The example, in a folder of its own, with its secrets in the environment."""
    path = tmp_path / "popreceipt.toml"
    shutil.copy(EXAMPLE, path)
    monkeypatch.setenv("POPRECEIPT_CONFIG", str(path))
    for name in ("QA_SECRET", "QA_UNLISTED_SECRET", "QA_UNMAPPED_SECRET"):
        monkeypatch.setenv(name, "secret")
    return path


def test_the_example_is_understood_up_to_the_server_that_does_not_exist(described: Path) -> None:
    """Everything in it is in order; only nobody answers at its address."""
    text = described.read_text().replace("https://qa.example", "http://127.0.0.1:9")
    described.write_text(text, encoding="utf-8-sig")  # as editors of Windows write it, with a byte order mark
    with pytest.raises(NothingProved, match=r"127\.0\.0\.1:9 cannot be reached"), open_target("tenant:qa"):
        pass


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('base_url = "https://qa.example"', 'base_url = "qa.example"', "base URL"),
        ('token_url = "https', 'token = "https', "lacks token_url"),
        ('"QA_SECRET"', '"NOT_SET"', "NOT_SET"),
        ('clock = "system"', 'clock = "fast"', "clock is"),
        ("export-file =", "export-everything =", "export-everything"),
        ('{ id = "11111111-0000-4000-8000-000000000004", ', "{ ", "needs its GUID"),
        ("[tenant.qa]", "[tenant.qa", "not valid TOML"),
        ("[tenant.qa", "[tenant.other", "describes no tenant 'qa'"),
    ],
)
def test_a_description_that_will_not_do(described: Path, old: str, new: str, words: str) -> None:
    """One sentence that names what is wrong."""
    text = described.read_text()
    assert old in text
    described.write_text(text.replace(old, new))
    with pytest.raises(UsageError, match=words), open_target("tenant:qa"):
        pass
