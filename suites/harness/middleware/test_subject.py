"""The subject's process, with programs that behave as badly as programs can."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # it comes without types
import pytest

from popreceipt.exceptions import UsageError
from popreceipt.middleware import subject as subjects
from popreceipt.middleware.played import Exit
from popreceipt.middleware.subject import CannotStart, Subject, Tail, filled_in, inherited, resolved

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="written with signals and sessions")

KEPT = 64 * 1024

Make = Callable[..., Subject]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes subjects, and sees that nothing of them is left after a test that failed."""
    made: list[Subject] = []

    def subject(command: tuple[str, ...], **environment: str) -> Subject:
        folder = tmp_path / f"empty-{len(made)}"
        folder.mkdir()
        hurry = threading.Event()
        made.append(Subject(command, environment, folder, kept=KEPT, hurry=hurry))
        hurried.append(hurry)
        return made[-1]

    hurried: list[threading.Event] = []
    yield subject
    for each, hurry in zip(made, hurried, strict=True):
        hurry.set()
        each.end()


@pytest.fixture
def read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The output is waited for however slow the machine is, where nobody else holds it open."""
    monkeypatch.setattr(subjects, "DRAINING", 300.0)


def awaited(subject: Subject) -> Exit:
    """How it ends by itself."""
    assert subject._process is not None
    subject._process.wait(60)
    how = subject.ended()
    assert how is not None
    return how


def lives(process: int) -> bool:
    """Whether a process lives; one that waits to be collected does not."""
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class TestEnding:
    """However a subject ends, or does not."""

    @pytest.mark.usefixtures("read_to_its_end")
    def test_an_end_with_0_is_told(self, make: Make, script: Any) -> None:
        """A subject that ends by itself did so with its status, and not for us."""
        subject = make(script("print('hello')"))
        subject.start()
        how = awaited(subject)
        assert (how.status, how.by_us) == (0, False)
        assert subject.output() == "hello\n"

    @pytest.mark.usefixtures("read_to_its_end")
    def test_a_crash_keeps_its_status_and_last_words(self, make: Make, script: Any) -> None:
        """A crash is told with its status and what it said on standard error."""
        subject = make(script("raise ValueError('no such thing')"))
        subject.start()
        assert awaited(subject).status == 1
        assert subject.output().endswith("ValueError: no such thing\n")

    def test_a_signal_is_told_as_a_negative_status(self, make: Make, script: Any) -> None:
        """A subject that a signal ended has its negative number for a status."""
        subject = make(script("import os, signal; os.kill(os.getpid(), signal.SIGKILL)"))
        subject.start()
        assert awaited(subject).status == -9

    @pytest.mark.usefixtures("read_to_its_end")
    def test_it_is_asked_before_it_is_killed(
        self, make: Make, script: Any, meeting: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A subject that heeds SIGTERM ends in its own way, and the end is ours."""
        # However slow the machine is: one that was not asked would wait for its signal until its time is over.
        monkeypatch.setattr(subjects, "GRACE", 300.0)
        subject = make(
            script(
                meeting.code + "import signal, sys\n"
                "signal.signal(signal.SIGTERM, lambda *_: (print('good bye'), sys.exit(0)))\n"
                "tell(1)\n"
                "while True: signal.pause()"
            )
        )
        subject.start()
        meeting.told()
        how = subject.end()
        assert how is not None
        assert (how.status, how.by_us) == (0, True)
        assert subject.output() == "good bye\n"

    def test_one_that_does_not_heed_is_killed(
        self, make: Make, script: Any, meeting: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A subject that ignores the request is killed when its time is over."""
        monkeypatch.setattr(subjects, "GRACE", 0.2)
        subject = make(
            script(
                meeting.code + "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN); tell(1)\n"
                "while True: signal.pause()"
            )
        )
        subject.start()
        meeting.told()
        how = subject.end()
        assert how is not None
        assert (how.status, how.by_us) == (-9, True)

    def test_in_a_hurry_nobody_is_waited_for(self, tmp_path: Path, script: Any, meeting: Any) -> None:
        """Once there is a hurry, what still lives is killed."""
        hurry = threading.Event()
        command = script(
            meeting.code + "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN); tell(1)\n"
            "while True: signal.pause()"
        )
        subject = Subject(command, {}, tmp_path, kept=KEPT, hurry=hurry)
        subject.start()
        meeting.told()
        hurry.set()
        assert subject.end() == Exit(status=-9, seconds=pytest.approx(0, abs=60), by_us=True)

    def test_one_that_ended_before_it_was_ended_ended_by_itself(self, make: Make, script: Any) -> None:
        """Nobody is told to have been ended who was gone already."""
        subject = make(script("raise SystemExit(4)"))
        subject.start()
        assert subject._process is not None
        subject._process.wait(60)
        how = subject.end()
        assert how is not None
        assert (how.status, how.by_us) == (4, False)

    def test_one_that_never_lived_has_no_end(self, make: Make, script: Any) -> None:
        """Before its first life there is nothing to end."""
        assert make(script("")).end() is None


FORKING = """
import os, signal, sys
{tell}
{before}
if os.fork() == 0:
    {apart}
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    tell(os.getpid())
    while True: signal.pause()
{after}
"""


class TestChildren:
    """What a subject leaves behind."""

    @pytest.mark.parametrize("apart", ["pass", "os.setpgid(0, 0)", "os.setsid()"])
    @pytest.mark.parametrize("after", ["signal.pause()", "pass"], ids=["parent stays", "parent ends"])
    def test_children_that_ignore_the_request_are_gone(
        self, make: Make, script: Any, meeting: Any, monkeypatch: pytest.MonkeyPatch, apart: str, after: str
    ) -> None:
        """Neither a group nor a session of its own saves a child, nor a parent that is gone."""
        monkeypatch.setattr(subjects, "GRACE", 0.2)
        subject = make(script(FORKING.format(tell=meeting.code, before="", apart=apart, after=after)))
        subject.start()
        child = meeting.told()
        if after == "pass":
            assert awaited(subject).status == 0
        assert lives(child)
        subject.end()
        assert not lives(child)

    def test_a_grandchild_that_nobody_knows_is_gone(
        self, make: Make, script: Any, meeting: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A daemon (forked twice, in a session of its own) is found by its environment."""
        monkeypatch.setattr(subjects, "GRACE", 0.2)
        before = "if os.fork(): os._exit(0)\nos.setsid()"
        subject = make(
            script(FORKING.format(tell=meeting.code, before=before, apart="os.setsid()", after="os._exit(0)"))
        )
        subject.start()
        daemon = meeting.told()
        assert awaited(subject).status == 0
        subject.end()
        assert not lives(daemon)

    def test_nobody_waits_for_an_output_that_a_child_holds_open(
        self, make: Make, script: Any, meeting: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The end of a life is known although its child still holds the pipe."""
        monkeypatch.setattr(subjects, "DRAINING", 0.05)
        subject = make(script(FORKING.format(tell=meeting.code, before="", apart="pass", after="print('parent')")))
        subject.start()
        meeting.told()
        assert awaited(subject).status == 0

    def test_others_are_left_alone(self, make: Make, script: Any, meeting: Any) -> None:
        """The end of one subject does not touch another."""
        one = make(script(meeting.code + "import os, signal; tell(os.getpid())\nwhile True: signal.pause()"))
        other = make(script(meeting.code + "import os, signal; tell(os.getpid())\nwhile True: signal.pause()"))
        one.start()
        meeting.told()
        other.start()
        survivor = meeting.told()
        one.end()
        assert lives(survivor)


class TestOutput:
    """However much a subject says."""

    def test_a_flood_is_counted_and_its_end_kept(self, make: Make, script: Any) -> None:
        """A hundred megabytes neither fill memory nor stop the subject."""
        subject = make(
            script("import os\nfor n in range(1600): os.write(1 + n % 2, b'x' * 65535 + b'\\n')\nprint('end')")
        )
        subject.start()
        assert awaited(subject).status == 0
        assert subject.output_length == 1600 * 65536 + 4
        assert len(subject.output()) < KEPT + 100
        assert subject.output().endswith("x\nend\n")

    def test_several_lives_have_one_output(self, make: Make, script: Any) -> None:
        """What an earlier life said is kept too."""
        subject = make(script("import os; print('life')"))
        for _ in range(2):
            subject.start()
            awaited(subject)
        assert subject.output() == "life\nlife\n"
        assert subject.number == 2

    def test_secrets_are_replaced(self, make: Make, script: Any) -> None:
        """Neither the client's secret nor a token stands in what is kept of the output."""
        token = "eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJodHRwIn0.c2lnbmF0dXJl"
        command = script(f"import os; print(os.environ['POPRECEIPT_CLIENT_SECRET'], '{token}')")
        subject = make(command, POPRECEIPT_CLIENT_SECRET="canary-in-the-mine")
        subject.start()
        awaited(subject)
        assert subject.output().count("redacted:") == 2
        assert "canary" not in subject.output()
        assert "eyJ" not in subject.output()

    def test_bytes_that_are_no_text_are_told_as_well_as_can_be(self) -> None:
        """No output makes a fault."""
        tail = Tail(100)
        tail.add(bytes(range(200, 256)))
        assert tail.text() == bytes(range(200, 256)).decode("utf-8", "replace")

    def test_half_a_first_line_is_left_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of a secret that was cut nobody could tell that it was one."""
        monkeypatch.setattr(subjects, "WHOLE_LINE", 10)
        tail = Tail(20)
        tail.add(b"secret=cana")
        tail.add(b"ry\nand a last line\n")
        assert tail.text() == "… (14 bytes before)\nand a last line\n"

    def test_what_may_be_half_a_secret_is_left_out_of_one_long_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An output without lines loses as much at its beginning as a secret may be long."""
        monkeypatch.setattr(subjects, "WHOLE_LINE", 5)
        tail = Tail(10)
        tail.add(b"0123456789abcdef")
        assert tail.text() == "… (11 bytes before)\nbcdef"

    def test_it_reads_nothing(self, make: Make, script: Any) -> None:
        """Standard input is empty: nobody waits for a person."""
        subject = make(script("import sys; print(repr(sys.stdin.read()))"))
        subject.start()
        awaited(subject)
        assert subject.output() == "''\n"


class TestStarting:
    """What a subject is told, and where it finds itself."""

    def test_its_folder_is_empty_and_stays_over_its_lives(self, make: Make, script: Any) -> None:
        """It starts in an empty folder; what it leaves there, its next life finds."""
        subject = make(script("import os; print(os.listdir('.')); open('left', 'w').close()"))
        for _ in range(2):
            subject.start()
            awaited(subject)
        assert subject.output() == "[]\n['left']\n"

    def test_a_folder_that_it_removes_is_there_again(self, make: Make, script: Any) -> None:
        """Its next life starts as if nothing had been."""
        subject = make(script("import os; os.rmdir(os.getcwd()); print('removed')"))
        for _ in range(2):
            subject.start()
            awaited(subject)
        assert subject.output() == "removed\nremoved\n"

    def test_it_is_told_what_the_scenario_tells_and_nothing_else_of_ours(
        self, make: Make, script: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Somebody's control key or proxy does not reach a subject; the rest of the environment does."""
        monkeypatch.setenv("POPRECEIPT_CONTROL_KEY", "canary")
        monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example")
        monkeypatch.setenv("no_proxy", "example")
        monkeypatch.setenv("ORDINARY", "yes")
        command = script(
            "import os; print(sorted(n for n in os.environ if n.upper().startswith('POPRECEIPT') "
            "or 'proxy' in n.lower() or n == 'ORDINARY'))"
        )
        subject = make(command, POPRECEIPT_BASE_URL="http://127.0.0.1:1", http_proxy="http://127.0.0.1:2")
        subject.start()
        awaited(subject)
        assert subject.output() == str(["ORDINARY", "POPRECEIPT_BASE_URL", "POPRECEIPT_SUBJECT", "http_proxy"]) + "\n"

    def test_a_program_that_is_gone_cannot_be_started(self, make: Make) -> None:
        """That there is no such program is said in words."""
        with pytest.raises(CannotStart, match=r"Cannot start /no/such/program: No such file"):
            make(("/no/such/program",)).start()

    @pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no such permissions")
    def test_what_is_no_program_cannot_be_started(self, make: Make, tmp_path: Path) -> None:
        """A file that may not be executed, or is none that the system can, is the subject's matter."""
        file = tmp_path / "data"
        file.write_bytes(b"\x00\x01\x02 no program")
        with pytest.raises(CannotStart, match="Permission denied"):
            make((str(file),)).start()
        file.chmod(0o700)
        with pytest.raises(CannotStart, match="Exec format error"):
            make((str(file),)).start()

    def test_inherited_drops_ours_in_any_letter_case(self) -> None:
        """On systems that do not tell letter cases apart nothing slips through."""
        assert inherited({"popreceipt_Config": "x", "Http_Proxy": "y", "PATH": "z"}) == {"PATH": "z"}


class TestCommandLine:
    """What becomes of the words of a command line."""

    def test_placeholders_are_replaced_and_other_braces_are_not(self) -> None:
        """Each placeholder is the variable of that name; JSON stays JSON."""
        environment = {"POPRECEIPT_BASE_URL": "http://h:1", "POPRECEIPT_EXPORT_ACTIVITY": "id", "http_proxy": "p"}
        words = ("--url={base_url}/{export_activity}", '{"a": {}}', "{nothing}", "{http_proxy}")
        assert filled_in(words, environment) == ("--url=http://h:1/id", '{"a": {}}', "{nothing}", "{http_proxy}")

    def test_a_value_is_not_filled_in_again(self) -> None:
        """What stands in a value is no placeholder."""
        environment = {"POPRECEIPT_ENTITY": "{base_url}", "POPRECEIPT_BASE_URL": "http://h:1"}
        assert filled_in(("{entity}",), environment) == ("{base_url}",)

    def test_files_named_from_here_are_made_absolute(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """In the empty folder a relative path could name nothing."""
        monkeypatch.chdir(tmp_path)
        (tmp_path / "sub").mkdir()
        (tmp_path / "sub" / "client.py").touch()
        (tmp_path / "word").touch()
        program, *words = resolved((sys.executable, "sub/client.py", "word", "--x", "sub", "no.py", "-"), tmp_path)
        assert program == sys.executable
        assert words == [str(tmp_path / "sub" / "client.py"), "word", "--x", "sub", "no.py", "-"]

    def test_a_program_in_path_is_found_and_one_from_here_made_absolute(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A program is looked up before anything is played."""
        monkeypatch.chdir(tmp_path)
        own = tmp_path / "client"
        own.write_text("#!/bin/sh\n", encoding="utf-8")
        own.chmod(0o700)
        assert resolved(("./client",), tmp_path) == (str(tmp_path / "client"),)
        assert Path(resolved(("sh",), tmp_path)[0]).is_absolute()

    def test_errors_say_what_to_do(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """No command, one that does not exist, one that may not be executed."""
        monkeypatch.chdir(tmp_path)
        (tmp_path / "client").touch(0o600)
        with pytest.raises(UsageError, match="Name the command"):
            resolved((), tmp_path)
        with pytest.raises(CannotStart, match="there is no such command"):
            resolved(("no-such-command",), tmp_path)
        with pytest.raises(CannotStart, match=r"chmod \+x"):
            resolved(("./client",), tmp_path)
        with pytest.raises(CannotStart, match=r"\./client"):
            resolved(("client",), tmp_path)
