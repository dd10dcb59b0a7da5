"""Wrong readers of paths: spellings that the documentation shows, and that are not understood."""

from popreceipt.emulator import problems
from popreceipt.emulator.http import Response
from popreceipt.emulator.mutants.mutant import mutant
from popreceipt.emulator.mutants.parts import Around, Mutated, Route
from popreceipt.emulator.routes.call import Call
from popreceipt.vocabulary import ACK, ENQUEUE


def _not_found(call: Call, *, language: bool = False, braces: bool = False) -> bool:
    return (language and call.words[1:2] == ("api",)) or (braces and call.words[-1].startswith("{"))


def refusing(*operations: str, language: bool = False, braces: bool = False) -> Around:
    """Routes that do not know a spelling, for these operations or (none given) for all of the connector."""

    def around(emulator: Mutated, route: Route) -> Route:
        def answer(call: Call) -> Response | None:
            concerned = "connector" in call.words and (not operations or emulator.operation in operations)
            if concerned and _not_found(call, language=language, braces=braces):
                return problems.connector(404, "No HTTP resource was found that matches the request URI.")
            return route(call)

        return answer

    return around


MUTANTS = (
    mutant(
        "language-prefix-unknown",
        "Knows no path with a language segment before it.",
        "transport.language-prefix",
        routes=refusing(language=True),
    ),
    mutant(
        "language-prefix-unknown-to-enqueue",
        "Understands a language segment everywhere but before an enqueue.",
        "transport.language-prefix",
        routes=refusing(ENQUEUE, language=True),
    ),
    mutant(
        "braces-unknown",
        "Knows no activity whose ID is written in braces.",
        "transport.braced-activity-id",
        routes=refusing(braces=True),
    ),
    mutant(
        "braces-unknown-to-acknowledgment",
        "Understands an activity's ID in braces everywhere but in an acknowledgment.",
        "transport.braced-activity-id",
        routes=refusing(ACK, braces=True),
    ),
)
