"""What the documentation leaves open, as parameters: one choice for every point makes a profile.

Each point stands here once, with its values, the default first. A *dialect* is the default profile with one point
answered otherwise and is named `POINT=VALUE`. This module knows the choices; what each of them does stands where it
is done.
"""

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from popreceipt.exceptions import UsageError


def _open(point: str, values: str, text: str) -> Any:
    """A field for one open point: its values separated by blanks, the default first."""
    choices = tuple(values.split())
    return field(default=choices[0], metadata={"point": Point(point, choices, text)})


@dataclass(frozen=True, slots=True)
class Point:
    """One open point: its name, its values (the default first) and what it is about."""

    name: str
    values: tuple[str, ...]
    text: str

    @property
    def field(self) -> str:
        """The profile's field of this point."""
        return self.name.replace(".", "_").replace("-", "_")


@dataclass(frozen=True, slots=True)
class Profile:
    """One choice for every open point, and the plain numbers of an environment.

    Raises:
        UsageError: a point is given a value that it does not have.
    """

    # Plain parameters.
    lease: timedelta = timedelta(minutes=30)
    """How long a delivered message stays hidden ("API for acknowledgment")."""
    retention: timedelta = timedelta(days=7)
    """How long a file stays in blob storage ("Getting the status of a message")."""
    token_lifetime: timedelta = timedelta(hours=1)
    body_limit: int = 30_000_000
    """Bytes a request may carry: the default of the web server in front, which fits every 413 that was reported."""
    preprocessing: timedelta = timedelta(seconds=1)
    """Virtual time that an imported message spends in Preprocessing."""
    processing: timedelta = timedelta(seconds=2)
    """Virtual time that it then spends in Processing."""
    xslt_limit: timedelta = timedelta(seconds=10)
    """Real time that the style sheets of one file may take. The emulator stands still for so long."""
    processing_record: timedelta = timedelta(0)
    """Virtual time more for each record of its file, good or bad."""
    batch_startup: timedelta = timedelta(0)
    """Virtual time from the start of a run to its first file. A run that finds nothing takes none."""
    batch_parallel: int = 0
    """How many files of a job are in process at once where they do not go in order; 0 for any number."""
    batch_fetch: timedelta = timedelta(seconds=1)
    """Virtual time until the batch job's status that was asked for is in Manage messages."""
    on_premises: bool = False
    """The integration does not exist on-premises: every connector route sends the caller to a sign-in page."""
    platform_update_12: bool = True
    """Before it there was no GetMessageStatus, and nothing in the columns on batch and on an export's records."""

    # Enqueue.
    enqueue_message_id_form: str = _open(
        "enqueue.message-id-form", "quoted bare object braces upper-case", "how the message ID is written in the answer"
    )
    enqueue_content_type: str = _open("enqueue.content-type", "json text", "content type of the answer to an enqueue")
    enqueue_too_large: str = _open(
        "enqueue.too-large", "413-empty 413-html", "body of the answer to an upload over the limit"
    )
    enqueue_chunked: str = _open("enqueue.chunked", "accepted 411", "an upload in chunks, without a length")
    enqueue_gzip: str = _open("enqueue.gzip", "stored-as-sent 415", "an upload with Content-Encoding: gzip")
    enqueue_entity_encoding: str = _open(
        "enqueue.entity-encoding", "both percent-20-only", "whether + is a blank in the entity's name"
    )

    # Dequeue.
    dequeue_empty_queue: str = _open("dequeue.empty-queue", "204 200-empty", "nothing to offer")
    dequeue_file_error_message: str = _open(
        "dequeue.file-error-message", "null empty", "FileDownLoadErrorMessage when all is fine"
    )
    dequeue_blank_last_dequeue: str = _open(
        "dequeue.blank-last-dequeue", "null absent empty 0001 1900", "LastDequeueDateTime on the first delivery"
    )
    dequeue_last_dequeue_format: str = _open(
        "dequeue.last-dequeue-format", "utc no-zone fraction offset", "how LastDequeueDateTime is written"
    )

    # Redelivery.
    redelivery_correlation: str = _open(
        "redelivery.correlation", "stable fresh", "CorrelationId and blob over redeliveries"
    )
    redelivery_order: str = _open(
        "redelivery.order", "tail original-place", "where a message stands when it comes back"
    )
    redelivery_poison_limit: str = _open(
        "redelivery.poison-limit", "none 10", "after how many deliveries a message is dropped"
    )
    redelivery_at_half_hour: str = _open("redelivery.at-half-hour", "back hidden", "at exactly the half hour")

    # Download.
    download_location_scheme: str = _open(
        "download.location-scheme", "http https http-80", "scheme and port of DownloadLocation"
    )
    download_location_activity: str = _open(
        "download.location-activity", "as-called braced bare", "how DownloadLocation spells the activity"
    )
    download_answer: str = _open("download.answer", "direct redirect", "the file itself, or a redirect to its blob")
    download_file_payload: str = _open("download.file-payload", "package raw", "what an export of type file hands out")
    download_content_type: str = _open("download.content-type", "octet-stream zip", "content type of the file")
    download_extends_lease: str = _open("download.extends-lease", "no yes", "whether a download renews the lease")
    download_after_lease: str = _open("download.after-lease", "200 404", "a download after the lease ended")
    download_after_acknowledgment: str = _open(
        "download.after-acknowledgment", "200 404", "a download after the acknowledgment"
    )

    # Acknowledgment.
    acknowledgment_body_needed: str = _open(
        "acknowledgment.body-needed", "receipt whole", "how much of the dequeue's answer must come back"
    )
    acknowledgment_success_answer: str = _open(
        "acknowledgment.success-answer", "200-empty 200-json 204", "the answer when all is well"
    )
    acknowledgment_second: str = _open("acknowledgment.second", "500 200 404", "the same acknowledgment again")
    acknowledgment_late: str = _open("acknowledgment.late", "200 500", "after the half hour, not dequeued since")
    acknowledgment_stale_receipt: str = _open(
        "acknowledgment.stale-receipt", "500 404 410 409 200", "a receipt that a later dequeue replaced"
    )
    acknowledgment_without_download: str = _open(
        "acknowledgment.without-download", "200 500", "a file that nobody downloaded"
    )
    acknowledgment_other_activity: str = _open(
        "acknowledgment.other-activity", "404 500", "a message of another activity"
    )
    acknowledgment_member_spelling: str = _open(
        "acknowledgment.member-spelling", "tolerant 400", "members in another letter case, extra members"
    )
    acknowledgment_incomplete_body: str = _open(
        "acknowledgment.incomplete-body", "400 500", "no JSON, or no CorrelationId or PopReceipt"
    )

    # Exports without records, retention.
    zero_records_no_file_answer: str = _open(
        "zero-records.no-file-answer",
        "said location-filled message-empty message-null 204",
        "how a dequeue says that there is no file",
    )
    zero_records_no_file_leaves: str = _open(
        "zero-records.no-file-leaves", "when-acknowledged at-once", "when a message without a file leaves the queue"
    )
    retention_expired_download: str = _open("retention.expired-download", "404 410 500", "an expired file")
    retention_expired_dequeue: str = _open(
        "retention.expired-dequeue", "no-file dropped", "a message whose file has expired"
    )
    retention_at_seven_days: str = _open("retention.at-seven-days", "gone kept", "at exactly seven days")

    # Status and errors.
    status_ninth_spelling: str = _open(
        "status.ninth-spelling", "Preprocessing PreProcessing", "spelling of the ninth status"
    )
    status_seventh_spelling: str = _open(
        "status.seventh-spelling", "PostProcessingFailed PostProcessingError", "spelling of the seventh status"
    )
    status_downloaded: str = _open("status.downloaded", "shown hidden", "whether the status Downloaded is shown")
    status_jobstatus_state: str = _open("status.jobstatus-state", "name number", "how jobstatus writes the state")
    status_jobstatus_unknown: str = _open("status.jobstatus-unknown", "404 200-null", "jobstatus of an unknown message")
    status_unknown_message: str = _open(
        "status.unknown-message", "400 200-empty", "GetMessageStatus of an unknown or malformed ID"
    )
    execution_errors_value_form: str = _open(
        "execution-errors.value-form", "string array malformed", "the form of GetExecutionErrors' value"
    )
    execution_errors_unresolved: str = _open(
        "execution-errors.unresolved", "zero empty 400", "the execution ID before there is an execution"
    )
    execution_errors_unknown_execution: str = _open(
        "execution-errors.unknown-execution", "200-empty 400", "GetExecutionErrors of an unknown execution"
    )

    # Processing.
    processing_missing_entity: str = _open(
        "processing.missing-entity", "preprocessing-error 400", "a file without the parameter entity"
    )
    processing_unknown_entity: str = _open(
        "processing.unknown-entity", "preprocessing-error stays-processing", "an entity that the project lacks"
    )
    processing_unknown_company: str = _open(
        "processing.unknown-company", "preprocessing-error ignored", "a company that does not exist"
    )
    processing_empty_body: str = _open("processing.empty-body", "preprocessing-error 400", "an upload of no bytes")
    packages_element_order: str = _open(
        "packages.element-order", "any strict", "elements of a package's XML files out of the data contract's order"
    )
    ordering_failed_message: str = _open(
        "ordering.failed-message", "goes-on blocks", "process in order, after a failed message"
    )

    # Batch.
    batch_status_before_fetch: str = _open(
        "batch.status-before-fetch", "blank newest", "the batch job's status that nobody has fetched yet"
    )

    batch_overrun: str = _open(
        "batch.overrun",
        "next-tick at-once joins",
        "a recurrence at which files of the run before are still in process",
    )

    # Refusals.
    authorization_job_gate: str = _open("authorization.job-gate", "401 403", "an application not on the job's policy")
    authorization_service_gate: str = _open(
        "authorization.service-gate", "401 403", "an application without a mapped user"
    )
    transport_malformed_activity: str = _open(
        "transport.malformed-activity", "400 404 500", "an activity ID that is none"
    )
    transport_unknown_activity: str = _open("transport.unknown-activity", "404 400 500", "an activity nobody knows")
    transport_wrong_direction: str = _open(
        "transport.wrong-direction", "400 404 500 204", "an enqueue on an export, a dequeue on an import"
    )
    transport_wrong_verb: str = _open("transport.wrong-verb", "405 404", "a verb that the route does not have")
    throttling_connector: str = _open("throttling.connector", "never 429", "whether connector routes are throttled")

    def __post_init__(self) -> None:
        for point in POINTS.values():
            value = getattr(self, point.field)
            if value not in point.values:
                raise UsageError(f"{point.name} cannot be {value!r}: it is one of {', '.join(point.values)}.")
        if self.batch_parallel < 0:
            raise UsageError(f"{self.batch_parallel} files cannot be in process at once; 0 stands for any number.")


