"""A plan tells every request that a tour may send, and sends none; what it bounds is what is kept to."""

import json
import socket
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from popreceipt.exceptions import NothingProved
from popreceipt.rules import catalogue, find
from popreceipt.tenants.description import Tenant, describe
from popreceipt.tour.errand import Call, Errand, Route
from popreceipt.tour.errands import errands
from popreceipt.tour.planning import Plan, plan

if TYPE_CHECKING:
    from conftest import Ground

HOUR = 3600.0

IDS = {
    role: f"11111111-0000-4000-8000-00000000000{number}"
    for number, role in enumerate(
        (
            "import-file",
            "import-in-order",
            "import-package",
            "import-disabled",
            "export-package",
            "export-file",
            "export-no-zero",
        )
    )
}


def tenant(**members: Any) -> Tenant:
    """A description in which everything may be done, unless told otherwise."""
    told: dict[str, Any] = {
        "base_url": "https://qa.example",
        "token_url": "https://login.example/oauth2/v2.0/token",
        "client_id": "one",
        "client_secret_env": "A_SECRET_THAT_IS_NOWHERE",
        "activities": {role: {"id": each, "exclusive": True} for role, each in IDS.items()},
    }
    return describe("qa", told | members, Path("popreceipt.toml"))


def planned(*all_errands: Errand, patience_seconds: float = HOUR, **options: Any) -> Plan:
    """The plan for these."""
    described = options.pop("tenant", None) or tenant()
    return plan(described, all_errands, patience_seconds=patience_seconds, **options)


def nothing(call: Call) -> Route:
    """An errand that does nothing."""
    del call
    yield from ()


def reasons(found: Plan) -> dict[str, str | None]:
    """Why each errand is not run."""
    return {each.errand.name: each.reason for each in found.errands}


def test_nothing_is_sent_opened_or_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """No socket, and no secret: the one that the description names is nowhere."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    found = plan(tenant(), errands(tenant()), patience_seconds=HOUR)
    assert found.run
    assert found.most > 0
    json.dumps(found.as_json())


def test_every_line_of_every_errand_is_well_formed() -> None:
    """One name each, which begins with its errand's; roles that exist; a bound; what for, in words."""
    everything = tenant(
        clients={
            role: {"client_id": role, "client_secret_env": "A_SECRET_THAT_IS_NOWHERE"}
            for role in ("unlisted", "unmapped")
        }
    )
    all_errands = errands(everything)
    names = [each.name for each in all_errands]
    assert len(set(names)) == len(names)
    ids = [line.id for each in all_errands for line in each.lines]
    assert len(set(ids)) == len(ids)
    for each in all_errands:
        assert each.takes >= timedelta(0)
        for rule in each.shows:
            find(rule)
        for line in each.lines:
            assert line.id.partition("/")[0] == each.name
            assert line.most > 0
            assert line.role is None or line.role in everything.activities
            assert line.text


@pytest.mark.parametrize(
    ("options", "members", "words"),
    [
        ({"roles": ("export-file",)}, {"activities": {"import-file": IDS["import-file"]}}, "no activity export-file"),
        ({"clients": ("unlisted",)}, {}, "names no client unlisted"),
        ({"changes": True}, {"read_only": True}, "read_only = true"),
        ({"assisted": True}, {}, "--assisted"),
        (
            {"roles": ("export-package",), "acknowledges": True},
            {"activities": {"export-package": IDS["export-package"]}},
            "exclusive = true",
        ),
    ],
)
def test_an_errand_that_is_not_permitted_or_not_possible_says_why(
    ground: "Ground", options: dict[str, Any], members: dict[str, Any], words: str
) -> None:
    """The reason is also that of the rules which nothing else shows; its requests are not planned."""
    lines = (ground.line("one", "ack", "export-package"),) if options.get("acknowledges") else ()
    one = ground.errand("one", nothing, *lines, shows=("dequeue.answer-members",), **options)
    found = planned(one, tenant=tenant(**members))
    reason = reasons(found)["one"]
    assert reason is not None
    assert words in reason
    assert found.unexercised("dequeue.answer-members") == reason
    assert found.lines == ()


def test_only_errands_that_show_what_was_asked_for(ground: "Ground") -> None:
    """By rule; and rules that no tour can show say what would be needed."""
    one = ground.errand("one", nothing, shows=("dequeue.answer-members",))
    other = ground.errand("other", nothing, shows=("status.vocabulary",))
    found = planned(one, other, rules=(find("status.vocabulary"), find("cleanup.spares-the-rest")))
    assert list(reasons(found)) == ["other"]
    assert found.unexercised("status.vocabulary") is None
    assert found.unexercised("cleanup.spares-the-rest") == "tenant:qa lacks cleanup"


def test_every_rule_is_either_shown_or_says_why_not() -> None:
    """No rule of the catalogue is passed over in silence."""
    found = plan(tenant(), errands(tenant()), patience_seconds=HOUR)
    shown = {rule for each in found.run for rule in each.shows}
    for each in catalogue():
        assert (each.id in shown) == (found.unexercised(each.id) is None)


def test_what_takes_longer_than_patience_is_told_beforehand(ground: "Ground") -> None:
    """With what to do about it."""
    week = ground.errand("week", nothing, takes=timedelta(days=8))
    found = planned(week, ground.errand("hour", nothing, takes=timedelta(minutes=59)))
    assert [each["parked"] for each in found.as_json()["errands"]] == [True, False]
    (told,) = [each for each in found.warnings() if "parked" in each]
    assert "--patience 9d" in told
    assert "--resume" in told


def test_what_a_plan_warns_of(ground: "Ground") -> None:
    """Hidden messages, jobs that others may use, messages that are gone for good, production, a small budget."""
    lines = [
        ground.line("one", "dequeue", "export-file", most=500),
        ground.line("one", "ack", "export-package"),
        ground.line("one", "enqueue", "import-file"),
    ]
    activities = {
        **{role: {"id": each, "exclusive": True} for role, each in IDS.items()},
        "export-file": IDS["export-file"],
    }
    found = planned(
        ground.errand("one", nothing, *lines),
        tenant=tenant(base_url="https://erp.contoso.com", activities=activities, budget={"requests": 100}),
    )
    told = " ".join(found.warnings())
    for words in (
        "erp.contoso.com looks like production",
        "half an hour: export-file",
        "Not marked exclusive, so nothing is acknowledged there: export-file",
        "for good: export-package",
        "stays in the environment: import-file",
        "The budget of 100 requests is less than",
    ):
        assert words in told


def test_the_sum_of_a_plan_is_that_of_its_lines(ground: "Ground") -> None:
    """The tour's own requests included, and everything that is sent comes within it."""
    one = ground.errand("one", nothing, ground.line("one", "enqueue", "import-file", most=3, bytes_each=100))
    found = planned(one).as_json()
    assert found["requests_at_most"] == sum(each["most"] for each in found["lines"])
    assert found["bytes_at_most"] == 300
    assert {each["id"] for each in found["lines"]} == {"tour/time-of-day", "tour/tokens", "one/enqueue"}


def test_a_tour_of_nothing_is_no_tour(ground: "Ground") -> None:
    """Where no errand can be run nothing is opened, and the reasons are told."""
    person = ground.errand("person", nothing, assisted=True)
    with pytest.raises(NothingProved, match="--assisted"):
        ground.drive(person)
    assert ground.opened == 0
