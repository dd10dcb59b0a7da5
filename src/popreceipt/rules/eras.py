"""Judging over resets: what lies before one has nothing to do with what comes after it.

A reset gives a target its first state again: jobs, messages and files of before are gone, and what had their names may
be something else. So each era is judged alone, beside what stays true, and a rule's verdict is that of all eras
together. It knows resets from the control plane's observations; where several callers called at once nobody can say on
which side of a reset a call was, and the journal is judged as a whole.
"""

from collections.abc import Iterable, Iterator, Sequence

from popreceipt.journal import Entry, Exchange, Header, Observation
from popreceipt.rules.readings import Readings
from popreceipt.rules.rule import Rule
from popreceipt.verdict import RuleVerdict, judge, merged
from popreceipt.vocabulary import TOKEN

RESET = "reset"


def judge_eras(header: Header, entries: Iterable[Entry], rules: Sequence[Rule]) -> tuple[RuleVerdict, ...]:
    """One verdict for each of the rules, in their order, over all that lies between resets.

    Entries are read once and kept no longer than their era.
    """
    if header.concurrent:
        return judge(Readings(header, entries), rules)
    eras = _Eras(entries)
    found = judge(Readings(header, eras.next()), rules)
    while not eras.over:
        later = judge(Readings(header, eras.next()), rules)
        found = tuple(merged(one, other) for one, other in zip(found, later, strict=True))
    return found


class _Eras:
    """Entries, cut at resets; each era begins with what is known from those before."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries = iter(entries)
        self._first_world: dict[str, Entry] = {}
        self._tokens: dict[str | None, Entry] = {}
        self._reset: Entry | None = None
        self.over = False

    def next(self) -> Iterator[Entry]:
        """The entries of the next era, to be taken to their end."""
        yield from (*self._first_world.values(), *self._tokens.values())
        if self._reset is not None:
            yield self._reset
        for entry in self._entries:
            if isinstance(entry, Observation) and entry.observation == RESET:
                self._reset = entry
                return
            self._note(entry)
            yield entry
        self.over = True

    def _note(self, entry: Entry) -> None:
        """Keep what stays true over a reset: entities, the jobs of the first world, the newest token of each caller."""
        if isinstance(entry, Exchange):
            if entry.operation == TOKEN and entry.response is not None and entry.response.status == 200:
                self._tokens[entry.actor] = entry
        elif isinstance(entry, Observation) and (
            entry.observation == "entities" or (entry.observation == "activity" and not entry.facts.get("created"))
        ):
            # As first told: what somebody changed later is undone by a reset.
            self._first_world.setdefault(f"{entry.observation}/{entry.facts.get('activity')}", entry)
