"""What goes wrong when the tool is misused or cannot do its work.

Misbehaviour of a server or a client under test is never an exception: it is data in a journal. Each error says
what was found, what was wanted and what to try, and knows the exit status that the command line gives it.
"""

from typing import ClassVar


class PopreceiptError(Exception):
    """A sentence for the person at the terminal; `exit_status` is what the command ends with."""

    exit_status: ClassVar[int] = 4


class UsageError(PopreceiptError):
    """Wrong usage or configuration: an unknown target, a file that cannot be read, an option out of range."""

    exit_status = 2


class NothingProved(PopreceiptError):
    """The run could not show anything: the target is out of reach, or its set-up failed."""

    exit_status = 3


class NotAbleTo(PopreceiptError):
    """A target lacks an ability that a scenario needs; the rules behind it stay unexercised.

    Args:
        target: the target's name.
        ability: the missing ability, in the control plane's words.
        instead: what a person may do about it.
    """

    exit_status = 3

    def __init__(self, target: str, ability: str, instead: str | None = None) -> None:
        hint = f" Try {instead}." if instead else ""
        super().__init__(f"{target} lacks the ability {ability!r}.{hint}")
        self.target = target
        self.ability = ability
