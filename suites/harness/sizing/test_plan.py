"""Plans read from files: what they may say, and the sentence for everything they may not."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from popreceipt.exceptions import UsageError
from popreceipt.sizing.plan import CANDIDATES, Arrivals, BatchJob, Objective, Plan, Run, Service, Spread, read_plan

ARRIVALS = "[arrivals]\nper_hour = 120\n"
SERVICE = "[service]\nseconds = 4.0\n"
BASE = ARRIVALS + SERVICE

Read = Callable[[str], Plan]


@pytest.fixture
def plan_file(tmp_path: Path) -> Path:
    """Where a plan is written; the files it names stand beside it."""
    return tmp_path / "plan.toml"


@pytest.fixture
def read(plan_file: Path) -> Read:
    """Reads a plan of this text."""

    def read_text(text: str) -> Plan:
        plan_file.write_text(text, encoding="utf-8")
        return read_plan(plan_file)

    return read_text


def trace(folder: Path, *rows: str, heading: str = "timestamp", name: str = "trace.csv") -> str:
    """A plan that is played from a trace of these rows."""
    (folder / name).write_text("\n".join((heading, *rows)) + "\n", encoding="utf-8")
    return f"[arrivals]\ntrace = {json.dumps(name)}\n{SERVICE}"


def test_a_plan_of_two_lines_has_defaults_for_the_rest(read: Read, plan_file: Path) -> None:
    """Arrivals and service are what nobody but the user can know."""
    assert read(BASE) == Plan(
        arrivals=Arrivals(per_hour=120.0),
        service=Service(seconds=4.0),
        batch=BatchJob(in_order=True, parallel=1),
        objective=Objective(p95_minutes=15.0),
        run=Run(days=30.0, seed=1),
        folder=plan_file.parent,
    )
    assert read(BASE).recurrence.candidates_minutes == CANDIDATES


def test_everything_a_plan_may_say(read: Read) -> None:
    """All members of all tables, whole numbers where fractions may stand."""
    plan = read(
        f"""
        [arrivals]
        profile = {[*range(24)]}
        [service]
        median = 3
        p95 = 9.5
        [batch]
        in_order = false
        parallel = 4
        startup_seconds = 20
        after_overrun = "at-once"
        [objective]
        p95_minutes = 15
        p99_minutes = 20
        mean_minutes = 8
        longest_minutes = 60
        [recurrence]
        candidates_minutes = [60, 5, 1.5, 5]
        [export]
        per_hour = 30
        poll_minutes = 2
        transfer_seconds = {{median = 2.0, p95 = 30.0}}
        handling_seconds = 0
        consumers = 2
        prefetch = 10
        outage_minutes = 90
        [run]
        days = 7
        seed = 12
        [manage_messages]
        dates = "day-first"
        zone = "Europe/Copenhagen"
        """
    )
    assert plan.arrivals.profile == tuple(map(float, range(24)))
    assert plan.service == Service(median=3.0, p95=9.5)
    assert plan.batch == BatchJob(in_order=False, parallel=4, startup_seconds=20.0, after_overrun="at-once")
    assert plan.recurrence.candidates_minutes == (1.5, 5.0, 60.0)
    assert plan.export is not None
    assert plan.export.transfer_seconds == Spread(2.0, 30.0)
    assert plan.run == Run(7.0, 12)


def test_a_spread_may_be_written_as_seconds(read: Read) -> None:
    """As a table, in one line."""
    plan = read(ARRIVALS + "[service]\nseconds = { median = 3.0, p95 = 9.0 }\n")
    assert plan.service == Service(seconds=Spread(3.0, 9.0))


def test_who_asks_for_several_files_at_once_gets_them_out_of_order(read: Read) -> None:
    """In order is the default for one file at a time alone."""
    assert not read(BASE + "[batch]\nparallel = 2\n").batch.in_order
    assert read(BASE + "[batch]\nparallel = 1\n").batch.in_order
    assert not read(BASE + "[batch]\nin_order = false\n").batch.in_order


def test_days_and_seed_may_be_others_than_the_file_says(read: Read, plan_file: Path) -> None:
    """They are held to the same limits."""
    read(BASE + "[run]\ndays = 7\nseed = 2\n")
    assert read_plan(plan_file, days=3.0).run == Run(3.0, 2)
    assert read_plan(plan_file, seed=5).run == Run(7.0, 5)
    with pytest.raises(UsageError, match=r"run\.days is -1, and has to be above 0"):
        read_plan(plan_file, days=-1.0)


SAYS = {
    "": ["the table [arrivals] is missing"],
    ARRIVALS: ["the table [service] is missing"],
    "[arrivals\n": ["is not valid TOML", "line 1"],
    "arrivals = 5\n" + SERVICE: ["arrivals is 5, and has to be a table"],
    BASE + "[lease]\nx = 1\n": ["a plan has no member 'lease'", "arrivals, service, batch"],
    "folder = 'x'\n" + BASE: ["a plan has no member 'folder'"],
    "warnings = []\n" + BASE: ["a plan has no member 'warnings'"],
    BASE + "[batch]\nparalel = 2\n": ["[batch] has no member 'paralel'", "Is parallel meant?"],
    # Arrivals
    "[arrivals]\n" + SERVICE: ["[arrivals] says nothing", "per_hour, profile, trace, measured, messages"],
    "[arrivals]\nper_hour = 1\nprofile = [1]\n" + SERVICE: ["[arrivals] has per_hour and profile", "exactly one"],
    "[arrivals]\nper_hour = 0\n" + SERVICE: ["arrivals.per_hour is 0, and has to be above 0", "messages an hour"],
    "[arrivals]\nper_hour = -1\n" + SERVICE: ["arrivals.per_hour is -1"],
    "[arrivals]\nper_hour = nan\n" + SERVICE: ["arrivals.per_hour is nan"],
    "[arrivals]\nper_hour = inf\n" + SERVICE: ["arrivals.per_hour is inf"],
    f"[arrivals]\nper_hour = {10**400}\n" + SERVICE: ["arrivals.per_hour is 1000", "…, and has to be a number"],
    "[arrivals]\nper_hour = true\n" + SERVICE: ["arrivals.per_hour is true, and has to be a number"],
    "[arrivals]\nper_hour = 'many'\n" + SERVICE: ["arrivals.per_hour is 'many', and has to be a number"],
    "[arrivals]\nper_hour = 2026-01-01\n" + SERVICE: ["arrivals.per_hour is 2026-01-01"],
    "[arrivals]\nprofile = [1, 2]\n" + SERVICE: ["arrivals.profile has 2 numbers, and has to have 24"],
    f"[arrivals]\nprofile = {[0] * 24}\n" + SERVICE: ["arrivals.profile is 0 at every hour"],
    f"[arrivals]\nprofile = {[1] * 23 + [-1]}\n" + SERVICE: ["arrivals.profile[23] is -1", "at least 0"],
    f"[arrivals]\nprofile = {[1] * 23 + ['x']}\n" + SERVICE: ["arrivals.profile[23] is 'x', and has to be a number"],
    "[arrivals]\nper_hour = 1000000\n" + SERVICE: [
        "720,000,000 messages",
        "at most 10,000,000",
        "days to 0.41 or less",
    ],
    "[arrivals]\nper_hour = 0.01\n" + SERVICE: ["about 7.2 messages come in 30 days", "days to 84 or more"],
    "[arrivals]\nper_hour = 5000\n[run]\ndays = 90\n" + SERVICE: ["10,800,000 messages", "days to 83.33 or less"],
    "[arrivals]\nper_hour = 1e-4\n" + SERVICE: ["about 0.072 messages", "not even 3,660 days have as many"],
    # Service
    ARRIVALS + "[service]\n": ["[service] says nothing", "seconds, median with p95, measured, messages"],
    ARRIVALS + "[service]\nseconds = 0\n": ["service.seconds is 0, and has to be above 0 and at most 604,800 seconds"],
    ARRIVALS + "[service]\nseconds = 1e300\n": ["service.seconds is 1e+300"],
    ARRIVALS + "[service]\nseconds = [1]\n": ["service.seconds is [1], and has to be a number or a table"],
    ARRIVALS + "[service]\nmedian = 3\n": ["[service] has median without p95"],
    ARRIVALS + "[service]\np95 = 3\n": ["[service] has p95 without median"],
    ARRIVALS + "[service]\nmedian = 3\np95 = 2\n": ["service has a p95 of 2 s and a median of 3 s"],
    ARRIVALS + "[service]\nmedian = 3\np95 = 3\n": ["Write seconds where every file takes as long"],
    ARRIVALS + "[service]\nmedian = 1\np95 = 1001\n": ["more than 1000 times its median", "another unit"],
    ARRIVALS + "[service]\nmedian = 1\np95 = 2\nseconds = 1\n": ["[service] has seconds and median with p95"],
    ARRIVALS + "[service]\nseconds = {median = 3}\n": ["[service.seconds] lacks p95"],
    ARRIVALS + "[service]\nseconds = {median = 3, p95 = 9, p99 = 10}\n": ["[service.seconds] has no member 'p99'"],
    ARRIVALS + "[service]\nseconds = {median = 3, p95 = 2}\n": ["service.seconds has a p95 of 2 s"],
    ARRIVALS + "[service]\nseconds = {median = -3, p95 = 2}\n": ["service.seconds.median is -3"],
    # The batch job
    BASE + "[batch]\nparallel = 2\nin_order = true\n": ["batch.parallel is 2 and batch.in_order is true"],
    BASE + "[batch]\nparallel = 2.5\n": ["batch.parallel is 2.5, and has to be a whole number"],
    BASE + "[batch]\nparallel = 0\n": ["batch.parallel is 0, and has to be at least 1 and at most 1,024 files"],
    BASE + "[batch]\nstartup_seconds = -1\n": ["batch.startup_seconds is -1, and has to be at least 0"],
    BASE + "[batch]\nin_order = 1\n": ["batch.in_order is 1, and has to be true or false"],
    BASE + "[batch]\nafter_overrun = 'skip'\n": ["batch.after_overrun is 'skip', and has to be next-tick or at-once"],
    BASE + "[batch]\nafter_overrun = 1\n": ["batch.after_overrun is 1, and has to be text"],
    BASE + "[manage_messages]\ndates = 'iso'\n": ["has to be month-first or day-first"],
    # The objective
    BASE + "[objective]\n": ["[objective] says nothing"],
    BASE + "[objective]\np95_minutes = 0\n": ["objective.p95_minutes is 0, and has to be above 0 minutes"],
    BASE + "[objective]\np95_minutes = 20\np99_minutes = 10\n": ["objective.p99_minutes is 10", "p95_minutes is 20"],
    BASE + "[objective]\np95_minutes = 9\nlongest_minutes = 8\n": ["objective.longest_minutes is 8"],
    # Candidates
    BASE + "[recurrence]\ncandidates_minutes = []\n": ["candidates_minutes is empty"],
    BASE + "[recurrence]\ncandidates_minutes = [5, 0.5]\n": ["candidates_minutes[1] is 0.5, and has to be at least 1"],
    BASE + "[recurrence]\ncandidates_minutes = 5\n": ["candidates_minutes is 5, and has to be a list"],
    BASE + "[recurrence]\ncandidates_minutes = [1440]\n[run]\ndays = 0.5\n": [
        "1440, which is longer than the 0.5 days"
    ],
    BASE + f"[recurrence]\ncandidates_minutes = {[*range(1, 102)]}\n": ["has 101 recurrences, and at most 100 are"],
    # Exports
    BASE + "[export]\nprefetch = 0\n": ["export.prefetch is 0, and has to be at least 1"],
    BASE + "[export]\npoll_minutes = 0\n": ["export.poll_minutes is 0, and has to be at least 0.01"],
    BASE + "[export]\ntransfer_seconds = {median = 9, p95 = 3}\n": ["export.transfer_seconds has a p95 of 3 s"],
    BASE + "[export]\nhandling_seconds = {median = 9}\n": ["[export.handling_seconds] lacks p95"],
    # The run
    "run = 5\n" + BASE: ["run is 5, and has to be a table"],
    BASE + "[run]\ndays = 0\n": ["run.days is 0, and has to be above 0 and at most 3,660 days"],
    BASE + "[run]\ndays = -inf\n": ["run.days is -inf"],
    BASE + "[run]\nseed = -1\n": ["run.seed is -1, and has to be at least 0"],
    BASE + "[run]\nseed = 1.0\n": ["run.seed is 1.0, and has to be a whole number"],
}


@pytest.mark.parametrize(("text", "words"), SAYS.items(), ids=[words[0] for words in SAYS.values()])
def test_what_is_impossible_or_contradictory_is_refused(
    read: Read, plan_file: Path, text: str, words: list[str]
) -> None:
    """By the member's name, what was found, and what is wanted; and by the file's name."""
    with pytest.raises(UsageError) as refused:
        read(text)
    said = str(refused.value)
    assert str(plan_file) in said
    assert [each for each in words if each not in said] == []
    assert "`" not in said
    assert "\n" not in said


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"[arrivals]\nper_hour = 1 # \xe4\n"])
def test_what_is_no_text_is_refused(plan_file: Path, content: bytes) -> None:
    """TOML is in UTF-8."""
    plan_file.write_bytes(content)
    with pytest.raises(UsageError, match="is not valid TOML"):
        read_plan(plan_file)


def test_a_plan_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """It is missing, or it is a folder."""
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(UsageError, match="Cannot read the plan") as refused:
            read_plan(path)
        assert str(path) in str(refused.value)


def test_a_mark_at_the_beginning_does_no_harm(plan_file: Path) -> None:
    """As editors of Windows write it."""
    plan_file.write_text("\ufeff" + BASE, encoding="utf-8")
    assert read_plan(plan_file).arrivals.per_hour == 120


# Records


@pytest.mark.parametrize(
    ("text", "member"),
    [
        ("[arrivals]\ntrace = 'no.csv'\n" + SERVICE, "arrivals.trace"),
        ("[arrivals]\nmeasured = 'no.ndjson#1'\n" + SERVICE, "arrivals.measured"),
        ("[arrivals]\nmessages = 'no.csv'\n" + SERVICE, "arrivals.messages"),
        (ARRIVALS + "[service]\nmeasured = 'no.ndjson'\n", "service.measured"),
        (ARRIVALS + "[service]\nmessages = ''\n", "service.messages"),
    ],
)
def test_a_file_that_is_not_there_is_named_with_its_place(read: Read, plan_file: Path, text: str, member: str) -> None:
    """Files are looked for beside the plan, wherever the command is started."""
    with pytest.raises(UsageError) as refused:
        read(text)
    assert f"{member} is 'no." in str(refused.value) or "service.messages is ''" in str(refused.value)
    assert f"the plan's own folder: {plan_file.parent}" in str(refused.value)


def test_a_trace_is_as_long_as_it_is(read: Read, tmp_path: Path) -> None:
    """In days, from the minute of the first message to the one after the last, unless the plan says how many."""
    text = trace(tmp_path, "2026-03-02T08:00:30", "2026-03-02T09:00:00", "2026-03-04T07:59:59")
    plan = read(text)
    assert plan.run.days == 2.0
    assert plan.warnings == ()
    assert read(text + "[run]\ndays = 1\n").run.days == 1.0


def test_rows_out_of_order_are_put_in_order_with_a_warning(read: Read, tmp_path: Path) -> None:
    """Tables are often exported newest first."""
    plan = read(trace(tmp_path, "2026-03-04T08:00:00", "2026-03-03T08:00:00", "2026-03-02T08:00:00"))
    assert plan.warnings == ("Of the trace trace.csv 2 rows stand behind a later one: put in order.",)


BROKEN_TRACES = {
    (): ["has its heading and no rows"],
    ("2026-03-02T08:00", "yesterday"): ["line 3: 'yesterday' is no instant", "2026-01-31T08:15:00+01:00"],
    ("2026-03-02T08:00", '""', "2026-03-02T09:00"): ["line 3: 'nothing' is no instant"],
    ("2026-03-02T08:00", "2026-02-30T08:00"): ["line 3: '2026-02-30T08:00' is no instant"],
    ("2026-03-02",): ["line 2: '2026-03-02' is a day without a time of day"],
    ("2026-03-02T08:00Z", "2026-03-02T08:00"): ["an offset from UTC in line 2 and none in line 3"],
    ("2026-03-02T08:00", "2026-03-02T08:00+01:00"): ["an offset from UTC in line 3 and none in line 2"],
    ("2026-03-02T08:00", "2062-03-02T08:00"): ["covers 13,149 days, from 2026-03-02 to 2062-03-02"],
    ('"2026-03-02T08:00',): ["is no CSV, line 2"],
}


@pytest.mark.parametrize(("rows", "words"), BROKEN_TRACES.items(), ids=[words[0] for words in BROKEN_TRACES.values()])
def test_a_trace_that_tells_no_instants_is_refused(
    read: Read, tmp_path: Path, rows: tuple[str, ...], words: list[str]
) -> None:
    """By its line."""
    with pytest.raises(UsageError) as refused:
        read(trace(tmp_path, *rows))
    assert [each for each in (*words, "trace.csv") if each not in str(refused.value)] == []


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_trace_may_have_other_columns_and_separators(read: Read, tmp_path: Path, separator: str) -> None:
    """And blank lines, and fractions as other systems write them."""
    rows = (
        separator.join(cells) for cells in (("1", "2026-03-02 08:00:00.1234567Z"), ("2", '"2026-03-03T07:59:59+00:00"'))
    )
    plan = read(trace(tmp_path, *rows, "", heading=separator.join(("id", '"Timestamp"'))))
    assert plan.run.days == 1.0


def test_a_trace_needs_its_column(read: Read, tmp_path: Path) -> None:
    """What its first line has instead is told; an empty file has nothing at all."""
    with pytest.raises(UsageError, match="needs the column timestamp; its first line has when, what"):
        read(trace(tmp_path, "2026-03-02,x", heading="when,what"))
    (tmp_path / "trace.csv").write_text("", encoding="utf-8")
    with pytest.raises(UsageError, match="its first line has nothing at all"):
        read(f"[arrivals]\ntrace = 'trace.csv'\n{SERVICE}")
    (tmp_path / "trace.csv").write_bytes(b"timestamp\n\xff")
    with pytest.raises(UsageError, match="is not text in UTF-8"):
        read(f"[arrivals]\ntrace = 'trace.csv'\n{SERVICE}")
