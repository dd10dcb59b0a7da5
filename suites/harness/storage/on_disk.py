"""The command `popreceipt`, its in-process emulator on a SQLite store in the folder that the first argument names."""

import sys
from pathlib import Path
from typing import Any

from popreceipt.cli.main import run
from popreceipt.clock import Clock
from popreceipt.emulator import emulator
from popreceipt.emulator.profile import Profile
from popreceipt.emulator.store.sqlite import SqliteStore


class OnDisk(emulator.Emulator):
    """An emulator that keeps everything there."""

    def __init__(self, clock: Clock, profile: Profile, **options: Any) -> None:
        original_place = profile.redelivery_order == "original-place"
        store = SqliteStore(Path(sys.argv[1]), sync="normal", original_place=original_place)
        super().__init__(clock, profile, store=store, **options)


if __name__ == "__main__":
    emulator.Emulator = OnDisk  # type: ignore[misc]  # whoever opens `emulator:` from now on gets this one
    run(sys.argv[2:])
