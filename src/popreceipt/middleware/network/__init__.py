"""What stands between a subject and the emulator: addresses, certificates, a second host and a proxy.

A subject's worst mistakes never become a request to the connector: a token in clear text where TLS is spoken, a token
for another host, a certificate that nobody checked, a connection to a port where nothing answers. Here they are met,
answered so that the subject can go on, and told. Nothing here knows what a request means.
"""

from popreceipt.middleware.network.network import BLOBS, CONNECTOR, Network
from popreceipt.middleware.network.reception import Tell

__all__ = ["BLOBS", "CONNECTOR", "Network", "Tell"]
