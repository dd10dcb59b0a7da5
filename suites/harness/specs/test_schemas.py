"""The JSON Schemas of what is written: files really written fit them, and files with a defect do not."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from popreceipt import resources
from popreceipt.cli.main import run

NAMES = ("bundle", "journal", "verdicts")


def validator(name: str) -> Draft202012Validator:
    schema = json.loads((resources.specs() / f"{name}.schema.json").read_text(encoding="utf-8"))
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a verification of a wrong server writes: verdicts, a journal, a bundle."""
    out = tmp_path_factory.mktemp("reports")
    with pytest.raises(SystemExit) as ended:
        run(
            [
                "verify",
                "--target",
                "emulator:acknowledgment-without-effect",
                "--chapter",
                "acknowledgment",
                "--out",
                str(out),
            ]
        )
    assert ended.value.code == 1
    return out


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_one(name: str) -> None:
    Draft202012Validator.check_schema(validator(name).schema)


def test_verdicts_fit(written: Path) -> None:
    validator("verdicts").validate(json.loads((written / "verdicts.json").read_bytes()))


def test_a_journal_fits_line_by_line(written: Path) -> None:
    lines = (written / "journal.ndjson").read_bytes().splitlines()
    assert len(lines) > 10
    kinds = {"format", "seq", "clock", "observation", "footer"}
    for line in lines:
        entry = json.loads(line)
        validator("journal").validate(entry)
        kinds -= entry.keys()
    assert not kinds, f"no line of these kinds was there: {kinds}"


def test_a_bundle_fits(written: Path) -> None:
    bundles = list((written / "bundles").glob("*/bundle.json"))
    assert bundles
    for each in bundles:
        validator("bundle").validate(json.loads(each.read_bytes()))


Spoil = Callable[[Any], object]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda it: it.pop("complete"),
        lambda it: it.update(format="popreceipt/verdicts@2"),
        lambda it: it["rules"][0].update(outcome="fine"),
        lambda it: it["rules"][0].update(level="MUST", provenance="inferred"),
        lambda it: it["rules"][0].update(outcome="unexercised", reason=None),
        lambda it: it["rules"][0].update(id="no chapter"),
        lambda it: it["summary"].update(held=-1),
        lambda it: it["summary"].pop("answered"),
    ],
)
def test_spoilt_verdicts_do_not_fit(written: Path, spoil: Spoil) -> None:
    told = json.loads((written / "verdicts.json").read_bytes())
    spoil(told)
    assert not validator("verdicts").is_valid(told)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda it: it.pop("request"),
        lambda it: it.update(sent="yesterday"),
        lambda it: it.update(operation="push"),
        lambda it: it.update(response=None),
        lambda it: it["request"]["headers"].append(["Accept", "*/*"]),
        lambda it: it["request"].update(body={"text": "a", "base64": "YQ=="}),
        lambda it: it.update(seq=0),
    ],
)
def test_a_spoilt_exchange_does_not_fit(written: Path, spoil: Spoil) -> None:
    entries = map(json.loads, (written / "journal.ndjson").read_bytes().splitlines())
    entry = next(each for each in entries if "seq" in each)
    spoil(entry)
    assert not validator("journal").is_valid(entry)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda it: it.update(steps=[]),
        lambda it: it["steps"][0].update(do="wait"),
        lambda it: it["steps"].append({"do": "advance", "seconds": -1}),
        lambda it: it.update(oracle={"rule": "none"}),
        lambda it: it.pop("seed"),
    ],
)
def test_a_spoilt_bundle_does_not_fit(written: Path, spoil: Spoil) -> None:
    told = copy.deepcopy(json.loads(next((written / "bundles").glob("*/bundle.json")).read_bytes()))
    spoil(told)
    assert not validator("bundle").is_valid(told)
