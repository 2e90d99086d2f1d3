"""Answers from an engine's proposals: true distances, copies put back, filters.

    query -> engine: entries -> true distances, ranked by (distance, entry) -> copies put back -> rows

A filter that few rows match is answered by an exact scan of those rows; one that many match by the engine, and by the
scan again for each query for which the engine found too few. So each query always gets min(k, matches) rows. An engine
that is set to visit all entries is left out for the scan.
"""

from typing import Any, Protocol

import numpy as np

from vicinal.errors import DataError
from vicinal.indexes.codes import Decoded, error_of_codes
from vicinal.indexes.engine import Engine
from vicinal.indexes.entries import Entries
from vicinal.indexes.rows import Rows
from vicinal.indexes.scan import Scan
from vicinal.indexes.state import EngineState, IndexState
from vicinal.knn import memory
from vicinal.knn.blocks import nothing, padded
from vicinal.knn.copies import Copies
from vicinal.knn.measure import measured
from vicinal.knn.neighbors import RadiusNeighbors
from vicinal.locks import Mutex

SCAN_AT_MOST = 10_000  # a filter that no more rows match than this, or a tenth of all, is answered by an exact scan
FIRST_K = 64  # the first k of `within`
REBUILD_BELOW = 0.5  # an engine is built anew once fewer of its entries than this are live


