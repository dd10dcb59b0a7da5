"""What is inside a data package: what an export hands out, and what an import takes."""

from bisect import bisect_right
from collections.abc import Iterator
from typing import Final

from popreceipt import vocabulary
from popreceipt.rules.download import unknown_bytes
from popreceipt.rules.exports import Message, authorised
from popreceipt.rules.facts import Call, Download, Production, Records
from popreceipt.rules.files import (
    DESCRIPTION,
    KEY,
    MANIFEST,
    PACKAGE_HEADER,
    looks_zipped,
    manifest_entries,
    members_of,
    records_of,
)
from popreceipt.rules.imports import Import, gate_or_gateway
from popreceipt.rules.readings import Readings
from popreceipt.rules.rule import CLIENT_OBSERVED, INFERRED, MUST, PRODUCE, SHOULD, article, client, microsoft, rule
from popreceipt.verdict import Finding, held, undecided, violated

SECTION: Final = "API for export (dequeue)"


def exported(journal: Readings) -> Iterator[tuple[Message, Download, bytes]]:
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


@rule(
    "packages.export-is-a-package",
    text="An export of type Data package hands out a package: a manifest, a header, and the file that it names.",
    source=article(SECTION),
    reading="A zip archive with Manifest.xml and PackageHeader.xml at its root, and each file that the manifest names. "
    "Exports of type File are asked by download.file-payload.",
    level=MUST,
    statements=(18, 33),
    needs=(PRODUCE,),
)
def export_is_a_package(journal: Readings) -> Iterator[Finding]:
    """Look into each file that an export of that type handed out."""
    for message, payload, content in exported(journal):
        if journal.setting(message.activity, "type", message.deliveries[0].sent) != "package":
            continue
        wrong = _wrong_with(content)
        if wrong is None:
            yield held("a package", payload)
        else:
            yield violated(wrong, payload)


def _wrong_with(content: bytes) -> str | None:
    if not looks_zipped(content):
        return f"no zip archive: it begins with {content[:4]!r}"
    members = members_of(content)
    if members is None:
        return "a zip archive that cannot be unpacked"
    for name in (MANIFEST, PACKAGE_HEADER):
        if name not in members:
            return f"without {name} at its root: {', '.join(sorted(members)[:5])}"
    entries = manifest_entries(members[MANIFEST])
    if not entries:
        return "a manifest that names no entity"
    for entry in entries:
        name = entry.get("InputFilePath", "")
        if name not in members:
            return f"the manifest names {name!r}, and the package has {', '.join(sorted(members)[:5])}"
    return None


@rule(
    "packages.holds-the-records",
    text="The file of an export holds the records that were exported.",
    source=article(SECTION),
    reading="As many records as the run told, and the keys and descriptions that the entity then held, where the "
    "journal knows them. For the entity Customer groups as CSV, packed or not.",
    level=MUST,
    statements=(28, 33),
    needs=(PRODUCE,),
)
def holds_the_records(journal: Readings) -> Iterator[Finding]:
    """Count, and compare with what was seen of the entity before the next run."""
    for message, payload, content in exported(journal):
        run = message.production
        form = journal.setting(message.activity, "format", message.deliveries[0].sent)
        if run is None or str(form or "CSV").casefold() != "csv":
            continue
        file = records_of(content)
        if file is None:
            yield undecided("nothing that can be read as records of Customer groups", payload)
            continue
        rows = [*file.good, *file.bad, *file.unsure]
        there = {(each.key.strip().casefold(), each.description.strip()) for each in rows}
        seen = _seen(journal, run)
        if len(rows) != run.records:
            yield violated(f"{len(rows)} records in the file, and {run.records} were exported", payload)
        elif seen is not None and there != seen:
            missing = sorted(key for key, _ in seen - there)[:3]
            yield violated(f"other records than the entity held: {', '.join(missing) or 'too many'}", payload)
        else:
            yield held("the records", payload)


