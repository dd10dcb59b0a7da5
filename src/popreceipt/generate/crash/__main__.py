"""Kill a durable emulator at random instants under load, start it again, and let the rules judge what its clients saw.

Clients keep a journal and a ledger over all deaths. After each restart whatever they were told with a success must be
there; after a round of deaths the queues are drained and the rules judge the journal: nothing acknowledged is lost,
nothing acknowledged returns, no lease is given twice.

    python -m popreceipt.generate.crash [--kills N] [--seed N] [--sync full|normal] [--server FILE]
"""

import argparse
import random
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from popreceipt.client.consumer import pull
from popreceipt.client.control import Control
from popreceipt.client.session import Session
from popreceipt.client.tokens import Tokens
from popreceipt.client.transport import Transport
from popreceipt.clock import stopwatch
from popreceipt.generate.crash.crew import Client, Gate, Jobs
from popreceipt.generate.crash.ledger import Ledger
from popreceipt.generate.crash.server import Server
from popreceipt.journal import Header, Journal, Target
from popreceipt.rules import catalogue, find
from popreceipt.rules.readings import Readings
from popreceipt.verdict import Outcome, judge

RATE = 600.0
"""The server's clock: a lease of half an hour ends after three real seconds."""

CLIENTS = 6

KILLS_A_ROUND = 10
"""Deaths that one journal spans."""

SHORTEST, LONGEST = 0.02, 1.5
"""Real seconds of work between a start and a death."""

PRODUCED = 20
"""Messages of each export before every death."""

SIZES = (1, 2, 3) * 6 + (4000,)
"""How many records they have: a file of the last does not fit into a row."""

LEASE = timedelta(minutes=31)

MUST_BE_SHOWN = (
    "acknowledgment.ends-redelivery",
    "redelivery.not-before-half-an-hour",
    "dequeue.waiting-message-is-offered",
)
"""Rules without which a run would have proved nothing; each has to be held at least once."""


@dataclass
class Tally:
    """What a run has seen."""

    kills: int = 0
    exchanges: int = 0
    in_doubt: int = 0
    promises: int = 0
    acknowledged: int = 0
    deliveries: int = 0
    held: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)


class Round:
    """Some deaths in a row, one journal over all of them."""

    def __init__(self, server: Server, chance: random.Random, name: str) -> None:
        self._server = server
        self._chance = chance
        self._name = name
        self._journal = Journal(
            Header(
                target=Target(name=server.base_url, clock="scaled"),
                clock="scaled",
                rate=RATE,
                concurrent=True,
            )
        )
        self._transport = Transport(None)
        self._quiet = Control(server.base_url, transport=self._transport)
        self._control = Control(
            server.base_url, transport=self._transport, times=self._quiet.times, journal=self._journal
        )
        self._session = Session(server.base_url, self._control.times, self._journal, transport=self._transport)
        self._tokens = Tokens(self._session, self._control.world().identity)
        self._ledger = Ledger()
        self._gate = Gate()
        self._jobs = Jobs(
            exports=[self._create(direction="export", type=kind) for kind in ("package", "file")],
            unread=[self._create(direction="export")],
            imports=[self._create(direction="import", in_order=in_order) for in_order in (True, False)],
        )

    def _create(self, **settings: Any) -> str:
        return str(self._control.create(**settings)["id"])

    def play(self, kills: int, tally: Tally) -> None:
        """Die so many times, then drain the queues and judge."""
        crew = [
            Client(
                f"c{number}",
                random.Random(f"{self._name}/{number}"),
                self._session,
                self._tokens,
                self._quiet,
                self._jobs,
                self._ledger,
                self._gate,
            )
            for number in range(CLIENTS)
        ]
        for client in crew:
            client.start()
        try:
            for _ in range(kills):
                self._produce()
                reached = self._die()
                tally.kills += 1
                tally.findings += [f"after {tally.kills} deaths: {each}" for each in self._broken(reached)]
                if tally.findings:
                    break
        finally:
            self._gate.end()
            for client in crew:
                client.join()
        for client in crew:
            if client.fault is not None:
                raise client.fault
        if not tally.findings:
            self._drain()
            tally.findings += self._broken(self._control.times.earliest())
        self._judge(tally)
        self._transport.close()

    def _produce(self) -> None:
        for activity in self._jobs.exports:
            for _ in range(PRODUCED):
                produced = self._control.produce(activity, self._chance.choice(SIZES))
                self._ledger.produced(activity, produced["messageId"], produced["sha256"])

    def _die(self) -> datetime:
        """Work for a while, die, and come back; what time it was at least when it died."""
        self._gate.open()
        threading.Event().wait(self._chance.uniform(SHORTEST, LONGEST))
        reached = self._control.times.earliest()
        self._gate.close()
        self._server.kill()
        self._gate.wait_until_nobody_is_inside()
        self._server.start()
        for _ in range(5):
            self._quiet.clock()
        return reached

    def _broken(self, reached: datetime) -> Iterator[str]:
        now = self._quiet.clock().now
        if now < reached:
            yield f"the clock went back from {reached} to {now}"
        rows = {activity: self._quiet.messages(activity) for activity in self._jobs.every}
        yield from self._ledger.broken(rows, self._quiet.clock().now)

    def _drain(self) -> None:
        """Take and acknowledge what is left, twice: what was leased comes back after its half hour."""
        for _ in range(2):
            for activity in self._jobs.exports:
                pull(self._session, self._tokens, activity, lambda *_: None, actor="authorised/drain")
            self._control.times.advance(LEASE.total_seconds())
        for activity in self._jobs.every:
            self._control.messages(activity)

    def _judge(self, tally: Tally) -> None:
        self._journal.seal()
        exchanges = list(self._journal.exchanges())
        tally.exchanges += len(exchanges)
        tally.in_doubt += sum(each.failure is not None for each in exchanges)
        tally.promises += len(self._ledger)
        tally.acknowledged += self._ledger.acknowledged
        tally.deliveries += self._ledger.deliveries
        readings = Readings(self._journal.header, self._journal.entries)
        for name in MUST_BE_SHOWN:
            # A verdict is the worst that was found: one that the journal could not tell hides what was held.
            tally.held[name] += sum(finding.outcome is Outcome.HELD for finding in find(name).check(readings))
        for verdict in judge(readings, catalogue()):
            if verdict.outcome is Outcome.VIOLATED:
                tally.findings.append(f"{verdict.level} {verdict.id}: {verdict.findings[0].message}")
            elif verdict.reason is not None and verdict.outcome is Outcome.UNDECIDED:
                tally.findings.append(f"{verdict.id}: {verdict.reason}")


