"""Downloads: the bytes of a file, straight away or through a redirect to its blob."""

import hashlib
import hmac
from urllib.parse import urlsplit

from popreceipt.emulator import problems
from popreceipt.emulator.activity import Activity
from popreceipt.emulator.deliveries import Missing
from popreceipt.emulator.guids import read_guid
from popreceipt.emulator.http import Response
from popreceipt.emulator.routes.call import Call

BLOBS = "_blobs"


def answer(call: Call, activity: Activity) -> Response:
    """What a DownloadLocation names."""
    parameters = call.request.parameters()
    correlation = read_guid(parameters.get("correlation-id", ""))
    blob = read_guid(parameters.get("blob", ""))
    if correlation is None or blob is None:
        return problems.connector(400, "The parameters correlation-id and blob must be GUIDs.")
    if call.emulator.profile.download_answer == "redirect":
        return Response(302, (("location", blob_location(call, activity, correlation, blob)),))
    return _file(call, activity, correlation, blob)


def blob_answer(call: Call) -> Response | None:
    """The answer of blob storage, which asks for a signature in the URL and for no token; None for other paths."""
    words = call.words
    if len(words) != 4 or words[0] != BLOBS:
        return None
    if call.emulator.profile.download_answer != "redirect" and not call.emulator.location_is_blob:
        return None
    if call.request.method != "GET":
        return problems.connector(405, "A blob can only be read.", ("allow", "GET"))
    activity = call.emulator.store.activity(words[1])
    signature = call.request.parameters().get("sig", "")
    expected = _signature(call, *words[1:])
    if activity is None or not hmac.compare_digest(signature.encode("utf-8"), expected.encode("utf-8")):
        return problems.connector(403, "The signature does not fit.")
    return _file(call, activity, words[2], words[3])


def _file(call: Call, activity: Activity, correlation: str, blob: str) -> Response:
    profile = call.emulator.profile
    content = call.emulator.deliveries.download(activity, correlation, blob, call.now)
    if content is Missing.EXPIRED:
        return problems.connector(int(profile.retention_expired_download), "The file has expired.")
    if isinstance(content, Missing):
        return problems.connector(404, "There is no such file.")
    kind = "application/zip" if profile.download_content_type == "zip" else "application/octet-stream"
    return Response(200, (("content-type", kind),), content)


def blob_location(call: Call, activity: Activity, correlation: str, blob: str) -> str:
    """The blob where blob storage is: else under another name of this computer, on the same port."""
    named = f"/{BLOBS}/{activity.id}/{correlation}/{blob}?sig={_signature(call, activity.id, correlation, blob)}"
    if call.emulator.blob_root is not None:
        return call.emulator.blob_root + named
    base = urlsplit(call.emulator.base_url)
    host = "127.0.0.1" if base.hostname == "localhost" else "localhost"
    port = f":{base.port}" if base.port is not None else ""
    return f"{base.scheme}://{host}{port}{base.path}{named}"


def _signature(call: Call, *names: str) -> str:
    return hmac.new(call.emulator.signing_secret, "/".join(names).encode("utf-8"), hashlib.sha256).hexdigest()
