"""Ctrl-C while DuckDB runs: a thread of its own interrupts the query.

Python runs a signal's handler in the main thread between two of its instructions, and the main thread is inside DuckDB
until the query ends. The signal's number is therefore also written to a pipe; a thread that waits for it calls
`interrupt` of the connection, and the query ends with an error at once.
"""

import os
import signal
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

_END = b"\0"  # no signal has this number


class Watch:
    """The pipe and the thread that reads it; made when the first query runs in the main thread."""

    def __init__(self) -> None:
        self._process = 0  # in which the thread runs: a forked child has none
        self._write = -1
        self._running: dict[str, Any] = {}  # the thread holds this alone, so that the connection can be freed

    def _begin(self) -> None:
        self._process, self._running = os.getpid(), {}
        read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        threading.Thread(target=_wait, args=(read, self._running), name="vicinal-interrupt", daemon=True).start()
        weakref.finalize(self, _end, self._write)

    @contextmanager
    def interruptible(self, connection: Any) -> Iterator[None]:
        """Runs a block whose query Ctrl-C ends with KeyboardInterrupt.

        Other threads than the main one, and programs with a handler of their own, are left as they are.
        """
        main = threading.current_thread() is threading.main_thread()
        if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            yield
            return
        if self._process != os.getpid():
            self._begin()
        running = self._running
        running.update(connection=connection, fired=False)
        before = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        try:
            yield
        except Exception:
            if running["fired"]:
                raise KeyboardInterrupt from None
            raise
        finally:
            signal.set_wakeup_fd(before)
            running["connection"] = None


def _wait(pipe: int, running: dict[str, Any]) -> None:
    """Interrupts the running query at each SIGINT, until the end is written."""
    while _END not in (numbers := os.read(pipe, 64)):
        connection = running.get("connection")
        if signal.SIGINT in numbers and connection is not None:
            running["fired"] = True
            with suppress(Exception):  # a connection that was closed meanwhile
                connection.interrupt()
    os.close(pipe)


def _end(pipe: int) -> None:
    """Ends the thread and closes its pipe."""
    with suppress(OSError):
        os.write(pipe, _END)
        os.close(pipe)
