"""Another process takes over at any moment, and everything ends as if none had."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Made, Office

    Step = tuple[Any, ...]
    Swaps = Callable[[int], bool]

JOBS = (
    {"direction": "import", "in_order": True, "processing_recurrence": {"every": 5, "unit": "minutes"}},
    {
        "direction": "import",
        "processing_recurrence": {"every": 2, "unit": "minutes", "end": {"count": 4}},
        "monitoring_recurrence_minutes": 3,
    },
    {"direction": "export", "processing_recurrence": {"every": 7, "unit": "minutes", "end": {"count": 3}}},
)
FILES = {"good": ("CUSTOMERGROUPID", "A"), "bad": ("CUSTOMERGROUPID", "A" * 11), "unreadable": ("NOTHING", "A")}

# In order with a queue, over which the batch job dies; at once, with a death after the records have landed.
STORY: tuple[Step, ...] = (
    ("dies", 0, "before", 2),
    ("dies", 1, "after", 1),
    *(("send", 0, kind) for kind in ("good", "bad", "good", "unreadable")),
    ("send", 1, "good"),
    ("send", 1, "good"),
    ("fetch", 0),
    ("pass", 61),
    ("send", 1, "bad"),
    ("pass", 302),
    ("fetch", 1),
    ("pass", 0.5),
    ("send", 0, "good"),
    ("skip", True),
    ("pass", 121),
    ("delete-history", 1),
    ("process", 0),
    ("skip", False),
    ("pass", 2),
    ("clean-up", 1, "ProcessedWithErrors"),
    ("stuck", 1),
    ("send", 1, "good"),
    ("pass", 400),
)


def opened(office: Office) -> list[str]:
    """The jobs of a story."""
    return [office.control("POST", "/activities", dict(job))["id"] for job in JOBS]


def played(office: Office, story: Sequence[Step], swaps: Swaps = lambda _: False) -> list[Any]:
    """What there is to see at the end of a story; after which moments another process takes over is `swaps`."""
    jobs, moments = opened(office), count()
    for step in (*story, ("pass", 3_600), ("fetch", 0), ("fetch", 1), ("fetch", 2), ("pass", 1)):
        match step:
            case ("send", number, kind):
                header, key = FILES[kind]
                office.send(jobs[number], key, header=header)
            case ("pass", seconds):
                passed(office, seconds, swaps, moments)
            case ("dies", number, phase, position):
                office.fault("dies", jobs[number], phase=phase, position=position)
            case ("stuck", number):
                office.fault("stuck", jobs[number])
            case ("process", number):
                office.process(jobs[number])
            case ("fetch", number):
                office.batch(jobs[number], "get-status")
            case ("delete-history", number):
                office.batch(jobs[number], "delete-history")
            case ("clean-up", number, status):
                body = {"olderThanDays": 0, "statuses": [status]}
                office.control("POST", f"/activities/{jobs[number]}/cleanup", body)
            case ("skip", whether):
                office.control("PATCH", "/parameters", {"skip_reprocessing": whether})
            case ("in-order", number, whether):
                office.change(jobs[number], in_order=whether)
            case _:
                raise LookupError(step)
        if swaps(next(moments)):
            office.swap()
    return [(seen(office, job), office.load(job), len(office.keys(job))) for job in jobs]


def passed(office: Office, seconds: float, swaps: Swaps, moments: count[int]) -> None:
    """Time passes, moment by moment."""
    goal = office.clock.now() + timedelta(seconds=seconds)
    while (due := office.emulator.agenda.next()) is not None and due <= goal:
        office.clock.sleep_until(due)
        office.emulator._do_next(due)
        if swaps(next(moments)):
            office.swap()
    office.clock.sleep_until(goal)


def seen(office: Office, job: str) -> list[dict[str, Any]]:
    """The rows without their IDs: another process gives others."""
    return [{name: value for name, value in row.items() if name != "MessageId"} for row in office.rows(job)]


def test_the_story_has_what_it_is_about(office: Office) -> None:
    """Deaths, retries, an order that waits, an end by count: else nothing would be proved below."""
    order, at_once, source = played(office, STORY)
    in_order = [(row["Status"], row["RetryCount"], row["ProcessingStartedDateTime"][14:19]) for row in order[0]]
    assert in_order == [
        ("Processed", 0, "05:00"),
        ("ProcessedWithErrors", 1, "10:00"),
        ("Processed", 0, "10:03"),
        ("PreProcessingError", 0, "10:06"),
        ("Processed", 0, "10:07"),
    ]
    beside = [(row["Status"], row["RetryCount"], row["BatchStatus"]) for row in at_once[0]]
    assert beside == [("Processed", 1, None), ("Processed", 0, None), ("Enqueued", 0, None)]
    assert sum(sample["processed"] for sample in at_once[1]) == 3
    assert [row["EnqueueDateTime"][14:16] for row in source[0]] == ["07", "14", "21"]


def test_another_process_takes_over_after_each_moment(offices: Made) -> None:
    """Each does one thing, and goes."""
    assert played(offices(), STORY, lambda _: True) == played(offices(), STORY)


def test_another_process_opens_the_folder_after_each_moment(offices: Made, tmp_path: Path) -> None:
    """With nothing handed on but what is on disk."""
    assert played(offices(folder=tmp_path), STORY, lambda _: True) == played(offices(), STORY)


SLOW = {
    "batch_startup": timedelta(seconds=20),
    "batch_parallel": 2,
    "processing": timedelta(seconds=70),
    "processing_record": timedelta(seconds=1.5),
}
"""Runs that outlast their recurrence."""


@pytest.mark.parametrize("parameters", [{}, SLOW], ids=["quick", "slow"])
@pytest.mark.parametrize(
    "dialect",
    [
        (),
        ("batch.status-before-fetch=newest",),
        ("ordering.failed-message=blocks",),
        ("batch.overrun=at-once",),
        ("batch.overrun=joins",),
    ],
)
def test_another_process_takes_over_once(offices: Made, dialect: tuple[str, ...], parameters: dict[str, Any]) -> None:
    """After every prefix of the story, as far as single moments."""
    asked: list[int] = []
    expected = played(offices(*dialect, **parameters), STORY, lambda number: bool(asked.append(number)))
    assert len(asked) > 50
    for last in asked:
        story = played(offices(*dialect, **parameters), STORY, lambda number, last=last: number == last)
        assert story == expected


IMPORTS = st.integers(0, 1)
STEPS = st.one_of(
    st.tuples(st.just("send"), IMPORTS, st.sampled_from(sorted(FILES))),
    st.tuples(st.just("send"), IMPORTS, st.just("good")),
    st.tuples(st.just("pass"), st.sampled_from([0.5, 1, 2, 3, 60, 119.5, 120, 300])),
    st.tuples(st.just("dies"), IMPORTS, st.sampled_from(["before", "after"]), st.integers(1, 3)),
    st.tuples(st.just("stuck"), IMPORTS),
    st.tuples(st.just("process"), IMPORTS),
    st.tuples(st.sampled_from(["fetch", "delete-history"]), st.integers(0, 2)),
    st.tuples(st.just("clean-up"), IMPORTS, st.sampled_from(["Processing", "Enqueued", "Processed", "Preprocessing"])),
    st.tuples(st.just("skip"), st.booleans()),
    st.tuples(st.just("in-order"), IMPORTS, st.booleans()),
)


# The fixture makes new offices for each example.
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    story=st.lists(STEPS, max_size=25),
    swaps=st.sets(st.integers(0, 80)),
    dialect=st.sampled_from([(), (), ("batch.overrun=at-once",), ("batch.overrun=joins",)]),
    parameters=st.sampled_from([{}, SLOW]),
)
def test_whatever_happens_and_whenever(
    offices: Made, story: list[Step], swaps: set[int], dialect: tuple[str, ...], parameters: dict[str, Any]
) -> None:
    """Any story, and processes that come and go at any of its moments."""
    undisturbed = played(offices(*dialect, **parameters), story)
    assert played(offices(*dialect, **parameters), story, swaps.__contains__) == undisturbed
