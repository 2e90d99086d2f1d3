"""What the connections to one database have in common: the turn, the catalog, the trees of indexes, the commits.

Transactions are snapshots of DuckDB's. One that has written is committed only where no table that it read was changed
by another transaction since it began; with this check they are serializable.
"""

import functools
import threading
from collections import deque
from dataclasses import dataclass, field

from vicinal.sql.catalog import Table
from vicinal.sql.parse.grammar import parse
from vicinal.sql.vectors import trees

REMEMBERED = 4096  # commits


@dataclass(eq=False)
class Footprint:
    """The tables that a transaction has read and changed, and the number of commits when it began."""

    since: int
    read: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)


class Shared:
    """The common part of a database's connections; `free` guards all of it."""

    def __init__(self) -> None:
        self.free = threading.Condition(threading.RLock())
        self.parse = functools.lru_cache(maxsize=256)(parse)
        self.tables: dict[str, Table] | None = None
        self.registered: dict[str, Table] = {}
        self.forests: dict[tuple[str, str], trees.Forest] = {}
        self._commits = 0
        self._changes: deque[tuple[int, frozenset[str]]] = deque(maxlen=REMEMBERED)

    def began(self) -> Footprint:
        """The footprint of a transaction that begins."""
        return Footprint(self._commits)

    def changed_meanwhile(self, footprint: Footprint) -> list[str]:
        """The tables that a transaction which has written read before another one changed them."""
        if not footprint.changed or not footprint.read:
            return []
        later = [tables for number, tables in self._changes if number > footprint.since]
        if self._commits - footprint.since > len(later):  # some are no longer remembered
            return sorted(footprint.read)
        return sorted(footprint.read & set().union(*later))

    def committed(self, changed: set[str]) -> None:
        """Takes note of a commit."""
        if changed:
            self._commits += 1
            self._changes.append((self._commits, frozenset(changed)))
