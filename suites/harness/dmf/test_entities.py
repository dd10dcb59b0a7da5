"""Entities: those that come along, those that a user drops in, and what makes a record wrong."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from popreceipt.emulator.dmf.entity import CUSTOMER_GROUPS, ENTITIES, Entity, entity_named, load_entities
from popreceipt.emulator.dmf.field import TYPES, Field
from popreceipt.emulator.dmf.formats import FORMATS, Column, read, record_element, write
from popreceipt.exceptions import UsageError
from popreceipt.resources import fixtures

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SAMPLES = {
    "text": "A",
    "integer": "-12",
    "real": "12.50",
    "date": "2026-01-31",
    "datetime": "2026-01-31T12:30:00",
    "yes-no": "Yes",
}
COLOURS = """
name = "Colours"
staging = "ColourStaging"
target = "Colour"

[[fields]]
name = "COLOURID"
type = "text"
length = 5
key = true
"""


def sample(entity: Entity) -> dict[str, str]:
    """A record of an entity that is good."""
    return {field.name: field.values[0] if field.values else SAMPLES[field.type] for field in entity.fields}


def dropped(folder: Path, *files: str) -> Path:
    """A user's folder with these entity files."""
    for number, content in enumerate(files):
        (folder / f"{number}.toml").write_text(content, encoding="utf-8")
    return folder


def test_customer_groups_are_what_every_world_has() -> None:
    """Columns, key and lengths that others rely on."""
    assert CUSTOMER_GROUPS.as_json() == {
        "name": "Customer groups",
        "fields": [
            {"name": "CUSTOMERGROUPID", "type": "text", "length": 10, "key": True, "mandatory": True},
            {"name": "DESCRIPTION", "type": "text", "length": 60, "key": False, "mandatory": False},
            {"name": "PAYMENTTERMID", "type": "text", "length": None, "key": False, "mandatory": False},
        ],
    }
    assert CUSTOMER_GROUPS.columns == ("CUSTOMERGROUPID", "DESCRIPTION", "PAYMENTTERMID")
    assert (CUSTOMER_GROUPS.key, CUSTOMER_GROUPS.keys) == ("CUSTOMERGROUPID", ("CUSTOMERGROUPID",))
    assert ENTITIES[0] is CUSTOMER_GROUPS
    assert entity_named(" customer GROUPS ") is CUSTOMER_GROUPS
    assert entity_named("Customers") is None


def test_the_entities_that_come_along() -> None:
    """By their public names, with composite keys and a reference between header and lines."""
    assert [entity.name for entity in ENTITIES] == [
        "Customer groups",
        "Exchange rates",
        "General journal header",
        "General journal lines",
        "Released products V2",
        "Vendors V2",
    ]
    lines, rates = entity_named("General journal lines"), entity_named("Exchange rates")
    assert lines is not None
    assert rates is not None
    assert lines.keys == ("JOURNALBATCHNUMBER", "LINENUMBER")
    assert rates.keys == ("RATETYPENAME", "FROMCURRENCY", "TOCURRENCY", "STARTDATE")
    (reference,) = [field.reference for field in lines.fields if field.reference is not None]
    assert (reference.entity, reference.field) == ("General journal header", "JOURNALBATCHNUMBER")


@pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.name)
def test_every_entity_goes_through_every_format(entity: Entity) -> None:
    """A good record is good, fits into the widths of its fields, and comes back as it was."""
    record = sample(entity)
    assert entity.problems(record) == []
    assert entity.problem(record) is None
    columns = [Column(field.name, field.width) for field in entity.fields]
    element = record_element(entity.name)
    for source in FORMATS.values():
        content = write([record], columns, source, record=element, written=NOW)
        assert [row.values for row in read(content, source, columns, record=element)] == [record]


def test_what_is_wrong_with_a_record() -> None:
    """Every field at fault with a sentence; in one, the first field and all sentences."""
    record = {"CUSTOMERGROUPID": " ", "DESCRIPTION": "x" * 61}
    empty = 'The field "CUSTOMERGROUPID" must be filled in.'
    long = f'The value "{"x" * 61}" in field "DESCRIPTION" is longer than 60 characters.'
    assert CUSTOMER_GROUPS.problems(record) == [("CUSTOMERGROUPID", empty), ("DESCRIPTION", long)]
    assert CUSTOMER_GROUPS.problem(record) == ("CUSTOMERGROUPID", f"{empty}\r\n{long}")
    assert CUSTOMER_GROUPS.problems({}) == [("CUSTOMERGROUPID", empty)]


