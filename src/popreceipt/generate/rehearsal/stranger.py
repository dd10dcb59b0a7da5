"""The emulator as a stranger: another process, TLS with an authority of its own, no control plane, a clock that runs.

It starts one, describes it as somebody would describe a real environment, and runs `popreceipt` on it as they would.
What comes of that is looked at elsewhere.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from popreceipt.exceptions import NothingProved
from popreceipt.generate.combined import Points

NAME: Final = "rehearsal"

PASSWORD: Final = "REHEARSAL_PASSWORD"

ROLES: Final = (
    "import-file",
    "import-in-order",
    "import-package",
    "import-disabled",
    "export-package",
    "export-file",
    "export-no-zero",
)

PATIENCE: Final = 60.0
"""Real seconds that the server may take to start or to end."""

COMMAND: Final = (sys.executable, "-m", "popreceipt")
TALKATIVE: Final = (sys.executable, "-m", "popreceipt.generate.rehearsal.talkative")


TAKING_ITS_TIME: Final[Mapping[str, Any]] = {"preprocessing_seconds": 20, "processing_seconds": 40}
"""How long a file takes, so that a clock that runs fast leaves room to see it."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How a stranger behaves, and what is said of it.

    Args:
        points: open points that it answers otherwise than usual.
        parameters: periods of its profile, as in a profile's file.
        mutant: its defect; None for a right one.
        rate: seconds of its clock in a real one.
        export_every: minutes of its clock between two exports of a job.
        seed: its identifiers and secrets follow from it.
        shared: roles of activities that are not described as exclusive.
        members: further members of the tenant's table, as TOML lines. A fast clock fills queues while a command starts.
        certificate: the client proves itself by a certificate rather than by its secret: the file with both parts.
        password: of that file, where it has one.
        msal: tokens are asked for through MSAL; else at a token URL that is told.
        talkative: it says back what it is told, and writes into this file what must be found nowhere.
    """

    points: Points = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=lambda: dict(TAKING_ITS_TIME))
    mutant: str | None = None
    rate: float = 300.0
    export_every: int = 1
    seed: int = 0
    shared: tuple[str, ...] = ()
    members: tuple[str, ...] = ("backlog = 500",)
    certificate: Path | None = None
    password: str | None = None
    msal: bool = True
    talkative: Path | None = None


@dataclass(frozen=True, slots=True)
class Stranger:
    """A server that runs, described in a folder.

    Args:
        folder: holds everything: `popreceipt.toml`, the authority's certificate, the server's own journal.
        base_url: where it is.
        secrets: what must be found nowhere.
        activities: ids by role.
        environment: of whoever calls it: where the description is, and the secrets.
    """

    folder: Path
    base_url: str
    secrets: tuple[str, ...]
    activities: Mapping[str, str]
    environment: Mapping[str, str]

    @property
    def journal(self) -> Path:
        """What the server itself wrote down."""
        return self.folder / "server.ndjson"

    @property
    def description(self) -> Path:
        """The file that describes it."""
        return self.folder / "popreceipt.toml"

    @property
    def target(self) -> str:
        """Its name as a target."""
        return f"tenant:{NAME}"

    def start(self, *arguments: str, output: Path) -> "subprocess.Popen[bytes]":
        """Start `popreceipt` with these arguments; both its outputs go into a file."""
        with output.open("ab") as file:
            return subprocess.Popen(
                [*COMMAND, *arguments],
                cwd=self.folder,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    def run(self, *arguments: str, seconds: float) -> "subprocess.CompletedProcess[str]":
        """Run `popreceipt` with these arguments, for so many real seconds at most.

        Raises:
            NothingProved: it did not come to its end.
        """
        try:
            return subprocess.run(
                [*COMMAND, *arguments],
                cwd=self.folder,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=seconds,
            )
        except subprocess.TimeoutExpired as error:
            raise NothingProved(f"popreceipt {' '.join(arguments)} took longer than {seconds:.0f} seconds.") from error


@contextmanager
def stranger(folder: Path, manner: Manner) -> Iterator[Stranger]:
    """Such a server for as long as the block lasts, described in a folder.

    Raises:
        NothingProved: it does not start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    profile = folder / "profile.toml"
    profile.write_text(_profile(manner), encoding="utf-8")
    command = [*COMMAND] if manner.talkative is None else [*TALKATIVE, str(manner.talkative)]
    command += ["serve", "--port", "0", "--no-control", "--tls", "--ca-file", str(folder / "ca.pem")]
    command += ["--clock", f"scaled:{manner.rate:g}", "--seed", str(manner.seed)]
    command += ["--profile", str(profile), "--export-every", str(manner.export_every)]
    command += ["--world-file", str(folder / "world.json"), "--journal", str(folder / "server.ndjson")]
    command += ["--until-stdin-ends"]
    if manner.mutant is not None:
        command += ["--mutant", manner.mutant]
    if manner.certificate is not None:
        command += ["--client-certificate", str(manner.certificate)]
    with (folder / "server.txt").open("wb") as errors:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            told = (folder / "server.txt").read_text(encoding="utf-8", errors="replace")
            raise NothingProved(f"The stranger did not start: {told[-2000:]}")
        yield _described(folder, json.loads(line)["base_url"], manner)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=PATIENCE)
        process.stdin.close()
        process.stdout.close()


