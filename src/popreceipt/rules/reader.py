"""From the lines of a journal to facts, once and in a stream.

Tolerant of every form that an answer may take: members in another letter case, ids with or without quotes and braces,
instants with or without a zone. What form it was is part of the fact, for the rules that ask.
"""

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, unquote_plus

import msgspec

from popreceipt import vocabulary
from popreceipt.journal import Body, Entry, Exchange, Header, Headers, Observation, redacted
from popreceipt.rules.facts import (
    Ack,
    Activity,
    Altered,
    BatchAction,
    Call,
    Cleanup,
    Connection,
    Dequeue,
    Disturbance,
    Download,
    Enqueue,
    EntityDetail,
    ErrorEntry,
    ExecutionErrors,
    ExecutionId,
    ExecutionSummary,
    FieldTold,
    FileSeen,
    Load,
    Look,
    Parameters,
    Payload,
    ProcessRun,
    Production,
    ProjectSeen,
    Records,
    Rows,
    Run,
    Sample,
    Scenario,
    StatusAnswer,
    Struck,
    Token,
    Told,
)
from popreceipt.rules.files import ENTITY

BODIES_KEPT: Final = 2_000
"""So many bodies of each kind are kept for rules that look inside; later ones are known by their digest."""

STEP: Final = 2.0**-20
"""How much further an observation stands than the observation or the exchange before it."""

NOTHING: Final = "null"
"""JSON without a value, which an answer may hold where nothing is to be said."""

ZERO_YEARS: Final = {1: "0001", 1900: "1900"}
"""The years of the zero dates of either platform, and the word for such a blank."""

SHORT: Final = 16
"""Characters of the digests by which an acknowledgment's body is compared with the answers to dequeues."""

_decode = msgspec.json.decode


