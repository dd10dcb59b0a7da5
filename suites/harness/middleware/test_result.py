"""What a run amounts to: the worst of each rule, dialects, the exit status, and the files for programs and people."""

import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import pytest
from jsonschema import Draft202012Validator
from rich.console import Console

from popreceipt import resources
from popreceipt.journal import Header, Journal
from popreceipt.middleware import terminal
from popreceipt.middleware.played import Exit, Judged, Played
from popreceipt.middleware.result import Result, again
from popreceipt.middleware.running import Options
from popreceipt.middleware.scenario import EXPORT, Scenario
from popreceipt.verdict import Binds, Finding, Level, Outcome, Provenance, RuleVerdict

AT = datetime(2026, 1, 1, tzinfo=UTC)
MUST, SHOULD = "acknowledgment.after-a-whole-download", "dequeue.leases-kept-few"
QUIET = "redelivery.arrives-once"


def verdict(rule: str, outcome: str, message: str = "it did so") -> RuleVerdict:
    level = Level.MUST if rule == MUST else Level.SHOULD
    found = Outcome(outcome)
    return RuleVerdict(
        id=rule,
        chapter=rule.partition(".")[0],
        level=level,
        binds=Binds.CLIENT,
        provenance=Provenance.DOCUMENTED,
        outcome=found,
        situations=0 if found is Outcome.UNEXERCISED else 1,
        reason="no situation for it arose" if found is Outcome.UNEXERCISED else None,
        findings=() if found is Outcome.UNEXERCISED else (Finding(found, message, (1,)),),
    )


def scenario(name: str, dialect: str | None = None) -> Scenario:
    return Scenario(name=name, title="A title", source="", dialect=dialect, faults=({"kind": "reset"},))


def judged(name: str, *outcomes: str, dialect: str | None = None, exits: Sequence[Exit] = (), **facts: Any) -> Judged:
    """A scenario that ended so for a MUST, a SHOULD and a quiet rule; the subject called the export side."""
    journal = Journal(Header(recorded_by="service", lease_seconds=6.0))
    url = "http://127.0.0.1:1/api/connector/dequeue/x"
    journal.record(sent=AT, answered=AT, method="GET", url=url, operation="dequeue", status=204)
    members = {"lease_seconds": 6.0, "seconds": 2.0, "output_tail": "last words\n"} | facts
    rules = tuple(map(verdict, (MUST, SHOULD, QUIET), (*outcomes, *["unexercised"] * (3 - len(outcomes)))))
    return Judged(
        played=Played(scenario=scenario(name, dialect), journal=journal, exits=tuple(exits), **members), rules=rules
    )


def result(*found: Judged, **facts: Any) -> Result:
    return Result.of(found, **({"command": ("python", "client.py"), "seconds": 3.0, "lease_seconds": 6.0} | facts))


FINE = judged("fine", "held", "held")
BROKEN = judged("broken", "violated", "held")
WARNED = judged("warned", "held", "violated")
UNSURE = judged("unsure", "held", "undecided")
IDLE = judged("idle")
FAILED = judged("failed", "undecided", "undecided", "undecided", fault="the disk is full")


class TestExitStatus:
    """What the command ends with."""

    @pytest.mark.parametrize(
        ("found", "usual", "strict"),
        [
            ((FINE,), 0, 0),
            ((FINE, BROKEN), 1, 1),
            ((FINE, WARNED), 0, 1),
            ((FINE, UNSURE), 0, 1),
            ((IDLE,), 3, 3),
            ((), 3, 3),
            ((FINE, FAILED), 4, 4),
            ((BROKEN, FAILED), 1, 1),
            ((WARNED, FAILED), 4, 4),
        ],
    )
    def test_it_follows_from_the_worst(self, found: tuple[Judged, ...], usual: int, strict: int) -> None:
        """A MUST convicts, our own fault is ours, and what exercised nothing proved nothing."""
        assert result(*found).exit_status() == usual
        assert result(*found).exit_status(strict=True) == strict

    def test_a_run_that_was_stopped_says_so(self) -> None:
        """Whatever it found until then."""
        assert result(BROKEN, interrupted=True, asked=3).exit_status() == 130


class TestRules:
    """The worst of each rule."""

    def test_the_worst_of_all_scenarios_stands_above(self) -> None:
        """Findings name the scenario they come from; situations are added up."""
        found = {each.id: each for each in result(FINE, BROKEN, WARNED).rules}
        assert found[MUST].outcome is Outcome.VIOLATED
        assert found[MUST].findings[0].message == "broken: it did so"
        assert found[MUST].situations == 3
        assert found[SHOULD].findings[0].message == "warned: it did so"
        assert found[QUIET].outcome is Outcome.UNEXERCISED
        assert found[QUIET].reason == "none of the scenarios that were played gave rise to it"

    def test_a_fault_of_ours_is_told_with_the_scenario(self) -> None:
        """A rule that our fault left undecided says which scenario failed."""
        failed = judged("failed", "undecided", fault="x")
        found = result(FINE, failed).rules[0]
        assert found.outcome is Outcome.UNDECIDED
        assert found.findings[0].message == "failed: it did so"


