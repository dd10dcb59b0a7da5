"""A file behind a signed address: a story asks for the address anew, and says so where nobody tells it one."""

from datetime import UTC, datetime

from popreceipt.client.tape import Sent
from popreceipt.client.wire import Ask, Reply
from popreceipt.journal import Journal
from popreceipt.reproduction.steps import Call
from popreceipt.reproduction.story import sentence
from popreceipt.reproduction.taken import steps_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SIGNATURE = "q7Rf3kXw0ZsY2mTnB8uVhJ4LdEoPaGcIiKbNvQxW"
ASK = Ask("GET", "/c/file.zip", f"sr=b&sig={SIGNATURE}", operation="download")


def test_a_story_says_what_it_lacks() -> None:
    """Neither its steps nor its sentences have the signature."""
    exchange = Journal().record(
        sent=NOW, answered=NOW, method="GET", url=f"https://blobs.example{ASK.target}", status=200
    )
    (step,) = steps_of([Sent(ASK, "authorised", None, (), False, Reply(exchange, 200))])
    assert isinstance(step, Call)
    assert SIGNATURE not in repr(step)
    assert "sig=redacted:" in step.query
    assert "what signed this address is kept nowhere" in sentence(step)
