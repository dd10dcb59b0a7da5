"""The fuzz suite itself: right servers pass, wrong ones are convicted, and it says when it proves little."""

import os
from pathlib import Path
from typing import Any

import pytest
from schemathesis.checks import CHECKS
from schemathesis.core.media_types import MEDIA_TYPE_STRATEGIES
from schemathesis.transport.requests import REQUESTS_TRANSPORT

from popreceipt import fuzz, targets
from popreceipt.emulator.mutants import MUTANTS, OF_SHAPES, shapes
from popreceipt.emulator.profile import DIALECTS
from popreceipt.exceptions import NotAbleTo, UsageError
from popreceipt.fuzz import Extent, FuzzResult
from popreceipt.fuzz.campaign import Campaign
from popreceipt.reproduction.failure import Failure
from popreceipt.shapes.documents import joined, operations
from popreceipt.targets import Target, open_target
from popreceipt.verdict import Level

SMALL = Extent(examples=4, stories=5, steps=6)
"""As little as shows each operation with and without its state."""

IN_CI = ("dequeue.empty-queue=200-empty", "acknowledgment.body-needed=whole", "transport.unknown-activity=500")
"""Dialects that every run tries; POPRECEIPT_DIALECTS=all has it try all of them."""


def fuzzed(text: str, extent: Extent = SMALL, **options: Any) -> FuzzResult:
    """The result of a small run on a target that a string names."""
    with open_target(text) as target:
        return fuzz.run(target, extent=extent, **options)


def convicting(result: FuzzResult) -> list[Failure]:
    """The failures that convict."""
    return [each for each in result.failures if each.oracle.level is Level.MUST]


# Right servers


def test_the_plain_emulator_passes() -> None:
    """Nothing is found, and every operation was asked in the state that its success needs."""
    result = fuzzed("emulator:", Extent(12, 15, 8))
    assert result.failures == []
    assert result.shortfalls == ()
    figures = result.figures
    assert figures["unexercised"] == {}
    assert set(figures["phases"]) == {"examples", "coverage", "fuzzing", "stateful"}
    assert figures["cases"] == sum(each["calls"] for each in figures["operations"].values()) > 500
    for name, each in figures["operations"].items():
        assert each["share"] >= fuzz.FLOOR, name
    assert set(figures["strangers"]) == {
        "altered",
        "anonymous",
        "expired",
        "forged",
        "foreign-audience",
        "unlisted",
        "unmapped",
    }


@pytest.mark.parametrize("dialect", DIALECTS if os.environ.get("POPRECEIPT_DIALECTS") == "all" else IN_CI)
def test_a_dialect_passes(dialect: str) -> None:
    """What the documentation leaves open convicts nobody."""
    result = fuzzed(f"emulator:dialect={dialect}")
    assert convicting(result) == []
    assert result.shortfalls == ()


def test_over_a_socket_the_same_passes(served: str) -> None:
    """The emulator in a process of its own."""
    result = fuzzed(served)
    assert result.failures == []
    assert result.shortfalls == ()
    assert result.figures["unexercised"] == {}


def test_a_server_that_shares_nothing_with_the_emulator_passes(independent: str) -> None:
    """What it differs in on purpose is no conviction."""
    result = fuzzed(independent)
    assert convicting(result) == []
    assert result.shortfalls == ()
    assert set(result.figures["unexercised"]) <= {"a token for another audience"}


def control_plane() -> dict[str, Any]:
    """The specification of the control plane, below its root."""
    document = joined(("control",))
    document["paths"] = {f"/_control/v1{path}": item for path, item in document["paths"].items()}
    return document


def test_the_control_plane_keeps_its_own_specification() -> None:
    """The harness' side of the emulator, which no run on anybody's server asks."""
    with open_target("emulator:") as target:
        campaign = Campaign(target, 0, SMALL, document=control_plane())
        campaign.run(None)
        assert campaign.ledger.found() == []
        assert {each.name for each in campaign.operations} == set(campaign.ledger.calls)
        assert target.emulator is not None
        assert not target.emulator.faults


def test_a_control_plane_that_does_not_is_found() -> None:
    """A member that every clock should tell, and this one does not."""
    document = control_plane()
    told = document["paths"]["/_control/v1/clock"]["get"]["responses"]["200"]["content"]["application/json"]
    told["schema"] = {"allOf": [told["schema"], {"type": "object", "required": ["phase-of-the-moon"]}]}
    with open_target("emulator:") as target:
        campaign = Campaign(target, 0, SMALL, document=document, operation_ids=frozenset({"getClock"}))
        campaign.run(None)
        (found,) = campaign.ledger.found()
    assert found.oracle.name == "response_schema_conformance.getClock"


# Wrong servers


