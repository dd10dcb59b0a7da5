"""HAR files for judging clients: requests' bodies count as much as answers', and what is missing is said."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from popreceipt.exceptions import UsageError
from popreceipt.journal import Body, Exchange
from popreceipt.recordings import open_recording
from popreceipt.reproduction import har
from popreceipt.rules import catalogue
from popreceipt.rules.readings import Readings
from popreceipt.verdict import Binds, Outcome, judge

ROOT = "https://qa.example"
ACTIVITY = "6f1a4f2e-0000-4000-8000-000000000001"
DOWNLOAD = f"{ROOT}/api/connector/download/{ACTIVITY}?correlation-id=1&blob=2"
DELIVERY = json.dumps(
    {"CorrelationId": "1", "PopReceipt": "r", "DownloadLocation": DOWNLOAD, "IsDownLoadFileExist": True}
)
ZIP = b"PK\x03\x04\x00\xff\xfe\x80"


def entry(second: int, method: str, url: str, content: Any = None, posted: Any = None, **more: Any) -> dict[str, Any]:
    """One entry as browsers and proxies write it."""
    request = {"method": method, "url": url, "headers": [{"name": "content-type", "value": "application/json"}]}
    if posted is not None:
        request["postData"] = posted
    return {
        "startedDateTime": f"2026-03-01T10:00:{second:02d}.000Z",
        "time": 100,
        "request": {**request, **more.get("request", {})},
        "response": {"status": 200, "headers": [], "content": content or {"size": 0}, **more.get("response", {})},
    }


DEQUEUE = entry(0, "GET", f"{ROOT}/api/connector/dequeue/{ACTIVITY}", {"text": DELIVERY, "size": len(DELIVERY)})
FILE = entry(1, "GET", DOWNLOAD, {"text": base64.b64encode(ZIP).decode(), "encoding": "base64", "size": len(ZIP)})
ACK = entry(2, "POST", f"{ROOT}/api/connector/ack/{ACTIVITY}", posted={"text": DELIVERY})


def opened(folder: Path, *entries: dict[str, Any]) -> list[Exchange]:
    """The exchanges of an archive of these entries."""
    path = folder / "traffic.har"
    path.write_text(json.dumps({"log": {"version": "1.2", "entries": list(entries)}}), encoding="utf-8")
    return [each for each in open_recording(path) if isinstance(each, Exchange)]


def outcomes(folder: Path, *entries: dict[str, Any]) -> dict[str, Outcome]:
    """What becomes of each rule that binds clients."""
    opened(folder, *entries)
    recording = open_recording(folder / "traffic.har")
    return {each.id: each.outcome for each in judge(Readings(recording.header, recording), catalogue(Binds.CLIENT))}


def test_a_right_client_is_judged_by_an_archive(tmp_path: Path) -> None:
    """Its acknowledgment repeats the answer, after the file."""
    found = outcomes(tmp_path, DEQUEUE, FILE, ACK)
    assert [name for name, outcome in found.items() if outcome is Outcome.VIOLATED] == []
    for rule in ("acknowledgment.after-a-whole-download", "acknowledgment.says-what-dequeue-said"):
        assert found[rule] is Outcome.HELD


def test_a_wrong_client_is_convicted_by_an_archive(tmp_path: Path) -> None:
    """One that acknowledges what it never fetched, and with another receipt."""
    assert outcomes(tmp_path, DEQUEUE, ACK)["acknowledgment.after-a-whole-download"] is Outcome.VIOLATED
    other = entry(2, "POST", ACK["request"]["url"], posted={"text": DELIVERY.replace('"r"', '"made-up"')})
    assert outcomes(tmp_path, DEQUEUE, FILE, other)["acknowledgment.says-what-dequeue-said"] is Outcome.VIOLATED


def test_a_download_without_its_content_is_still_a_download(tmp_path: Path) -> None:
    """Programs leave large bodies out: the file came, whatever was in it, and two such files are not the same."""
    first = entry(1, "GET", DOWNLOAD, {"size": 1_000_000})
    found = opened(tmp_path, DEQUEUE, first, ACK)
    assert found[1].response is not None
    assert found[1].response.body == Body(length=1_000_000)
    assert outcomes(tmp_path, DEQUEUE, first, ACK)["acknowledgment.after-a-whole-download"] is Outcome.HELD
    readings = Readings(open_recording(tmp_path / "traffic.har").header, found)
    again = Readings(
        readings.header, opened(tmp_path, entry(1, "GET", DOWNLOAD.replace("blob=2", "blob=3"), {"size": 9}))
    )
    assert readings.downloads[0].digest != again.downloads[0].digest


@pytest.mark.parametrize("status", [200, 201])
def test_an_archive_without_the_words_cannot_be_judged(status: int, tmp_path: Path) -> None:
    """An answer to a dequeue, or an acknowledgment, that is left out would convict whoever it was."""
    blank = entry(0, "GET", DEQUEUE["request"]["url"], {"size": 300}, response={"status": status})
    with pytest.raises(UsageError, match="the answer to a dequeue of 2026-03-01T10:00:00"):
        opened(tmp_path, blank)
    silent = entry(2, "POST", ACK["request"]["url"], request={"bodySize": 300})
    with pytest.raises(UsageError, match="the body of an acknowledgment"):
        opened(tmp_path, DEQUEUE, FILE, silent)


def test_other_answers_without_their_content_tell_nothing(tmp_path: Path) -> None:
    """What a status was is not known: no answer was recorded."""
    url = f"{ROOT}/data/DataManagementDefinitionGroups/Microsoft.Dynamics.DataEntities.GetMessageStatus"
    (exchange,) = opened(tmp_path, entry(0, "POST", url, {"size": 80}, {"text": '{"messageId": "1"}'}))
    assert exchange.failure == "not recorded"


ENQUEUE = f"{ROOT}/api/connector/enqueue/{ACTIVITY}?entity=x"


@pytest.mark.parametrize(
    "posted",
    [
        {"text": base64.b64encode(ZIP).decode(), "encoding": "base64"},
        {"text": ZIP.decode("latin-1")},
        {"text": ZIP.decode("utf-8", "surrogateescape")},
    ],
    ids=["base64", "latin-1", "surrogates"],
)
def test_a_files_bytes_are_found_again(posted: dict[str, str], tmp_path: Path) -> None:
    """An archive holds text; what the bytes were, the announced length tells."""
    length = {"headers": [{"name": "Content-Length", "value": str(len(ZIP))}]}
    (exchange,) = opened(tmp_path, entry(0, "POST", ENQUEUE, posted=posted, request=length))
    assert exchange.request.body is not None
    assert exchange.request.body.digest() == hashlib.sha256(ZIP).hexdigest()


def test_a_mangled_file_is_known_by_its_length(tmp_path: Path) -> None:
    """Where the bytes are lost nothing is made up: two such files are not taken for one."""
    length = {"headers": [{"name": "content-length", "value": "8"}]}
    mangled = [entry(n, "POST", ENQUEUE, posted={"text": "PK\ufffd\ufffd"}, request=length) for n in (0, 1)]
    exchanges = opened(tmp_path, *mangled)
    assert [each.request.body for each in exchanges] == [Body(length=8), Body(length=8)]
    recording = open_recording(tmp_path / "traffic.har")
    one, other = Readings(recording.header, recording).enqueues
    assert one.digest != other.digest


def test_a_form_may_come_in_parts(tmp_path: Path) -> None:
    """Some programs list the fields instead of the text; secrets among them are replaced."""
    url = "https://login.example/0d5d423d/oauth2/v2.0/token"
    fields = [{"name": "grant_type", "value": "client_credentials"}, {"name": "client_secret", "value": "s3cret-words"}]
    (exchange,) = opened(tmp_path, entry(0, "POST", url, {"text": "{}"}, {"params": fields}))
    assert exchange.request.body is not None
    assert exchange.request.body.text is not None
    assert exchange.request.body.text.startswith("grant_type=client_credentials&client_secret=redacted")


def test_entries_are_put_in_order_of_time(tmp_path: Path) -> None:
    """Also where programs write local times: ten o'clock there is nine here."""
    late = {**FILE, "startedDateTime": "2026-03-01T11:00:01+01:00"}
    exchanges = opened(tmp_path, ACK, late, DEQUEUE)
    assert [each.operation for each in exchanges] == ["dequeue", "download", "ack"]


