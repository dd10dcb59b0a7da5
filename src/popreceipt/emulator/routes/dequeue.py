"""The answer to a dequeue ("API for export (dequeue)", "API for acknowledgment").

Members stand in the order of the captures that public clients hold; the capital L in two of them is the service's own.
"""

import functools
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlsplit

from popreceipt.emulator.activity import Activity
from popreceipt.emulator.deliveries import Offer
from popreceipt.emulator.http import JSON, Response
from popreceipt.emulator.profile import Profile
from popreceipt.emulator.routes.call import Call
from popreceipt.emulator.routes.download import blob_location
from popreceipt.vocabulary import (
    CORRELATION_ID,
    DOWNLOAD_LOCATION,
    FILE_ERROR,
    FILE_EXISTS,
    LAST_DEQUEUE,
    POP_RECEIPT,
)

NO_FILE = "The file does not exist in blob storage: nothing was uploaded, or it has expired."


def answer(call: Call, activity: Activity) -> Response:
    """The next message, leased for half an hour; or that there is none."""
    profile = call.emulator.profile
    offer = call.emulator.deliveries.dequeue(activity, call.now)
    if offer is None:
        if profile.dequeue_empty_queue == "200-empty":
            return Response(200, (("content-type", JSON),))
        return Response(204)
    said: dict[str, Any] = {
        CORRELATION_ID: offer.message.correlation,
        POP_RECEIPT: offer.message.receipt,
        DOWNLOAD_LOCATION: None,
        FILE_EXISTS: offer.has_file,
        FILE_ERROR: None if profile.dequeue_file_error_message == "null" else "",
        LAST_DEQUEUE: None,
    }
    if offer.has_file or profile.zero_records_no_file_answer == "location-filled":
        said[DOWNLOAD_LOCATION] = _location(call, activity, offer)
    if not offer.has_file:
        said[FILE_ERROR] = _NO_FILE_MESSAGES.get(profile.zero_records_no_file_answer, NO_FILE)
    if offer.previous is not None:
        said[LAST_DEQUEUE] = _written(offer.previous, profile)
    elif profile.dequeue_blank_last_dequeue == "absent":
        del said[LAST_DEQUEUE]
    else:
        said[LAST_DEQUEUE] = _BLANKS[profile.dequeue_blank_last_dequeue]
    return Response.of_json(200, said)


_NO_FILE_MESSAGES = {"message-empty": "", "message-null": None}

_BLANKS = {"null": None, "empty": "", "0001": "0001-01-01T00:00:00", "1900": "1900-01-01T00:00:00"}

_FORMATS = {
    "utc": "%Y-%m-%dT%H:%M:%SZ",
    "no-zone": "%Y-%m-%dT%H:%M:%S",
    # Seven digits, as .NET writes them: the seventh is beyond what is kept here.
    "fraction": "%Y-%m-%dT%H:%M:%S.%f0Z",
    "offset": "%Y-%m-%dT%H:%M:%S+00:00",
}


def _written(instant: datetime, profile: Profile) -> str:
    return instant.strftime(_FORMATS[profile.dequeue_last_dequeue_format])


def _location(call: Call, activity: Activity, offer: Offer) -> str:
    """Where to download from: this host, but perhaps another scheme ("Http vs Https")."""
    if call.emulator.location_is_blob:
        return blob_location(call, activity, offer.message.correlation or "", offer.blob_name)
    profile = call.emulator.profile
    match profile.download_location_activity:
        case "as-called":
            spelled = call.segments[-1]
        case "braced":
            spelled = f"%7B{activity.id}%7D"
        case _:
            spelled = activity.id
    root = _download_root(call.emulator.base_url, profile.download_location_scheme, spelled)
    return f"{root}?correlation-id={offer.message.correlation}&blob={offer.blob_name}"


@functools.lru_cache(maxsize=1024)
def _download_root(base_url: str, scheme: str, spelled: str) -> str:
    """What the locations of an activity's files begin with: the same at every dequeue."""
    base = urlsplit(base_url)
    authority = base.netloc
    if scheme == "http-80":
        scheme, authority = "http", f"{_host(base.netloc)}:80"
    return f"{scheme}://{authority}{base.path}/api/connector/download/{quote(spelled, safe='%')}"


def _host(authority: str) -> str:
    """The host of an authority, without its port; an IPv6 address keeps its brackets."""
    host, colon, port = authority.rpartition(":")
    return host if colon and port.isdigit() else authority
