"""A run's folder, judged: what rules find, whether figures may be believed, and what the command ends with."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from popreceipt.exceptions import UsageError
from popreceipt.journal import JournalFile, instant_text
from popreceipt.load.figures import Figures
from popreceipt.load.judging import judge_run
from popreceipt.load.plan import LoadPlan, Thresholds
from popreceipt.load.result import MOVED, LoadResult, Standing
from popreceipt.load.waits import Depth, spread
from popreceipt.verdict import Outcome

from .conftest import FakeRun, MakeRun


def violated(result: LoadResult) -> set[str]:
    return {each.id for each in result.verdicts.with_outcome(Outcome.VIOLATED)}


# Correctness


def test_a_run_without_a_fault_is_well(good_run: FakeRun) -> None:
    """The plain emulator under load: rules hold, nothing is violated, and the exit status is 0."""
    result = judge_run(good_run.written())
    assert violated(result) == set()
    held = {each.id for each in result.verdicts.with_outcome(Outcome.HELD)}
    assert {"enqueue.creates-a-message", "dequeue.waiting-message-is-offered", "download.bytes-as-uploaded"} <= held
    assert (result.standing, result.reasons, result.finished) == (Standing.VALID, (), True)
    assert result.exit_status() == 0
    assert result.as_json()["complete"] is True
    assert JournalFile(Path(result.journal)).header.concurrent


def lost_import(run: FakeRun) -> None:
    for _ in range(4):  # within a second
        run.job.offer(run.stage.file(2))
    run.passes(minutes=12)


def lost_exports(run: FakeRun) -> None:
    run.consumes(12)
    run.passes(minutes=1)
    run.export.dequeue()


def delivered_twice(run: FakeRun) -> None:
    run.export.produce()
    run.passes(seconds=1)
    for consumer in ("authorised/one", "authorised/two"):
        found = run.export.dequeue(consumer)
        if found is not None:
            run.export.download(found, consumer)
        run.passes(minutes=1)


def made_one_of_two(run: FakeRun) -> None:
    content = run.stage.file(2)
    for _ in range(2):
        run.job.offer(content)
        run.passes(seconds=10)


@pytest.mark.parametrize(
    ("mutant", "play", "rule"),
    [
        ("third-file-of-a-second-lost", lost_import, "enqueue.creates-a-message"),
        ("every-tenth-message-lost", lost_exports, "dequeue.waiting-message-is-offered"),
        ("lease-for-one-consumer-only", delivered_twice, "redelivery.not-before-half-an-hour"),
    ],
)
def test_a_mutant_is_convicted_from_the_journals_of_several_workers(
    fake_run: MakeRun, mutant: str, play: Callable[[FakeRun], None], rule: str
) -> None:
    """What was lost, doubled or handed out twice is found though no single worker's journal shows it."""
    run = fake_run(f"emulator:{mutant}")
    play(run)
    run.looks()
    result = judge_run(run.written(3))
    assert rule in violated(result)
    assert result.exit_status() == 1


def test_two_files_of_which_one_message_was_made(fake_run: MakeRun) -> None:
    """A rule that only recommends: it counts with --strict."""
    run = fake_run("emulator:same-file-same-message")
    made_one_of_two(run)
    result = judge_run(run.written(2))
    assert "enqueue.each-call-its-own-message" in violated(result)
    assert (result.exit_status(), result.exit_status(strict=True)) == (0, 1)


@pytest.mark.parametrize("play", [lost_import, lost_exports, delivered_twice, made_one_of_two])
def test_the_plain_emulator_is_not_convicted_of_it(fake_run: MakeRun, play: Callable[[FakeRun], None]) -> None:
    """The same calls on an emulator without the defect: nothing is violated."""
    run = fake_run()
    play(run)
    run.looks()
    result = judge_run(run.written(3))
    assert violated(result) == set()
    assert result.exit_status() == 0


def test_a_violation_stands_however_the_run_went(fake_run: MakeRun) -> None:
    """A lost message is proved even where the generator was late or the run was cut short."""
    run = fake_run("emulator:every-tenth-message-lost")
    run.lag = 5.0
    lost_exports(run)
    run.looks()
    result = judge_run(run.written(finished=False))
    assert (result.standing, result.finished) == (Standing.INVALID, False)
    assert result.exit_status() == 1


