"""The two cores that a measurement needs: one for what is measured, one for who measures."""

import os
import sys

from popreceipt.exceptions import UsageError


def two_cores() -> tuple[int, int]:
    """The core for servers, and the one for their client.

    Raises:
        UsageError: this is no Linux, or there are not two.
    """
    if sys.platform != "linux":
        raise UsageError("These measurements need Linux: they pin processes to cores and read /proc.")
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise UsageError("These measurements need two cores: one for the server, one for who calls it.")
    return cores[0], cores[1]
