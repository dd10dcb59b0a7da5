"""How a client fetches a file: from where, by which scheme and port, with what, and again where it failed."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from popreceipt import vocabulary
from popreceipt.rules.conduct import Conduct, Handout, asked_for, before
from popreceipt.rules.facts import Connection, Download
from popreceipt.rules.readings import Readings
from popreceipt.rules.rule import CLIENT, CLIENT_OBSERVED, MUST, SHOULD, article, client, rule
from popreceipt.verdict import Finding, held, undecided, violated

SECTION: Final = "API for export (dequeue)"
HTTPS_SECTION: Final = "Http vs Https"
POWERSHELL: Final = "d365collaborative/d365fo.integrations"
SCHEDULER: Final = "microsoft/Recurring-Integrations-Scheduler"

CHALLENGED: Final = timedelta(seconds=5)
"""A client that waits to be asked for its token sends it within this time."""

_USUAL_PORT: Final = 80


@rule(
    "download.from-the-location",
    text="What is fetched is the DownloadLocation of a delivery, its path and query unchanged.",
    source=article(SECTION),
    reading="Percent-encoding aside. The same parameters in another order are undecided, and so is a location that may "
    "have been handed out before the journal began: any that is not one of the journal's with something left out, or "
    "encoded or spelled anew.",
    level=MUST,
    binds=CLIENT,
    statements=(33,),
)
def from_the_location(journal: Readings) -> Iterator[Finding]:
    """Each download, those left out to which another was redirected."""
    conduct = journal.conduct
    given: dict[str, Handout] = {}
    handouts = iter([*conduct.handouts])
    following = next(handouts, None)
    for each in journal.downloads:
        while following is not None and (following.delivery.sent, following.delivery.seq) < (each.sent, each.seq):
            if following.delivery.location is not None:
                given.setdefault(unquote(following.delivery.location), following)
            following = next(handouts, None)
        if each.hop or conduct.made_up_for(each) is not None:
            continue  # The latter zero-records.no-file-understood judges
        one = given.get(unquote(each.location))
        if one is not None:
            yield held("", one.delivery, each)
        else:
            yield _elsewhere(conduct, list(given.values()), each)


def _elsewhere(conduct: Conduct, given: list[Handout], download: Download) -> Finding:
    path, parameters = _parts(download.location)
    for one in given:
        known, its_parameters = _parts(one.delivery.location or "")
        if sorted(parameters) == sorted(its_parameters) and known == path:
            return undecided("the parameters of a location in another order", one.delivery, download)
        if conduct.scenario is None and not _made_from(download.location, one.delivery.location or ""):
            continue  # what they have in common, all locations may have
        if set(parameters) & set(its_parameters) or conduct.scenario is None:
            return violated("a location that was altered", one.delivery, download)
    if conduct.scenario is not None:
        return violated("a location that no dequeue has handed out", download)
    return undecided("a location that the journal does not have", download)


def _made_from(asked: str, given: str) -> bool:
    """Whether a location is another with its parameters left out, or the same in another encoding or letter case."""
    path, parameters = _parts(asked)
    known, its_parameters = _parts(given)
    if path == known and set(parameters) < set(its_parameters):
        return True
    return _plain(asked) == _plain(given)


def _plain(location: str) -> str:
    """A location in lower case, with whatever is encoded, once or twice, decoded."""
    return unquote(unquote(location)).casefold()


def _parts(location: str) -> tuple[str, list[tuple[str, str]]]:
    path, _, query = location.partition("?")
    return unquote(path), parse_qsl(query, keep_blank_values=True)


@rule(
    "download.https-for-http",
    text="Where DownloadLocation says http, the file is fetched by https.",
    source=article(HTTPS_SECTION),
    reading="On a target that is asked by https, for locations on its own host. A request in clear text breaks it, "
    "whether it was answered or not; where nothing was seen at all it is undecided.",
    level=MUST,
    binds=CLIENT,
    statements=(71, 72),
)
def https_for_http(journal: Readings) -> Iterator[Finding]:
    """Each message whose location says http."""
    conduct = journal.conduct
    if not conduct.speaks_tls:
        return
    in_clear = [each for each in journal.connections if each.kind == "clear-text" and each.method is not None]
    unclaimed = {each.place for each in in_clear if _is_download(each)}
    for group in conduct.messages:
        named = [each for each in group if _says_http(conduct, each)]
        if not named:
            continue
        one = named[0]
        seen = [each for each in in_clear if asked_for(each, one.delivery)]
        unclaimed -= {each.place for each in seen}
        downloads = [each for other in named for each in other.downloads if not each.hop]
        clear = next((each for each in downloads if each.root.startswith("http://")), None)
        if clear is not None:
            yield violated("fetched by http", one.delivery, clear)
        elif seen:
            yield violated("asked for in clear text", one.delivery)
        elif downloads:
            yield held("", one.delivery, downloads[0])
        else:
            yield undecided("nothing was seen of its download", one.delivery)
    if unclaimed:
        yield violated("a file was asked for in clear text")


def _says_http(conduct: Conduct, one: Handout) -> bool:
    root = one.delivery.location_root or ""
    return one.has_file and root.lower().startswith("http://") and conduct.is_own(root.lower())


def _is_download(connection: Connection) -> bool:
    return connection.method == "GET" and vocabulary.operation_of(connection.path)[0] == vocabulary.DOWNLOAD


@rule(
    "download.port-that-answers",
    text="With https for http, a missing port or port 80 becomes the port at which the connector speaks https.",
    source=client(POWERSHELL, "drops the :80 of a DownloadLocation with its http"),
    reading="The port of the base URL, or 443. Where nothing was seen at all it is undecided.",
    level=SHOULD,
    provenance=CLIENT_OBSERVED,
    binds=CLIENT,
    statements=(72,),
)
def port_that_answers(journal: Readings) -> Iterator[Finding]:
    """Each message whose location says http, with port 80 or none."""
    conduct = journal.conduct
    if not conduct.speaks_tls:
        return
    kept = [each for each in journal.connections if each.kind == "connect" and _port(each.root) == _USUAL_PORT]
    for group in conduct.messages:
        one = next((each for each in group if _says_http(conduct, each) and _usual(each)), None)
        if one is None:
            continue
        downloads = [each for other in group for each in other.downloads if each.root.startswith("https://")]
        at_80 = next((each for each in downloads if _port(each.root) == _USUAL_PORT), None)
        if at_80 is not None or any(each.place > one.delivery.seq and conduct.is_own(_url(each)) for each in kept):
            yield violated("asked for at port 80", one.delivery, *([at_80] if at_80 is not None else []))
        elif downloads:
            yield held("", one.delivery, downloads[0])
        elif _in_vain(conduct, group):
            yield violated(f"handed out {len(group)} times, and nothing came to the port that answers", one.delivery)
        else:
            yield undecided("nothing was seen of its download", one.delivery)


def _in_vain(conduct: Conduct, group: list[Handout]) -> bool:
    """Whether a client that lived on was handed a message again and again, and none of its requests arrived."""
    first = group[0].delivery
    known = conduct.scenario is not None and len(group) > 1 and conduct.had_time_for(group, first)
    if not known or conduct.acks_of(group) or conduct.hindered(first):
        return False
    return not any(each.downloads for each in group) and not any(
        asked_for(each, first) for each in conduct.journal.connections
    )


def _url(connection: Connection) -> str:
    """The root that a CONNECT names, which may be a host and a port alone."""
    return connection.root if "://" in connection.root else f"https://{connection.root}"


def _port(root: str) -> int | None:
    try:
        return urlsplit(root if "://" in root else f"https://{root}").port
    except ValueError:
        return None


def _usual(one: Handout) -> bool:
    return _port(one.delivery.location_root or "") in (None, _USUAL_PORT)


@rule(
    "download.with-the-token",
    text="A download from the connector's own host carries the bearer token.",
    source=article("Authorization"),
    reading="Every call of the API is authorised alike. A first try without, repeated with the token, is undecided; a "
    "recording without any token tells nothing, and in clear text none is wanted.",
    level=MUST,
    binds=CLIENT,
    statements=(4, 5, 33),
)
def with_the_token(journal: Readings) -> Iterator[Finding]:
    """Each download from the target's own host, those left out to which another was redirected."""
    conduct = journal.conduct
    shown = {each.activity for each in journal.calls if each.token is not None}
    told = journal.header.recorded_by == "service"
    for each in journal.downloads:
        if each.hop or not conduct.is_own(each.root) or (conduct.speaks_tls and each.root.startswith("http://")):
            continue
        if each.token is not None:
            yield held("", each)
        elif not told and not (each.activity in shown if each.activity is not None else shown):
            yield undecided("the recording has no token of any request for this job", each)
        elif (again := _with_token(conduct, each)) is not None:
            yield undecided(f"first without, which was answered with {each.status}, then with it", each, again)
        elif each.status == 401 and conduct.is_last(each):
            yield undecided("without, which was refused, and nothing came after it", each)
        elif each.status == 401 and conduct.scenario is None and _soon_over(conduct, each):
            yield undecided("without, which was refused, and soon it was over", each)
        else:
            yield violated("without a token", each)


