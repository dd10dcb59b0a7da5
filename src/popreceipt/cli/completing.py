"""What a shell offers where a value comes from a list that only the emulator knows."""


def mutants(incomplete: str) -> list[str]:
    """Defects of the emulator, by their ids."""
    from popreceipt.emulator.mutants import MUTANTS  # late: only a shell that completes has to wait for them

    return [each for each in MUTANTS if each.startswith(incomplete)]


def dialects(incomplete: str) -> list[str]:
    """Open points, each with every value that the emulator knows."""
    from popreceipt.emulator.profile import POINTS

    known = (f"{point.name}={value}" for point in POINTS.values() for value in point.values)
    return [each for each in known if each.startswith(incomplete)]


def clocks(incomplete: str) -> list[str]:
    """Kinds of clocks."""
    return [each for each in ("system", "manual", "scaled:60") if each.startswith(incomplete)]


def profiles(incomplete: str) -> list[str]:
    """Profiles that come along, by name."""
    from popreceipt.emulator.profile import PROFILES

    return [each for each in PROFILES if each.startswith(incomplete)]
