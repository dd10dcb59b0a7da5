"""Ports, certificates and the end."""

import socket
import ssl
from pathlib import Path

import httpx
import pytest

from popreceipt.emulator.server import HttpServer, is_loopback_host
from popreceipt.exceptions import UsageError


def test_a_service_learns_its_address(echo):
    """The port is free one when asked for none, and the service knows it before the first request."""
    with HttpServer(echo) as server:
        assert echo.base_url == server.base_url == f"http://127.0.0.1:{server.port}"
        assert httpx.get(server.base_url).status_code == 200


def test_clients_may_know_it_by_another_name(echo):
    """Behind a proxy the base URL is given, not found out."""
    server = HttpServer(echo, base_url="https://d365.example/")
    server.close()
    assert echo.base_url == server.base_url == "https://d365.example"


def test_a_taken_port_is_a_usage_error(echo):
    """It says what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"Cannot listen on 127.0.0.1, port {port}: .* --port"):
            HttpServer(echo, port=port)


def test_an_unknown_host_is_a_usage_error(echo):
    """So is an address that is not this computer's."""
    with pytest.raises(UsageError, match="Cannot listen on"):
        HttpServer(echo, host="203.0.113.9")


def test_the_port_is_free_again(echo):
    """After the end another server may take the port."""
    with HttpServer(echo) as first:
        httpx.get(first.base_url)
    with HttpServer(echo, port=first.port) as second:
        assert httpx.get(second.base_url).status_code == 200


def test_speaks_tls_with_an_authority_of_its_own(echo):
    """A client that trusts the authority connects, by address and by name; one that does not refuses."""
    with HttpServer(echo, tls=True) as server:
        assert server.base_url == f"https://127.0.0.1:{server.port}"
        trusting = ssl.create_default_context(cafile=str(server.ca_file))
        for host in ("127.0.0.1", "localhost"):
            answer = httpx.get(f"https://{host}:{server.port}/", verify=trusting)
            assert answer.status_code == 200
        assert echo.asked[0].scheme == "https"
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(server.base_url)
    assert server.ca_file is not None
    assert not server.ca_file.exists()


def test_the_authority_may_be_kept(echo, tmp_path: Path):
    """A file that was asked for stays, and holds a certificate, no key."""
    file = tmp_path / "ca.pem"
    with HttpServer(echo, tls=True, ca_file=file) as server:
        assert server.ca_file == file
    assert file.read_text().startswith("-----BEGIN CERTIFICATE-----")
    assert "PRIVATE" not in file.read_text()


def test_an_unwritable_authority_file_is_a_usage_error(echo, tmp_path: Path):
    """And leaves no port taken."""
    with pytest.raises(UsageError, match="Cannot write the certificate authority"):
        HttpServer(echo, tls=True, ca_file=tmp_path / "missing" / "ca.pem")


def test_a_silent_client_does_not_keep_it_alive(echo, wire):
    """Idle connections and half-sent requests end with the server."""
    with HttpServer(echo) as server:
        idle, half = wire(server.port), wire(server.port)
        idle.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        idle.answer()
        half.send(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n")
        assert half.head()[0] == 100
    assert idle.is_closed()
    assert half.is_closed()
    assert len(echo.asked) == 1


@pytest.mark.parametrize(
    ("host", "answer"),
    [
        ("127.0.0.1", True),
        ("127.0.0.2", True),
        ("localhost", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.1.2.3", False),
        ("uno.example", False),
        ("", False),
    ],
)
def test_knows_which_addresses_are_this_computers_alone(host, answer):
    """Anything else asks the control plane's key."""
    assert is_loopback_host(host) is answer
