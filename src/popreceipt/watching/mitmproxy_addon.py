"""An addon for mitmproxy that writes a journal for `popreceipt judge`. One file, and nothing but the standard library.

mitmproxy lives in an environment of its own and cannot share ours, so what the rest of popreceipt knows about journals
and secrets stands here once more; a test holds the two against each other. Run it with

    mitmdump -s "$(popreceipt record --mitmproxy-addon)" --set popreceipt_journal=journal.ndjson

and let the middleware use mitmproxy as its proxy. (In reverse mode the locations of downloads name the environment, and
go past mitmproxy: the journal says so.) Only requests of the recurring integrations are written down, those for their
tokens among them; whatever else goes through mitmproxy is nobody's business.
"""

import base64
import contextlib
import hashlib
import importlib
import json
import logging
import os
import re
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlencode, urlsplit

FORMAT = "popreceipt/journal@1"
WRITTEN_OUT = 64 * 1024
REMEMBERED = 10_000
SHORTEST = 8

log = logging.getLogger("popreceipt")

# Names on the wire

_CONNECTOR = re.compile(r"/api/connector/(enqueue|dequeue|download|ack|jobstatus)(?:/([^/?#]*))?/?$", re.IGNORECASE)
_ACTION = re.compile(r"/data/DataManagementDefinitionGroups/Microsoft\.Dynamics\.DataEntities\.(\w+)/?$", re.IGNORECASE)
_TOKEN_PATH = re.compile(r"/oauth2(?:/v2\.0)?/token/?$", re.IGNORECASE)
_ACTIONS = {
    "getmessagestatus": "message-status",
    "getexecutionidbymessageid": "execution-id",
    "getexecutionerrors": "execution-errors",
    "getexecutionsummarystatus": "execution-summary",
}
_LOCATION = re.compile(rb'"DownloadLocation"\s*:\s*("(?:[^"\\]|\\.)*")', re.IGNORECASE)


def operation_of(url: str) -> str:
    """What a request for this URL asks for: the journal's word."""
    path = urlsplit(url.partition("?")[0]).path
    if found := _CONNECTOR.search(path):
        return found.group(1).lower()
    if found := _ACTION.search(path):
        return _ACTIONS.get(found.group(1).lower(), "other")
    return "token" if _TOKEN_PATH.search(path) else "other"


# Secrets

SECRET_FIELDS = frozenset(
    {
        "client_secret",
        "password",
        "client_assertion",
        "assertion",
        "refresh_token",
        "access_token",
        "id_token",
        "code",
    }
)
SECRET_HEADERS = frozenset(
    {
        "authorization",
        "proxy-authorization",
        "x-control-key",
        "cookie",
        "set-cookie",
        "client_secret",
        "client-secret",
        "x-client-secret",
        "password",
        "access_token",
        "access-token",
        "x-access-token",
        "api-key",
        "x-api-key",
        "ocp-apim-subscription-key",
    }
)
_BELOW = SECRET_FIELDS - {"code"}
_REDACTED = re.compile(r"redacted:[0-9a-f]{8}")
_TOKEN = re.compile(r"(?<![\w-])(?>(?P<before>[\w-]*?)eyJ)[\w-]{8,}+\.[\w-]{8,}+\.[\w-]*", re.ASCII)
_IN_A_QUERY = re.compile(rf"(?<=[?&])({'|'.join(sorted(SECRET_FIELDS))})=([^&#]+)", re.IGNORECASE)
_NAMES_A_SECRET = re.compile(
    rb"client_secret|client_assertion|refresh_token|access_token|id_token|password\W", re.IGNORECASE
)
_HOLDS_A_SECRET = re.compile(rf"\b({'|'.join(sorted(_BELOW))})\W{{0,9}}[=:]", re.IGNORECASE)
_NAME = re.compile(r"[\w.-]*")
_PART = re.compile(
    rb'name="?(%b)"?[^\r\n]*\r?\n(?:[^\r\n]+\r?\n)*\r?\n([^\r\n]+)' % "|".join(sorted(SECRET_FIELDS)).encode("ascii"),
    re.IGNORECASE,
)


