"""Certificates of a run: an authority that the subject is told, and one that it is not.

Keys live in memory and last as long as the run; only the authority's certificate is written, for the subject to trust.
"""

import ssl
from pathlib import Path

import trustme

from popreceipt.emulator.server.door import tls_context


class Certificates:
    """The server's side of TLS for some hosts.

    Args:
        hosts: names and addresses that the certificate is good for.
        foreign: it is of an authority that the subject was not told.
    """

    def __init__(self, *hosts: str, foreign: bool = False) -> None:
        self._told = trustme.CA(organization_name="popreceipt", organization_unit_name="the authority of a run")
        signing = self._told
        if foreign:
            signing = trustme.CA(organization_name="Somebody else", organization_unit_name="an authority nobody told")
        self.context: ssl.SSLContext = tls_context(signing, *hosts)

    def write_authority(self, file: Path) -> None:
        """Write down the certificate of the authority that the subject is told, as PEM.

        Raises:
            OSError: it cannot be written.
        """
        self._told.cert_pem.write_to_path(str(file))
