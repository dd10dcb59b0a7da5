"""Patterns for the messages of findings: a star stands for any characters, everything else for itself.

A pattern must match a whole message, from its first character to its last, in the same case. There are no regular
expressions: a star cannot be written so that it takes for ever, and who reviews an entry sees what it lets pass.
"""

import re
from typing import Final

STAR: Final = "*"

LEAST_LETTERS: Final = 8
"""Letters and digits that a pattern must name beside its stars: with fewer it would let pass whatever comes."""

_VARIES: Final = re.compile(r"[\w.:+-]*\d[\w.:+-]*")
"""What differs from one run to the next: numbers, times, GUIDs, and words with digits in them."""

_UNSEEN: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
"""Controls, and halves of characters: a file that people read takes none of them."""

_STATUS: Final = re.compile(r"[1-5]\d\d")
"""A status code tells one finding from another, and stays."""


def matches(pattern: str, message: str) -> bool:
    """Whether the whole message is as the pattern says. Takes time in proportion to both, whatever they are."""
    first, *others = pattern.split(STAR)
    if not others:
        return message == pattern
    *between, last = others
    if len(first) + len(last) > len(message) or not message.startswith(first) or not message.endswith(last):
        return False
    at, end = len(first), len(message) - len(last)
    for part in between:
        found = message.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def too_wide(pattern: str) -> bool:
    """Whether a pattern says so little that it would match nearly every message; one without a star matches one."""
    return STAR in pattern and sum(each.isalnum() for each in pattern) < LEAST_LETTERS


def pattern_of(message: str) -> str:
    """The pattern to begin with: the message with a star for each number, time and GUID that may differ next time.

    Where too little would be left of it, the message itself; characters that no file holds are stars all the same.
    """

    def star(found: re.Match[str]) -> str:
        word = found.group()
        end = word[-1] if word[-1] in ".:" else ""
        return word if _STATUS.fullmatch(word.rstrip(".:")) else STAR + end

    pattern = re.sub(r"\*[*\s]*\*", STAR, _UNSEEN.sub(STAR, _VARIES.sub(star, message)))
    return message if too_wide(pattern) else pattern
