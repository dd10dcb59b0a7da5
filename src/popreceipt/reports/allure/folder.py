"""A folder of results as Allure reads it, of which other commands may have written a part.

Each command's results bear its name in a label. A command takes away what it wrote there before and leaves everything
else as it is. All text is made plain, and whatever looks like a token is replaced, before it is written.
"""

import importlib.util
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from hashlib import md5
from pathlib import Path
from typing import Any, Final

from popreceipt.exceptions import UsageError
from popreceipt.journal import without_tokens
from popreceipt.reports.allure import surroundings
from popreceipt.reports.allure.bounds import LEFT_OUT, Budget
from popreceipt.reports.allure.cases import Attachment, Case, Status, Step
from popreceipt.reports.plain import cut, one_line, plain

COMMAND_LABEL: Final = "popreceipt"
"""The label that tells which command wrote a result."""

LONGEST_MESSAGE: Final = 4_000
LONGEST_NAME: Final = 400

NEEDED: Final = {"allure_commons": "allure-python-commons"}
"""Modules without which no results are written, and the packages in which they come."""


def require() -> None:
    """See that results can be written.

    Raises:
        UsageError: what writes them is not installed.
    """
    missing = [package for module, package in NEEDED.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise UsageError(f'Results for Allure need {", ".join(missing)}: pip install "popreceipt[report]".')


class Folder:
    """Writes results of one command into a folder.

    Args:
        path: the folder; made if it is missing.
        command: which command writes; it is a part of every identity.
        now: the instant at which what is written ended.
        budget: what may be attached; shared where several write.

    Raises:
        UsageError: the folder cannot be written, or what writes results is not installed.
    """

    def __init__(self, path: Path, command: str, now: datetime, budget: Budget | None = None) -> None:
        require()
        self.path = path
        self.command = command
        self.written = 0
        self._now = now
        self._budget = budget if budget is not None else Budget()
        self._identities: set[str] = set()
        prepare(path)

    def add(self, case: Case) -> None:
        """Write one case.

        Raises:
            UsageError: it cannot be written.
            ValueError: another case has the same identity.
        """
        from allure_commons import model2
        from allure_commons.logger import AllureFileLogger

        if case.identity in self._identities:
            raise ValueError(f"two cases are called {case.identity}")
        self._identities.add(case.identity)
        name = fit(case.name, LONGEST_NAME)
        stop = _milliseconds(self._now)
        start = _milliseconds(self._now - timedelta(seconds=case.seconds))
        labels = {"epic": case.epic, "feature": case.feature, "story": case.story, "parentSuite": case.epic}
        labels |= {"suite": case.feature, "severity": case.severity, "framework": COMMAND_LABEL}
        labels |= {COMMAND_LABEL: self.command, "language": "python"}
        key = fit(f"{COMMAND_LABEL}.{self.command}.{case.identity}", LONGEST_NAME * 4)
        maker: Any = AllureFileLogger  # it says nothing of its types
        logger = maker(self.path)
        steps = [*case.steps]
        attachments = []
        try:
            for each in case.attachments:
                source = self._attached(each, logger, failed=case.status is not Status.PASSED)
                if source is None:
                    steps.append(Step(LEFT_OUT.format(each.name)))
                else:
                    attachments.append(model2.Attachment(each.name, source, each.media_type))
            result = model2.TestResult(
                uuid=str(uuid.uuid4()),
                name=name,
                fullName=key,
                testCaseId=_digest(key),
                historyId=_digest(key, *(f"{each.name}={each.value}" for each in case.parameters if not each.excluded)),
                status=case.status.value,
                statusDetails=_details(case.message),
                stage="finished",
                description=case.description or None,
                start=start,
                stop=stop,
                titlePath=[COMMAND_LABEL, case.epic, case.feature],
                labels=[model2.Label(each, fit(value, LONGEST_NAME)) for each, value in labels.items() if value]
                + [model2.Label("tag", fit(each, LONGEST_NAME)) for each in case.tags],
                links=[model2.Link("link", address, fit(words, LONGEST_NAME)) for words, address in case.links],
                parameters=[
                    model2.Parameter(fit(each.name, 60), fit(each.value, LONGEST_NAME), each.excluded or None)
                    for each in case.parameters
                ],
                steps=[_step(each, start) for each in steps],
                attachments=attachments,
            )
            logger.report_result(result)
        except OSError as error:
            raise UsageError(f"Cannot write results to {self.path}: {error.strerror or error}.") from error
        self.written += 1

    def _attached(self, attachment: Attachment, logger: Any, *, failed: bool) -> str | None:
        text = without_tokens(plain(attachment.text))
        if not self._budget.takes(text, failed=failed):
            return None
        name = f"{uuid.uuid4()}-attachment.{attachment.extension}"
        logger.report_attached_data(text, name)
        return name

    def metrics(self, name: str, metrics: Sequence[Mapping[str, Any]]) -> None:
        """Write figures that a report draws over time.

        Args:
            name: of the file, before `-perf.json`.
            metrics: each with `id`, `key`, `value`, `start` and `stop` (milliseconds since 1970).

        Raises:
            UsageError: they cannot be written.
        """
        self._write(f"{name}-perf.json", json.dumps(list(metrics), indent=1))

    def finish(self, environment: Mapping[str, str], variables: Mapping[str, str]) -> None:
        """Write what stands around the results: the environment, the categories, and who ran it.

        Args:
            environment: facts by their names; those of other commands stay.
            variables: the environment variables of this process, of which those of pipelines are read.

        Raises:
            UsageError: they cannot be written.
        """
        file = self.path / surroundings.ENVIRONMENT
        before = ""
        with suppress(OSError, ValueError):
            before = file.read_text(encoding="latin-1")
        told = {name: without_tokens(plain(value)) for name, value in environment.items()}
        self._write(surroundings.ENVIRONMENT, surroundings.environment(self.command, told, before))
        self._write(surroundings.CATEGORIES, json.dumps(surroundings.categories_of_allure_2(), indent=1))
        executor = surroundings.executor(variables)
        if executor is not None:
            self._write(surroundings.EXECUTOR, json.dumps(executor, indent=1))

    def _write(self, name: str, text: str) -> None:
        try:
            (self.path / name).write_text(text, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"Cannot write {self.path / name}: {error.strerror or error}.") from error


def prepare(path: Path) -> None:
    """Make the folder, and see that it can be written before anything is run for nothing.

    Raises:
        UsageError: it cannot.
    """
    probe = path / f".popreceipt-{uuid.uuid4().hex}"
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise UsageError(
            f"Cannot write results to {path}: {error.strerror or error}. Give another folder with --allure."
        ) from error


def clear(path: Path, command: str) -> None:
    """Take away the results that a command left in a folder before, with what was attached to them.

    Raises:
        UsageError: they cannot be taken away.
    """
    gone: set[str] = set()
    try:
        for file in sorted(path.glob("*-result.json")):
            result = _json(file)
            labels = result.get("labels")
            own = {"name": COMMAND_LABEL, "value": command}
            if isinstance(labels, list) and own in labels:
                gone.add(str(result.get("uuid")))
                for name in _sources(result):
                    _remove(path, name)
                file.unlink()
        for file in sorted(path.glob("*-container.json")) if gone else ():
            children = _json(file).get("children")
            if isinstance(children, list) and children and gone.issuperset(map(str, children)):
                for name in _sources(_json(file)):
                    _remove(path, name)
                file.unlink()
        (path / f"{command}-perf.json").unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"Cannot clear {path} of earlier results: {error.strerror or error}.") from error


