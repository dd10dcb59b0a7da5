"""Where a client sends what: its token, and whom it trusts; and whether it outlives a fault that passes.

What never became a request to the connector is known only where an instrument listened. A recording of real traffic may
hold calls to other services with other tokens: only the token that the connector was shown counts.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import urlsplit

from popreceipt import vocabulary
from popreceipt.rules.facts import Call, Connection, Download, Enqueue, Token
from popreceipt.rules.readings import Readings
from popreceipt.rules.rule import CLIENT, CLIENT_OBSERVED, MUST, SHOULD, client, rule, standard
from popreceipt.rules.submissions import BUSY, IMPORT_SIDE
from popreceipt.verdict import Finding, held, undecided, violated

SCHEDULER: Final = "microsoft/Recurring-Integrations-Scheduler"

CLEAR_TEXT: Final = "clear-text"
ELSEWHERE: Final = "elsewhere"
TLS_FAILED: Final = "tls-failed"

PACE: Final = 3
"""So many calls show how often a client asks; in a recording it may be once a day."""

ASKED_ANYWAY: Final = frozenset({vocabulary.DEQUEUE, vocabulary.TOKEN, vocabulary.MESSAGE_STATUS, vocabulary.JOBSTATUS})
"""What a client asks again and again whatever comes. Of other calls a fault may be their end (a file that is gone)."""

STORAGE: Final = ".blob.core.windows.net"
"""How the names of the public cloud's blob storage end: no environment is there."""

_HIDDEN: Final = re.compile(r"redacted:[0-9a-f]{8}")
_SECRET: Final = re.compile(r"(?:^|[?&])(access_token|client_secret|id_token)=([^&#]+)", re.IGNORECASE)


@rule(
    "transport.token-not-in-clear",
    text="Where the environment speaks TLS, a client sends no bearer token in clear text.",
    source=standard("RFC 6750", "5.3"),
    reading="To the environment's own host, at whatever port. What goes to another host is another rule's.",
    level=MUST,
    binds=CLIENT,
    statements=(71, 72),
)
def token_not_in_clear(journal: Readings) -> Iterator[Finding]:
    """Requests in clear text to a host that is otherwise asked by TLS; once, that there were none."""
    if journal.relayed:
        return  # how the client spoke to the recorder in between was somebody's choice, and is not told
    conduct = journal.conduct
    told = journal.scenario is not None and journal.scenario.tls
    secured = next((each for each in journal.calls if _in_tls(each) and each.token and conduct.is_own(each.root)), None)
    if not told and secured is None:
        return
    leaked = False
    secure = frozenset(each.root for each in journal.calls if _in_tls(each) and each.token)
    for each in journal.connections:
        if each.kind == CLEAR_TEXT and each.token is not None and conduct.is_own(each.root):
            leaked = True
            yield violated(f"a token in clear text: {_said(each)}", *_before(journal, each))
    for call in journal.calls:
        if call.token is None or not call.root.startswith("http://") or not conduct.is_own(call.root):
            continue
        if told or _beside(call.root, secure):
            leaked = True
            yield violated(f"a token in clear text: {call.method} {call.root}{call.path}", call)
    if not leaked and secured is not None:
        yield held("by TLS", secured)


def _in_tls(call: Call) -> bool:
    return call.root.startswith("https://")


def _beside(root: str, secure: frozenset[str]) -> bool:
    """Whether a root without TLS is that of a service which was asked by TLS too: its host, and its port or none."""
    host, port = _address(root)
    return any(host == other and port in (None, 80, own) for other, own in map(_address, secure))


def _address(root: str) -> tuple[str, int | None]:
    parts = urlsplit(root)
    try:
        return parts.hostname or "", parts.port
    except ValueError:
        return parts.hostname or "", None


def _said(connection: Connection) -> str:
    return f"{connection.method or 'something'} {connection.root}{connection.path}"


def _before(journal: Readings, connection: Connection) -> tuple[Call, ...]:
    """The last exchange before something that is none, so that a reader finds the place."""
    found = journal.submissions.last_before(connection.place)
    return () if found is None else (found,)