class Reader:
    """A journal, taken in: its facts by operation, each list in order of time.

    Args:
        header: the journal's first line.
        entries: its entries, in any order; they are taken once.
    """

    def __init__(self, header: Header, entries: Iterable[Entry]) -> None:
        self.header = header
        self.calls: list[Call] = []
        self.tokens: list[Token] = []
        self.enqueues: list[Enqueue] = []
        self.dequeues: list[Dequeue] = []
        self.downloads: list[Download] = []
        self.acks: list[Ack] = []
        self.statuses: list[StatusAnswer] = []
        self.jobstatuses: list[StatusAnswer] = []
        self.execution_ids: list[ExecutionId] = []
        self.execution_errors: list[ExecutionErrors] = []
        self.execution_summaries: list[ExecutionSummary] = []
        self.activities: dict[str, list[Activity]] = defaultdict(list)
        self.productions: list[Production] = []
        self.rows: dict[str, list[Rows]] = defaultdict(list)
        self.records: dict[str, list[Records]] = defaultdict(list)
        self.tables: dict[tuple[str, str], list[Records]] = defaultdict(list)
        self.projects: dict[str, list[ProjectSeen]] = defaultdict(list)
        self.entities: dict[str, tuple[FieldTold, ...]] = {}
        self.cleanups: list[Cleanup] = []
        self.runs: dict[str, list[ProcessRun]] = defaultdict(list)
        self.disturbances: list[Disturbance] = []
        self.batch_actions: dict[str, list[BatchAction]] = defaultdict(list)
        self.loads: dict[str, list[Load]] = defaultdict(list)
        self.parameters: list[Parameters] = []
        self.scenario: Scenario | None = None
        self.inbox: list[Look] = []
        self.outbox: list[Look] = []
        self.payloads: list[Payload] = []
        self.told: list[Told] = []
        self.lives: list[Run] = []
        self.connections: list[Connection] = []
        self.struck: list[Struck] = []
        self.altered: list[Altered] = []
        self.unseen: frozenset[str] = frozenset()
        self.relayed = False
        self.resets: list[datetime] = []
        self.reset_spans: list[tuple[datetime, datetime]] = []
        self.reset_places: list[float] = []
        self._place = 0.0
        self._hops: dict[str, str] = {}
        self._locations: set[str] = set()
        self._paths: dict[str, tuple[str, str, str | None]] = {}
        self._tokens: dict[str, str | None] = {}
        self._words: dict[str, str] = {}
        self._latest: datetime | None = None
        self._members: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._kept = 0
        self._observers: dict[str, Callable[[Observation], None]] = {
            "produced": self._produced,
            "messages": self._messages,
            "records": self._records,
            "project": self._project,
            "entities": self._entities,
            "activity": self._activity,
            "cleanup": self._cleanup,
            "processed": self._processed,
            "reset": self._reset,
            "fault-planned": self._fault_planned,
            "faults-cleared": self._faults_cleared,
            "batch": self._batch,
            "load": self._load,
            "parameters": self._parameters,
            "scenario": self._scenario,
            "inbox": self._inbox,
            "outbox": self._outbox,
            "payload": self._payload,
            "report": self._told,
            "subject": self._subject,
            "connection": self._connection,
            "fault": self._fault,
            "altered": self._altered,
            "watched": self._watched,
        }
        self._readers: dict[str, Callable[[Exchange, tuple[Any, ...]], Call]] = {
            vocabulary.TOKEN: self._token,
            vocabulary.ENQUEUE: self._enqueue,
            vocabulary.DEQUEUE: self._dequeue,
            vocabulary.DOWNLOAD: self._download,
            vocabulary.ACK: self._ack,
            vocabulary.JOBSTATUS: self._jobstatus,
            vocabulary.MESSAGE_STATUS: self._message_status,
            vocabulary.EXECUTION_ID: self._execution_id,
            vocabulary.EXECUTION_ERRORS: self._execution_errors,
            vocabulary.EXECUTION_SUMMARY: self._execution_summary,
        }
        for entry in entries:
            if isinstance(entry, Exchange):
                self.calls.append(self._call(entry))
                self._place = entry.seq
            elif isinstance(entry, Observation):
                self._place += STEP
                observer = self._observers.get(entry.observation)
                if observer is not None:
                    observer(entry)
        every: tuple[list[Any], ...] = (
            self.calls,
            self.tokens,
            self.enqueues,
            self.dequeues,
            self.downloads,
            self.acks,
            self.statuses,
            self.jobstatuses,
            self.execution_ids,
            self.execution_errors,
            self.execution_summaries,
        )
        for facts in every:
            facts.sort(key=_in_time)

    # Exchanges into facts

    def _call(self, exchange: Exchange) -> Call:
        path, query = _split(exchange.request.url)
        known = self._paths.get(path)
        if known is None:
            operation, activity = vocabulary.operation_of(path)
            known = self._paths[path] = (path, operation, activity)
        path, operation, activity = known
        asked = f"{path}?{query}" if query else path
        if operation == vocabulary.OTHER:
            operation = vocabulary.DOWNLOAD if asked in self._locations else exchange.operation
        response = exchange.response
        whole = response is not None and exchange.failure is None
        # A caller that does one thing after another is answered at the instant at which it sends the next.
        sent = self._latest if exchange.sent == self._latest else exchange.sent
        self._latest = sent if exchange.answered == sent else exchange.answered
        base = (
            exchange.seq,
            sent,
            self._latest,
            operation,
            activity,
            self._same(exchange.request.method),
            path,
            query,
            response.status if response is not None and whole else None,
            exchange.failure if response is not None or exchange.failure else "no response",
            self._same(exchange.actor) if exchange.actor is not None else None,
            self._bearer(exchange.request.headers),
            self._root(exchange.request.url),
            _header(response.headers, "retry-after") if response is not None else None,
        )
        reader = self._readers.get(operation)
        if self._hops and exchange.request.method == "GET" and asked in self._hops:
            reader = self._download
        return reader(exchange, base) if reader is not None else Call(*base)

    def _root(self, url: str) -> str:
        """Scheme and authority, in lower case."""
        start = url.find("://")
        end = url.find("/", start + 3) if start >= 0 else 0
        return self._same((url[:end] if end >= 0 else url).lower())

    def _same(self, text: str) -> str:
        """One string for all equal ones: a word that comes a million times takes its room once."""
        return self._words.setdefault(text, text)

    def _word(self, headers: Headers, name: str) -> str | None:
        """A header whose values are few."""
        value = _header(headers, name)
        return self._same(value) if value is not None else None

    def _names(self, answer: Mapping[str, Any]) -> tuple[str, ...]:
        """The names of an object's members, one tuple for all equal ones."""
        names = tuple(map(str, answer))
        return self._members.setdefault(names, names)

    def _bearer(self, headers: Headers) -> str | None:
        value = _header(headers, "authorization")
        if value is None:
            return None
        if value not in self._tokens:
            scheme, _, rest = value.partition(" ")
            self._tokens[value] = redacted(rest.strip()) if scheme.lower() == "bearer" and rest.strip() else None
        return self._tokens[value]

    def _token(self, exchange: Exchange, base: tuple[Any, ...]) -> Token:
        call = Token(*base)
        body = exchange.request.body
        fields = dict(parse_qsl(body.text, keep_blank_values=True)) if body is not None and body.text else {}
        call.version = 2 if "/v2.0/" in call.path.lower() or "scope" in fields else 1
        call.grant = fields.get("grant_type")
        call.client_id = fields.get("client_id")
        call.audience = fields.get("resource") or fields.get("scope")
        answer = _loads(exchange.response.body) if exchange.response is not None else None
        if isinstance(answer, dict):
            issued = _text(answer.get("access_token"))
            call.issued = redacted(issued) if issued else None
            call.token_type = _text(answer.get("token_type"))
            call.error = _text(answer.get("error"))
            try:
                call.expires_in = float(answer["expires_in"])
            except (KeyError, TypeError, ValueError):
                call.expires_in = None
        self.tokens.append(call)
        return call

    def _enqueue(self, exchange: Exchange, base: tuple[Any, ...]) -> Enqueue:
        call = Enqueue(*base)
        body = exchange.request.body
        if body is not None:
            call.digest = _digest(body, str(exchange.seq))
            call.length = body.length if body.length is not None else len(body.content() or b"")
            if len(self.enqueues) < BODIES_KEPT:
                call.body = body
        call.query = self._same(call.query)
        headers = exchange.request.headers
        call.content_type = self._word(headers, "content-type")
        call.encoding = _header(headers, "content-encoding")
        call.chunked = (_header(headers, "transfer-encoding") or "").lower() == "chunked"
        announced = _header(headers, "content-length") or ""
        call.announced = int(announced) if announced.isdecimal() and len(announced) < SHORT else None
        call.external = _header(headers, vocabulary.EXTERNAL_IDENTIFIER)
        for part in call.query.split("&"):
            name, _, value = part.partition("=")
            if name.lower() == "entity":
                call.entity = self._same(unquote_plus(value))
            elif name.lower() == "company":
                call.company = unquote_plus(value)
        response = exchange.response
        if response is not None:
            call.answer_type = self._word(response.headers, "content-type")
            if response.body is not None:
                call.answer_length = response.body.length or len(response.body.content() or b"")
            if call.ok and response.body is not None and response.body.text is not None:
                call.message, call.form = message_id_in(response.body.text)
        self.enqueues.append(call)
        return call

    def _dequeue(self, exchange: Exchange, base: tuple[Any, ...]) -> Dequeue:
        call = Dequeue(*base)
        response = exchange.response
        if call.status is None or response is None:
            call.kind = "failed"
        elif not call.ok:
            call.kind = "refused"
        else:
            body = response.body
            text = body.text if body is not None else None
            if body is None or (text is not None and not text.strip()):
                call.kind = "empty"
            else:
                call.digest = body.digest()[:SHORT]
                if text is not None and text.strip() == NOTHING:
                    call.kind = "empty"
                else:
                    self._message_in(call, _loads(body))
                if len(self.dequeues) < BODIES_KEPT:
                    call.body = body
        self.dequeues.append(call)
        return call

    def _message_in(self, call: Dequeue, answer: object) -> None:
        if not isinstance(answer, dict):
            call.kind = "malformed"
            return
        call.members = self._names(answer)
        call.correlation = _text(_member(answer, vocabulary.CORRELATION_ID))
        call.receipt = _text(_member(answer, vocabulary.POP_RECEIPT))
        exists = _member(answer, vocabulary.FILE_EXISTS)
        call.file_exists = exists if isinstance(exists, bool) else None
        call.file_error = _text(_member(answer, vocabulary.FILE_ERROR))
        location = _text(_member(answer, vocabulary.DOWNLOAD_LOCATION))
        if location:
            key = location_key(location)
            call.location = key
            if _CONNECTOR not in key:
                self._locations.add(key)  # only this answer tells that asking there is a download
            call.location_root = self._same(
                location[: len(location) - len(key)] if location.endswith(key) else location
            )
        last = _member(answer, vocabulary.LAST_DEQUEUE)
        if last is None:
            named = any(name.lower() == vocabulary.LAST_DEQUEUE.lower() for name in call.members)
            call.blank = "null" if named else "absent"
        elif not isinstance(last, str):
            call.blank = "other"
        elif not last.strip():
            call.blank = "empty"
        elif last.startswith(("0001-01-01", "1900-01-01")):
            call.blank = last[:4]
        elif (read := instant_of(last) or other_instant_of(last)) is None:
            call.blank = "other"
        elif read[0].year in ZERO_YEARS:
            call.blank = ZERO_YEARS[read[0].year]
        else:
            call.last_dequeue, call.instant_form = read
        if call.file_exists is False:
            call.kind = "no-file"
        elif call.correlation is None and call.receipt is None:
            call.kind = "malformed"
        elif call.location is None:
            call.kind = "no-file"
        else:
            call.kind = "message"

    def _download(self, exchange: Exchange, base: tuple[Any, ...]) -> Download:
        call = Download(*base)
        asked = f"{call.path}?{call.query}" if call.query else call.path
        call.query = ""  # it stands in the location
        call.hop = asked in self._hops
        call.location = self._hops.get(asked, asked)
        response = exchange.response
        if response is not None:
            call.content_type = self._word(response.headers, "content-type")
            call.redirect = _header(response.headers, "location")
            if call.status is not None and 300 <= call.status < 400 and call.redirect:
                if (target := location_key(call.redirect)) != asked:
                    self._hops[target] = call.location
            elif call.status == 200 and call.method == "GET":
                body = response.body if response.body is not None else Body(text="")
                call.digest = _digest(body, call.location)
                call.length = body.length if body.length is not None else len(body.content() or b"")
                if self._kept < BODIES_KEPT:
                    self._kept += 1
                    call.body = body
            elif response.body is not None and call.status is not None and call.status >= 400:
                call.refusal = response.body.digest()
        self.downloads.append(call)
        return call

    def _ack(self, exchange: Exchange, base: tuple[Any, ...]) -> Ack:
        call = Ack(*base)
        body = exchange.request.body
        call.content_type = self._word(exchange.request.headers, "content-type")
        if body is not None:
            call.digest = body.digest()[:SHORT]
            if len(self.acks) < BODIES_KEPT:
                call.body = body
            said = _loads(body)
            if isinstance(said, dict):
                call.form = "object"
                call.members = self._names(said)
                call.correlation = _text(_member(said, vocabulary.CORRELATION_ID))
                call.receipt = _text(_member(said, vocabulary.POP_RECEIPT))
        if exchange.response is not None:
            call.answer_type = self._word(exchange.response.headers, "content-type")
            if exchange.response.body is not None:
                call.answer_length = exchange.response.body.length or len(exchange.response.body.content() or b"")
        self.acks.append(call)
        return call

    def _message_status(self, exchange: Exchange, base: tuple[Any, ...]) -> StatusAnswer:
        call = StatusAnswer(*base)
        asked = _loads(exchange.request.body)
        if isinstance(asked, dict) and (name := _text(_member(asked, "messageId"))) is not None:
            call.message = vocabulary.bare_guid(name)
            call.bare = call.message == name
            call.quoted = '"' in name
        call.meant = _meant(exchange.request.body, "messageId")
        answer = _loads(exchange.response.body) if exchange.response is not None else None
        if isinstance(answer, dict):
            value = _text(answer.get("value"))
            call.value = self._same(value) if value is not None and len(value) < SHORT * 2 else value
            call.shaped = call.value is not None and "@odata.context" in answer
            call.state = vocabulary.SPELLINGS.get(call.value.lower()) if call.value else None
        self.statuses.append(call)
        return call

    def _jobstatus(self, exchange: Exchange, base: tuple[Any, ...]) -> StatusAnswer:
        call = StatusAnswer(*base)
        for part in call.query.split("&"):
            name, _, value = part.partition("=")
            if name.lower() == "jobid":
                call.message = vocabulary.bare_guid(unquote(value))
                call.bare = call.message == unquote(value)
                call.quoted = '"' in unquote(value)
        call.meant = call.message
        answer = _loads(exchange.response.body) if exchange.response is not None else None
        if isinstance(answer, dict):
            detail = _member(answer, "DataJobStatus")
            call.null = detail is None
            if isinstance(detail, dict):
                state = _member(detail, "DataJobState")
                call.number = isinstance(state, int) and not isinstance(state, bool)
                if isinstance(state, int) and call.number and 0 <= state < len(vocabulary.STATUS_CODES):
                    call.value, call.state = str(state), vocabulary.STATUS_CODES[state]
                elif isinstance(state, str):
                    call.value, call.state = state, vocabulary.SPELLINGS.get(state.lower())
                call.execution = _text(_member(detail, "ExecutionIdentifier"))
                call.shaped = call.value is not None and {
                    "DataProject",
                    "DataJobIdentifier",
                    "DataJobState",
                    "ExecutionIdentifier",
                } <= set(detail)
            call.details = _details_in(_member(answer, "ExecutionDetail"))
        self.jobstatuses.append(call)
        return call

    def _execution_id(self, exchange: Exchange, base: tuple[Any, ...]) -> ExecutionId:
        call = ExecutionId(*base)
        asked = _loads(exchange.request.body)
        if isinstance(asked, dict):
            call.named_rightly = "_messageId" in asked
            if (name := _text(asked.get("_messageId", asked.get("messageId")))) is not None:
                call.message = vocabulary.bare_guid(name)
                call.bare = call.message == name
        call.meant = _meant(exchange.request.body, "_messageId") or _meant(exchange.request.body, "messageId")
        answer = _loads(exchange.response.body) if exchange.response is not None else None
        if isinstance(answer, dict):
            call.execution = _text(answer.get("value"))
            call.shaped = call.execution is not None and "@odata.context" in answer
        self.execution_ids.append(call)
        return call

    def _execution_errors(self, exchange: Exchange, base: tuple[Any, ...]) -> ExecutionErrors:
        call = ExecutionErrors(*base)
        asked = _loads(exchange.request.body)
        if isinstance(asked, dict):
            call.execution = _text(asked.get("executionId"))
        call.meant = _meant(exchange.request.body, "executionId")
        answer = _loads(exchange.response.body) if exchange.response is not None else None
        if isinstance(answer, dict) and call.ok:
            call.form, call.entries = _errors_in(answer.get("value"))
            call.shaped = call.form != "other" and "@odata.context" in answer
        self.execution_errors.append(call)
        return call

    def _execution_summary(self, exchange: Exchange, base: tuple[Any, ...]) -> ExecutionSummary:
        call = ExecutionSummary(*base)
        asked = _loads(exchange.request.body)
        if isinstance(asked, dict):
            call.execution = _text(asked.get("executionId"))
        call.meant = _meant(exchange.request.body, "executionId")
        answer = _loads(exchange.response.body) if exchange.response is not None else None
        if isinstance(answer, dict):
            call.value = _text(answer.get("value"))
            call.shaped = call.value is not None and "@odata.context" in answer
        self.execution_summaries.append(call)
        return call

    # Observations into facts

    def _produced(self, seen: Observation) -> None:
        facts = seen.facts
        self.productions.append(
            Production(
                activity=vocabulary.bare_guid(str(facts.get("activity", ""))),
                since=_since(seen),
                at=seen.at,
                message=vocabulary.bare_guid(str(facts.get("messageId", ""))),
                uploaded=bool(facts.get("uploaded")),
                records=int(facts.get("records", 0)),
                sha256=facts.get("sha256"),
                prevention=facts.get("prevent_upload_when_zero_records"),
                place=self._place,
            )
        )

    def _messages(self, seen: Observation) -> None:
        activity = vocabulary.bare_guid(str(seen.facts.get("activity", "")))
        rows = {vocabulary.bare_guid(str(row.get("MessageId", ""))): row for row in _many(seen.facts.get("rows"))}
        self.rows[activity].append(Rows(activity, _since(seen), seen.at, rows, self._place))

    def _records(self, seen: Observation) -> None:
        activity = vocabulary.bare_guid(str(seen.facts.get("activity", "")))
        records = tuple(seen.facts.get("records", ()))
        entity = _text(seen.facts.get("entity"))
        look = Records(activity, _since(seen), seen.at, records, self._place, entity)
        self.tables[activity, (entity or ENTITY).casefold()].append(look)
        if entity is None or entity.casefold() == ENTITY:
            self.records[activity].append(look)

    def _project(self, seen: Observation) -> None:
        settings = seen.facts.get("settings", {})
        project = vocabulary.bare_guid(str(seen.facts.get("project", "")))
        created = bool(seen.facts.get("created"))
        self.projects[project].append(ProjectSeen(project, _since(seen), seen.at, created, settings, self._place))

    def _entities(self, seen: Observation) -> None:
        for each in seen.facts.get("entities", ()):
            fields = each.get("fields") if isinstance(each, dict) else None
            if isinstance(fields, list):
                self.entities[str(each.get("name", "")).casefold()] = tuple(
                    _field(field) for field in fields if isinstance(field, dict)
                )

    def _activity(self, seen: Observation) -> None:
        settings = seen.facts.get("settings", {})
        activity = vocabulary.bare_guid(str(seen.facts.get("activity", "")))
        created = bool(seen.facts.get("created"))
        self.activities[activity].append(Activity(activity, _since(seen), seen.at, created, settings, self._place))

    def _cleanup(self, seen: Observation) -> None:
        facts = seen.facts
        self.cleanups.append(
            Cleanup(
                activity=vocabulary.bare_guid(str(facts.get("activity", ""))),
                since=_since(seen),
                at=seen.at,
                older_than=timedelta(days=float(facts.get("olderThanDays", 0))),
                statuses=tuple(facts.get("statuses") or ()),
                deleted=int(facts.get("deleted", 0)),
                place=self._place,
            )
        )

    def _reset(self, seen: Observation) -> None:
        self.resets.append(seen.at)
        self.reset_spans.append((_since(seen), seen.at))
        self.reset_places.append(self._place)
        self._faults_cleared(seen)

    def _processed(self, seen: Observation) -> None:
        activity = vocabulary.bare_guid(str(seen.facts.get("activity", "")))
        processed = int(seen.facts.get("processed", 0))
        self.runs[activity].append(ProcessRun(activity, _since(seen), seen.at, processed, self._place))

    def _fault_planned(self, seen: Observation) -> None:
        planned = seen.facts.get("planned")
        if isinstance(planned, dict) and planned.get("operation") == "processing":
            activity = _text(planned.get("activity"))
            bare = vocabulary.bare_guid(activity) if activity else None
            kind = _text(planned.get("kind")) or ""
            self.disturbances.append(Disturbance(bare, _since(seen), self._place, math.inf, kind))

    def _faults_cleared(self, _: Observation) -> None:
        for each in self.disturbances:
            if each.end_place == math.inf:
                each.end_place = self._place

    def _batch(self, seen: Observation) -> None:
        activity = vocabulary.bare_guid(str(seen.facts.get("activity", "")))
        action = str(seen.facts.get("action", ""))
        self.batch_actions[activity].append(BatchAction(activity, _since(seen), seen.at, action, self._place))

    def _load(self, seen: Observation) -> None:
        activity = vocabulary.bare_guid(str(seen.facts.get("activity", "")))
        told = (_sample(each) for each in _many(seen.facts.get("samples")) if isinstance(each, dict))
        samples = tuple(each for each in told if each is not None)
        self.loads[activity].append(Load(activity, _since(seen), seen.at, samples, self._place))

    def _parameters(self, seen: Observation) -> None:
        skip = seen.facts.get("skip_reprocessing")
        told = skip if isinstance(skip, bool) else None
        self.parameters.append(Parameters(_since(seen), seen.at, told, self._place))

    # What the instrument tells of a subject

    def _scenario(self, seen: Observation) -> None:
        facts = seen.facts
        self.scenario = Scenario(
            name=str(facts.get("name", "")),
            at=seen.at,
            seconds=float(facts.get("seconds") or 0),
            roots=_lower(facts.get("roots")),
            other_roots=_lower(facts.get("other_roots")),
            tls=bool(facts.get("tls")),
            exports=frozenset(map(vocabulary.bare_guid, _lower(facts.get("exports")))),
            imports=frozenset(map(vocabulary.bare_guid, _lower(facts.get("imports")))),
            in_order=bool(facts.get("in_order")),
            entity=_text(facts.get("entity")),
            import_type=str(facts.get("import_type") or "file"),
            inbox=bool(facts.get("inbox")),
            outbox=bool(facts.get("outbox")),
            foreign_certificate=bool(facts.get("foreign_certificate")),
        )

    def _inbox(self, seen: Observation) -> None:
        self.inbox.append(self._look(seen))

    def _outbox(self, seen: Observation) -> None:
        self.outbox.append(self._look(seen))

    def _look(self, seen: Observation) -> Look:
        facts = seen.facts
        appeared = tuple(_file(each) for each in _many(facts.get("appeared")) if isinstance(each, dict))
        gone = tuple(map(str, _many(facts.get("gone"))))
        return Look(seen.at, str(facts.get("reason", "")), appeared, gone, self._place)

    def _payload(self, seen: Observation) -> None:
        self.payloads.append(Payload(str(seen.facts.get("sha256", "")), _lower(seen.facts.get("contents"))))

    def _told(self, seen: Observation) -> None:
        facts = seen.facts
        message = _text(facts.get("messageId"))
        self.told.append(
            Told(
                at=seen.at,
                file=_text(facts.get("file")),
                message=vocabulary.bare_guid(message) if message else None,
                outcome=str(facts.get("outcome", "")).lower(),
                errors=tuple(map(str, _many(facts.get("errors")))),
                place=self._place,
            )
        )

    def _subject(self, seen: Observation) -> None:
        facts = seen.facts
        if facts.get("event") == "started":
            self.lives.append(Run(number=int(facts.get("run", 0)), started=seen.at, place=self._place))
            return
        for life in self.lives:
            if life.number == facts.get("run") and life.ended is None:
                life.ended, life.end_place = seen.at, self._place
                life.status = _number(facts.get("status"))
                life.ended_by = _text(facts.get("ended_by"))

    def _connection(self, seen: Observation) -> None:
        facts = seen.facts
        token = _text(facts.get("token"))
        self.connections.append(
            Connection(
                at=seen.at,
                kind=str(facts.get("kind", "")),
                root=str(facts.get("root", "")).lower(),
                token=redacted(token) if token else None,
                method=_text(facts.get("method")),
                path=str(facts.get("path") or ""),
                query=str(facts.get("query") or ""),
                accepted=bool(facts.get("accepted")),
                place=self._place,
            )
        )

    def _watched(self, seen: Observation) -> None:
        """A recorder stood between client and service: what it cannot see, and whether the client spoke to it alone."""
        self.unseen = _lower(seen.facts.get("unseen"))
        self.relayed = bool(seen.facts.get("relayed"))

    def _fault(self, seen: Observation) -> None:
        facts = seen.facts
        lost = facts.get("answer")  # what was refused anyway took no effect, whatever became of the refusal
        refused = isinstance(lost, dict) and (_number(lost.get("status")) or 0) >= 300
        self.struck.append(
            Struck(
                at=seen.at,
                kind=str(facts.get("kind", "")),
                phase=_text(facts.get("phase")),
                operation=str(facts.get("operation", "")),
                exchange=_number(facts.get("exchange")),
                took_effect=facts.get("phase") == "after" and not refused,
                place=self._place,
            )
        )

    def _altered(self, seen: Observation) -> None:
        self.altered.append(Altered(str(seen.facts.get("file", "")), str(seen.facts.get("how", "")), self._place))