def _remove(path: Path, name: str) -> None:
    """Remove an attachment; a result names files of its own folder, and only such are removed."""
    if Path(name).name == name and "-attachment" in name:
        (path / name).unlink(missing_ok=True)


def _sources(node: Any) -> Iterable[str]:
    """The files that a result names, at any depth."""
    if isinstance(node, dict):
        source = node.get("source")
        if isinstance(source, str):
            yield source
        for value in node.values():
            yield from _sources(value)
    elif isinstance(node, list):
        for each in node:
            yield from _sources(each)


def _json(file: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        return {}  # somebody else's, or cut off: it is not ours to judge
    return content if isinstance(content, dict) else {}


def _step(step: Step, at: int) -> Any:
    from allure_commons import model2

    return model2.TestStepResult(
        name=fit(step.name, LONGEST_NAME * 2),
        status=step.status.value,
        statusDetails=_details(step.message),
        stage="finished",
        start=at,
        stop=at,
        steps=[_step(each, at) for each in step.steps],
    )


def _details(message: str) -> Any:
    from allure_commons import model2

    return model2.StatusDetails(message=cut(without_tokens(plain(message)), LONGEST_MESSAGE)) if message else None


def fit(text: str, most: int) -> str:
    """A text of one line, plain, without tokens."""
    return without_tokens(one_line(text, most))


def _digest(*parts: str) -> str:
    """An identity: no two lists of parts run together."""
    return md5(json.dumps(parts).encode("utf-8"), usedforsecurity=False).hexdigest()


def _milliseconds(instant: datetime) -> int:
    return round(instant.timestamp() * 1000)
