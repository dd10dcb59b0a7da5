"""Which request asks for what: the verb of each operation, the direction of the job it is meant for, how it is spelled.

Tells a request that was made as the documentation has it from one that was bent on purpose. What the answer has to
be is none of its business.
"""

import re
from typing import Final

from popreceipt import vocabulary
from popreceipt.rules.facts import Call, Enqueue
from popreceipt.rules.files import records_of
from popreceipt.rules.readings import Readings

VERBS: Final = {
    vocabulary.ENQUEUE: "POST",
    vocabulary.DEQUEUE: "GET",
    vocabulary.ACK: "POST",
    vocabulary.JOBSTATUS: "GET",
    vocabulary.MESSAGE_STATUS: "POST",
    vocabulary.EXECUTION_ID: "POST",
    vocabulary.EXECUTION_ERRORS: "POST",
    vocabulary.EXECUTION_SUMMARY: "POST",
}
"""The documented verb of each operation ("Recurring integrations", "API for import (enqueue)" and what follows)."""

DIRECTIONS: Final = {vocabulary.ENQUEUE: "import", vocabulary.DEQUEUE: "export", vocabulary.ACK: "export"}
"""The direction of the jobs that an operation is for."""

BUSY_OR_UNFIT: Final = frozenset({408, 411, 413, 415, 429, 502, 503, 504})
"""Refusals of a server that is busy, of a gateway, or for the body's form: they say nothing about caller and path."""

_GUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_OTHER_GUID: Final = re.compile(r"[0-9a-f]{32}|\([0-9a-f-]{36}\)")
_ROUTE: Final = re.compile(r"/api/connector/[a-z]+/", re.IGNORECASE)
_ENGLISH: Final = re.compile(r"/en/api/connector/", re.IGNORECASE)


def well_made(call: Call) -> bool:
    """Has the verb that is documented for what it asks."""
    return VERBS.get(call.operation) == call.method


def right_side(journal: Readings, call: Call) -> bool | None:
    """Whether the job that the path names has the direction that the operation is for; None where nobody told."""
    told = journal.setting(call.activity or "", "direction", call.answered)
    return None if told is None else bool(told == DIRECTIONS.get(call.operation))


def token_alive(journal: Readings, call: Call) -> bool | None:
    """Whether the call's token certainly lived: False where it may have been over, None where nobody told."""
    ends = journal.token_ends.get(call.token or "")
    return None if ends is None else call.answered < ends[0]


def names_a_guid(activity: str) -> bool | None:
    """Whether the path's activity is a GUID; None for the forms of one that the documentation never shows."""
    if _GUID.fullmatch(activity):
        return True
    return None if _OTHER_GUID.fullmatch(activity) else False


def in_english(path: str) -> bool:
    """The language segment of the documentation's examples stands before the API's path."""
    return _ENGLISH.search(path) is not None


def in_another_case(path: str) -> bool:
    """The words that the connector's route is made of are not all in lower case."""
    found = _ROUTE.search(path)
    return found is not None and found.group() != found.group().lower()


def braced(path: str) -> bool:
    """The activity ID stands in braces, percent-encoded, as the grid's copy of it does."""
    last = path.rstrip("/").rpartition("/")[2].lower()
    return last.startswith("%7b") and last.endswith("%7d")


def bare(path: str) -> bool:
    """The activity ID stands without braces."""
    return _GUID.fullmatch(path.rstrip("/").rpartition("/")[2].lower()) is not None


def shape(path: str) -> tuple[str, str]:
    """How a path is spelled, whatever the operation and the activity: what stands before, and whether in braces."""
    before = path.rstrip("/").rpartition("/")[0].rpartition("/")[0]
    return before, "braced" if braced(path) else "bare" if bare(path) else "other"


def entity_as_sent(call: Enqueue) -> str:
    """The entity's name in the query as it was sent, still encoded; empty where there is none."""
    for part in call.query.split("&"):
        name, _, value = part.partition("=")
        if name.lower() == "entity":
            return value
    return ""


def sound_file(call: Enqueue) -> bool:
    """The upload is a file or a package of records with nothing wrong in any, handed in without any packing."""
    if call.encoding or call.body is None:
        return False
    content = call.body.content()
    parsed = records_of(content) if content is not None else None
    return parsed is not None and parsed.all_good