_CONNECTOR = "/api/connector/"


def _lower(listed: object) -> frozenset[str]:
    """Texts of a list that was observed, in lower case."""
    return frozenset(str(each).lower() for each in _many(listed))


def _file(told: Mapping[str, Any]) -> FileSeen:
    return FileSeen(str(told.get("name", "")), str(told.get("sha256", "")), _number(told.get("length")) or 0)


def _in_time(call: Call) -> tuple[datetime, int]:
    return call.sent, call.seq


def _since(seen: Observation) -> datetime:
    text = seen.facts.get("since")
    read = instant_of(text) if isinstance(text, str) else None
    return read[0] if read is not None else seen.at


def _sample(told: Mapping[str, Any]) -> Sample | None:
    """A sample of a monitoring recurrence; None where it does not say when it was taken."""
    read = instant_of(str(told.get("at", "")))
    if read is None:
        return None
    minutes = told.get("oldest_minutes")
    return Sample(
        read[0],
        int(told.get("waiting") or 0),
        timedelta(minutes=minutes) if isinstance(minutes, (int, float)) else None,
        int(told.get("in_process") or 0),
    )


def _digest(body: Body, name: str) -> str:
    """A file's digest; of one that is known by its length alone a name, so that it is taken for no other file."""
    if body.sha256 is None and body.content() is None:
        return f"unknown:{name}"
    return body.digest()


