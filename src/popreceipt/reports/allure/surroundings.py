"""What stands around results: the environment, the categories into which verdicts fall, and the pipeline that ran."""

import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from popreceipt import __version__

ENVIRONMENT: Final = "environment.properties"
CATEGORIES: Final = "categories.json"
EXECUTOR: Final = "executor.json"


@dataclass(frozen=True, slots=True)
class Category:
    """A heading for results that ended alike.

    Args:
        name: the heading.
        statuses: how a result ended.
        message: an expression that is found in its message; empty for any.
        epic: where it stands, for a version of Allure that looks at labels.
    """

    name: str
    statuses: tuple[str, ...]
    message: str = ""
    epic: str = ""


CATEGORIES_IN_ORDER: Final = (
    Category("Fault of the harness", ("broken",)),
    Category(
        "Found by searching", ("failed", "skipped"), r"found by the suite|Failed: [\w.-]+( \([\w ]+\))?: ", "^Searches$"
    ),
    Category("Promise broken (MUST)", ("failed",), r"MUST violated|is violated: "),
    Category("Recommendation not kept (SHOULD)", ("failed", "skipped"), r"SHOULD violated"),
    Category("Threshold of a load run not kept", ("failed",), r"threshold not kept"),
    Category("Scenario without anything to judge", ("failed",), r"found nothing to judge|could not go on"),
    Category("Undecided", ("unknown",)),
    Category("Parked: waits for an instant to come", ("skipped",), r"parked until"),
    Category("Not exercised: the target lacks an ability", ("skipped",), r"\blacks\b"),
    Category("Not exercised", ("skipped",)),
)
"""The first that fits counts."""


def categories_of_allure_2() -> list[dict[str, Any]]:
    """The categories as they stand in a folder of results; there an expression fits the whole of a message."""
    return [
        {"name": each.name, "matchedStatuses": list(each.statuses)}
        | ({"messageRegex": rf"[\s\S]*({each.message})[\s\S]*"} if each.message else {})
        for each in CATEGORIES_IN_ORDER
    ]


def categories_of_allure_3() -> list[dict[str, Any]]:
    """The categories as the configuration of Allure 3 has them: a label says more than a message."""
    found = []
    for each in CATEGORIES_IN_ORDER:
        matcher: dict[str, Any] = {"statuses": list(each.statuses)}
        if each.epic:
            matcher["labels"] = {"epic": each.epic}
        elif each.message:
            matcher["message"] = each.message
        found.append({"name": each.name, "matchers": [matcher]})
    return found


def facts() -> dict[str, str]:
    """What the environment of every command is."""
    return {
        "popreceipt": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}".strip(),
    }


def environment(command: str, told: Mapping[str, str], before: str) -> str:
    """The file with the environment: what this command tells, beside what others told.

    Args:
        command: whose facts are told; each name begins with it.
        told: facts by their names.
        before: what the file said until now.
    """
    own = f"{_escaped_name(command)}."
    kept = [line for line in before.splitlines() if line.strip() and not line.startswith(own)]
    lines = [f"{own}{_escaped_name(name)} = {_escaped(value)}" for name, value in told.items() if value]
    return "\n".join([*kept, *lines]) + "\n"


def _escaped_name(name: str) -> str:
    """A name of a properties file, which would end at its first blank."""
    return _escaped(name, signs=r"[\\=:#! ]|[^ -~]")


def _escaped(text: str, *, signs: str = r"^ |[\\=:#!]|[^ -~]") -> str:
    r"""A value of a properties file: ASCII, and the file's own signs escaped. A blank matters only where it begins."""

    def escaped(found: re.Match[str]) -> str:
        sign = found.group()
        if sign in "\\=:#! ":
            return f"\\{sign}"
        return "".join(f"\\u{unit:04x}" for unit in _utf_16(sign))

    return re.sub(signs, escaped, text)


def _utf_16(sign: str) -> list[int]:
    encoded = sign.encode("utf-16-be", "surrogatepass")
    return [int.from_bytes(encoded[at : at + 2], "big") for at in range(0, len(encoded), 2)]


def executor(variables: Mapping[str, str]) -> dict[str, Any] | None:
    """Who ran it, where the variables of a pipeline tell; None on somebody's own machine."""
    for sign, name, kind, build, address, order in _PIPELINES:
        if not variables.get(sign):
            continue
        found: dict[str, Any] = {"name": name, "type": kind}
        if told := " ".join(filter(None, (variables.get(each, "") for each in build))):
            found["buildName"] = told
        if place := _address(address.format_map(_Known(variables))):
            found["buildUrl"] = place
        if (number := variables.get(order, "")).isdecimal():
            found["buildOrder"] = int(number)
        return found
    return None


_PIPELINES: Final = (
    (
        "GITHUB_ACTIONS",
        "GitHub Actions",
        "github",
        ("GITHUB_WORKFLOW", "GITHUB_RUN_NUMBER"),
        "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/actions/runs/{GITHUB_RUN_ID}",
        "GITHUB_RUN_NUMBER",
    ),
    (
        "TF_BUILD",
        "Azure Pipelines",
        "azure",
        ("BUILD_DEFINITIONNAME", "BUILD_BUILDNUMBER"),
        "{SYSTEM_COLLECTIONURI}{SYSTEM_TEAMPROJECT}/_build/results?buildId={BUILD_BUILDID}",
        "BUILD_BUILDID",
    ),
    ("GITLAB_CI", "GitLab CI", "gitlab", ("CI_JOB_NAME", "CI_PIPELINE_ID"), "{CI_JOB_URL}", "CI_PIPELINE_IID"),
    ("JENKINS_URL", "Jenkins", "jenkins", ("JOB_NAME", "BUILD_NUMBER"), "{BUILD_URL}", "BUILD_NUMBER"),
)
"""Sign, name and type of each kind of pipeline; variables of the build's name; address; variable of its number."""


class _Known(dict[str, str]):
    """Variables, of which those that are missing are empty."""

    def __missing__(self, key: str) -> str:
        return ""


def _address(text: str) -> str | None:
    """A web address without a user's name or password in it; None where it is none."""
    try:
        parts = urlsplit(text)
        host = parts.hostname
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not host:
        return None
    shown = f"[{host}]" if ":" in host else host
    return urlunsplit((parts.scheme, f"{shown}{port}", parts.path, parts.query, ""))