def redacted(secret: str) -> str:
    """What stands in a journal in a secret's place: enough to tell two apart, useless otherwise."""
    if _REDACTED.fullmatch(secret):
        return secret
    return f"redacted:{hashlib.sha256(secret.encode('utf-8')).hexdigest()[:8]}"


_SIGNATURE = re.compile(
    r"(?:(?<![\w.-])|(?<=26)|(?<=3f))"
    r"(?P<name>(?:x-(?:amz|goog)-)?signature|sig|x-amz-security-token)"
    r"(?P<equals>=|%(?:25)*3d)"
    r"(?P<value>(?:(?!%(?:25)*(?:26|23))[\w.~%+/=:!*$,@-]|\\u00(?:2[bf]|3d|25)|\\/){16,})",
    re.IGNORECASE | re.ASCII,
)
_PASSWORD = re.compile(r"(?P<before>:(?:\\?/){2}[^\s/?#@:\"'<>\\]*:)(?P<password>[^\s/?#@\"'<>\\]+)(?=@)")
_IN_JSON = re.compile(r"\\u00([0-9a-f]{2})|\\(/)", re.IGNORECASE)


def without_tokens(text: str) -> str:
    """A text with whatever looks like a signed token, or signs an address, replaced."""
    if "eyJ" in text:
        text = _TOKEN.sub(lambda found: found["before"] + redacted(found[0][len(found["before"]) :]), text)
    text = _PASSWORD.sub(lambda found: found["before"] + redacted(found["password"]), text)
    return _SIGNATURE.sub(_without_signature, text)


def _without_signature(found: re.Match[str]) -> str:
    value = _IN_JSON.sub(lambda each: each[2] or chr(int(each[1], 16)), found["value"])
    for _ in range(3):
        value = unquote(value)
    return f"{found['name']}{found['equals']}{redacted(value)}"


def redacted_url(url: str) -> str:
    """A URL with the secrets replaced that a client should not have put there."""
    if "?" not in url:
        return without_tokens(url)
    return without_tokens(_IN_A_QUERY.sub(lambda found: f"{found[1]}={redacted(found[2])}", url))


