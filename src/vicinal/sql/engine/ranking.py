"""Many targets in one statement.

A join of a table with a table of targets, ranked within each target and cut to the first few, has as many pairs as the
product of the two, and needs almost none of them. Where a statement has that form,

    SELECT ... FROM (
        SELECT ..., ROW_NUMBER() OVER (PARTITION BY t.id ORDER BY Knn::Distance(f.embedding, t.embedding)) AS place
        FROM Facts AS f CROSS JOIN Targets AS t WHERE ...
    ) WHERE place <= k

one pass over the facts measures each against all targets at once and keeps the k best of each; the statement then runs
on those pairs alone. The answer is the statement's own, because a row beyond a target's k best has a place beyond k.
"""

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np

from vicinal.sql.catalog import Table, quoted
from vicinal.sql.compile.conversion import next_target
from vicinal.sql.compile.expressions import Deferred, Scope, Source
from vicinal.sql.compile.functions import DISTANCES
from vicinal.sql.compile.lowering import Lowering
from vicinal.sql.parse.query_grammar import exp, start_of
from vicinal.sql.parse.statements import Name
from vicinal.sql.vectors import binary

MOST_TARGETS = 4096
MOST_PLACES = 1024

# The searches that are running, by the numbers that stand for them in their statements.
_running: dict[int, "Best"] = {}


class Best:
    """The k best rows of each target so far; batches come from several threads.

    targets : a column of byte strings
    down    : whether high is best
    """

    def __init__(self, function: str, targets: binary.Strings, k: int, down: bool) -> None:
        self._function, self._targets, self._down, self._k = function, targets, down, k
        self.rows = np.full((targets.n, k), -1, np.int64)
        self._keys = np.full((targets.n, k), np.inf)
        self._lock = threading.Lock()

    def add(self, rows: np.ndarray, strings: binary.Strings) -> None:
        """Measures a batch."""
        found, valid = binary.distances(self._function, strings, self._targets, all_pairs=True)
        keys = found.T.astype(np.float64)
        special = ~np.isfinite(keys)
        if special.any():  # infinity comes after what is finite, and NaN after infinity
            keys[special] = np.nan_to_num(keys[special], nan=1e40, posinf=1e39, neginf=-1e39)
        if self._down:
            keys = -keys
        missing = valid.T == 0
        if missing.any():  # NULL is first where the order ascends, and last where it descends
            keys[missing] = 1e41 if self._down else -1e41
        worst = self._keys[:, -1]
        with self._lock:
            for target in np.flatnonzero((keys < worst[:, None]).any(axis=1)):
                near = np.flatnonzero(keys[target] < self._keys[target, -1])
                all_keys = np.concatenate([self._keys[target], keys[target, near]])
                order = np.argsort(all_keys, kind="stable")[: self._k]
                self.rows[target] = np.concatenate([self.rows[target], rows[near]])[order]
                self._keys[target] = all_keys[order]


def measure(rows: Any, strings: Any, number: Any) -> Any:
    """The function that DuckDB calls with each batch."""
    import pyarrow

    _running[number[0].as_py()].add(rows.to_numpy(), binary.Strings(strings))
    return pyarrow.array(np.zeros(len(rows), np.int32))


@dataclass
class Ranking:
    """A statement of that form: the inner SELECT, its tables as (alias, table, embedding column), what to keep."""

    select: Any
    inner: Any
    facts: tuple[str, Table, str]
    targets: tuple[str, Table, str]
    function: str
    k: int
    down: bool
    conditions: dict[str, list[Any]]

    def run(self, database: Any, low: Lowering) -> Any:
        """The statement's rows."""
        import pyarrow

        targets = self._scan(database, low, self.targets, "t0.rowid AS r", None)
        rowids = targets.column(0).to_numpy()
        if not 0 < len(rowids) <= MOST_TARGETS:
            return database.rows(low.select(self.select), low)
        best = Best(self.function, binary.Strings(targets.column(1)), self.k, self.down)
        self._scan(database, low, self.facts, "", best)
        kept = best.rows >= 0
        pairs = pyarrow.table(
            {"f": best.rows[kept], "t": np.broadcast_to(rowids[:, None], best.rows.shape)[kept].astype(np.int64)}
        )
        with database.registered("~pairs", pairs):
            at = {self.facts[0]: "f", self.targets[0]: "t"}
            low.pairs = id(self.inner), at
            return database.rows(low.select(self.select), low)

    def _scan(self, database: Any, low: Lowering, side: tuple[str, Table, str], columns: str, best: Best | None) -> Any:
        alias, table, embedding = side
        inner = low.fresh()
        known = [(one.name, f"t0.{quoted(one.physical)}", one.kind) for one in table.columns.values()]
        scope = Scope([Source(alias, known, table)])
        wheres = [inner.condition(inner.expression(one, scope), one) for one in self.conditions[alias]]
        where = f" WHERE {' AND '.join(wheres)}" if wheres else ""
        column = f"t0.{quoted(table.columns[embedding].physical)}"
        source = f"FROM {quoted(table.physical)} AS t0{where}"
        if best is None:
            return database.arrow(f"SELECT {columns}, {column} {source}", inner)
        number = next_target()
        _running[number] = best
        try:
            return database.arrow(f"SELECT sum(knn_measure(t0.rowid, {column}, {number})) {source}", inner)
        finally:
            del _running[number]


