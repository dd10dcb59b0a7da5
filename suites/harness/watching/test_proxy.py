"""The recording proxy between a client and an environment: both are served, and the journal tells the truth of it."""

import gzip
import hashlib
import json
import re
import socket
import struct
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import httpx
import pytest
from jsonschema import Draft202012Validator

from popreceipt import resources
from popreceipt.clock import SystemClock
from popreceipt.emulator.emulator import Emulator
from popreceipt.emulator.profile import dialect
from popreceipt.emulator.server import HttpServer
from popreceipt.rules import catalogue
from popreceipt.rules.readings import Readings
from popreceipt.verdict import Binds, Outcome, judge

FILE = b"CUSTOMERGROUPID,DESCRIPTION,PAYMENTTERMID\r\nA,b,\r\n"


def test_an_export_is_carried_whole_and_judged(watch, environment, client) -> None:
    """Dequeue, download and acknowledgment all come by the proxy; the environment has its own words back."""
    with watch(environment.base_url) as watching:
        middleware = client(watching.base_url)
        assert middleware.token().status_code == 200
        produced = middleware.produce()
        delivery = middleware.dequeue()
        location = delivery.json()["DownloadLocation"]
        assert location.startswith(watching.base_url)
        file = middleware.http.get(location)
        assert hashlib.sha256(file.content).hexdigest() == produced.sha256
        assert middleware.acknowledge(delivery.content).status_code == 200
        assert middleware.dequeue().status_code == 204
    (taken, _), (fetched,), (acked,) = (watching.of(each) for each in ("dequeue", "download", "ack"))
    assert taken.response.body.text == acked.request.body.text
    assert json.loads(taken.response.body.text)["DownloadLocation"] == fetched.request.url
    assert watching.base_url not in watching.file.getvalue().decode()
    assert fetched.response.body.digest() == produced.sha256
    assert fetched.response.body.content() is None
    assert watching.journal.complete is False  # not read yet
    journal = watching.journal
    verdicts = judge(Readings(journal.header, journal), catalogue(Binds.CLIENT))
    assert journal.complete
    assert [each.id for each in verdicts if each.outcome is Outcome.VIOLATED] == []
    held = {each.id for each in verdicts if each.outcome is Outcome.HELD}
    assert {
        "acknowledgment.after-a-whole-download",
        "acknowledgment.whole-answer",
        "download.from-the-location",
    } <= held


def test_the_service_is_judged_by_the_same_journal(watch, environment, client) -> None:
    """What the environment itself said stands there: the rules that bind it find nothing wrong."""
    with watch(environment.base_url) as watching:
        middleware = client(watching.base_url)
        middleware.token()
        middleware.produce()
        delivery = middleware.dequeue()
        middleware.http.get(delivery.json()["DownloadLocation"])
        middleware.acknowledge(delivery.content)
    journal = watching.journal
    verdicts = judge(Readings(journal.header, journal), catalogue(Binds.SERVICE))
    assert [each.id for each in verdicts if each.outcome is Outcome.VIOLATED] == []
    held = {each.id for each in verdicts if each.outcome is Outcome.HELD}
    assert {"download.location-is-absolute", "dequeue.answer-members", "acknowledgment.echo-accepted"} <= held


def test_an_import_is_carried(watch, environment, client) -> None:
    """The file arrives as it was sent, announced or in chunks, and its message's ID comes back."""
    with watch(environment.base_url) as watching:
        middleware = client(watching.base_url)
        middleware.token()
        whole = middleware.enqueue(FILE)
        chunked = middleware.enqueue(iter([FILE[:10], FILE[10:]]))
    assert (whole.status_code, chunked.status_code) == (200, 200)
    first, second = watching.of("enqueue")
    assert first.request.body.digest() == second.request.body.digest() == hashlib.sha256(FILE).hexdigest()
    assert (first.request.body.text, first.request.body.length) == (None, len(FILE))
    assert first.response.body.text == whole.text
    assert ("transfer-encoding", "chunked") in second.request.headers


