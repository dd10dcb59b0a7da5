"""The catalogue: what the documentation promises, as rules over the readings of a journal."""

from importlib import import_module
from typing import Final

from popreceipt.exceptions import UsageError
from popreceipt.rules.rule import Rule, registered
from popreceipt.verdict import Binds

CHAPTERS = (
    "authorization",
    "enqueue",
    "dequeue",
    "download",
    "acknowledgment",
    "redelivery",
    "ordering",
    "status",
    "execution-errors",
    "retention",
    "transport",
    "zero-records",
    "processing",
    "packages",
    "cleanup",
    "batch",
    "throttling",
)
"""Chapters in the order of a report. Each has a module."""

_FURTHER_MODULES = {"processing": ("mapping", "filters"), "batch": ("recurrence", "overrun", "monitoring")}
"""Chapters that are too large for one module: what stands beside the one that has the chapter's name."""

_BINDING_CLIENTS: Final = (
    "authorization",
    "enqueue",
    "dequeue",
    "download",
    "acknowledgment",
    "redelivery",
    "ordering",
    "status",
    "execution-errors",
    "retention",
    "transport",
    "zero-records",
    "throttling",
)
"""Chapters that have rules for clients too, in a module of the same name in the package `clients`."""


def catalogue(binds: Binds | None = Binds.SERVICE) -> tuple[Rule, ...]:
    """All rules that bind the service (or the client; None: both), chapter by chapter."""
    for chapter in CHAPTERS:
        for module in (chapter.replace("-", "_"), *_FURTHER_MODULES.get(chapter, ())):
            import_module(f"popreceipt.rules.{module}")
        if chapter in _BINDING_CLIENTS:
            import_module(f"popreceipt.rules.clients.{chapter.replace('-', '_')}")
    order = {name: place for place, name in enumerate(CHAPTERS)}
    rules = [each for each in registered().values() if binds is None or each.binds is binds]
    return tuple(sorted(rules, key=lambda each: order[each.chapter]))


def find(rule_id: str) -> Rule:
    """The rule of this id.

    Raises:
        UsageError: no rule is called so; the error names those that come near.
    """
    rules = {each.id: each for each in catalogue(None)}
    if rule_id in rules:
        return rules[rule_id]
    words = set(rule_id.replace(".", "-").split("-"))
    near = sorted(rules, key=lambda each: -len(words & set(each.replace(".", "-").split("-"))))[:3]
    raise UsageError(f"No rule is called {rule_id!r}. Near it: {', '.join(near)}. All: popreceipt rules.")
