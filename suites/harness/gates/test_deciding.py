"""What may pass and what may not: findings, acceptances with their last day, falls, coverage, targets."""

import json
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from popreceipt.cli import gate as command
from popreceipt.gates import baseline as baselines
from popreceipt.gates import evidence
from popreceipt.gates.deciding import Kind, decide
from popreceipt.rules import catalogue
from popreceipt.verdict import KEPT_FINDINGS, Binds, Level, Outcome, SuiteFailure

from .conftest import BACK, EMPTY, Cli, Made, Played, entry

SHOULD = "enqueue.any-content-type"

KNOWN = {each.id: each.level for each in catalogue(None)}


def failing(result: Path, baseline: Path, today: date = date(2026, 6, 1), **more: Any) -> list[tuple[Kind, str]]:
    """Kind and subject of what fails, decided on a day."""
    decision = decide(evidence.read(result), baselines.read(baseline), today=today, known=KNOWN, **more)
    assert (decision.exit_status == 0) is not bool(decision.failing)
    return [(each.kind, each.subject) for each in decision.failing]


def told(result: Path, baseline: Path, **more: Any) -> list[tuple[Kind, str]]:
    """The same of what is only told."""
    decision = decide(evidence.read(result), baselines.read(baseline), today=date(2026, 6, 1), known=KNOWN, **more)
    return [(each.kind, each.subject) for each in decision.told]


def test_the_same_result_passes(made: Made, baseline: Path, cli: Cli) -> None:
    """And says on what."""
    status, out, err = cli(made.write(), "--baseline", baseline)
    assert (status, err) == (0, "")
    assert "passed" in out
    assert "http://127.0.0.1:8000" in out


# Findings and their acceptances


def test_a_violation_that_nobody_accepted_fails(made: Made, baseline: Path, cli: Cli) -> None:
    """Its rule and its words are told; in JSON too."""
    made.ends(BACK, Outcome.VIOLATED, "back after at most 0:12:00")
    status, out, _ = cli(made.write(), "--baseline", baseline)
    assert status == 1
    assert BACK in out
    assert "back after at most 0:12:00" in out
    status, out, _ = cli(made.write(), "--baseline", baseline, "--json")
    decision = json.loads(out)
    assert (status, decision["passed"], decision["status"]) == (1, False, 1)
    (remark,) = (each for each in decision["remarks"] if each["fails"])
    assert (remark["kind"], remark["subject"]) == ("new", BACK)


def test_an_accepted_violation_passes_and_one_beside_it_does_not(made: Made, baseline: Path) -> None:
    """The message is part of what was accepted."""
    entry(baseline)
    made.ends(BACK, Outcome.VIOLATED, "back after at most 0:12:00")
    assert failing(made.write(), baseline) == []
    assert (Kind.ACCEPTED, BACK) in told(made.write(), baseline)
    made.ends(BACK, Outcome.VIOLATED, "back after at most 0:12:00", "back twice at once")
    assert failing(made.write(), baseline) == [(Kind.NEW, BACK)]


def test_an_acceptance_of_another_rule_accepts_nothing(made: Made, baseline: Path) -> None:
    """Not even where the words are the same; and it is stale."""
    entry(baseline)
    made.ends(
        next(each for each in sorted(KNOWN) if each.startswith("enqueue.each")),
        Outcome.VIOLATED,
        "back after at most 1",
    )
    assert {kind for kind, _ in failing(made.write(), baseline)} == {Kind.RECOMMENDED, Kind.STALE}


def test_an_acceptance_holds_to_the_end_of_its_last_day(made: Made, baseline: Path) -> None:
    """The day itself counts, the next one does not."""
    entry(baseline, expires="2026-06-01")
    result = made.ends(BACK, Outcome.VIOLATED, "back after at most 0:12:00").write()
    assert failing(result, baseline, date(2026, 6, 1)) == []
    assert failing(result, baseline, date(2026, 6, 2)) == [(Kind.EXPIRED, BACK)]