@rule(
    "transport.token-to-own-host-only",
    text="A client sends its token to the environment's own host and to no other.",
    source=standard("RFC 6750", "5.3"),
    reading="Neither to a host that a DownloadLocation names nor to one that a redirect leads to. Names of the "
    "loopback address are one. Without an instrument nobody tells what names the environment has, or for whom else a "
    "token is: then only what follows a redirect, or goes to the blob storage, is convicted.",
    level=MUST,
    binds=CLIENT,
    statements=(4,),
)
def token_to_own_host_only(journal: Readings) -> Iterator[Finding]:
    """What reached other hosts, and locations that lead to another without a token going there."""
    conduct = journal.conduct
    leaked = False
    for each in journal.connections:
        if each.kind not in (ELSEWHERE, CLEAR_TEXT) or conduct.is_own(each.root):
            continue
        if each.token is not None:
            leaked = True
            yield violated(f"a token for another host: {_said(each)}", *_before(journal, each))
        elif each.kind == ELSEWHERE:
            yield held(f"without a token: {_said(each)}", *_before(journal, each))
    shown = {each.token for each in journal.calls if each.token is not None and _connectors(journal, each)}
    for call in journal.calls:
        if _own(journal, call):
            continue
        if call.token is not None and call.token in shown:
            leaked = True
            where = f"{call.method} {call.root}{call.path}"
            if journal.scenario is None and not _surely_elsewhere(call):
                yield undecided(
                    f"perhaps the environment by another name, or another for which the token is: {where}", call
                )
            else:
                yield violated(f"a token for another host: {where}", call)
        elif call.token is None and isinstance(call, Download):
            yield held(f"without a token: {call.method} {call.root}{call.path}", call)
    if journal.connections and leaked:
        return
    for delivery in journal.dequeues:
        root = delivery.location_root
        if journal.scenario is not None and delivery.ok and root is not None and not conduct.is_own(root.lower()):
            yield held(f"the location names {root}, and no token went there", delivery)


def _surely_elsewhere(call: Call) -> bool:
    """Whether a call went to a host of which a recording tells that it is none of the environment's names."""
    return (isinstance(call, Download) and call.hop) or _address(call.root)[0].endswith(STORAGE)


def _own(journal: Readings, call: Call) -> bool:
    """Whether a call went to the environment's own host: what an instrument wrote down reached it under any name."""
    if journal.scenario is not None:
        return call.root not in journal.scenario.other_roots
    return not call.root or journal.conduct.is_own(call.root) or _connectors(journal, call)


def _connectors(journal: Readings, call: Call) -> bool:
    """Whether a call was surely for the environment: it asked there for what only an environment does.

    A recording that begins in the middle may hold no more of it than downloads.
    """
    own = journal.conduct.is_own(call.root)
    return own or (journal.scenario is None and not journal.conduct.roots and call.operation == vocabulary.DOWNLOAD)


@rule(
    "transport.token-not-in-the-url",
    text="A client puts no token and no secret into a URL.",
    source=standard("RFC 6750", "5.3"),
    reading="RFC 6750, section 2.3, knows the parameter access_token and advises against it: URLs are written to logs.",
    level=SHOULD,
    binds=CLIENT,
    statements=(5,),
)
def token_not_in_the_url(journal: Readings) -> Iterator[Finding]:
    """Each URL with a token or a secret in it; once, that there was none although tokens were sent."""
    tokens = {each.token for each in journal.calls if each.token} | set(journal.issued_tokens)
    clean = None
    found = False
    for call in journal.calls:
        url = f"{call.path}?{call.location if isinstance(call, Download) else call.query}"
        if _tells(url, tokens):
            found = True
            yield violated(f"in the URL of a {call.method} for {call.operation}", call)
        elif call.token is not None:
            clean = clean or call
    for each in journal.connections:
        if _tells(f"{each.path}?{each.query}", tokens):
            found = True
            yield violated(f"in the URL of {_said(each)}", *_before(journal, each))
    if not found and clean is not None:
        yield held("in no URL", clean)