def test_a_run_that_exercised_nothing_proves_nothing(fake_run: MakeRun) -> None:
    """No requests: 3, and the gates say how few there were."""
    run = fake_run()
    result = judge_run(run.written())
    assert all(each.outcome is Outcome.UNEXERCISED for each in result.verdicts.rules)
    assert [(each.what, each.found, each.kept) for each in result.missed] == [
        ("requests, at least", 0, False),
        (MOVED, 0, False),
    ]
    assert result.exit_status() == 3


def test_unexercised_rules_say_why(good_run: FakeRun) -> None:
    """Load exercises a part of the catalogue; the rest names what the target lacks, or that load does not do it."""
    result = judge_run(good_run.written(abilities=("messages",)))
    reasons = {each.id: each.reason for each in result.verdicts.with_outcome(Outcome.UNEXERCISED)}
    assert reasons["authorization.wrong-secret-refused"] == "load does not bring it about"
    assert "lacks advance-time" in str(reasons["retention.gone-after-seven-days"])


# Whether it may be believed


def test_a_late_generator_makes_the_run_invalid(good_run: FakeRun) -> None:
    """Later than the plan allows: never slower, but INVALID, and no threshold is believed."""
    good_run.lag = 0.75
    result = judge_run(good_run.written())
    assert result.standing is Standing.INVALID
    assert "an arrival began 0.750 s after its time (allowed: 0.5 s)" in result.reasons[0]
    assert result.exit_status() == 3


def test_arrivals_that_never_began_make_it_invalid(good_run: FakeRun) -> None:
    """What was due and never sent is missing from every latency."""
    folder = good_run.written()
    change(folder / "figures-1.json", not_begun=7)
    result = judge_run(folder)
    assert result.reasons == ("The generator fell behind: 7 arrivals were due and never began.",)
    assert result.exit_status() == 3


def test_a_dead_worker_makes_it_invalid(good_run: FakeRun) -> None:
    """A journal without its end, figures that are missing: nobody knows what that worker would have told."""
    folder = good_run.written()
    (folder / "figures-2.json").unlink()
    journal = folder / "journal-2.ndjson"
    journal.write_bytes(journal.read_bytes().rstrip(b"\n").rpartition(b"\n")[0] + b"\n")
    result = judge_run(folder)
    assert result.standing is Standing.INVALID
    told = " ".join(result.reasons)
    assert "journal-2.ndjson: it ends after" in told
    assert "worker 2 left no figures" in told
    assert "1 of 2 told what they did" in told
    assert not result.verdicts.complete
    assert result.exit_status() == 3


def test_a_fault_of_the_harness_comes_before_everything(good_run: FakeRun) -> None:
    """An exception in a user is ours: 4, with its words."""
    folder = good_run.written()
    change(folder / "figures-1.json", errors={"KeyError: 'x'": 3})
    result = judge_run(folder)
    assert result.faults == ("KeyError: 'x' (3 times)",)
    assert result.exit_status() == 4


def test_close_to_the_emulators_own_speed_is_inconclusive(good_run: FakeRun) -> None:
    """Four fifths of what the emulator can do: the emulator was measured, whatever the latencies say."""
    busiest = 20  # requests of both workers in their first second
    result = judge_run(good_run.written(ours=True, target_cpu_seconds=31 / busiest * 0.85))
    target = next(each for each in result.ceilings if each.side == "target")
    assert target.used == pytest.approx(0.85)
    assert target.per_second == pytest.approx(busiest / 0.85)
    assert result.standing is Standing.INCONCLUSIVE
    assert "you measured the emulator" in result.reasons[0]
    assert result.exit_status() == 3


def test_half_of_the_emulators_own_speed_is_conclusive(good_run: FakeRun) -> None:
    """Well below the ceiling, which is told all the same."""
    result = judge_run(good_run.written(ours=True, target_cpu_seconds=0.8))
    assert {each.side: round(each.used, 2) for each in result.ceilings} == {
        "generator": 0.01,
        "target": 0.52,
        "machine": 0.26,
    }
    assert (result.standing, result.exit_status()) == (Standing.VALID, 0)