def _soon_over(conduct: Conduct, refused: Download) -> bool:
    """Whether a recording ends before another worker of the client need have repeated what was refused."""
    end = conduct.end_of(refused)
    return end is None or end - refused.answered < CHALLENGED


def _with_token(conduct: Conduct, refused: Download) -> Download | None:
    if refused.status != 401:
        return None
    return next(
        (
            each
            for each in conduct.journal.downloads
            if each.location == refused.location and each.token is not None and before(refused, each)
        ),
        None,
    )


@rule(
    "download.tried-again",
    text="A download that failed or was cut is tried again, at once or when the message comes back.",
    source=client(POWERSHELL, "repeats a download that failed with 500"),
    reading="Failed as the client saw it: a fault of the server, 408, 429, no whole answer; not a file that is gone. "
    "The client needs a lease and a half.",
    level=SHOULD,
    provenance=CLIENT_OBSERVED,
    binds=CLIENT,
    statements=(33,),
)
def tried_again(journal: Readings) -> Iterator[Finding]:
    """The first failure among the downloads of each message."""
    conduct = journal.conduct
    for group in conduct.messages:
        attempts = conduct.attempts(group)
        failed = next((each for each in attempts if conduct.failed(each) and not conduct.gone(each)), None)
        if failed is None or any(each.digest is not None and each.seq < failed.seq for each in attempts):
            continue
        again = next((each for each in attempts if before(failed, each)), None)
        if again is not None:
            yield held("", failed, again)
        else:
            yield _given_up(conduct, group, failed)


