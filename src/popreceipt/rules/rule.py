"""What a rule is, and where it says that it comes from.

A rule is a record and a pure function over readings: it sends nothing, waits for nothing, remembers nothing.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from popreceipt.rules.readings import Readings
from popreceipt.verdict import Binds, Finding, Level, Provenance

MUST, SHOULD, ASK = Level.MUST, Level.SHOULD, Level.ASK
SERVICE, CLIENT = Binds.SERVICE, Binds.CLIENT
DOCUMENTED, CLIENT_OBSERVED = Provenance.DOCUMENTED, Provenance.CLIENT_OBSERVED
RECORDED, INFERRED = Provenance.RECORDED, Provenance.INFERRED

# Abilities of a target, in the words of its control plane.
ADVANCE_TIME = "advance-time"
CREATE_ACTIVITY = "create-activity"
PRODUCE = "produce"
PROCESS = "process"
MESSAGES = "messages"
RECORDS = "records"
CLEANUP = "cleanup"
CHANGE_ACTIVITY = "change-activity"
EXPORT_RECURRENCE = "export-recurrence"
FAULTS = "faults"
PROJECTS = "projects"
BATCH = "batch"
MONITORING = "monitoring"
PARAMETERS = "parameters"
# Identities that a target may or may not hand out.
UNLISTED = "unlisted-client"
UNMAPPED = "unmapped-client"


@dataclass(frozen=True, slots=True)
class Source:
    """A place: an article of Microsoft's documentation and its section, a standard, or a public client."""

    work: str
    section: str

    def __str__(self) -> str:
        return f"{self.work}, “{self.section}”" if self.section else self.work


def article(section: str) -> Source:
    """A section of the article "Recurring integrations"."""
    return Source("Recurring integrations", section)


def package_api(section: str) -> Source:
    """A section of the article "Data management package REST API"."""
    return Source("Data management package REST API", section)


def microsoft(title: str, section: str = "") -> Source:
    """A section of another article of Microsoft's documentation."""
    return Source(title, section)


def standard(name: str, section: str) -> Source:
    """A section of a standard."""
    return Source(name, section)


def client(repository: str, what: str) -> Source:
    """A public client whose code or documentation shows the behaviour."""
    return Source(repository, what)


@dataclass(frozen=True, slots=True)
class Rule:
    """One claim about a service or a client.

    `text` says it in a sentence, `source` where it stands, `reading` how an ambiguous text was taken and what is
    tolerated. `statements` are the numbered statements of the article that it tests (specs/statements.toml). `needs`
    are the abilities of a target without which it cannot be shown.
    """

    id: str
    text: str
    source: Source
    level: Level
    provenance: Provenance
    check: Callable[[Readings], Iterator[Finding]]
    binds: Binds = SERVICE
    reading: str = ""
    statements: tuple[int, ...] = ()
    needs: frozenset[str] = frozenset()
    answers: tuple[str, ...] = ()

    @property
    def chapter(self) -> str:
        """The first part of its id."""
        return self.id.partition(".")[0]


_registered: dict[str, Rule] = {}


def rule(
    id: str,  # noqa: A002 - it is the rule's id, and callers read it so
    *,
    text: str,
    source: Source,
    level: Level,
    provenance: Provenance = DOCUMENTED,
    binds: Binds = SERVICE,
    reading: str = "",
    statements: Iterable[int] = (),
    needs: Iterable[str] = (),
    answers: Iterable[str] = (),
) -> Callable[[Callable[[Readings], Iterator[Finding]]], Callable[[Readings], Iterator[Finding]]]:
    """Make a rule of a generator of findings. `answers` are the known answers of an ASK rule, the usual one first."""

    def register(check: Callable[[Readings], Iterator[Finding]]) -> Callable[[Readings], Iterator[Finding]]:
        if id in _registered:
            raise ValueError(f"two rules are called {id}")
        if level is MUST and provenance not in (DOCUMENTED, RECORDED):
            raise ValueError(f"{id}: only a documented or recorded rule may be a MUST")
        if (level is ASK) != bool(tuple(answers)):
            raise ValueError(f"{id}: an ASK rule names its known answers, and only an ASK rule does")
        _registered[id] = Rule(
            id=id,
            text=text,
            source=source,
            level=level,
            provenance=provenance,
            check=check,
            binds=binds,
            reading=reading,
            statements=tuple(statements),
            needs=frozenset(needs),
            answers=tuple(answers),
        )
        return check

    return register


def registered() -> dict[str, Rule]:
    """Every rule whose module has been imported, by id."""
    return dict(_registered)
