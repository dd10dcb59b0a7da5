"""The project's sessions. Run as a script it needs nothing but Python with venv and pip.

    python3 noxfile.py -s verify     the emulator, judged; reports in reports/
    python3 noxfile.py -s tests      everything that proves the project itself, bounded

Without nox at hand a private virtual environment with nox in it is made below .nox/ and takes over.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
PRIVATE = ROOT / ".nox" / "bootstrap"


def hand_over() -> int:
    """Run nox with this file: the one that can be imported, else a private one that is made first."""
    python = Path(sys.executable)
    if importlib.util.find_spec("nox") is None:
        python = PRIVATE / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        if not python.exists() or subprocess.run([python, "-c", "import nox"], capture_output=True).returncode:
            print("Making a private environment for nox (once) …", flush=True)
            made = subprocess.run([sys.executable, "-m", "venv", "--clear", PRIVATE])
            if made.returncode:
                print("Python's venv module could not make an environment. On Debian: apt install python3-venv.")
                return 2
            installed = subprocess.run(
                [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "nox>=2025.5"]
            )
            if installed.returncode:
                print("nox could not be installed; is a package index in reach?")
                return 2
    return subprocess.run([python, "-m", "nox", "-f", Path(__file__), *sys.argv[1:]]).returncode


if __name__ == "__main__":
    try:
        sys.exit(hand_over())
    except KeyboardInterrupt:
        sys.exit(130)

import nox  # noqa: E402 - only here is it certain to be there

nox.needs_version = ">=2025.5"
nox.options.sessions = ["verify"]
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_external_run = True

TESTS = nox.project.dependency_groups(nox.project.load_toml(ROOT / "pyproject.toml"), "tests")
LINT = nox.project.dependency_groups(nox.project.load_toml(ROOT / "pyproject.toml"), "lint")


def install(session: nox.Session, *packages: str) -> None:
    """Install what a session needs, saying so: it may take longer than two seconds."""
    session.log(f"installing {', '.join(packages)}")
    session.install("--disable-pip-version-check", "--progress-bar=off", *packages)


@nox.session
def verify(session: nox.Session) -> None:
    """Judge the emulator (or --target …) and write reports/: the main job."""
    install(session, "-e", ".[suites,report]")
    reports = ROOT / "reports"
    written = ("--out", str(reports), "--html", str(reports / "report.html"))
    session.run("popreceipt", "verify", *written, *session.posargs)  # of an option that is given twice the last counts


@nox.session
def tests(session: nox.Session) -> None:
    """Lint, types, and every test that fits into minutes; arguments go to pytest."""
    install(session, "-e", ".[all]", *TESTS, *LINT)
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")
    session.run("pytest", "-n", "2", "--dist", "loadfile", "--timeout", "600", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Lint and types alone."""
    install(session, "-e", ".[all]", *TESTS, *LINT)
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")


@nox.session
def catalogue(session: nox.Session) -> None:
    """Write specs/RULES.md anew: the rules, the statements they test, and which mutant each convicts."""
    install(session, "-e", ".[suites]")
    session.run("python", "-m", "popreceipt.generate.catalogue", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation site into reports/docs; a warning is an error."""
    install(session, "-e", ".[all]")
    session.run("python", "-m", "popreceipt.docs", str(ROOT / "reports" / "docs"), *session.posargs)


@nox.session
def convictions(session: nox.Session) -> None:
    """Write specs/CONVICTIONS.json anew: which rule convicts which wrong middleware. `-- --check` compares with it."""
    install(session, "-e", ".[suites,middleware]")
    session.run("python", "-m", "popreceipt.generate.convictions", *session.posargs)


@nox.session
def soundness(session: nox.Session) -> None:
    """A thousand seeds of random scenarios over the plain emulator and its dialects: no MUST may be violated.

    `-- --wire` judges what the wire alone shows of them.
    """
    install(session, "-e", ".[suites]")
    session.run("python", "-m", "popreceipt.generate.soundness", *session.posargs)


@nox.session
def crash(session: nox.Session) -> None:
    """Kill a durable server two hundred times under load (--kills, --seed, --sync): nothing may be lost."""
    install(session, "-e", ".[suites]")
    session.run("python", "-m", "popreceipt.generate.crash", *session.posargs)


@nox.session
def thorough(session: nox.Session) -> None:
    """Ten thorough runs of fuzzing and models with different seeds (--runs, --effort): nothing may be found."""
    install(session, "-e", ".[suites]")
    session.run("python", "-m", "popreceipt.generate.thorough", *session.posargs)


@nox.session
def detection(session: nox.Session) -> None:
    """Write specs/DETECTION.md anew: which mutants fuzzing and models find by themselves, and how soon."""
    install(session, "-e", ".[suites]")
    session.run("python", "-m", "popreceipt.generate.detection", *session.posargs)


@nox.session
def agreement(session: nox.Session) -> None:
    """A hundred thousand short histories (--histories, --seed): the checker and the brute force must agree."""
    install(session, "-e", ".[suites]")
    session.run("python", "-m", "popreceipt.generate.agreement", *session.posargs)


@nox.session
def rehearsal(session: nox.Session) -> None:
    """Write specs/REHEARSAL.md anew: tours of every dialect and every mutant, kills, and strangers over TLS.

    One stranger is met for eight days, and every dialect's fingerprint is taken as well. About an hour;
    `-- --strangers combined` takes a quarter of one.
    """
    install(session, "-e", ".[all]", *TESTS)
    every = {"POPRECEIPT_DIALECTS": "all"}
    session.run("pytest", "-n", "2", "suites/harness/fingerprints/test_every_dialect.py", env=every)
    session.run("python", "-m", "popreceipt.generate.rehearsal", "--retention", *session.posargs)


@nox.session
def prediction(session: nox.Session) -> None:
    """Write specs/PREDICTION.md anew: what sizing predicts beside what the emulator does with the same arrivals."""
    install(session, "-e", ".[sizing]")
    session.run("python", "-m", "popreceipt.generate.prediction", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure suites, judging, a virtual week, fuzzing beside `st run`, the emulator beside peers, load and sizing.

    One of them alone: `-- suites`, `-- throughput`, `-- peers`, `-- load`, `-- sizing`, each with its own arguments.
    """
    install(session, "-e", ".[suites,fast,load,sizing]", *(each for each in TESTS if each.startswith("simpy")))
    modules = {
        "suites": "bench",
        "throughput": "throughput",
        "peers": "peers",
        "load": "load_bench",
        "sizing": "sizing_speed",
    }
    chosen, *arguments = session.posargs or [""]
    for name, module in modules.items():
        if chosen in ("", name):
            session.run("python", "-m", f"popreceipt.generate.{module}", *arguments)