def test_of_several_workers_the_busiest_counts(good_run: FakeRun) -> None:
    """One process on a full core is a ceiling, however idle the others are."""
    folder = good_run.written()
    change(folder / "figures-1.json", cpu_seconds=1.5)
    result = judge_run(folder)
    assert result.standing is Standing.INCONCLUSIVE
    assert "you measured the generator" in result.reasons[0]


def test_ceilings_may_be_told(good_run: FakeRun) -> None:
    """A ceiling that somebody measured before stands in for the one that this run shows."""
    result = judge_run(good_run.written(generator_ceiling=20.0, target_ceiling=1_000.0))
    assert {each.side: each.how for each in result.ceilings} == {"generator": "as told", "target": "as told"}
    assert result.standing is Standing.INCONCLUSIVE


def test_a_server_of_somebody_elses_has_no_ceiling_of_ours(good_run: FakeRun) -> None:
    """How fast it can be is what such a run finds out."""
    result = judge_run(good_run.written(ours=False, target_cpu_seconds=None))
    assert [each.side for each in result.ceilings] == ["generator"]


@pytest.mark.parametrize("rate", [1.0, 600.0])
def test_the_busiest_second_counts(good_run: FakeRun, rate: float) -> None:
    """A rate that is low on average and close to the ceiling for a second was at the ceiling for that second.

    Whatever a minute of the target's time is: all that comes at a tick and is answered within seconds is hidden in a
    minute of the system's clock; and the last stretch, where a ramp is highest, is as long as any other.
    """
    good_run.rate = rate
    folder = good_run.written(workers=1, ours=True, target_cpu_seconds=0.5)
    assert judge_run(folder).standing is Standing.VALID
    change(folder / "figures-1.json", seconds=[1, 1, 49])
    told = judge_run(folder)
    target = next(each for each in told.ceilings if each.side == "target")
    assert target.used == pytest.approx(0.5 / 31 * 49)
    assert told.standing is (Standing.VALID if target.used < 0.8 else Standing.INCONCLUSIVE)
    change(folder / "figures-1.json", seconds=[1, 1, 50])
    assert judge_run(folder).standing is Standing.INCONCLUSIVE


def test_what_comes_at_once_at_a_tick_is_told(good_run: FakeRun) -> None:
    """A burst of fifty thousand takes the generator's CPU seconds: response times of milliseconds tell of nothing."""
    good_run.plan = msgspec.structs.replace(good_run.plan, shape="ticks", per_hour=600_000.0)
    told = judge_run(good_run.written()).warnings
    assert any(
        each.startswith("At each tick 50,000 requests come at once, for which the generator needs") for each in told
    )
    good_run.plan = msgspec.structs.replace(good_run.plan, per_hour=12.0)
    assert not any("At each tick" in each for each in judge_run(good_run.written()).warnings)


def test_an_outage_of_nobody_is_told(good_run: FakeRun) -> None:
    """Where nobody consumes, nobody was away."""
    good_run.plan = msgspec.structs.replace(good_run.plan, shape="outage", scenario="imports")
    assert (
        "Nobody consumes exports in the scenario imports: there was no outage."
        in judge_run(good_run.written()).warnings
    )
    good_run.plan = msgspec.structs.replace(good_run.plan, scenario="mixed")
    assert not any("no outage" in each for each in judge_run(good_run.written()).warnings)


# Thresholds


def test_thresholds_decide_the_exit_status(good_run: FakeRun) -> None:
    """A p95 that is too long, in a run that may be believed: 1."""
    good_run.plan = replace_plan(good_run.plan, p95_ms=2.0)
    result = judge_run(good_run.written())
    missed = {each.what for each in result.missed}
    assert "p95 of the response time of enqueue, ms" in missed
    assert result.exit_status() == 1
    good_run.plan = replace_plan(good_run.plan, p95_ms=4.0)
    result = judge_run(good_run.written())
    assert not result.missed
    assert result.exit_status() == 0