def run(kills: int, seed: int, sync: str, command: Sequence[str]) -> Tally:
    """Die so many times, in rounds, until something is found."""
    tally = Tally()
    chance = random.Random(f"crash/{seed}")
    began = stopwatch()
    with ExitStack() as closing:
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="popreceipt-crash-")))
        server = Server(command, folder, "--clock", f"scaled:{RATE:g}", "--sync", sync)
        closing.callback(server.kill)
        server.start()
        number = 0
        while tally.kills < kills and not tally.findings:
            number += 1
            Round(server, chance, f"{seed}/{number}").play(min(KILLS_A_ROUND, kills - tally.kills), tally)
            print(
                f"{tally.kills} of {kills} deaths, {tally.exchanges} exchanges, {tally.in_doubt} in doubt,"
                f" {tally.promises} messages promised, {tally.deliveries} deliveries,"
                f" {tally.acknowledged} acknowledged, {len(tally.findings)} findings, {stopwatch() - began:.0f} s",
                file=sys.stderr,
                flush=True,
            )
        if server.stop() != 0:
            tally.findings.append(f"the server did not end well: {server.errors()[-500:]}")
        if server.errors():
            tally.findings.append(f"the server complained: {server.errors()[:500]}")
    return tally


def main(arguments: Sequence[str]) -> int:
    """1 where something was found, 3 where nothing was proved."""
    parser = argparse.ArgumentParser(prog="crash", description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=200, help="how many deaths")
    parser.add_argument("--seed", type=int, default=0, help="of the instants and of what clients do")
    parser.add_argument("--sync", choices=("full", "normal"), default="full", help="as popreceipt serve has it")
    parser.add_argument("--server", type=Path, help="a script that is run instead of popreceipt")
    chosen = parser.parse_args(arguments)
    program = ["-m", "popreceipt"] if chosen.server is None else [str(chosen.server)]
    tally = run(chosen.kills, chosen.seed, chosen.sync, [sys.executable, *program, "serve"])
    for finding in tally.findings:
        print(finding)
    if tally.findings:
        return 1
    missing = [rule for rule in MUST_BE_SHOWN if not tally.held[rule]]
    if missing or not tally.acknowledged:
        print(f"Nothing was proved: {', '.join(missing) or 'no acknowledgment'} was never shown.")
        return 3
    print(f"{tally.kills} deaths: nothing was lost, nothing came back, no lease was given twice.")
    for rule in MUST_BE_SHOWN:
        print(f"  {rule}: held {tally.held[rule]} times")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
