"""What a client makes of a message's status: whether it asks, for what, how often, until when, and what it then says.

What the subject believes is known from the lines of its report alone. A message whose answer was lost is none that the
client could ask for.
"""

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from popreceipt import vocabulary
from popreceipt.rules.conduct import tight
from popreceipt.rules.facts import Call, ExecutionId, StatusAnswer, Told
from popreceipt.rules.imports import FAILED, FINAL
from popreceipt.rules.readings import Readings
from popreceipt.rules.requests import names_a_guid
from popreceipt.rules.rule import CLIENT, CLIENT_OBSERVED, INFERRED, MUST, SHOULD, article, client, rule
from popreceipt.rules.submissions import SOON, SUCCEEDED, Submitted
from popreceipt.verdict import Finding, held, undecided, violated

SECTION: Final = "Getting the status of a message"

ENOUGH: Final = 10
"""So many polls of one message show a pace."""

ONCE_MORE: Final = 2
"""Polls after an end state that prove nothing: another worker's, or one that was on its way."""

FOR_YEARS: Final = 10
"""The same, where nobody tells of processes: somebody may look up what became of a message long ago."""

UNREAD: Final = "there are questions of which nobody can tell what they are about"

PROCESSED: Final = "processed"
_AROUND: Final = "\"'{}()[]\\ \t\r\n"
"""What a client may have left around an ID, or put there."""

FAILING: Final = frozenset({"failed", "uncertain"})


@rule(
    "status.asked-to-an-end",
    text="A client asks for the status of what it handed in until there is an end state.",
    source=article(SECTION),
    reading="By GetMessageStatus, by jobstatus, or by the execution's ID and its summary. One who asks for half a "
    "lease or longer, or says that it does not know, has given up. Given a lease and a half, and thrice its own "
    "longest pause. Whom the service refuses has asked, unless quotes were left around the ID each time.",
    level=SHOULD,
    binds=CLIENT,
    statements=(45,),
)
def asked_to_an_end(journal: Readings) -> Iterator[Finding]:
    """Each message whose ID reached the client."""
    submissions = journal.submissions
    for one in submissions.messages.values():
        if not journal.conduct.saw(one.enqueue):
            continue
        asked = one.asked
        last = asked[-1] if asked else one.enqueue
        said = {line.outcome for line in submissions.told(one)}
        if one.over:
            yield held("an end was seen", one.enqueue, one.over[0])
        elif "uncertain" in said:
            continue
        elif asked and all(_useless(each) for each in asked):
            if all(isinstance(each, StatusAnswer) and each.quoted for each in asked):
                yield violated(f"refused {len(asked)} times: quotes stood around the ID", one.enqueue, last)
        elif not asked and any(line.outcome == PROCESSED for line in submissions.told(one)):
            yield violated("reported as processed and never asked for", one.enqueue)
        elif asked and last.answered - asked[0].sent >= journal.conduct.lease / 2:
            continue  # it has waited, and need not wait for ever
        elif submissions.unread is not None:
            yield undecided(UNREAD, one.enqueue, submissions.unread)
        elif said or submissions.patient(last, [one.enqueue, *asked]):
            seen = next((each.value for each in reversed(one.polls) if each.ok), None)
            yield violated(f"last seen {seen}" if asked else "never asked", one.enqueue, *asked[-1:])
        else:
            yield undecided("it was soon over", one.enqueue, *asked[-1:])


def _useless(call: Call) -> bool:
    """Whether a call was refused: the service has no such status to tell."""
    return call.refused and not call.in_doubt


@rule(
    "status.end-recognised",
    text="A client stops asking once a message has come to an end state, however that is spelled.",
    source=client(
        "FO_RI_Currencies_read", "takes the names of one interface for those of the other, and asks for ever"
    ),
    reading="Processed, ProcessedWithErrors, PreProcessingError, PostProcessingFailed, the spellings that jobstatus "
    "and other clients know, and their numbers. Within one life of the client; two further polls prove nothing.",
    level=SHOULD,
    provenance=CLIENT_OBSERVED,
    binds=CLIENT,
    statements=(54, 55, 56, 57),
)
def end_recognised(journal: Readings) -> Iterator[Finding]:
    """Each message and interface by which an end state surely reached the client."""
    conduct = journal.conduct
    allowed = ONCE_MORE if journal.lives else FOR_YEARS
    for one in journal.submissions.messages.values():
        polls: dict[tuple[str, int | None], list[StatusAnswer]] = defaultdict(list)
        for each in one.polls:
            life = conduct.life_at(each)
            polls[each.operation, life.number if life is not None else None].append(each)
        for asked in polls.values():
            ended: list[StatusAnswer] = []
            after = 0
            for each in asked:
                after += bool(ended)
                if each.ok and each.state in FINAL and conduct.saw(each):
                    ended.append(each)
                elif each.ok:
                    ended, after = [], 0  # it was taken up anew
            if after > allowed:
                yield violated(f"asked {after} times more after {ended[0].value}", ended[0], asked[-1])
            elif ended:
                yield held(f"{ended[0].value} was the end", ended[0])


