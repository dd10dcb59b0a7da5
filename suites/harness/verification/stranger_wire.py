"""How a stranger reads requests and writes answers, faults by plan included: HTTP and nothing of what is said in it."""

from __future__ import annotations

import json
import re
import secrets
import socket
import time
from http.server import BaseHTTPRequestHandler
from urllib.parse import unquote, urlsplit

import stranger_faults as faults
import stranger_shapes as shapes
from stranger_jobs import Refusal
from stranger_shapes import GUID
from stranger_world import World

LARGEST_BODY = 30_000_000


class Wire(BaseHTTPRequestHandler):
    """One request after another; `route` answers them."""

    protocol_version = "HTTP/1.1"
    server_version = "Elsewhere"
    sys_version = ""
    disable_nagle_algorithm = True
    wbufsize = -1

    world: World

    def log_message(self, *_: object) -> None:
        """Keep quiet."""

    def handle_any(self) -> None:
        """Answer one request, whatever its verb."""
        fault = None
        try:
            body = self.whole_body()
            with self.world.lock:
                fault = self.fault()
                if fault is None or fault["phase"] == "after":
                    status, answer, headers = self.route(body)
        except Refusal as refusal:
            status, answer, headers = refusal.status, refusal.body, refusal.headers
        except shapes.Wrong as wrong:
            status, answer, headers = 400, {"error": str(wrong)}, {}
        if fault is None:
            self.reply(status, answer, headers)
        elif fault["kind"] == "status":
            after = {} if fault["retry_after"] is None else {"Retry-After": str(fault["retry_after"])}
            self.reply(fault["status"], {"Message": "By plan."}, after)
        elif fault["kind"] == "reset":
            self.hang_up()
        elif fault["kind"] == "timeout":
            time.sleep(fault["seconds"])
            self.hang_up()
        else:
            self.reply(status, answer, headers, fault)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = handle_any  # noqa: N815

    def fault(self) -> faults.Fault | None:
        """The fault that is planned for this request."""
        path = urlsplit(self.path).path
        if path.startswith("/_control/"):
            return None
        found = re.search(r"/api/connector/\w+/([^/]+)", path)
        activity = GUID.fullmatch(unquote(found[1])) if found else None
        file = re.match(r"/(?:files|blobs)/([0-9a-f]+)", path)
        owner = [
            job.id for job in self.world.jobs.values() for one in job.messages if file and f"{one.number:x}" == file[1]
        ]
        identity = activity[1].lower() if activity else owner[0].lower() if owner else None
        return self.world.faults.struck(faults.operation_of(path), identity, faults.OF_REQUESTS)

    def hang_up(self) -> None:
        """Reset the connection."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        socket.close(self.connection.detach())

    def whole_body(self) -> bytes:
        """The request's body, read to its end so that the connection can be kept."""
        if self.headers.get("Transfer-Encoding"):
            self.close_connection = True
            raise Refusal(411)
        length = int(self.headers.get("Content-Length") or 0)
        if length > 4 * LARGEST_BODY:
            self.close_connection = True
            raise Refusal(413, "<html><h1>Too large</h1></html>")
        return self.rfile.read(length)

    def reply(self, status: int, answer: object, headers: dict[str, str], fault: faults.Fault | None = None) -> None:
        """Write the answer, or in case of a fault a part of it, or all of it in its own time."""
        kind = "application/json"
        if isinstance(answer, bytes):
            data, kind = answer, "application/octet-stream"
        elif isinstance(answer, str):
            data, kind = answer.encode(), "text/html" if answer.startswith("<") else "text/plain; charset=us-ascii"
        else:
            data = b"" if answer is None else json.dumps(answer, indent=1).encode()
        truncated = fault is not None and fault["kind"] == "truncated"
        if truncated and not data:
            self.hang_up()
            return
        self.send_response(status)
        if data and "Content-Type" not in headers:
            self.send_header("Content-Type", kind)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(data)))
        self.send_header("X-Elsewhere", secrets.token_hex(4))
        self.send_header("Cache-Control", "no-store")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if truncated:
            asked = len(data) // 2 if fault["after_bytes"] is None else fault["after_bytes"]
            data, self.close_connection = data[: min(asked, len(data) - 1)], True
        if status != 204 and self.command != "HEAD":
            step = len(data) if fault is None or truncated else len(data) // 8 + 1
            for start in range(0, len(data), step or 1):
                self.wfile.write(data[start : start + step])
                if fault is not None and not truncated:
                    self.wfile.flush()
                    time.sleep(fault["seconds"] / 8)
