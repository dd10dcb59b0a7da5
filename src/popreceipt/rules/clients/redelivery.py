"""What a client makes of a message that comes again."""

from collections.abc import Iterator
from typing import Final

from popreceipt.rules.readings import Readings
from popreceipt.rules.rule import CLIENT, SHOULD, article, rule
from popreceipt.verdict import Finding, held, undecided, violated

SECTION: Final = "API for acknowledgment"


@rule(
    "redelivery.arrives-once",
    text="A message that was handed out more than once arrives once where the client keeps what it downloads.",
    source=article(SECTION),
    reading="The answer of a later delivery says when it was the last time, so that a client can tell. Judged by what "
    "lies in the watched inbox at the end, by content, zipped or unzipped; what was taken away is undecided.",
    level=SHOULD,
    binds=CLIENT,
    statements=(40, 42),
)
def arrives_once(journal: Readings) -> Iterator[Finding]:
    """Each message that came twice and whose file came whole."""
    conduct = journal.conduct
    if not conduct.inbox_is_used:
        return
    for group in conduct.messages:
        whole = [each for one in group for each in one.downloads if each.digest is not None]
        if len(group) < 2 or not whole or whole[0].digest is None:
            continue
        deliveries = (each.delivery for each in group)
        count = conduct.holds(conduct.inbox_at_the_end, whole[0].digest)
        if count == 1:
            yield held("", *deliveries)
        elif count:
            yield violated(f"it lies there {count} times", *deliveries)
        elif conduct.ever_held(whole[0].digest, float("inf")):
            yield undecided("it lay there, and was taken away", *deliveries)