def _header(headers: Headers, name: str) -> str | None:
    for key, value in headers:
        if key == name:
            return value
    return None


def _split(url: str) -> tuple[str, str]:
    """Path and query of a URL, without the cost of a general parser."""
    start = url.find("://")
    start = url.find("/", start + 3 if start >= 0 else 0)
    if start < 0:
        return "/", ""
    url = url[start:].partition("#")[0]
    path, _, query = url.partition("?")
    return path, query


def location_key(url: str) -> str:
    """What of a DownloadLocation a client asks for at the target's own scheme and authority: path and query."""
    path, query = _split(url)
    return f"{path}?{query}" if query else path


def _loads(body: Body | None) -> Any:
    """A JSON body's value; None where there is none or it is no JSON."""
    if body is None or body.text is None:
        return None
    try:
        return _decode(body.text)
    except (msgspec.DecodeError, ValueError):
        return None


def _member(value: Mapping[str, Any], name: str) -> Any:
    """A member by its name, in any letter case when it is not there in the right one."""
    if name in value:
        return value[name]
    lower = name.lower()
    for key, each in value.items():
        if isinstance(key, str) and key.lower() == lower:
            return each
    return None


_LOOSE = re.compile(r"""["']?(\w+)["']?\s*:\s*(?:"([^"]*)"|'([^']*)')""")