POINTS: Mapping[str, Point] = {
    point.name: point for one in dataclasses.fields(Profile) if isinstance(point := one.metadata.get("point"), Point)
}
"""Every open point by its name."""

DIALECTS: tuple[str, ...] = tuple(f"{point.name}={value}" for point in POINTS.values() for value in point.values[1:])
"""The names of all dialects."""

PROFILES: Mapping[str, Profile] = {
    "default": Profile(),
    # What the help text of a PowerShell module recorded in 2019 (d365collaborative/d365fo.integrations).
    "2019": Profile(dequeue_file_error_message="empty", dequeue_blank_last_dequeue="absent"),
    # "Recurring integrations", the note on deployments; a public client met the redirect.
    "on-premises": Profile(on_premises=True),
    "before-platform-update-12": Profile(platform_update_12=False),
}
"""Profiles that have a name of their own."""

FINGERPRINT = "fingerprint"
"""The table of a profile's file that says how it was taken from a server, and what was not seen of it."""

_PERIODS = {
    "lease_seconds": "lease",
    "retention_seconds": "retention",
    "token_lifetime_seconds": "token_lifetime",
    "preprocessing_seconds": "preprocessing",
    "processing_seconds": "processing",
    "processing_record_seconds": "processing_record",
    "batch_startup_seconds": "batch_startup",
    "batch_fetch_seconds": "batch_fetch",
    "xslt_limit_seconds": "xslt_limit",
}


