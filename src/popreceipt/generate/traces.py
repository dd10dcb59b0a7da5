"""Writes fixtures/plans/orders.csv, the recorded week that a plan reads: made up, and the same each time.

    python -m popreceipt.generate.traces

A wholesaler's orders: from seven to seven on working days single ones come at random, and thrice a day a store's
terminal sends all that it has collected, one file a second or two. On Saturdays it does so once, on Sundays never.
"""

import csv
import io
import random
import sys
from datetime import UTC, datetime, timedelta
from typing import Final

from popreceipt import resources
from popreceipt.journal import instant_text

FILE: Final = "orders.csv"
MONDAY: Final = datetime(2026, 3, 2, tzinfo=UTC)
SENDS: Final = (8, 12, 16)
SATURDAY: Final = 5


def orders(seed: int = 2026) -> list[datetime]:
    """Instants of a week's orders, ascending."""
    chance = random.Random(seed)
    found = []
    for day in range(SATURDAY + 1):
        midnight = MONDAY + timedelta(days=day)
        working = day < SATURDAY
        at = midnight + timedelta(hours=7)
        while working and (at := at + timedelta(minutes=chance.expovariate(1 / 6))) < midnight + timedelta(hours=19):
            found.append(at)
        for hour in SENDS if working else SENDS[:1]:
            at = midnight + timedelta(hours=hour, seconds=chance.randrange(300))
            for _ in range(chance.randrange(30, 71)):
                at += timedelta(seconds=chance.uniform(0.5, 2.5))
                found.append(at)
    return sorted(each.replace(microsecond=each.microsecond // 1000 * 1000) for each in found)


def text() -> str:
    """The file's content."""
    written = io.StringIO()
    lines = csv.writer(written, lineterminator="\n")
    lines.writerow(["timestamp", "order"])
    lines.writerows([instant_text(at), f"W-{number:05d}"] for number, at in enumerate(orders(), 1))
    return written.getvalue()


def main() -> int:
    """Write the file."""
    path = resources.fixtures() / "plans" / FILE
    path.write_text(text(), encoding="utf-8", newline="")
    print(f"{path} written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
