"""A result as it lies on disk, read back: for reports of it, gates on it, and comparisons with another.

It knows the verdict file's shape (`popreceipt/verdicts@1`) and keeps what it does not know: the file may gain members.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from popreceipt.exceptions import UsageError
from popreceipt.verdict import Level, Outcome

FORMAT: Final = "popreceipt/verdicts@1"


@dataclass(frozen=True, slots=True)
class FindingRow:
    """A finding of a rule as the file lists it: outcome, words, witnesses by number, and a bundle's folder."""

    outcome: Outcome
    message: str = ""
    exchanges: tuple[int, ...] = ()
    bundle: str | None = None


@dataclass(frozen=True, slots=True)
class RuleRow:
    """One rule's verdict as the file has it; `witness` is a situation in which it held, where one was kept."""

    id: str
    chapter: str
    level: Level
    binds: str
    provenance: str
    outcome: Outcome
    situations: int
    answer: str | None = None
    reason: str | None = None
    findings: tuple[FindingRow, ...] = ()
    witness: FindingRow | None = None


@dataclass(frozen=True)
class ResultFile:
    """A verdict file. `raw` is the whole of it; `path` where it was read."""

    path: Path
    target: Mapping[str, Any]
    seed: int | None
    duration_seconds: float
    complete: bool
    rules: tuple[RuleRow, ...]
    raw: Mapping[str, Any] = field(repr=False)

    @cached_property
    def by_id(self) -> Mapping[str, RuleRow]:
        """The rules' verdicts by id."""
        return {each.id: each for each in self.rules}

    @property
    def journal(self) -> Path | None:
        """The journal beside the file, where there is one."""
        beside = self.path.parent / "journal.ndjson"
        return beside if beside.is_file() else None


def verdict_file(path: Path) -> Path:
    """The verdict file that a path names: the file itself, or `verdicts.json` in a folder.

    Raises:
        UsageError: there is none.
    """
    found = path / "verdicts.json" if path.is_dir() else path
    if not found.is_file():
        raise UsageError(f"There is no result {found}: `popreceipt verify --out DIR` writes DIR/verdicts.json.")
    return found


def read(path: Path) -> ResultFile:
    """Read a verdict file, or the one in a folder.

    Raises:
        UsageError: it cannot be read or is no verdict file.
    """
    file = verdict_file(path)
    try:
        raw = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, RecursionError, ValueError) as error:
        raise UsageError(f"Cannot read the result {file}: {error}.") from error
    return of_json(raw, file)


def of_json(raw: Any, path: Path) -> ResultFile:
    """A result from its JSON.

    Args:
        raw: what the verdict file holds.
        path: where it stands, or would.

    Raises:
        UsageError: it is no verdict file, or a damaged one.
    """
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        found = raw.get("format") if isinstance(raw, dict) else None
        raise UsageError(f"{path} is no verdict file: its format is {found!r}, not {FORMAT!r}.")
    try:
        rules = tuple(rule_row(each) for each in raw["rules"])
        return ResultFile(
            path=path,
            target=dict(raw["target"]),
            seed=raw.get("seed"),
            duration_seconds=float(raw["duration_seconds"]),
            # A file that does not say that it is complete is none.
            complete=raw.get("complete") is True,
            rules=rules,
            raw=raw,
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{path} is a damaged verdict file: {type(error).__name__}: {error}.") from error


def rule_row(row: Mapping[str, Any]) -> RuleRow:
    """One rule's verdict from its JSON.

    Raises:
        KeyError, TypeError, ValueError: it is damaged.
    """
    witness = row.get("witness")
    return RuleRow(
        id=str(row["id"]),
        chapter=str(row["chapter"]),
        level=Level(row["level"]),
        binds=str(row["binds"]),
        provenance=str(row["provenance"]),
        outcome=Outcome(row["outcome"]),
        situations=int(row["situations"]),
        answer=row.get("answer"),
        reason=row.get("reason"),
        findings=tuple(
            FindingRow(
                outcome=Outcome(each["outcome"]),
                message=str(each.get("message", "")),
                exchanges=_numbers(each),
                bundle=each.get("bundle"),
            )
            for each in row.get("findings", ())
        ),
        witness=None
        if witness is None
        else FindingRow(Outcome.HELD, str(witness.get("message", "")), _numbers(witness)),
    )


def rows(found: object) -> list[Mapping[str, Any]]:
    """The members of a list in a file of which the shape is not certain."""
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def scenario_name(block: Mapping[str, Any]) -> str:
    """What a scenario of a middleware's run is called: its name, and the dialect under which it was played."""
    name, dialect = str(block.get("name") or ""), block.get("dialect")
    return f"{name} under {dialect}" if dialect else name


LONGEST_NAME: Final = 120
"""Characters of a folder's name: with the path before it, less than any system takes."""


def file_name(text: str) -> str:
    """A name for a scenario's folder that every system takes, and that still tells what is in it."""
    name = re.sub(r"[^\w.=,@-]+", "-", text)
    if len(name) <= LONGEST_NAME:
        return name
    # Pairs of dialects together say more than a file system takes; the digest keeps two of them apart.
    return f"{name[: LONGEST_NAME - 9]}-{hashlib.sha256(text.encode('utf-8')).hexdigest()[:8]}"


def _numbers(finding: Mapping[str, Any]) -> tuple[int, ...]:
    return tuple(int(each) for each in finding.get("exchanges", ()))