def test_too_many_errors_are_a_missed_threshold(good_run: FakeRun) -> None:
    """The share of requests without a success, over all operations."""
    folder = good_run.written()
    figures = msgspec.json.decode((folder / "figures-1.json").read_bytes(), type=Figures)
    figures.operations["enqueue"].failures["500"] = 2
    (folder / "figures-1.json").write_bytes(msgspec.json.encode(figures))
    result = judge_run(folder)
    assert [(each.what, each.found) for each in result.missed] == [("share of requests without a success", 2 / 31)]
    assert result.exit_status() == 1


def test_an_invalid_runs_thresholds_are_not_believed(good_run: FakeRun) -> None:
    """Slow answers that the generator itself was late for say nothing of the target."""
    good_run.plan = replace_plan(good_run.plan, p95_ms=1.0)
    good_run.lag = 0.75
    assert judge_run(good_run.written()).exit_status() == 3


def test_empty_queues_are_no_load(good_run: FakeRun) -> None:
    """A target that produces nothing, and consumers that find nothing: fast, without a fault, and no proof."""
    folder = good_run.written(workers=1, abilities=("messages",))
    path = folder / "figures-1.json"
    told = json.loads(path.read_bytes())
    change(path, operations={"dequeue": told["operations"]["dequeue"]})
    result = judge_run(folder)
    assert result.standing is Standing.VALID
    assert [each.what for each in result.missed] == [MOVED]
    assert result.exit_status() == 3
    assert any("cannot be told to produce exports" in each for each in result.warnings)


def test_fewer_requests_than_wanted_prove_nothing(good_run: FakeRun) -> None:
    """A run that hardly happened is no pass, and no finding either."""
    good_run.plan = replace_plan(good_run.plan, min_requests=1_000)
    assert judge_run(good_run.written()).exit_status() == 3


# An end before its time


def test_a_target_that_died(good_run: FakeRun) -> None:
    """What was proved until then is told; without a violation it is no pass."""
    result = judge_run(good_run.written(finished=False, problems=("The emulator ended by signal 9.",)))
    assert result.reasons == (
        "The emulator ended by signal 9.",
        "The run did not come to its end: what is told was proved until then.",
    )
    assert result.as_json()["complete"] is False
    assert result.exit_status() == 3


def test_a_run_that_was_stopped(good_run: FakeRun) -> None:
    """Ctrl-C: the same, and it is said that somebody did so."""
    result = judge_run(good_run.written(interrupted=True))
    assert result.interrupted
    assert not result.finished
    assert "stopped by hand" in result.reasons[-1]
    assert result.exit_status() == 3


# Clock, waits, monitoring


def test_a_fast_clock_that_distorts_is_told_by_how_much(good_run: FakeRun) -> None:
    """Two milliseconds are two minutes at scaled:60000, and the recurrence has five."""
    good_run.rate = 60_000.0
    result = judge_run(good_run.written())
    told = next(each for each in result.warnings if "distorts" in each)
    assert "takes 2.0 ms (p95), and at scaled:60000 that is 120.0 s of the target's time" in told
    assert "200% of the interval of polling (1 min)" in told
    assert "up to scaled:1500 it would be 5%" in told


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.0018, "up to scaled:1666 it would be 5%"),  # 1667 would be more
        (2.0, "with --clock system it would be 3%"),
        (6.0, "with --clock system it would be 10%"),
    ],
)
def test_what_would_not_distort_is_no_more_than_fits(fake_run: MakeRun, seconds: float, said: str) -> None:
    """Rounded down, and never a clock that stands still."""
    run = fake_run()
    run.rate, run.seconds = 60_000.0, seconds
    run.enqueues(3)
    run.consumes(1)
    assert any(each.endswith(f"; {said}.") for each in judge_run(run.written()).warnings)


@pytest.mark.parametrize("rate", [1.0, 60.0])
def test_a_clock_that_distorts_little_is_not_mentioned(good_run: FakeRun, rate: float) -> None:
    """At sixty times the pace two milliseconds are an eighth of a second."""
    good_run.rate = rate
    assert not [each for each in judge_run(good_run.written()).warnings if "distorts" in each]


