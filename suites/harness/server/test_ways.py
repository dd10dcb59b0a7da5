"""The short way through the server and the one by ASGI: they answer alike, and nothing is said before it is kept."""

import asyncio

import pytest

from popreceipt.emulator.http import Response
from popreceipt.emulator.server import HttpServer
from popreceipt.emulator.server.outbox import Outbox

PLAIN = b"POST /a?b HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\nok"
CHUNKED = b"POST /a?b HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"


def test_both_ways_answer_alike(server, wire):
    """Status, headers and body do not tell which way a request took."""
    connection = wire(server.port)
    connection.send(PLAIN)
    by_the_short_way = connection.answer()
    connection.send(CHUNKED)
    assert connection.answer() == by_the_short_way


def test_the_ways_mix_on_one_connection(server, wire):
    """Requests in a row are answered in their order, whichever way each takes."""
    connection = wire(server.port)
    connection.send(b"".join((CHUNKED + PLAIN).replace(b"ok", b"%02d" % number) for number in range(10)))
    assert [connection.answer()[2] for _ in range(20)] == [b"%02d" % (number // 2) for number in range(20)]


def test_a_header_that_cannot_be_sent_is_not_sent(echo, server, wire):
    """A line break in a header's value splits no answer in two: there is none, and the connection ends."""
    echo.answer = Response(200, (("x-said", "a\r\nx-forged: b"),), b"ok")
    connection = wire(server.port)
    connection.send(PLAIN)
    assert connection.is_closed()


class Recorder:
    """A connection that remembers what becomes of it."""

    def __init__(self):
        self.told = []

    def is_closing(self):
        """It is not."""
        return False

    def write(self, answer):
        """Note the status that is sent."""
        self.told.append(answer.split(b" ")[1])

    def abort(self):
        """Note the end."""
        self.told.append(b"aborted")


def test_answers_that_wait_are_lost_with_the_others(echo):
    """Where the longer way finds that nothing was kept, those that wait on the short one are told so too."""
    service, waiting = Keeper(echo), Recorder()

    async def turn():
        outbox = Outbox(service)
        outbox.send(waiting, b"HTTP/1.1 200 OK\r\n\r\n", alone=False)
        service.can = False
        assert not outbox.keep()
        service.can = True
        await asyncio.sleep(0)

    asyncio.run(turn())
    assert waiting.told == [b"500"]


def test_what_is_left_and_fails_spoils_no_answer(echo):
    """The answers have left by then; the failure is told to the event loop's handler."""
    service, waiting, told = Keeper(echo), Recorder(), []
    service.catch_up = lambda: 1 / 0

    async def turn():
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
        Outbox(service).send(waiting, b"HTTP/1.1 200 OK\r\n\r\n", alone=True)

    asyncio.run(turn())
    assert waiting.told == [b"200"]
    assert [type(error) for error in told] == [ZeroDivisionError]


class Keeper:
    """A service that answers as another, and keeps what that was asked when it is told to, if it can."""

    def __init__(self, service):
        self.clock, self.profile, self.base_url = service.clock, service.profile, ""
        self.handle = service.handle
        self._asked = service.asked
        self.kept = 0
        self.can = True
        self.caught_up = []

    def keep(self):
        """Keep all of it."""
        if self.can:
            self.kept = len(self._asked)
        return self.can

    def catch_up(self):
        """Note how much was kept by then."""
        self.caught_up.append(self.kept)


@pytest.fixture
def keeper(echo):
    service = Keeper(echo)
    with HttpServer(service) as running:
        yield service, running


@pytest.mark.parametrize("connections", [1, 5])
@pytest.mark.parametrize("request_sent", [PLAIN, CHUNKED], ids=["plain", "chunked"])
def test_an_answer_says_what_is_kept(keeper, wire, connections, request_sent):
    """When an answer arrives, its effect has been kept; with several connections too."""
    service, server = keeper
    opened = [wire(server.port) for _ in range(connections)]
    for number, connection in enumerate(opened, 1):
        connection.send(request_sent)
        assert connection.answer()[0] == 200
        assert service.kept == number


def test_what_cannot_be_kept_is_a_500(keeper, wire):
    """Both ways, and the connection lives on."""
    service, server = keeper
    connection = wire(server.port)
    service.can = False
    for request in (PLAIN, CHUNKED):
        connection.send(request)
        assert connection.answer()[0] == 500
    service.can = True
    connection.send(PLAIN)
    assert connection.answer()[0] == 200


def test_what_was_left_is_done_after_the_answers(keeper, wire):
    """What may wait until the answer is on its way is done when it is, and its effect is kept by then."""
    service, server = keeper
    connection = wire(server.port)
    for _ in range(2):  # by the second answer, what the first left is certainly done
        connection.send(PLAIN)
        connection.answer()
    assert service.caught_up[0] == 1


def test_an_application_beside_the_service(echo, wire):
    """What lies below its path is its own, whatever follows; the rest is the service's."""
    seen = []

    async def beside(scope, _receive, send):
        seen.append(scope["path"])
        await send({"type": "http.response.start", "status": 203, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    echo.answer = Response(204)
    with HttpServer(echo, mounts={"/beside": beside}) as server:
        connection = wire(server.port)
        for path, status in (
            ("/beside", 203),
            ("/beside?a=1", 203),
            ("/beside/b", 203),
            ("/besides", 204),
            ("/", 204),
        ):
            connection.send(f"GET {path} HTTP/1.1\r\nhost: h\r\n\r\n".encode())
            assert connection.answer()[0] == status, path
    assert seen == ["/beside", "/beside", "/beside/b"]