ASKED = {
    "message-id": {"enqueue"},
    "enqueue": {"enqueue"},
    "receipt": {"dequeue"},
    "file-exists": {"dequeue"},
    "dequeue": {"dequeue"},
    "acknowledgment": {"ack"},
    "jobstatus": {"jobstatus"},
    "status": {"getMessageStatus"},
    "execution": {"getExecutionIdByMessageId"},
    "errors": {"getExecutionErrors"},
    "summary": {"getExecutionSummaryStatus"},
    "token": {"token", "tokenV1"},
}
"""The operations that a mutant of shape is about, by how its id begins: nothing else has to be asked."""


@pytest.mark.parametrize("mutant", [*shapes.MUTANTS, *shapes.FOR_SPECIFICATIONS], ids=lambda each: each.id)
def test_a_wrong_shape_is_convicted(mutant: Any) -> None:
    """By the specification, whether or not a rule notices as well."""
    ids = next(ids for words, ids in ASKED.items() if mutant.id.startswith(words))
    result = fuzzed(f"emulator:{mutant.id}", operation_ids=frozenset(ids))
    found = {each.oracle.name.partition(".")[0] for each in result.failures}
    assert found & {"status_code_conformance", "content_type_conformance", "response_schema_conformance"}


@pytest.mark.parametrize(
    "mutant",
    [
        "forged-tokens-accepted",
        "expired-tokens-accepted",
        "foreign-tokens-accepted",
        "unmapped-application-accepted",
        "unlisted-application-accepted",
    ],
)
def test_strangers_who_are_let_in_are_found(mutant: str) -> None:
    """A success for any of them is a failure."""
    assert mutant in MUTANTS
    names = {each.oracle.name for each in fuzzed(f"emulator:{mutant}").failures}
    assert any(name.startswith("stranger-refused") for name in names), names


@pytest.mark.parametrize(
    "mutant", ["acknowledgment-without-effect", "lease-of-29-minutes", "file-error-left-out", "action-without-context"]
)
def test_rules_judge_every_call(mutant: str) -> None:
    """A rule that a mutant breaks is among the failures, with a tape that shows it."""
    found = {each.oracle.name: each for each in fuzzed(f"emulator:{mutant}").failures}
    claimed = set(MUTANTS[mutant].convicted_by) & set(found)
    assert claimed
    assert all(found[each].tape and found[each].exchanges for each in claimed)


# What a run says of itself


def test_the_same_seed_makes_the_same_run() -> None:
    """Byte for byte, in the journal; another seed another one."""

    def journal(seed: int) -> list[bytes]:
        with open_target("emulator:", seed=1) as target:
            fuzz.run(target, seed=seed, extent=SMALL)
            return list(target.journal.lines())

    assert journal(1) == journal(1)
    assert journal(1) != journal(2)


