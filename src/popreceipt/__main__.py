"""`python -m popreceipt`: the command, also where its script is not on the path."""

from popreceipt.cli.main import run

if __name__ == "__main__":
    run()