def _meant(body: Body | None, name: str) -> str | None:
    """An ID in a request's body, bare: also where the body is JSON to a tolerant reader only (single quotes, say)."""
    said = _loads(body)
    if isinstance(said, dict):
        told = _text(_member(said, name))
        return vocabulary.bare_guid(told) if told is not None else None
    if body is None or body.text is None:
        return None
    for member, double, single in _LOOSE.findall(body.text):
        if member.lower() == name.lower():
            return vocabulary.bare_guid(double or single)
    return None


def _many(value: Any) -> Iterable[Any]:
    """A list that was observed; a very long one stands in the memory of a service as it was written."""
    return msgspec.json.decode(value) if isinstance(value, msgspec.Raw) else value or ()


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


_INSTANT = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:?\d\d)?$", re.IGNORECASE)


def instant_of(text: str) -> tuple[datetime, str] | None:
    """An instant written in any of the forms a service may choose, and which form it is; without a zone it is UTC."""
    found = _INSTANT.match(text.strip())
    if found is None:
        return None
    day, time, fraction, zone = found.groups()
    micro = (fraction or ".0")[1:7]
    try:
        instant = datetime.fromisoformat(f"{day}T{time}.{micro.ljust(6, '0')}")
        if zone and zone not in "Zz":
            hours, minutes = int(zone[1:3]), int(zone[-2:])
            offset = timedelta(hours=hours, minutes=minutes)
            instant = instant - offset if zone[0] == "+" else instant + offset
    except (ValueError, OverflowError):
        return None
    form = "fraction" if fraction else "offset" if zone and zone not in "Zz" else "utc" if zone else "no-zone"
    return instant.replace(tzinfo=UTC), form


