"""What a project's settings mean for a record: maps, conversions, filters; and what stays open."""

from collections.abc import Mapping

import pytest

from popreceipt.rules.facts import FieldTold
from popreceipt.rules.projects import (
    CUSTOMER_GROUPS,
    Condition,
    FieldMap,
    ProjectEntity,
    alike,
    expected,
    identity,
    meets,
)

NUMBERS = (FieldTold("NUMBER", "integer", None, True, True), FieldTold("DAY", "date", None, True, True))


def entity(*maps: FieldMap) -> ProjectEntity:
    """Customer groups with a map."""
    return ProjectEntity("Customer groups", "CSV", None, 1, 1, 1, False, maps, ())


def field(
    name: str, source: str | None, *, conversions: Mapping[str, str] | None = None, default: str | None = None
) -> FieldMap:
    """A field's map."""
    return FieldMap(name, source, default, auto_generated=False, ignore=False, conversions=conversions or {})


@pytest.mark.parametrize(
    ("value", "becomes"),
    [("30", "Net30"), ("cash", "cash"), (" 30", None), ("", None)],
    ids=["known", "other", "near", "blank"],
)
def test_conversions(value: str, becomes: str | None) -> None:
    """What is converted is, other values stay; what is only nearly the value, or blank with a default, is open."""
    mapped = entity(
        field("CUSTOMERGROUPID", "ID"), field("PAYMENTTERMID", "DAYS", conversions={"30": "Net30"}, default="Cash")
    )
    found = expected([{"ID": "A", "DAYS": value}], mapped, CUSTOMER_GROUPS)
    assert found is not None
    assert found[0].values.get("PAYMENTTERMID") == becomes


def test_a_lacking_column_and_a_column_of_nobody_s() -> None:
    """Nobody can say what ought to become of such a file."""
    assert expected([{"OTHER": "A"}], entity(field("CUSTOMERGROUPID", "ID")), CUSTOMER_GROUPS) is None
    assert expected([{"CUSTOMERGROUPID": "A", "COLOUR": "red"}], entity(), CUSTOMER_GROUPS) is None


@pytest.mark.parametrize(
    ("key", "verdict"), [("A", "good"), ("", "bad"), ("  ", "unsure"), ("ABCDEFGHIJK", "bad"), ("TWIN", "unsure")]
)
def test_records_are_good_or_bad_or_a_matter_of_opinion(key: str, verdict: str) -> None:
    """As far as the fields tell; of two records with one key a service may take either."""
    found = expected([{"CUSTOMERGROUPID": each} for each in (key, "twin", "Twin")], entity(), CUSTOMER_GROUPS)
    assert found is not None
    assert found[0].verdict == verdict


def test_what_tells_records_apart() -> None:
    """Letter case and blanks do not, nor how a number or a day is written; leading zeros of a text do."""
    assert identity({"CUSTOMERGROUPID": " Retail"}, CUSTOMER_GROUPS) == ("retail",)
    assert identity({"CUSTOMERGROUPID": "007"}, CUSTOMER_GROUPS) != identity({"CUSTOMERGROUPID": "7"}, CUSTOMER_GROUPS)
    one = identity({"NUMBER": "7", "DAY": "2026-01-01"}, NUMBERS)
    assert one == identity({"NUMBER": "7.00", "DAY": "2026-01-01T00:00:00"}, NUMBERS)
    assert identity({"NUMBER": "7"}, NUMBERS) is None


@pytest.mark.parametrize(
    ("one", "other", "kind", "same"),
    [
        ("1.5", "1.50", "real", True),
        ("1.5", "1.50", "text", False),
        ("2026-01-01", "2026-01-01T00:00:00", "date", True),
        ("2026-01-01", "2026-01-02T00:00:00", "date", False),
        ("A ", "A", "text", True),
        ("A", None, "text", False),
    ],
)
def test_values_that_are_alike(one: str, other: str | None, kind: str, same: bool) -> None:
    """Numbers and days may be written otherwise; texts may not."""
    assert alike(one, other, kind) is same


@pytest.mark.parametrize(
    ("operator", "value", "meets_it"),
    [
        ("equals", "Net30", True),
        ("equals", "net30", None),
        ("equals", "Net10", False),
        ("not-equals", "Net10", True),
        ("not-equals", "NET30", None),
        ("contains", "t3", True),
        ("contains", "T3", None),
        ("contains", "x", False),
        ("equals", "Net*", None),
        ("less", "Net40", None),
    ],
)
def test_conditions_on_texts(operator: str, value: str, meets_it: bool | None) -> None:
    """Letter case and order of texts are a service's own affair."""
    condition = Condition("Customer groups", "PAYMENTTERMID", operator, value)
    assert meets({"PAYMENTTERMID": "Net30"}, [condition], CUSTOMER_GROUPS) is meets_it


@pytest.mark.parametrize(
    ("operator", "met"),
    [("less", False), ("less-or-equal", True), ("greater", False), ("greater-or-equal", True), ("equals", True)],
)
def test_conditions_on_numbers(operator: str, met: bool) -> None:
    """They compare as numbers."""
    assert meets({"NUMBER": "10"}, [Condition("x", "NUMBER", operator, "10.0")], NUMBERS) is met


def test_several_conditions() -> None:
    """All must be met; one that certainly is not decides."""
    sure, unsure, never = (Condition("x", "NUMBER", "equals", value) for value in ("10", "1*", "9"))
    record = {"NUMBER": "10"}
    assert meets(record, [sure, unsure], NUMBERS) is None
    assert meets(record, [unsure, never], NUMBERS) is False
    assert meets(record, [], NUMBERS) is True
