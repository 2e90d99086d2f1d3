"""Locks between threads: searches of an object run side by side, its changes alone.

`ReadWriteLock` is for an object that is searched and changed; `Mutex` for something that is made once, when it is first
needed. Both survive a fork: a child process has only the thread that forked, so it never waits for another one.
"""

import os
import threading
import weakref
from types import TracebackType
from typing import Any, Self

from vicinal.errors import UsageError


class Mutex:
    """A lock that one thread holds at a time; free in a forked child, and in a copy."""

    __slots__ = ("__weakref__", "_lock")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        _EVERY.add(self)

    def __enter__(self) -> Self:
        self._lock.acquire()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._lock.release()

    def __reduce__(self) -> Any:
        return Mutex, ()

    def after_fork(self) -> None:
        """Make the lock anew: the thread that held it is not in the child."""
        self._lock = threading.Lock()


class ReadWriteLock:
    """A readers-writer lock: any number of threads read at a time, or one changes.

    Use `with lock.reading:` and `with lock.changing:`. Both may be nested in a thread that already reads or changes,
    but for a change within a reading, which could never begin and is refused. A thread that waits to change goes before
    threads that begin to read, so that a stream of searches cannot keep a change waiting for ever.

    A child process that was forked while another thread was changing the object holds a half-changed object: there,
    both raise UsageError. A copy, by `copy` or `pickle`, is a free lock.

    Parameters
    ----------
    what : str
        What it protects, for messages: "this index".

    Examples
    --------
    >>> lock = ReadWriteLock("this index")
    >>> with lock.reading:
    ...     with lock.changing:
    ...         pass
    Traceback (most recent call last):
    vicinal.errors.UsageError: this index cannot be changed by a thread that is reading it, such as from a progress \
callback of its own search; change it after that call has returned
    """

    __slots__ = (
        "__weakref__",
        "_broken",
        "_depth",
        "_free",
        "_owner",
        "_readers",
        "_waiting",
        "_what",
        "changing",
        "reading",
    )

    def __init__(self, what: str = "this object") -> None:
        self._what, self._broken = what, False
        self._free = threading.Condition(threading.Lock())
        self._readers: dict[int, int] = {}  # how often each reading thread has entered
        self._owner: int | None = None  # the thread that changes
        self._depth = self._waiting = 0
        self.reading, self.changing = _Reading(self), _Changing(self)
        _EVERY.add(self)

    def __reduce__(self) -> Any:
        return ReadWriteLock, (self._what,)

    def after_fork(self) -> None:
        """Leave only what the thread that forked holds."""
        me = threading.get_ident()
        self._free = threading.Condition(threading.Lock())
        self._readers = {me: self._readers[me]} if me in self._readers else {}
        self._broken = self._broken or self._owner not in (None, me)
        self._owner, self._waiting = (me if self._owner == me else None), 0

    def _check(self) -> None:
        if self._broken:
            raise UsageError(
                f"{self._what} was being changed by another thread when this process was forked, so that it is half "
                "changed here; load or build it in this process, or fork when no thread changes it"
            )

    def start_reading(self) -> None:
        """Wait until no other thread changes the object, or waits to."""
        me = threading.get_ident()
        with self._free:
            if self._owner != me and me not in self._readers:
                while self._owner is not None or self._waiting:
                    self._free.wait()
            self._check()
            self._readers[me] = self._readers.get(me, 0) + 1

    def stop_reading(self) -> None:
        """Let a waiting change begin, if this was the last reader."""
        me = threading.get_ident()
        with self._free:
            left = self._readers[me] - 1
            if left:
                self._readers[me] = left
            else:
                del self._readers[me]
                if self._waiting and not self._readers:
                    self._free.notify_all()

    def start_changing(self) -> None:
        """Wait until no other thread reads or changes the object."""
        me = threading.get_ident()
        with self._free:
            self._check()
            if self._owner != me:
                if me in self._readers:
                    raise UsageError(
                        f"{self._what} cannot be changed by a thread that is reading it, such as from a progress "
                        "callback of its own search; change it after that call has returned"
                    )
                self._waiting += 1
                try:
                    while self._owner is not None or self._readers:
                        self._free.wait()
                finally:
                    self._waiting -= 1
                    self._free.notify_all()  # where Ctrl-C ended the wait, readers need not wait for it any longer
                self._owner = me
            self._depth += 1

    def stop_changing(self) -> None:
        """Let the others go on."""
        with self._free:
            self._depth -= 1
            if not self._depth:
                self._owner = None
                self._free.notify_all()


class _Reading:
    """`with lock.reading:`"""

    __slots__ = ("_lock",)

    def __init__(self, lock: ReadWriteLock) -> None:
        self._lock = lock

    def __enter__(self) -> None:
        self._lock.start_reading()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._lock.stop_reading()


class _Changing:
    """`with lock.changing:`"""

    __slots__ = ("_lock",)

    def __init__(self, lock: ReadWriteLock) -> None:
        self._lock = lock

    def __enter__(self) -> None:
        self._lock.start_changing()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._lock.stop_changing()


_EVERY: "weakref.WeakSet[Mutex | ReadWriteLock]" = weakref.WeakSet()


def _free_all_in_child() -> None:
    for lock in list(_EVERY):
        lock.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_free_all_in_child)