def _tells(url: str, tokens: set[str]) -> bool:
    if any(each in tokens for each in _HIDDEN.findall(url)):
        return True
    return any(_HIDDEN.search(value) is not None or len(value) > 20 for _, value in _SECRET.findall(url))


@rule(
    "transport.certificate-checked",
    text="Where the certificate is of no authority that it trusts, a client sends no request.",
    source=standard("RFC 6750", "5.3"),
    reading="Known only where an instrument shows a certificate of another authority than it told the client of.",
    level=MUST,
    binds=CLIENT,
    statements=(4,),
)
def certificate_checked(journal: Readings) -> Iterator[Finding]:
    """In a scenario with a foreign certificate: each request that came all the same, else that a handshake failed."""
    if journal.scenario is None or not journal.scenario.foreign_certificate:
        return
    came = [each for each in journal.calls if _in_tls(each)]
    for call in came:
        yield violated("a request, whatever the certificate", call)
    if not came and any(each.kind == TLS_FAILED for each in journal.connections):
        yield held("the client broke the connection off")


@rule(
    "transport.passing-fault-outlived",
    text="A client outlives a fault that passes: it goes on, and asks again for what it did not get.",
    source=client(SCHEDULER, "issues 54 and 142: one 502 stops the job until somebody resumes it"),
    reading="A fault of the server or of a gateway, a throttled call, a connection that broke. At once, with the next "
    "run, or when a message comes back. An enqueue in doubt need not be repeated. Given a lease and a half, and "
    "thrice the client's own longest pause; a client that is slower needs a longer lease. Without an instrument only "
    "what a client asks again and again is judged, once its pace was seen.",
    level=SHOULD,
    provenance=CLIENT_OBSERVED,
    binds=CLIENT,
)
def passing_fault_outlived(journal: Readings) -> Iterator[Finding]:
    """Each call that met with such a fault, and what was asked after it."""
    conduct, submissions = journal.conduct, journal.submissions
    for place, call in enumerate(journal.calls):
        if call.ok or not (call.in_doubt or call.status in BUSY):
            continue
        if call.seq not in submissions.struck and call.operation not in ASKED_ANYWAY:
            continue
        if journal.scenario is not None and call.seq not in submissions.struck:
            continue  # not by plan: nothing says that it passes
        again = next((each for each in submissions.after(place) if _goes_on(call, each)), None)
        failed = call.failure or str(call.status)
        if again is not None:
            yield held(f"went on after {failed}", call, again)
        elif isinstance(call, Enqueue) and submissions.lost(call):
            continue
        elif conduct.crashed(conduct.life_at(call)) and not _others(submissions.after(place), call):
            yield violated(f"the client ended after {failed}, and reports a problem", call)
        elif submissions.patient(call, _same(journal, call)) and _paced(journal, call):
            yield violated(f"after {failed} the client never asked for it again", call)
        else:
            yield undecided(f"soon after {failed} it was over", call)


def _goes_on(call: Call, other: Call) -> bool:
    """Whether a later call shows that the client got over a fault of an earlier one."""
    if other.operation == call.operation:
        return True
    if call.operation in (vocabulary.ACK, vocabulary.DOWNLOAD):
        return other.operation == vocabulary.DEQUEUE  # it waits for the message to come back
    return call.operation in IMPORT_SIDE and other.operation in IMPORT_SIDE


def _others(later: Iterable[Call], call: Call) -> bool:
    """Whether the client did more than ask for a token after a call."""
    return any(not isinstance(each, Token) for each in later) and not isinstance(call, Token)


def _paced(journal: Readings, call: Call) -> bool:
    """Whether it was seen how often the client asks; an instrument tells it what pace is wanted."""
    return journal.scenario is not None or len(_same(journal, call)) >= PACE


def _same(journal: Readings, call: Call) -> list[Call]:
    return [each for each in journal.calls if each.operation == call.operation and each.seq <= call.seq]
