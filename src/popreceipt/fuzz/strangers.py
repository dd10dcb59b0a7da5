"""Callers who must be refused: without a token, with a forged one, with one for somebody else, from elsewhere.

Each tries what an authorised example is about to do, just before it: what the refused call changed after all, the
example then meets.
"""

from random import Random
from typing import Final

from popreceipt import vocabulary
from popreceipt.client.wire import Ask
from popreceipt.fuzz.ledger import Ledger
from popreceipt.reproduction.oracles import AnswerOracle
from popreceipt.targets import Target

TRIED: Final = 0.15
"""The share of examples that a stranger tries before."""

ELSEWHERE: Final = ("https://graph.microsoft.com", "https://elsewhere.example")
"""Resources that are not the environment; an issuer may know only one of them."""

OF_A_JOB: Final = frozenset({vocabulary.ENQUEUE, vocabulary.DEQUEUE, vocabulary.ACK, vocabulary.JOBSTATUS})
"""Operations behind the authorization policy of a recurring data job; the others know of no job."""

BEYOND_THE_END: Final = 600.0
"""Seconds after a token's end: services allow for clocks that go wrong by some minutes."""


class Strangers:
    """Those who must be refused.

    Args:
        target: by whom.
        ledger: takes what went wrong.
        chance: decides who tries when.
    """

    def __init__(self, target: Target, ledger: Ledger, chance: Random) -> None:
        self._target = target
        self._ledger = ledger
        self._chance = chance
        self.tried: dict[str, int] = {}
        self.kinds = ["anonymous", "forged", "altered", "foreign-audience"]
        self.kinds += [each for each in ("unlisted", "unmapped") if target.can(f"{each}-client")]

    def perhaps_try(self, operation: str, ask: Ask) -> None:
        """Now and then, let a stranger do what an example is about to do."""
        # The article does not say what guards a location: a rule of its own asks about that.
        if operation == vocabulary.DOWNLOAD or self._chance.random() >= TRIED:
            return
        kind = self._chance.choice(self.kinds)
        if kind == "unlisted" and operation not in OF_A_JOB:
            kind = "unmapped" if "unmapped" in self.kinds else "anonymous"
        self.try_as(kind, operation, ask)

    def try_as(self, kind: str, operation: str, ask: Ask, token: str | None = None) -> None:
        """Let a stranger of this kind call."""
        actor, token = (kind, token) if token is not None else self._credentials(kind)
        if actor is None:
            return
        self.tried[kind] = self.tried.get(kind, 0) + 1
        reply = self._target.session.send(ask, actor=actor, token=token)
        if reply.ok:
            told = f"A call of {operation} by a stranger ({kind}) is refused."
            oracle = AnswerOracle(
                reply.exchange.operation, ("2xx",), actor, check=f"stranger-refused.{kind}", told=told
            )
            self._ledger.fail(operation, oracle, f"it was answered {reply.status}", (reply.exchange.seq,))

    def _credentials(self, kind: str) -> tuple[str | None, str | None]:
        tokens = self._target.tokens
        if kind == "anonymous":
            return kind, None
        if kind == "forged":
            return "forged", tokens.forged()
        if kind == "altered":
            return "forged", tokens.forged(part="payload")
        if kind == "foreign-audience":
            token = self._foreign_token()
            return (None, None) if token is None else (kind, token)
        return kind, tokens.current(kind)

    def _foreign_token(self) -> str | None:
        for resource in ELSEWHERE:
            issued = self._target.tokens.obtain(resource=resource, actor="foreign-audience")
            if issued.token is not None:
                return issued.token
        self.kinds.remove("foreign-audience")
        self._ledger.unable("a token for another audience", "the target's identity issues none")
        return None

    def with_expired_token(self, asks: dict[str, Ask]) -> None:
        """Let a token run out and call with it."""
        issued = self._target.tokens.obtain()
        if issued.token is None or issued.expires_in is None:
            self._ledger.unable("an expired token", "the target's identity does not say how long tokens live")
            return
        self._target.times.advance(issued.expires_in + BEYOND_THE_END)
        for operation, ask in asks.items():
            self.try_as("expired", operation, ask, issued.token)
