"""The journal of one test: what the client did, and whether it kept the rules that bind clients.

The rules are those of `popreceipt middleware`. A rule that found nothing to judge says nothing; a client that called
nothing at all has not passed.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from popreceipt.exceptions import UsageError
from popreceipt.journal import Entry, Exchange, Header, Journal
from popreceipt.pytest_plugin.connector import Connector
from popreceipt.reports.evidence import line
from popreceipt.rules import catalogue, find
from popreceipt.rules.conduct import Conduct
from popreceipt.rules.facts import Call, Dequeue, Download
from popreceipt.rules.readings import Readings
from popreceipt.rules.rule import Rule
from popreceipt.verdict import Binds, Finding, Level, Outcome, RuleVerdict, judge

CONVICTING: Final = (Level.MUST, Level.SHOULD)
"""The levels that a check convicts by, unless it is told otherwise."""

_FINDINGS: Final = 3
"""So many findings of a rule are told in full."""

_TOLD: Final = 12
"""So many calls of one message are told."""

_LONGEST: Final = 200
"""Characters of a line about one exchange."""


class ConnectorJournal:
    """What the client under test and the connector said to each other, since the test began."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector

    @property
    def exchanges(self) -> list[Exchange]:
        """Every request and what became of it, in order. Secrets are replaced in them."""
        return [each for each in self._recorded()[1] if isinstance(each, Exchange)]

    def of(self, operation: str) -> list[Exchange]:
        """The exchanges of one operation: token, enqueue, dequeue, download, ack, message-status, …"""
        return [each for each in self.exchanges if each.operation == operation]

    def verdicts(self, *, without: Iterable[str] = ()) -> tuple[RuleVerdict, ...]:
        """The verdict on each rule that binds clients, but for those left out.

        Args:
            without: rules by id; a star stands for any part of it, as in `throttling.*`.

        Raises:
            UsageError: no rule is called so.
        """
        header, entries = self._recorded()
        return judge(Readings(header, entries), _rules(without))

    def check(self, *, levels: Iterable[str] = CONVICTING, without: Iterable[str] = ()) -> None:
        """Hold the client against every rule that binds clients.

        Args:
            levels: a violated rule of these levels fails the check: MUST and SHOULD unless told.
            without: rules that are left out, by id; a star stands for any part of it, as in `throttling.*`.

        Raises:
            AssertionError: rules are violated, each with the exchanges that show it; or there was nothing to judge.
            UsageError: no rule or level is called so.
        """
        __tracebackhide__ = True  # a failed check is the test's, and its place is where the test asked for it
        convicting = _levels(levels)
        header, entries = self._recorded()
        readings = Readings(header, entries)
        verdicts = judge(readings, _rules(without))
        broken = [each for each in verdicts if each.outcome is Outcome.VIOLATED and each.level in convicting]
        exchanges = {each.seq: each for each in entries if isinstance(each, Exchange)}
        if broken:
            broken.sort(key=lambda each: tuple(Level).index(each.level))
            raise AssertionError("\n".join(_told(broken, verdicts, readings, exchanges)))
        if all(each.outcome is Outcome.UNEXERCISED for each in verdicts):
            raise AssertionError(
                f"No rule found anything to judge in {len(exchanges)} exchanges: did the client call "
                f"{self._connector.base_url}, and was there anything for it to do?"
            )

    def write(self, path: Path) -> None:
        """Write it to a file, for `popreceipt judge FILE --binds client`."""
        header, entries = self._recorded()
        with path.open("wb") as file:
            written = Journal(header, file)
            for each in entries:
                written.add(each)
            written.seal()

    def _recorded(self) -> tuple[Header, Sequence[Entry]]:
        return self._connector.recorded()


def _rules(without: Iterable[str]) -> list[Rule]:
    left_out = [without] if isinstance(without, str) else list(without)
    rules = catalogue(Binds.CLIENT)
    for pattern in left_out:
        if not any(fnmatchcase(each.id, pattern) for each in rules):
            raise UsageError(f"No rule that binds clients is called {pattern!r}. All: popreceipt rules --binds client.")
    return [each for each in rules if not any(fnmatchcase(each.id, pattern) for pattern in left_out)]


def _levels(levels: Iterable[str]) -> frozenset[Level]:
    try:
        return frozenset(map(Level, [levels] if isinstance(levels, str) else levels))
    except ValueError as error:
        raise UsageError(f"{error}: levels are {', '.join(Level)}.") from error


def _told(
    broken: Sequence[RuleVerdict],
    verdicts: Sequence[RuleVerdict],
    readings: Readings,
    exchanges: Mapping[int, Exchange],
) -> Iterator[str]:
    """What is wrong, for the person whose test failed."""
    held = sum(each.outcome is Outcome.HELD for each in verdicts)
    idle = sum(each.outcome is Outcome.UNEXERCISED for each in verdicts)
    many = len(broken) > 1
    yield (
        f"{len(broken)} rule{'s' if many else ''} that bind{'' if many else 's'} clients {'are' if many else 'is'} "
        f"violated in {len(exchanges)} exchanges ({held} held, {idle} found nothing to judge)"
    )
    for verdict in broken:
        rule = find(verdict.id)
        yield ""
        yield f"✘ {verdict.id} ({verdict.level}, {verdict.provenance})"
        yield f"  {rule.text}"
        yield f"  {rule.source}"
        findings = [each for each in verdict.findings if each.outcome is Outcome.VIOLATED]
        for finding in findings[:_FINDINGS]:
            yield ""
            yield f"  {finding.message}"
            for number in finding.exchanges:
                if number in exchanges:
                    yield f"    {_shortened(line(exchanges[number]))}"
            yield from _timeline(readings.conduct, finding)
        if len(findings) > _FINDINGS:
            yield f"  … and {len(findings) - _FINDINGS} more like it"
    yield ""
    yield f"A rule that does not fit is left out so: check(without=[{broken[0].id!r}])"


def _timeline(conduct: Conduct, finding: Finding) -> Iterator[str]:
    """What the client did with the messages that a finding is about, in seconds of the connector's clock."""
    for group in conduct.messages:
        calls = {call.seq: call for one in group for call in (one.delivery, *one.downloads, *one.acks)}
        if not calls.keys() & set(finding.exchanges):
            continue
        yield "    the message:"
        ordered = sorted(calls.values(), key=lambda each: (each.sent, each.seq))
        for call in ordered[:_TOLD]:
            mark = "▸" if call.seq in finding.exchanges else " "
            since = (call.sent - ordered[0].sent).total_seconds()
            yield f"    {mark} {since:10.3f} s  {_words(call)} (#{call.seq})"
        if len(ordered) > _TOLD:
            yield f"      … and {len(ordered) - _TOLD} more calls"


def _words(call: Call) -> str:
    answer = call.failure or str(call.status)
    if isinstance(call, Dequeue):
        return "handed out" if call.kind == "message" else f"handed out without a file ({answer})"
    if isinstance(call, Download):
        return f"downloaded, {call.length} bytes" if call.digest is not None else f"download: {answer}"
    return f"acknowledged: {answer}"


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
