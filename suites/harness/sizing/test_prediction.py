"""The command that holds predictions to account: what it writes, when it fails, and that what is written is whole."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from popreceipt import resources
from popreceipt.generate import prediction
from popreceipt.sizing.account import Account
from popreceipt.sizing.result import Compared

PLANS = resources.fixtures() / "plans"


def test_what_is_compared_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two small plans, one of them with consumers: every figure, and status 0."""
    page, data = tmp_path / "out.md", tmp_path / "out.json"
    arguments = ["--messages", "40", "--out", str(page), "--json", str(data)]
    for name in ("account-lease", "warehouse-at-once"):
        arguments += ["--plan", str(PLANS / f"{name}.toml")]
    assert prediction.main(arguments) == 0
    assert "account-lease, consumers" in capsys.readouterr().err
    written = json.loads(data.read_text("utf-8"))
    assert written["format"] == prediction.FORMAT
    assert written["within"] is True
    accounts = {(each["name"], each["setting"]): each for each in written["accounts"]}
    assert {setting for name, setting in accounts if name == "warehouse-at-once"} == {
        f"every {minutes} minutes" for minutes in (5, 10, 15, 30, 60)
    }
    assert all(each["messages"] == 40 for name, each in accounts.items() if name[0] != prediction.TABLE)
    assert "| warehouse-at-once | every 5 minutes | 40 | wait, mean (minutes) |" in page.read_text("utf-8")


def test_a_figure_that_is_too_far_off_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Status 1, and the page says where."""
    honest = prediction.processing

    def off(*arguments: Any, **more: Any) -> Account:
        account = honest(*arguments, **more)
        first: Compared = account.compared[0]
        return replace(account, compared=(replace(first, predicted=9.0, within=False), *account.compared[1:]))

    monkeypatch.setattr(prediction, "processing", off)
    page = tmp_path / "out.md"
    plan = str(PLANS / "account-table.toml")
    assert prediction.main(["--messages", "30", "--out", str(page), "--plan", plan]) == 1
    assert "| **no** |" in page.read_text("utf-8")


def test_a_plan_that_cannot_be_read_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With a sentence and status 2."""
    path = tmp_path / "plan.toml"
    path.write_text("[arrivals]\nper_hour = -1\n[service]\nseconds = 1\n", encoding="utf-8")
    assert prediction.main(["--plan", str(path)]) == 2
    assert "per_hour" in capsys.readouterr().err


def test_the_page_is_about_every_plan() -> None:
    """specs/PREDICTION.md tells of all plans, and nothing on it is too far off."""
    page = (resources.specs() / "PREDICTION.md").read_text("utf-8")
    for path in PLANS.glob("*.toml"):
        assert f"| {path.stem} | every " in page, f"{path.stem} is missing: run nox -s prediction -- --out …"
    assert "**no**" not in page
    assert "all within it" in page
