"""Several processes that do one work: started together, ready together, ended together.

A signal ends all of them. If one ends by itself the others are ended too, and that is an error: half a service would
look like a whole one. It knows nothing of what they do.
"""

import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any, Final, NoReturn

from popreceipt.exceptions import NothingProved, PopreceiptError, UsageError

Work = Callable[[int, Callable[[], None]], None]
"""What a process does: told which one it is, from 1, and whom to tell once it is ready."""

FAULT: Final = 4

_ENDING: Final = (signal.SIGTERM, signal.SIGINT)


def are_possible() -> bool:
    """Whether this system can make a process of a process: Windows cannot."""
    return hasattr(os, "fork")


def work_together(count: int, work: Work, on_ready: Callable[[], None]) -> None:
    """Do a work in so many processes, until a signal ends it; `on_ready` is called here once all of them are ready.

    Raises:
        PopreceiptError: what the first of them could not do, or that one ended by itself.
    """
    crew = _Crew(work)
    before = {number: signal.signal(number, crew.end) for number in _ENDING}
    try:
        for number in range(1, count + 1):
            crew.hire(number)
        if crew.are_ready():
            on_ready()
        crew.stay()
    finally:
        crew.end()
        crew.bury()
        for number, handler in before.items():
            signal.signal(number, handler)


class _Crew:
    """The processes, and what is known of each."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._hired = 0
        self._alive: dict[int, int] = {}
        self._news: list[int] = []
        self._is_ending = False
        # Nobody ever writes into it. It ends with this process, however that ends, and then the others end as well.
        self._life, self._lifeline = os.pipe()

    def hire(self, number: int) -> None:
        """Start one more process."""
        sys.stdout.flush()
        sys.stderr.flush()
        news, telling = os.pipe()
        # Until it has its own answer to signals, none may reach the new process: it would think that it is this one.
        held = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
        try:
            process = os.fork()
            if not process:
                for each in _ENDING:
                    signal.signal(each, signal.SIG_DFL)
                os.close(self._lifeline)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, held)
        if not process:
            self._be(number, telling)
        os.close(telling)
        self._news.append(news)
        self._alive[process] = number
        self._hired += 1

    def _be(self, number: int, telling: int) -> NoReturn:
        """Be one of the processes, to the end: nothing of what the first one has begun is ended here."""

        def tell(**news: Any) -> None:
            os.write(telling, json.dumps(news).encode() + b"\n")

        threading.Thread(target=self._end_with_the_first, daemon=True).start()
        status = FAULT
        try:
            self._work(number, lambda: tell(ready=True))
            status = 0
        except PopreceiptError as error:
            tell(error=str(error), status=error.exit_status)
            status = error.exit_status
        except BaseException:  # noqa: BLE001 - whatever it is, it is said, and this process ends here
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _end_with_the_first(self) -> None:
        os.read(self._life, 1)
        os.kill(os.getpid(), signal.SIGTERM)

    def are_ready(self) -> bool:
        """Wait until all are; false when they are ended before.

        Raises:
            PopreceiptError: what one of them cannot do.
        """
        for each in self._news:
            with os.fdopen(each, "rb") as news:
                line = news.readline()
            if self._is_ending:
                return False
            if not line:
                raise PopreceiptError("One of the processes ended before it was ready; what it said stands above.")
            told = json.loads(line)
            if "error" in told:
                raise _ERRORS.get(told["status"], PopreceiptError)(told["error"])
        return True

    def stay(self) -> None:
        """Wait until all have ended.

        Raises:
            PopreceiptError: one of them has ended by itself, or not well.
        """
        while self._alive:
            process, status = os.waitpid(-1, 0)
            number = self._alive.pop(process, None)
            code = os.waitstatus_to_exitcode(status)
            orderly = {0, *(-each for each in _ENDING)} if self._is_ending else ()
            if number is not None and code not in orderly:
                how = f"was ended by signal {-code}" if code < 0 else f"ended with status {code}"
                raise PopreceiptError(f"Process {number} of {self._hired} {how}. All of them are ended now.")

    def end(self, *_: object) -> None:
        """Ask all of them to end."""
        self._is_ending = True
        for process in tuple(self._alive):
            os.kill(process, signal.SIGTERM)

    def bury(self) -> None:
        """Wait until none is left."""
        while self._alive:
            process, _ = os.waitpid(-1, 0)
            self._alive.pop(process, None)
        os.close(self._life)
        os.close(self._lifeline)


_ERRORS: Final[dict[int, type[PopreceiptError]]] = {
    UsageError.exit_status: UsageError,
    NothingProved.exit_status: NothingProved,
}