def _seen(journal: Readings, run: Production) -> set[tuple[str, str]] | None:
    """What the entity held after a run and before the next one; None where nobody looked."""
    runs = journal.exports.productions[run.activity]
    place = bisect_right(runs, (run.at, run.place), key=lambda each: (each.at, each.place))
    following = runs[place] if place < len(runs) else None
    if journal.exports.self_running(run.activity):
        return None
    for look in journal.records.get(run.activity, ()):
        after = (look.since, look.place) > (run.at, run.place)
        before = following is None or (look.at, look.place) < (following.since, following.place)
        if after and before and _undisturbed(journal, run, look):
            return {
                (str(each.get(KEY, "")).strip().casefold(), str(each.get(DESCRIPTION) or "").strip())
                for each in look.records
            }
    return None


def _undisturbed(journal: Readings, run: Production, look: Records) -> bool:
    return not any(run.since <= at and since <= look.at for since, at in journal.reset_spans)


@rule(
    "packages.folder-inside-fails",
    text="A package whose content lies in a folder of the zip archive fails.",
    source=client("microsoft/Recurring-Integrations-Scheduler", "issue 47: a folder inside the archive is refused"),
    reading="Seen with the package API. Refusing the upload is as good as a failed message.",
    level=SHOULD,
    provenance=CLIENT_OBSERVED,
    statements=(18,),
)
def folder_inside_fails(journal: Readings) -> Iterator[Finding]:
    """The end of each import that lacks the manifest at its root and has one in a folder."""
    for each in journal.enqueues:
        content = each.body.content() if each.body is not None else None
        if not content or not looks_zipped(content) or not _in_a_folder(content):
            continue
        settings = journal.imports.settings(each.activity, each.seq)
        if settings.get("direction") != "import" or settings.get("type") != "package" or each.status is None:
            continue
        if each.refused:
            if not gate_or_gateway(each.status) and not each.in_doubt:
                yield held(f"refused with {each.status}", each)
            continue
        message = journal.imports.by_id.get(each.message or "")
        if message is not None and (end := message.told) is not None:
            if end.state == vocabulary.PROCESSED:
                yield violated("processed, though its manifest lies in a folder", *_calls(message))
            else:
                yield held(f"ends as {end.state}", *_calls(message))


def _in_a_folder(content: bytes) -> bool:
    members = members_of(content)
    if members is None or MANIFEST in members:
        return False
    return any(name.endswith((f"/{MANIFEST}", f"\\{MANIFEST}")) for name in members)


def _calls(message: Import) -> list[Call]:
    end = message.told
    return [message.enqueue, *([end.call] if end is not None and end.call is not None else [])]


@rule(
    "packages.utf-8-and-utf-16",
    text="A package is taken whether its two XML files are in UTF-8 or in UTF-16.",
    source=microsoft("Data management overview", "Data packages"),
    reading="Packages of the application have UTF-16; hand-made ones have UTF-8.",
    level=SHOULD,
    provenance=INFERRED,
    statements=(18,),
)
def utf_8_and_utf_16(journal: Readings) -> Iterator[Finding]:
    """The end of each faultless package, by the encoding of its manifest, and uploads that were refused."""
    for each in journal.enqueues:
        content = each.body.content() if each.body is not None and each.refused else None
        if not content or not looks_zipped(content) or each.status is None or not authorised(each):
            continue
        settings = journal.imports.settings(each.activity, each.seq)
        if settings.get("direction") != "import" or settings.get("type") != "package" or gate_or_gateway(each.status):
            continue
        file = records_of(content)
        if file is not None and file.all_good and not each.in_doubt and each.entity is not None:
            yield violated(f"a faultless package in {_encoding(content)} is refused with {each.status}", each)
    for message in journal.imports:
        if message.file is None or not message.file.all_good or message.file.kind != "package":
            continue
        end = message.told
        body = message.enqueue.body
        content = body.content() if body is not None else None
        if end is None or not content:
            continue
        encoding = _encoding(content)
        if end.state == vocabulary.PROCESSED:
            yield held(f"processed in {encoding}", *_calls(message))
        else:
            yield violated(f"a faultless package in {encoding} ends as {end.state}", *_calls(message))


def _encoding(content: bytes) -> str:
    manifest = (members_of(content, (MANIFEST,)) or {}).get(MANIFEST, b"")
    return "UTF-16" if manifest[:2] in (b"\xff\xfe", b"\xfe\xff") else "UTF-8"