def _profile(manner: Manner) -> str:
    lines = ["[points]", *(f'"{name}" = "{value}"' for name, value in manner.points.items())]
    lines += ["[parameters]", *(f"{name} = {json.dumps(value)}" for name, value in manner.parameters.items())]
    return "\n".join(lines) + "\n"


def _described(folder: Path, base_url: str, manner: Manner) -> Stranger:
    """The stranger, written into `popreceipt.toml`: what a person would know of it, and no secret."""
    told = json.loads((folder / "world.json").read_text(encoding="utf-8"))
    identity = told["identity"]
    variables = {role: f"REHEARSAL_{role.upper()}_SECRET" for role in identity["clients"]}
    environment = {variables[role]: each["client_secret"] for role, each in identity["clients"].items()}
    environment |= {"POPRECEIPT_CONFIG": str(folder / "popreceipt.toml"), "NO_COLOR": "1"}
    environment |= {} if manner.password is None else {PASSWORD: manner.password}
    activities = {each["name"]: each for each in told["activities"] if each["name"] in ROLES}
    lines = [f"[tenant.{NAME}]", f'base_url = "{base_url}"', 'ca = "ca.pem"', f'clock = "scaled:{manner.rate:g}"']
    if manner.msal:
        lines += [f'tenant = "{identity["tenant"]}"', f'authority = "{base_url}"']
    else:
        lines += [f'token_url = "{identity["token_url"]}"', f'token_url_v1 = "{identity["token_url_v1"]}"']
    lines += [f'client_id = "{identity["clients"]["authorised"]["client_id"]}"']
    if manner.certificate is not None:
        password = "" if manner.password is None else f', password_env = "{PASSWORD}"'
        lines += [f"certificate = {{ file = {json.dumps(str(manner.certificate))}{password} }}"]
    else:
        lines += [f'client_secret_env = "{variables["authorised"]}"']
    lines += manner.members
    for role in ("unlisted", "unmapped"):
        lines += [f"[tenant.{NAME}.clients.{role}]", f'client_id = "{identity["clients"][role]["client_id"]}"']
        lines += [f'client_secret_env = "{variables[role]}"']
    lines += [f"[tenant.{NAME}.activities]"]
    for role, job in activities.items():
        minutes = job["processing_recurrence_minutes"]
        members = [f'id = "{job["id"]}"', f"processing_recurrence_minutes = {minutes}"]
        members += ["exclusive = true"] if role not in manner.shared else []
        lines += [f"{role} = {{ {', '.join(members)} }}"]
    (folder / "popreceipt.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    passwords = [each["client_secret"] for each in identity["clients"].values()] + [identity["user"]["password"]]
    (folder / "world.json").unlink()  # From here on the secrets are in the environment alone.
    return Stranger(
        folder, base_url, tuple(passwords), {role: each["id"] for role, each in activities.items()}, environment
    )
