"""What a command does to leave results for Allure: it sees that it can before it runs, and writes when it has run."""

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from popreceipt.reports.allure import folder
from popreceipt.reports.allure.verdicts import Exchanges, ScenarioExchanges, write_result
from popreceipt.reports.result import of_json


def begin(path: Path, command: str) -> None:
    """See that a folder can be written, and take away what this command left there before.

    Raises:
        UsageError: it cannot be written, or what writes results is not installed.
    """
    folder.require()
    folder.prepare(path)
    folder.clear(path, command)


def for_pytest(path: Path) -> tuple[str, ...]:
    """What pytest is to be told so that scenarios become results of their own; nothing without allure-pytest.

    What tests print is left out: a library may have logged what no report should hold.
    """
    if importlib.util.find_spec("allure_pytest") is None:
        return ()
    plugins = ("-p", "allure_pytest.plugin", "-p", "popreceipt.reports.allure.listening")
    return (*plugins, f"--alluredir={path.absolute()}", "--allure-no-capture")


def end(
    raw: Mapping[str, Any],
    path: Path,
    command: str,
    *,
    exchanges: Exchanges,
    scenario_exchanges: ScenarioExchanges | None = None,
    strict: bool = False,
) -> int:
    """Write what was judged beside what pytest has written; how many results that made.

    Args:
        raw: the verdicts as the verdict file has them.
        path: the folder.
        command: which command it was.
        exchanges: those that findings name, by number.
        scenario_exchanges: those of scenarios of a middleware.
        strict: a violated SHOULD and an undecided rule count as findings.

    Raises:
        UsageError: the folder cannot be written.
    """
    return write_result(
        of_json(raw, Path("verdicts.json")),
        path,
        command=command,
        exchanges=exchanges,
        scenario_exchanges=scenario_exchanges,
        strict=strict,
        cleared=True,
    )
