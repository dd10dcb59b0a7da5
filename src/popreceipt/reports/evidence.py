"""The exchanges behind a finding: one line each for people, and as curl lines that show it again."""

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from popreceipt.journal import Body, Exchange, instant_text

_SHOWN = 300
"""Characters of a body that a line shows."""

_LEFT_OUT = frozenset({"host", "accept", "accept-encoding", "connection", "user-agent", "content-length"})


def by_number(exchanges: Iterable[Exchange]) -> dict[int, Exchange]:
    """Exchanges by their number in the journal."""
    return {each.seq: each for each in exchanges}


def line(exchange: Exchange) -> str:
    """One exchange in one line: when, what was asked, by whom, what came back."""
    parts = urlsplit(exchange.request.url)
    asked = f"{parts.path}?{parts.query}" if parts.query else parts.path
    if exchange.response is None:
        answer = exchange.failure or "no answer"
    else:
        answer = str(exchange.response.status)
        if exchange.failure:
            answer += f" ({exchange.failure})"
        if exchange.response.body is not None:
            answer += f" {_body(exchange.response.body)}"
    who = f" as {exchange.actor}" if exchange.actor else ""
    took = "" if exchange.sent == exchange.answered else f" … {_time(exchange.answered)}"
    return f"#{exchange.seq} {_time(exchange.sent)}{took}  {exchange.request.method} {asked}{who} → {answer}"


def curl(exchanges: Iterable[Exchange], *, movable: bool) -> Iterator[str]:
    """Command lines that repeat the exchanges; $BASE_URL and $TOKEN are the reader's.

    Between them the target's clock is moved where it is `movable`, else a comment says how long to wait.
    """
    before: datetime | None = None
    for each in exchanges:
        if before is not None and (seconds := (each.sent - before).total_seconds()) > 0:
            step = json.dumps({"advance_seconds": round(seconds, 6)})
            if movable:
                yield f'curl -s -X POST "$BASE_URL/_control/v1/clock" -d {shlex.quote(step)}'
            elif seconds >= 1:
                yield f"# {timedelta(seconds=round(seconds))} later"
        before = each.sent
        parts = urlsplit(each.request.url)
        asked = f"{parts.path}?{parts.query}" if parts.query else parts.path
        words = ["curl -i"]
        if each.request.method != "GET":
            words.append(f"-X {each.request.method}")
        for name, value in each.request.headers:
            if name == "authorization":
                words.append('-H "Authorization: Bearer $TOKEN"')
            elif name not in _LEFT_OUT:
                words.append(f"-H {shlex.quote(f'{name}: {value}')}")
        if (body := each.request.body) is not None:
            if body.text is not None:
                words.append(f"--data-binary {shlex.quote(body.text)}")
            else:
                words.append(f"--data-binary @body-{(body.sha256 or 'unknown')[:12]}")
        words.append(f'"$BASE_URL{asked}"')
        yield " ".join(words)


def lines_for(
    numbers: Iterable[int], exchanges: Mapping[int, Exchange], *, movable: bool
) -> tuple[list[str], list[str]]:
    """The evidence of one finding: lines for people, and curl lines."""
    shown = [exchanges[number] for number in numbers if number in exchanges]
    return [line(each) for each in shown], list(curl(shown, movable=movable))


def _body(body: Body) -> str:
    if body.text is not None:
        text = " ".join(body.text.split())
        return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
    return f"({body.length} bytes, sha256 {(body.sha256 or '')[:12]}…)"


def _time(instant: datetime) -> str:
    text = instant_text(instant)
    return text.replace(".000000Z", "Z")
