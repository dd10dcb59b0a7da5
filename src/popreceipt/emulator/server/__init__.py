"""The emulator behind a socket: HTTP/1.1, with TLS where it is wanted.

It turns what arrives into a `Request`, hands it over, and sends what comes back. It knows sockets, certificates and
signals; it knows no route and judges no request, save that it stops reading a body that is over the limit and lets
the emulator say so.

There are two ways through it, and they answer alike. A plain request (all that matters has arrived, nothing is asked
of the connection) is answered as soon as its last byte is there, without a task of its own: that halves what a request
costs. Everything else takes the way of ASGI, with which applications can be mounted beside the service as well.
"""

from popreceipt.emulator.server.application import Application, Mounted
from popreceipt.emulator.server.door import Door, is_loopback_host
from popreceipt.emulator.server.running import HttpServer
from popreceipt.emulator.server.service import Deferring, Grouping, Limits, Service

__all__ = [
    "Application",
    "Deferring",
    "Door",
    "Grouping",
    "HttpServer",
    "Limits",
    "Mounted",
    "Service",
    "is_loopback_host",
]
