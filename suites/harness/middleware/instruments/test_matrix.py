"""The lost-response matrix: sixty scenarios, and each does what its name says."""

from itertools import product
from typing import Any

import pytest

from popreceipt.middleware.matrix import FAILURE, KINDS, OPERATIONS, PHASES, cell_of, matrix
from popreceipt.middleware.scenario import Scenario

from .conftest import Hands, OpenInstrument

BY_NAME = [pytest.param(each, id=each.name) for each in matrix()]


def test_there_are_sixty() -> None:
    """Each operation, each phase, each kind, once."""
    assert {cell_of(each) for each in matrix()} == set(product(OPERATIONS, PHASES, KINDS))
    assert len(matrix()) == 60
    assert len({each.title for each in matrix()}) == 60


def test_other_scenarios_have_no_cell() -> None:
    """Whatever they are called."""
    assert cell_of(Scenario(name="lost", title="", source="")) is None
    assert cell_of(Scenario(name="empty-queue", title="", source="")) is None


@pytest.mark.parametrize("scenario", BY_NAME)
def test_each_does_what_its_name_says(scenario: Scenario, opened: OpenInstrument) -> None:
    """One request is struck; it has taken effect or not; what comes back is lost, replaced, cut short or whole."""
    cell = cell_of(scenario)
    assert cell is not None
    operation, phase, kind = cell
    hands = opened(scenario)
    (fault,) = scenario.faults
    for _ in range(fault["position"] - 1):
        hands.ask(operation)
    before = effects(hands)
    answer = hands.ask(operation)
    asked = "message-status" if operation == "status" else operation
    (told,) = hands.seen("fault")
    exchange = hands.exchanges(asked)[fault["position"] - 1]
    assert told["exchange"] == exchange.seq
    assert told["phase"] == phase
    match kind:
        case "slow":
            assert answer is not None
            assert answer.is_success
        case "status":
            assert answer is not None
            assert answer.status_code == FAILURE
        case _:
            assert answer is None
            wanted = "reset" if (phase == "before" and kind == "truncated") or not exchange_has_body(asked) else kind
            assert exchange.failure == ("reset" if kind == "truncated" and wanted == "reset" else kind)
    if operation != "status":
        took_effect = phase == "after" or kind == "slow"
        assert (effects(hands)[operation] - before[operation] == 1) is took_effect
    again = hands.ask(operation)
    assert again is not None
    assert again.is_success


def exchange_has_body(operation: str) -> bool:
    """Whether there is something of an answer that could be cut short: an acknowledgment's is empty."""
    return operation != "ack"


def effects(hands: Hands) -> dict[str, int]:
    """How often something took effect, by operation, as the service itself knows."""
    emulator: Any = hands.instrument._emulator
    messages = [each for one in emulator.store.activities() for each in emulator.store.messages_of(one.id)]
    return {
        "token": emulator.identity._tokens._count,
        "enqueue": sum(each.visible_from is None for each in messages),
        "dequeue": sum(each.deliveries for each in messages),
        "download": sum(each.last_downloaded is not None for each in messages),
        "ack": sum(each.acknowledged is not None for each in messages),
    }
