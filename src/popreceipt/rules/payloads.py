"""What exports handed out, as records of the project's entities, beside what the entities then held."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from popreceipt.rules.download import unknown_bytes
from popreceipt.rules.exports import Message
from popreceipt.rules.facts import Download, Production, Records
from popreceipt.rules.files import ENTITY, MANIFEST, looks_zipped, manifest_entries, members_of
from popreceipt.rules.formats import EXCEL, FORMATS, Row, rows_of
from popreceipt.rules.projects import Condition, Project, ProjectEntity, identity, meets

if TYPE_CHECKING:
    from popreceipt.rules.readings import Readings

Identity = tuple[str, ...]


def exported(journal: "Readings") -> Iterator[tuple[Message, Download, bytes]]:
    """What the first delivery of each exported message led to, where the journal has the bytes."""
    for message in journal.messages:
        first = message.deliveries[0]
        payload = journal.exports.payload_of(first) if first.kind == "message" else None
        if payload is None or payload.body is None or unknown_bytes(journal, message.activity, payload):
            # Damaged bytes are for download.bytes-as-uploaded to say.
            continue
        content = payload.body.content()
        if content is not None:
            yield message, payload, content


class Departure(msgspec.Struct, frozen=True):
    """One export of a data project that the journal tells of. `files` are what came out, by entity."""

    run: Production
    project: Project
    payload: Download
    files: Mapping[str, bytes]

    def rows(self, journal: "Readings", entity: ProjectEntity) -> list[Row] | None:
        """The records of an entity's file, columns in capitals; None where there is no file that can be read."""
        content = self.files.get(entity.name)
        if content is None:
            return None
        columns = [each.name for each in journal.project_of.fields(entity)]
        rows = rows_of(content, entity.format, entity.entity, columns, entity.sheet)
        return None if rows is None else [{name.strip().upper(): each[name] for name in each} for each in rows]


def departures(journal: "Readings") -> Iterator[Departure]:
    """Exports of projects whose payload the journal has, one by one."""
    if not journal.projects:
        return
    for message, payload, content in exported(journal):
        run = message.production
        project = journal.project_of.of(run.activity, run.place) if run is not None else None
        if run is None or project is None:
            continue
        files = _files(project, content)
        if files is not None:
            yield Departure(run, project, payload, files)


def _files(project: Project, content: bytes) -> dict[str, bytes] | None:
    first = project.entities[0] if project.entities else None
    known = FORMATS.get(first.format.casefold()) if first is not None else None
    archive = looks_zipped(content)
    if archive and known is not None and known.kind == EXCEL:
        archive = MANIFEST in (members_of(content, (MANIFEST,)) or {})
    if first is not None and not archive:
        return {first.name: content}
    members = members_of(content)
    entries = manifest_entries(members[MANIFEST]) if members is not None and MANIFEST in members else None
    if members is None or entries is None:
        return None
    named = {each.get("EntityName", "").strip().casefold(): each.get("InputFilePath", "") for each in entries}
    return {entity: members[name] for entity, name in named.items() if name in members}


def look_after(journal: "Readings", run: Production, entity: str = ENTITY) -> Records | None:
    """A look at what an entity held after a run and before the next one; None where nobody looked."""
    runs = journal.exports.productions[run.activity]
    place = bisect_right(runs, (run.at, run.place), key=lambda each: (each.at, each.place))
    following = runs[place] if place < len(runs) else None
    if journal.exports.self_running(run.activity):
        return None
    for look in journal.tables.get((run.activity, entity), ()):
        after = (look.since, look.place) > (run.at, run.place)
        before = following is None or (look.at, look.place) < (following.since, following.place)
        if after and before and _undisturbed(journal, run, look):
            return look
    return None


def _undisturbed(journal: "Readings", run: Production, look: Records) -> bool:
    return not any(run.since <= at and since <= look.at for since, at in journal.reset_spans)


class Sieved(msgspec.Struct, frozen=True):
    """What a filter lets through of an entity's records, and what it may let through."""

    through: frozenset[Identity]
    perhaps: frozenset[Identity]


def sieved(journal: "Readings", look: Records, entity: ProjectEntity, conditions: Sequence[Condition]) -> Sieved | None:
    """What an entity's conditions let through of what it held; None where a record has no key that is known."""
    fields = journal.project_of.fields(entity)
    through: set[Identity] = set()
    perhaps: set[Identity] = set()
    for each in look.records:
        row: dict[str, Any] = {str(name).upper(): value for name, value in each.items()}
        key, met = identity(row, fields), meets(row, conditions, fields)
        if key is None:
            return None
        if met is not False:
            (through if met else perhaps).add(key)
    return Sieved(frozenset(through), frozenset(perhaps))