class TestDialects:
    """Survives N of M."""

    def test_the_first_that_breaks_it_is_told_with_how(self) -> None:
        """A MUST that is violated breaks it, and so does a crash that does not come without the dialect."""
        found = result(
            FINE,
            judged("fine", "held", "held", dialect="a=1"),
            judged("fine", "violated", "held", dialect="a=2"),
            judged("fine", "held", "held", dialect="a=3", exits=[Exit(status=1, seconds=1.0)]),
        ).dialects
        assert [each.dialect for each in found] == ["a=1", "a=2", "a=3"]
        assert found[0].broken is None
        assert found[1].broken is not None
        assert (found[1].broken.scenario, found[1].broken.rules, found[1].broken.words) == (
            "fine",
            (MUST,),
            "it did so",
        )
        assert found[2].broken is not None
        assert found[2].broken.words == "ended with status 1"

    def test_what_happens_without_the_dialect_too_is_said(self) -> None:
        """A MUST that is violated anyway breaks it still; a status that it ends with anyway does not."""
        found = result(
            BROKEN,
            judged("fine", "held", exits=[Exit(status=2, seconds=1.0)]),
            judged("broken", "violated", dialect="a=1"),
            judged("fine", "held", dialect="a=2", exits=[Exit(status=2, seconds=1.0)]),
        ).dialects
        assert found[0].broken is not None
        assert found[0].broken.plain
        assert found[1].broken is None

    def test_recommendations_shake_it_and_our_faults_decide_nothing(self) -> None:
        """Neither breaks it."""
        found = result(
            FINE,
            judged("fine", "held", "violated", dialect="a=1"),
            judged("fine", "undecided", dialect="a=2", fault="ours"),
            judged("fine", "held", dialect="a=3", exits=[Exit(status=-15, seconds=1.0, by_us=True)]),
        ).dialects
        assert [(each.broken, each.shaken, each.decided) for each in found] == [
            (None, (SHOULD,), True),
            (None, (), False),
            (None, (), True),
        ]


class TestFiles:
    """What programs read."""

    EVERYTHING = result(
        FINE,
        BROKEN,
        FAILED,
        judged("fine", "violated", dialect="a=2", exits=[Exit(status=None, seconds=0.0, words="gone")]),
        judged("lost.ack.after.reset", "held", lacks=None, cut_short=True),
    )

    def test_the_verdict_file_keeps_to_its_schema(self) -> None:
        """With all that a run over scenarios adds to it."""
        schema = json.loads((resources.specs() / "verdicts.schema.json").read_text(encoding="utf-8"))
        content = json.loads(json.dumps(self.EVERYTHING.as_json()))
        assert list(Draft202012Validator(schema).iter_errors(content)) == []
        assert list(content)[-1] == "complete"

    def test_a_scenario_has_a_block_of_its_own(self) -> None:
        """As the contract with other programs has it."""
        block = self.EVERYTHING.as_json()["scenarios"][3]
        assert block["name"] == "fine"
        assert block["dialect"] == "a=2"
        assert block["lease_seconds"] == 6.0
        assert block["fault"] == [{"kind": "reset"}]
        assert block["subject"] == {"exits": [None], "seconds": 2.0, "output_tail": "last words\n"}
        assert block["rules"][0]["binds"] == "client"
        assert self.EVERYTHING.as_json()["target"]["name"] == "python client.py"

    def test_only_a_run_that_came_to_its_end_is_complete(self, tmp_path: Path) -> None:
        """One that was stopped, failed for our sake, or did not begin all scenarios is no pass."""
        assert result(FINE).complete
        assert not result(FINE, interrupted=True).complete
        assert not result(FINE, asked=2).complete
        assert not result(FINE, FAILED).complete
        assert not result(judged("s", "held", cut_short=True)).complete
        for number, found in enumerate((result(FINE), result(FINE, asked=2))):
            file = tmp_path / f"{number}" / "verdicts.json"
            found.write(file)
            assert json.loads(file.read_text(encoding="utf-8"))["complete"] is found.complete

    def test_junit_has_a_suite_a_scenario(self, tmp_path: Path) -> None:
        """A violated MUST is a failure, another trouble skipped; what said nothing has no case."""
        self.EVERYTHING.write_junit(tmp_path / "junit.xml")
        suites = Xml.parse(tmp_path / "junit.xml").getroot()
        assert [each.get("name") for each in suites] == [
            "fine",
            "broken",
            "failed",
            "fine under a=2",
            "lost.ack.after.reset",
            "popreceipt",
        ]
        assert [each.get("failures") for each in suites] == ["0", "1", "0", "1", "0", "0"]
        assert [each.get("tests") for each in suites] == ["2", "2", "3", "1", "1", "1"]
        # A scenario failed for our sake, so that the run is not complete.
        assert [each.get("errors") for each in suites][-1] == "1"

    def test_a_scenario_can_be_played_again_alone(self) -> None:
        """The command line names all that mattered."""
        found = result(judged("fine", "violated", dialect="a=1"), sides=(EXPORT,))
        options = Options(lease_seconds=4, seconds=9.5, seed=2, tls=True, proxy=True)
        words = again(found, found.judged[0], options)
        assert " ".join(words) == (
            "popreceipt middleware --scenario fine --dialect a=1 --side export --lease 4 --seed 2 --seconds 9.5 "
            "--tls --proxy -- python client.py"
        )
        assert again(result(FINE, command=()), FINE, Options())[-1] == "--attach"


