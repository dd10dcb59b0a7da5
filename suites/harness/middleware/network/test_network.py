"""The addresses of a scenario: TLS and clear text on one port, another host, a certificate of nobody we know."""

import contextlib
import hashlib
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPSHandler, ProxyHandler, build_opener

import httpx
import pytest

from popreceipt.emulator.faults import Fault
from popreceipt.exceptions import NotAbleTo, UsageError
from popreceipt.journal import redacted_url
from popreceipt.middleware import scenario
from popreceipt.middleware.network import Network, network, reception

Made = Callable[..., Any]

OTHER = scenario.Network(location_host="other")
REDIRECT = scenario.Network(redirect_host="other")
FOREIGN = scenario.Network(certificate="foreign")


def curl(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run curl, silent, with its errors told; status and body are on standard output."""
    silent = [
        program,
        "--silent",
        "--show-error",
        "--max-time",
        "20",
        "--noproxy",
        "*",
        "--write-out",
        "\n%{http_code}",
    ]
    return subprocess.run([*silent, *arguments], capture_output=True, text=True, timeout=30, check=False)


# Without TLS


def test_without_tls_it_is_the_emulators_own_server(ground: Made) -> None:
    """Nothing stands in between, and nothing is told."""
    made = ground()
    with made.client() as client:
        token = made.token(client)
        answer = client.get(made.location(client, token), headers={"authorization": f"Bearer {token}"})
    assert hashlib.sha256(answer.content).hexdigest() == made.payload
    assert made.network.base_url.startswith("http://127.0.0.1:")
    assert set(made.network.roots) == {
        made.network.base_url,
        made.network.base_url.replace("127.0.0.1", "localhost"),
    }
    assert (made.network.environment, made.network.ca_file, made.told) == ({}, None, [])


# TLS and clear text on one port


def test_tls_is_the_connector(ground: Made) -> None:
    """Token, dequeue and download by TLS: all of it reaches the emulator, under its own name."""
    made = ground(tls=True)
    with made.client() as client:
        token = made.token(client)
        answer = client.get(made.secure_location(client, token), headers={"authorization": f"Bearer {token}"})
    assert hashlib.sha256(answer.content).hexdigest() == made.payload
    assert made.told == []
    roots = {"{0.scheme}://{0.netloc}".format(urlsplit(each.request.url)) for each in made.emulator.journal.exchanges()}
    assert roots == {made.network.base_url} <= set(made.network.roots)


def test_clear_text_is_refused_and_told_with_the_token(ground: Made) -> None:
    """A download with http where TLS is spoken: 400, and the token that came along is named by its digest."""
    made = ground(tls=True)
    address = made.network.base_url.replace("https", "http")
    with httpx.Client(trust_env=False) as client:
        answer = client.get(
            f"{address}/api/connector/download/x?blob=1", headers={"authorization": "Bearer not-for-all"}
        )
    assert (answer.status_code, answer.text.strip()) == (400, reception.IN_CLEAR)
    assert made.told == [
        {
            "kind": "clear-text",
            "root": address,
            "token": made.digest("not-for-all"),
            "method": "GET",
            "path": "/api/connector/download/x",
            "query": "blob=1",
            "accepted": False,
        }
    ]
    assert list(made.emulator.journal.exchanges()) == []


def test_a_long_body_in_clear_text_still_gets_its_refusal(ground: Made) -> None:
    """What is sent after a refusal is taken in, so that the refusal is not lost with a reset."""
    made = ground(tls=True)
    address = made.network.base_url.replace("https", "http")
    with httpx.Client(trust_env=False) as client:
        answer = client.post(f"{address}/api/connector/enqueue/x", content=b"x" * 500_000)
    assert answer.status_code == 400
    assert [(one["kind"], one["token"]) for one in made.told] == [("clear-text", None)]


def test_secrets_in_a_target_are_replaced(ground: Made) -> None:
    """A token in the query of a request in clear text is not told."""
    made = ground(tls=True)
    with httpx.Client(trust_env=False) as client:
        client.get(made.network.base_url.replace("https", "http"), params={"access_token": "canary-7", "a": "b"})
    assert "canary-7" not in str(made.told)
    assert "a=b" in made.told[0]["query"]


def test_curl_and_urllib_get_through_as_well(ground: Made, outside_program: Callable[..., str]) -> None:
    """Other clients' TLS: curl, and Python's own."""
    made = ground(tls=True)
    program = outside_program("curl", "curl")
    ran = curl(program, "--cacert", str(made.network.ca_file), made.dequeue_url)
    assert (ran.returncode, ran.stdout.splitlines()[-1]) == (0, "401"), ran.stderr
    opener = build_opener(ProxyHandler({}), HTTPSHandler(context=made.verified()))
    with pytest.raises(HTTPError) as refused:
        opener.open(made.dequeue_url, timeout=20)
    refused.value.close()
    assert refused.value.code == 401
    ran = curl(program, made.dequeue_url.replace("https", "http"))
    assert ran.stdout.splitlines()[-1] == "400"
    assert [one["kind"] for one in made.told] == ["clear-text"]


def test_a_subject_that_trusts_its_surroundings_is_told_the_authority(
    ground: Made, outside_program: Callable[..., str], tmp_path: Path
) -> None:
    """The environment names the authority where other programs look for it, too: curl needs no option."""
    made = ground(tls=True, ca_file=tmp_path / "authority.pem")
    assert made.network.environment["POPRECEIPT_CA_FILE"] == str(tmp_path / "authority.pem")
    command = [outside_program("curl", "curl"), "--silent", "--noproxy", "*", "--max-time", "20", "--output", "-"]
    ran = subprocess.run(
        [*command, "--write-out", "%{http_code}", made.dequeue_url],
        capture_output=True,
        text=True,
        timeout=30,
        env={"PATH": "/usr/bin:/bin", **made.network.environment},
        check=False,
    )
    assert ran.stdout.endswith("401"), ran.stderr


def test_a_reset_is_a_reset_behind_tls_too(ground: Made) -> None:
    """The socket itself is handed over: what the emulator does to a connection is what the subject sees."""
    made = ground(tls=True)
    made.emulator.fault_plan.add(Fault(id="cut", operation="dequeue", kind="reset", phase="before"))
    address = ("127.0.0.1", urlsplit(made.network.base_url).port)
    with socket.create_connection(address, timeout=20) as plain:
        below = plain.dup()
        with made.verified().wrap_socket(plain, server_hostname="127.0.0.1") as secure, below:
            below.settimeout(20)
            secure.sendall(f"GET {urlsplit(made.dequeue_url).path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
            with pytest.raises(ConnectionResetError):  # Python's TLS takes it for an end like any other
                _read_to_the_end(below)


# Handshakes that fail


def test_a_foreign_certificate_is_told_when_it_is_refused(ground: Made) -> None:
    """The subject trusts the authority that it was told, and the certificate is of another: nothing is sent."""
    made = ground(FOREIGN)
    assert made.network.foreign
    with made.client() as client, pytest.raises(httpx.ConnectError, match="certificate verify failed"):
        client.get(made.dequeue_url)
    made.wait_until_told(1)
    assert made.told == [{"kind": "tls-failed", "root": made.network.base_url, "accepted": False}]
    assert list(made.emulator.journal.exchanges()) == []


def test_a_subject_that_checks_nothing_gets_through_to_a_foreign_certificate(ground: Made) -> None:
    """Its request is an exchange like any other: that is what gives it away."""
    made = ground(FOREIGN)
    with httpx.Client(verify=False, trust_env=False) as client:
        assert client.get(made.dequeue_url).status_code == 401
    assert made.told == []
    assert [one.operation for one in made.emulator.journal.exchanges()] == ["dequeue"]


def test_a_subject_that_looks_at_the_certificate_after_the_handshake_is_no_other(ground: Made) -> None:
    """Some clients end the handshake first and look then: a connection without any request has failed as well."""
    made = ground(FOREIGN)
    unchecked = ssl.create_default_context()
    unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
    address = ("127.0.0.1", urlsplit(made.network.base_url).port)
    with socket.create_connection(address, timeout=20) as plain, unchecked.wrap_socket(plain):
        pass
    made.wait_until_told(1)
    assert [one["kind"] for one in made.told] == ["tls-failed"]


def test_an_idle_connection_is_no_failure_where_the_certificate_is_the_right_one(ground: Made) -> None:
    """Pools open connections that they never use."""
    made = ground(tls=True)
    address = ("127.0.0.1", urlsplit(made.network.base_url).port)
    with socket.create_connection(address, timeout=20) as plain:
        made.verified().wrap_socket(plain, server_hostname="127.0.0.1").close()
    with made.client() as client:  # by then the one before is over
        client.get(made.dequeue_url)
    made.network.stop()
    assert made.told == []


def test_urllib_and_curl_refuse_a_foreign_certificate(ground: Made, outside_program: Callable[..., str]) -> None:
    """Each failed handshake is told once, whoever failed it."""
    made = ground(FOREIGN)
    ran = curl(outside_program("curl", "curl"), "--cacert", str(made.network.ca_file), made.dequeue_url)
    assert ran.returncode == 60, ran.stderr  # "peer certificate cannot be authenticated"
    opener = build_opener(ProxyHandler({}), HTTPSHandler(context=made.verified()))
    with pytest.raises(URLError, match="CERTIFICATE_VERIFY_FAILED"):
        opener.open(made.dequeue_url, timeout=20)
    made.wait_until_told(2)
    assert [one["kind"] for one in made.told] == ["tls-failed", "tls-failed"]


# Another host


@pytest.mark.parametrize("tls", [False, True], ids=["clear", "tls"])
def test_a_location_on_another_host_hands_out_the_file_without_a_token(ground: Made, *, tls: bool) -> None:
    """The DownloadLocation leads elsewhere, and is signed: whoever comes is written down and gets the file."""
    made = ground(OTHER, tls=tls)
    with made.client() as client:
        location = made.location(client, made.token(client))
        answer = client.get(location)
    assert hashlib.sha256(answer.content).hexdigest() == made.payload
    parts = urlsplit(location)
    assert parts.hostname == "127.0.0.2"
    assert f"{parts.scheme}://{parts.netloc}" in made.network.other_roots
    assert made.told == [
        {
            "kind": "elsewhere",
            "root": f"{parts.scheme}://{parts.netloc}",
            "token": None,
            "method": "GET",
            "path": parts.path,
            "query": urlsplit(redacted_url(location)).query,
            "accepted": True,
        }
    ]
    last = list(made.emulator.journal.exchanges())[-1]
    assert last.request.url == redacted_url(location)
    assert last.response is not None
    assert last.response.body is not None
    assert last.response.body.digest() == made.payload


@pytest.mark.parametrize("tls", [False, True], ids=["clear", "tls"])
def test_a_token_that_follows_a_redirect_is_told(ground: Made, *, tls: bool) -> None:
    """The download is redirected to another host: a client that takes its token along gives it away."""
    made = ground(REDIRECT, answer="redirect", tls=tls)
    with made.client() as client:
        token = made.token(client)
        bearer = {"authorization": f"Bearer {token}"}
        answer = client.get(made.secure_location(client, token), headers=bearer)
        assert answer.status_code == 302
        followed = client.get(answer.headers["location"], headers=bearer)
        without = client.get(answer.headers["location"])
    assert followed.content == without.content
    assert hashlib.sha256(followed.content).hexdigest() == made.payload
    assert [one["token"] for one in made.connections("elsewhere")] == [made.digest(token), None]
    assert token not in str(made.told)


def test_nothing_but_blobs_is_elsewhere(ground: Made) -> None:
    """A connector's path on the other host is not answered there, but it is told."""
    made = ground(OTHER)
    with made.client() as client:
        answer = client.get(f"{made.network.other_roots[0]}/api/connector/dequeue/x?access_token=canary-8")
    assert answer.status_code == 404
    assert [(one["path"], one["accepted"]) for one in made.told] == [("/api/connector/dequeue/x", False)]
    assert "canary-8" not in str(made.told)
    assert list(made.emulator.journal.exchanges()) == []


def test_clear_text_to_another_host_is_elsewhere(ground: Made) -> None:
    """What came to the other host without TLS is told under the root it was sent to."""
    made = ground(OTHER, tls=True)
    clear = made.network.other_roots[0].replace("https", "http")
    with httpx.Client(trust_env=False) as client:
        assert client.get(f"{clear}/_blobs/x", headers={"authorization": "Bearer abc"}).status_code == 400
    assert [(one["kind"], one["root"], one["token"]) for one in made.told] == [("elsewhere", clear, made.digest("abc"))]


def test_a_computer_without_a_second_loopback_address_says_so(ground: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where 127.0.0.2 is not there, the scenario cannot be played: an ability is missing, nobody is to blame."""
    monkeypatch.setattr(network, "ELSEWHERE", "192.0.2.1")  # an address for documentation: nobody has it
    with pytest.raises(NotAbleTo, match="second loopback address"):
        ground(OTHER)


# Its own affairs


def test_one_that_never_served_gives_everything_back(ground: Made) -> None:
    """Its ports, and the authority's file."""
    made = ground()
    unused = Network(made.emulator, OTHER, tls=True, tell=made.told.append)
    port = urlsplit(unused.base_url).port
    unused.stop()
    assert unused.ca_file is not None
    assert not unused.ca_file.exists()
    ground(port=port)


def test_a_port_that_is_taken_is_wrong_usage(ground: Made) -> None:
    """The network says so before anything is served."""
    made = ground()
    with pytest.raises(UsageError, match="Cannot listen"):
        ground(port=urlsplit(made.network.base_url).port)


def test_the_authoritys_file_goes_with_the_network_unless_it_was_asked_for(ground: Made, tmp_path: Path) -> None:
    """A temporary file is removed; one that the caller named stays."""
    one, named = ground(tls=True), ground(tls=True, ca_file=tmp_path / "ca.pem")
    assert one.network.ca_file.read_text().startswith("-----BEGIN CERTIFICATE-----")
    one.network.stop()
    named.network.stop()
    assert not one.network.ca_file.exists()
    assert named.network.ca_file.exists()


def test_an_authority_that_cannot_be_written_is_wrong_usage(ground: Made, tmp_path: Path) -> None:
    """The port is given back then."""
    before = set(threading.enumerate())
    with pytest.raises(UsageError, match="Cannot write the certificate authority"):
        ground(tls=True, ca_file=tmp_path / "nowhere" / "ca.pem")
    assert set(threading.enumerate()) == before


def test_a_cut_ends_every_connection_of_the_moment(ground: Made) -> None:
    """As a restart of the service does; the next request gets through on a new connection."""
    made = ground(tls=True)
    address = ("127.0.0.1", urlsplit(made.network.base_url).port)
    with (
        socket.create_connection(address, timeout=20) as plain,
        made.verified().wrap_socket(plain, server_hostname="127.0.0.1") as held,
    ):
        held.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert held.recv(12) == b"HTTP/1.1 404"
        made.network.cut()
        assert _is_over(held)
    with made.client() as client:
        assert client.get(made.dequeue_url).status_code == 401


def test_connections_that_say_nothing_do_not_keep_it_from_ending(ground: Made) -> None:
    """Silent ones, half a handshake, half a head, half a refused body: the end takes all of them along."""
    made = ground(tls=True)
    address = ("127.0.0.1", urlsplit(made.network.base_url).port)
    with (
        socket.create_connection(address, timeout=20) as silent,
        socket.create_connection(address, timeout=20) as shaking,
        socket.create_connection(address, timeout=20) as half,
        made.client() as client,
    ):
        shaking.sendall(b"\x16\x03\x01\x02\x00")
        half.sendall(b"GET / HTTP/1.1\r\nhost:")
        assert client.get(made.dequeue_url).status_code == 401
        made.network.stop()
        assert all(_is_over(one) for one in (silent, shaking, half))
    assert made.told == []


def test_what_is_neither_tls_nor_http_is_refused_and_not_told(ground: Made) -> None:
    """There is no request in it of which anything could be said."""
    made = ground(tls=True)
    address = ("127.0.0.1", urlsplit(made.network.base_url).port)
    with socket.create_connection(address, timeout=20) as odd:
        odd.sendall(b"EHLO somebody\r\n\r\n")
        assert odd.recv(12) == b"HTTP/1.1 400"
    assert made.told == []


def test_a_fault_of_whoever_is_told_comes_to_light(ground: Made) -> None:
    """It is raised at the end, and not taken for something that the subject did."""
    made = ground()

    def tell(_: object) -> None:
        raise RuntimeError("the journal is full")

    broken = Network(made.emulator, tls=True, tell=tell)
    broken.start()
    with httpx.Client(trust_env=False) as client, pytest.raises(httpx.HTTPError):
        client.get(broken.base_url.replace("https", "http"))
    with pytest.raises(RuntimeError, match="the journal is full"):
        broken.stop()


def test_many_networks_at_once_do_not_meet(ground: Made) -> None:
    """Eight scenarios at the same time, each with its own ports, authority and hosts."""
    several = [ground(OTHER, tls=True) for _ in range(8)]

    def pull(made: Any) -> str:
        with made.client() as client:
            return hashlib.sha256(client.get(made.location(client, made.token(client))).content).hexdigest()

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(pull, several)) == [made.payload for made in several]
    assert [len(made.told) for made in several] == [1] * 8
    assert len({root for made in several for root in (*made.network.roots, *made.network.other_roots)}) == 24


def _read_to_the_end(connection: socket.socket) -> None:
    while connection.recv(4096):
        pass


def _is_over(connection: socket.socket) -> bool:
    """Whether the other side ended it (waits for that)."""
    with contextlib.suppress(ConnectionError):
        _read_to_the_end(connection)
    return True
