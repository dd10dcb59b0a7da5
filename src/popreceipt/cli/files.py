"""Files that somebody named and that are written at the end: whether that will be possible is seen at the beginning."""

from pathlib import Path

from popreceipt.exceptions import UsageError


def see_writable(file: Path, hint: str = "Give another file.") -> None:
    """See that a file can be written, before a long run is made for nothing; its folder is made, and nothing else.

    Args:
        file: what will be written.
        hint: what to do where it cannot be.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        was_there = file.exists()
        file.open("ab").close()
        if not was_there:
            # An empty file would be taken for a result, should the run not come to its end.
            file.unlink()
    except FileExistsError as error:
        raise UsageError(f"Cannot write {file}: {file.parent} is no folder. {hint}") from error
    except OSError as error:
        raise UsageError(f"Cannot write {file}: {error.strerror or error}. {hint}") from error
