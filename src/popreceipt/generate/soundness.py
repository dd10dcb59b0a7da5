"""A thousand random stories over the plain emulator and its dialects: no MUST rule may be violated.

Every emulator here is right, so a violated MUST is a fault of a rule (or of the emulator). Stories mix consumers,
producers and an administrator, lost messages of the client's side (a dequeue nobody acts on), answers that are lost on
their way before or after the effect, processing that fails, batch jobs that die, recurrences of all kinds, clock jumps
to just before, at and after every period, and calls that must be refused. Seeds make them repeatable:

    python -m popreceipt.generate.soundness --seeds 1000 --first 0

With `--wire` each is told as it looks from far away, where nobody tells of export runs (module `wire_soundness`).
"""

import argparse
import json
import random
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from os import cpu_count
from typing import Any

from popreceipt.client import wire
from popreceipt.client.wire import Delivery, Spelling
from popreceipt.emulator.profile import DIALECTS
from popreceipt.rules import catalogue
from popreceipt.rules.readings import Readings
from popreceipt.stage import Export, Import, Stage
from popreceipt.targets import EMULATOR_PREFIX, open_target
from popreceipt.verdict import Level, Outcome, judge

STEPS = 60
"""Steps of one story."""

JUMPS = (
    0.0,
    0.5,
    1.0,
    59.0,
    299.0,
    300.0,
    301.0,
    900.0,
    1799.0,
    1800.0,
    1801.0,
    3600.0,
    86_400.0,
    604_799.0,
    604_801.0,
)
"""Seconds by which the clock jumps: around the half hour, the usual recurrence and the seven days."""

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@dataclass
class Story:
    """One random story on one target: a few jobs, what was taken from them, what was handed in."""

    stage: Stage
    chance: random.Random
    exports: list[Export] = field(default_factory=list)
    imports: list[Import] = field(default_factory=list)
    taken: list[tuple[Export, Delivery]] = field(default_factory=list)
    messages: list[tuple[Import, str]] = field(default_factory=list)

    def begin(self) -> None:
        """Make the jobs."""
        for kind in ("package", "file"):
            prevention = self.chance.random() < 0.5
            minutes = self.chance.choice((None, None, None, 600))
            self.exports.append(
                self.stage.export(
                    kind,
                    prevent_upload_when_zero_records=prevention,
                    processing_recurrence_minutes=minutes,
                    monitoring_recurrence_minutes=self.chance.choice((None, 45)),
                )
            )
            self.imports.append(
                self.stage.imports(
                    kind,
                    in_order=self.chance.random() < 0.5,
                    monitoring_recurrence_minutes=self.chance.choice((None, 45)),
                    **self.recurrence(),
                )
            )

    def recurrence(self) -> dict[str, Any]:
        """The settings of a processing recurrence: mostly plain minutes, else anything that the dialog has."""
        if self.chance.random() < 0.6:
            return {"processing_recurrence_minutes": self.chance.choice((1, 5, 15, 60))}
        now = self.stage.now().replace(microsecond=0)
        ends = ({"count": 3}, {"date": written(now + timedelta(days=4))})
        return {
            "processing_recurrence": self.stage.recurring(
                **self.chance.choice(
                    (
                        {"every": 2, "unit": "hours"},
                        {"every": 20, "unit": "minutes", "start": written(now + timedelta(hours=2))},
                        {"every": 10, "unit": "minutes", "start": written(now - timedelta(days=3))},
                        {"every": 15, "unit": "minutes", "end": self.chance.choice(ends)},
                        {"every": 1, "unit": "weeks", "weekdays": self.chance.sample(WEEKDAYS, 3)},
                        {"every": 2, "unit": "weeks", "weekdays": self.chance.sample(WEEKDAYS, 3)},
                        {"every": 1, "unit": self.chance.choice(("months", "years"))},
                    )
                )
            )
        }

    def play(self, steps: int) -> None:
        """Do so many random things, the likely ones more often."""
        deeds: list[tuple[int, Callable[[], object]]] = [
            (8, self.produce),
            (14, self.dequeue),
            (8, self.download),
            (6, self.acknowledge),
            (2, self.acknowledge_wrongly),
            (12, self.jump),
            (8, self.enqueue),
            (4, self.process),
            (8, self.ask),
            (3, self.look),
            (1, self.clean_up),
            (2, self.change),
            (3, self.be_refused),
            (6, self.lose_answers),
            (1, self.fail_in_processing),
            (1, self.die_in_processing),
            (3, self.look_after_batch),
        ]
        weights = [weight for weight, _ in deeds]
        for _ in range(steps):
            self.chance.choices([deed for _, deed in deeds], weights)[0]()
        for queue in self.exports:
            list(queue.drain())
            queue.observe_messages()
        for intake in self.imports:
            intake.observe_messages()
            intake.observe_records()

    def produce(self) -> None:
        """Run an export."""
        self.chance.choice(self.exports).produce(self.chance.choice((0, 1, 3, 8)))

    def dequeue(self) -> None:
        """Take a message, and mostly download it."""
        queue = self.chance.choice(self.exports)
        spelling = Spelling(
            activity=self.chance.choice(("bare", "braced", "upper")), language=self.chance.choice((None, "en"))
        )
        found = queue.dequeue(self.chance.choice(("authorised", "authorised/one", "authorised/two")), spelling=spelling)
        if found is not None:
            self.taken.append((queue, found))
            if found.has_file and self.chance.random() < 0.8:
                queue.download(found)

    def download(self) -> None:
        """Download something that was handed out at some time."""
        if self.taken:
            queue, delivery = self.chance.choice(self.taken)
            if delivery.location is not None:
                queue.download(delivery, self.chance.choice(("authorised", "authorised", "anonymous", "unlisted")))

    def acknowledge(self) -> None:
        """Acknowledge something that was handed out at some time, mostly the latest."""
        if self.taken:
            queue, delivery = self.taken[-1] if self.chance.random() < 0.6 else self.chance.choice(self.taken)
            queue.ack(delivery)

    def acknowledge_wrongly(self) -> None:
        """Acknowledge with a poor body, on another job, or as somebody else."""
        if self.taken:
            queue, delivery = self.chance.choice(self.taken)
            members = dict(delivery.members)
            members.pop(self.chance.choice(list(members)))
            poor = json.dumps(members).encode()
            self.chance.choice(
                (
                    lambda: queue.ack_with(poor),
                    lambda: queue.ack_with(b"{"),
                    lambda: self.chance.choice(self.exports).ack_with(delivery.body),
                    lambda: queue.ack(delivery, "unlisted"),
                    lambda: queue.ack(delivery, "anonymous"),
                )
            )()

    def jump(self) -> None:
        """Let time pass."""
        self.stage.advance(seconds=self.chance.choice(JUMPS))

    def enqueue(self) -> None:
        """Hand in a file: good, with bad records, or of the wrong kind."""
        intake = self.chance.choice(self.imports)
        good, bad = self.chance.randint(0, 4), self.chance.choice((0, 0, 1, 2))
        fits = self.chance.random() < 0.85
        as_package = (intake.settings["type"] == "package") == fits
        content = self.stage.package(good, bad) if as_package else self.stage.file(good, bad)
        entity = self.chance.choice(("Customer groups", "Customer groups", "customer groups", "No such entity", None))
        spelling = Spelling(blank=self.chance.choice(("%20", "+")))
        message = wire.message_id(intake.offer(content, entity=entity, spelling=spelling))
        if message is not None:
            self.messages.append((intake, message))

    def process(self) -> None:
        """Run an import's batch."""
        self.chance.choice(self.imports).process()

    def ask(self) -> None:
        """Ask for the status of a message, and for its errors."""
        if self.messages:
            intake, message = self.chance.choice(self.messages)
            intake.status(message)
            intake.jobstatus(message)
            execution = intake.execution_of(message)
            if execution is not None:
                intake.errors_of(execution)
                intake.summary_of(execution)

    def look(self) -> None:
        """Look at Manage messages and the target table."""
        intake = self.chance.choice(self.imports)
        intake.observe_messages()
        intake.observe_records()
        self.chance.choice(self.exports).observe_messages()

    def clean_up(self) -> None:
        """Clean up by age and status."""
        statuses = self.chance.choice(((), ("Acked",), ("Processed", "Dequeued")))
        self.chance.choice([*self.exports, *self.imports]).clean_up(self.chance.choice((0, 1, 3)), statuses)

    def change(self) -> None:
        """Change a job's settings."""
        if self.chance.random() < 0.5:
            queue = self.chance.choice(self.exports)
            queue.change(prevent_upload_when_zero_records=self.chance.random() < 0.5)
        else:
            intake = self.chance.choice(self.imports)
            if self.chance.random() < 0.5:
                intake.change(processing_recurrence_minutes=self.chance.choice((1, 5, 15)))
            else:
                intake.change(enabled=False)
                intake.offer(self.stage.file())
                intake.change(enabled=True)

    def be_refused(self) -> None:
        """Call as somebody who must be refused."""
        actor = self.chance.choice(("unlisted", "unmapped", "anonymous", "forged"))
        token = self.stage.target.tokens.forged() if actor == "forged" else None
        self.chance.choice(self.exports).dequeue(actor, token=token)
        self.chance.choice(self.imports).offer(self.stage.file(), actor, token=token)
        self.stage.send(wire.dequeue(self.stage.unknown_guid()))

    def lose_answers(self) -> None:
        """Do a few things while answers are lost, replaced or cut short."""
        operation = self.chance.choice(
            ("*", "enqueue", "dequeue", "dequeue", "download", "ack", "ack", "message-status")
        )
        kind = self.chance.choice(("status", "reset", "timeout", "truncated", "slow"))
        plan: dict[str, Any] = {"position": self.chance.choice((1, 1, 2)), "times": self.chance.choice((1, 1, 2, None))}
        if kind not in ("truncated", "slow"):
            plan["phase"] = self.chance.choice(("before", "after"))
        if kind == "status":
            # Two plain 500s in a row are no accident to whoever judges: here it is the gateway that fails.
            plan["status"] = self.chance.choice((502, 503, 504, *((408, 429) if plan["phase"] == "before" else ())))
        if operation == "*":
            # Without an activity requests for tokens would be lost as well.
            plan["activity"] = self.chance.choice([*self.exports, *self.imports]).id
        deeds = (self.dequeue, self.dequeue, self.download, self.acknowledge, self.acknowledge, self.enqueue, self.ask)
        with self.stage.fault(operation, kind, **plan):
            for _ in range(self.chance.randint(1, 4)):
                self.chance.choice(deeds)()

    def fail_in_processing(self) -> None:
        """Let an import's messages fail after their processing, or stay in it for ever."""
        intake = self.chance.choice(self.imports)
        kind = self.chance.choice(("post-processing-failed", "stuck"))
        with self.stage.fault("processing", kind, activity=intake.id, times=self.chance.choice((1, 2, None))):
            for _ in range(self.chance.randint(1, 3)):
                self.enqueue()
            intake.process()
            self.jump()
            self.ask()

    def die_in_processing(self) -> None:
        """Let batch jobs die over messages, and go on for a while, with the framework's parameter off or on."""
        intake = self.chance.choice(self.imports)
        with self.stage.parameters(skip_reprocessing=self.chance.random() < 0.3):
            phase = self.chance.choice(("before", "after"))
            with self.stage.fault("processing", "dies", activity=intake.id, phase=phase):
                self.enqueue()
                intake.process()
                self.stage.advance(seconds=20)
                self.ask()
                self.stage.advance(minutes=self.chance.choice((1, 16)))
                self.ask()
            for _ in range(self.chance.randint(1, 3)):
                self.chance.choice((intake.process, self.jump, self.ask))()
            self.look()

    def look_after_batch(self) -> None:
        """Fetch batch statuses, delete the history, look at the samples."""
        job = self.chance.choice([*self.exports, *self.imports])
        for _ in range(self.chance.randint(1, 3)):
            self.chance.choice(
                (
                    job.get_batch_status,
                    lambda: job.get_batch_status(wait=False),
                    job.delete_batch_history,
                    job.observe_messages,
                    job.observe_load,
                )
            )()
        job.observe_messages()