VALUES = {
    "integer": (
        ("0", "-2147483648", "2147483647", "+7", " 7 ", ""),
        ("2147483648", "1.0", "1e3", "x", "٣", "1 000"),
        "a whole number from -2147483648 to 2147483647",
    ),
    "real": (
        ("0", "-1.5", "+.5", "5.", "1234567890123456.0000000000000001", ""),
        ("1,5", "1e5", "1.234.567", "NaN", "inf", ".", "12345678901234567", "€5"),
        "a number with a point before its decimals and nothing between thousands",
    ),
    "date": (
        ("2026-02-28", "2024-02-29", "1900-01-01", "2026-02-28T00:00:00", "2026-02-28 00:00:00Z", ""),
        ("2026-02-29", "28.02.2026", "2/28/2026", "1899-12-31", "2026-2-8", "2026-02-28T12:00:00", "20260228"),
        "a date as yyyy-MM-dd, not before 1900",
    ),
    "datetime": (
        ("2026-02-28T12:30:00", "2026-02-28 12:30", "2026-02-28T12:30:00.123Z", "2026-02-28", ""),
        ("2026-02-28T24:30:00", "2026-02-30T12:00:00", "12:30", "2026-02-28T12:30:00+02:00", "1800-01-01T00:00:00"),
        "a date and time as yyyy-MM-ddTHH:mm:ss, not before 1900",
    ),
    "yes-no": (("Yes", "no", "TRUE", "false", "1", "0", " yes ", ""), ("Y", "2", "ja", "on"), "Yes or No"),
    "enum": (("One", "two", " TWO ", ""), ("Three", "0", "One Two"), "one of One, Two"),
    "text": (("", " ", "x" * 9), ("x" * 10,), None),
}


@pytest.mark.parametrize("kind", TYPES)
def test_values_by_type(kind: str) -> None:
    """Which are good, and what is said of those that are not; a blank one is good unless it must be filled in."""
    good, bad, expected = VALUES[kind]
    options = {"values": ("One", "Two")} if kind == "enum" else {"length": 9} if kind == "text" else {}
    field = Field("F", type=kind, key=True, **options)
    entity = Entity("E", (field,))
    for value in good:
        assert entity.problems({"F": value}) == [], value
    for value in bad:
        said = f'The value "{value}" in field "F" is not valid: {expected} is expected.'
        if expected is None:
            said = f'The value "{value}" in field "F" is longer than 9 characters.'
        assert entity.problems({"F": value}) == [("F", said)]
    must = Entity("E", (Field("F", type=kind, key=True, mandatory=True, **options),))
    assert must.problems({"F": " "}) == [("F", 'The field "F" must be filled in.')]


def test_a_file_that_is_dropped_in_is_found(tmp_path: Path) -> None:
    """After those that come along, by name in any letter case; a key must be filled in unless it says otherwise."""
    folder = dropped(
        tmp_path, COLOURS, COLOURS.replace("Colours", "Tints").replace("key = true", "key = true\nmandatory = false")
    )
    (folder / "notes.txt").write_text("no entity")
    entities = load_entities(folder)
    colours, tints = entities.named("COLOURS"), entities.named("tints")
    assert colours is not None
    assert tints is not None
    assert (colours.staging, colours.target, colours.description) == ("ColourStaging", "Colour", "")
    assert colours.problems({}) == [("COLOURID", 'The field "COLOURID" must be filled in.')]
    assert tints.problems({}) == []
    assert {entity.name for entity in entities.all()} == {entity.name for entity in ENTITIES} | {"Colours", "Tints"}
    assert entities.all()[0].name == "Customer groups"
    assert entity_named("Colours") is None


def test_the_example_of_the_readme_holds(tmp_path: Path) -> None:
    """Type by type, what it says is allowed is allowed."""
    text = (fixtures() / "entities" / "README.md").read_text(encoding="utf-8")
    for kind in TYPES:
        assert kind in text
        more = 'values = ["One"]' if kind == "enum" else ""
        content = COLOURS.replace('"text"\nlength = 5', f'"{kind}"\n{more}\ndescription = "…"')
        loaded = load_entities(dropped(tmp_path, content)).named("Colours")
        assert loaded is not None
        assert loaded.fields[0].type == kind


def changed(old: str, new: str) -> str:
    assert old in COLOURS
    return COLOURS.replace(old, new)