_MILLISECONDS = re.compile(r"/Date\((-?\d{1,15})(?:[+-]\d{4})?\)/$", re.IGNORECASE)


def other_instant_of(text: str) -> tuple[datetime, str] | None:
    """An instant in a form from before ISO 8601 was usual: milliseconds as .NET wrote them, or that of a Date header.

    Nobody has seen such a one of this service; whoever meets one reads it nevertheless rather than doubt the service.
    """
    try:
        if (found := _MILLISECONDS.match(text.strip())) is not None:
            return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(found.group(1))), "other"
        if (found := _DATE_HEADER.match(text.strip())) is None:
            return None
        # The year is written in full, where whoever reads mail takes 0001 for 2001.
        read = parsedate_to_datetime(text.strip()).replace(year=int(found.group(1)))
        # A zone of -0000 says UTC and nothing of where it was written (RFC 5322, 3.3), and is read as none at all.
        return (read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)), "other"
    except (ValueError, OverflowError):
        return None


_DATE_HEADER = re.compile(r"[a-z]{3}, \d\d? [a-z]{3} (\d{4}) \d\d:\d\d:\d\d (?:gmt|[+-]\d{4})$", re.IGNORECASE)

_GUID = re.compile(r"\{?([0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12})\}?$")


def message_id_in(content: str) -> tuple[str | None, str]:
    """The message id in the answer to an enqueue, bare and in lower case, and the form it came in."""
    text = content.strip()
    form = "bare"
    if text.startswith("{") and text.endswith("}") and not _GUID.match(text):
        try:
            value = _decode(text)
        except (msgspec.DecodeError, ValueError):
            return None, "other"
        text, form = str(_member(value, "value") or ""), "object"
    elif text.startswith('"') and text.endswith('"') and len(text) > 1:
        text, form = text[1:-1].strip(), "quoted"
    found = _GUID.match(text)
    if found is None:
        return (vocabulary.bare_guid(text) or None), "other"
    if form == "quoted" and text.startswith("{"):
        form = "braces"
    elif form == "quoted" and found.group(1) != found.group(1).lower():
        form = "upper-case"
    return found.group(1).lower(), form


