"""XML from outside as a stream of events, read without trust: no document type, so no entities and nothing loaded.

Keeps no tree, so memory is that of what the handlers keep. It refuses at the first character of a document type, before
anything in it counts.
"""

from collections.abc import Callable, Iterable, Iterator
from xml.parsers import expat

from popreceipt.emulator.dmf.problems import Unreadable

_PIECE = 1 << 16


def local(name: str) -> str:
    """A name without the prefix of its namespace."""
    return name.rpartition(":")[2]


def pieces(content: bytes) -> Iterator[bytes]:
    """A document in pieces, so that what was read of it can be handed on before all is read."""
    for start in range(0, len(content), _PIECE):
        yield content[start : start + _PIECE]


def run(
    document: Iterable[bytes],
    what: str,
    *,
    begin: Callable[[str, dict[str, str]], None],
    end: Callable[[str], None] | None = None,
    characters: Callable[[str], None] | None = None,
) -> Iterator[None]:
    """Tell the handlers of a document, and stop after each piece of it. `what` names it in complaints.

    Names come with their prefixes. The encoding is what a byte order mark or the declaration says.

    Raises:
        Unreadable: it is not well-formed, of an unknown encoding, or has a document type.
    """

    def refuse_document_type(*_: object) -> None:
        raise Unreadable(f"{what} has a document type; none is allowed.")

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = refuse_document_type
    parser.StartElementHandler = begin
    parser.EndElementHandler = end
    parser.CharacterDataHandler = characters
    try:
        for piece in document:
            parser.Parse(piece, False)
            yield
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise Unreadable(f"{what} is not well-formed XML: {error}.") from error
    except (LookupError, ValueError) as error:  # ValueError: not UTF-8 or UTF-16, and several bytes a letter
        raise Unreadable(f"{what} is in an encoding that is not known here: {error}.") from error
    yield