def test_an_answer_that_did_not_come_whole(tmp_path: Path) -> None:
    """A status with an error beside it is none."""
    (exchange,) = opened(
        tmp_path, entry(0, "GET", DOWNLOAD, {"text": "PK", "size": 2}, response={"_error": "truncated"})
    )
    assert exchange.failure == "truncated"


def test_an_archive_of_our_own_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Bodies too long for it are known by their digest."""
    large = base64.b64encode(ZIP * 20_000).decode()
    exchanges = opened(
        tmp_path, DEQUEUE, entry(1, "GET", DOWNLOAD, {"text": large, "encoding": "base64", "size": 160_000}), ACK
    )
    har.write(tmp_path / "again.har", exchanges)
    again = [each for each in open_recording(tmp_path / "again.har") if isinstance(each, Exchange)]
    assert [(each.operation, each.request.body, each.response and each.response.body) for each in again] == [
        (each.operation, each.request.body, each.response and each.response.body) for each in exchanges
    ]


@pytest.mark.parametrize("text", ["{}", "[]", '{"log": {"entries": "x"}}', "[" * 100_000, "no JSON"])
def test_what_is_no_har_is_told_so(text: str, tmp_path: Path) -> None:
    """Wrong usage, whatever the file holds instead."""
    path = tmp_path / "traffic.har"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match="is no HAR file that can be read"):
        open_recording(path)
