"""Who may import whom: down, never across. Three columns that never see each other stand on one ground."""

import ast
from collections.abc import Iterator
from pathlib import Path

import popreceipt

PACKAGE = Path(popreceipt.__file__).parent

GROUND = {"vocabulary", "clock", "journal", "verdict", "exceptions", "resources"}
COLUMNS = {"client", "emulator", "rules"}
# Those in whom columns meet, and those above them; each may import what stands before it, and its own.
ABOVE = (
    {"recordings"},
    {"tenants"},
    {"targets", "reports", "scenario"},
    {"stage"},
    {"shapes"},
    {"reproduction"},
    {"fuzz", "lifecycle", "histories"},
    {"plugin"},
    {"verification"},
    {"tour"},
    {"fingerprints"},
    {"load"},
    {"sizing"},
    {"middleware"},
    {"watching"},
    {"pytest_plugin"},
    {"gates"},
    {"npm"},
    {"generate"},
    {"cli"},
    {"docs"},
    {"__main__"},
)


def allowed(part: str) -> set[str]:
    """The parts that a part may import."""
    if part in GROUND:
        return GROUND
    if part in COLUMNS:
        return GROUND | {part}
    below = GROUND | COLUMNS
    for level in ABOVE:
        below = below | level
        if part in level:
            return below
    raise AssertionError(f"{part} has no place in the table of parts: give it one")


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and part of each import of the package's own modules in a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names = [node.module]
            if node.module == "popreceipt":
                names = [f"popreceipt.{each.name}" for each in node.names]
        for name in names:
            if name.startswith("popreceipt."):
                yield node.lineno, name.split(".")[1]


def test_imports_go_down_and_never_across() -> None:
    """Every import of every module fits the table."""
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        relative = path.relative_to(PACKAGE)
        if relative.parts[0] in ("__init__.py", "_shipped"):
            continue
        part = relative.parts[0].removesuffix(".py")
        for line, imported in imports(path):
            if imported not in allowed(part) and not imported.startswith("__"):
                wrong.append(f"{relative}:{line} imports {imported}, which {part} must not")
    assert not wrong, "\n".join(wrong)


SANS_IO = ("message", "queue", "agenda", "receipts", "guids", "profile")
NO_IO = {"socket", "asyncio", "httpx", "uvicorn", "threading", "ssl", "time", "os", "subprocess"}


def test_the_pure_parts_of_the_emulator_do_no_io() -> None:
    """The life of a message and what stands around it import nothing that reaches the outside."""
    wrong = []
    for name in SANS_IO:
        tree = ast.parse((PACKAGE / "emulator" / f"{name}.py").read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            modules = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            wrong += [f"{name} imports {each}" for each in modules if each.split(".")[0] in NO_IO]
    assert not wrong, "\n".join(wrong)


def test_the_time_of_day_is_read_in_one_module() -> None:
    """Only clock.py asks the computer what time it is."""
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.name == "clock.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                asked = f"{node.value.id}.{node.attr}"
                if asked in {"datetime.now", "datetime.utcnow", "time.time", "time.monotonic", "time.time_ns"}:
                    wrong.append(f"{path.relative_to(PACKAGE)}:{node.lineno} reads {asked}")
    assert not wrong, "\n".join(wrong)
