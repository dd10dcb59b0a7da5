"""A server of the recurring integrations connector that shares nothing with the emulator.

Written from the documentation and the contract alone, so that the suites are seen to judge a server by what was
promised and not by how our own one answers. Where the documentation leaves a point open it chooses otherwise than
the emulator does: an empty queue is a blank 200, every delivery has its own CorrelationId, an acknowledgment wants
the whole body and a download first, processing takes no time, the newest message is delivered first, columns stand
in another order, execution units are run from the last one on, Manage messages has a batch status as soon as a run is
over, what a dead job left is put back by a run and taken by the one after it, and so on.
`--defect NAME` breaks one thing on purpose.
"""

from __future__ import annotations

import argparse
import json
import re
import secrets
import signal
import sys
import threading
from datetime import timedelta
from http.server import ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from stranger_connector import Connector
from stranger_control import Control
from stranger_jobs import Job, Refusal
from stranger_shapes import GUID
from stranger_wire import Wire
from stranger_world import World

DEFECTS = {
    "early-after-download": "a message that was downloaded comes back after twenty minutes",
    "loses-a-waiting-message": "a second dequeue within the same second drops one of three waiting messages",
    "stale-receipt-effective": "a receipt replaced by a later dequeue still acknowledges",
    "refused-receipt-effective": "the same, and the answer is a refusal",
    "bad-record-ends-file": "the records after a bad one are not imported",
    "in-order-reversed": "a job that processes in order takes the newest message first",
    "filter-for-one-job": "only the first job of a project heeds its filter",
    "map-not-applied": "an import fills fields from the columns of their own names, whatever the map says",
    "batch-status-frozen": "once its status was fetched, a job's messages show what they showed then",
    "hidden-counts-as-waiting": "samples of the load count as waiting what is in process too",
    "never-requeued": "what a dead batch job left in process stays there, whatever the parameter says",
}

TOKEN_SECONDS = 1500


class Handler(Connector, Control, Wire):
    """The wire: the connector, the actions, the token endpoints and the control plane."""

    def route(self, body: bytes) -> tuple[int, object, dict[str, str]]:
        """Who is to answer this path."""
        url = urlsplit(self.path)
        path = url.path
        if path.startswith("/_control/v1/"):
            return (*self.control(path.removeprefix("/_control/v1/"), url.query, body), {})
        if path.startswith("/sign-in/"):
            return (*self.token(path, body), {"Pragma": "no-cache"})
        if path.startswith("/data/"):
            return (*self.action(path, body), {"OData-Version": "4.0"})
        if path.startswith("/blobs/") and self.command == "GET" and self.redirects:
            return 200, self.blob(url.query), {}
        if path.startswith("/files/"):
            return self.file(path, url.query)
        found = re.fullmatch(r"(?:/[a-z]{2}(?:-[a-z]{2})?)?/api/connector/(\w+)/([^/]+)", path)
        handlers = {
            ("POST", "enqueue"): self.enqueue,
            ("GET", "dequeue"): self.dequeue,
            ("POST", "ack"): self.ack,
            ("GET", "jobstatus"): self.jobstatus,
        }
        handler = handlers.get((self.command, found[1])) if found else None
        if handler is None:
            raise Refusal(404, {"Message": "Nothing here."})
        client = self.client()
        activity = GUID.fullmatch(unquote(found[2]))
        if activity is None:
            raise Refusal(404, {"Message": "Not an activity ID."})
        job = self.world.jobs.get(activity[1].lower())
        if job is None:
            raise Refusal(400, {"Message": "No such activity."})
        self.check_policy(client, job)
        return handler(job, url.query, body)

    # Who asks

    def client(self) -> str:
        """The role of the application whose token the request carries."""
        scheme, _, token = (self.headers.get("Authorization") or "").partition(" ")
        name, until = self.world.tokens.get(token.strip(), (None, None))
        if scheme.lower() != "bearer" or name is None or self.world.now >= until:
            raise Refusal(401, {"Message": "Sign in."}, {"WWW-Authenticate": 'Bearer error="invalid_token"'})
        if name == "unmapped":
            raise Refusal(403, {"Message": "Forbidden"})
        return name

    def check_policy(self, client: str, job: Job) -> None:
        """Refuse an application that is not enabled on the job."""
        if client != "authorised" or not job.settings["enabled"]:
            raise Refusal(403, {"Message": "That application does not work with this job."})

    def token(self, path: str, body: bytes) -> tuple[int, object]:
        """Issue a token of either version to an application with its secret."""
        world = self.world
        version = {f"/sign-in/{world.tenant}/v2": 2, f"/sign-in/{world.tenant}/v1": 1}.get(path)
        if version is None or self.command != "POST":
            raise Refusal(404, {"error": "invalid_request"})
        form = {name: values[-1] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
        if form.get("grant_type") != "client_credentials":
            raise Refusal(400, {"error": "unsupported_grant_type", "error_description": "only client_credentials"})
        role = next((one for one, it in world.clients.items() if it["client_id"] == form.get("client_id")), None)
        if role is None or world.clients[role]["client_secret"] != form.get("client_secret"):
            raise Refusal(
                401, {"error": "invalid_client", "error_description": "AADSTS7000215", "error_codes": [7000215]}
            )
        wanted = form.get("scope") if version == 2 else form.get("resource")
        if wanted != (self.base + "/.default" if version == 2 else self.base):
            raise Refusal(400, {"error": "invalid_resource", "error_description": "AADSTS500011"})
        token = secrets.token_urlsafe(40)
        world.tokens[token] = (role, world.now + timedelta(seconds=TOKEN_SECONDS))
        answer: dict[str, object] = {"access_token": token, "token_type": "Bearer", "expires_in": TOKEN_SECONDS}
        if version == 1:
            answer |= {"expires_in": str(TOKEN_SECONDS), "resource": self.base}
        return 200, answer


class Server(ThreadingHTTPServer):
    """A thread for each connection."""

    daemon_threads = True
    request_queue_size = 64


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--defect", choices=sorted(DEFECTS))
    parser.add_argument("--redirects", action="store_true", help="downloads lead to another host that wants no token")
    options = parser.parse_args()
    server = Server(("127.0.0.1", options.port), Handler)
    Handler.world = World(options.defect)
    Handler.base = f"http://127.0.0.1:{server.server_port}"
    Handler.blobs = f"http://localhost:{server.server_port}/blobs"
    Handler.redirects = options.redirects
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(json.dumps({"base_url": Handler.base}), flush=True)
    server.serve_forever(poll_interval=0.1)
    server.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
