"""What a client makes of a message that says it has no file."""

from collections.abc import Iterator
from typing import Final

from popreceipt.rules.conduct import Conduct, Handout, leads_nowhere, tight
from popreceipt.rules.facts import Call, Dequeue, Run
from popreceipt.rules.readings import Readings
from popreceipt.rules.rule import CLIENT, MUST, article, rule
from popreceipt.verdict import Finding, held, undecided, violated

SECTION: Final = "API for export (dequeue)"


@rule(
    "zero-records.no-file-understood",
    text="A delivery that says it has no file neither crashes the client nor is fetched nor becomes a tight loop.",
    source=article(SECTION),
    reading="A crash is an exit by itself with another status than 0 right after it, unless something else had gone "
    "wrong before that the status may report, or the message was acknowledged first. Whether it must be is open.",
    level=MUST,
    binds=CLIENT,
    statements=(36,),
)
def no_file_understood(journal: Readings) -> Iterator[Finding]:
    """Each delivery without a file."""
    conduct = journal.conduct
    nowhere = [
        each
        for each in journal.calls
        if each.method == "GET" and not each.ok and leads_nowhere(each.path) and conduct.is_own(each.root)
    ]
    made_up: dict[int, Call] = {}
    for each in journal.downloads:
        one = None if each.hop else conduct.made_up_for(each)
        if one is not None:
            made_up.setdefault(one.delivery.seq, each)
    for one in conduct.handouts:
        if not one.has_file and conduct.saw(one.delivery):
            finding = _understood(conduct, one, nowhere, made_up.get(one.delivery.seq))
            if finding is not None:
                yield finding


def _understood(conduct: Conduct, one: Handout, nowhere: list[Call], made_up: Call | None) -> Finding | None:
    if made_up is not None:
        return violated("its file was asked for all the same", one.delivery, made_up)
    asked = next((each for each in nowhere if each.seq > one.delivery.seq and _next_to(conduct, one, each)), None)
    if asked is not None:
        return violated(f"{asked.path} was asked for", one.delivery, asked)
    for calls in (one.downloads, one.acks):
        if tight(conduct.gaps(calls)):
            return violated(f"{len(calls)} tries without a pause", one.delivery, *calls[:2])
    life = conduct.life_at(one.delivery)
    if not conduct.is_last(one.delivery):
        acked_last = one.acks and conduct.is_last(one.acks[-1])
        if acked_last and conduct.crashed(life) and life is not None:
            return undecided(f"acknowledged, then ended with {life.status}", one.delivery, one.acks[-1])
        return _when_its_turn_came(conduct, one, life) or held("", one.delivery)
    if life is None or life.ended is None:
        return None
    if not conduct.crashed(life):
        return held("", one.delivery)
    if conduct.troubled(one.delivery):
        return undecided(f"ended with {life.status}, perhaps for what went wrong before", one.delivery)
    return violated(f"ended with {life.status} right after it", one.delivery)


def _when_its_turn_came(conduct: Conduct, one: Handout, life: Run | None) -> Finding | None:
    """A crash of a client that takes the whole queue first: after what came before the message, before all else."""
    if life is None or one.acks or not conduct.ended_over_nothing(life):
        return None
    for other in conduct.handouts:
        if conduct.life_at(other.delivery) is not life or not other.has_file:
            continue
        if bool(other.downloads) != (other.delivery.seq < one.delivery.seq):
            return None
    last = conduct.calls_in(life)[-1]
    if isinstance(last, Dequeue):
        return undecided(f"ended with {life.status}, over this or over the last answer", one.delivery, last)
    return violated(f"ended with {life.status} when its turn had come", one.delivery, last)


def _next_to(conduct: Conduct, one: Handout, call: Call) -> bool:
    """Whether a call came before the next delivery; in a recording, from the same client as far as tokens tell."""
    if conduct.scenario is None and call.token != one.delivery.token:
        return False
    following = next((each for each in conduct.handouts if each.delivery.seq > one.delivery.seq), None)
    return following is None or call.seq < following.delivery.seq