def test_a_floor_can_be_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where examples are sent as they were made up, what they ask about is not there: the run says so."""
    monkeypatch.setattr("popreceipt.fuzz.equipment.LEFT_AS_MADE", 1.0)
    result = fuzzed("emulator:", Extent(12, 1, 2))
    assert any(each.startswith("ack:") for each in result.shortfalls)
    assert any(each.startswith("dequeue:") for each in result.shortfalls)


EXEMPTIONS = [
    ("emulator:dialect=acknowledgment.incomplete-body=500", "ack", "not_a_server_error"),
    ("emulator:", "enqueue", "negative_data_rejection"),
    ("emulator:dialect=transport.unknown-activity=400", "enqueue", "positive_data_acceptance"),
    ("emulator:", "token", "positive_data_acceptance"),
    ("emulator:dialect=transport.wrong-verb=404", "getMessageStatus", "unsupported_method"),
    ("emulator:dialect=transport.unknown-activity=500", "dequeue", "not_a_server_error"),
]
"""A server that is right, an operation, and the check that would convict it there."""


@pytest.mark.parametrize(("text", "operation", "check"), EXEMPTIONS)
def test_an_exemption_is_needed(text: str, operation: str, check: str) -> None:
    """Without it a right server would be convicted."""
    document = joined()
    for item in document["paths"].values():
        for told in item.values():
            if isinstance(told, dict) and told.get("operationId") == operation:
                kept = [each for each in told["x-popreceipt-exempt"] if each["check"] != check]
                assert len(kept) < len(told["x-popreceipt-exempt"])
                told["x-popreceipt-exempt"] = kept
    with open_target(text) as target:
        campaign = Campaign(target, 0, Extent(15, 1, 2), document=document, operation_ids=frozenset({operation}))
        campaign.run(None)
        assert {each.oracle.name.partition(".")[0] for each in campaign.ledger.found()} == {check}


def test_every_exemption_has_a_reason() -> None:
    """A sentence that says why, and a situation that is known."""
    told = [exemption for each in operations(joined()) for exemption in each.exempt]
    assert told
    assert all(len(each.reason.split()) > 4 and each.only in (None, "refused-activity") for each in told)


# What a run leaves alone


def test_nothing_stays_registered() -> None:
    """Who uses schemathesis beside the suite finds it as it was."""
    before = (dict(MEDIA_TYPE_STRATEGIES), list(CHECKS.get_all_names()), dict(REQUESTS_TRANSPORT._serializers))
    fuzzed("emulator:", Extent(1, 1, 2))
    assert (dict(MEDIA_TYPE_STRATEGIES), list(CHECKS.get_all_names()), dict(REQUESTS_TRANSPORT._serializers)) == before


def test_progress_is_told() -> None:
    """From the first operation to the last example."""
    told: list[tuple[int, int, str]] = []
    with open_target("emulator:") as target:
        fuzz.run(target, extent=Extent(1, 2, 2), progress=lambda *each: told.append(each))
    assert told[0][0] == 1
    assert told[-1][0] == told[-1][1]
    assert any(what.startswith("coverage") for _, _, what in told)


def test_a_target_that_does_not_permit_it_is_left_alone() -> None:
    """The error says what to write."""
    with open_target("emulator:") as target:
        target.permits_fuzzing = False
        with pytest.raises(NotAbleTo, match="fuzz = true"):
            fuzz.run(target)
        assert not [each for each in target.journal.exchanges() if each.operation != "token"]


@pytest.mark.parametrize(("line", "permitted"), [("", False), ("fuzz = true", True), ("fuzz = false", False)])
def test_a_tenant_s_table_permits(
    line: str, permitted: bool, ticking: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only where it says so."""
    monkeypatch.setenv("POPRECEIPT_CONFIG", str(tmp_path / "popreceipt.toml"))
    with open_target(ticking) as known:
        tables = _tables(known, line)
        for role, each in known.tokens.identity["clients"].items():
            monkeypatch.setenv(f"SECRET_{role.upper()}", str(each["client_secret"]))
    (tmp_path / "popreceipt.toml").write_text(tables)
    with open_target("tenant:qa") as target:
        assert target.permits_fuzzing is permitted


def test_a_tenant_known_by_its_wire_is_fuzzed(ticking: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it cannot be brought to is told, and convicts nobody."""
    monkeypatch.setenv("POPRECEIPT_CONFIG", str(tmp_path / "popreceipt.toml"))
    with open_target(ticking) as known:
        (tmp_path / "popreceipt.toml").write_text(_tables(known, "fuzz = true"))
        for role, each in known.tokens.identity["clients"].items():
            monkeypatch.setenv(f"SECRET_{role.upper()}", str(each["client_secret"]))
    result = fuzzed("tenant:qa", Extent(2, 2, 4))
    assert convicting(result) == []
    assert result.shortfalls == ()
    assert "dequeue" in result.figures["unexercised"]
    assert result.figures["operations"]["message-status"]["met_precondition"] > 0


def _tables(known: Target, line: str) -> str:
    identity = known.tokens.identity
    clients = "".join(
        f'[tenant.qa.clients.{role}]\nclient_id = "{each["client_id"]}"\nclient_secret_env = "SECRET_{role.upper()}"\n'
        for role, each in identity["clients"].items()
        if role != "authorised"
    )
    roles = "".join(
        f'{name} = {{ id = "{each["id"]}", exclusive = true }}\n'
        for name, each in known.activities.items()
        if name in targets.ROLES
    )
    return (
        f'[tenant.qa]\n{line}\nbase_url = "{known.session.base_url}"\ntoken_url = "{identity["token_url"]}"\n'
        f'token_url_v1 = "{identity["token_url_v1"]}"\ntenant = "{identity["tenant"]}"\n'
        f'resource = "{identity["resource"]}"\nclient_id = "{identity["clients"]["authorised"]["client_id"]}"\n'
        f'client_secret_env = "SECRET_AUTHORISED"\n{clients}[tenant.qa.activities]\n{roles}'
    )


def test_an_effort_that_does_not_exist_is_refused() -> None:
    """By name."""
    with open_target("emulator:") as target, pytest.raises(UsageError, match="fast or thorough"):
        fuzz.run(target, effort="lazy")


def test_mutants_of_shape_stand_in_one_list_or_the_other() -> None:
    """Those that a rule claims, and those that only a specification convicts."""
    assert all(each.convicted_by for each in shapes.MUTANTS)
    assert not any(each.convicted_by for each in shapes.FOR_SPECIFICATIONS)
    assert not set(MUTANTS) & set(OF_SHAPES)