@rule(
    "status.asked-at-a-calm-pace",
    text="A client waits between two questions for the status of one message.",
    source=article(SECTION),
    reading="Ten questions or more whose median pause is below a tenth of a second, in real time, are no waiting.",
    level=SHOULD,
    provenance=INFERRED,
    binds=CLIENT,
    statements=(45,),
)
def asked_at_a_calm_pace(journal: Readings) -> Iterator[Finding]:
    """Each message that was asked for more than once."""
    for polls in _polls(journal):
        gaps = journal.conduct.gaps(polls)
        if not gaps:
            continue
        if tight(gaps, ENOUGH - 1):
            yield violated(f"asked {len(polls)} times without a pause", polls[0], polls[-1])
        else:
            yield held(f"asked {len(polls)} times", polls[0], polls[-1])


def _polls(journal: Readings) -> Iterator[list[StatusAnswer]]:
    """What was asked of each message, known or not, in order of time."""
    found: dict[str | None, list[StatusAnswer]] = defaultdict(list)
    for each in sorted([*journal.statuses, *journal.jobstatuses], key=_asked):
        found[each.meant].append(each)
    yield from (polls for message, polls in found.items() if message is not None)


def _asked(call: Call) -> tuple[datetime, int]:
    return call.sent, call.seq


@rule(
    "status.given-up-in-the-end",
    text="A client does not wait without end for a message that never comes to one.",
    source=client("microsoft/Recurring-Integrations-Scheduler", "issue 86: a status that stays InProcess for ever"),
    reading="Held when it stops, or reports that it does not know. Where it still asks at a calm pace when all is "
    "over, its patience may be longer than that: undecided. Asking past the seven days for which a file is kept, or "
    "without a pause until the end, is violated.",
    level=SHOULD,
    provenance=CLIENT_OBSERVED,
    binds=CLIENT,
    statements=(58,),
)
def given_up_in_the_end(journal: Readings) -> Iterator[Finding]:
    """Each message that was asked for during a lease or longer without an end state."""
    conduct, submissions = journal.conduct, journal.submissions
    for one in submissions.messages.values():
        asked = one.polls
        if one.over or not asked or conduct.end is None or all(_useless(each) for each in asked):
            continue
        waited = asked[-1].answered - one.enqueue.answered
        said = next((line for line in submissions.told(one) if line.outcome in FAILING), None)
        if said is not None:
            yield held(f"reported as {said.outcome}", one.enqueue, asked[-1])
        elif waited > journal.retention:
            yield violated(f"still asked for after {waited}", one.enqueue, asked[-1])
        elif conduct.end - one.enqueue.answered < conduct.lease:
            continue  # too short to tell patience from stubbornness
        elif submissions.patient(asked[-1], asked) and waited >= conduct.lease / 2:
            yield held(f"not asked for any more after {waited}", one.enqueue, asked[-1])
        elif tight(conduct.gaps(asked[-ENOUGH:]), ENOUGH - 1):
            yield violated("asked for without a pause until the end", one.enqueue, asked[-1])
        elif waited >= conduct.lease / 2:
            yield undecided("still asked for when all was over", one.enqueue, asked[-1])


@rule(
    "status.success-only-when-processed",
    text="A client reports as processed only what the service said was processed.",
    source=article(SECTION),
    reading="The status Processed, or the execution's summary Succeeded. That the enqueue succeeded says nothing of "
    "it. A line of the report that names no known message or file is undecided, and one that the service may have "
    "confirmed by an answer which was lost.",
    level=MUST,
    binds=CLIENT,
    statements=(45, 47, 54, 55, 56, 57),
)
def success_only_when_processed(journal: Readings) -> Iterator[Finding]:
    """Each line of the report that says so."""
    submissions = journal.submissions
    for line, meant in submissions.reported:
        if line.outcome != PROCESSED:
            continue
        if meant:
            yield _claim(journal, line, meant)
        elif submissions.never_answered(line):
            yield violated(
                "reported as processed, though no enqueue of it was answered", *submissions.tries_of(line)[-1:]
            )
        else:
            yield undecided(f"reported as processed: {line.file or line.message}, which is not known")