def dialect(name: str, base: Profile | None = None) -> Profile:
    """The profile (the default one unless given) with one point answered as `POINT=VALUE` says.

    Raises:
        UsageError: no such point, or the point has no such value.
    """
    point_name, _, value = name.partition("=")
    point = POINTS.get(point_name)
    if point is None:
        raise UsageError(f"There is no open point {point_name!r}. A dialect is POINT=VALUE, as in {DIALECTS[0]!r}.")
    if value not in point.values:
        raise UsageError(f"{point.name} cannot be {value!r}: it is one of {', '.join(point.values)}.")
    changes: dict[str, Any] = {point.field: value}
    return dataclasses.replace(base if base is not None else Profile(), **changes)


def load_profile(name_or_file: str) -> Profile:
    """A profile by name, by a dialect's name, or from a TOML file.

    The file's table `[points]` has open points by name, its table `[parameters]` periods in seconds (`lease_seconds`,
    `retention_seconds`, `token_lifetime_seconds`, `preprocessing_seconds`, `processing_seconds`,
    `processing_record_seconds`, `batch_startup_seconds`, `batch_fetch_seconds`, `xslt_limit_seconds`), `batch_parallel`
    as a number of files, `body_limit` in bytes, and `on_premises` and `platform_update_12`; `base` at the top names the
    profile it starts from. A table `[fingerprint]` tells where the file comes from, and changes nothing.

    Raises:
        UsageError: no such profile, or the file cannot be read or says something unknown.
    """
    if name_or_file in PROFILES:
        return PROFILES[name_or_file]
    if name_or_file.partition("=")[0] in POINTS:
        return dialect(name_or_file)
    path = Path(name_or_file)
    if not path.is_file():
        known = ", ".join(PROFILES)
        raise UsageError(
            f"There is no profile {name_or_file!r}: name a file, a dialect POINT=VALUE, or one of {known}."
        )
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise UsageError(f"Cannot read the profile {path}: {error}.") from error
    return _from_tables(content, path)