def test_the_day_is_that_of_utc_wherever_the_pipeline_runs(
    made: Made, baseline: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is still the first in Greenwich when it is the second in Auckland, and the other way round in Honolulu."""
    entry(baseline, expires="2026-06-01")
    result = made.ends(BACK, Outcome.VIOLATED, "back after at most 0:12:00").write()

    class Auckland:
        def now(self) -> datetime:
            return datetime(2026, 6, 2, 11, 59, tzinfo=timezone(timedelta(hours=12))).astimezone(UTC)

    class Honolulu:
        def now(self) -> datetime:
            return datetime(2026, 6, 1, 14, 1, tzinfo=timezone(timedelta(hours=-10))).astimezone(UTC)

    for clock, status in ((Auckland, 0), (Honolulu, 1)):
        monkeypatch.setattr(command, "SystemClock", clock)
        assert cli(result, "--baseline", baseline)[0] == status


def test_what_will_have_expired_can_be_seen_beforehand(made: Made, baseline: Path, cli: Cli) -> None:
    """With --today, which writes nothing."""
    entry(baseline, expires="2026-06-01")
    result = made.ends(BACK, Outcome.VIOLATED, "back after at most 0:12:00").write()
    assert cli(result, "--baseline", baseline, "--today", "2026-06-01")[0] == 0
    assert cli(result, "--baseline", baseline, "--today", "2026-06-02")[0] == 1
    assert cli(result, "--baseline", baseline, "--today", "2026-06-02", "--update")[0] == 2
    assert cli(result, "--baseline", baseline, "--today", "tomorrow")[0] == 2


def test_an_acceptance_that_ends_soon_is_spoken_of(made: Made, baseline: Path) -> None:
    """A fortnight before its last day."""
    entry(baseline, expires="2026-06-15")
    result = made.ends(BACK, Outcome.VIOLATED, "back after at most 0:12:00").write()
    assert (Kind.SOON, BACK) in told(result, baseline)


def test_an_acceptance_for_ever_fails(made: Made, baseline: Path) -> None:
    """More than a year ahead is a rule switched off, unless the file allows it."""
    entry(baseline, expires="2027-06-03")
    baseline.write_text(baseline.read_text().replace("longest_days = 99999", "longest_days = 366"))
    result = made.ends(BACK, Outcome.VIOLATED, "back after at most 0:12:00").write()
    assert failing(result, baseline) == [(Kind.TOO_LONG, BACK)]
    baseline.write_text(baseline.read_text().replace("longest_days = 366", "longest_days = 367"))
    assert failing(result, baseline) == []


def test_an_acceptance_of_what_no_longer_fails_is_stale(made: Made, baseline: Path) -> None:
    """It has to go, or what it accepts may come back unseen."""
    entry(baseline)
    assert failing(made.write(), baseline) == [(Kind.STALE, BACK)]


def test_an_acceptance_of_an_undecided_rule_is_neither_needed_nor_stale(made: Made, baseline: Path) -> None:
    """Nobody can tell; that the rule fell does fail, unless it was violated before."""
    entry(baseline)
    result = made.ends(BACK, Outcome.UNDECIDED, "hidden for 29 to 31 minutes").write()
    assert failing(result, baseline) == [(Kind.FALLEN, BACK)]
    assert (Kind.UNSETTLED, BACK) in told(result, baseline)


def test_two_acceptances_of_one_finding_overlap(made: Made, baseline: Path) -> None:
    """Two people who each think the other one sees to it."""
    entry(baseline)
    entry(baseline, message='"*at most 0:12:00"', owner='"team-b"')
    result = made.ends(BACK, Outcome.VIOLATED, "back after at most 0:12:00", "back after at most 0:13:00").write()
    assert failing(result, baseline) == [(Kind.OVERLAPPING, BACK)]


def test_an_acceptance_of_a_rule_that_does_not_exist_fails(made: Made, baseline: Path, cli: Cli) -> None:
    """A typing error, or a rule of another version: the one that is like it is named."""
    entry(baseline, rule='"redelivery.not-before-half-a-hour"')
    status, out, _ = cli(made.write(), "--baseline", baseline)
    assert status == 1
    assert "no such rule" in out
    assert f"{BACK} is like it" in out


def test_a_check_of_a_suites_own_is_accepted_by_its_name(made: Made, baseline: Path) -> None:
    """Fuzzing finds what no rule speaks of."""
    check = "not_a_server_error POST /api/connector/enqueue/{activity}"
    failure = SuiteFailure("fuzz", "POST", check, Level.MUST, "no 5xx", "answered 500 to an empty body")
    made.failures.append(failure)
    assert failing(made.write(), baseline) == [(Kind.NEW, check)]
    entry(baseline, rule=f'"{check}"', message='"answered 500 to *"')
    assert failing(made.write(), baseline) == []
    made.failures.clear()
    assert failing(made.write(), baseline) == [(Kind.STALE, check)]


def test_what_lies_beyond_the_listed_findings_is_spoken_of(made: Made, baseline: Path) -> None:
    """A result keeps some of each kind: entries that cover them all say nothing of the rest."""
    entry(baseline)
    messages = [f"back after at most 0:{minute}:00" for minute in range(KEPT_FINDINGS)]
    result = made.ends(BACK, Outcome.VIOLATED, *messages).write()
    assert failing(result, baseline) == []
    assert (Kind.CUT, BACK) in told(result, baseline)
    assert failing(result, baseline, strict=True) == [(Kind.CUT, BACK)]


def test_a_recommendation_that_is_not_kept_fails_unless_the_file_says_otherwise(made: Made, baseline: Path) -> None:
    """A SHOULD is not a MUST, and yet it was kept before."""
    result = made.ends(SHOULD, Outcome.VIOLATED, "refused text/csv with 415").write()
    assert failing(result, baseline) == [(Kind.RECOMMENDED, SHOULD)]
    baseline.write_text(baseline.read_text().replace('# recommendations = "report"', 'recommendations = "report"'))
    assert failing(result, baseline) == []
    assert failing(result, baseline, strict=True) == [(Kind.RECOMMENDED, SHOULD)]


# Verdicts and coverage


def test_a_verdict_may_not_fall_to_undecided(made: Made, baseline: Path) -> None:
    """Unless somebody accepts just that; then a violation is still none of it."""
    result = made.ends(BACK, Outcome.UNDECIDED, "hidden for 29 to 31 minutes").write()
    assert failing(result, baseline) == [(Kind.FALLEN, BACK)]
    entry(baseline, message='"hidden for * to * minutes"', outcome='"undecided"')
    assert failing(result, baseline) == []
    result = made.ends(BACK, Outcome.VIOLATED, "hidden for 12 to 13 minutes").write()
    assert set(failing(result, baseline)) == {(Kind.NEW, BACK), (Kind.STALE, BACK)}


def test_a_rule_that_was_exercised_must_stay_so(made: Made, baseline: Path, cli: Cli) -> None:
    """The reason why it is not is told."""
    result = made.ends(BACK, Outcome.UNEXERCISED).write()
    assert failing(result, baseline) == [(Kind.UNEXERCISED, BACK)]
    assert "the target lacks produce" in cli(result, "--baseline", baseline)[1]


def test_a_rule_that_was_left_out_of_the_run_is_no_longer_exercised(made: Made, baseline: Path) -> None:
    """`--chapter` makes a smaller run, and a smaller run is no pass."""

    def narrowed(content: dict[str, Any]) -> None:
        content["rules"] = [each for each in content["rules"] if each["chapter"] != "redelivery"]
        content["summary"] = {
            name: sum(each["outcome"] == name for each in content["rules"]) for name in content["summary"]
        }

    found = failing(made.write(change=narrowed), baseline)
    assert (Kind.UNEXERCISED, BACK) in found
    assert {kind for kind, _ in found} == {Kind.UNEXERCISED}


def test_a_rule_that_is_gone_from_the_catalogue_is_told_as_that(made: Made, baseline: Path) -> None:
    """It was seen by another version."""
    text = baseline.read_text().replace(f'"{BACK}" = "held"', '"redelivery.not-before-thirty-minutes" = "held"')
    baseline.write_text(text)
    assert failing(made.write(), baseline) == [(Kind.UNKNOWN, "redelivery.not-before-thirty-minutes")]


def test_an_improvement_is_told_and_passes(made: Made, cli: Cli) -> None:
    """From undecided to held, and a rule that is exercised for the first time."""
    baseline = made.folder / "baseline.toml"
    made.ends(BACK, Outcome.UNDECIDED, "hidden for 29 to 31 minutes").ends(EMPTY, Outcome.UNEXERCISED)
    assert cli(made.write(), "--baseline", baseline, "--update")[0] == 0
    made.said.clear()
    assert failing(made.write(), baseline) == []
    assert {(Kind.IMPROVED, BACK), (Kind.ADDED, EMPTY)} <= set(told(made.write(), baseline))


def test_what_stays_undecided_fails_only_when_strict(made: Made, cli: Cli) -> None:
    """It was so before."""
    baseline = made.folder / "baseline.toml"
    result = made.ends(BACK, Outcome.UNDECIDED, "hidden for 29 to 31 minutes").write()
    assert cli(result, "--baseline", baseline, "--update")[0] == 0
    assert cli(result, "--baseline", baseline)[0] == 0
    assert cli(result, "--baseline", baseline, "--strict")[0] == 1


def test_a_suite_that_did_not_run_fails(made: Made, baseline: Path) -> None:
    """Not installed, or left out."""
    made.suites = {}
    assert failing(made.write(), baseline) == [(Kind.GONE, "fuzz")]
    made.suites = {"fuzz": {"unexercised": "schemathesis is not installed"}}
    assert failing(made.write(), baseline) == [(Kind.GONE, "fuzz")]


def test_an_answer_that_changed_is_told_and_fails_where_that_was_asked_for(made: Made, baseline: Path) -> None:
    """The server's own choice on an open point: its dialect drifts."""
    result = made.ends(EMPTY, Outcome.ANSWERED, answer="200-empty").write()
    assert failing(result, baseline) == []
    assert (Kind.ANSWER, EMPTY) in told(result, baseline)
    assert failing(result, baseline, strict=True) == [(Kind.ANSWER, EMPTY)]
    baseline.write_text(baseline.read_text().replace('# answers = "fail"', 'answers = "fail"'))
    assert failing(result, baseline) == [(Kind.ANSWER, EMPTY)]


def test_a_baseline_that_has_seen_nothing_fails(made: Made, baseline: Path) -> None:
    """Whoever takes the table away takes coverage and falls with it."""
    text = baseline.read_text()
    baseline.write_text(text[: text.index("\n[seen]")])
    assert failing(made.write(), baseline) == [(Kind.UNSEEN, "baseline.toml")]


# Another target, another kind


def test_a_result_of_another_target_fails_unless_it_belongs_to_the_file(made: Made, baseline: Path, cli: Cli) -> None:
    """By a pattern in the file, or by an option this once."""
    made.target = "a server at http://127.0.0.1:8001"
    result = made.write()
    assert failing(result, baseline) == [(Kind.OTHER_TARGET, made.target)]
    assert cli(result, "--baseline", baseline, "--another-target")[0] == 0
    baseline.write_text(baseline.read_text().replace("# target = ", "target = "))
    assert failing(result, baseline) == []
    made.target = "https://example.com"
    assert failing(made.write(), baseline) == [(Kind.OTHER_TARGET, made.target)]


def test_a_middleware_result_does_not_fit_a_servers_baseline(played: Played, baseline: Path) -> None:
    """Nothing else is compared then."""
    assert [kind for kind, _ in failing(played.write("middleware.json"), baseline)] == [Kind.OTHER_KIND]


# Middleware


@pytest.fixture
def played_before(played: Played, cli: Cli) -> Path:
    """A baseline of a middleware on which all was well."""
    path = played.folder / "middleware.toml"
    status, _, err = cli(played.write("first.json"), "--baseline", path, "--update")
    assert status == 0, err
    return path


def a_rule_of_clients() -> str:
    """A MUST that binds clients."""
    return next(each.id for each in catalogue(Binds.CLIENT) if each.level is Level.MUST)


def test_an_acceptance_holds_in_its_scenario_alone(played: Played, played_before: Path) -> None:
    """The same finding in another scenario is a new one."""
    rule = a_rule_of_clients()
    entry(played_before, rule=f'"{rule}"', message='"lost the file *"', scenario='"export-file"')
    played.scenario("export-file").ends(rule, Outcome.VIOLATED, "lost the file a.csv")
    assert failing(played.write(), played_before) == []
    played.scenario("import-file under enqueue.content-type=text").ends(rule, Outcome.VIOLATED, "lost the file a.csv")
    assert failing(played.write(), played_before) == [(Kind.NEW, rule)]


def test_a_scenario_that_is_no_longer_played_fails(played: Played, played_before: Path) -> None:
    """Whatever the others show."""
    del played.scenarios["export-file"]
    assert failing(played.write(), played_before) == [(Kind.GONE, "export-file")]


def test_a_scenario_that_this_computer_cannot_play_is_gone_too(played: Played, played_before: Path) -> None:
    """Its rules are unexercised, all of them."""

    def lacking(content: dict[str, Any]) -> None:
        content["scenarios"][0]["lacks"] = "127.0.0.2 cannot be bound"

    assert failing(played.write(change=lacking), played_before) == [(Kind.GONE, "export-file")]


def test_a_verdict_may_not_fall_in_one_scenario_behind_another(played: Played, played_before: Path) -> None:
    """The worst of all scenarios is the same, and yet one became worse."""
    rule = a_rule_of_clients()
    played.scenario("export-file").ends(rule, Outcome.UNDECIDED, "the answer was lost")
    entry(
        played_before,
        rule=f'"{rule}"',
        message='"the answer was lost"',
        outcome='"undecided"',
        scenario='"export-file"',
    )
    assert failing(played.write(), played_before) == []
    other = "import-file under enqueue.content-type=text"
    played.scenario(other).ends(rule, Outcome.UNDECIDED, "the answer was lost")
    assert failing(played.write(), played_before) == [(Kind.FALLEN, rule), (Kind.FALLEN, rule)]


# Load and sizing


def of_load(made: Made, **more: Any) -> Path:
    """The result of a load run."""
    whole = {
        "format": "popreceipt/load@1",
        "target": {"name": "http://127.0.0.1:8000"},
        "standing": "VALID",
        "reasons": [],
        "faults": [],
        "operations": {"enqueue": {"requests": 10}, "ack": {"requests": 0}},
        "verdicts": made.json(),
        "complete": True,
    } | more
    path = made.folder / "load.json"
    path.write_text(json.dumps(whole))
    return path


def test_a_load_run_passes_by_its_verdicts_and_what_it_did(made: Made, cli: Cli) -> None:
    """A rule that it violates, or a request that it no longer makes, does not."""
    baseline = made.folder / "load.toml"
    assert cli(of_load(made), "--baseline", baseline, "--update")[0] == 0
    assert cli(of_load(made), "--baseline", baseline)[0] == 0
    assert failing(of_load(made, operations={"enqueue": {"requests": 0}}), baseline) == [(Kind.GONE, "enqueue")]
    made.ends(BACK, Outcome.VIOLATED, "back after at most 1")
    assert failing(of_load(made), baseline) == [(Kind.NEW, BACK)]


@pytest.mark.parametrize("more", [{"standing": "INVALID"}, {"faults": ["KeyError: 1"]}, {"complete": False}])
def test_a_load_run_that_may_not_be_believed_proves_nothing(made: Made, cli: Cli, more: dict[str, Any]) -> None:
    """Whatever it found, unless it convicts."""
    baseline = made.folder / "load.toml"
    assert cli(of_load(made), "--baseline", baseline, "--update")[0] == 0
    assert cli(of_load(made, **more), "--baseline", baseline)[0] == 3
    made.ends(BACK, Outcome.VIOLATED, "back after at most 1")
    assert cli(of_load(made, **more), "--baseline", baseline)[0] == 1


def of_sizing(folder: Path, processing: float | None) -> Path:
    """The result of a sizing."""
    recommended = None if processing is None else {"processing_minutes": processing, "monitoring_minutes": 15}
    path = folder / "sizing.json"
    candidates = [{"processing_minutes": each} for each in (1, 5, 10)]
    whole = {"format": "popreceipt/sizing@1", "recommended": recommended, "candidates": candidates}
    path.write_text(json.dumps(whole))
    return path


def test_a_sizing_must_go_on_recommending(tmp_path: Path, cli: Cli) -> None:
    """Another recurrence is told, none at all fails."""
    baseline = tmp_path / "sizing.toml"
    assert cli(of_sizing(tmp_path, 5), "--baseline", baseline, "--update")[0] == 0
    assert cli(of_sizing(tmp_path, 5), "--baseline", baseline)[0] == 0
    status, out, _ = cli(of_sizing(tmp_path, 10), "--baseline", baseline)
    assert status == 0
    assert "5 min before, 10 min now" in out
    assert cli(of_sizing(tmp_path, 10), "--baseline", baseline, "--strict")[0] == 1
    assert cli(of_sizing(tmp_path, None), "--baseline", baseline)[0] == 1
    assert cli(of_sizing(tmp_path, 7), "--baseline", baseline)[0] == 3
