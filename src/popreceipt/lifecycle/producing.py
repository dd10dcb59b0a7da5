"""Deeds of a producer: files that are handed in, batches that run, and questions what became of it all."""

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from popreceipt.client import wire
from popreceipt.client.packages import ENTITY, data_package
from popreceipt.client.wire import Spelling
from popreceipt.lifecycle.driving import HandedIn, deed, imports, messages, spellings
from popreceipt.lifecycle.handing_in import HandingIn
from popreceipt.lifecycle.losses import losses
from popreceipt.stage import Import
from popreceipt.targets import ADVANCE_TIME

FEW = st.integers(0, 4)

NO_FILE = b"\x00\xff not a file \xfe"

GOOD_TEXTS = ('Wholesale, "north"', "Détaillants, Ελλάδα, 日本", "two\nlines", "x" * 60)
"""Descriptions that nobody may change on their way."""

PACKAGES: tuple[Mapping[str, Any], ...] = (
    {},
    {"encoding": "utf-8"},
    {"folder": "package"},
    {"without": "Manifest.xml"},
    {"without": "Customer groups.csv"},
    {"backwards": True},
)

CONTENT_TYPES = st.sampled_from((None, "application/octet-stream", "text/csv", "application/zip", "application/json"))


class Producing(HandingIn):
    """Whoever hands files in, and asks what became of them."""

    # Files

    @deed(target=messages, intake=imports, good=FEW, bad=FEW, spelling=spellings, kind=CONTENT_TYPES)
    def enqueue(self, intake: Import, good: int, bad: int, spelling: Spelling, kind: str | None) -> HandedIn | None:
        """Hand in a file of good records and bad ones."""
        content = self.content(intake, self.stage.records(good, bad))
        return self.hand_in(intake, content, spelling=spelling, content_type=kind)

    @deed(target=messages, intake=imports, good=FEW, bad=FEW, text=st.sampled_from(GOOD_TEXTS))
    def enqueue_unusual_texts(self, intake: Import, good: int, bad: int, text: str) -> HandedIn | None:
        """Hand in a record with a text that is easily damaged, between good ones and bad ones."""
        records = [*self.stage.records(0, bad), self.stage.record(DESCRIPTION=text), *self.stage.records(good)]
        return self.hand_in(intake, self.content(intake, records))

    @deed(target=messages, intake=imports, times=st.integers(2, 4), good=st.integers(1, 3))
    def enqueue_several(self, intake: Import, times: int, good: int) -> HandedIn | None:
        """Hand in several files within a moment, each telling something else of one record, the longest one first."""
        key = self.stage.key()
        last = None
        for place in range(times):
            told = self.stage.record(CUSTOMERGROUPID=key, DESCRIPTION=f"Told by file {place}")
            more = self.stage.records(good + 4 * (times - place))
            last = self.hand_in(intake, self.content(intake, [told, *more])) or last
        return last

    @deed(target=messages, handed_in=messages)
    def enqueue_again(self, handed_in: HandedIn) -> HandedIn | None:
        """Hand in the same bytes once more."""
        return self.hand_in(handed_in.intake, handed_in.content, external_identifier="groups.csv")

    @deed(
        target=messages,
        intake=imports,
        what=st.sampled_from(("nothing", "no file", "the other type", "no such entity", "an entity in capitals")),
    )
    def enqueue_wrongly(self, intake: Import, what: str) -> HandedIn | None:
        """Hand in what is no file, a package where a file belongs, or a file for an entity that there is not."""
        is_package = intake.settings.get("type") == "package"
        if what == "the other type":
            return self.hand_in(intake, self.stage.file() if is_package else self.stage.package())
        if what in ("nothing", "no file"):
            return self.hand_in(intake, b"" if what == "nothing" else NO_FILE)
        entity = "No such entity" if what == "no such entity" else ENTITY.upper()
        return self.hand_in(intake, self.content(intake, self.stage.records(2)), entity=entity)

    @deed(target=messages, intake=imports, options=st.sampled_from(PACKAGES), bad=st.integers(0, 1))
    def enqueue_a_package(self, intake: Import, options: Mapping[str, Any], bad: int) -> HandedIn | None:
        """Hand in a package of an unusual make."""
        return self.hand_in(intake, data_package(self.stage.file(2, bad), **options))

    @deed("faults", target=messages, intake=imports, loss=losses)
    def lose_an_enqueue(self, intake: Import, loss: Mapping[str, Any]) -> HandedIn | None:
        """Hand in a file while the answer is lost, and the same file again."""
        content = self.content(intake, self.stage.records(2))
        with self.stage.fault("enqueue", activity=intake.id, **loss):
            self.hand_in(intake, content)
        return self.hand_in(intake, content)

    @deed(intake=imports, number=st.integers(0, 3))
    def hand_in_as_a_stranger(self, intake: Import, number: int) -> None:
        """Hand in a file, and ask, as somebody who must be refused."""
        actor, token = self.stranger(number)
        before = self.handed_in[-1].message if self.handed_in else self.stage.unknown_guid()
        intake.offer(self.stage.file(), actor, token=token)
        self.stage.send(wire.message_status(before), actor, token=token)
        self.stage.send(wire.jobstatus(intake.id, before), actor, token=token)
        self.stage.send(wire.execution_id(before), actor, token=token)
        if self.is_able("messages"):
            intake.observe_messages()

    @deed("process", ADVANCE_TIME, target=messages, intake=imports, good=st.integers(1, 3))
    def bring_up_to_date(self, intake: Import, good: int) -> HandedIn | None:
        """Import records, and once more with other texts."""
        records = self.stage.records(good)
        changed = [each | {"DESCRIPTION": f"Changed {self.stage.key()}"} for each in records]
        last = None
        for each in (records, changed):
            last = self.hand_in(intake, self.content(intake, each))
            if last is not None:
                self.run_now(intake, last)
        if self.is_able("records"):
            intake.observe_records()
        return last

    # Batches

    @deed("process", intake=imports)
    def process(self, intake: Import) -> None:
        """Let the batch run now."""
        intake.process()

    @deed("process", ADVANCE_TIME, intake=imports)
    def run(self, intake: Import) -> None:
        """Let the batch run, wait until all is done, and ask."""
        mine = self.latest(intake)
        self.run_now(intake, *mine)
        for each in mine:
            self.ask(each)
        if self.is_able("records"):
            intake.observe_records()

    # Questions

    @deed(handed_in=messages)
    def ask_for(self, handed_in: HandedIn) -> None:
        """Ask what became of a message."""
        self.ask(handed_in)

    @deed("messages", intake=imports)
    def look(self, intake: Import) -> None:
        """Look at Manage messages, and at the target table."""
        intake.observe_messages()
        if self.is_able("records"):
            intake.observe_records()