def _from_tables(content: Mapping[str, Any], path: Path) -> Profile:
    if unknown := set(content) - {"base", "points", "parameters", FINGERPRINT}:
        raise UsageError(f"{path}: unknown {min(unknown)!r}; a profile has base, [points] and [parameters].")
    base = content.get("base", "default")
    if not isinstance(base, str) or base not in PROFILES:
        raise UsageError(f"{path}: base is one of {', '.join(PROFILES)}, not {base!r}.")
    return changed(PROFILES[base], _table(content, "points", path), _table(content, "parameters", path), place=path)


def changed(
    profile: Profile, points: Mapping[str, Any], parameters: Mapping[str, Any], *, place: Path | str
) -> Profile:
    """A profile with some points answered otherwise and some parameters set, named as in a profile's file.

    Raises:
        UsageError: one of them is unknown or out of range; `place` says where that stands.
    """
    for name, value in points.items():
        profile = dialect(f"{name}={value}", profile)
    changes = {}
    for name, value in parameters.items():
        field_name, read = _parameter(name, value, place)
        changes[field_name] = read
    return dataclasses.replace(profile, **changes)


def _table(content: Mapping[str, Any], name: str, path: Path) -> Mapping[str, Any]:
    table = content.get(name, {})
    if not isinstance(table, dict):
        raise UsageError(f"{path}: {name} is a table.")
    return table


def _parameter(name: str, value: object, path: Path | str) -> tuple[str, Any]:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if name in _PERIODS and isinstance(value, (int, float)) and number and 0 <= value < 1e9:
        return _PERIODS[name], timedelta(seconds=value)
    if name == "body_limit" and isinstance(value, int) and number and value > 0:
        return name, value
    if name == "batch_parallel" and isinstance(value, int) and number and value >= 0:
        return name, value
    if name in {"on_premises", "platform_update_12"} and isinstance(value, bool):
        return name, value
    raise UsageError(f"{path}: the parameter {name} = {value!r} is unknown or out of range.")
