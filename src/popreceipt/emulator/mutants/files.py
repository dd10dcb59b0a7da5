"""Wrong files: cut, packed anew, packed wrongly, kept too short or too long, or not at all."""

import dataclasses
import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from datetime import datetime, time, timedelta
from typing import Any

import msgspec

from popreceipt.emulator.activity import Activity
from popreceipt.emulator.batch import Produced
from popreceipt.emulator.deliveries import Missing, Offer
from popreceipt.emulator.dmf.package import HEADER, MANIFEST
from popreceipt.emulator.http import Response
from popreceipt.emulator.mutants.mutant import mutant
from popreceipt.emulator.mutants.parts import Around, Mutated, OwnBatch, OwnBlobs, OwnDeliveries, answers
from popreceipt.emulator.profile import Profile
from popreceipt.emulator.routes.call import Call
from popreceipt.vocabulary import DEQUEUE, DOWNLOAD_LOCATION, FILE_ERROR


class Serving(OwnDeliveries):
    """Hands out something else than what was uploaded."""

    def download(self, activity: Activity, correlation: str, blob_name: str, now: datetime) -> bytes | Missing:
        """The file, changed."""
        content = super().download(activity, correlation, blob_name, now)
        return content if isinstance(content, Missing) else self.served(content)

    def served(self, content: bytes) -> bytes:
        """What is handed out instead."""
        return content


class _CutsTheLastByte(Serving):
    def served(self, content: bytes) -> bytes:
        """All but the last byte."""
        return content[:-1]


class _CutsTheFirstByte(Serving):
    def served(self, content: bytes) -> bytes:
        """All but the first byte."""
        return content[1:]


class _CutsLargeOnes(Serving):
    def served(self, content: bytes) -> bytes:
        """The first eight kibibytes."""
        return content[:8192]


class _PacksAnew(Serving):
    def served(self, content: bytes) -> bytes:
        """The same members, packed otherwise."""
        return packed(unpacked(content), zipfile.ZIP_STORED)


class _ChangesAtRedelivery(OwnDeliveries):
    def download(self, activity: Activity, correlation: str, blob_name: str, now: datetime) -> bytes | Missing:
        """The file; once a delivery of it was fetched, the zip has a comment at the later ones."""
        message = self.message_of(correlation)
        content = super().download(activity, correlation, blob_name, now)
        if isinstance(content, Missing) or message is None or message.last_dequeued is None:
            return content
        if message.last_downloaded is None or message.last_downloaded >= message.last_dequeued:
            return content
        made = io.BytesIO(content)
        with zipfile.ZipFile(made, "a") as archive:
            archive.comment = b"redelivered"
        return made.getvalue()


class _OncePerDelivery(OwnDeliveries):
    """A delivery's file can be fetched once."""

    def __init__(self, emulator: Mutated) -> None:
        super().__init__(emulator)
        self._fetched: set[tuple[str, int]] = set()

    def download(self, activity: Activity, correlation: str, blob_name: str, now: datetime) -> bytes | Missing:
        """The file at the first download of a delivery."""
        message = self.message_of(correlation)
        delivery = (correlation, 0 if message is None else message.deliveries)
        if delivery in self._fetched:
            return Missing.UNKNOWN
        self._fetched.add(delivery)
        return super().download(activity, correlation, blob_name, now)


