"""The connector behind a CONNECT proxy, under a name without a port: for subjects that insist on https at port 443."""

import hashlib
import os
import socket
import ssl
import subprocess
from collections.abc import Callable
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode, urlsplit
from urllib.request import HTTPSHandler, ProxyHandler, Request, build_opener

import httpx
import pytest

from popreceipt.middleware import scenario
from popreceipt.middleware.network import BLOBS, CONNECTOR

Made = Callable[..., Any]

ROOT = f"https://{CONNECTOR}"


@pytest.fixture
def proxied(ground: Made) -> Any:
    return ground(proxy=True)


def surroundings(made: Any) -> dict[str, str]:
    """The environment of a subject: what the system needs, and what the network adds."""
    return {"PATH": os.environ["PATH"], **made.network.environment}


def test_the_base_url_has_no_port(proxied: Any) -> None:
    """The environment leads everything through the proxy, in both letter cases."""
    network = proxied.network
    assert network.base_url == proxied.emulator.base_url == ROOT
    assert network.tls
    assert set(network.roots) == {ROOT, f"{ROOT}:443"}
    environment = network.environment
    assert {environment[name] for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")} == {
        network.proxy_url
    }
    assert (environment["no_proxy"], environment["NO_PROXY"]) == ("", "")


def test_token_dequeue_and_download_go_through_the_tunnel(proxied: Any) -> None:
    """httpx: everything but the tunnel itself is as without a proxy."""
    with proxied.client() as client:
        token = proxied.token(client)
        answer = client.get(proxied.secure_location(client, token), headers={"authorization": f"Bearer {token}"})
    assert hashlib.sha256(answer.content).hexdigest() == proxied.payload
    assert proxied.told == [
        {"kind": "connect", "root": f"{ROOT}:443", "accepted": True, "token": None, "method": "CONNECT"}
    ]
    assert {urlsplit(one.request.url).netloc for one in proxied.emulator.journal.exchanges()} == {CONNECTOR}


