"""What a client makes of a file that is there no more."""

from collections.abc import Iterator
from typing import Final

from popreceipt.rules.conduct import Conduct, Handout, tight
from popreceipt.rules.facts import Download
from popreceipt.rules.readings import Readings
from popreceipt.rules.rule import CLIENT, SHOULD, article, rule
from popreceipt.verdict import Finding, held, undecided, violated

SECTION: Final = "API for getting message status"


@rule(
    "retention.expired-file-outlived",
    text="A file that is gone is outlived: nothing is stored in its place, and it becomes no tight loop.",
    source=article(SECTION),
    reading="Gone says 404 or 410, or a 500 that nobody planned. What was stored is judged in the watched inbox: the "
    "refusal itself, or an empty file. That others are taken is judged by dequeue.goes-on-after-a-bad-one.",
    level=SHOULD,
    binds=CLIENT,
    statements=(58,),
)
def expired_file_outlived(journal: Readings) -> Iterator[Finding]:
    """Each message whose download was answered so, and whose file never came."""
    conduct = journal.conduct
    for group in conduct.messages:
        attempts = conduct.attempts(group)
        gone = next((each for each in attempts if conduct.gone(each)), None)
        if gone is not None and not any(each.digest for one in group for each in one.downloads):
            finding = _outlived(conduct, group, attempts, gone)
            if finding is not None:
                yield finding


def _outlived(conduct: Conduct, group: list[Handout], attempts: list[Download], gone: Download) -> Finding | None:
    if tight(conduct.gaps(attempts)):
        return violated(f"{len(attempts)} tries without a pause", *attempts[:2])
    refusals = {each.refusal for each in attempts if each.refusal is not None}
    for look in conduct.journal.inbox:
        if look.place < gone.seq:
            continue
        for file in look.appeared:
            if file.sha256 in refusals:
                return violated(f"the refusal was stored as {file.name}", group[0].delivery, gone)
            if not file.length:
                return violated(f"an empty file was stored: {file.name}", group[0].delivery, gone)
    last = attempts[-1]
    life = conduct.life_at(last)
    if not conduct.is_last(last):
        return held("", group[0].delivery, gone)
    if life is None or life.ended is None:
        return None
    if not conduct.crashed(life):
        return held("", group[0].delivery, gone)
    if conduct.troubled(attempts[0]):
        return undecided(f"ended with {life.status}, perhaps for what went wrong before", gone)
    return violated(f"ended with {life.status} right after it", gone)