MISTAKES = {
    "no TOML": (COLOURS + "[[", "0.toml: the entity file is no TOML: "),
    "no name": (
        changed('name = "Colours"', ""),
        "0.toml: name is missing; allowed: a text.",
    ),
    "no staging table": (changed('staging = "ColourStaging"', ""), "0.toml: staging is missing"),
    "no target table": (changed('target = "Colour"', ""), "0.toml: target is missing"),
    "a blank name": (changed('"Colours"', '" "'), "0.toml: name is ' '; allowed: a name without blanks at its ends"),
    "blanks around a name": (changed('"Colours"', '"Colours "'), "0.toml: name is 'Colours '"),
    "a name of two lines": (changed('"Colours"', '"Col\\nours"'), "0.toml: name is 'Col\\nours'"),
    "a name that is a number": (changed('"Colours"', "7"), "0.toml: name is 7; allowed: a text."),
    "an unknown member": (
        "colour = 1\n" + COLOURS,
        "0.toml: colour is unknown; allowed: name, staging, target, description, fields.",
    ),
    "no fields": (COLOURS.partition("[[")[0], "0.toml: fields is missing"),
    "not one field": (
        COLOURS.partition("[[")[0] + "fields = []",
        "0.toml: fields holds nothing; allowed: at least one",
    ),
    "fields that are none": (COLOURS.partition("[[")[0] + "fields = 3", "0.toml: fields is 3; allowed: a list."),
    "a field that is none": (
        COLOURS.partition("[[")[0] + "fields = [3]",
        "0.toml: fields[1] is 3; a table is expected.",
    ),
    "a field twice": (
        COLOURS + COLOURS[COLOURS.index("[[") :],
        "0.toml: fields has COLOURID twice; allowed: every field",
    ),
    "no key": (changed("key = true", ""), "0.toml: fields has no key; allowed: key = true for one field or more."),
    "a field without a name": (changed('name = "COLOURID"', ""), "0.toml: fields[1].name is missing"),
    "a field in small letters": (
        changed("COLOURID", "ColourId"),
        "0.toml: fields[1].name is 'ColourId'; allowed: capital letters, digits and _, as columns are named in files.",
    ),
    "a field without a type": (changed('type = "text"', ""), "0.toml: fields[1] (COLOURID).type is missing"),
    "an unknown type": (
        changed('"text"', '"string"'),
        "0.toml: fields[1] (COLOURID).type is 'string'; allowed: text, integer, real, date, datetime, enum, yes-no.",
    ),
    "an unknown member of a field": (
        changed("length = 5", "lenght = 5"),
        "0.toml: fields[1].lenght is unknown; allowed: name, type, length, mandatory, key, values, reference,",
    ),
    "a length of nothing": (
        changed("length = 5", "length = 0"),
        "0.toml: fields[1] (COLOURID).length is 0 for type 'text'; allowed: a number above 0, for texts alone.",
    ),
    "a length in words": (changed("length = 5", 'length = "5"'), "fields[1].length is '5'; allowed: a whole number."),
    "a length that is true": (
        changed("length = 5", "length = true"),
        "fields[1].length is True; allowed: a whole number.",
    ),
    "a length of a number": (changed('"text"', '"real"'), "fields[1] (COLOURID).length is 5 for type 'real'"),
    "a key in words": (changed("key = true", 'key = "yes"'), "fields[1].key is 'yes'; allowed: true or false."),
    "an enum without values": (
        changed('"text"\nlength = 5', '"enum"'),
        "fields[1] (COLOURID).values is [] for type 'enum'; allowed: a list that is not empty, for enums alone.",
    ),
    "values of a text": (
        changed("length = 5", 'values = ["x"]'),
        "fields[1] (COLOURID).values is ['x'] for type 'text'",
    ),
    "a value twice": (
        changed('"text"\nlength = 5', '"enum"\nvalues = ["One", "ONE"]'),
        "fields[1] (COLOURID).values is ['One', 'ONE']; allowed: texts that are not blank, and each but once.",
    ),
    "a value that is a number": (
        changed('"text"\nlength = 5', '"enum"\nvalues = ["One", 2]'),
        "fields[1] (COLOURID).values is ['One', 2]; allowed: texts that are not blank, and each but once.",
    ),
    "a reference that is a text": (
        COLOURS + 'reference = "Vendors V2"',
        "fields[1].reference is 'Vendors V2'; allowed: a table.",
    ),
    "half a reference": (
        COLOURS + 'reference = { entity = "Vendors V2" }',
        "fields[1] (COLOURID).reference.field is missing",
    ),
    "a reference to no entity": (
        COLOURS + 'reference = { entity = "Tints", field = "X" }',
        "0.toml: the field COLOURID refers to the entity 'Tints'; there are Customer groups, ",
    ),
    "a reference to no field": (
        COLOURS + 'reference = { entity = "customer groups", field = "X" }',
        "0.toml: the field COLOURID refers to 'X' of Customer groups, which has CUSTOMERGROUPID, DESCRIPTION, ",
    ),
    "a name that is taken": (
        changed('"Colours"', '"VENDORS V2"'),
        "0.toml: the entity 'VENDORS V2' stands in ",
    ),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_in_an_entity_file_is_told(tmp_path: Path, what: str) -> None:
    """The file, the member, what was found and what is allowed."""
    content, said = MISTAKES[what]
    with pytest.raises(UsageError) as refused:
        load_entities(dropped(tmp_path, content))
    assert said in str(refused.value)


def test_folders_and_files_that_cannot_be_read(tmp_path: Path) -> None:
    """A folder that is none, a file in another code page, an entity in two files."""
    with pytest.raises(UsageError, match="nowhere is no folder of entity files"):
        load_entities(tmp_path / "nowhere")
    (tmp_path / "0.toml").write_bytes(COLOURS.replace("Colours", "Gröns").encode("cp1252"))
    with pytest.raises(UsageError, match=r"0\.toml: the entity file cannot be read as UTF-8 text"):
        load_entities(tmp_path)
    with pytest.raises(UsageError, match=r"1\.toml: the entity 'Colours' stands in .*0\.toml already"):
        load_entities(dropped(tmp_path, COLOURS, COLOURS))
