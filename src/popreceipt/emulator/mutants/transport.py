"""Wrong readers of paths: spellings that the documentation shows, and that are not understood."""

from collections.abc import Callable

from popreceipt.emulator import problems
from popreceipt.emulator.guids import read_guid
from popreceipt.emulator.http import Response
from popreceipt.emulator.mutants.mutant import mutant
from popreceipt.emulator.mutants.parts import Around, Mutated, Route
from popreceipt.emulator.routes.call import Call
from popreceipt.vocabulary import ACK, ENQUEUE


def _with_language(call: Call) -> bool:
    return call.words[1:2] == ("api",)


def _in_braces(call: Call) -> bool:
    return call.words[-1].startswith("{")


def _bare(call: Call) -> bool:
    return read_guid(call.words[-1]) is not None and not _in_braces(call)


def refusing(spelled: Callable[[Call], bool], *operations: str) -> Around:
    """Routes that do not know a spelling, for these operations or (none given) for all of the connector."""

    def around(emulator: Mutated, route: Route) -> Route:
        def answer(call: Call) -> Response | None:
            concerned = "connector" in call.words and (not operations or emulator.operation in operations)
            if concerned and spelled(call):
                return problems.connector(404, "No HTTP resource was found that matches the request URI.")
            return route(call)

        return answer

    return around


MUTANTS = (
    mutant(
        "language-prefix-unknown",
        "Knows no path with a language segment before it.",
        "transport.language-prefix",
        routes=refusing(_with_language),
    ),
    mutant(
        "language-prefix-unknown-to-enqueue",
        "Understands a language segment everywhere but before an enqueue.",
        "transport.language-prefix",
        routes=refusing(_with_language, ENQUEUE),
    ),
    mutant(
        "braces-unknown",
        "Knows no activity whose ID is written in braces.",
        "transport.braced-activity-id",
        routes=refusing(_in_braces),
    ),
    mutant(
        "braces-unknown-to-acknowledgment",
        "Understands an activity's ID in braces everywhere but in an acknowledgment.",
        "transport.braced-activity-id",
        routes=refusing(_in_braces, ACK),
    ),
    mutant(
        "bare-id-unknown-to-acknowledgment",
        "Understands an activity's ID without braces everywhere but in an acknowledgment.",
        "transport.bare-activity-id",
        routes=refusing(_bare, ACK),
    ),
)