def redacted_headers(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Header names in lower case, secrets replaced; a scheme such as Bearer stays readable."""
    return [(n.lower(), _value(v) if n.lower() in SECRET_HEADERS else without_tokens(v)) for n, v in headers]


def _value(value: str) -> str:
    scheme, blank, rest = value.partition(" ")
    return f"{scheme} {redacted(rest)}" if blank else redacted(value)


def redacted_whole(content: bytes) -> bytes:
    """A body that may hold a secret anywhere: nothing of it is kept."""
    return redacted(content.decode("latin-1")).encode("ascii") if content else content


def without_strays(content: bytes) -> bytes:
    """A body in which no secret belongs: tokens replaced, or all of it where it names a secret."""
    if _NAMES_A_SECRET.search(content):
        return redacted_whole(content)
    return without_tokens(content.decode("latin-1")).encode("latin-1")


def redacted_form(content: bytes) -> bytes:
    """A form body with its secrets replaced; what is no form is replaced whole."""
    if not content:
        return content
    if b"\n" in content:
        return redacted_whole(content)
    try:
        fields = parse_qsl(content.decode("utf-8"), keep_blank_values=True, strict_parsing=True)
    except ValueError:
        return redacted_whole(content)
    if not all(_NAME.fullmatch(name) for name, _ in fields):
        return redacted_whole(content)

    def hidden(name: str, value: str) -> bool:
        return name.lower() in SECRET_FIELDS or _HOLDS_A_SECRET.search(value) is not None

    return urlencode([(name, redacted(value) if hidden(name, value) else value) for name, value in fields]).encode()


def redacted_json(content: bytes) -> bytes:
    """A token endpoint's answer with its tokens replaced."""
    try:
        answer = json.loads(content)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        if _HOLDS_A_SECRET.search(content.decode("latin-1")):
            return redacted_whole(content)
        return without_tokens(content.decode("latin-1")).encode("latin-1")
    return json.dumps(_hidden(answer)).encode("utf-8")


def _hidden(value: Any, fields: frozenset[str] = SECRET_FIELDS) -> Any:
    if isinstance(value, dict):
        return {
            name: redacted(one) if name.lower() in fields and isinstance(one, str) else _hidden(one, _BELOW)
            for name, one in value.items()
        }
    if isinstance(value, list):
        return [_hidden(one, _BELOW) for one in value]
    return without_tokens(value) if isinstance(value, str) else value


class Secrets:
    """Secrets that were seen in their proper places, so that they can be taken out of every other."""

    def __init__(self) -> None:
        self._forms: OrderedDict[str, list[str]] = OrderedDict()

    def learn(self, headers: list[tuple[str, str]], url: str, body: bytes) -> None:
        """Take in the secrets of a request, or of an answer."""
        for name, value in headers:
            if name.lower() in SECRET_HEADERS:
                scheme, _, rest = value.strip().partition(" ")
                self.keep(rest.strip() or scheme)
                if scheme.lower() == "basic":
                    self._keep_password(rest.strip())
        for name, value in parse_qsl(urlsplit(url).query):
            if name.lower() in SECRET_FIELDS:
                self.keep(value)
        if not any(each.encode("ascii") in body.lower() for each in SECRET_FIELDS):
            return
        try:
            self._learn_json(json.loads(body))
        except ValueError:
            for name, value in parse_qsl(body.decode("latin-1")):
                if name.lower() in SECRET_FIELDS:
                    self.keep(value)
        for found in _PART.finditer(body):
            self.keep(found[2].decode("utf-8", "replace"))

    def keep(self, secret: str) -> None:
        """Remember one, in each way in which it may be written."""
        if len(secret) < SHORTEST:
            return
        secret = secret.encode("utf-8", "replace").decode("utf-8")
        written = set(_in_base64(secret.encode("utf-8", "replace")))
        for each in _spelled(secret):
            written |= {each, quote(each, safe=""), quote_plus(each), quote(each), json.dumps(each)[1:-1]}
        self._forms[secret] = sorted(written, key=len, reverse=True)
        self._forms.move_to_end(secret)
        if len(self._forms) > REMEMBERED:
            self._forms.popitem(last=False)

    def without(self, text: str) -> str:
        """A text without any of them."""
        for secret, forms in reversed(self._forms.items()):
            for form in forms:
                if form in text:
                    text = text.replace(form, redacted(secret))
        return text

    def without_bytes(self, content: bytes) -> bytes:
        """A body without any of them."""
        for secret, forms in reversed(self._forms.items()):
            for encoded in (encoded for form in forms for encoded in _encoded(form)):
                if encoded in content:
                    content = content.replace(encoded, redacted(secret).encode("ascii"))
        return content

    def _keep_password(self, credentials: str) -> None:
        try:
            self.keep(base64.b64decode(credentials, validate=True).decode("utf-8").partition(":")[2])
        except ValueError:
            return  # it is no Basic authentication, whatever it says

    def _learn_json(self, value: Any) -> None:
        if isinstance(value, dict):
            for name, one in value.items():
                if isinstance(one, str) and name.lower() in _BELOW:
                    self.keep(one)
                else:
                    self._learn_json(one)
        elif isinstance(value, list):
            for one in value:
                self._learn_json(one)


def _spelled(secret: str) -> set[str]:
    """A secret, also as it looks where its UTF-8 was taken for Latin-1, and the other way round."""
    spelled = {secret, secret.encode("utf-8", "replace").decode("latin-1")}
    with contextlib.suppress(UnicodeError):
        spelled.add(secret.encode("latin-1").decode("utf-8"))
    return spelled


def _encoded(form: str) -> set[bytes]:
    encoded = {form.encode("utf-8", "replace")}
    with contextlib.suppress(UnicodeError):
        encoded.add(form.encode("latin-1"))
    return encoded


def _in_base64(content: bytes) -> Iterator[str]:
    """What of a secret stands in Base64 whatever stands before and behind it."""
    for before in range(3):
        whole = base64.b64encode(bytes(before) + content).decode("ascii").rstrip("=")
        core = whole[(before * 8 + 5) // 6 : (before + len(content)) * 8 // 6]
        if len(core) >= SHORTEST:
            yield core
            yield core.replace("+", "-").replace("/", "_")


# Bodies that go by

_PACKED = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


class Tap:
    """What of a body is kept: digest, length, and the beginning as far as it may be written out."""

    def __init__(self, encoding: str = "") -> None:
        self.length = 0
        self._digest = hashlib.sha256()
        self._begin = bytearray()
        window = _PACKED.get(encoding.strip().lower())
        self._packed = zlib.decompressobj(window) if window is not None else None

    def __call__(self, piece: bytes) -> bytes:
        """Take in what goes by, and let it go by: what mitmproxy wants of a stream."""
        self.add(piece)
        return piece

    def add(self, piece: bytes) -> None:
        """Take in the next bytes."""
        if self._packed is None:
            self._take(piece)
            return
        try:
            while piece:
                self._take(self._packed.decompress(piece, WRITTEN_OUT))
                piece = self._packed.unconsumed_tail
        except zlib.error:
            self._packed = None
            self._take(piece)

    @property
    def content(self) -> bytes | None:
        """All of it; None where it is too long to be written out."""
        return bytes(self._begin) if self.length <= WRITTEN_OUT else None

    def summary(self) -> dict[str, Any] | None:
        """Digest and length."""
        return {"sha256": self._digest.hexdigest(), "length": self.length} if self.length else None

    def _take(self, piece: bytes) -> None:
        self.length += len(piece)
        self._digest.update(piece)
        if self.length <= WRITTEN_OUT:
            self._begin += piece
        elif self._begin:
            self._begin.clear()


def body_of(content: bytes) -> dict[str, Any] | None:
    """A short body as a journal writes it."""
    if not content:
        return None
    told = {"sha256": hashlib.sha256(content).hexdigest(), "length": len(content)}
    try:
        return {"text": content.decode("utf-8"), **told}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content).decode("ascii"), **told}