def test_bodies_are_written_out_where_they_are_wanted(watch, environment, client) -> None:
    """With `bodies` a short file stands in the journal."""
    with watch(environment.base_url, bodies=True) as watching:
        middleware = client(watching.base_url)
        middleware.token()
        middleware.enqueue(FILE)
        middleware.enqueue(b"x" * 70_000)
    short, long = watching.of("enqueue")
    assert short.request.body.content() == FILE
    assert (long.request.body.content(), long.request.body.length) == (None, 70_000)


def test_tls_on_both_sides(watch, emulator, client) -> None:
    """The environment's certificate is checked, and the middleware can check the proxy's."""
    with (
        HttpServer(emulator, tls=True) as environment,
        watch(environment.base_url, verify=environment.ca_file, tls=True) as watching,
    ):
        middleware = client(watching.base_url, verify=_context(watching.ca_file))
        assert middleware.token().status_code == 200
        middleware.produce()
        delivery = middleware.dequeue()
        # The environment names http, as it may; the client is told the proxy, by its own scheme.
        assert delivery.json()["DownloadLocation"].startswith(watching.base_url)
        assert middleware.http.get(delivery.json()["DownloadLocation"]).status_code == 200
        assert middleware.acknowledge(delivery.content).status_code == 200
    (taken,) = watching.of("dequeue")
    assert json.loads(taken.response.body.text)["DownloadLocation"].startswith("http://127.0.0.1")
    verdicts = judge(Readings(watching.journal.header, watching.journal), catalogue(Binds.CLIENT))
    by_id = {each.id: each.outcome for each in verdicts}
    # How the client spoke to the proxy tells nothing of how it would speak to the environment.
    for rule in ("download.https-for-http", "download.port-that-answers", "transport.token-not-in-clear"):
        assert by_id[rule] is Outcome.UNEXERCISED


def test_a_certificate_that_is_not_trusted(watch, emulator, client) -> None:
    """Nothing is sent there, and the client and whoever started the proxy are told why."""
    with HttpServer(emulator, tls=True) as environment, watch(environment.base_url) as watching:
        answer = client(watching.base_url).dequeue()
    assert answer.status_code == 502
    assert "--ca" in answer.text
    assert "--ca" in watching.said[0]
    (exchange,) = watching.exchanges
    assert (exchange.response, exchange.failure) == (None, "refused")


def _context(ca_file: object) -> object:
    import ssl

    return ssl.create_default_context(cafile=str(ca_file))


# What the client says of the proxy


def test_an_acknowledgment_in_other_words_names_the_environment_again(watch, environment, client) -> None:
    """A client that parses the answer and writes it anew is understood as well."""
    with watch(environment.base_url) as watching:
        middleware = client(watching.base_url)
        middleware.token()
        middleware.produce()
        told = middleware.dequeue().json()
        written = json.dumps(dict(reversed(told.items())), indent=2).encode()
        assert middleware.acknowledge(written).status_code == 200
    (taken,), (acked,) = watching.of("dequeue"), watching.of("ack")
    assert json.loads(acked.request.body.text) == json.loads(taken.response.body.text)


def test_a_token_for_the_proxy_is_one_for_the_environment(watch, environment, client) -> None:
    """A client that takes the address it calls for the resource gets a token that counts there."""
    with watch(environment.base_url) as watching:
        middleware = client(watching.base_url, resource=watching.base_url)
        assert middleware.token().status_code == 200
        assert middleware.dequeue().status_code == 204
    (asked,) = watching.of("token")
    assert "127.0.0.1%3A" in asked.request.body.text
    assert watching.base_url.rpartition(":")[2] not in asked.request.body.text


def test_token_requests_may_go_elsewhere(watch, environment, client, odd) -> None:
    """With a token endpoint of its own the environment is asked for nothing but the API."""
    said = b'{"access_token": "a-token-that-nobody-knows", "expires_in": 3599, "token_type": "Bearer"}'
    issuer = odd(lambda connection: connection.sendall(_answer(said)))
    with watch(environment.base_url, token_upstream=issuer.base_url) as watching:
        middleware = client(watching.base_url)
        assert middleware.token().status_code == 200
        assert middleware.dequeue().status_code == 401
    assert issuer.requests[0].startswith(b"POST /")
    assert f"host: 127.0.0.1:{issuer.port}".encode() in issuer.requests[0].lower()
    (asked,) = watching.of("token")
    assert asked.request.url.startswith(issuer.base_url)
    assert b"a-token-that-nobody-knows" not in watching.file.getvalue()


