"""Patterns: what they match, what they are too wide for, and how one is made from a message."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from popreceipt.gates.pattern import matches, pattern_of, too_wide


@pytest.mark.parametrize(
    ("pattern", "message", "fits"),
    [
        ("back after 29 minutes", "back after 29 minutes", True),
        ("back after 29 minutes", "back after 29 minutes and more", False),
        ("back after *", "back after 29 minutes", True),
        ("after *", "back after 29 minutes", False),
        ("*minutes", "back after 29 minutes", True),
        ("*29*", "back after 29 minutes", True),
        ("back*minutes*after*", "back after 29 minutes", False),
        ("Back after *", "back after 29 minutes", False),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("a.c [?]", "abc x", False),
        ("two\nlines*", "two\nlines and three", True),
        ("", "", True),
        ("*", "", True),
    ],
)
def test_a_star_stands_for_anything_and_all_else_for_itself(pattern: str, message: str, fits: bool) -> None:
    """The whole message must match, in the same case; brackets, dots and question marks mean themselves."""
    assert matches(pattern, message) is fits


@given(st.text("ab*", max_size=12), st.text("ab", max_size=12))
def test_matching_is_what_the_same_regular_expression_says(pattern: str, message: str) -> None:
    """Another implementation, which may take longer, agrees."""
    import re

    expression = ".*".join(map(re.escape, pattern.split("*")))
    assert matches(pattern, message) is (re.fullmatch(expression, message, re.DOTALL) is not None)


def test_a_pattern_of_many_stars_takes_no_time() -> None:
    """What would keep a regular expression busy for ever is answered at once."""
    assert not matches("a*" * 2_000 + "b", "a" * 100_000)


@pytest.mark.parametrize("pattern", ["*", "**", "* * *", "*a*", "* after *", "...*..."])
def test_a_pattern_that_names_nothing_is_too_wide(pattern: str) -> None:
    """Fewer than eight letters or digits let pass whatever comes."""
    assert too_wide(pattern)
    assert not too_wide("back after *")
    assert not too_wide("lost")


@pytest.mark.parametrize(
    ("message", "pattern"),
    [
        ("back after at most 0:29:59", "back after at most *"),
        ("message 3f2504e0-4f89-11d3-9a0c-0305e82c3301 is answered 404.", "message * is answered 404."),
        ("at 2026-01-01T00:00:00Z a time, at 12.5 another", "at * a time, at * another"),
        ("17 of 20 samples were not there at all", "* of * samples were not there at all"),
    ],
)
def test_a_pattern_is_made_with_stars_for_what_differs_next_time(message: str, pattern: str) -> None:
    """Numbers, times and GUIDs; a status code stays."""
    assert pattern_of(message) == pattern


@given(st.text(max_size=60))
def test_a_message_always_matches_the_pattern_that_is_made_from_it(message: str) -> None:
    """Whatever it is made of."""
    assert matches(pattern_of(message), message)
