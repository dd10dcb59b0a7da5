"""A locustfile without anything of ours: FastHttpUser, one request again and again. What plain Locust does and costs.

Locust runs it in a process of its own and nothing else imports it: Locust patches sockets and threads. It is told by
the environment what to send (`POPRECEIPT_BENCH_PATH`, `…_HEADERS` as JSON, `…_BODY` as text) and how many requests a
second each user is to make (`…_EACH`, 0 for as many as it can).
"""

import json
import os

from locust import FastHttpUser, constant, constant_throughput, task

PATH = os.environ["POPRECEIPT_BENCH_PATH"]
HEADERS = json.loads(os.environ["POPRECEIPT_BENCH_HEADERS"])
BODY = os.environ["POPRECEIPT_BENCH_BODY"].encode("utf-8")
EACH = float(os.environ["POPRECEIPT_BENCH_EACH"])


class Plain(FastHttpUser):
    """Sends the one request, and waits for its answer before it thinks of the next."""

    wait_time = constant_throughput(EACH) if EACH else constant(0)

    @task
    def send(self) -> None:
        """The one request."""
        self.client.post(PATH, data=BODY, headers=HEADERS, name="enqueue")  # type: ignore[arg-type]  # it takes bytes