def test_downloads_may_be_left_to_the_environment(watch, environment, client) -> None:
    """Then the answer stays as it is, and no rule concludes anything from downloads that nobody saw."""
    with watch(environment.base_url, relocates=False) as watching:
        middleware = client(watching.base_url)
        middleware.token()
        middleware.produce()
        delivery = middleware.dequeue()
        location = delivery.json()["DownloadLocation"]
        assert location.startswith(environment.base_url)
        assert middleware.http.get(location).status_code == 200
        assert middleware.acknowledge(delivery.content).status_code == 200
    assert watching.of("download") == []
    assert watching.observations[0].facts["unseen"] == ["download"]
    verdicts = judge(Readings(watching.journal.header, watching.journal), catalogue(Binds.CLIENT))
    assert [each.id for each in verdicts if each.outcome is Outcome.VIOLATED] == []
    by_id = {each.id: each.outcome for each in verdicts}
    assert by_id["acknowledgment.after-a-whole-download"] is Outcome.UNDECIDED


def test_a_redirect_to_the_environment_comes_by_the_proxy(watch, client) -> None:
    """A download that is redirected on the environment's own host is followed by the proxy too."""
    emulator = Emulator(SystemClock(), dialect("download.answer=redirect"))
    with HttpServer(emulator) as environment, watch(environment.base_url) as watching:
        middleware = client(watching.base_url, emulator=emulator)
        middleware.token()
        produced = middleware.produce()
        delivery = middleware.dequeue()
        file = middleware.http.get(delivery.json()["DownloadLocation"], follow_redirects=True)
        assert hashlib.sha256(file.content).hexdigest() == produced.sha256
        assert middleware.acknowledge(delivery.content).status_code == 200
        assert file.history[0].headers["location"].startswith(watching.base_url)
    verdicts = judge(Readings(watching.journal.header, watching.journal), catalogue(Binds.CLIENT))
    by_id = {each.id: each.outcome for each in verdicts}
    assert by_id["acknowledgment.after-a-whole-download"] is Outcome.HELD


# What goes wrong


