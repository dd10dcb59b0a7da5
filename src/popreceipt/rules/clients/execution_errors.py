"""How a client comes by the errors of an import that failed: by the execution's ID, once there is one.

An ID is known to be an execution's because the service said so, and to be a message's because an enqueue was answered
with it.
"""

import re
from collections.abc import Iterator
from typing import Final

from popreceipt import vocabulary
from popreceipt.rules.facts import ErrorEntry, ExecutionErrors, ExecutionSummary
from popreceipt.rules.readings import Readings
from popreceipt.rules.rule import CLIENT, CLIENT_OBSERVED, INFERRED, MUST, SHOULD, article, client, rule
from popreceipt.rules.submissions import SOON, named
from popreceipt.verdict import Finding, held, undecided, violated

SECTION: Final = "API for getting the list of execution errors"
DOCUMENTATION: Final = "MicrosoftDocs/dynamics-365-unified-operations-public"

BEGINNING: Final = 40
"""Characters by which a text is known: a report may cut it short."""

_WORD: Final = re.compile(r"[^\s,;:()\[\]'\"]+")

FAILED_IN_THE_TARGET: Final = frozenset({vocabulary.PROCESSED_WITH_ERRORS, vocabulary.POSTPROCESSING_FAILED})
"""States that a message reaches by an execution only."""


@rule(
    "execution-errors.not-by-message-id",
    text="A client asks for execution errors by an execution's ID, not by a message's.",
    source=article(SECTION),
    reading="The answer to a message's ID is an empty list, which looks as if there were no errors "
    "(MicrosoftDocs/dynamics-365-unified-operations-public, issues 2064 and 2074).",
    level=MUST,
    binds=CLIENT,
    statements=(59,),
)
def not_by_message_id(journal: Readings) -> Iterator[Finding]:
    """Each question whose ID is known for one or the other."""
    messages = journal.submissions.messages
    executions = _executions(journal)
    asked_for = {each.meant for each in (*journal.statuses, *journal.jobstatuses) if each.ok and each.state is not None}
    for call in journal.execution_errors:
        execution = named(call.meant)
        if execution is None:
            continue
        if execution in executions:
            yield held("an execution's ID", call)
        elif execution in messages:
            yield violated("a message's ID", messages[execution].enqueue, call)
        elif execution in asked_for:
            yield violated("an ID that is a message's", call)


def _executions(journal: Readings) -> frozenset[str]:
    """The execution IDs that the service told."""
    told = {each.execution for each in journal.execution_ids if each.ok}
    told |= {each.execution for each in journal.jobstatuses if each.ok}
    return frozenset(each for each in map(named, told) if each is not None)


@rule(
    "execution-errors.zero-id-waited-out",
    text="A client takes an execution ID of zeros, or a blank one, for none as yet, and asks again.",
    source=client("HotWax", "notes on its connector: zeros until the batch has taken the message up"),
    reading="How often is left open: a message may never get an execution. Convicted where the zeros are used as an "
    "ID, and where a client that saw them once never asked again though its message came to an execution.",
    level=SHOULD,
    provenance=CLIENT_OBSERVED,
    binds=CLIENT,
)
def zero_id_waited_out(journal: Readings) -> Iterator[Finding]:
    """Each use of such an ID, and each message for which it was answered."""
    uses: list[ExecutionErrors | ExecutionSummary] = [*journal.execution_errors, *journal.execution_summaries]
    for call in uses:
        if call.meant is not None and named(call.meant) is None:
            yield violated("asked by the ID that stands for none", call)
    submissions = journal.submissions
    for one in submissions.messages.values():
        blank = [
            each for each in one.lookups if each.ok and each.execution is not None and named(each.execution) is None
        ]
        if not blank:
            continue
        again = next((each for each in one.lookups if each.seq > blank[0].seq), None)
        if again is not None:
            yield held("asked again", blank[0], again)
        elif one.executions:
            yield held("the execution was told otherwise", blank[0])
        elif not any(each.state in FAILED_IN_THE_TARGET for each in one.ends):
            continue  # there may never be one
        elif submissions.unread is None and submissions.patient(blank[0], one.asked):
            yield violated("never asked again", blank[0])
        else:
            yield undecided("it was soon over", blank[0])


@rule(
    "execution-errors.fetched-on-failure",
    text="A client fetches the errors of a message that was processed with errors.",
    source=article(SECTION),
    reading="An attempt counts. Another try with the file instead is the client's right, and where the service tells "
    "no execution ID there is nothing to fetch. Given a lease and a half.",
    level=SHOULD,
    binds=CLIENT,
    statements=(47, 59),
)
def fetched_on_failure(journal: Readings) -> Iterator[Finding]:
    """Each message that surely was seen as ProcessedWithErrors."""
    submissions = journal.submissions
    for one in submissions.messages.values():
        seen = (
            each for each in one.ends if each.state == vocabulary.PROCESSED_WITH_ERRORS and journal.conduct.saw(each)
        )
        bad = next(seen, None)
        if bad is None:
            continue
        if one.errors:
            yield held("fetched", bad, one.errors[0])
        elif not one.executions and any(each.ok or each.named_rightly for each in one.lookups):
            continue  # there is nothing to fetch by
        elif any(each.seq > bad.seq for each in submissions.filed[submissions.digest_of(one.enqueue)].tries):
            continue
        elif submissions.unread is None and submissions.patient(bad, one.asked, SOON):
            yield violated("its errors were never asked for", one.enqueue, bad)
        else:
            yield undecided("it was soon over, or nobody can tell what was asked for", one.enqueue, bad)


@rule(
    "execution-errors.told",
    text="The errors that the service listed stand in the client's report.",
    source=client(DOCUMENTATION, "issue 4775: what a user needs is the text of each error"),
    reading="Known only of clients that write a report. One of the listed texts is enough, or a record with its "
    "field. As many words of the client's own as there were errors are undecided.",
    level=SHOULD,
    provenance=INFERRED,
    binds=CLIENT,
)
def told(journal: Readings) -> Iterator[Finding]:
    """Each message whose errors reached the client and that it reported as failed."""
    submissions = journal.submissions
    for one in submissions.messages.values():
        listed = next((each for each in one.errors if each.ok and each.entries and journal.conduct.saw(each)), None)
        lines = [each for each in submissions.told(one) if each.outcome == "failed"]
        words = sum(len(each.errors) for each in lines)
        if listed is None or not lines:
            continue
        said = _plain("\n".join(text for line in lines for text in line.errors))
        if any(_stands_in(each, said) for each in listed.entries):
            yield held("they stand there", listed)
        elif words < len(listed.entries):
            yield violated(f"none of {len(listed.entries)} errors stands in the report", listed)
        else:
            yield undecided("the report has words of its own", listed)


def _stands_in(entry: ErrorEntry, said: str) -> bool:
    text = _plain(entry.text)[:BEGINNING]
    if text and text in said:
        return True
    words = set(_WORD.findall(said))
    place = {part for part in (_plain(entry.record), _plain(entry.field)) if part}
    # Of a list that is no JSON in itself the reader knows the records alone.
    return bool(place) and place <= words and (len(place) > 1 or not entry.text)


def _plain(text: str | None) -> str:
    """A text with all its white space alike."""
    return " ".join((text or "").split())