def written(instant: datetime) -> str:
    """An instant as settings take it, in whole seconds."""
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


def target_of(seed: int) -> str:
    """The target of a seed: the plain emulator at every other one, else each dialect in turn."""
    return EMULATOR_PREFIX if seed % 2 == 0 else f"{EMULATOR_PREFIX}dialect={DIALECTS[seed // 2 % len(DIALECTS)]}"


def violations(seed: int) -> list[str]:
    """Play one story and judge it: MUST rules that are violated, rules that crashed, faults of the emulator.

    On the plain emulator SHOULD rules count as well.
    """
    target = target_of(seed)
    with open_target(target, seed=seed) as opened:
        story = Story(Stage(opened, f"soundness {seed}"), random.Random(seed))
        story.begin()
        story.play(STEPS)
        faults = [] if opened.emulator is None else [repr(fault) for fault in opened.emulator.faults]
        readings = Readings(opened.journal.header, opened.journal.entries)
        found = [f"seed {seed} on {target}: the emulator failed: {fault}" for fault in faults]
        for verdict in judge(readings, catalogue()):
            counts = verdict.level is Level.MUST or target == EMULATOR_PREFIX
            if verdict.outcome is Outcome.VIOLATED and counts:
                found.append(f"seed {seed} on {target}: {verdict.id}: {verdict.findings[0].message}")
            elif verdict.reason is not None and verdict.outcome is Outcome.UNDECIDED:
                found.append(f"seed {seed} on {target}: {verdict.id}: {verdict.reason}")
        return found


def main(arguments: Sequence[str]) -> int:
    """Play the stories, several at a time; 1 where anything was found."""
    parser = argparse.ArgumentParser(prog="soundness", description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=1000, help="how many stories")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--wire", action="store_true", help="judge what the wire alone shows, as on a real environment")
    chosen = parser.parse_args(arguments)
    found_in = violations
    if chosen.wire:
        from popreceipt.generate.wire_soundness import wire_violations  # late: its stories are built on those here

        found_in = wire_violations
    seeds = range(chosen.first, chosen.first + chosen.seeds)
    found: list[str] = []
    with ProcessPoolExecutor(cpu_count()) as pool:
        for done, each in enumerate(pool.map(found_in, seeds, chunksize=5), start=1):
            for line in each:
                print(line, flush=True)
            found += each
            if done % 50 == 0:
                print(f"{done} of {len(seeds)} stories, {len(found)} findings", file=sys.stderr, flush=True)
    print(f"{len(seeds)} stories over the plain emulator and {len(DIALECTS)} dialects: {len(found)} findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
