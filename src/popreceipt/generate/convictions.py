"""Which rule convicts which wrong middleware: each, played through the scenarios that it names.

A rule that binds clients is worth what it convicts. The wrong versions of the reference middleware stand in the suites,
each with the rules that it claims to break; here they are real subjects, and what convicts them is written down for the
catalogue. The reference itself is played through the same scenarios and must come away without a violation, a shell
script and a program for Node without a violated MUST. Clients that exist are convicted of what their users met with.

    python -m popreceipt.generate.convictions [--only NAME]... [--jobs N] [--lease SECONDS] [--out FILE] [--check]
"""

import argparse
import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from popreceipt import resources
from popreceipt.middleware import dialects, selection
from popreceipt.middleware.judging import judge_played
from popreceipt.middleware.played import Judged
from popreceipt.middleware.running import LEASE_SECONDS, Options, command_of, play
from popreceipt.middleware.scenario import Scenario
from popreceipt.rules import catalogue
from popreceipt.verdict import Binds, Level, Outcome

REFERENCE: Final = ("-m", "popreceipt.client.reference")

MOST_JOBS: Final = 6

FORMAT: Final = "popreceipt/convictions@1"

UNDER: Final = " under "
"""Between a scenario's name and the dialect that it is played under."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A middleware whose behaviour is known, and what is claimed of it.

    Args:
        name: of it.
        text: what it does wrong.
        command: what starts it.
        claims: the rules that it breaks.
        besides: recommendations that it cannot but break as well.
        scenarios: in which that shows.
        tls: whether the connector must speak TLS.
        proxy: whether it must stand behind a proxy.
    """

    name: str
    text: str
    command: tuple[str, ...]
    claims: tuple[str, ...]
    scenarios: tuple[str, ...]
    besides: tuple[str, ...] = ()
    tls: bool = False
    proxy: bool = False


@dataclass(slots=True)
class Conviction:
    """What was found of a subject: the rules that it violated, each with the scenarios that showed it.

    `faults` are scenarios in which we failed ourselves, with the reasons.
    """

    subject: Subject
    violated: dict[str, list[str]] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)

    def add(self, scenario: str, judged: Judged) -> None:
        """Take in a scenario that was played."""
        if judged.played.fault is not None:
            self.faults[scenario] = judged.played.fault
        for each in judged.rules:
            if each.outcome is Outcome.VIOLATED:
                self.violated.setdefault(each.id, []).append(scenario)

    @property
    def missing(self) -> list[str]:
        """Rules that should have convicted it and did not."""
        return [each for each in self.subject.claims if each not in self.violated]

    @property
    def unrelated(self) -> list[str]:
        """MUST rules that convicted it without its having claimed so."""
        return [each for each in self.violated if LEVELS[each] is Level.MUST and each not in self.subject.claims]

    @property
    def is_as_claimed(self) -> bool:
        """It was convicted by what it claims to break, by no unrelated MUST, and nothing went wrong with us."""
        return not self.missing and not self.unrelated and not self.faults

    @property
    def words(self) -> str:
        """What was found, in a line."""
        said = [f"convicted by {', '.join(sorted(self.violated)) or 'nothing'}"]
        said += [f"NOT by {', '.join(self.missing)}"] if self.missing else []
        said += [f"UNRELATED {', '.join(self.unrelated)}"] if self.unrelated else []
        said += [f"OUR FAULT in {name}: {why}" for name, why in self.faults.items()]
        return "; ".join(said)


LEVELS: Final = {each.id: each.level for each in catalogue(Binds.CLIENT)}


def wrong_ones() -> dict[str, Subject]:
    """The wrong versions of the reference middleware, by name."""
    file = resources.suites() / "middleware" / "wrong.py"
    found: Mapping[str, Any] = loaded(file).WRONG
    return {
        name: Subject(
            name=name,
            text=each.text,
            command=(sys.executable, str(file), name),
            claims=each.claims,
            besides=each.besides,
            scenarios=each.scenarios,
            tls=each.tls,
            proxy=each.proxy,
        )
        for name, each in found.items()
    }


def known_clients() -> dict[str, Subject]:
    """Subjects with the manners of clients that exist, by name; what each breaks is known from its users."""
    file = resources.suites() / "middleware" / "clients.py"
    module = loaded(file)
    return {
        name: Subject(
            name=name,
            text=(module.CLIENTS[name].__doc__ or "").partition("\n")[0],
            command=(sys.executable, str(file), name),
            claims=tuple(dict.fromkeys(rule for rules in breaks.values() for rule in rules)),
            scenarios=tuple(breaks),
            proxy=name in module.THROUGH_A_PROXY,
        )
        for name, breaks in module.BREAKS.items()
    }


def right_ones() -> dict[str, Subject]:
    """Middleware in other languages that breaks no MUST in the scenarios that are played by default."""
    folder = resources.suites() / "middleware"
    scenarios = tuple(each.name for each in selection.quick())
    commands = {"curl.sh": ("sh", str(folder / "curl.sh")), "node.mjs": ("node", str(folder / "node.mjs"))}
    return {
        name: Subject(name=name, text="Nothing.", command=command, claims=(), scenarios=scenarios)
        for name, command in commands.items()
        if shutil.which(command[0]) and (command[0] != "sh" or shutil.which("curl"))
    }


def loaded(file: Path) -> Any:
    """A module that is no part of the package, from its file."""
    name = f"popreceipt_suites_{file.stem}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, file)
        if spec is None or spec.loader is None:
            raise ImportError(f"{file} is no module")
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


