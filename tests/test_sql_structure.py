"""The parts of vicinal.sql: no import cycle, no state that two databases share, SQL from nodes."""

import ast
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vicinal.sql
from vicinal.errors import UsageError
from vicinal.sql.compile.nodes import Call, Cast, Column, Operation, Parameter, Reference, Select, Window, over, written

HOME = Path(vicinal.sql.__file__).parent


def name_of(path: Path) -> str:
    parts = path.relative_to(HOME.parent.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path, modules: set[str]) -> Iterator[str]:
    """The modules that a file imports anywhere: in functions and for types, too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            source = node.module or ""
            for name in node.names:
                yield f"{source}.{name.name}" if f"{source}.{name.name}" in modules else source
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


def cycle(graph: dict[str, set[str]]) -> list[str]:
    """A cycle of a graph, empty where there is none."""
    done: set[str] = set()

    def search(at: str, path: list[str]) -> list[str]:
        if at in path:
            return path[path.index(at) :]
        if at in done:
            return []
        for after in sorted(graph[at]):
            found = search(after, [*path, at])
            if found:
                return found
        done.add(at)
        return []

    return next((found for one in sorted(graph) if (found := search(one, []))), [])


def test_a_cycle_is_found_and_no_cycle_is_not() -> None:
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c"]
    assert cycle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_no_module_of_sql_imports_itself_through_others() -> None:
    files = {name_of(path): path for path in HOME.rglob("*.py")}
    graph = {name: set(imported(path, set(files))) & set(files) - {"vicinal.sql"} for name, path in files.items()}
    assert sum(map(len, graph.values())) > 50
    assert cycle(graph) == []


# Each part, and the parts that it may import.
LAYERS = (
    "faults",
    "words",
    "vectors",
    "parse",
    "types",
    "catalog",
    "compile",
    "rows",
    "engine",
    "loading",
    "database",
    "io",
    "ydb",
    "server",
    "serving",
)


def test_each_part_imports_those_before_it() -> None:
    modules = {name_of(path) for path in HOME.rglob("*.py")}
    for path in HOME.rglob("*.py"):
        part = path.relative_to(HOME).parts[0].removesuffix(".py")
        if part in LAYERS:
            for module in imported(path, modules):
                other = module.removeprefix("vicinal.sql.").split(".")[0]
                if module.startswith("vicinal.sql.") and other != part:
                    assert LAYERS.index(other) < LAYERS.index(part), f"{path.name} imports {module}"


def test_no_module_of_sql_keeps_state_of_its_own() -> None:
    """A name in lower case at the top of a module is what changes; constants are in capitals and never written to."""
    for path in HOME.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {
            target.id: node
            for node in tree.body
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(tree):
            assert not isinstance(node, ast.Global), path
            if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
                assert not (isinstance(node.value, ast.Name) and node.value.id in names), f"{path.name}:{node.lineno}"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                changes = node.func.attr in ("append", "add", "update", "setdefault", "pop", "clear", "extend")
                held = isinstance(node.func.value, ast.Name) and node.func.value.id in names
                assert not (changes and held), f"{path.name}:{node.lineno}"
        for name, node in names.items():
            made = ast.unparse(node.value) if node.value is not None else ""
            assert not any(word in made for word in ("lru_cache", "itertools.count", "defaultdict")), f"{path}: {name}"


FACTS = """CREATE TABLE Facts (id Uint64, e String, PRIMARY KEY (id));
CREATE TABLE Targets (id Uint64, e String, PRIMARY KEY (id))"""
NEAREST = "SELECT id FROM Facts ORDER BY Knn::EuclideanDistance(e, $q) LIMIT 3"
RANKED = """SELECT target, id FROM (
    SELECT t.id AS target, f.id AS id,
        ROW_NUMBER() OVER (PARTITION BY t.id ORDER BY Knn::EuclideanDistance(f.e, t.e)) AS place
    FROM Facts AS f CROSS JOIN Targets AS t) WHERE place <= 2 ORDER BY target, place"""


def filled(offset: int) -> vicinal.sql.Database:
    """2,000 facts whose vectors are their numbers, of which `offset` is the first, and three targets."""
    db = vicinal.sql.Database(threads=2)
    db.execute(FACTS)
    rows = ", ".join(f"({one}, Knn::ToBinaryString([{one}.f]))" for one in range(offset, offset + 2000))
    db.execute(f"INSERT INTO Facts (id, e) VALUES {rows}")
    for number, value in enumerate((0.0, 999.9, 1999.2)):
        db.execute("INSERT INTO Targets (id, e) VALUES ($i, $v)", {"i": number, "v": [offset + value]})
    return db


def test_two_databases_at_the_same_time_share_nothing() -> None:
    """Each thread asks its own database; a target or a search of the other would give the other's rows."""
    offsets, wrong = (0, 100_000), []
    databases = [filled(offset) for offset in offsets]

    def ask(db: vicinal.sql.Database, offset: int) -> None:
        for number in range(40):
            near = [row[0] - offset for row in db.execute(NEAREST, {"q": [offset + 50.0 * number + 0.2]})]
            ranked = [(target, row - offset) for target, row in db.execute(RANKED)]
            expected = [(0, 0), (0, 1), (1, 1000), (1, 999), (2, 1999), (2, 1998)]
            if near != [50 * number, 50 * number + 1, max(50 * number - 1, 2 * (number == 0))] or ranked != expected:
                wrong.append((offset, number, near, ranked))

    threads = [threading.Thread(target=ask, args=pair) for pair in zip(databases, offsets, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    a, b = databases
    assert a._shared is not b._shared and a._connection._references is not b._connection._references
    assert a._connection._references == b._connection._references == {}  # nothing stays after a statement
    for db in databases:
        db.close()


def test_a_file_that_is_open_in_this_process_is_refused(tmp_path: Path) -> None:
    with vicinal.sql.Database(tmp_path / "t.db") as db:
        db.execute(FACTS)
        with pytest.raises(UsageError, match=r"t\.db: is open in this process already"):
            vicinal.sql.Database(tmp_path / "t.db")
        assert list(db.execute("SELECT id FROM Facts")) == []
    vicinal.sql.Database(tmp_path / "t.db").close()


def test_a_closed_database_says_so(tmp_path: Path) -> None:
    for path in (":memory:", str(tmp_path / "t.db"), str(tmp_path / "new.db")):
        db = vicinal.sql.Database(path)
        if not path.endswith("new.db"):
            db.execute(FACTS)
        db.close()
        db.close()
        for statement in ("SELECT 1", "CREATE TABLE U (id Int32, PRIMARY KEY (id))", "BEGIN"):
            with pytest.raises(UsageError, match="this database was closed; open it again"):
                db.execute(statement)
    assert not (tmp_path / "new.db").exists()


# SQL from nodes.


def test_equal_values_share_a_parameter_and_a_statement_numbers_its_own() -> None:
    one, two = Parameter("a", "VARCHAR"), Parameter("b", "VARCHAR")
    found = written(Select([one, two, one, Cast(Reference(b"v"), "INTEGER"), Reference(b"w"), Reference(b"v")]))
    assert found.sql == (
        "SELECT CAST($1 AS VARCHAR), CAST($2 AS VARCHAR), CAST($1 AS VARCHAR), CAST(1 AS INTEGER), 2, 1"
    )
    assert (found.values, found.references) == (["a", "b"], {1: b"v", 2: b"w"})


def test_a_window_goes_to_the_call_within_a_cast() -> None:
    call = Cast(Call("count", [Column("t0", "id")], rows=True), "UBIGINT")
    windowed = over(call, Window([Column("t0", 'a "b"')]))
    assert windowed is not None
    assert written(windowed).sql == 'CAST(count(t0."id") OVER (PARTITION BY t0."a ""b""") AS UBIGINT)'
    assert over(Operation("+", [Column("t0", "id")]), Window()) is None


def values(statement: str, **parameters: Any) -> list[Any]:
    with vicinal.sql.connect() as db:
        db.execute("CREATE TABLE T (id Int32, s Utf8, PRIMARY KEY (id))")
        db.execute('INSERT INTO T (id, s) VALUES (1, "ab"), (7, "cde")')
        return list(db.execute(statement, parameters))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        # The branches are the same for all rows, the condition is not.
        ('Length(CASE WHEN id > 5 THEN "a" ELSE "bb" END)', [(2,), (1,)]),
        ('Length(IF(id > 5, "a", "bb"))', [(2,), (1,)]),
        # The list is the same for all rows, what the lambda adds is not.
        (
            "Knn::FloatFromBinaryString(Knn::ToBinaryStringFloat($f(CAST(id AS Float))))",
            [([2.0, 3.0],), ([8.0, 9.0],)],
        ),
        ('ListMap(["a", "bbb"], ($x) -> (Length($x)))', [([1, 3],), ([1, 3],)]),
        ("ListMap([1, 2], ($x) -> (ListMap([3], ($y) -> ($x + $y))))", [([[4], [5]],), ([[4], [5]],)]),
    ],
)
def test_what_differs_from_row_to_row_is_not_computed_once(expression: str, expected: list[Any]) -> None:
    names = "$f = ($c) -> (ListMap([1.f, 2.f], ($x) -> ($x + $c)));"
    assert values(f"{names} SELECT {expression} AS v FROM T ORDER BY id") == expected


