"""A reverse proxy that writes down what goes through it, as an ASGI application.

The client speaks to it as if it were the environment, and the journal reads as if the client had spoken to the
environment itself: the proxy's address stands nowhere in it. Bodies go by in pieces, both ways. It decides nothing for
either side: it repeats no request, keeps no answer and follows no redirect. Two things it changes, both only where
locations are relocated: the location in the answer to a dequeue (and in a redirect), and the same location in what the
client says of it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from popreceipt.client.transport import TIMEOUT, Verify
from popreceipt.clock import Clock, SystemClock
from popreceipt.emulator.server.application import CONNECTION
from popreceipt.vocabulary import ACK, DEQUEUE, DOWNLOAD, TOKEN, operation_of
from popreceipt.watching import headers
from popreceipt.watching.places import Places
from popreceipt.watching.recorder import Recorder, Seen, Tap
from popreceipt.watching.upstream import Upstream, failure_of, is_certificate

READ_WHOLE: Final = 1 << 20
"""Bytes of the longest body that is read whole because something in it may have to be changed."""

ABANDONED: Final = "abandoned"
"""The journal's word for a request whose client left before the whole answer was there."""

OWN_FAULT: Final = "fault of the recorder"
"""The journal's word for a request that we have spoilt ourselves."""


class Watcher:
    """The proxy.

    Args:
        upstream: the environment's base URL.
        recorder: takes every exchange.
        token_upstream: where token requests go, if not to the environment: scheme and authority.
        relocates: whether the client is told to download by the proxy.
        base_url: what the client calls the proxy by, where the header `Host` does not tell.
        verify: how certificates are checked.
        timeout: real seconds of silence after which the environment is given up.
        clock: the time of the journal.
        tell: says a sentence to whoever started it.
        broken: called with what went wrong when the journal cannot be written any more.

    Raises:
        UsageError: one of the URLs is none, or the authority's file cannot be used.
    """

    def __init__(
        self,
        upstream: str,
        recorder: Recorder,
        *,
        token_upstream: str | None = None,
        relocates: bool = True,
        base_url: str | None = None,
        verify: Verify = None,
        timeout: float = 300.0,
        clock: Clock | None = None,
        tell: Callable[[str], None] = lambda _: None,
        broken: Callable[[OSError], None] = lambda _: None,
    ) -> None:
        self.places = Places(upstream, relocates=relocates)
        self.tokens = Places(token_upstream) if token_upstream is not None else None
        self.recorder = recorder
        self.upstream = Upstream(verify, timeout)
        self.clock = clock if clock is not None else SystemClock()
        self.base_url = base_url.rstrip("/") if base_url is not None else None
        self.tell = tell
        self._broken = broken

    def begin(self) -> None:
        """Write down what is watched, and what cannot be seen."""
        unseen = [] if self.places.relocates else [DOWNLOAD]
        self.recorder.note(
            "watched",
            self.clock.now(),
            upstream=self.places.origin + self.places.prefix,
            by="proxy",
            relayed=True,
            relocates=self.places.relocates,
            unseen=unseen,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Carry one request."""
        if scope["type"] == "http":
            await _Passage(self, scope, receive, send).go()

    async def close(self) -> None:
        """Close the connections to the environment."""
        await self.upstream.close()

    def write(self, seen: Seen, answered: datetime | None) -> None:
        """Write down an exchange that ended at that instant, or just now."""
        try:
            self.recorder.write(seen, answered if answered is not None else self.clock.now())
        except OSError as error:
            self._broken(error)


class _Passage:
    """One request on its way through, and its answer on the way back."""

    def __init__(self, watcher: Watcher, scope: Scope, receive: Receive, send: Send) -> None:
        self._watcher = watcher
        self._scope = scope
        self._request = Request(scope, receive)
        self._receive = receive
        self._send = send
        self._path: bytes = scope["raw_path"]
        self._operation = operation_of(self._path.decode("latin-1"))[0]
        token = self._operation == TOKEN and watcher.tokens is not None
        self._places = watcher.tokens if token and watcher.tokens is not None else watcher.places
        self._target = self._places.target(self._path, scope["query_string"])
        self._root = watcher.base_url or _root(scope, self._request)
        self._seen = Seen(
            watcher.clock.now(),
            scope["method"],
            self._places.origin + self._target.decode("latin-1"),
            headers.as_text(
                (name, self._places.authority if name.lower() == b"host" else value) for name, value in scope["headers"]
            ),
        )
        # When the last of the answer came. The client may have it, and go on, before our own sending returns.
        self._answered: datetime | None = None
        self._request_read = asyncio.Event()
        self._over = False

    async def go(self) -> None:
        """Carry it, and write down what became of it, however it ended."""
        work = asyncio.ensure_future(self._carry())
        gone = asyncio.ensure_future(self._until_gone())
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if self._over or work.done():
                await work
            else:
                self._seen.failure, self._answered = ABANDONED, None
                await _end(work)
        except Exception:
            self._seen.failure = OWN_FAULT
            raise
        finally:
            self._watcher.write(self._seen, self._answered)
            await _end(gone)

    # There

    async def _carry(self) -> None:
        request, upstream = self._scope["headers"], self._watcher.upstream
        has_body = any(name in {b"content-length", b"transfer-encoding"} for name, _ in request)
        try:
            body, length = await self._body() if has_body else (None, None)
            if body is None:
                self._request_read.set()
            sent = headers.to_upstream(request, self._places.authority, length=length, body=has_body)
            response = await upstream.send(self._seen.method, self._places.origin, self._target, sent, body)
        except ClientDisconnect:
            self._leave_out_the_rest()
            return
        except httpx.HTTPError as error:
            self._seen.failure = failure_of(error, answered=False)
            await self._refuse(error)
            return
        self._request_read.set()
        try:
            await self._bring_back(response)
        except httpx.HTTPError as error:
            self._seen.failure, self._answered = failure_of(error, answered=True), self._watcher.clock.now()
            await self._cut()
        finally:
            await response.aclose()

    async def _body(self) -> tuple[AsyncIterator[bytes], int | None]:
        """The request's body, and its length where that is known."""
        announced = headers.value_of(self._scope["headers"], b"content-length")
        length = int(announced) if announced is not None else None
        pieces = self._request.stream()
        if self._operation not in {ACK, TOKEN} or not self._watcher.places.relocates:
            return self._tapped(pieces), length
        # What the client says of the proxy is meant of the environment: for that the body has to be there.
        begin = bytearray()
        async for piece in pieces:
            begin += piece
            if len(begin) > READ_WHOLE:
                return self._tapped(pieces, bytes(begin)), length
        self._request_read.set()
        change = self._watcher.places.body_for_upstream
        if self._operation == TOKEN:
            change = self._watcher.places.form_for_upstream
        changed = change(bytes(begin), self._root)
        return self._tapped(_pieces(changed)), len(changed)

    async def _tapped(self, pieces: AsyncIterator[bytes], begin: bytes = b"") -> AsyncIterator[bytes]:
        if begin:
            self._seen.request.add(begin)
            yield begin
        async for piece in pieces:
            if piece:
                self._seen.request.add(piece)
                yield piece
        self._request_read.set()

    def _leave_out_the_rest(self) -> None:
        """The client left in the middle of its request: what it would have sent nobody knows."""
        self._seen.failure = ABANDONED
        self._seen.request = Tap()

    # And back

    async def _bring_back(self, response: httpx.Response) -> None:
        seen, raw = self._seen, response.headers.raw
        seen.status, seen.response_headers = response.status_code, headers.as_text(raw)
        seen.response = Tap(response.headers.get("content-encoding"))
        pieces = response.aiter_raw()
        if self._may_name_a_location(response):
            begin = bytearray()
            async for piece in pieces:
                begin += piece
                if len(begin) > READ_WHOLE:
                    break
            else:
                seen.response.add(bytes(begin))
                # Longer than what is written out is no answer to a dequeue, and unpacked it need not fit.
                said = seen.response.content
                if said is not None:
                    await self._answer(raw, self._places.answer_for_client(said, self._root))
                    return
            await self._start(raw)
            seen.response = Tap(response.headers.get("content-encoding"))
            await self._pass_on(bytes(begin))
        else:
            await self._start(raw)
        async for piece in pieces:
            await self._pass_on(piece)
        await self._finish(b"")

    def _may_name_a_location(self, response: httpx.Response) -> bool:
        """Whether it is the answer to a dequeue, and one that can be read here."""
        return (
            self._operation == DEQUEUE
            and self._seen.method == "GET"
            and response.status_code == HTTPStatus.OK
            and self._places.relocates
            and (self._seen.response.unpacks or response.headers.get("content-encoding", "identity") == "identity")
        )

    async def _answer(self, raw: headers.Raw, body: bytes) -> None:
        """An answer that was read whole, perhaps unpacked and changed."""
        kept = headers.to_client(raw, without=(b"content-length", b"content-encoding"))
        await self._start_with([*kept, (b"content-length", b"%d" % len(body))])
        await self._finish(body)

    async def _start(self, raw: headers.Raw) -> None:
        kept = headers.to_client(raw)
        status = self._seen.status or 0
        if 300 <= status < 400:
            kept = [(name, self._shown(value) if name == b"location" else value) for name, value in kept]
        await self._start_with(kept)

    def _shown(self, location: bytes) -> bytes:
        told = self._places.shown(location.decode("latin-1"), self._root)
        return location if told is None else told.encode("latin-1")

    async def _start_with(self, kept: headers.Raw) -> None:
        if self._seen.status in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}:
            # It says how long a body would be that does not come, and the server would wait for it.
            kept = [(name, value) for name, value in kept if name != b"content-length"]
        if not self._request_read.is_set() or self._seen.failure:
            # The rest of the request would be taken for the next one.
            kept = [*kept, (b"connection", b"close")]
        self._answered = self._watcher.clock.now()
        await self._send({"type": "http.response.start", "status": self._seen.status, "headers": kept})

    async def _pass_on(self, piece: bytes) -> None:
        self._seen.response.add(piece)
        self._answered = self._watcher.clock.now()
        await self._send({"type": "http.response.body", "body": piece, "more_body": True})

    async def _finish(self, body: bytes) -> None:
        self._over = True  # what follows is our own tidying up: the client has its answer
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def _refuse(self, error: httpx.HTTPError) -> None:
        """Tell the client that the environment gave no answer."""
        failure = self._seen.failure
        status = HTTPStatus.GATEWAY_TIMEOUT if failure == TIMEOUT else HTTPStatus.BAD_GATEWAY
        why = "its certificate is not trusted: name its authority with --ca" if is_certificate(error) else str(error)
        said = f"{self._places.origin} gave no answer ({failure}): {why or type(error).__name__}."
        self._watcher.tell(said)
        self._answered = self._watcher.clock.now()
        self._over = True
        refusal = PlainTextResponse(f"popreceipt record: {said}\n", status, headers={"connection": "close"})
        await refusal(self._scope, self._receive, self._send)

    async def _cut(self) -> None:
        """End the connection where the environment's answer ended: the client has to see that it is not whole."""
        self._over = True
        connection: asyncio.Transport = self._scope["extensions"][CONNECTION]["transport"]
        connection.close()
        await self._until_gone()

    async def _until_gone(self) -> None:
        """Wait until the client has left, or has its whole answer."""
        await self._request_read.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass


async def _end(task: "asyncio.Future[None]") -> None:
    """End a task, and wait until it has ended."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled() and (error := task.exception()) is not None:
        raise error


async def _pieces(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def _root(scope: Scope, request: Request) -> str:
    """The proxy's own root as the client names it; by its address where it names none that can stand in a URL."""
    host = request.headers.get("host", "")
    root = f"{scope['scheme']}://{host}"
    try:
        named = urlsplit(root).netloc
    except ValueError:
        named = ""
    if host and named == host and host.isascii() and not any(letter.isspace() for letter in host):
        return root
    server: Any = scope.get("server") or ("localhost", 0)
    return f"{scope['scheme']}://{server[0]}:{server[1]}"
