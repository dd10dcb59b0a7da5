"""A server on a database that takes leases without a row lock. For the test of concurrency, which has to see it."""

from popreceipt.cli.main import run
from popreceipt.emulator.store.postgres import PostgresStore

PostgresStore.locks_next = ("",)

if __name__ == "__main__":
    run()
