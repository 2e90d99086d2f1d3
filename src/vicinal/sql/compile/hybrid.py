"""ORDER BY HybridRank(...): full-text and vector rankings of one table, fused.

Each branch ranks the rows that pass WHERE and keeps the best of them, its pool. `rrf` adds weight / (K + rank) of each
branch, `linear` weight * score, the scores brought to 0 to 1 within the pool unless Normalize is false.
"""

from dataclasses import dataclass
from typing import Any

from vicinal.sql.catalog import FULLTEXT, VECTOR, Index
from vicinal.sql.compile import fulltext
from vicinal.sql.compile.conversion import Conversion
from vicinal.sql.compile.nodes import Column, Join, Name, Node, Phrase, Select, Word, both
from vicinal.sql.compile.values import Scope, Source
from vicinal.sql.compile.views import Probe, in_clusters
from vicinal.sql.parse.dialect import exp

NAME = "hybridrank"
FACTOR, K = 10, 60.0
_NAMED = ("Mode", "Weights", "K", "Normalize", "Indexes", "Limits")


@dataclass(frozen=True)
class Branch:
    """A ranking: its score, whether high scores are the best, and the condition that its index adds."""

    score: Node
    down: bool
    condition: Node | None


def call_of(node: Any) -> Any:
    """The call of HybridRank in a SELECT's ORDER BY, None where there is none."""
    order = node.args.get("order")
    if order is None or len(order.expressions) != 1:
        return None
    call = order.expressions[0].this
    named = isinstance(call, exp.Anonymous) and isinstance(call.this, str)
    return call if named and call.this.lower() == NAME else None


def fused(
    compiler: Conversion, call: Any, scope: Scope, where: Node | None, limit: int | None, probe: Probe
) -> tuple[Node, Node]:
    """The rows' fused scores as a table `h` to join, and the key of ORDER BY.

    Raises    SqlError where the call has another form, or an index is missing.
    """
    source = scope.sources[0] if len(scope.sources) == 1 else None
    if source is None or source.table is None or source.view is not None:
        raise compiler.error(call, "HybridRank takes FROM of one table, without VIEW and joins")
    scores = [one for one in call.expressions if not isinstance(one, exp.Alias)]
    named = {one.alias.lower(): one.this for one in call.expressions if isinstance(one, exp.Alias)}
    strange = next((one for one in named if one not in [name.lower() for name in _NAMED]), "")
    if len(scores) < 2 or strange:
        found = f"{strange} AS an argument" if strange else f"{len(scores)} scores"
        raise compiler.error(call, f"HybridRank takes two or more scores and {', '.join(_NAMED)}, found {found}")
    each = {name: _tuple(compiler, named.get(name), len(scores)) for name in ("weights", "indexes", "limits")}
    if limit is None and each["limits"] is None:
        raise compiler.error(call, "HybridRank needs LIMIT n, or (n, n) AS Limits")
    mode = str(_plain(compiler, named.get("mode"), "rrf")).lower()
    if mode not in ("rrf", "linear"):
        raise compiler.error(call, f'Mode: expected "rrf" or "linear", found {mode!r}')
    constant, scaled = float(_plain(compiler, named.get("k"), K)), bool(_plain(compiler, named.get("normalize"), True))
    parts: list[Node] = []
    for number, score in enumerate(scores):
        branch = _branch(compiler, score, scope, source, each["indexes"] and each["indexes"][number], probe)
        pool = each["limits"][number] if each["limits"] else FACTOR * (limit or 0)
        weight = float(each["weights"][number]) if each["weights"] else 1.0
        ranked = _ranked(source, branch, both(where, branch.condition), int(pool))
        parts.append(_weighed(ranked, branch, weight, constant if mode == "rrf" else None, scaled))
    union = Select([Word("r"), Word("sum(w) AS w")], Phrase(("(", Join(parts, " UNION ALL "), ")")), group=[Word("r")])
    return Phrase((" JOIN (", union, ") AS h ON h.r = t0.rowid")), Phrase((Column("h", "w"), " DESC NULLS LAST"))


