"""A tour that is killed: at a request that was about to go out, or whose answer had come, in virtual time.

What the process had handed to the system by then is what another one finds. So the folder is copied at that instant,
and put back once the process's own tidying up, which a killed one has no time for, is over.
"""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Literal

import httpx

from popreceipt.emulator.profile import Profile
from popreceipt.fingerprints.tour import AsTenant
from popreceipt.generate.rehearsal.checks import DECIDED
from popreceipt.tour.tour import Toured

When = Literal["before", "after"]


class Killed(BaseException):
    """The process is gone."""


@dataclass
class Kill:
    """At which request it dies, counted from its own start, and on which side of it."""

    request: int
    when: When


class _Deadly(httpx.BaseTransport):
    """The way to the emulator, on which the process dies at a certain request."""

    def __init__(self, inner: httpx.BaseTransport, kill: Kill | None, folder: Path, kept: Path) -> None:
        self._inner = inner
        self._kill = kill
        self._folder = folder
        self._kept = kept
        self._requests = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Hand over, unless the process dies."""
        self._requests += 1
        fatal = self._kill is not None and self._requests == self._kill.request
        if fatal and self._kill is not None and self._kill.when == "before":
            self._die()
        answer = self._inner.handle_request(request)
        if fatal:
            self._die()
        return answer

    def _die(self) -> None:
        shutil.copytree(self._folder, self._kept)
        raise Killed


@dataclass
class Mortal(AsTenant):
    """An emulator whose tours are killed.

    Args:
        folder: for what the tour leaves.
    """

    folder: Path = field(default_factory=Path)
    kill: Kill | None = None

    def carrier(self) -> httpx.BaseTransport:
        """What carries requests to it, for as long as the process lives."""
        return _Deadly(super().carrier(), self.kill, self.folder, self._kept)

    @property
    def _kept(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}-kept")

    def through(self, kills: Iterable[Kill]) -> tuple[Toured, int]:
        """Tour it through these kills, one after the other, to its end; and how many of them it lived to see."""
        met = 0
        for self.kill in (*kills, None):
            try:
                return self.toured(out=self.folder, resume=met > 0 and self._begun()), met
            except Killed:
                met += 1
                shutil.rmtree(self.folder)
                self._kept.rename(self.folder)
        raise AssertionError("the last process is not killed")

    def _begun(self) -> bool:
        """Whether the process that was killed had come so far that there is something to go on with."""
        return (self.folder / "ledger.ndjson").is_file()


def mortal(folder: Path) -> Mortal:
    """A plain emulator whose exports come as soon as a tour wants them, and whose tours leave what they did here."""
    return Mortal(Profile(), every=timedelta(minutes=1), exports_for=timedelta(hours=2), folder=folder)


def lost(whole: Toured, resumed: Toured) -> list[str]:
    """The verdicts that a tour came to without interruption, and not with one, in words."""
    after = {each.id: each for each in resumed.verdicts.rules}
    return [
        f"{each.id} was {each.outcome} ({each.answer or 'no answer'}), and is {after[each.id].outcome}"
        for each in whole.verdicts.rules
        if each.outcome in DECIDED and (each.outcome, each.answer) != (after[each.id].outcome, after[each.id].answer)
    ]