def test_waits_come_from_manage_messages(good_run: FakeRun) -> None:
    """From the enqueue to the end of processing; from the export's run to its acknowledgment."""
    told = judge_run(good_run.written()).messages
    imports, exports = told["imports"], told["exports"]
    assert (imports["processed"], imports["unprocessed"]) == (12, 0)
    # Twelve files, ten seconds apart from the start on, wait for the tick at five minutes; each takes three seconds.
    assert imports["wait_minutes"]["max"] == pytest.approx((300 + 3) / 60)
    assert imports["wait_minutes"]["mean"] == pytest.approx((245 + 3) / 60)
    assert imports["service_seconds"]["mean"] == 3.0
    assert (exports["acknowledged"], exports["unacknowledged"], exports["redelivered"]) == (6, 0, 0)
    assert exports["wait_minutes"]["p50"] == pytest.approx(5 / 60)


def test_what_was_not_processed_is_told(fake_run: MakeRun) -> None:
    """Waits of messages that still wait are unknown, and their number is said."""
    run = fake_run()
    run.enqueues(3)
    run.looks()
    result = judge_run(run.written())
    assert result.messages["imports"] == {
        "processed": 0,
        "unprocessed": 3,
        "wait_minutes": None,
        "service_seconds": None,
    }
    assert any(each.startswith("3 files were not processed") for each in result.warnings)


def test_samples_stand_beside_the_runs_own_count(good_run: FakeRun) -> None:
    """What monitoring told at each of its ticks, and what the run itself knew to wait then."""
    result = judge_run(good_run.written())
    assert result.monitoring == ((5.0, 12.0, 12.0), (10.0, 0.0, 0.0), (15.0, 0.0, 0.0))


def test_monitoring_that_sees_nothing_stands_out(fake_run: MakeRun) -> None:
    """A queue that is sampled as empty, beside twelve files that waited: the rule convicts, and the table shows it."""
    run = fake_run("emulator:monitoring-sees-nothing", processing_recurrence_minutes=30)
    run.enqueues(12)
    run.passes(minutes=9)
    run.looks()
    result = judge_run(run.written())
    assert result.monitoring[0] == (5.0, 0.0, 12.0)
    assert "batch.samples-count-the-queue" in violated(result)


def test_a_file_that_was_taken_before_its_caller_heard_of_it_counts_once(fake_run: MakeRun) -> None:
    """Under load an answer comes late: a run has taken the file by then, and less than nothing never waits."""
    run = fake_run()
    run.enqueues(1)
    run.passes(minutes=9)
    run.looks()
    folder = run.written(workers=1)
    path = folder / "journal-1.ndjson"
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    late = next(each for each in lines if each.get("operation") == "enqueue")
    late["answered"] = instant_text(datetime.fromisoformat(late["sent"]) + timedelta(minutes=6))
    path.write_text("".join(json.dumps(each) + "\n" for each in lines))
    assert judge_run(folder).monitoring[0] == (5.0, 1.0, 1.0)


def test_what_leaves_as_a_sample_is_taken_may_be_in_it_or_not() -> None:
    """A run and a sample fall due together, and either may be first: no difference is told where there is none."""
    began = datetime(2026, 1, 1, tzinfo=UTC)
    tick = began + timedelta(minutes=5)
    depth = Depth(came=[began] * 9, left=[tick] * 6)
    assert [depth.beside(tick, told) for told in (0, 3, 5, 9, 12)] == [3, 3, 5, 9, 9]
    assert depth.beside(tick - timedelta(minutes=1), 0) == 9


def test_a_lease_that_ends_brings_a_message_back_into_the_count(fake_run: MakeRun) -> None:
    """Hidden for half an hour, then it waits again: the run's own count and monitoring agree."""
    run = fake_run()
    run.export.produce()
    run.passes(minutes=1)
    run.export.dequeue()
    run.passes(minutes=36)
    run.looks()
    depths = [row[1:] for row in judge_run(run.written()).monitoring]
    assert depths == [(0.0, 0.0)] * 6 + [(1.0, 1.0)]


def test_percentiles_are_values_that_occurred() -> None:
    """The smallest value that so many do not exceed; nothing has none."""
    assert spread([]) is None
    assert spread([3.0, 1.0, 2.0]) == {"mean": 2.0, "p50": 2.0, "p95": 3.0, "p99": 3.0, "max": 3.0}


# Folders


