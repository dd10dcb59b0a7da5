"""The command `popreceipt`, its in-process emulator with next to nothing in memory: all else is in the store's file."""

import sys
from typing import Any

from popreceipt.cli.main import run
from popreceipt.clock import Clock
from popreceipt.emulator import emulator
from popreceipt.emulator.profile import Profile
from popreceipt.emulator.store.memory import MemoryStore


class OutOfMemory(emulator.Emulator):
    """An emulator on such a store."""

    def __init__(self, clock: Clock, profile: Profile, **options: Any) -> None:
        if options.get("store") is None:  # One that begins again goes on with what it has.
            options["store"] = MemoryStore(emulator.queue_of(profile), most=2, most_done=1, most_content=1)
        super().__init__(clock, profile, **options)


if __name__ == "__main__":
    emulator.Emulator = OutOfMemory  # type: ignore[assignment, misc]  # whoever opens `emulator:` from now on gets this one
    run(sys.argv[1:])