def reference_at(subjects: Iterable[Subject]) -> list[Subject]:
    """The reference middleware in every scenario of these subjects, under the same circumstances."""
    asked: dict[tuple[bool, bool], dict[str, None]] = {}
    for each in subjects:
        asked.setdefault((each.tls, each.proxy), {}).update(dict.fromkeys(each.scenarios))
    return [
        Subject(
            name="reference" + (" over TLS" if tls else "") + (" through a proxy" if proxy else ""),
            text="Nothing.",
            command=(sys.executable, *REFERENCE),
            claims=(),
            scenarios=tuple(scenarios),
            tls=tls,
            proxy=proxy,
        )
        for (tls, proxy), scenarios in asked.items()
    ]


def convict(
    subjects: Iterable[Subject], *, jobs: int = 1, lease_seconds: float = LEASE_SECONDS, folder: Path | None = None
) -> Iterable[Conviction]:
    """Play subjects through their scenarios, several at a time; each is told when its last scenario is over.

    Args:
        subjects: which.
        jobs: so many scenarios at once.
        lease_seconds: the lease in real seconds.
        folder: where journals and outputs are left; None to leave nothing.
    """
    found = {each.name: Conviction(each) for each in subjects}
    left = {name: len(each.subject.scenarios) for name, each in found.items()}
    with ThreadPoolExecutor(jobs) as pool:
        runs = {
            pool.submit(judged_in, each.subject, scenario, lease_seconds, folder): (name, scenario)
            for name, each in found.items()
            for scenario in each.subject.scenarios
        }
        for run in as_completed(runs):
            name, scenario = runs[run]
            found[name].add(scenario, run.result())
            left[name] -= 1
            if not left[name]:
                yield found[name]


def judged_in(
    subject: Subject, scenario: str, lease_seconds: float = LEASE_SECONDS, folder: Path | None = None
) -> Judged:
    """Play a subject through one scenario, and judge it."""
    own = None if folder is None else folder / subject.name
    options = Options(lease_seconds=lease_seconds, folder=own, tls=subject.tls, proxy=subject.proxy)
    return judge_played(play(scenario_of(scenario), command_of(subject.command), options))


def scenario_of(text: str) -> Scenario:
    """The scenario of a name, with the dialect that may stand behind it: `NAME under POINT=VALUE`."""
    name, _, dialect = text.partition(UNDER)
    found = selection.find(name)
    return dialects.under(found, dialect) if dialect else found


def as_json(conviction: Conviction) -> dict[str, Any]:
    """What the catalogue shows of a subject."""
    subject = conviction.subject
    return {
        "text": subject.text,
        "claims": list(subject.claims),
        "convicted": sorted(conviction.violated),
        "scenarios": list(subject.scenarios),
        **{name: True for name, needed in (("tls", subject.tls), ("proxy", subject.proxy)) if needed},
    }


def path() -> Path:
    """Where the convictions stand."""
    return resources.specs() / "CONVICTIONS.json"


def main(arguments: Sequence[str]) -> int:
    """Measure, write (or with --check compare); 1 where a wrong one is not convicted as it claims."""
    parser = argparse.ArgumentParser(prog="convictions", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--only", action="append", metavar="NAME", help="these; nothing is written or compared then")
    parser.add_argument("--jobs", type=int, default=min(MOST_JOBS, 3 * (os.cpu_count() or 1)), metavar="N")
    parser.add_argument("--lease", type=float, default=LEASE_SECONDS, metavar="SECONDS", help="in real seconds")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="leave journals and outputs there")
    parser.add_argument("--out", type=Path, default=path(), metavar="FILE", help="the table as JSON")
    parser.add_argument("--check", action="store_true", help="compare with the file instead of writing it")
    chosen = parser.parse_args(arguments)
    wrong, clients, right = wrong_ones(), known_clients(), right_ones()
    every = wrong | clients | right | {each.name: each for each in reference_at((*wrong.values(), *right.values()))}
    if unknown := set(chosen.only or ()) - set(every):
        parser.error(f"there is no {min(unknown)!r}; there are {', '.join(every)}")
    subjects = [each for name, each in every.items() if not chosen.only or name in chosen.only]
    found: dict[str, Conviction] = {}
    for each in convict(subjects, jobs=chosen.jobs, lease_seconds=chosen.lease, folder=chosen.folder):
        found[each.subject.name] = each
        print(f"{len(found)} of {len(subjects)}: {each.subject.name}: {each.words}", flush=True)
    failed = [name for name, each in found.items() if not each.is_as_claimed]
    failed += [name for name, each in found.items() if each.subject.command[1:] == REFERENCE and each.violated]
    if not chosen.only:
        measured = {
            "format": FORMAT,
            "lease_seconds": chosen.lease,
            "wrong": {name: as_json(found[name]) for name in wrong},
            "clients": {name: as_json(found[name]) for name in clients},
        }
        if chosen.check:
            kept = json.loads(chosen.out.read_text(encoding="utf-8"))
            failed += [name for part in ("wrong", "clients") for name in _changed(kept[part], measured[part])]
        else:
            chosen.out.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
            print(f"{chosen.out} written")
    for name in dict.fromkeys(failed):
        said = found[name].words if name in found else "it stands in the file and is no more"
        print(f"not as it should be: {name}: {said}", file=sys.stderr)
    return 1 if failed else 0


def _changed(kept: Mapping[str, Any], measured: Mapping[str, Any]) -> list[str]:
    """Names that stand otherwise in the file, but for further recommendations: those may hang upon a moment."""
    names = dict.fromkeys((*kept, *measured))
    return [name for name in names if _certain(kept.get(name)) != _certain(measured.get(name))]


def _certain(told: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if told is None:
        return None
    sure = [each for each in told["convicted"] if each in told["claims"] or LEVELS.get(each) is Level.MUST]
    return {**told, "convicted": sure}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
