"""The dialect sweep: every other answer to what a scenario touches, alone and in pairs."""

import sys
from dataclasses import replace
from itertools import combinations, product

import pytest

from popreceipt.emulator.profile import POINTS
from popreceipt.exceptions import UsageError
from popreceipt.middleware import dialects, selection
from popreceipt.middleware.scenario import Scenario

from .conftest import PLAIN, OpenInstrument

EVERY = selection.everything()

SWEPT = [pytest.param(each, id=f"{each.name}-{each.dialect}") for each in dialects.sweep(EVERY)]

TOUCHING = replace(PLAIN, touches=("dequeue.empty-queue", "dequeue.blank-last-dequeue", "acknowledgment.late"))


def test_every_other_answer_is_tried_once_where_it_is_touched() -> None:
    """With the scenario's own answers beside it."""
    played = [(each.name, each.dialect) for each in dialects.sweep(EVERY)]
    wanted = {
        (scenario.name, f"{name}={value}")
        for scenario in EVERY
        for name in scenario.touches
        for value in POINTS[name].values[1:]
    }
    assert set(played) == wanted
    assert len(played) == len(wanted)


def test_the_sweep_is_about_as_wide_as_what_is_left_open() -> None:
    """Some twenty points that a client can meet, and some forty answers, at least."""
    assert len({name.partition("=")[0] for name in dialects.names()}) >= 20
    assert len(dialects.names()) >= 40


def test_dialects_come_in_the_order_of_their_points() -> None:
    """So that the first that breaks a subject is the first that a reader meets."""
    met = list(dict.fromkeys(each.dialect for each in dialects.sweep(EVERY)))
    assert met == dialects.names()


@pytest.mark.parametrize(
    "scenario", [pytest.param(each, id=f"{each.name}-{each.dialect}") for each in dialects.sweep(EVERY)]
)
def test_each_can_be_played(scenario: Scenario, opened: OpenInstrument) -> None:
    """And the journal says which dialect was spoken."""
    if scenario.export is not None and scenario.export.messages > 3:
        scenario = replace(scenario, export=replace(scenario.export, messages=3))
    hands = opened(scenario)
    name, _, value = (scenario.dialect or "").partition("=")
    assert hands.instrument.journal.header.dialect == scenario.dialect
    assert getattr(hands.instrument._emulator.profile, POINTS[name].field) == value


def test_pairs_hold_every_pair_of_answers() -> None:
    """The usual answers among them; the plain scenario is not played again."""
    rows = [each.points for each in dialects.sweep([TOUCHING], "pairs")] + [{}]
    for one, other in combinations(TOUCHING.touches, 2):
        for wanted in product(POINTS[one].values, POINTS[other].values):
            assert any(
                (row.get(one, POINTS[one].values[0]), row.get(other, POINTS[other].values[0])) == wanted for row in rows
            )
    assert all(each.dialect for each in dialects.sweep([TOUCHING], "pairs"))


def test_pairs_are_fewer_than_all_combinations_and_the_seed_chooses() -> None:
    """The same seed gives the same rows."""
    rows = [dialects.sweep([TOUCHING], "pairs", seed=seed) for seed in (1, 1, 2)]
    assert len(rows[0]) < 2 * 5 * 2
    assert rows[0] == rows[1]
    assert rows[0] != rows[2]


def test_one_point_alone_has_no_pairs() -> None:
    """The single deviations are all there is."""
    assert dialects.sweep([replace(PLAIN, touches=("dequeue.empty-queue",))], "pairs") == ()


def test_without_the_library_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes with an extra."""
    monkeypatch.setitem(sys.modules, "allpairspy", None)
    with pytest.raises(UsageError, match=r"popreceipt\[middleware\]"):
        dialects.sweep([TOUCHING], "pairs")


def test_a_dialect_is_put_on_a_scenario() -> None:
    """Beside the answers that it has already."""
    redirected = replace(PLAIN, points={"download.answer": "redirect"})
    changed = dialects.under(redirected, "dequeue.empty-queue=200-empty, acknowledgment.late=500")
    assert changed.dialect == "dequeue.empty-queue=200-empty,acknowledgment.late=500"
    assert changed.points == {
        "download.answer": "redirect",
        "dequeue.empty-queue": "200-empty",
        "acknowledgment.late": "500",
    }


@pytest.mark.parametrize(
    ("dialect", "said"),
    [
        ("dequeue.empty=204", "no open point"),
        ("dequeue.empty-queue=205", "cannot be '205'"),
        ("download.answer=direct", "is about download.answer=redirect"),
        ("acknowledgment.late=500,acknowledgment.late=200", "answered twice"),
    ],
)
def test_a_dialect_that_cannot_be_is_refused(dialect: str, said: str) -> None:
    """In a sentence."""
    with pytest.raises(UsageError, match=said):
        dialects.under(replace(PLAIN, points={"download.answer": "redirect"}), dialect)


def test_a_dialect_alone_is_played_where_it_is_touched() -> None:
    """In no other scenario it could show."""
    found = dialects.touched_by("zero-records.no-file-answer=location-filled", EVERY)
    assert [each.name for each in found] == ["no-file"]
    with pytest.raises(UsageError, match="shows in no scenario"):
        dialects.touched_by("batch.overrun=joins", EVERY)
    with pytest.raises(UsageError, match="no open point"):
        dialects.touched_by("batch.overrum=joins", EVERY)


def test_no_scenario_touches_what_it_answers_itself() -> None:
    """It would be another scenario then."""
    assert not [each.name for each in EVERY if set(each.touches) & set(each.points)]