def _answer(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    listed = [b"HTTP/1.1 " + status, b"content-length: %d" % len(body), b"content-type: application/json", *headers]
    return b"\r\n".join([*listed, b"connection: close", b"", body])


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


DEQUEUE = "/api/connector/dequeue/6f1a4f2e-0000-4000-8000-000000000001"
DOWNLOAD = "/api/connector/download/6f1a4f2e-0000-4000-8000-000000000001?correlation-id=1&blob=2"


@pytest.mark.parametrize(
    ("act", "failure"),
    [
        (_reset, "reset"),
        (lambda connection: connection.close(), "reset"),
        (lambda connection: connection.sendall(b"no HTTP at all\r\n\r\n"), "protocol"),
    ],
    ids=["reset", "closed", "nonsense"],
)
def test_no_answer_is_told_as_such(act, failure, watch, odd) -> None:
    """The client gets 502 with the reason; the journal has no response, and how it failed."""
    environment = odd(act)
    with watch(environment.base_url) as watching, httpx.Client(base_url=watching.base_url, trust_env=False) as http:
        answer = http.get(DEQUEUE)
    assert answer.status_code == 502
    assert failure in answer.text
    (exchange,) = watching.exchanges
    assert (exchange.response, exchange.failure) == (None, failure)
    assert exchange.answered >= exchange.sent


def test_nobody_there(watch) -> None:
    """A connection that is refused is told so."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with (
        watch(f"http://127.0.0.1:{port}") as watching,
        httpx.Client(base_url=watching.base_url, trust_env=False) as http,
    ):
        assert http.get(DEQUEUE).status_code == 502
    assert watching.exchanges[0].failure == "refused"


def test_a_silent_environment(watch, odd) -> None:
    """After the time-out the client gets 504."""
    over = threading.Event()
    environment = odd(lambda _: over.wait(20) and None)
    with (
        watch(environment.base_url, timeout=0.2) as watching,
        httpx.Client(base_url=watching.base_url, trust_env=False) as http,
    ):
        assert http.get(DEQUEUE).status_code == 504
        over.set()
    assert watching.exchanges[0].failure == "timeout"


@pytest.mark.parametrize("path", [DEQUEUE, DOWNLOAD])
def test_half_an_answer_stays_half(path, watch, odd) -> None:
    """The client sees the end of the connection before that of the body; nothing is passed off as whole."""
    environment = odd(lambda connection: connection.sendall(_answer(b'{"CorrelationId": "1"}' * 20)[:-50]))
    with (
        watch(environment.base_url) as watching,
        httpx.Client(base_url=watching.base_url, trust_env=False) as http,
        pytest.raises(httpx.RemoteProtocolError),
    ):
        http.get(path)
    (exchange,) = watching.exchanges
    assert exchange.failure == "truncated"
    assert exchange.response.status == 200


def _wire(watching) -> socket.socket:
    """A connection to the proxy, on which bytes are sent as they are."""
    return socket.create_connection(("127.0.0.1", int(watching.base_url.rpartition(":")[2])))


def test_a_client_that_gives_up(watch, odd) -> None:
    """It is written down that nobody waited for the answer."""
    over = threading.Event()
    environment = odd(lambda _: over.wait(20) and None)
    with watch(environment.base_url) as watching, _wire(watching) as impatient:
        impatient.sendall(f"GET {DEQUEUE} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        assert environment.asked.wait(20)
    over.set()  # not before the proxy has ended: it was the client that went first
    (exchange,) = watching.exchanges
    assert (exchange.response, exchange.failure) == (None, "abandoned")


def test_a_client_that_leaves_in_the_middle_of_its_request(watch, environment) -> None:
    """Nobody knows what it would have sent: no body is made of the half."""
    with watch(environment.base_url) as watching, _wire(watching) as leaving:
        leaving.sendall(
            b"POST /api/connector/enqueue/6f1a4f2e-0000-4000-8000-000000000001 HTTP/1.1\r\n"
            b"host: x\r\ncontent-length: 100\r\n\r\nhalf"
        )
    (exchange,) = watching.exchanges
    assert (exchange.response, exchange.failure, exchange.request.body) == (None, "abandoned", None)


# How it goes by


def test_headers_of_one_connection_stay_on_it(watch, odd) -> None:
    """Hop-by-hop headers, and those that Connection names, are not passed on; all others are, in their order."""
    said = (b"keep-alive: timeout=5", b"x-first: 1", b"x-first: 2", b"connection: x-gone", b"x-gone: 1")
    environment = odd(lambda connection: connection.sendall(_answer(b"{}", *said)))
    headers = [
        ("Connection", "x-mine, keep-alive"),
        ("X-Mine", "1"),
        ("TE", "trailers"),
        ("Proxy-Authorization", "Basic abc"),
        ("X-Kept", "a"),
        ("X-Kept", "b"),
        ("Accept-Encoding", "br, gzip;q=0.5, deflate;q=0"),
    ]
    with watch(environment.base_url) as watching, httpx.Client(base_url=watching.base_url, trust_env=False) as http:
        answer = http.get(DEQUEUE, headers=headers)
    lines = environment.requests[0].decode().lower().split("\r\n")
    assert [each for each in lines if each.startswith("x-kept")] == ["x-kept: a", "x-kept: b"]
    assert "accept-encoding: gzip" in lines
    assert f"host: 127.0.0.1:{environment.port}" in lines
    assert not [each for each in lines if re.match(r"(connection|te|x-mine|proxy-authorization|keep-alive):", each)]
    assert answer.headers.get_list("x-first") == ["1", "2"]
    assert not {"x-gone", "keep-alive"} & set(answer.headers)


def test_what_is_packed_is_understood(watch, odd) -> None:
    """A location in a packed answer is changed too, and the journal has the answer unpacked."""
    box: list[str] = []

    def act(connection: socket.socket) -> None:
        told = json.dumps({"CorrelationId": "1", "PopReceipt": "r", "DownloadLocation": f"{box[0]}{DOWNLOAD}"})
        connection.sendall(_answer(gzip.compress(told.encode()), b"content-encoding: gzip"))

    environment = odd(act)
    box.append(environment.base_url)
    with watch(environment.base_url) as watching, httpx.Client(base_url=watching.base_url, trust_env=False) as http:
        answer = http.get(DEQUEUE)
        assert answer.json()["DownloadLocation"] == watching.base_url + DOWNLOAD
        assert "content-encoding" not in answer.headers
    told = json.loads(watching.exchanges[0].response.body.text)
    assert told["DownloadLocation"] == environment.base_url + DOWNLOAD


@pytest.mark.parametrize("status", [b"304 Not Modified", b"204 No Content"])
def test_a_length_without_a_body_is_waited_for_by_nobody(status, watch, odd) -> None:
    """Whoever has not changed may say how long he is, and some say so of nothing; the connection stays usable."""
    said = b"HTTP/1.1 " + status + b"\r\ncontent-length: 50\r\nconnection: close\r\n\r\n"
    upstream = odd(lambda connection: connection.sendall(said))
    with watch(upstream.base_url) as watching, httpx.Client(base_url=watching.base_url, trust_env=False) as http:
        assert [http.get("/page").status_code for _ in range(2)] == [int(status[:3])] * 2
    assert [each.failure for each in watching.exchanges] == [None, None]


def test_a_request_line_goes_on_as_it_was_written(watch, odd) -> None:
    """Braces, percent-encodings and the query stand on the wire as the client wrote them."""
    environment = odd(lambda connection: connection.sendall(_answer(b"", status=b"204 No Content")))
    path = "/en/api/connector/enqueue/%7B6F1A%7d?entity=Customer%20groups&x=a+b%2f"
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\n"
    with watch(environment.base_url) as watching, _wire(watching) as wire:
        wire.sendall(head.encode() + b"ab")
        assert wire.makefile("rb").read().startswith(b"HTTP/1.1 204")
    assert environment.requests[0].startswith(f"POST {path} HTTP/1.1\r\n".encode())
    assert watching.exchanges[0].request.url == environment.base_url + path


def test_a_refusal_before_the_whole_request_came_is_passed_on(watch, environment, client) -> None:
    """A file that is too large is refused as the environment refuses it."""
    with watch(environment.base_url) as watching:
        middleware = client(watching.base_url)
        middleware.token()
        assert middleware.enqueue(b"x" * 30_000_001).status_code == 413
        assert middleware.dequeue().status_code == 204
    assert [each.response.status for each in watching.exchanges] == [200, 413, 204]


def test_times_keep_their_order(watch, environment, client) -> None:
    """What a client does one after the other has times that do not overlap, and lines in the same order."""
    with watch(environment.base_url) as watching:
        middleware = client(watching.base_url)
        middleware.token()
        for _ in range(5):
            middleware.produce()
        while (delivery := middleware.dequeue()).status_code == 200:
            middleware.http.get(delivery.json()["DownloadLocation"])
            middleware.acknowledge(delivery.content)
    exchanges = watching.exchanges
    assert [each.seq for each in exchanges] == list(range(1, len(exchanges) + 1))
    assert all(one.answered <= other.sent for one, other in pairwise(exchanges))


SIZE, PIECE = 128 * 1024 * 1024, b"0123456789abcdef" * 4096
MEMORY = 16 * 1024 * 1024


def test_many_workers_at_once(watch, environment, client) -> None:
    """Eight workers empty a queue: each exchange has its own answer, and no rule is broken by what was overlapped."""
    with watch(environment.base_url) as watching:
        first = client(watching.base_url)
        first.token()
        digests = {first.produce().sha256 for _ in range(24)}
        workers = [client(watching.base_url) for _ in range(8)]

        def work(worker) -> list[str]:
            worker.token()
            taken = []
            while (delivery := worker.dequeue()).status_code == 200:
                file = worker.http.get(delivery.json()["DownloadLocation"])
                taken.append(hashlib.sha256(file.content).hexdigest())
                assert worker.acknowledge(delivery.content).status_code == 200
            return taken

        with ThreadPoolExecutor(len(workers)) as pool:
            found = [digest for taken in pool.map(work, workers) for digest in taken]
    assert sorted(found) == sorted(digests)
    for binds in (Binds.CLIENT, Binds.SERVICE):
        journal = watching.journal
        verdicts = judge(Readings(journal.header, journal), catalogue(binds))
        assert [each.id for each in verdicts if each.outcome is Outcome.VIOLATED] == []


def test_an_upload_that_was_broken_off_convicts_nobody(watch, environment, client) -> None:
    """A client that lost its connection in the middle and hands the file in again has done nothing wrong."""
    with watch(environment.base_url) as watching:
        middleware = client(watching.base_url)
        middleware.token()
        bearer = middleware.http.headers["authorization"]
        path = f"/api/connector/enqueue/{middleware.intake.id}?entity=Customer%20groups"
        with _wire(watching) as leaving:
            head = f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: {bearer}\r\ncontent-length: {len(FILE)}\r\n\r\n"
            leaving.sendall(head.encode() + FILE[:20])
        assert middleware.enqueue(FILE).status_code == 200
    failures = sorted(str(each.failure) for each in watching.of("enqueue"))
    assert failures == ["None", "abandoned"]
    verdicts = judge(Readings(watching.journal.header, watching.journal), catalogue(Binds.CLIENT))
    assert [each.id for each in verdicts if each.outcome is Outcome.VIOLATED] == []


def test_every_line_fits_the_schema(watch, environment, client) -> None:
    """What is written is a journal as specs/journal.schema.json has it."""
    schema = Draft202012Validator(json.loads((resources.specs() / "journal.schema.json").read_text(encoding="utf-8")))
    with watch(environment.base_url) as watching:
        middleware = client(watching.base_url)
        middleware.token()
        middleware.enqueue(FILE)
        middleware.enqueue(b"x" * 70_000)
        middleware.dequeue()
    assert len(watching.exchanges) == 4
    for line in watching.file.getvalue().splitlines():
        schema.validate(json.loads(line))


def test_a_large_download_goes_by_in_pieces(watch, odd) -> None:
    """A file much larger than what is allowed for leaves no trace in memory, and its digest in the journal."""

    def act(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % SIZE)
        for _ in range(SIZE // len(PIECE)):
            connection.sendall(PIECE)

    environment = odd(act)
    with watch(environment.base_url) as watching, httpx.Client(base_url=watching.base_url, trust_env=False) as http:
        tracemalloc.start()
        try:
            with http.stream("GET", DOWNLOAD) as answer:
                length = sum(len(each) for each in answer.iter_raw())
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert length == SIZE
    assert peak < MEMORY
    (exchange,) = watching.exchanges
    assert (exchange.response.body.digest(), exchange.response.body.length) == (_whole(), SIZE)


def test_a_large_upload_goes_by_in_pieces(watch, odd) -> None:
    """The same the other way: an environment that takes its time holds the client up, and nothing is piled up."""
    came = hashlib.sha256()

    def act(connection: socket.socket) -> None:
        left = SIZE
        while left:
            piece = connection.recv(min(left, 1 << 16))
            came.update(piece)
            left -= len(piece)
        connection.sendall(_answer(b'"6f1a4f2e-0000-4000-8000-000000000002"'))

    environment = odd(act, takes_bodies=False)
    path = "/api/connector/enqueue/6f1a4f2e-0000-4000-8000-000000000001?entity=Customer%20groups"
    with watch(environment.base_url) as watching, httpx.Client(base_url=watching.base_url, trust_env=False) as http:
        tracemalloc.start()
        try:
            pieces = (PIECE for _ in range(SIZE // len(PIECE)))
            answer = http.post(path, content=pieces, headers={"content-length": str(SIZE)}, timeout=60)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert answer.status_code == 200
    assert peak < MEMORY
    (exchange,) = watching.exchanges
    assert exchange.request.body.digest() == came.hexdigest() == _whole()


def _whole() -> str:
    return hashlib.sha256(PIECE * (SIZE // len(PIECE))).hexdigest()