def test_httpx_finds_the_proxy_in_its_environment(proxied: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """No option is needed where a library looks for the usual variables."""
    for name, value in proxied.network.environment.items():
        monkeypatch.setenv(name, value)
    with httpx.Client(verify=proxied.verified(), timeout=20) as client:
        assert client.get(proxied.dequeue_url).status_code == 401


def test_curl_finds_proxy_and_authority_in_its_environment(proxied: Any, outside_program: Callable[..., str]) -> None:
    """A whole script with curl needs no option of ours."""
    program = outside_program("curl", "curl")
    told = proxied.emulator.world()["identity"]
    known = told["clients"]["authorised"]
    form = urlencode(
        {
            "grant_type": "client_credentials",
            "client_id": known["client_id"],
            "client_secret": known["client_secret"],
            "scope": f"{ROOT}/.default",
        }
    )
    script = (
        f'token=$("{program}" -sS -d "$FORM" {told["token_url"]} | sed \'s/.*"access_token": *"\\([^"]*\\)".*/\\1/\')\n'
        f'"{program}" -sS -H "Authorization: Bearer $token" {proxied.dequeue_url}\n'
    )
    ran = subprocess.run(
        ["sh", "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        env={**surroundings(proxied), "FORM": form},
        check=False,
    )
    assert '"PopReceipt"' in ran.stdout, ran.stderr
    assert [one["kind"] for one in proxied.told] == ["connect", "connect"]


def test_urllib_goes_through_the_tunnel(proxied: Any) -> None:
    """Python's own library, with its proxies."""
    proxies = ProxyHandler({"https": proxied.network.proxy_url, "http": proxied.network.proxy_url})
    opener = build_opener(proxies, HTTPSHandler(context=proxied.verified()))
    with pytest.raises(HTTPError) as refused:
        opener.open(proxied.dequeue_url, timeout=20)
    refused.value.close()
    assert refused.value.code == 401
    asked = Request(proxied.dequeue_url.replace("https", "http"), headers={"Authorization": "Bearer abc"})
    with pytest.raises(HTTPError) as refused:
        opener.open(asked, timeout=20)
    refused.value.close()
    assert refused.value.code == 400
    assert [(one["kind"], one["token"]) for one in proxied.told] == [
        ("connect", None),
        ("clear-text", proxied.digest("abc")),
    ]


def test_plain_http_by_the_proxy_is_clear_text(proxied: Any) -> None:
    """A location with http, fetched as it says: what the proxy sees, everybody on the way sees."""
    with proxied.client() as client:
        answer = client.get(
            f"http://{CONNECTOR}/api/connector/download/x?blob=1", headers={"authorization": "Bearer abc"}
        )
    assert answer.status_code == 400
    assert proxied.told == [
        {
            "kind": "clear-text",
            "root": f"http://{CONNECTOR}",
            "token": proxied.digest("abc"),
            "method": "GET",
            "path": "/api/connector/download/x",
            "query": "blob=1",
            "accepted": False,
        }
    ]


def test_clear_text_in_a_tunnel_is_clear_text(proxied: Any) -> None:
    """A client that asks for a tunnel and then forgets about TLS."""
    with _tunnel(proxied, f"{CONNECTOR}:443") as (status, connection):
        assert status == 200
        connection.sendall(b"GET /x HTTP/1.1\r\nhost: x\r\nauthorization: bearer abc\r\n\r\n")
        assert connection.recv(12) == b"HTTP/1.1 400"
    assert [(one["kind"], one["root"], one["token"]) for one in proxied.told][1:] == [
        ("clear-text", f"http://{CONNECTOR}", proxied.digest("abc"))
    ]


@pytest.mark.parametrize("authority", [f"{CONNECTOR}:80", f"{CONNECTOR}:8080", "127.0.0.1:443", "example.org:443"])
def test_a_tunnel_to_another_port_or_host_is_refused_and_told(proxied: Any, authority: str) -> None:
    """Https at port 80 is what a client asks for that upgrades a scheme and keeps the port."""
    with proxied.client() as client, pytest.raises(httpx.ProxyError, match="403"):
        client.get(f"https://{authority}/api/connector/download/x")
    # httpx leaves out the port that goes without saying, and CONNECT names it all the same.
    assert [(one["kind"], one["root"], one["accepted"]) for one in proxied.told] == [
        ("connect", f"https://{authority}", False)
    ]
    assert list(proxied.emulator.journal.exchanges()) == []


def test_curl_is_told_that_a_tunnel_was_refused(proxied: Any, outside_program: Callable[..., str]) -> None:
    """It ends with 56 and names the status."""
    ran = subprocess.run(
        [outside_program("curl", "curl"), "-sS", "--max-time", "20", f"{ROOT}:80/x"],
        capture_output=True,
        text=True,
        timeout=30,
        env=surroundings(proxied),
        check=False,
    )
    assert ran.returncode == 56
    assert "403" in ran.stderr
    assert [(one["root"], one["accepted"]) for one in proxied.told] == [(f"{ROOT}:80", False)]


def test_another_host_by_plain_http_is_elsewhere(proxied: Any) -> None:
    """A token that goes to whoever it may be is told with whom."""
    with proxied.client() as client:
        answer = client.get("http://example.org/x?a=b", headers={"authorization": "Bearer abc"})
    assert answer.status_code == 403
    assert [(one["kind"], one["root"], one["path"], one["query"], one["token"]) for one in proxied.told] == [
        ("elsewhere", "http://example.org", "/x", "a=b", proxied.digest("abc"))
    ]


def test_a_proxy_taken_for_the_connector_is_told(proxied: Any) -> None:
    """A request that names no host was meant for whoever answers at this address."""
    with httpx.Client(trust_env=False) as client:
        answer = client.get(f"{proxied.network.proxy_url}/api/x", headers={"authorization": "Bearer abc"})
    assert answer.status_code == 400
    assert [(one["kind"], one["root"], one["token"]) for one in proxied.told] == [
        ("clear-text", proxied.network.proxy_url, proxied.digest("abc"))
    ]


def test_the_other_host_has_a_name_as_well(ground: Made) -> None:
    """A location on another host is reached by the same proxy, and a token that comes along is told."""
    made = ground(scenario.Network(location_host="other"), proxy=True)
    with made.client() as client:
        token = made.token(client)
        location = made.location(client, token)
        answer = client.get(location, headers={"authorization": f"Bearer {token}"})
    assert hashlib.sha256(answer.content).hexdigest() == made.payload
    assert location.startswith(f"https://{BLOBS}/_blobs/")
    assert set(made.network.other_roots) == {f"https://{BLOBS}", f"https://{BLOBS}:443"}
    assert [(one["root"], one["token"]) for one in made.connections("elsewhere")] == [
        (f"https://{BLOBS}", made.digest(token))
    ]


def test_a_redirect_stays_where_the_proxy_leads(ground: Made) -> None:
    """Another name of this computer would lead nowhere: the blob is at the connector's own."""
    made = ground(answer="redirect", proxy=True)
    with made.client(follow_redirects=True) as client:
        token = made.token(client)
        answer = client.get(made.secure_location(client, token), headers={"authorization": f"Bearer {token}"})
    assert hashlib.sha256(answer.content).hexdigest() == made.payload
    assert answer.url.host == CONNECTOR


def test_a_foreign_certificate_by_the_proxy(ground: Made) -> None:
    """The handshake in the tunnel fails, and that is told under the connector's name."""
    made = ground(scenario.Network(certificate="foreign"), proxy=True)
    with made.client() as client, pytest.raises(httpx.ConnectError, match="certificate verify failed"):
        client.get(made.dequeue_url)
    made.wait_until_told(2)
    assert [(one["kind"], one["root"]) for one in made.told] == [
        ("connect", f"{ROOT}:443"),
        ("tls-failed", ROOT),
    ]


def test_an_eager_client_loses_nothing(proxied: Any) -> None:
    """What follows the CONNECT in the same packet belongs to the tunnel, and stays there for it."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    secure = proxied.verified().wrap_bio(incoming, outgoing, server_hostname=CONNECTOR)
    with pytest.raises(ssl.SSLWantReadError):
        secure.do_handshake()
    with socket.create_connection(_address(proxied), timeout=20) as connection:
        connection.sendall(f"CONNECT {CONNECTOR}:443 HTTP/1.1\r\nhost: x\r\n\r\n".encode() + outgoing.read())
        answer = connection.recv(65_536)
        while b"\r\n\r\n" not in answer:
            answer += connection.recv(65_536)
        incoming.write(answer.partition(b"\r\n\r\n")[2])
        while not _is_shaken(secure):
            if content := outgoing.read():
                connection.sendall(content)
            incoming.write(connection.recv(65_536))
    assert secure.version() == "TLSv1.3"


def test_rubbish_at_the_proxy_is_not_told(proxied: Any) -> None:
    """There is nothing in it of which anything could be said; the connection ends."""
    with socket.create_connection(_address(proxied), timeout=20) as connection:
        connection.sendall(b"\x16\x03\x01 what is this\r\n\r\n")
        assert connection.recv(100) == b""
    assert proxied.told == []


def _is_shaken(secure: ssl.SSLObject) -> bool:
    try:
        secure.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


def _address(made: Any) -> tuple[str, int]:
    parts = urlsplit(made.network.proxy_url)
    return str(parts.hostname), int(parts.port or 0)


class _tunnel:  # noqa: N801  reads as a verb
    """A tunnel by bare hands: the proxy's status, and the connection."""

    def __init__(self, made: Any, authority: str) -> None:
        self._socket = socket.create_connection(_address(made), timeout=20)
        self._socket.sendall(f"CONNECT {authority} HTTP/1.1\r\nhost: {authority}\r\n\r\n".encode())

    def __enter__(self) -> tuple[int, socket.socket]:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self._socket.recv(1)
        return int(head.split()[1]), self._socket

    def __exit__(self, *_: object) -> None:
        self._socket.close()
