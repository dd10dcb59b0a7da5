"""What machines promise of themselves: one journal, what is left out and told, how they end, what they leave behind."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from popreceipt.client.tape import Done, Sent
from popreceipt.lifecycle import MACHINES, Effort, run
from popreceipt.lifecycle.driving import STEPS, RuleViolated, is_able, violation_of
from popreceipt.lifecycle.telling import told
from popreceipt.rules import catalogue
from popreceipt.rules.readings import Readings
from popreceipt.targets import open_target
from popreceipt.verdict import Level, Outcome, judge

SHORT = Effort(((5, 12), (5, 25)))

LONG = Effort(((20, 12), (30, 25)))
"""More than the mutants here take."""

FEW = 8
"""Steps of a short story, jobs that are made not counted."""


def test_one_journal_of_all_machines_is_judged_as_each_example_was() -> None:
    """Nothing is found in an example, and nothing over all of them together: no example is taken for another's."""
    with open_target("emulator:") as target:
        for machine in MACHINES:
            result = run(target, machine, seed=12, effort=Effort(((3, 20),)), stop_at_first=False)
            assert result.failures == []
            assert result.figures["left_out"] == {}
        verdicts = judge(Readings(target.journal.header, target.journal.entries), catalogue())
        assert [each.id for each in verdicts if each.outcome is Outcome.VIOLATED] == []


def test_what_a_deed_lacks_is_told() -> None:
    """Every ability that is missing is named, a restart among them; such a deed is never done, the others are."""
    with open_target("emulator:") as target:
        target.abilities -= {"faults", "cleanup", "produce"}
        target.restart = None
        result = run(target, "administrator", seed=2, effort=SHORT)
        left_out, deeds = result.figures["left_out"], result.figures["deeds"]
        assert left_out["clean_up"] == "cleanup"
        assert left_out["lose_a_dequeue"] == "faults"
        assert left_out["restart"] == "restart"
        assert left_out["clean_up_old_exports"] == "cleanup, produce"
        assert not set(left_out) & set(deeds)
        assert deeds["dequeue"] > 0
        assert result.failures == []


def test_no_step_waits_in_real_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the clock cannot be moved at will, time is not let pass at all, whatever the target lists."""
    with open_target("emulator:") as target:
        assert is_able(target, "advance-time")
        monkeypatch.setattr(target, "times", SimpleNamespace(kind="scaled"))
        assert not is_able(target, "advance-time")
        assert is_able(target, "produce")


def test_a_target_known_by_its_wire_alone_is_driven_too() -> None:
    """Without a control plane to speak of, the named jobs are used, and judged with what came before."""
    with open_target("emulator:") as target:
        target.abilities = frozenset({"unlisted-client", "advance-time"})
        for machine in ("consumers", "producer"):
            result = run(target, machine, seed=3, effort=Effort(((3, 10),)))
            assert result.failures == []
            assert "create-activity" not in target.abilities
            assert result.figures["steps"] > 0
        paths = {each.request.url for each in target.journal.exchanges()}
        named = {str(target.activity(name)["id"]) for name in ("export-package", "import-file", "import-in-order")}
        assert any(guid in url for guid in named for url in paths)


def test_it_goes_on_for_other_rules_when_asked() -> None:
    """After the first violated rule the machine looks for others, and keeps one failure of each."""
    with open_target("emulator:acknowledgment-without-effect") as target:
        result = run(target, "consumer", seed=1, effort=LONG, stop_at_first=False)
        names = [each.oracle.name for each in result.failures]
        assert "acknowledgment.ends-redelivery" in names
        assert len(names) == len(set(names))
        assert result.figures["examples"] >= LONG.examples


def test_a_violated_should_does_not_end_the_search_unless_strict() -> None:
    """It is kept with its level; a stricter run ends there."""
    for strict, is_whole in ((False, True), (True, False)):
        with open_target("emulator:file-error-left-out") as target:
            result = run(target, "consumer", seed=1, effort=SHORT, strict=strict)
            assert [each.oracle.level for each in result.failures] == [Level.SHOULD]
            assert (result.figures["examples"] >= SHORT.examples) is is_whole


def test_hypothesis_can_shrink_an_example_itself() -> None:
    """Its own shrinking takes steps and clock jumps away as well; those that are left are round."""
    with open_target("emulator:every-second-run-left-out") as target:
        plain = run(target, "planner", seed=1, effort=Effort(((40, 12),))).failures[0]
    with open_target("emulator:every-second-run-left-out") as target:
        small = run(target, "planner", seed=1, effort=Effort(((40, 12),)), shrink=True).failures[0]
    assert len(small.tape) < len(plain.tape) / 2
    assert sum(jumps(small.tape)) < sum(jumps(plain.tape))


def jumps(tape: tuple[Done, ...]) -> Iterator[float]:
    for each in tape:
        if not isinstance(each, Sent) and each.method == "POST" and each.path == "/clock":
            yield float(each.body["advance_seconds"])


def test_jumps_without_a_reason_shrink_to_the_shortest() -> None:
    """They stand in order, so that an example is left with short ones."""
    assert list(STEPS) == sorted(STEPS)


def test_a_failure_is_told_as_a_story() -> None:
    """The rule, what was observed, and a few sentences with the time since the start."""
    with open_target("emulator:never-redelivered") as target:
        (failure,) = run(target, "consumer", seed=1, effort=LONG).failures
        text = told(failure, target, 0)
    first, *story = text.splitlines()
    assert first == f"{failure.oracle.name} (consumer): {failure.message}"
    assert 3 <= len(story) <= FEW + 2
    assert "0:00:00" in story[0]


def test_each_rule_has_an_exception_of_its_own() -> None:
    """Hypothesis tells failures apart by their class."""
    one, other = violation_of("status.vocabulary"), violation_of("status.odata-answer")
    assert one is violation_of("status.vocabulary")
    assert one is not other
    assert issubclass(one, RuleViolated)
    assert one.__name__ == "StatusVocabulary"


def test_nothing_is_written_where_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No database of examples, no folder of Hypothesis."""
    monkeypatch.chdir(tmp_path)
    with open_target("emulator:never-redelivered") as target:
        assert run(target, "consumer", seed=1, effort=LONG).failures
    assert list(tmp_path.iterdir()) == []


def test_what_was_judged_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries of examples that held are dropped once they are many, and judging goes on as before."""
    monkeypatch.setattr("popreceipt.lifecycle.driving.MOST_KEPT", 500)
    with open_target("emulator:") as target:
        result = run(target, "producer", seed=5, effort=Effort(((25, 20),)))
        assert result.failures == []
        exchanges = list(target.journal.exchanges())
        assert exchanges[-1].seq > 1500
        assert len(target.journal.entries) < 1500


def test_steps_and_figures_are_json() -> None:
    """What a run tells of itself can stand in a report."""
    with open_target("emulator:") as target:
        figures: Mapping[str, Any] = run(target, "consumer", seed=1, effort=Effort(((2, 5),))).figures
    assert set(figures) >= {"seed", "examples", "steps", "deeds", "left_out", "exercised", "violated"}
    assert figures["steps"] == sum(figures["deeds"].values())