def shown(found: Result, width: int = 120) -> str:
    """What stands on a terminal of this width."""
    paper = io.StringIO()
    terminal.show(found, Console(file=paper, width=width, color_system=None), {})
    return paper.getvalue()


class TestTerminal:
    """What people read."""

    def test_the_matrix_has_a_row_a_scenario_and_a_column_a_rule(self) -> None:
        """Only rules that said something have one; the numbers lead to their names."""
        text = shown(result(FINE, BROKEN, WARNED))
        assert "fine    ✔✔" in text
        assert "broken  ✘✔" in text
        assert "warned  ✔!" in text
        assert f"1  {MUST}" in text
        assert f"2  {SHOULD}" in text
        assert f"not exercised, none of the scenarios that were played gave rise to it: {QUIET}" in text

    def test_many_rules_stand_in_several_tables(self) -> None:
        """Where the terminal is too narrow nothing is cut off."""
        rules = tuple(verdict(f"dequeue.rule-{number}", "held") for number in range(30))
        wide = Judged(played=FINE.played, rules=rules)
        text = shown(result(wide), width=40)
        assert sum(line.startswith("fine  ✔") for line in text.splitlines()) == 1
        narrow = shown(result(wide), width=20)
        assert [line.count("✔") for line in narrow.splitlines() if line.startswith("fine  ✔")] == [14, 14, 2]

    def test_a_violation_is_told_with_its_exchanges(self) -> None:
        """In the words of the wire, with the other scenarios that show it."""
        text = shown(result(BROKEN, judged("second", "violated"), FINE))
        assert f"✘ {MUST} violated (MUST)" in text
        assert "broken: it did so" in text
        assert "#1 2026-01-01T00:00:00Z  GET /api/connector/dequeue/x → 204" in text
        assert "also in: second" in text

    def test_lost_answers_stand_in_a_grid(self) -> None:
        """An operation a row, a kind a column, before and after the effect side by side; they are in no matrix."""
        text = shown(
            result(
                FINE,
                judged("lost.ack.before.reset", "held"),
                judged("lost.ack.after.reset", "violated"),
                judged("lost.token.after.slow", "held", "violated"),
            ),
            width=80,
        )
        lines = text.splitlines()
        (head,) = [line for line in lines if "reset" in line and "slow" in line]
        (ack,) = [line for line in lines if line.startswith("ack ")]
        (token,) = [line for line in lines if line.startswith("token ")]
        assert head.split() == ["reset", "slow"]
        assert ack.split() == ["ack", "✔", "✘", "·", "·"]
        assert token.split() == ["token", "·", "·", "·", "!"]
        assert "lost.ack.before.reset " not in text

    def test_dialects_are_counted_and_the_first_break_told(self) -> None:
        """Survives N of M."""
        text = shown(
            result(
                FINE,
                judged("fine", "held", dialect="a=1"),
                judged("fine", "violated", dialect="a=2"),
                judged("fine", "violated", dialect="a=3"),
            )
        )
        assert "survives 1 of 3 dialects" in text
        assert "first broken by a=2 in fine: it did so" in text
        assert "also by a=3" in text

    def test_a_crash_is_told_with_the_subjects_last_words(self) -> None:
        """Nothing that a subject writes moves the cursor."""
        crash = [Exit(status=3, seconds=0.1)]
        text = shown(result(judged("s", "held", exits=crash, output_tail="one\n\x1b[2Jtwo\n")))
        assert "The subject ended with status 3 in s." in text
        assert "\x1b" not in text
        assert "two" in text

    def test_our_own_fault_is_told_as_ours(self) -> None:
        """So that nobody looks for it in the subject."""
        text = shown(result(FINE, FAILED))
        assert "failed decides nothing, for a fault of ours: the disk is full" in text
        assert "1 failed for our sake" in text

    def test_nothing_exercised_is_no_success(self) -> None:
        """And so it says."""
        text = shown(result(IDLE))
        assert "No rule found anything to judge." in text
        assert "nothing was exercised" in text
        assert "0 violated" in text

    def test_an_empty_run_can_be_told(self) -> None:
        """Stopped before the first scenario was over."""
        assert "stopped" in shown(result(interrupted=True, asked=4))