class Backend(Protocol):
    """The part of an index that holds its rows and computes its answers."""

    @property
    def library(self) -> str:
        """The kernel or library that is searched, and its version."""
        ...

    @property
    def n_bytes(self) -> int:
        """The memory or size beside the vectors."""
        ...

    @property
    def n_entries(self) -> int:
        """The number of vectors that it holds."""
        ...

    @property
    def error(self) -> dict[str, float] | None:
        """How far its distances are off; None where they are true."""
        ...

    @property
    def changed_by_saving(self) -> bool:
        """Whether writing its files replaces what it has in memory, so that nothing may search it meanwhile."""
        ...

    def build(self) -> None:
        """Build it from the live rows."""
        ...

    def extend(self) -> None:
        """Add the rows that were appended."""
        ...

    def shrink(self) -> None:
        """Leave out rows that were removed."""
        ...

    def nearest(self, queries: np.ndarray, k: int, allowed: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Rows int64 and distances of each checked query, (n_queries, k), by (distance, row); -1 and inf for none."""
        ...

    def state(self) -> EngineState:
        """Return what a saved folder holds of it."""
        ...

    def restore(self, state: IndexState) -> None:
        """Restore a saved state; the rows are restored already."""
        ...

    def remember(self) -> Any:
        """What `go_back` needs to undo a change."""
        ...

    def go_back(self, remembered: Any) -> None:
        """Take back what a change did before it failed; the rows are back already."""
        ...

    def frozen(self) -> dict[str, Any]:
        """What a copy is made of; later changes leave it as it is."""
        ...

    def thaw(self, frozen: dict[str, Any]) -> None:
        """Become the copy; the rows are there already."""
        ...


class Proposals:
    """The backend of an index whose engine proposes entries."""

    def __init__(self, rows: Rows, engine: Engine) -> None:
        self._rows, self.engine = rows, engine
        self.entries = Entries(rows, engine.float64)
        self._scan = Scan(rows, engine.threads)
        self.error: dict[str, float] | None = None
        self._extensions = 0  # how often the engine was changed in its place
        self._half_changed = False  # whether such a change failed, so that the engine must be built again
        self._mending = Mutex()

    @property
    def library(self) -> str:
        """The library that is searched, and its version."""
        return self.engine.library

    @property
    def n_bytes(self) -> int:
        """The engine's memory or size beside the vectors."""
        return self.engine.n_bytes if self.entries.n else 0

    @property
    def n_entries(self) -> int:
        """The number of entries of the engine."""
        return self.entries.n

    @property
    def changed_by_saving(self) -> bool:
        """Whether writing its files replaces what the engine has in memory."""
        return self.engine.changed_by_saving

    def build(self) -> None:
        """Build the engine of the live rows, without their copies."""
        self.entries.build()
        self.error, self._half_changed = None, False
        self._scan.forget()
        if self.entries.n:
            n, dim = self.entries.n, self.entries.dim
            needed, remedy = self.engine.bytes_needed(n, dim), "take fewer rows, or an index of codes (ivfpq, pq)"
            memory.require(needed, f"{n} vectors of dim {dim} in this index", remedy)
            self.engine.build(self.entries)
        if self.engine.codes_only:
            if self.entries.n:
                self.error = error_of_codes(self._rows, self.entries, self.engine)
            self._rows.replace_vectors(Decoded(self.entries, self.engine, self._rows.n))

    def extend(self) -> None:
        """Add rows that were appended to the engine: those that are no copies of its entries."""
        first = self.entries.n
        if not first:
            self.build()
            return
        self._mended()
        self.entries.extend()
        self._scan.forget()
        if self.entries.n > first:
            self._extensions += 1
            self.engine.extend(self.entries, first)

    def shrink(self) -> None:
        """Skip removed rows; build the engine again once most of its entries are removed."""
        self.entries.forget_removed()
        # Codes must not be computed from decoded vectors.
        if not self.engine.codes_only and self.entries.share_live() < REBUILD_BELOW:
            self.build()

    def state(self) -> EngineState:
        """The entries and the engine, for a saved folder."""
        self._mended()
        entries, copies = self.entries, self.entries.copies
        alone = not copies.any and len(copies.first) == self._rows.n
        return EngineState(
            copies=None if alone else copies,
            centre=entries.centre,
            scale=entries.scale,
            error=self.error,
            write=self.engine.write if entries.n and self._rows.n_live else None,
        )

    def restore(self, state: IndexState) -> None:
        """Restore a saved state.

        Raises   DataError where the vectors are there and should not be, or the other way round, or the engine's files
                 do not fit
        """
        if self.engine.codes_only == (state.vectors is not None):
            found, keep = ("not there", True) if state.vectors is None else ("there", False)
            raise DataError(f"keep_vectors is {str(keep).lower()}, but vectors.npy is {found}; build the index again")
        if not self._rows.n_live:  # no engine was saved; `extend` builds one of what is added
            if self.engine.codes_only:
                self._rows.replace_vectors(Decoded(self.entries, self.engine, self._rows.n))
            return
        self.entries.restore(state.engine)
        self.engine.read(state.engine.files, self.entries)
        if self.engine.codes_only:
            self.error = state.engine.error
            self._rows.replace_vectors(Decoded(self.entries, self.engine, self._rows.n))

    # Changes that fail

    def remember(self) -> dict[str, Any]:
        """The entries and the engine, by references: only `Engine.extend` changes something in its place."""
        own = {name: vars(self)[name] for name in ("error", "_extensions", "_half_changed")}
        return {"entries": dict(vars(self.entries)), "engine": dict(vars(self.engine)), "own": own}

    def go_back(self, remembered: dict[str, Any]) -> None:
        """Take back a change; where the engine was changed in its place, it is built again when it is next used."""
        extended = self._extensions > remembered["own"]["_extensions"]
        vars(self.entries).update(remembered["entries"])
        vars(self.engine).update(remembered["engine"])
        vars(self).update(remembered["own"])
        self._half_changed = self._half_changed or extended
        self._scan.forget()

    def _mended(self) -> None:
        """Build the engine again where a change of it was interrupted."""
        if self._half_changed:
            with self._mending:
                if self._half_changed:
                    self.engine.build(self.entries)
                    self._half_changed = False

    def frozen(self) -> dict[str, Any]:
        """The entries, and the engine in a form that can be pickled."""
        self._mended()
        engine = self.engine.frozen() if self.entries.n else None
        return {"entries": self.entries.frozen(), "engine": engine, "error": self.error}

    def thaw(self, frozen: dict[str, Any]) -> None:
        """Take the entries and the engine of a copy."""
        vars(self.entries).update(frozen["entries"])
        if frozen["engine"] is not None:
            self.engine.thaw(frozen["engine"], self.entries)
        self.error = frozen["error"]
        if self.engine.codes_only and self._rows.n:
            self._rows.replace_vectors(Decoded(self.entries, self.engine, self._rows.n))

    # From a query to rows

    def nearest(self, queries: np.ndarray, k: int, allowed: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Rows int64 and distances of each query, (n_queries, k), by (distance, row); -1 and inf for none."""
        self._mended()
        n_matching = self._rows.n_live if allowed is None else int(np.count_nonzero(allowed))
        if not n_matching or not len(queries):
            return nothing(len(queries), k)
        if allowed is not None and (n_matching <= max(SCAN_AT_MOST, self._rows.n // 10) or 4 * k >= n_matching):
            return self._scan.nearest(queries, k, np.flatnonzero(allowed))
        if self.engine.visits_all(self.entries.n):
            return self._scan.nearest(queries, k, self._matching(allowed))
        copies, among = self.entries.groups(allowed)
        wanted = min(k, self.entries.n if among is None else int(np.count_nonzero(among)))
        indices, distances = self._ranked(queries, self._proposed(queries, wanted, among), wanted)
        if copies.any or self.entries.n < self._rows.n:
            indices, distances = self._with_copies(copies, indices, distances, k)
        else:
            indices, distances = padded(indices, distances, k)
        # An engine that visits a part of its entries may propose fewer than there are; an exact scan fills up.
        short = np.flatnonzero((indices >= 0).sum(axis=1) < min(k, n_matching))
        if len(short):
            indices[short], distances[short] = self._scan.nearest(queries[short], k, self._matching(allowed))
        return indices, distances

    def _matching(self, allowed: np.ndarray | None) -> np.ndarray:
        """The rows that may be found, ascending."""
        rows = self._rows.live() if allowed is None else np.flatnonzero(allowed)
        return np.arange(self._rows.n) if rows is None else rows

    def _entries_of(self, prepared: np.ndarray, k: int, among: np.ndarray | None) -> np.ndarray:
        """What the engine proposes; DataError where its file names an entry that does not exist."""
        proposed = self.engine.propose(prepared, k, among)
        if proposed.max(initial=-1) >= self.entries.n:
            named = f"the engine names entry {proposed.max()} of {self.entries.n}"
            raise DataError(f"{named}: its file is damaged; build the index again")
        return proposed

    def _proposed(self, queries: np.ndarray, wanted: int, among: np.ndarray | None) -> np.ndarray:
        """The engine's proposals, those alone that are among the entries that count."""
        prepared = self.entries.prepare(queries)
        if among is None or self.engine.filters:
            return self._entries_of(prepared, wanted, among)
        n_allowed = int(np.count_nonzero(among))
        more = min(len(among), 2 * wanted * len(among) // n_allowed + 16)
        proposed = self._entries_of(prepared, more, None)
        return np.where((proposed >= 0) & among[proposed], proposed, -1)

    def _with_copies(
        self, copies: Copies, indices: np.ndarray, distances: np.ndarray, k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rows in the place of entries, with their copies; most queries have none."""
        if self._rows.removed is not None or copies is not self.entries.copies or indices.shape[1] < k:
            return copies.expand(indices, distances, k)
        several = np.diff(copies.starts) > 1
        rows = np.where(indices < 0, -1, copies.first[indices])
        met = np.flatnonzero((several[indices] & (indices >= 0)).any(axis=1))
        if len(met):
            rows[met], distances[met] = copies.expand(indices[met], distances[met], k)
        return rows, distances

    def _ranked(self, queries: np.ndarray, proposed: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The k best of the proposed entries, by (true distance, entry); -1 and inf last."""
        distances = self._measured(queries, proposed)
        missing = proposed < 0
        if missing.any():
            last = np.iinfo(np.int64).max
            proposed = np.where(missing, last, proposed)
            order = np.lexsort((proposed, distances))[:, :k]
            proposed = np.take_along_axis(proposed, order, axis=1)
            distances = np.take_along_axis(distances, order, axis=1)
            return np.where(np.isinf(distances) & (proposed == last), -1, proposed), distances
        if proposed.shape[1] > k:
            order = np.lexsort((proposed, distances))[:, :k]
            return np.take_along_axis(proposed, order, axis=1), np.take_along_axis(distances, order, axis=1)
        # Most engines return them in order already; where they do not, in float64 or by ties, the query is sorted.
        loose = np.flatnonzero(~(distances[:, 1:] > distances[:, :-1]).all(axis=1))
        if len(loose):
            order = np.lexsort((proposed[loose], distances[loose]))
            proposed = proposed.copy()
            proposed[loose] = np.take_along_axis(proposed[loose], order, axis=1)
            distances[loose] = np.take_along_axis(distances[loose], order, axis=1)
        return proposed, distances

    def _measured(self, queries: np.ndarray, proposed: np.ndarray) -> np.ndarray:
        """The true distances of proposed entries, float64; inf where there is none."""
        entries, rows = self.entries, self._rows
        named = proposed if entries.n == rows.n else np.where(proposed < 0, -1, entries.rows[proposed])
        return measured(rows.metric, rows.vectors, queries, named, self.engine.threads, entries.inverse_lengths())


def within(
    backend: Backend, queries: np.ndarray, radius: float, allowed: np.ndarray | None, n_rows: int, metric: str
) -> RadiusNeighbors:
    """All rows at a distance of at most the radius that a backend finds, by searches with growing k.

    n_rows : the number of rows that there are at most
    """
    found: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    left, k = np.arange(len(queries)), FIRST_K
    while len(left):
        k = min(k, max(1, n_rows))
        indices, distances = backend.nearest(queries[left], k, allowed)
        inside = (indices >= 0) & (distances <= radius)
        done = ~inside[:, -1] | (k >= n_rows)
        for place in np.flatnonzero(done):
            found[int(left[place])] = indices[place][inside[place]], distances[place][inside[place]]
        left, k = left[~done], k * 4
    return RadiusNeighbors.of_rows([found[row] for row in range(len(queries))], metric)
