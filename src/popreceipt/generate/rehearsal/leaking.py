"""Every command that can meet a secret, run over a talkative stranger; then all that they wrote is looked through.

What a command ends with does not matter here, as long as it is no fault of its own: the stranger breaks rules by
talking. What matters is that nothing of what it says stands anywhere afterwards, on paper or on the screen.
"""

import base64
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from popreceipt.generate.rehearsal import canaries
from popreceipt.generate.rehearsal.certificate import made_up
from popreceipt.generate.rehearsal.stranger import PASSWORD, Manner, Stranger, stranger

LONGEST: Final = 300.0
"""Real seconds that a command may take."""

OWN_FAULT: Final = 4

TOLD: Final = "told.txt"
"""What must be found nowhere, as the stranger has it: beside the folder that is looked through."""

WRONG: Final = "wrong-SECRET~of/somebody+else=0123456789"
"""A client's secret that the stranger does not know, and says back in its refusal."""

MEMBERS: Final = ("backlog = 5000", "fuzz = true", "load = true")

SOON: Final = ("--patience", "1s")
"""What takes longer is parked: secrets are met in the first requests."""

CI: Final[Mapping[str, str]] = {
    "CI": "true",
    "GITHUB_ACTIONS": "true",
    "GITHUB_SERVER_URL": "https://github.example",
    "GITHUB_REPOSITORY": "contoso/integration",
    "GITHUB_RUN_ID": "1",
    "GITHUB_RUN_NUMBER": "1",
    "GITHUB_WORKFLOW": "nightly",
}
"""A build server, whose name reports take over from the environment: where the secrets are as well."""

ESCAPES: Final = (b"\x1b", b"\x07", "\u202e".encode())
"""What would act upon a terminal. No command that is run without one writes any of it by itself."""

SCRIPT: Final = b"<script>alert"


@dataclass
class Looked:
    """What came of it.

    Args:
        ran: commands in the order in which they were run, each with its exit status.
        problems: what should not be, in words.
    """

    ran: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def look(folder: Path, *, whole: bool = True) -> Looked:
    """Run commands over talkative strangers, and look for what they have left.

    Args:
        folder: an empty one.
        whole: all commands; else those by which most is written.
    """
    found = Looked()
    _with_secrets(folder / "secrets", found, whole)
    if whole:
        _with_certificate(folder / "certificate", found)
    return found


def _with_secrets(place: Path, found: Looked, whole: bool) -> None:
    told = _beside(place)
    # Files behind signed addresses: what signs them is as good as a token.
    points = {"download.answer": "redirect"} if whole else {}
    manner = Manner(points=points, rate=60.0, members=MEMBERS, msal=whole, talkative=told)
    with stranger(place, manner) as host:
        environment = {**host.environment, **CI}
        host = replace(host, environment=environment)
        wrong = replace(host, environment={**environment, "REHEARSAL_AUTHORISED_SECRET": WRONG})
        verify = ("verify", "--target", host.target)
        steps = _tour(verify) if whole else ()
        for name, arguments in (*steps, *_first(verify, whole)):
            _run(wrong if name.startswith("wrong") else host, name, arguments, found)
        for name, arguments in _after(place, whole):
            _run(host, name, arguments, found)
    _search(place, [*host.secrets, WRONG, *_lines(told)], found)


def _tour(verify: Sequence[str]) -> Iterator[tuple[str, Sequence[str]]]:
    """What a tenant's owner does first."""
    yield "plan", (*verify, "--plan", "--json")
    yield "wrong", ("--debug", *verify, "--out", "wrong", *SOON)
    yield "wrong-fuzz", ("--debug", *verify, "--suite", "fuzz", "--out", "wrong-fuzz", *SOON)
    yield "wrong-load", ("load", "imports", "--target", verify[-1], "--minutes", "1", "--out", "wrong-load")


def _first(verify: Sequence[str], whole: bool) -> Iterator[tuple[str, Sequence[str]]]:
    chapters = () if whole else ("--chapter", "authorization", "--chapter", "enqueue")
    yield (
        "verify",
        (*verify, "--out", "out", "--html", "out/page.html", "--allure", "out/allure", *SOON, *chapters),
    )
    if not whole:
        return
    yield "resume", (*verify, "--out", "out", "--resume", "--json", "--patience", "3s")
    yield "assisted", (*verify, "--out", "assisted", "--assisted", *SOON)
    yield "scenarios", (*verify, "--suite", "conformance", "--out", "scenarios", "--allure", "scenarios/allure", *SOON)
    yield (
        "fuzz",
        (*verify, "--suite", "fuzz", "--out", "fuzz", "--html", "fuzz/page.html", "--allure", "fuzz/allure", *SOON),
    )
    load = ("--minutes", "3", "--rate", "600", "--lag", "30", "--generator-ceiling", "1e6", "--target-ceiling", "1e6")
    yield "load", ("load", "mixed", "--target", verify[-1], "--out", "load", "--allure", "load/allure", *load)
    yield (
        "load-of-two",
        (
            "load",
            "imports",
            "--target",
            verify[-1],
            "--out",
            "two",
            "--processes",
            "2",
            "--html",
            "two/page.html",
            *load,
        ),
    )