def _with_members(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Around:
    """Dequeues whose answer has other members."""

    def tamper(_: Call, response: Response) -> Response:
        if response.status != 200 or not response.body:
            return response
        said = change(json.loads(response.body))
        return Response(response.status, response.headers, json.dumps(said).encode("utf-8"))

    return answers(tamper, DEQUEUE)


def _without_the_error(said: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in said.items() if name != FILE_ERROR}


def _with_a_path_only(said: dict[str, Any]) -> dict[str, Any]:
    location = said[DOWNLOAD_LOCATION]
    path = location and f"/{location.partition('://')[2].partition('/')[2]}"
    return said | {DOWNLOAD_LOCATION: path}


class _DeletesWithTheDownload(OwnDeliveries):
    def download(self, activity: Activity, correlation: str, blob_name: str, now: datetime) -> bytes | Missing:
        """The file, for the last time."""
        content = super().download(activity, correlation, blob_name, now)
        message = self.message_of(correlation)
        if message is not None and message.blob is not None and message.deliveries > 1:
            self._store.delete_blob(message.blob)
        return content


class _DeletesWithTheDequeue(OwnDeliveries):
    """The file of a message that nobody fetched within half an hour is gone."""

    def dequeue(self, activity: Activity, now: datetime) -> Offer | None:
        """The next message; its file is there at the first delivery only."""
        offer = super().dequeue(activity, now)
        if offer is None or offer.previous is None:
            return offer
        return msgspec.structs.replace(offer, has_file=False)


class _LosesTheFileAfterThreeDays(OwnDeliveries):
    def dequeue(self, activity: Activity, now: datetime) -> Offer | None:
        """The next message; a redelivery after the third day says that there is no file."""
        offer = super().dequeue(activity, now)
        if offer is None or offer.previous is None or now - offer.message.enqueued < timedelta(days=3):
            return offer
        return msgspec.structs.replace(offer, has_file=False)


# Retention


class _SixDays(OwnBlobs):
    def profile(self, profile: Profile) -> Profile:
        """Six days."""
        return dataclasses.replace(profile, retention=timedelta(days=6))


class _EightDays(OwnBlobs):
    def profile(self, profile: Profile) -> Profile:
        """Eight days."""
        return dataclasses.replace(profile, retention=timedelta(days=8))


class _SevenMidnights(OwnBlobs):
    """Counts dates instead of days."""

    def keep(self, content: bytes, now: datetime) -> str:
        """A file that goes with the seventh midnight."""
        day = datetime.combine(now.date(), time(), now.tzinfo)
        return super().keep(content, day)


class _LivesOn(OwnBlobs):
    """Seven days from the last download on."""

    def renew(self, identifier: str, now: datetime) -> None:
        """Count the seven days of a file from now."""
        content = self.content(identifier)
        if content is not None:
            self.keep_until(identifier, content, now + self._life)


class _RenewsWithTheDownload(OwnDeliveries):
    def download(self, activity: Activity, correlation: str, blob_name: str, now: datetime) -> bytes | Missing:
        """The file, which then lives for seven days more."""
        content = super().download(activity, correlation, blob_name, now)
        message = self.message_of(correlation)
        if isinstance(self._blobs, _LivesOn) and message is not None and message.blob is not None:
            self._blobs.renew(message.blob, now)
        return content


# Packages


class Packing(OwnBatch):
    """Packs something else than it should, and uploads that."""

    def rework(self, produced: Produced) -> Produced:
        """The same run with another package."""
        blob = produced.message.blob
        content = None if blob is None else self._store.blob(blob)
        if blob is None or content is None or not zipfile.is_zipfile(io.BytesIO(content)):
            return produced
        made = packed(self.packed(unpacked(content)))
        self._store.put_blob(blob, made, self._store.blob_expires(blob) or produced.message.enqueued)
        return msgspec.structs.replace(produced, sha256=hashlib.sha256(made).hexdigest())

    def packed(self, members: Mapping[str, bytes]) -> Mapping[str, bytes]:
        """What is packed instead of these members."""
        return members


def unpacked(content: bytes) -> dict[str, bytes]:
    """The members of a zip by name."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(members: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of these members."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return made.getvalue()


class _WithoutManifest(Packing):
    def packed(self, members: Mapping[str, bytes]) -> Mapping[str, bytes]:
        """All but the manifest."""
        return {name: content for name, content in members.items() if name != MANIFEST}


class _WithoutHeader(Packing):
    def packed(self, members: Mapping[str, bytes]) -> Mapping[str, bytes]:
        """All but the package header, whose description the manifest takes to stay unlike others."""
        return {name: content for name, content in members.items() if name != HEADER} | {
            "Description.xml": members[HEADER]
        }


class _NamesAnotherFile(Packing):
    def packed(self, members: Mapping[str, bytes]) -> Mapping[str, bytes]:
        """A data file under another name than the manifest has."""
        return {(f"Copy of {name}" if name.endswith(".csv") else name): content for name, content in members.items()}


class _InAFolder(Packing):
    def packed(self, members: Mapping[str, bytes]) -> Mapping[str, bytes]:
        """Everything in a folder."""
        return {f"package/{name}": content for name, content in members.items()}


class Leaving(Packing):
    """Leaves records out, or packs more of them."""

    def packed(self, members: Mapping[str, bytes]) -> Mapping[str, bytes]:
        """The data file with other rows."""
        return {name: self._file(content) if name.endswith(".csv") else content for name, content in members.items()}

    def _file(self, content: bytes) -> bytes:
        header, *rows = content.decode("utf-8").splitlines(keepends=True)
        return "".join([header, *self.rows(rows)]).encode("utf-8")

    def rows(self, rows: list[str]) -> list[str]:
        """The rows that are packed."""
        return rows


class _LeavesTheLastOut(Leaving):
    def rows(self, rows: list[str]) -> list[str]:
        """All but the last."""
        return rows[:-1]


class _AHundredAtMost(Leaving):
    def rows(self, rows: list[str]) -> list[str]:
        """The first hundred."""
        return rows[:100]


class _EachTwice(Leaving):
    def rows(self, rows: list[str]) -> list[str]:
        """Each record twice."""
        return rows * 2


BYTES = "download.bytes-as-uploaded"
PACKAGE = "packages.export-is-a-package"
RECORDS = "packages.holds-the-records"
EVERY = "packages.holds-every-entity"
KEPT = "retention.kept-for-seven-days"
GONE = "retention.gone-after-seven-days"

MUTANTS = (
    mutant("last-byte-cut", "Cuts the last byte off every download.", BYTES, PACKAGE, deliveries=_CutsTheLastByte),
    mutant("first-byte-cut", "Cuts the first byte off every download.", BYTES, PACKAGE, deliveries=_CutsTheFirstByte),
    mutant("large-files-cut", "Hands out the first 8 KiB of a file.", BYTES, deliveries=_CutsLargeOnes),
    mutant(
        "second-download-refused",
        "Hands out the file of a delivery once.",
        "download.repeatable",
        KEPT,
        deliveries=_OncePerDelivery,
    ),
    mutant(
        "location-is-a-path",
        "Names as DownloadLocation a path without scheme and host.",
        "download.location-is-absolute",
        routes=_with_members(_with_a_path_only),
    ),
    mutant(
        "file-error-left-out",
        "Leaves FileDownLoadErrorMessage out of the answer to a dequeue.",
        "dequeue.answer-members",
        routes=_with_members(_without_the_error),
    ),
    mutant("packages-packed-anew", "Packs a package anew when it is downloaded.", BYTES, deliveries=_PacksAnew),
    mutant(
        "payload-altered-at-redelivery",
        "Hands out other bytes from the second delivery of a message on.",
        "redelivery.same-payload",
        deliveries=_ChangesAtRedelivery,
    ),
    mutant(
        "file-gone-after-two-downloads",
        "Deletes a file once a redelivery of it was downloaded.",
        KEPT,
        deliveries=_DeletesWithTheDownload,
    ),
    mutant(
        "file-gone-after-the-first-delivery",
        "Says at every redelivery that there is no file.",
        KEPT,
        deliveries=_DeletesWithTheDequeue,
    ),
    mutant(
        "file-lost-after-three-days",
        "Says at redeliveries after the third day that there is no file.",
        KEPT,
        deliveries=_LosesTheFileAfterThreeDays,
    ),
    mutant("kept-for-six-days", "Deletes files after six days.", KEPT, blobs=_SixDays),
    mutant(
        "seven-midnights", "Deletes files with the seventh midnight, up to a day early.", KEPT, blobs=_SevenMidnights
    ),
    mutant("kept-for-eight-days", "Deletes files after eight days.", GONE, blobs=_EightDays),
    mutant(
        "seven-days-from-the-download",
        "Counts the seven days anew from each download.",
        GONE,
        blobs=_LivesOn,
        deliveries=_RenewsWithTheDownload,
    ),
    mutant("package-without-manifest", "Exports packages without a manifest.", PACKAGE, batch=_WithoutManifest),
    mutant("package-without-header", "Exports packages without a package header.", PACKAGE, batch=_WithoutHeader),
    mutant(
        "manifest-names-another-file",
        "Exports packages whose manifest names a file that is not there.",
        PACKAGE,
        EVERY,
        batch=_NamesAnotherFile,
    ),
    mutant("package-in-a-folder", "Exports packages whose parts stand in a folder.", PACKAGE, batch=_InAFolder),
    mutant(
        "last-record-not-exported",
        "Leaves the last record out of a package.",
        RECORDS,
        EVERY,
        "processing.filter-applied",
        "processing.filter-shared",
        batch=_LeavesTheLastOut,
    ),
    mutant("hundred-records-at-most", "Exports the first hundred records only.", RECORDS, batch=_AHundredAtMost),
    mutant("records-exported-twice", "Exports each record twice.", RECORDS, EVERY, batch=_EachTwice),
)
