"""The static page that Allure makes of results: one file that stands alone and tells nobody that it is read.

Allure's program (version 3, from npm) writes it. What the program puts into every page to count readers is taken out
again, and a policy is put in that lets the page speak to nobody; a page in which anything of that kind is left is not
handed out. The history is a file of its own, to which each page adds a line.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from popreceipt.exceptions import PopreceiptError, UsageError
from popreceipt.reports.allure import metrics, surroundings

PACKAGE: Final = "allure"
VERSION: Final = "3.18.0"
PROGRAM: Final = "allure"
"""The package on npm, the version for which this was made, and the program in it."""

POLICY: Final = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' data: blob:; style-src 'unsafe-inline' data: blob:; "
    "img-src data: blob:; font-src data:; media-src data: blob:; connect-src data: blob:; worker-src data: blob:; "
    "frame-src data: blob:; base-uri 'self'; form-action 'none'"
)
"""What the page may load: what stands in itself."""

HISTORY: Final = "history.jsonl"

RUNS_KEPT: Final = 10
"""Runs that the history keeps."""

_PATIENCE: Final = 300.0
"""Seconds that the program may take."""

_COUNTING: Final = re.compile(
    r'<script\s+async\s+src="https?://www\.googletagmanager\.com/[^"]*">\s*</script>\s*<script>.*?</script>', re.DOTALL
)
_REMAINS: Final = re.compile(r"googletagmanager|google-analytics|gtag\(", re.IGNORECASE)
_OUTSIDE: Final = re.compile(
    r'<(?:script|link|img|iframe)\b[^>]*?\b(?:src|href)\s*=\s*["\']?(?:https?:)?//', re.IGNORECASE
)


def build(
    results: Sequence[Path],
    page: Path,
    program: Sequence[str],
    *,
    history: Path | None = None,
    name: str = "popreceipt",
) -> Path:
    """Make the page of results; the file with it, `index.html`.

    Args:
        results: folders with results.
        page: the folder for the page; what an earlier page left there is replaced, and nothing else.
        program: the command line that starts Allure's program.
        history: the file of earlier runs, to which this one is added; `history.jsonl` beside the page unless given.
        name: the page's heading.

    Raises:
        UsageError: there are no results, or the folder cannot be written.
        PopreceiptError: the program failed, or made a page that cannot be stripped.
    """
    for each in results:
        if not any(each.glob("*-result.json")):
            raise UsageError(f"There are no results in {each}: popreceipt verify --allure DIR writes some.")
    kept = history if history is not None else page / HISTORY
    try:
        page.mkdir(parents=True, exist_ok=True)
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="popreceipt-allure-") as made:
            work = Path(made)
            ours = work / HISTORY
            if kept.is_file():
                shutil.copyfile(kept, ours)
            written = _generate(results, work, ours, program, name)
            text = stripped(written.read_text(encoding="utf-8"))
            fresh = page / ".index.html.new"
            fresh.write_text(text, encoding="utf-8")
            fresh.replace(page / "index.html")
            if ours.is_file():
                ours.write_text(slimmed(ours.read_text(encoding="utf-8")), encoding="utf-8")
                beside = kept.with_name(f".{kept.name}.new")
                shutil.copyfile(ours, beside)
                beside.replace(kept)
    except OSError as error:
        raise UsageError(f"Cannot write the page to {page}: {error.strerror or error}.") from error
    return page / "index.html"


def _generate(results: Sequence[Path], work: Path, history: Path, program: Sequence[str], name: str) -> Path:
    """Run the program; the page that it wrote."""
    output = work / "page"
    file = work / "allurerc.json"
    file.write_text(json.dumps(configuration(results, output, history, name), indent=1), encoding="utf-8")
    command = [*program, "generate", *(str(each.absolute()) for each in results), "--config", str(file)]
    try:
        done = subprocess.run(  # noqa: S603  the program is the one that the caller names
            command,
            cwd=work,
            env=_environment(os.environ),
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise PopreceiptError(f"Allure did not make the page within {_PATIENCE:.0f} seconds.") from late
    index = output / "index.html"
    if done.returncode or not index.is_file():
        said = (done.stderr.strip() or done.stdout.strip())[-500:]
        raise PopreceiptError(f"Allure could not make the page (exit status {done.returncode}): {said}")
    return index


def configuration(results: Iterable[Path], output: Path, history: Path, name: str) -> dict[str, Any]:
    """What the program is told: JSON, in which nothing can be mistaken for code."""
    keys = [str(each["key"]) for folder in results for each in _figures(folder)]
    return {
        "name": name,
        "output": str(output),
        "historyPath": str(history),
        "historyLimit": RUNS_KEPT,
        "categories": surroundings.categories_of_allure_3(),
        "performance": {"metrics": metrics.configuration(keys)},
        "plugins": {
            "awesome": {
                "options": {
                    "reportName": name,
                    "singleFile": True,
                    "reportLanguage": "en",
                    "groupBy": ["epic", "feature", "story"],
                }
            }
        },
    }


def _figures(folder: Path) -> Iterable[Mapping[str, Any]]:
    for file in sorted(folder.glob("*-perf.json")):
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except ValueError:
            continue  # the program complains of it itself
        if isinstance(found, list):
            yield from (each for each in found if isinstance(each, dict) and "key" in each)


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    """What the program sees of the environment: nothing that could send it anywhere or hold a secret of ours."""
    kept = ("PATH", "HOME", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "USERPROFILE", "LANG")
    found = {name: variables[name] for name in kept if name in variables}
    return found | {"ALLURE_NO_ANALYTICS": "true", "NO_COLOR": "1"}


def slimmed(text: str) -> str:
    """A history without what a page does not show of earlier runs: labels and traces, nine tenths of it.

    A line that is not understood stays as it is.
    """
    lines = []
    for line in text.splitlines():
        try:
            run = json.loads(line)
            for each in run["testResults"].values():
                each["labels"] = []
                each.pop("trace", None)
            lines.append(json.dumps(run, ensure_ascii=False, separators=(",", ":")))
        except (ValueError, KeyError, TypeError, AttributeError):
            lines.append(line)
    return "".join(f"{line}\n" for line in lines if line.strip())


def stripped(text: str) -> str:
    """The page without what counts its readers, and with a policy under which it speaks to nobody.

    Raises:
        PopreceiptError: it still has something that would speak to somebody; then Allure has changed.
    """
    shell, marked = _policed(_COUNTING.sub("", text))
    if not marked or _REMAINS.search(shell) or _OUTSIDE.search(shell):
        raise PopreceiptError(
            f"The page that Allure made would speak to others, and popreceipt does not know how to stop it. It knows "
            f"Allure {VERSION}; another version may write its pages otherwise."
        )
    return shell


def _policed(text: str) -> tuple[str, bool]:
    """The page with the policy at its head, before anything is loaded; whether there was a head."""
    policy = (
        f'\n    <meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '\n    <meta name="referrer" content="no-referrer">'
    )
    made, count = re.subn(r"<head>", lambda found: found.group() + policy, text, count=1, flags=re.IGNORECASE)
    return made, count == 1