def _after(place: Path, whole: bool) -> Iterator[tuple[str, Sequence[str]]]:
    """What is done with what a run has left."""
    pages = ("--html", "out/again.html", "--markdown", "out/summary.md", "--badge", "out/badge.svg")
    yield "report", ("report", "out", *pages, "--junit", "out/again.xml", "--allure", "out/allure-again")
    yield (
        "judge",
        ("judge", "out/journal.ndjson", "--html", "judged.html", "--allure", "judged", "--timelines", "lines"),
    )
    if not whole:
        return
    yield "report-of-fuzz", ("report", "fuzz", "--previous", "out", "--markdown", "-")
    if shutil.which("npm") is not None:
        yield "allure-page", ("report", "out", "--allure-page", "page")
    yield "judge-again", ("judge", "load/journal.ndjson", "--json", "--out", "load-judged")
    yield "load-again", ("load", "--judge", "load", "--json", "-")
    yield "load-report", ("report", "load", "--markdown", "load/summary.md")
    yield "accept", ("gate", "out", "--baseline", "baseline.toml", "--update")
    yield "gate", ("gate", "out", "--baseline", "baseline.toml", "--markdown", "gate.md", "--json")
    yield "fingerprint", ("fingerprint", "--from", "out", "--out", "fingerprint.toml", "--json")
    # What failed is known only now.
    for number, bundle in enumerate(sorted((place / "fuzz" / "bundles").glob("*/bundle.json"))[:3]):
        yield f"replay-{number}", ("replay", str(bundle), "--target", "tenant:rehearsal", *SOON_IN_SECONDS)


SOON_IN_SECONDS: Final = ("--patience", "1")


def _with_certificate(place: Path, found: Looked) -> None:
    """A client that proves itself by a certificate under a password; once the password is another one."""
    told = _beside(place)
    password = "Pass~word+of/the=file 0123456789"
    file = made_up(place.parent, password)
    manner = Manner(rate=60.0, members=MEMBERS, certificate=file, password=password, talkative=told)
    with stranger(place, manner) as host:
        verify = ("verify", "--target", host.target)
        wrong = replace(host, environment={**host.environment, PASSWORD: WRONG})
        _run(wrong, "wrong-password", ("--debug", *verify, "--out", "out", *SOON), found)
        _run(host, "verify-with-certificate", ("--debug", *verify, "--out", "out", "--allure", "allure", *SOON), found)
        _run(host, "fuzz-with-certificate", (*verify, "--suite", "fuzz", "--out", "fuzz", *SOON), found)
        _run(host, "load-with-certificate", ("load", "imports", "--target", host.target, "--out", "load"), found)
    _search(place, [*host.secrets, WRONG, password, *_key_of(file, password), *_lines(told)], found)


def _key_of(file: Path, password: str) -> Iterator[str]:
    """A private key as it might stand in a file: the lines of its PEM, without and with its password."""
    from cryptography.hazmat.primitives import serialization

    content = file.read_bytes()
    key = serialization.load_pem_private_key(content, password.encode())
    for how in (serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL):
        raw = key.private_bytes(serialization.Encoding.DER, how, serialization.NoEncryption())
        text = base64.b64encode(raw).decode()
        # Its beginning tells what it is a key of, and for which certificate.
        yield from (text[start : start + 64] for start in range(len(text) // 2, len(text) - 64, 64))
    yield from (line for line in content.decode().partition("-----END")[0].splitlines()[2:] if len(line) == 64)


def _beside(place: Path) -> Path:
    place.mkdir(parents=True)
    file = place.parent / f"{place.name}-{TOLD}"
    file.touch()
    return file


def _lines(file: Path) -> list[str]:
    """What the stranger was told; a word that a tour sends for a token, to be refused, is none."""
    return [each for each in file.read_text(encoding="utf-8").splitlines() if len(each) >= SHORTEST]


SHORTEST: Final = 24


def _run(host: Stranger, name: str, arguments: Sequence[str], found: Looked) -> None:
    run = host.run(*arguments, seconds=LONGEST)
    (host.folder / f"{name}.txt").write_text(run.stdout + run.stderr, encoding="utf-8")
    found.ran[name] = run.returncode
    if run.returncode == OWN_FAULT or run.returncode < 0:
        found.problems.append(f"{name} ended with {run.returncode}: {run.stderr[-1000:]}")


def _search(place: Path, secrets: Sequence[str], found: Looked) -> None:
    own = [place / "server.ndjson", place / "server.txt", place / "popreceipt.toml"]
    found.problems += canaries.leaks(place, dict.fromkeys(secrets), but=own)
    for file in sorted(place.rglob("*")):
        if not file.is_file() or file in own:
            continue
        content = file.read_bytes()
        if file.suffix in (".txt", ".md", ".html", ".svg", ".xml", ".toml", ".sh"):
            found.problems += [f"{file.relative_to(place)}: {each!r} acts" for each in ESCAPES if each in content]
        if file.suffix in (".html", ".svg", ".md") and SCRIPT in content.replace(b"&lt;script", b""):
            found.problems.append(f"{file.relative_to(place)}: a script of the stranger's")
