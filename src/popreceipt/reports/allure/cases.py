"""A case of an Allure report: one verdict with its name, its status and its evidence.

It knows what a case is and what makes two cases the same one; how it becomes a file is known in module `folder`.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from popreceipt.verdict import Level


class Status(StrEnum):
    """How a case ended, in Allure's words. BROKEN is a fault of the harness, UNKNOWN what could not be decided."""

    FAILED = "failed"
    BROKEN = "broken"
    PASSED = "passed"
    SKIPPED = "skipped"
    UNKNOWN = "unknown"


SEVERITY: Final = {Level.MUST: "critical", Level.SHOULD: "normal", Level.ASK: "minor"}
"""Allure's word for how much depends on a rule of a level."""


@dataclass(frozen=True, slots=True)
class Step:
    """A part of a case: words, how it went, and what it consists of."""

    name: str
    status: Status = Status.PASSED
    steps: "tuple[Step, ...]" = ()
    message: str = ""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A text beside a case. `extension` is that of its file, without the dot."""

    name: str
    text: str
    media_type: str = "text/plain"
    extension: str = "txt"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A fact about a case. One that is `excluded` is no part of its identity: it may change from run to run."""

    name: str
    value: str
    excluded: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One result.

    Args:
        identity: what it is known by from run to run; no two cases of one command share one.
        name: what a reader sees.
        status: how it ended.
        message: why, in a few lines; categories are told apart by it.
        description: what the case is about, as Markdown of our own: never the words of a server or a subject.
        epic: the widest group that it stands in.
        feature: the group within.
        story: the group within that; may be missing.
        severity: how much depends on it.
        tags: words to look for.
        links: name and address of each.
        parameters: facts about it.
        steps: what it consists of.
        attachments: texts beside it.
        seconds: how long it took, in real time.
    """

    identity: str
    name: str
    status: Status
    message: str = ""
    description: str = ""
    epic: str
    feature: str
    story: str | None = None
    severity: str = "normal"
    tags: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    parameters: tuple[Parameter, ...] = ()
    steps: tuple[Step, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    seconds: float = 0.0
