"""The k best rows of each of many targets, kept while batches of rows come."""

import threading

import numpy as np

from vicinal.sql.vectors import binary


class Best:
    """The k best rows of each target so far; batches may come from several threads.

    function   : as in Knn::<function>
    targets    : a column of byte strings
    descending : whether the largest values are the best
    places     : each row id's place in the order in which ties are kept; None where that is the row ids' own
    neighbours : whether rows without a distance are left out and NaN comes last; else they come as ORDER BY has them
    """

    def __init__(
        self,
        function: str,
        targets: binary.Strings,
        k: int,
        descending: bool,
        places: np.ndarray | None = None,
        neighbours: bool = False,
    ) -> None:
        self._function, self._targets, self._descending, self._k = function, targets, descending, k
        self._neighbours = neighbours
        self.rows = np.full((targets.n, k), -1, np.int64)
        self.notices: list[str] = []
        self._places = places
        self._keys = np.full((targets.n, k), np.inf)
        self._ties = np.full((targets.n, k), np.iinfo(np.int64).max)
        self._lock = threading.Lock()

    def add(self, rows: np.ndarray, strings: binary.Strings) -> None:
        """Measures a batch: row ids (n,), and their vectors as byte strings."""
        found, valid = binary.distances(self._function, strings, self._targets, all_pairs=True)
        keys = found.T.astype(np.float64)
        undefined, special = np.isnan(keys), ~np.isfinite(keys)
        if special.any():  # infinity comes after what is finite, and NaN after infinity
            keys[special] = np.nan_to_num(keys[special], nan=1e40, posinf=1e39, neginf=-1e39)
        if self._descending:
            keys = -keys
        missing = valid.T == 0
        if missing.any():  # NULL is first where the order ascends, and last where it descends
            keys[missing] = 1e41 if self._descending else -1e41
            self._notice(strings, missing)
        if self._neighbours:
            keys[undefined] = 1e40
            keys[missing] = np.nan  # below nothing, so never kept
        ties = rows if self._places is None else self._places[rows]
        worst = self._keys[:, -1]
        with self._lock:
            for target in np.flatnonzero((keys <= worst[:, None]).any(axis=1)):
                least, last = self._keys[target, -1], self._ties[target, -1]
                near = np.flatnonzero((keys[target] < least) | ((keys[target] == least) & (ties < last)))
                all_keys = np.concatenate([self._keys[target], keys[target, near]])
                all_ties = np.concatenate([self._ties[target], ties[near]])
                order = np.lexsort((all_ties, all_keys))[: self._k]
                self.rows[target] = np.concatenate([self.rows[target], rows[near]])[order]
                self._keys[target], self._ties[target] = all_keys[order], all_ties[order]

    def _notice(self, strings: binary.Strings, missing: np.ndarray) -> None:
        """Keeps a line about the first pair of vectors that have no distance."""
        for target in np.flatnonzero(missing.any(axis=1)):
            if not self.notices:
                one = self._targets.one(int(target))
                self.notices += binary.unlike(self._function, strings, one, missing[target])
