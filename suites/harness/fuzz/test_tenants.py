"""Fuzzing somebody's environment: within its budget, on its own activities, and never as if more had been asked."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from popreceipt import fuzz, verification
from popreceipt.client.transport import TOO_LONG, Answer
from popreceipt.emulator.profile import Profile
from popreceipt.fingerprints.tour import AsTenant, Described
from popreceipt.fuzz import FuzzResult
from popreceipt.fuzz.campaign import Extent
from popreceipt.targets import Target
from popreceipt.tenants.description import ROLES, Budget
from popreceipt.vocabulary import ACK, DEQUEUE, ENQUEUE

SMALL = Extent(examples=1, stories=2, steps=4)


@contextmanager
def tenant(budget: Budget | None = None, exclusive: bool = True, **members: Any) -> Iterator[Target]:
    """The emulator as a tenant that may be fuzzed."""
    emulator = AsTenant(Profile(), Described({role: {"exclusive": exclusive} for role in ROLES}))
    emulator.tenant = replace(emulator.tenant, budget=budget or Budget(), fuzz=True)
    with emulator.open(0) as opened:
        yield replace(opened, permits_fuzzing=True, **members)


def fuzzed(target: Target) -> FuzzResult:
    return fuzz.run(target, extent=SMALL)


@pytest.mark.parametrize("budget", [Budget(requests=150), Budget(megabytes=0.2)], ids=["requests", "megabytes"])
def test_a_spent_budget_ends_the_run_and_is_a_shortfall(budget: Budget) -> None:
    """What was not asked was not proved, wherever the budget came to its end; nobody is convicted of it."""
    with tenant(budget) as target:
        result = fuzzed(target)
        assert target.guard is not None
        assert target.guard.spent.requests <= (budget.requests or 1_000)
    assert result.failures == []
    assert "is spent. The rest was not asked" in result.shortfalls[-1]
    assert result.figures["stopped"] in result.shortfalls[-1]


def test_a_spent_budget_is_no_success_of_the_command() -> None:
    """The run is not complete, which ends it with 3."""
    with tenant(Budget(requests=100)) as target:
        verdicts = verification.verify(target, suites=("fuzz",))
    assert not verdicts.complete
    assert verdicts.exit_status() == 3
    assert "budget of 100 requests" in " ".join(verdicts.notes)


def test_what_others_use_is_not_taken_from() -> None:
    """Neither dequeued nor acknowledged; the reason is told, and the rest is fuzzed."""
    with tenant(exclusive=False) as target:
        result = fuzzed(target)
        told = [each for each in target.journal.exchanges() if each.operation in (DEQUEUE, ACK)]
        exports = {each["id"] for role, each in target.activities.items() if role.startswith("export")}
    assert result.failures == []
    assert "exclusive = true" in result.figures["unexercised"][ACK]
    assert result.figures["operations"][ENQUEUE]["met_precondition"] > 0
    assert not [each for each in told if each.actor == "authorised" and any(one in each.request.url for one in exports)]


def test_a_client_with_a_certificate_has_no_secret_to_send(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests for a token are sent as they were made up; the reason is told."""
    with tenant() as target:
        clients = {role: {"client_id": each["client_id"]} for role, each in target.identity["clients"].items()}
        identity = {**target.identity, "clients": clients}
        secret = target.identity["clients"]["authorised"]["client_secret"]
        usual = target.tokens.current()
        monkeypatch.setattr(target.tokens, "_identity", identity)
        monkeypatch.setattr(target.tokens, "current", lambda _="authorised": usual)  # elsewhere through MSAL
        result = fuzzed(replace(target, identity=identity))
        bodies = [str(each.request.body) for each in target.journal.exchanges()]
    assert result.failures == []
    assert "certificate" in result.figures["unexercised"]["token"]
    assert not [each for each in bodies if secret in each]


def test_an_answer_without_end_convicts_nobody_of_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was answered, with more than there was room for."""
    with tenant() as target:
        usual = target.session._transport.exchange

        def flooded(method: str, base: str, path: str, *arguments: Any, **options: Any) -> Answer:
            answer = usual(method, base, path, *arguments, **options)
            return Answer(200, (), b"", TOO_LONG) if "GetMessageStatus" in path else answer

        monkeypatch.setattr(target.session._transport, "exchange", flooded)
        result = fuzzed(target)
    assert result.failures == []
