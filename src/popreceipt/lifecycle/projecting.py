"""Deeds around data projects: formats, maps, style sheets, packages of two entities, filters of exports."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import Bundle

from popreceipt.client.formats import written
from popreceipt.client.packages import COLUMNS, ENTITY, Packed, delimited, package_of
from popreceipt.exceptions import NotAbleTo
from popreceipt.lifecycle.driving import deed
from popreceipt.lifecycle.handing_in import HandingIn
from popreceipt.stage import Export, Import, OtherEntity, Project

KEY, TEXT, TERMS = COLUMNS

ATTRIBUTES_TO_ELEMENTS = """<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
<xsl:template match="/Groups"><Document><xsl:apply-templates select="Group"/></Document></xsl:template>
<xsl:template match="Group"><CUSTOMERGROUPS>
<CUSTOMERGROUPID><xsl:value-of select="@id"/></CUSTOMERGROUPID>
<DESCRIPTION><xsl:value-of select="Name"/></DESCRIPTION>
</CUSTOMERGROUPS></xsl:template>
</xsl:stylesheet>"""

_COPY = '<xsl:template match="@*|node()"><xsl:copy><xsl:apply-templates select="@*|node()"/></xsl:copy></xsl:template>'

NAME_TO_DESCRIPTION = f"""<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">{_COPY}
<xsl:template match="NAME"><DESCRIPTION><xsl:value-of select="."/></DESCRIPTION></xsl:template>
</xsl:stylesheet>"""

DESCRIPTION_MARKED = f"""<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">{_COPY}
<xsl:template match="DESCRIPTION"><DESCRIPTION><xsl:value-of select="concat(., ' (wholesale)')"/></DESCRIPTION>
</xsl:template>
</xsl:stylesheet>"""

MAPS: tuple[tuple[Mapping[str, Any], ...], ...] = (
    ({"field": KEY, "source": "GROUP"}, {"field": TEXT, "source": TERMS}, {"field": TERMS, "source": TEXT}),
    ({"field": KEY, "source": KEY}, {"field": TEXT, "source": TEXT}, {"field": TERMS, "ignore": True}),
    (
        {"field": KEY, "source": KEY},
        {"field": TEXT, "default": "From the shop"},
        {"field": TERMS, "source": "DAYS", "conversions": {"30": "Net30", "10": "Net10"}},
    ),
    ({"field": KEY, "source": KEY}, {"field": TEXT, "source": "TITLE"}, {"field": TERMS, "source": "TERMS"}),
    ({"field": KEY, "source": KEY}, {"field": TEXT, "source": "TERMS"}, {"field": TERMS, "source": "TITLE"}),
)
"""Field maps: other names, two that change places, one left out, a default and a conversion, and two that differ."""


def columns_of(chosen: tuple[Mapping[str, Any], ...]) -> tuple[str, ...]:
    """The columns of a file that fits a map."""
    return tuple(str(each.get("source") or each["field"]) for each in chosen if "default" not in each)


EXPORT_MAPS: tuple[tuple[Mapping[str, Any], ...], ...] = (
    ({"field": KEY, "source": "GROUP"}, {"field": TEXT, "source": "TITLE"}, {"field": TERMS, "ignore": True}),
    ({"field": KEY, "source": KEY}, {"field": TEXT, "source": TERMS}, {"field": TERMS, "source": TEXT}),
)

ENOUGH = 40
"""Records of which a condition keeps some and lets others through."""

NEEDS = ("projects", "create-activity", "process", "records")
EXPORT_NEEDS = ("projects", "create-activity", "produce", "records")


@dataclass
class Shaped:
    """A data project that imports, one of its jobs, and what writes a file that fits it: of so many good, bad ones.

    `columns` are those of its map, where it has one.
    """

    project: Project
    intake: Import
    write: Callable[[int, int], bytes]
    entities: tuple[str, ...] = (ENTITY,)
    columns: tuple[str, ...] = ()


@dataclass
class Filtered:
    """A data project that exports, its jobs, its entities, and a condition that about half of its records meet."""

    project: Project
    queues: list[Export]
    entities: tuple[str, ...] = (ENTITY,)
    condition: Mapping[str, str] | None = None


shaped: Bundle[Shaped] = Bundle("shaped")
filtered: Bundle[Filtered] = Bundle("filtered")


class Projecting(HandingIn):
    """Whoever makes data projects, hands files to their imports, and runs their exports."""

    # Imports

    def shape(self, entity: Mapping[str, Any], write: Callable[[int, int], bytes]) -> Shaped:
        """A fresh project of one entity, and its job."""
        project = self.stage.project("import", {"entity": ENTITY, **entity})
        intake = self.opened_import(project.imports(processing_recurrence_minutes=1440))
        return Shaped(project, intake, write)

    def tried(self, one: Shaped) -> Shaped:
        """A project into which a first file was imported."""
        self.try_out(one, 2, 0)
        return one

    def try_out(self, one: Shaped, good: int, bad: int) -> None:
        """Hand in a file that fits, let it be imported, and look at the target tables and the execution."""
        handed_in = self.hand_in(one.intake, one.write(good, bad))
        if handed_in is None:
            return
        self.run_now(one.intake, handed_in)
        for entity in one.entities:
            one.intake.observe_records(entity)
        self.ask(handed_in)

    @deed(
        *NEEDS,
        target=shaped,
        place=st.integers(0, 20),
        other=st.integers(0, 20),
        is_wrong=st.sampled_from((False, False, True)),
    )
    def make_a_project_with_a_format(self, place: int, other: int, is_wrong: bool) -> Shaped | None:
        """A project with one of the target's formats; perhaps its files come in another one."""
        known = self.stage.formats()
        name = known[place % len(known)]
        given = known[other % len(known)] if is_wrong else name

        def write(good: int, bad: int) -> bytes:
            records = [self.stage.record(DESCRIPTION='Détail, "nord"; 50:50 | 007'), *self.stage.records(good, bad)]
            return written(records, COLUMNS, given, entity=ENTITY)

        return self.tried(self.shape({"format": name}, write))

    @deed(*NEEDS, target=shaped, place=st.integers(0, len(MAPS) - 1))
    def make_a_project_with_a_map(self, place: int) -> Shaped:
        """A project with a map, whose files have the columns that it names."""
        made = self.shape({"map": list(MAPS[place])}, lambda good, bad: self.mapped(made.columns, good, bad))
        made.columns = columns_of(MAPS[place])
        return self.tried(made)

    def mapped(self, columns: tuple[str, ...], good: int, bad: int) -> bytes:
        """A file with these columns."""
        rows = []
        for number, record in enumerate(self.stage.records(good + 1, bad)):
            days = ("30", "10", "cash")[number % 3]
            told = {TERMS: "Net10", "GROUP": record[KEY], "DAYS": days, "TITLE": "Title", "TERMS": "Terms"}
            rows.append({name: value for name, value in (record | told).items() if name in columns})
        return delimited(rows, columns)

    @deed(*NEEDS, target=shaped, count=st.sampled_from((1, 2)))
    def make_a_project_with_style_sheets(self, count: int) -> Shaped | None:
        """A project for XML of another shape, which one style sheet or two bring into the right one."""
        try:
            xml = self.stage.format("XML-Element")
        except NotAbleTo:
            return None

        def attributes(good: int, bad: int) -> bytes:
            records = self.stage.records(good + 1, bad)
            groups = "".join(f'<Group id="{each[KEY]}"><Name>{each[TEXT]}</Name></Group>' for each in records)
            return f"<Groups>{groups}</Groups>".encode()

        def named(good: int, bad: int) -> bytes:
            rows = [{KEY: each[KEY], "NAME": each[TEXT]} for each in self.stage.records(good + 1, bad)]
            return written(rows, (KEY, "NAME"), xml, entity=ENTITY)

        if count == 1:
            return self.tried(self.shape({"format": xml, "xslt": [ATTRIBUTES_TO_ELEMENTS]}, attributes))
        return self.tried(self.shape({"format": xml, "xslt": [NAME_TO_DESCRIPTION, DESCRIPTION_MARKED]}, named))

    @deed(*NEEDS, target=shaped)
    def make_a_project_of_two_entities(self) -> Shaped | None:
        """A project for packages of two entities on two levels."""
        other = self.other_entity()
        if other is None:
            return None
        project = self.stage.project("import", {"entity": ENTITY, "level": 2}, {"entity": other.name, "level": 1})
        intake = self.opened_import(project.imports("package", processing_recurrence_minutes=1440))

        def write(good: int, bad: int) -> bytes:
            groups = Packed(ENTITY, "Customer groups.csv", self.stage.file(good + 1, bad), level=2)
            return package_of([groups, other.packed(other.records(good + 1, bad), level=1)])

        return self.tried(Shaped(project, intake, write, (ENTITY, other.name)))

    def other_entity(self) -> OtherEntity | None:
        """An entity beside the customer groups; None where the target has none that can be filled."""
        try:
            return self.stage.other_entity()
        except NotAbleTo:
            return None

    @deed(*NEEDS, one=shaped, good=st.integers(0, 4), bad=st.sampled_from((0, 0, 1, 2)))
    def import_into(self, one: Shaped, good: int, bad: int) -> None:
        """Hand in a file that fits, let it be imported, and look at the target tables and the execution."""
        self.try_out(one, good, bad)

    @deed(*NEEDS, one=shaped, place=st.integers(0, len(MAPS) - 1))
    def change_the_map(self, one: Shaped, place: int) -> None:
        """Give a project with a map another one."""
        if one.columns:
            one.columns = columns_of(MAPS[place])
            one.project.change(entities=[{"entity": ENTITY, "map": list(MAPS[place])}])
            self.try_out(one, 1, 0)

    # Exports

    @deed(*EXPORT_NEEDS, target=filtered, jobs=st.integers(1, 3), prevention=st.booleans())
    def make_an_export_project(self, jobs: int, prevention: bool) -> Filtered:
        """A project that exports, with one to three jobs."""
        project = self.stage.project("export", {"entity": ENTITY})
        kinds = ("package", "file", "package")
        queues = [project.export(kinds[place], prevent_upload_when_zero_records=prevention) for place in range(jobs)]
        self.queues += queues
        return Filtered(project, queues)

    @deed(*EXPORT_NEEDS, target=filtered, place=st.integers(0, len(EXPORT_MAPS) - 1))
    def make_an_export_project_with_a_map(self, place: int) -> Filtered:
        """A project that exports other columns."""
        project = self.stage.project("export", {"entity": ENTITY, "map": list(EXPORT_MAPS[place])})
        queue = project.export()
        self.queues.append(queue)
        return Filtered(project, [queue])

    @deed(*EXPORT_NEEDS, target=filtered)
    def make_an_export_project_of_two_entities(self) -> Filtered | None:
        """A project that exports two entities."""
        other = self.other_entity()
        if other is None:
            return None
        project = self.stage.project("export", {"entity": ENTITY}, {"entity": other.name, "sequence": 2})
        queue = project.export()
        self.queues.append(queue)
        return Filtered(project, [queue], (ENTITY, other.name))

    @deed(*EXPORT_NEEDS, one=filtered, number=st.integers(0, 2), records=st.sampled_from((ENOUGH, ENOUGH, 3, 0)))
    def export_from(self, one: Filtered, number: int, records: int) -> None:
        """Run an export, look at what its entities hold, and fetch the file."""
        self.send(one, one.queues[number % len(one.queues)], records)

    def send(self, one: Filtered, queue: Export, records: int) -> None:
        """Run an export, look at what its entities hold, and fetch the file."""
        queue.produce(records)
        for entity in one.entities:
            keys = [str(each.get(KEY, "")) for each in queue.observe_records(entity)]
            if entity == ENTITY and len(keys) >= ENOUGH // 2:
                one.condition = self.condition(keys)
        self.drain(queue, limit=2)

    def condition(self, keys: list[str]) -> Mapping[str, str]:
        """A condition that about half of these keys meet."""
        count = Counter(digit for key in keys for digit in set(key) if digit.isdigit())
        # The digit that is in the keys of the most nearly half of them.
        value = min(count, key=lambda digit: (abs(count[digit] - len(keys) / 2), digit)) if count else self.stage.key()
        return {"entity": ENTITY, "field": KEY, "operator": "contains", "value": value}

    @deed(*EXPORT_NEEDS, one=filtered, kind=st.sampled_from(("half", "two", "none meets", "off")))
    def filter_an_export(self, one: Filtered, kind: str) -> None:
        """Let a project export what meets a condition, or two, or one that nothing meets, or everything again."""
        if one.condition is None and self.is_able("produce"):
            self.send(one, one.queues[0], ENOUGH)
        half = one.condition or {"entity": ENTITY, "field": KEY, "operator": "contains", "value": "7"}
        never = {"entity": ENTITY, "field": TEXT, "operator": "equals", "value": f"never {self.stage.key()}"}
        chosen = {"half": [half], "two": [never | {"operator": "not-equals"}, half], "none meets": [never], "off": []}
        one.project.change(filter=chosen[kind])
        for queue in one.queues:
            self.send(one, queue, ENOUGH)