def plan(low: Lowering, select: Any) -> Ranking | None:
    """The statement's plan, None where it is not of that form."""
    if not isinstance(select, exp.Select) or select.args.get("from_") is None or select.args.get("where") is None:
        return None
    inner = _inner(low, select.args["from_"].this)
    if select.args.get("joins") or inner is None:
        return None
    sides = _sides(low, inner)
    windows = [one for item in inner.expressions for one in item.find_all(exp.Window)]
    if sides is None or len(windows) != 1:  # another window would miss the pairs that are left out
        return None
    for item in inner.expressions:
        window = item.this if isinstance(item, exp.Alias) else None
        if isinstance(window, exp.Window):
            k = _places(select.args["where"].this, item.alias)
            found = k is not None and _ranked(inner, window, sides)
            if found:
                function, down, facts, targets = found
                conditions = _split(inner.args.get("where"), sides)
                if conditions is None or k is None or k > MOST_PLACES:
                    return None
                return Ranking(select, inner, facts, targets, function, k, down, conditions)
    return None


def _inner(low: Lowering, source: Any) -> Any:
    """The SELECT below: in parentheses, or a name's."""
    if isinstance(source, exp.Table) and source.name.startswith("$"):
        found = low.names.get(source.name[1:])
        node = found.node if isinstance(found, Deferred) else None
    else:
        node = source.this if isinstance(source, exp.Subquery) else None
    while isinstance(node, exp.Subquery):
        node = node.this
    if not isinstance(node, exp.Select):
        return None
    plain = ("group", "having", "order", "limit", "offset", "distinct")
    return None if any(node.args.get(key) for key in plain) else node


def _sides(low: Lowering, inner: Any) -> dict[str, Table] | None:
    """The two tables of the join by alias."""
    joins = inner.args.get("joins") or []
    if inner.args.get("from_") is None or len(joins) != 1:
        return None
    join = joins[0]
    if join.args.get("on") is not None or join.args.get("using") or join.args.get("side"):
        return None
    if str(join.args.get("kind") or "").upper() not in ("", "CROSS"):
        return None
    found: dict[str, Table] = {}
    for node in (inner.args["from_"].this, join.this):
        if not isinstance(node, exp.Table) or node.name.startswith("$") or "view" in node.meta:
            return None
        alias = node.args.get("alias")
        found[alias.name if alias is not None else node.name] = low.table(Name(node.name, start_of(node.this)))
    return found if len(found) == 2 else None


def _owner(column: Any, sides: dict[str, Table]) -> str | None:
    """The alias whose column it is."""
    if column.table:
        return column.table if column.table in sides and column.name in sides[column.table].columns else None
    having = [alias for alias, table in sides.items() if column.name in table.columns]
    return having[0] if len(having) == 1 else None


def _places(where: Any, name: str) -> int | None:
    """k, where one of the conditions is that the column is at most k."""
    for one in _conjuncts(where):
        if isinstance(one, exp.LTE | exp.LT | exp.EQ) and isinstance(one.this, exp.Column) and one.this.name == name:
            number = one.expression
            if isinstance(number, exp.Literal) and not number.args["is_string"] and number.this.isdigit():
                k = int(number.this) - isinstance(one, exp.LT)
                return k if k > 0 else None
    return None


def _conjuncts(node: Any) -> list[Any]:
    while isinstance(node, exp.Paren):
        node = node.this
    return _conjuncts(node.this) + _conjuncts(node.expression) if isinstance(node, exp.And) else [node]


def _ranked(inner: Any, window: Any, sides: dict[str, Table]) -> Any:
    """The distance, its direction and the two sides that a window ranks by."""
    if not isinstance(window.this, exp.Anonymous) or str(window.this.this).lower() != "row_number":
        return None
    about = window
    if window.args.get("alias") is not None:
        about = next((one for one in inner.args.get("windows") or [] if one.name == window.args["alias"].name), None)
    order = about.args.get("order") if about is not None else None
    partition = (about.args.get("partition_by") or []) if about is not None else []
    if order is None or len(order.expressions) != 1 or not partition:
        return None
    if not all(isinstance(one, exp.Column) for one in partition):
        return None
    owners = {_owner(one, sides) for one in partition}
    call = order.expressions[0].this
    function = str(call.this).removeprefix("Knn::") if isinstance(call, exp.Anonymous) else ""
    target = owners.pop()
    if owners or target is None or function not in DISTANCES or len(call.expressions) != 2:
        return None
    if not set(sides[target].key) <= {one.name for one in partition}:
        return None
    if not all(isinstance(one, exp.Column) for one in call.expressions):
        return None
    columns = {_owner(one, sides) or "": one.name for one in call.expressions}
    if set(columns) != set(sides):
        return None
    kinds = [sides[alias].columns[name].kind.name for alias, name in columns.items()]
    if kinds != ["String", "String"]:
        return None
    fact = next(alias for alias in sides if alias != target)
    down = bool(order.expressions[0].args.get("desc"))
    return function, down, (fact, sides[fact], columns[fact]), (target, sides[target], columns[target])


def _split(where: Any, sides: dict[str, Table]) -> dict[str, list[Any]] | None:
    """Each table's conditions; None where one is about both, or about neither."""
    found: dict[str, list[Any]] = {alias: [] for alias in sides}
    if where is None:
        return found
    for one in _conjuncts(where.this):
        owners = {_owner(column, sides) for column in one.find_all(exp.Column)}
        owner = owners.pop() if len(owners) == 1 else None
        if owner is None or any(one.find_all(exp.Select)):
            return None
        found[owner].append(one)
    return found
