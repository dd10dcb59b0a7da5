"""`python -m popreceipt.docs [FOLDER]`: build the site there (reports/docs unless told)."""

import sys
import tempfile
from pathlib import Path

from popreceipt.docs.site import build


def main() -> int:
    """Build it; Sphinx's own exit status, where every warning is an error."""
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("reports") / "docs"
    with tempfile.TemporaryDirectory() as laid_out:
        status = build(out, Path(laid_out))
    if status == 0:
        print(f"{out / 'index.html'} written")
    return status


if __name__ == "__main__":
    sys.exit(main())
