"""What an answer gives to the steps that follow: ids, a delivery and its members, where to look.

The same reading serves who makes steps of a tape and who plays steps, so both find the same things.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final
from urllib.parse import unquote, urljoin

from popreceipt import vocabulary
from popreceipt.client import wire
from popreceipt.client.wire import Reply
from popreceipt.stage import REDIRECTS

Values = dict[str, str]

_READ: Final = {
    vocabulary.ENQUEUE: "message",
    vocabulary.DEQUEUE: "delivery",
    vocabulary.EXECUTION_ID: "execution",
}


def kind_of_reply(reply: Reply) -> str | None:
    """What the answer to a request is called; None where it gives nothing."""
    if reply.status in REDIRECTS and reply.header("location"):
        return "location"
    kind = _READ.get(reply.exchange.operation)
    return kind if kind is not None and of_reply(kind, reply) else None


def of_reply(name: str, reply: Reply) -> Values:
    """What the answer to a request gives, under the name that it shall have; nothing where it is not what it should be.

    Args:
        name: a kind, or a kind with a number (`delivery-1`).
        reply: the answer.
    """
    kind = name.partition("-")[0]
    if kind == "location":
        location = reply.header("location")
        if not location or reply.status not in REDIRECTS:
            return {}
        with suppress(ValueError):  # It is no address.
            return {name: urljoin(reply.exchange.request.url, location)}
        return {}
    if kind == "message":
        message = wire.message_id(reply)
        return {name: message} if message else {}
    if kind == "execution":
        execution = wire.execution(reply)
        return {name: execution} if execution else {}
    found = wire.delivery(reply) if kind == "delivery" else None
    return {} if found is None else _of_delivery(name, found.body, found.members)


def _of_delivery(name: str, body: bytes, members: Mapping[str, Any]) -> Values:
    values = {f"{name}.{member}": value for member, value in members.items() if isinstance(value, str)}
    try:
        values[name] = body.decode("utf-8")
    except UnicodeDecodeError:
        # Its members are known all the same: JSON may come in other encodings.
        values.pop(name, None)
    location = wire.member(members, vocabulary.DOWNLOAD_LOCATION)
    if isinstance(location, str):
        for pair in location.partition("?")[2].partition("#")[0].split("&"):
            parameter, _, value = pair.partition("=")
            if value:
                values[f"{name}.{vocabulary.DOWNLOAD_LOCATION}?{parameter}"] = unquote(value)
    return values


def kind_of_told(method: str, path: str, body: Any) -> str | None:
    """What the answer to a control call is called; None where it gives nothing."""
    words = path.partition("?")[0].strip("/").split("/")
    if (method, words) == ("POST", ["activities"]):
        direction = body.get("direction") if isinstance(body, Mapping) else None
        return str(direction) if direction in ("export", "import") else None
    if (method, words) == ("POST", ["projects"]):
        return "project"
    if len(words) == 3 and words[0] == "activities":
        return {("POST", "produce"): "message", ("GET", "messages"): "rows"}.get((method, words[2]))
    return None


def of_told(name: str, answer: Any) -> Values:
    """What the answer to a control call gives, under the name that it shall have."""
    kind = name.partition("-")[0]
    if kind == "rows":
        rows = answer if isinstance(answer, list) else []
        return {
            f"{name}.{place}.MessageId": row["MessageId"]
            for place, row in enumerate(rows)
            if isinstance(row, Mapping) and isinstance(row.get("MessageId"), str)
        }
    member = "messageId" if kind == "message" else "id"
    value = answer.get(member) if isinstance(answer, Mapping) else None
    return {name: vocabulary.bare_guid(value)} if isinstance(value, str) and value else {}
