"""Words of strangers made fit to be read: what a server or a subject said, without what could act on the reader.

Control characters, escapes of terminals, marks that turn the direction of writing, and halves of surrogate pairs are
shown as what they are. What looks like a signed token is replaced before anything is cut: half of one is none to a
pattern. It knows no markup: whoever writes HTML, Markdown or XML still escapes.
"""

import re
from typing import Final

from popreceipt.journal import without_tokens

_ACTING: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufdd0-\ufdef"
    "\ufeff\ufff0-\ufffb\ufffe\uffff\U000e0000-\U000e0fff]"
)
"""Characters that are not seen and yet do something: all controls but tab and line feed, and those of Unicode."""


def plain(text: str) -> str:
    """The text with each character that acts without being seen replaced by its number, such as ⟨U+202E⟩."""
    return _ACTING.sub(lambda found: f"⟨U+{ord(found.group()):04X}⟩", text.replace("\r\n", "\n"))


def cut(text: str, most: int) -> str:
    """The beginning of a text, and how much was left out.

    Args:
        text: of any length.
        most: characters that are kept.
    """
    text = without_tokens(text)
    return text if len(text) <= most else f"{text[:most]}… ({len(text) - most:,} more characters)"


def one_line(text: str, most: int) -> str:
    """A text on one line, plain, and not longer than so many characters."""
    text = without_tokens(text)
    # What follows is not looked at: a text may be a million characters long.
    words = " ".join(text[: 4 * most].split())
    return plain(words if len(words) <= most and len(text) <= 4 * most else f"{words[:most]}…")