def test_a_run_can_be_judged_again_with_what_another_machine_left(good_run: FakeRun) -> None:
    """A second judgement takes in what was put into the folder since."""
    folder = good_run.written(3)
    kept = {}
    for name in ("journal-3.ndjson", "figures-3.json"):
        kept[name] = (folder / name).read_bytes()
        (folder / name).unlink()
    first = judge_run(folder)
    assert first.exit_status() == 3
    for name, content in kept.items():
        (folder / name).write_bytes(content)
    second = judge_run(folder)
    assert second.requests == 31 > first.requests
    assert second.exit_status() == 0


def test_nobody_is_convicted_for_what_a_lost_worker_did(good_run: FakeRun) -> None:
    """Files that only the lost worker knows of seem to be made up: that is undecided, and 3, not 1."""
    folder = good_run.written(3)
    (folder / "journal-3.ndjson").write_bytes(b"")
    result = judge_run(folder)
    doubtful = {each.id: each.reason for each in result.verdicts.with_outcome(Outcome.UNDECIDED)}
    assert "what a lost worker did is missing" in str(doubtful["batch.samples-count-the-queue"])
    assert violated(result) == set()
    assert result.exit_status() == 3


@pytest.mark.parametrize(("minutes_after", "convicted"), [(0, False), (5, True)])
def test_what_was_proved_before_a_worker_was_lost_stands(
    fake_run: MakeRun, minutes_after: int, convicted: bool
) -> None:
    """A violation counts that shows in what was over when the lost worker still told all that it did."""
    run = fake_run("emulator:every-tenth-message-lost")
    run.consumes(10)
    run.passes(minutes=minutes_after)
    for _ in range(3):
        run.export.dequeue()
    folder = run.written(3)
    for path in folder.glob("journal-[123].ndjson"):
        path.write_bytes(path.read_bytes().rstrip(b"\n").rpartition(b"\n")[0] + b"\n")  # no footer
    result = judge_run(folder)
    assert ("dequeue.waiting-message-is-offered" in violated(result)) is convicted
    assert result.exit_status() == (1 if convicted else 3)


def test_a_folder_that_is_no_runs(tmp_path: Path) -> None:
    """Words that say what was looked for."""
    with pytest.raises(UsageError, match="holds no load run"):
        judge_run(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(UsageError, match="not what a load run leaves behind"):
        judge_run(tmp_path)


def test_figures_of_another_format(good_run: FakeRun) -> None:
    """A worker of another version cannot be added up."""
    folder = good_run.written()
    change(folder / "figures-1.json", format="popreceipt/load-figures@9")
    with pytest.raises(UsageError, match="this version reads"):
        judge_run(folder)
    (folder / "figures-1.json").write_text("[]")
    with pytest.raises(UsageError, match="does not hold a process's figures"):
        judge_run(folder)


def test_progress_is_told_of_every_step(good_run: FakeRun) -> None:
    """Joining, reading, judging: whoever waits sees what for."""
    told: list[str] = []
    judge_run(good_run.written(), progress=lambda *step: told.append(step[2]))
    assert "judging enqueue.creates-a-message" in told
    assert told[-1] == "judging waits"


def test_a_result_is_written_in_two_steps(good_run: FakeRun, tmp_path: Path) -> None:
    """`complete` is true only where all is there, and stands last."""
    result = judge_run(good_run.written())
    result.write(tmp_path / "deep" / "load.json")
    told = json.loads((tmp_path / "deep" / "load.json").read_text())
    assert list(told)[-1] == "complete"
    assert told["complete"] is True
    assert told["operations"]["enqueue"]["response_ms"]["p95"] == pytest.approx(3.0, rel=0.01)
    replace(result, finished=False).write(tmp_path / "load.json")
    assert json.loads((tmp_path / "load.json").read_text())["complete"] is False
    with pytest.raises(UsageError, match="Cannot write"):
        result.write(tmp_path / "load.json" / "below a file")


def change(path: Path, **members: object) -> None:
    """Change members of a file of JSON."""
    path.write_text(json.dumps(json.loads(path.read_bytes()) | members))


def replace_plan(plan: LoadPlan, **thresholds: float) -> LoadPlan:
    return msgspec.structs.replace(plan, thresholds=Thresholds(**thresholds))  # type: ignore[arg-type]