def test_a_named_join_with_targets_keeps_the_values_that_it_was_written_with() -> None:
    """The plan for many targets reads the conditions of a SELECT before the SELECT itself runs."""
    named = RANKED.partition("FROM (")[2].partition(") WHERE")[0]
    db = filled(0)
    found = db.execute(
        f"$most = 500ul; $pairs = {named} WHERE f.id < $most; $most = 10ul; "
        "SELECT target, id FROM $pairs WHERE place <= 1 ORDER BY target"
    )
    assert list(found) == [(0, 0), (1, 499), (2, 499)]
    db.close()


def test_a_failure_in_a_transaction_is_said_as_it_is() -> None:
    """What clears away after a failed statement fails, too; the first error is the one that counts."""
    db = filled(0)
    db.execute("BEGIN; INSERT INTO Targets (id, e) VALUES (9, Knn::ToBinaryString([1.f]))")
    with pytest.raises(UsageError, match="Unwrap: found NULL"):
        broken = RANKED.replace("AS place", "AS place, Unwrap(IF(f.id >= 0, NULL, f.id)) AS u")
        db.execute(broken.replace("SELECT target, id", "SELECT target, id, u"))
    db.execute("ROLLBACK")
    assert [row[0] for row in db.execute("SELECT id FROM Targets ORDER BY id")] == [0, 1, 2]
    db.close()


def test_vectors_of_parameters_are_targets(tmp_path: Path) -> None:
    db = filled(0)
    assert [row[0] for row in db.execute(NEAREST, {"q": np.array([5.0], np.float32)})] == [5, 4, 6]
    db.close()