def _given_up(conduct: Conduct, group: list[Handout], failed: Download) -> Finding:
    text = f"a download that failed ({failed.failure or failed.status}) was not repeated"
    acks = [each for each in conduct.acks_of(group) if each.seq > failed.seq]
    if any(each.digest is not None and each.seq > failed.seq for one in group for each in one.downloads):
        return undecided(f"{text}, unless the file came by another way", failed)
    if conduct.gone(failed) is None:
        return undecided(f"{text}, unless the file is gone", failed)
    if acks:
        return violated(f"{text}, and the message acknowledged", failed, acks[0])
    if conduct.hindered(failed):
        return undecided(f"{text}: the client was turned away", failed)
    if not conduct.had_time_for(group, failed):
        return undecided(f"{text}, as far as the journal goes", failed)
    if _came_as_another(conduct, group, failed):
        return undecided(f"{text}, unless it came back under another name", failed)
    return violated(text, failed)


def _came_as_another(conduct: Conduct, group: list[Handout], failed: Download) -> bool:
    """Whether a later delivery that was not its first may be the same message under another CorrelationId."""
    return any(
        each.delivery.seq > failed.seq
        and each.downloads
        and each not in group
        and each.delivery.activity == group[0].delivery.activity
        and conduct.delivered_unseen(conduct.message_of(each))
        for each in conduct.handouts
    )
