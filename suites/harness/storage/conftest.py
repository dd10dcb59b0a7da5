"""A PostgreSQL server of the tests' own: started when the first test asks for it, gone when the tests are."""

import contextlib
import itertools
import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

READY = "database system is ready to accept connections"

PASSWORD = "a secret of the tests"

SETTINGS = (
    "fsync=off",  # a test's machine may lose power
    "listen_addresses=127.0.0.1",
    "shared_buffers=64MB",
    "deadlock_timeout=200ms",
)


class Cluster:
    """A database cluster in a folder of its own, and the server on it.

    Args:
        folder: short enough for the name of a socket; PostgreSQL's own user has to get there.
        programs: where `initdb` and `postgres` are.
    """

    def __init__(self, folder: Path, programs: Path) -> None:
        self._folder = folder
        self._programs = programs
        self._data = folder / "data"
        self._names = itertools.count(1)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._process: subprocess.Popen[str] | None = None
        password = folder / "password"
        password.write_text(PASSWORD)
        if os.geteuid() == 0:
            # PostgreSQL refuses to run as root.
            for path in (folder, password):
                shutil.chown(path, "postgres", "postgres")
        options = ("--username=postgres", "--encoding=UTF8", "--no-locale", "--no-sync", "--auth-local=trust")
        subprocess.run(
            [*self._program("initdb"), *options, "--auth-host=scram-sha-256", f"--pwfile={password}", str(self._data)],
            check=True,
            capture_output=True,
            cwd=folder,
        )

    def _program(self, name: str) -> list[str]:
        """How one of PostgreSQL's programs is run: not as root, and gone when the tests are, however they end."""
        keeper = shutil.which("setpriv")
        ends = [] if keeper is None else [keeper, "--pdeathsig=KILL"]
        if os.geteuid() == 0:
            ends = [keeper or "setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--pdeathsig=KILL"]
        return [*ends, str(self._programs / name)]

    def start(self) -> None:
        """Start the server and wait until it accepts connections."""
        settings = [f"--{each}" for each in (*SETTINGS, f"port={self.port}", f"unix_socket_directories={self._folder}")]
        self._process = subprocess.Popen(
            [*self._program("postgres"), "-D", str(self._data), *settings],
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            cwd=self._folder,
        )
        errors = self._process.stderr
        assert errors is not None
        told: list[str] = []
        for line in errors:
            told.append(line)
            if READY in line:
                break
        else:
            pytest.fail("".join(told))
        threading.Thread(target=self._read_on, args=(self._process,), daemon=True).start()

    @staticmethod
    def _read_on(process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        with process.stderr as errors:
            for _ in errors:
                pass

    def stop(self) -> None:
        """Stop it at once; whoever is connected loses his connection."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(3)  # SIGQUIT: "immediate shutdown" in "Shutting Down the Server"
            process.wait(timeout=60)

    def url(self, schema: str | None = None, *, password: str = PASSWORD, name: str = "postgres") -> str:
        """Where a new, empty environment may be made; or the one in this schema."""
        schema = schema if schema is not None else f"environment_{next(self._names)}"
        where = f"postgresql://postgres:{quote(password)}@127.0.0.1:{self.port}/{name}"
        return f"{where}?options=-csearch_path%3D{schema}"


@pytest.fixture(scope="session")
def cluster(outside_program: Callable[..., str]) -> Iterator[Cluster]:
    """The server, running."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    programs = Path(outside_program("initdb", "postgresql", *folders)).resolve().parent
    folder = Path(tempfile.mkdtemp(prefix="popreceipt-"))
    folder.chmod(0o755)
    with contextlib.ExitStack() as closing:
        closing.callback(shutil.rmtree, folder, ignore_errors=True)
        made = Cluster(folder, programs)
        closing.callback(made.stop)
        made.start()
        yield made


@pytest.fixture
def database(cluster: Cluster) -> str:
    """The URL of an environment of one test's own."""
    return cluster.url()