_ENTRY = re.compile(r'"RecordId"\s*:\s*"([^"]*)"', re.IGNORECASE)


def _errors_in(value: object) -> tuple[str, tuple[ErrorEntry, ...]]:
    """The errors in the answer's value: a string that holds a JSON list, or a list; broken JSON is counted."""
    if isinstance(value, list):
        return "array", _entries(value)
    if not isinstance(value, str):
        return "other", ()
    if not value.strip():
        return "empty", ()
    try:
        listed = _decode(value)
    except (msgspec.DecodeError, ValueError):
        text = value.strip()
        if text.startswith("[") and text.endswith("]"):
            return "malformed", tuple(ErrorEntry(found, None, None) for found in _ENTRY.findall(text))
        return "other", ()
    return ("string", _entries(listed)) if isinstance(listed, list) else ("other", ())


def _entries(listed: list[Any]) -> tuple[ErrorEntry, ...]:
    return tuple(
        ErrorEntry(
            _text(_member(each, "RecordId")),
            _text(_member(each, "Field")),
            _text(_member(each, "ErrorMessage")),
        )
        for each in listed
        if isinstance(each, dict)
    )


def _details_in(listed: object) -> tuple[EntityDetail, ...] | None:
    """What jobstatus says of each entity of an execution; None where it lists none."""
    if not isinstance(listed, list):
        return None
    return tuple(
        EntityDetail(
            _text(_member(each, "EntityName")) or "",
            _number(_member(each, "TargetRecords")),
            _number(_member(each, "TargetErrorCount")),
            _instant(_member(each, "ExecutionStartedDateTime")),
            _instant(_member(each, "ExecutionCompletedDateTime")),
        )
        for each in listed
        if isinstance(each, dict)
    )


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _instant(value: object) -> datetime | None:
    """An instant, None where there is none or where its place is filled with the least date."""
    read = instant_of(value) if isinstance(value, str) else None
    return read[0] if read is not None and read[0].year > 1900 else None


def _field(told: Mapping[str, Any]) -> FieldTold:
    return FieldTold(
        str(told.get("name", "")).upper(),
        str(told.get("type", "text")).lower(),
        _number(told.get("length")),
        told.get("key") is True,
        told.get("mandatory") is True,
    )