def instant_text(seconds: float) -> str:
    """An instant that mitmproxy has noted, as journals write it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


# The addon


class Watch:
    """Writes what goes through mitmproxy into a journal."""

    def __init__(self) -> None:
        self.secrets = Secrets()
        self.bodies = False
        self._path = ""
        self._file: IO[bytes] | None = None
        self._lines = 0
        self._count = 0
        self._targets: OrderedDict[str, None] = OrderedDict()
        self._taps: dict[str, dict[str, Tap]] = {}

    # What mitmproxy calls

    def load(self, loader: Any) -> None:
        """Tell mitmproxy the options."""
        loader.add_option("popreceipt_journal", str, "", "Where to write the journal (NDJSON); a new file.")
        loader.add_option("popreceipt_bodies", bool, False, "Write out payloads too, up to 64 KiB each.")
        loader.add_option("popreceipt_secret_env", str, "", "Environment variables whose values are never written.")

    def configure(self, updated: set[str]) -> None:
        """Take in the options; a journal is begun once it is named."""
        options = importlib.import_module("mitmproxy.ctx").options
        self.bodies = bool(options.popreceipt_bodies)
        for name in str(options.popreceipt_secret_env).replace(",", " ").split():
            self.secrets.keep(os.environ.get(name, ""))
        if "popreceipt_journal" in updated and options.popreceipt_journal:
            try:
                self.begin(str(options.popreceipt_journal))
            except OSError as error:
                # mitmproxy ends where an error was logged before it had begun; a traceback would say no more.
                log.error("popreceipt_journal: cannot write %s: %s", options.popreceipt_journal, error.strerror)  # noqa: TRY400

    def running(self) -> None:
        """Say what is missing."""
        if self._file is None:
            log.error("popreceipt writes nothing: name a new file with --set popreceipt_journal=journal.ndjson")

    def requestheaders(self, flow: Any) -> None:
        """A long request goes by in pieces."""
        if self._concerns(flow) and _is_long(flow.request.headers):
            flow.request.stream = self._tap(flow, "request", flow.request.headers.get("content-encoding", ""))

    def responseheaders(self, flow: Any) -> None:
        """A long answer goes by in pieces."""
        if self._concerns(flow) and _is_long(flow.response.headers):
            flow.response.stream = self._tap(flow, "response", flow.response.headers.get("content-encoding", ""))

    def response(self, flow: Any) -> None:
        """A whole answer has come."""
        if self._concerns(flow):
            self.write(flow, None)

    def error(self, flow: Any) -> None:
        """No whole answer has come."""
        if self._concerns(flow):
            self.write(flow, _failure(flow))

    def done(self) -> None:
        """Nothing follows: mitmproxy ends."""
        if self._file is not None:
            self._line({"footer": True, "lines": self._lines + 1})
            self._file.close()
            self._file = None

    # The journal

    def begin(self, path: str) -> None:
        """Begin a journal in a new file, which only its owner may read."""
        self.done()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        self._file = os.fdopen(os.open(Path(path), flags, 0o600), "wb")
        self._lines = self._count = 0
        self._line(
            {
                "format": FORMAT,
                "recorded_by": "client",
                "target": {"name": "mitmproxy", "clock": "system"},
                "seed": None,
                "clock": "system",
                "rate": 1.0,
                "lease_seconds": None,
                "retention_seconds": None,
                "dialect": None,
            }
        )

    def write(self, flow: Any, failure: str | None) -> None:
        """Write down an exchange that has ended."""
        if self._file is None:
            return
        if not self._count:
            self._note(flow)
        request, response = flow.request, flow.response
        url, headers, taps = _url(flow), _pairs(request.headers), self._taps.pop(flow.id, {})
        sent = float(request.timestamp_start)
        asked, said = _content(request, taps.get("request")), _content(response, taps.get("response"))
        operation = operation_of(url)
        self.secrets.learn(headers, url, asked or b"")
        if response is not None:
            told = said if operation not in {"enqueue", "download"} else b""
            self.secrets.learn(_pairs(response.headers), "", told or b"")
        if operation == "other":
            operation = "token" if _is_token_form(headers, asked or b"") else "download"
        self._remember(operation, response, said or b"")
        self._count += 1
        exchange: dict[str, Any] = {
            "seq": self._count,
            "sent": instant_text(sent),
            "answered": instant_text(max(sent, _answered(flow))),
            "operation": operation,
            "request": {
                "method": request.method,
                "url": redacted_url(self.secrets.without(url)),
                "headers": self._headers(headers),
                "body": self._body(operation, asked, taps.get("request"), answer=False, ok=True),
            },
            "response": None,
            "failure": failure,
            "actor": None,
        }
        if response is not None:
            ok = failure is None and response.status_code < 300
            exchange["response"] = {
                "status": response.status_code,
                "headers": self._headers(_pairs(response.headers)),
                "body": self._body(operation, said, taps.get("response"), answer=True, ok=ok, failure=failure),
            }
        self._line(exchange)

    # Helpers, in the order they are used

    def _concerns(self, flow: Any) -> bool:
        """Whether a request is one of the recurring integrations, or for a token, or where one of those led to."""
        url = _url(flow)
        if operation_of(url) != "other" or _key(url) in self._targets:
            return True
        return _is_token_form(_pairs(flow.request.headers), _raw(flow.request) or b"")

    def _tap(self, flow: Any, side: str, encoding: str) -> Tap:
        made = self._taps.setdefault(flow.id, {})[side] = Tap(encoding)
        return made

    def _note(self, flow: Any) -> None:
        """Tell, before the first exchange, how it was watched and what cannot be seen."""
        reverse = _mode(flow) == "reverse"
        self._line(
            {
                "observation": "watched",
                "at": instant_text(float(flow.request.timestamp_start)),
                "upstream": _root(_url(flow)),
                "by": "mitmproxy",
                "relayed": reverse,
                "relocates": False,
                "unseen": ["download"] if reverse else [],
            }
        )

    def _remember(self, operation: str, response: Any, said: bytes) -> None:
        """Where an answer leads to is asked for next, under whatever name."""
        if response is None:
            return
        leads: list[str] = []
        if operation == "dequeue" and (found := _LOCATION.search(said)) is not None:
            leads.append(str(json.loads(found[1])))
        if operation == "download" and 300 <= response.status_code < 400:
            leads.append(str(response.headers.get("location", "")))
        for each in leads:
            self._targets[_key(each)] = None
            if len(self._targets) > REMEMBERED:
                self._targets.popitem(last=False)

    def _headers(self, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
        return redacted_headers([(name, self.secrets.without(value)) for name, value in headers])

    def _body(
        self,
        operation: str,
        content: bytes | None,
        tap: Tap | None,
        *,
        answer: bool,
        ok: bool,
        failure: str | None = None,
    ) -> dict[str, Any] | None:
        """A body as it is kept: without secrets, and of a payload digest and length alone."""
        if content is None or len(content) > WRITTEN_OUT:
            if tap is None:
                tap = Tap()
                tap.add(content or b"")
            return tap.summary()
        content = self.secrets.without_bytes(content)
        if operation == "token":
            whole = not answer or failure is None
            redact = (redacted_json if answer else redacted_form) if whole else redacted_whole
            return body_of(redact(content))
        payload = operation == ("download" if answer else "enqueue")
        if not payload or (answer and not ok):
            content = without_strays(content)
        body = body_of(content)
        if body is not None and payload and ok and not self.bodies:
            return {"sha256": body["sha256"], "length": body["length"]}
        return body

    def _line(self, members: dict[str, Any]) -> None:
        if self._file is not None:
            self._file.write(json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode("utf-8") + b"\n")
            self._file.flush()
            self._lines += 1


def _pairs(headers: Any) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers.fields]


def _content(message: Any, tap: Tap | None) -> bytes | None:
    """A body, unpacked; None where it is too long to be written out."""
    if tap is not None:
        return tap.content
    content: bytes | None = message.get_content(strict=False) if message is not None else None
    return content if content is not None else b""


def _raw(message: Any) -> bytes | None:
    content: bytes | None = message.raw_content
    return content


def _is_long(headers: Any) -> bool:
    length = str(headers.get("content-length", ""))
    return int(length) > WRITTEN_OUT if length.isdecimal() else "transfer-encoding" in headers


def _is_token_form(headers: list[tuple[str, str]], body: bytes) -> bool:
    form = any(name.lower() == "content-type" and "form-urlencoded" in value.lower() for name, value in headers)
    return form and b"grant_type=" in body


def _mode(flow: Any) -> str:
    return str(getattr(getattr(flow.client_conn, "proxy_mode", None), "type_name", "regular"))


def _url(flow: Any) -> str:
    """What was asked for: by the name that the client used, or (in reverse mode) the environment's own."""
    return str(flow.request.url if _mode(flow) == "reverse" else flow.request.pretty_url)


def _root(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _key(url: str) -> str:
    """Path and query of a URL: a location may be asked for by another scheme and port than it names."""
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


def _answered(flow: Any) -> float:
    """When the last of the answer came, or when it was known that none would."""
    known = [flow.request.timestamp_end]
    if flow.response is not None:
        known += [flow.response.timestamp_start, flow.response.timestamp_end]
    if flow.error is not None:
        known.append(flow.error.timestamp)
    return max((float(each) for each in known if each is not None), default=float(flow.request.timestamp_start))


def _failure(flow: Any) -> str:
    """The journal's word for how a request failed."""
    said = str(flow.error.msg if flow.error is not None else "").lower()
    if "client" in said and ("disconnect" in said or "closed" in said):
        return "abandoned"
    if "timed out" in said or "timeout" in said:
        return "timeout"
    if "certificate" in said or "refused" in said or "connect call failed" in said or "cannot connect" in said:
        return "refused"
    return "truncated" if flow.response is not None else "reset"


addons = [Watch()]
