"""One file of many records through an emulator: how long it takes, and the most memory the process ever held."""

from dataclasses import dataclass
from typing import Literal

from popreceipt.clock import stopwatch
from popreceipt.generate.peers.dialogues import Emulator
from popreceipt.generate.peers.load import peak_megabytes


@dataclass(frozen=True, slots=True)
class Exchanged:
    """One file: its direction, its records, and what it took. The peak includes the server's own start."""

    direction: Literal["import", "export"]
    records: int
    seconds: float
    peak_megabytes: float


def import_of(base_url: str, process: int, records: int) -> Exchanged:
    """Enqueue a CSV of so many records and let a run process it to its end. The clock must be manual."""
    emulator = Emulator(base_url)
    emulator.ready()
    rows = "".join(f"G{number:08d},Customers of region {number % 997},Net30\n" for number in range(records))
    content = f"CUSTOMERGROUPID,DESCRIPTION,PAYMENTTERMID\n{rows}".encode("ascii")
    begun = stopwatch()
    emulator.import_file(content)
    seconds = stopwatch() - begun
    emulator.has_processed(records)
    return Exchanged("import", records, seconds, peak_megabytes(process))


def export_of(base_url: str, process: int, records: int) -> Exchanged:
    """Let an export run with so many new records, up to the file in its blob."""
    emulator = Emulator(base_url)
    emulator.ready()
    begun = stopwatch()
    emulator.export_file(records)
    return Exchanged("export", records, stopwatch() - begun, peak_megabytes(process))