def _ranked(source: Source, branch: Branch, where: Node | None, pool: int) -> Node:
    """The best rows of a branch: r, the score s and its rank p."""
    assert source.table is not None
    order = Join([Phrase((branch.score, " DESC NULLS LAST" if branch.down else " ASC NULLS LAST")), *source.key])
    place = Phrase(("row_number() OVER (ORDER BY ", order, ") AS p"))
    scores = Phrase((branch.score, " AS s"))
    table = Phrase((Name(source.table.physical), " AS t0"))
    rows = Select([Word("t0.rowid AS r"), scores, place], table, where)
    return Phrase(("(SELECT * FROM (", rows, f") WHERE p <= {pool} AND s IS NOT NULL)"))


def _weighed(ranked: Node, branch: Branch, weight: float, constant: float | None, scaled: bool) -> Node:
    """What a branch adds to each row of its pool: r, w."""
    if constant is not None:
        return Phrase((f"SELECT r, {weight!r} / ({constant!r} + p) AS w FROM ", ranked))
    if not scaled:
        return Phrase((f"SELECT r, {weight if branch.down else -weight!r} * s AS w FROM ", ranked))
    low, high = ("min", "max") if branch.down else ("max", "min")
    scale = f"CASE WHEN max(s) OVER () = min(s) OVER () THEN 1 ELSE (s - {low}(s) OVER ()) / "
    scale += f"({high}(s) OVER () - {low}(s) OVER ()) END"
    return Phrase((f"SELECT r, {weight!r} * ({scale}) AS w FROM ", ranked))


def _branch(compiler: Conversion, node: Any, scope: Scope, source: Source, index: Any, probe: Probe) -> Branch:
    """A score of the call as a branch."""
    name = str(node.this) if isinstance(node, exp.Anonymous) else ""
    table = source.table
    assert table is not None
    if name.lower() == "fulltextscore" and isinstance(node.expressions[0], exp.Column):
        column = node.expressions[0].name
        search = fulltext.Search(compiler, node, scope, _index(compiler, node, source, FULLTEXT[1:], column, index))
        score = search.score()
        return Branch(score, True, Phrase((score, " > 0")))
    columns = [one for one in node.expressions if isinstance(one, exp.Column)] if name.startswith("Knn::") else []
    if len(columns) != 1:
        raise compiler.error(node, "HybridRank takes FulltextScore(column, query) and Knn:: functions of one column")
    found = _index(compiler, node, source, (VECTOR,), columns[0].name, index)
    function = name.removeprefix("Knn::")
    if function not in found.functions:
        raise compiler.error(node, f"index {found.name} is for Knn::{' and Knn::'.join(found.functions)}")
    target = next(one for one in node.expressions if one is not columns[0])
    value = compiler.bytes(compiler.expression(target, Scope()), target)
    clusters = probe(table, found.name, value.value)
    score = compiler.expression(node, scope).node
    return Branch(score, function.endswith("Similarity"), in_clusters(found, "t0", clusters))


def _index(compiler: Conversion, node: Any, source: Source, kinds: tuple[str, ...], column: str, named: Any) -> Index:
    """The index of a branch: the one named, else the only one that fits."""
    assert source.table is not None
    fitting = [one for one in source.table.indexes.values() if one.kind in kinds and one.columns == (column,)]
    if named is not None:
        fitting = [one for one in fitting if one.name == named]
    if len(fitting) != 1:
        have = ", ".join(one.name for one in fitting) or "none"
        message = f"HybridRank needs one index of type {kinds[0]} on ({column}), found {have}"
        raise compiler.error(node, f"{message}; ADD INDEX makes one, (name, name) AS Indexes chooses")
    return fitting[0]


def _plain(compiler: Conversion, node: Any, default: Any) -> Any:
    """A literal's value."""
    if node is None:
        return default
    value = compiler.expression(node, Scope())
    if not value.known:
        raise compiler.error(node, f"HybridRank: expected a literal, found {value.kind} of unknown value")
    return value.value.decode("utf-8", "replace") if isinstance(value.value, bytes) else value.value


def _tuple(compiler: Conversion, node: Any, count: int) -> list[Any] | None:
    """A tuple of literals, one a branch."""
    if node is None:
        return None
    written = isinstance(node, exp.Tuple) or (isinstance(node, exp.Anonymous) and node.this == "AsTuple")
    parts = node.expressions if written else []
    if len(parts) != count:
        raise compiler.error(node, f"HybridRank: expected a tuple with one value a score, {count}, found {len(parts)}")
    return [_plain(compiler, one, None) for one in parts]
