"""Tables of Manage messages: however they were exported, they say the same; what cannot be read is told with its place.

The fixtures are one morning of an import, exported by different people.
"""

import csv
import io
import math
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from popreceipt import resources
from popreceipt.exceptions import UsageError
from popreceipt.generate.manage_messages import EVERY, PHASE, STARTUP, messages, tables
from popreceipt.sizing import manage_messages
from popreceipt.sizing.in_force import InForce, beside_recorded, in_force, of_plan
from popreceipt.sizing.plan import Arrivals, ManageMessages, Plan, Service, read_plan
from popreceipt.sizing.recorded import Recorded
from popreceipt.sizing.simulation import Job, simulate
from popreceipt.sizing.work import Work

FOLDER = resources.fixtures() / "manage-messages"
HEADINGS = "EnqueueDateTime,ProcessingStartedDateTime,ProcessingCompletedDateTime"

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a table and tells its path."""

    def table(*lines: str, headings: str = HEADINGS, encoding: str = "utf-8") -> Path:
        path = tmp_path / "table.csv"
        path.write_bytes("\r\n".join((headings, *lines, "")).encode(encoding))
        return path

    return table


def seconds(*parts: int) -> float:
    return datetime(*parts, tzinfo=UTC).timestamp()


def test_the_tables_are_what_their_maker_makes() -> None:
    """The fixtures can be made again, byte for byte."""
    assert {path.name: path.read_bytes() for path in FOLDER.glob("*.csv")} == tables()


@pytest.mark.parametrize("name", sorted(tables()))
def test_every_export_of_the_same_messages_reads_the_same(name: str) -> None:
    """Encodings, separators, quotes, ways to write a date, order and repetition change nothing."""
    found = manage_messages.read(FOLDER / name)
    wanted = messages()
    assert found.enqueued.tolist() == [each.enqueued.timestamp() for each in wanted]
    both = [each for each in wanted if each.started is not None and each.completed is not None]
    assert found.services.tolist() == [
        (each.completed - each.started).total_seconds()
        for each in both
        if each.started is not None and each.completed is not None
    ]
    assert len(found) - len(found.services) == 2


def test_the_recurrence_in_force_is_seen() -> None:
    """From the starts of runs alone: five minutes, and the phase of its ticks."""
    found = in_force(manage_messages.read(FOLDER / "stored.csv"))
    assert isinstance(found, InForce)
    assert found.minutes == EVERY.total_seconds() / 60
    assert found.confidence > 0.99
    assert found.on_ticks == 1.0
    assert found.parallel == 1
    assert found.at_once is None, "no run outlasted its recurrence"
    assert 0 < found.startup_seconds <= STARTUP.total_seconds() + 1
    # Ticks and start-up together are exact; how they share it is only bounded, by what each run took and left.
    first_file = (found.first_tick + found.startup_seconds) % EVERY.total_seconds()
    assert first_file == pytest.approx((PHASE + STARTUP).total_seconds(), abs=1)


def test_predicted_waits_stand_beside_the_recorded_ones() -> None:
    """Rounding to seconds apart, the walk over runs repeats what was recorded."""
    recorded = manage_messages.read(FOLDER / "german.csv")
    found = in_force(recorded)
    assert isinstance(found, InForce)
    compared = {each.what: each for each in beside_recorded(recorded, found)}
    assert set(compared) == {
        "wait, mean",
        "wait, p50",
        "wait, p95",
        "wait, p99",
        "wait, longest",
        "backlog, maximum",
    }
    for each in compared.values():
        assert each.predicted == pytest.approx(each.observed, abs=2 / 60)
        assert each.allowed is None, "of a real environment nothing is demanded"
    assert compared["wait, mean"].observed == pytest.approx(np.mean(recorded.waits) / 60)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2026-01-31T15:04:05Z", seconds(2026, 1, 31, 15, 4, 5)),
        ("2026-01-31T15:04:05.1234567Z", seconds(2026, 1, 31, 15, 4, 5, 123456)),
        ("2026-01-31 15:04:05 UTC", seconds(2026, 1, 31, 15, 4, 5)),
        ("2026-01-31T15:04:05+01:00", seconds(2026, 1, 31, 14, 4, 5)),
        ("2026-01-31T15:04", seconds(2026, 1, 31, 15, 4)),
        ("2026/1/31 15:04:05", seconds(2026, 1, 31, 15, 4, 5)),
        ("1/31/2026 3:04:05 PM", seconds(2026, 1, 31, 15, 4, 5)),
        ("1/31/2026 3:04:05\u202fPM", seconds(2026, 1, 31, 15, 4, 5)),
        ("1/31/2026 12:04:05 a.m.", seconds(2026, 1, 31, 0, 4, 5)),
        ("31/01/2026 15:04", seconds(2026, 1, 31, 15, 4)),
        ("31-01-2026 15:04:05", seconds(2026, 1, 31, 15, 4, 5)),
        ("31.01.2026 15:04:05", seconds(2026, 1, 31, 15, 4, 5)),
        ("31.1.26 15.04.05", seconds(2026, 1, 31, 15, 4, 5)),
        ("3.2.2026 9:04:05", seconds(2026, 2, 3, 9, 4, 5)),
    ],
)
def test_dates_are_read_as_people_write_them(text: str, wanted: float, write: Write) -> None:
    """ISO, American with half days, European with dots, and what lies between."""
    assert manage_messages.arrivals_of(write(f'"{text}",,')).tolist() == [wanted]


def test_a_date_that_may_be_meant_either_way_is_settled_by_the_others(write: Write) -> None:
    """2/3 is in March where another date of the table can only have its day first, in whichever column that stands."""
    path = write(
        "2/3/2026 10:00:00,2/3/2026 10:05:00,2/3/2026 10:05:04", "12/3/2026 10:00:00,13/3/2026 10:00:00,13/3/2026 10:01"
    )
    assert manage_messages.arrivals_of(path)[0] == seconds(2026, 3, 2, 10)


def test_a_date_that_nothing_settles_is_refused_and_may_be_said(write: Write) -> None:
    """The sentence names the option, and the option settles it."""
    path = write("2/3/2026 10:00:00,,", "4/4/2026 10:00:00,,")
    with pytest.raises(UsageError, match=r'line 2: .*either way.*\[manage_messages\] dates = "month-first"'):
        manage_messages.read(path)
    assert manage_messages.arrivals_of(path, ManageMessages(dates="day-first"))[0] == seconds(2026, 3, 2, 10)
    assert manage_messages.arrivals_of(path, ManageMessages(dates="month-first"))[0] == seconds(2026, 2, 3, 10)


def test_where_day_and_month_are_equal_nothing_is_open(write: Write) -> None:
    """Nobody is asked what makes no difference."""
    assert manage_messages.arrivals_of(write("4/4/2026 10:00:00,,")).tolist() == [seconds(2026, 4, 4, 10)]


def test_times_that_name_no_zone_are_in_the_one_that_is_said(write: Write) -> None:
    """In Copenhagen it is an hour later in winter and two in summer."""
    form = ManageMessages(zone="Europe/Copenhagen")
    path = write("2026-01-31 15:00:00,,", "2026-07-31 15:00:00,,", "2026-07-31T15:00:00Z,,")
    wanted = [seconds(2026, 1, 31, 14), seconds(2026, 7, 31, 13), seconds(2026, 7, 31, 15)]
    assert manage_messages.arrivals_of(path, form).tolist() == wanted


@pytest.mark.parametrize(
    ("zone", "text", "said"),
    [
        ("Europe/Copenhagen", "2026-03-29 02:30:00", "clocks of the time zone have skipped"),
        ("Europe/Copenhagen", "2026-10-25 02:30:00", "the time zone has had twice"),
        ("Europe/Nowhere", "2026-10-25 12:30:00", "no time zone 'Europe/Nowhere'"),
        ("/etc/passwd", "2026-10-25 12:30:00", "no time zone"),
    ],
)
def test_what_a_time_zone_cannot_tell_is_refused(zone: str, text: str, said: str, write: Write) -> None:
    """Skipped hours, doubled hours, zones that nobody knows."""
    with pytest.raises(UsageError, match=said):
        manage_messages.read(write(f"{text},,"), ManageMessages(zone=zone))


BEGUN = "2026-01-31T15:00:00Z"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([f"{BEGUN},soon,"], r"line 2: ProcessingStartedDateTime is 'soon': a date with the time of day is wanted"),
        ([f"{BEGUN},,", ",,", f",{BEGUN},"], r"line 4: EnqueueDateTime is blank"),
        ([f"{BEGUN},2026-01-31T14:00:00Z,"], r"line 2: ProcessingStartedDateTime .* is before the enqueue"),
        ([f"{BEGUN},{BEGUN},2026-01-31T14:59:00Z"], r"line 2: ProcessingCompletedDateTime .* is before the start"),
        ([f"{BEGUN},,2026-01-31T14:00:00Z"], r"line 2: ProcessingCompletedDateTime .* is before the enqueue"),
        (["2026-02-30T15:00:00Z,,"], r"line 2: EnqueueDateTime is '2026-02-30T15:00:00Z': day is out of range"),
        (["13/13/2026 15:00:00,,"], r"line 2: EnqueueDateTime is .*month must be in 1\.\.12"),
        (["1/31/2026 13:00:00 PM,,"], r"line 2: EnqueueDateTime is .*no 13 o'clock in half a day"),
        (["1/31/2026 3:00 PM,,", "31/1/2026 3:00 PM,,"], r"in line 3 the day stands before the month, in line 2"),
        ([f"{BEGUN},,,what"], r"line 2: 4 cells under 3 headings"),
        ([f'"{BEGUN},,'], r"line 2: unexpected end of data"),
        ([], r"has headings and no rows"),
    ],
)
def test_what_cannot_be_understood_is_told_with_line_and_column(lines: list[str], said: str, write: Write) -> None:
    """Nothing is guessed."""
    with pytest.raises(UsageError, match=said):
        manage_messages.read(write(*lines))


@pytest.mark.parametrize("headings", ["", "Enqueued at;Process start;Note", "Message ID,Status"])
def test_a_table_without_the_columns_is_refused_with_what_it_has(headings: str, write: Write) -> None:
    """The sentence names what is missing and how to say what it is called."""
    with pytest.raises(UsageError, match=r"is empty|has no column for .*ProcessingCompletedDateTime.*\[manage_m"):
        manage_messages.read(write(headings=headings))


def test_headings_may_be_named(write: Write) -> None:
    """A table in another language has the same columns."""
    path = write(
        f"{BEGUN};{BEGUN};2026-01-31T15:00:09Z", headings="Eingereiht;Verarbeitung gestartet;Verarbeitung abgeschlossen"
    )
    form = ManageMessages(
        enqueued="Eingereiht", started="verarbeitung gestartet", completed="Verarbeitung abgeschlossen"
    )
    assert manage_messages.services_of(path, form).tolist() == [9.0]


def test_two_columns_of_one_meaning_are_not_chosen_between(write: Write) -> None:
    """Whoever knows says which."""
    path = write(f"{BEGUN},{BEGUN},,", headings="Enqueued,Enqueued at,Processing started,Processing completed")
    with pytest.raises(UsageError, match="more than one column enqueued: Enqueued, Enqueued at"):
        manage_messages.read(path)
    assert len(manage_messages.read(path, ManageMessages(enqueued="Enqueued at"))) == 1


def test_a_spreadsheet_may_name_its_separator(write: Write) -> None:
    """Lines are counted with the one that does."""
    path = write("Enqueued;Processing started;Processing completed", "2026-01-31;;", headings="sep=;")
    with pytest.raises(UsageError, match="line 3: Enqueued is '2026-01-31'"):
        manage_messages.read(path)


def test_text_in_utf_16_is_known_without_its_mark(write: Write) -> None:
    """Some tools cut it off."""
    for encoding in ("utf-16-le", "utf-16-be"):
        path = write(f"{BEGUN},,", encoding=encoding)
        assert manage_messages.arrivals_of(path).tolist() == [seconds(2026, 1, 31, 15)]


def test_text_in_a_code_page_of_windows_is_read(write: Write) -> None:
    """Names of entities and people come with the table."""
    path = write(f"{BEGUN},,,Müller", headings=f"{HEADINGS},User", encoding="cp1252")
    assert len(manage_messages.read(path)) == 1


def test_a_workbook_is_refused_with_what_to_do(tmp_path: Path) -> None:
    """A CSV file is wanted."""
    path = tmp_path / "table.csv"
    path.write_bytes(b"PK\x03\x04 and so on")
    with pytest.raises(UsageError, match="save the sheet as CSV"):
        manage_messages.read(path)
    with pytest.raises(UsageError, match="Cannot read"):
        manage_messages.read(tmp_path / "none.csv")


def test_of_two_rows_of_a_message_the_later_state_counts(write: Write) -> None:
    """A table may have been put together from several exports, headings and all."""
    headings = f"MessageId,{HEADINGS}"
    later = f"{{A}},{BEGUN},2026-01-31T15:05:00Z,2026-01-31T15:05:04Z"
    found = manage_messages.read(write(later, headings, f"a,{BEGUN},,", f"b,{BEGUN},,", headings=headings))
    assert len(found) == 2
    assert found.services.tolist() == [4.0]
    assert found.notes[0].startswith("1 rows stand there twice")


def test_a_message_with_two_stories_is_refused(write: Write) -> None:
    """Nobody can say which one is right."""
    headings = f"MessageId,{HEADINGS}"
    lines = (
        f"a,{BEGUN},2026-01-31T15:05:00Z,2026-01-31T15:05:04Z",
        f"a,{BEGUN},2026-01-31T15:05:00Z,2026-01-31T15:05:05Z",
    )
    with pytest.raises(UsageError, match="lines 2 and 3: the message a stands there twice, with different times"):
        manage_messages.read(write(*lines, headings=headings))


def test_times_without_fractions_may_be_out_by_their_rounding(write: Write) -> None:
    """A start that is rounded down to before its enqueue is no error, and no negative time."""
    found = manage_messages.read(write("2026-01-31T15:00:00.6Z,2026-01-31T15:00:00Z,2026-01-31T15:00:00Z"))
    assert found.services.tolist() == [0.0]


def test_nothing_processed_tells_nothing_of_service(write: Write) -> None:
    """Arrivals are there all the same."""
    path = write(f"{BEGUN},,", f"{BEGUN},{BEGUN},1900-01-01T00:00:00Z")
    assert len(manage_messages.arrivals_of(path)) == 2
    with pytest.raises(UsageError, match="no message of which both"):
        manage_messages.services_of(path)


# The recurrence in force


def table_of(starts: list[float]) -> str:
    """Rows of messages that came one to a run, somewhere in the time since the run before."""
    rows = io.StringIO()
    writer = csv.writer(rows)
    for number, (before, start) in enumerate(pairwise([0.0, *starts])):
        came = start - 1 - number * 37 % (start - before - 1)
        writer.writerow([datetime.fromtimestamp(each, UTC).isoformat() for each in (came, start, start + 2)])
    return rows.getvalue().strip().replace("\r\n", "\n")


def test_a_recurrence_that_was_changed_is_not_claimed(write: Write) -> None:
    """Half a day at five minutes and half a day at seven fit no single one."""
    starts = [300.0 * each for each in range(1, 60)] + [18_000 + 420.0 * each for each in range(1, 60)]
    said = in_force(manage_messages.read(write(table_of(starts))))
    assert isinstance(said, str)
    assert "no single recurrence" in said


def test_too_few_runs_are_not_enough(write: Write) -> None:
    """Three starts fit many recurrences."""
    said = in_force(manage_messages.read(write(table_of([300.0, 600.0, 900.0]))))
    assert isinstance(said, str)
    assert "too few" in said


def test_few_runs_are_less_sure(write: Write) -> None:
    """Confidence grows with what was seen."""

    def found(number: int) -> InForce:
        starts = [900.0 * each for each in range(1, number + 1)]
        said = in_force(manage_messages.read(write(table_of(starts))))
        assert isinstance(said, InForce)
        assert said.minutes == 15
        return said

    assert found(5).confidence < found(9).confidence < found(40).confidence
    assert found(40).confidence > 0.999


def unpunctual(minutes: float, seed: int) -> Recorded:
    """Runs that start up to a minute late, a few files each, in whole seconds, sometimes a second between two."""
    chance = np.random.default_rng(seed)
    rows = []
    for tick in range(1, 61):
        every = minutes * 60
        now = math.floor(tick * every + chance.uniform(0, min(55, every / 6)))
        for came in np.sort(chance.uniform((tick - 1) * every, tick * every, chance.poisson(1.5))).tolist():
            ended = now + int(chance.integers(2, 9))
            rows.append((float(math.floor(came)), float(now), float(ended)))
            now = ended + int(chance.integers(0, 2))
    return Recorded.of(rows)


@pytest.mark.parametrize("minutes", [2, 5, 10, 15, 60])
@pytest.mark.parametrize("seed", range(3))
def test_a_batch_job_need_not_be_punctual(minutes: int, seed: int) -> None:
    """Batch servers look for work once a minute: the recurrence is seen all the same."""
    found = in_force(unpunctual(minutes, seed))
    assert isinstance(found, InForce)
    assert found.minutes == minutes


@pytest.mark.parametrize("minutes", [2, 5])
@pytest.mark.parametrize("at_once", [False, True])
def test_what_follows_an_overrun_is_seen(minutes: int, at_once: bool) -> None:
    """Whether the next run waited for a tick or not."""
    chance = np.random.default_rng(8)
    arrived = np.cumsum(chance.exponential(20.0, 900))
    work = Work(arrived, chance.lognormal(math.log(9.0), 0.7, 900), float(arrived[-1]) + 1)
    done = simulate(work, Job(minutes * 60.0, at_once=at_once))
    found = in_force(Recorded(arrived + 1e9, done.started + 1e9, done.completed + 1e9))
    assert isinstance(found, InForce)
    assert found.minutes == minutes
    assert found.at_once is at_once
    assert f"after an overrun at {'once' if at_once else 'the next tick'}" in str(found)


def test_files_that_go_together_are_counted() -> None:
    """As many as were in process at once."""
    chance = np.random.default_rng(9)
    arrived = np.cumsum(chance.exponential(20.0, 400))
    work = Work(arrived, chance.lognormal(math.log(20.0), 0.5, 400), float(arrived[-1]) + 1)
    done = simulate(work, Job(600.0, threads=3, startup=30.0))
    found = in_force(Recorded(arrived, done.started, done.completed))
    assert isinstance(found, InForce)
    assert (found.minutes, found.parallel) == (10, 3)
    assert found.startup_seconds == pytest.approx(30, abs=20)


def test_files_that_wait_for_nobody_have_no_recurrence() -> None:
    """Where each is processed when it comes, nothing is claimed."""
    arrived = np.cumsum(np.random.default_rng(1).exponential(200.0, 300))
    said = in_force(Recorded(arrived, arrived + 2, arrived + 5))
    assert isinstance(said, str)
    assert "no single recurrence" in said


# In a plan


def test_a_plan_shows_what_its_own_table_says() -> None:
    """Predicted waits beside the recorded ones, and the recurrence in force in words."""
    figures, told = of_plan(read_plan(resources.fixtures() / "plans" / "account-table.toml"))
    assert {each.what for each in figures} >= {"wait, mean", "wait, p95", "backlog, maximum"}
    assert told[0].startswith(
        "The recurrence in force in ../manage-messages/stored.csv: every 5 minutes (more than 99 %"
    )
    assert any("stand there twice" in each for each in told)


def test_a_plan_without_a_record_shows_none() -> None:
    """Arrivals that are drawn have nothing to be compared with."""
    assert of_plan(Plan(Arrivals(per_hour=10), Service(seconds=1.0))) == ((), ())


def test_a_plan_whose_record_tells_no_recurrence_says_so(write: Write) -> None:
    """In the sentence that says why."""
    path = write(table_of([300.0, 600.0, 900.0]))
    plan = Plan(Arrivals(messages=path.name), Service(seconds=1.0), folder=path.parent)
    figures, told = of_plan(plan)
    assert figures == ()
    assert "too few" in told[0]