def _claim(journal: Readings, line: Told, meant: list[Submitted]) -> Finding:
    """What is to be said of the claim that a file's messages were processed."""
    last = meant[-1].enqueue
    seen = [each for one in meant for each in _successes(one)]
    early = [each for each in seen if each.seq <= line.place]
    if early:
        return held("it was", last, early[0])
    if seen:
        return violated("reported as processed before anything said so", last, seen[0])
    answered = [each for one in meant for each in one.polls if each.ok]
    bad = next((each for each in answered if each.state in FAILED), None)
    if bad is not None:
        return violated(f"reported as processed: it was {bad.value}", last, bad)
    if any(each.state is None and each.value for each in answered):
        return undecided("its status has a name that nobody knows", last)
    unread = journal.submissions.unread
    if unread is not None:
        return undecided(UNREAD, unread)
    told = f"last seen {answered[-1].value}" if answered else "nothing told of its end"
    return violated(f"reported as processed, {told}", last, *answered[-1:])


def _successes(one: Submitted) -> list[Call]:
    found: list[Call] = [each for each in one.polls if each.ok and each.state == vocabulary.PROCESSED]
    found += [each for each in one.summaries if each.ok and (each.value or "").lower() == SUCCEEDED]
    return found


@rule(
    "status.failure-noticed",
    text="A client reports a message as failed, or as uncertain, that did not end well.",
    source=article(SECTION),
    reading="Known only of clients that write a report; one line is enough. A file that is handed in anew after its "
    "failure has been noticed.",
    level=SHOULD,
    binds=CLIENT,
    statements=(47,),
)
def failure_noticed(journal: Readings) -> Iterator[Finding]:
    """Each message of which the client saw that it had failed, where the client reports at all."""
    submissions = journal.submissions
    if not journal.told:
        return
    for one in submissions.messages.values():
        bad = next((each for each in one.ends if each.state in FAILED and journal.conduct.saw(each)), None)
        if bad is None:
            continue
        again = any(each.seq > bad.seq for each in submissions.filed[submissions.digest_of(one.enqueue)].tries)
        said = {line.outcome for line in submissions.told(one)}
        if said & FAILING or again:
            yield held("handed in anew" if again else f"reported as {', '.join(sorted(said))}", one.enqueue, bad)
        elif said:
            yield violated(f"reported as {', '.join(sorted(said))}: it was {bad.value}", one.enqueue, bad)
        elif submissions.patient(bad, leases=SOON):
            yield violated(f"{bad.value}, and not a word of it", one.enqueue, bad)
        else:
            yield undecided(f"{bad.value}, and soon it was over", one.enqueue, bad)


@rule(
    "status.message-id-as-given",
    text="A client asks for the status by the message ID that the enqueue was answered with.",
    source=article(SECTION),
    reading="Quotes, braces and letter case are left aside. Convicted: what is no ID at all, and another ID that is "
    "known to be something else. An ID that nobody knows may be of an earlier enqueue: undecided, and without an "
    "instrument nothing; there an ID of which the service tells a status is undecided, whatever else it names.",
    level=MUST,
    binds=CLIENT,
    statements=(46, 48),
)
def message_id_as_given(journal: Readings) -> Iterator[Finding]:
    """The first question for each ID."""
    known = journal.submissions.messages
    asked: dict[str, Call] = {}
    every: list[StatusAnswer | ExecutionId] = [*journal.statuses, *journal.jobstatuses, *journal.execution_ids]
    for each in sorted(every, key=_asked):
        if each.meant is not None:
            asked.setdefault(each.meant, each)
    if not known:
        return
    others = _other_ids(journal)
    for asked_for, call in asked.items():
        message = asked_for.strip(_AROUND)
        if message in known:
            yield held("as answered", known[message].enqueue, call)
        elif journal.scenario is None and isinstance(call, StatusAnswer) and call.ok and call.state is not None:
            if message in others:
                yield undecided(f"asked by {others[message]}, of which there is a status", call)
        elif message in others:
            yield violated(f"asked by {others[message]}", call)
        elif names_a_guid(message) is False:
            yield violated(f"asked by what is no ID: {message[:60]!r}", call)
        elif journal.scenario is not None:
            yield undecided("asked by an ID that no enqueue was answered with", call)


def _other_ids(journal: Readings) -> dict[str, str]:
    """IDs that are known and are none of a message."""
    found = dict.fromkeys(journal.activities, "an activity ID")
    found |= {each.activity: "an activity ID" for each in journal.calls if each.activity is not None}
    found |= {each.client_id.lower(): "the application's ID" for each in journal.tokens if each.client_id}
    found |= {each.correlation.lower(): "a CorrelationId" for each in journal.dequeues if each.correlation}
    executions: list[StatusAnswer | ExecutionId] = [*journal.execution_ids, *journal.jobstatuses]
    found |= {vocabulary.bare_guid(each.execution): "an execution ID" for each in executions if each.execution}
    return {name: what for name, what in found.items() if name not in journal.submissions.messages}
