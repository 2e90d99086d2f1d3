"""What a user trusts a database with: whole statements, no reach outside, no change where none is allowed."""

import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest

import vicinal.sql
from vicinal.errors import DataError, UsageError
from vicinal.knn import memory
from vicinal.sql import Database
from vicinal.sql.faults import SqlError
from vicinal.sql.vectors import binary
from workplace import start

# A hundred statements of several rows each; the child names each once the database has it. Those from the fortieth on
# are long, so that the kill comes in the middle of them.
WRITER = """
import vicinal.sql
db = vicinal.sql.connect("k.db")
for statement in range(100):
    rows = ", ".join(
        f"({1000 * statement + row}, {statement}, Knn::ToBinaryString([1.f, {row}.f]))"
        for row in range(5 if statement < 40 else 400)
    )
    db.execute(f"UPSERT INTO T (id, statement, e) VALUES {rows}")
    print(statement, flush=True)
"""


@pytest.mark.parametrize("indexed", [False, True])
def test_a_kill_leaves_whole_statements_only(tmp_path: Path, indexed: bool) -> None:
    with vicinal.sql.connect(tmp_path / "k.db") as db:
        db.execute("CREATE TABLE T (id Uint64, statement Int32, e String, PRIMARY KEY (id))")
        if indexed:
            db.execute("UPSERT INTO T (id, statement, e) VALUES (999999, -1, Knn::ToBinaryString([1.f, 2.f]))")
            db.execute(
                "ALTER TABLE T ADD INDEX i GLOBAL USING vector_kmeans_tree ON (e) "
                'WITH (distance=cosine, vector_type="float", vector_dimension=2, levels=1, clusters=2)'
            )
    with start(WRITER, cwd=tmp_path) as child:
        assert child.stdout is not None and child.stderr is not None
        seen: list[int] = []
        while len(seen) <= 40:
            line = child.stdout.readline()
            assert line, child.stderr.read()
            seen.append(int(line))
        child.kill()
        rest = [int(line) for line in child.stdout.read().split()]
    assert child.returncode == -signal.SIGKILL
    finished = len(seen) + len(rest)
    assert seen + rest == list(range(finished)) and finished < 100  # killed in the middle
    with vicinal.sql.connect(tmp_path / "k.db") as db:
        rows = list(
            db.execute(
                "SELECT statement, COUNT(*) AS n FROM T WHERE statement >= 0 GROUP BY statement ORDER BY statement"
            )
        )
        assert rows == [(one, 5 if one < 40 else 400) for one in range(len(rows))]
        assert finished <= len(rows) <= finished + 1
        db.execute("UPSERT INTO T (id, statement) VALUES (7000, 7)")


def test_transactions(tmp_path: Path) -> None:
    with vicinal.sql.connect(tmp_path / "t.db") as db:
        db.execute("CREATE TABLE T (id Int32, PRIMARY KEY (id))")

        def ids() -> list[int]:
            return [row[0] for row in db.execute("SELECT id FROM T ORDER BY id")]

        db.execute("BEGIN TRANSACTION; INSERT INTO T (id) VALUES (1); INSERT INTO T (id) VALUES (2); COMMIT")
        db.execute("BEGIN; INSERT INTO T (id) VALUES (3)")
        assert ids() == [1, 2, 3]
        db.execute("ROLLBACK")
        assert ids() == [1, 2]
        db.execute("BEGIN; INSERT INTO T (id) VALUES (4)")
        with pytest.raises(DataError, match="exists already"):
            db.execute("INSERT INTO T (id) VALUES (1)")
        with pytest.raises(SqlError, match="a statement of this transaction failed, so it was rolled back"):
            db.execute("COMMIT")
        assert ids() == [1, 2]
        with pytest.raises(DataError):
            db.execute("INSERT INTO T (id) VALUES (5), (6), (1)")
        assert ids() == [1, 2]
        with pytest.raises(SqlError, match="no transaction is open"):
            db.execute("ROLLBACK")
        with pytest.raises(SqlError, match="schema within a transaction"):
            db.execute("BEGIN; DROP TABLE T")
        db.execute("INSERT INTO T (id) VALUES (8)")  # the transaction is still open, and lost with the connection
    with vicinal.sql.connect(tmp_path / "t.db") as db:
        assert [row[0] for row in db.execute("SELECT id FROM T ORDER BY id")] == [1, 2]


def test_a_statement_that_cannot_be_read_changes_nothing(tmp_path: Path) -> None:
    with vicinal.sql.connect() as db:
        with pytest.raises(SqlError, match="1:60"):
            db.execute("CREATE TABLE T (id Int32, PRIMARY KEY (id)); DROP TABLE T; NONSENSE")
        assert db.tables() == {}


def test_the_database_reaches_no_file_no_network_and_no_extension(tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    with vicinal.sql.connect(tmp_path / "t.db") as db:
        db.execute("CREATE TABLE T (id Int32, PRIMARY KEY (id))")
        inner = db._connection.duck
        for statement in (
            f"SELECT * FROM '{secret}'",
            f"SELECT * FROM read_csv('{secret}')",
            f"SELECT * FROM glob('{tmp_path}/*')",
            f"COPY (SELECT 1) TO '{tmp_path / 'out.csv'}'",
            f"ATTACH '{tmp_path / 'other.db'}'",
            "INSTALL httpfs",
            "LOAD httpfs",
            "SET enable_external_access = true",
            "SET autoload_known_extensions = true",
            "SET threads = 1",
            "SELECT * FROM 'http://localhost/x.parquet'",
        ):
            with pytest.raises(Exception, match=r"(?i)permission|disabled|locked|cannot|not allowed"):
                inner.execute(statement).fetchall()
        assert {path.name for path in tmp_path.iterdir()} <= {"secret.csv", "t.db", "t.db.wal"}
        settings = dict(
            inner.execute(
                "SELECT name, value FROM duckdb_settings() WHERE name LIKE '%extens%' OR name LIKE '%external_a%'"
            ).fetchall()
        )
        assert settings["enable_external_access"] == "false" and settings["autoload_known_extensions"] == "false"


def test_read_only(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such database"):
        vicinal.sql.connect(tmp_path / "t.db", read_only=True)
    with vicinal.sql.connect(tmp_path / "t.db") as db:
        db.execute("CREATE TABLE T (id Int32, PRIMARY KEY (id)); INSERT INTO T (id) VALUES (1)")
    before = (tmp_path / "t.db").read_bytes()
    with vicinal.sql.connect(tmp_path / "t.db", read_only=True) as db:
        for statement in (
            "INSERT INTO T (id) VALUES (2)",
            "UPDATE T SET id = 1",
            "DELETE FROM T",
            "DROP TABLE T",
            "CREATE TABLE U (id Int32, PRIMARY KEY (id))",
        ):
            with pytest.raises(SqlError, match="1:1: the database is open for reading only"):
                db.execute(statement)
        with pytest.raises(Exception, match="read-only"):
            db._connection.duck.execute("INSERT INTO T VALUES (2)")
        assert list(db.execute("SELECT * FROM T")) == [(1,)]
    assert (tmp_path / "t.db").read_bytes() == before


def test_a_file_that_is_no_database_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "no.db").write_bytes(b"this is text, and not a database" * 1000)
    with pytest.raises(UsageError, match=r"no\.db: cannot be opened"):
        vicinal.sql.connect(tmp_path / "no.db")
    with pytest.raises(UsageError, match=r"folder .* does not exist"):
        vicinal.sql.connect(tmp_path / "no" / "t.db")


def test_a_database_that_another_process_holds_is_said_so(tmp_path: Path) -> None:
    made = 'db.execute("CREATE TABLE T (id Int32, PRIMARY KEY (id))")'
    code = f'import vicinal.sql; db = vicinal.sql.connect("t.db"); {made}; print("open", flush=True); input()'
    with start(code, cwd=tmp_path) as child:
        assert child.stdout is not None and child.stdout.readline() == "open\n"
        with pytest.raises(UsageError, match=r"t\.db: cannot be opened: .*lock"):
            vicinal.sql.connect(tmp_path / "t.db")
        _, errors = child.communicate("\n")
    assert child.returncode == 0 and errors == ""  # nothing is said at the end of a process that closed nothing


@pytest.mark.parametrize(
    ("declare", "value"),
    [
        ("", "x\ud800"),
        ("DECLARE $p AS String;", "x\ud800"),
        ("DECLARE $p AS List<Utf8>;", ["a", "x\ud800"]),
        ("", ["x\ud800"]),
        ("DECLARE $p AS Struct<a:Utf8>;", {"a": "x\ud800"}),
        ("", {"x\ud800": 1}),
    ],
)
def test_half_a_surrogate_pair_in_a_parameter_is_refused_by_name(declare: str, value: object) -> None:
    with (
        vicinal.sql.connect() as db,
        pytest.raises(UsageError, match=r"^\$p.*: half a surrogate pair, .* at character 1;"),
    ):
        db.execute(f"{declare} SELECT $p AS x;", {"p": value})


def rows_of(db: Any, statement: str, **parameters: Any) -> list[Any]:
    return list(db.execute(statement, parameters))


def test_a_second_window_still_sees_every_pair() -> None:
    with vicinal.sql.connect() as db:
        for table, n in (("Facts", 9), ("Targets", 2)):
            db.execute(f"CREATE TABLE {table} (id Uint64, embedding String, PRIMARY KEY (id))")
            for row in range(n):
                db.execute(f"INSERT INTO {table} (id, embedding) VALUES ($i, $v)", {"i": row, "v": [1.0, row]})
        rows = db.execute("""SELECT pairs, place FROM (
            SELECT COUNT(*) OVER (PARTITION BY t.id) AS pairs, ROW_NUMBER() OVER (
                PARTITION BY t.id ORDER BY Knn::EuclideanDistance(f.embedding, t.embedding)) AS place
            FROM Facts AS f CROSS JOIN Targets AS t) WHERE place <= 1""")
        assert list(rows) == [(9, 1), (9, 1)]


QUERIES = """SELECT tid, fid, d FROM (
    SELECT t.id AS tid, f.id AS fid, Knn::{name}(f.embedding, t.embedding) AS d,
        ROW_NUMBER() OVER (PARTITION BY t.id ORDER BY Knn::{name}(f.embedding, t.embedding){down}, f.id) AS place
    FROM Facts AS f CROSS JOIN Targets AS t{where}
) AS q WHERE place <= 3 ORDER BY tid, place, fid"""


@pytest.fixture(scope="module")
def facts() -> Iterator[Database]:
    """Facts and Targets, among their vectors NULL, another length and NaN."""
    random = np.random.default_rng(5)
    vectors = random.normal(size=(3000, 12)).astype(np.float32)
    with vicinal.sql.connect() as db:
        for table, n in (("Facts", 3000), ("Targets", 7)):
            db.execute(f"CREATE TABLE {table} (id Uint64, g Int32, embedding String, PRIMARY KEY (id))")
            for row in range(0, n, max(1, n // 3)):
                rows = ", ".join(f"({one}, {one % 10}, $v{one})" for one in range(row, min(n, row + max(1, n // 3))))
                given = {f"v{one}": vectors[one] for one in range(n)}
                given |= {"v3": None, "v5": binary.to_binary([1, 2], "Int8"), "v6": [np.nan] * 12}
                db.execute(f"UPSERT INTO {table} (id, g, embedding) VALUES {rows}", given)
        yield db


@pytest.mark.filterwarnings("ignore:.* is NULL")
@pytest.mark.parametrize("name", ["CosineDistance", "EuclideanDistance", "InnerProductSimilarity", "ManhattanDistance"])
@pytest.mark.parametrize("where", ["", " WHERE f.g < 5", " WHERE f.g < 5 AND t.id > 2"])
def test_many_targets_in_one_statement_answer_as_the_plain_statement(facts: Database, name: str, where: str) -> None:
    """One pass keeps the best of each target; a second key of the order makes the plain way of the same statement."""
    down = " DESC" if name.endswith("Similarity") else ""
    plain = QUERIES.format(name=name, down=down, where=where)
    fast = re.sub(r", f\.id\) AS place", ") AS place", plain)
    found, expected = (rows_of(facts, one) for one in (fast, plain))
    # Rows that are equally far, NULL and NaN among them, may stand in for each other.
    assert [(t, str(d)) for t, _, d in found] == [(t, str(d)) for t, _, d in expected]
    sure = {1, 2, 4}
    assert [row for row in found if row[0] in sure and row[2] is not None and row[2] == row[2]] == [
        row for row in expected if row[0] in sure and row[2] is not None and row[2] == row[2]
    ]


def test_a_statement_that_needs_more_memory_than_allowed_is_refused_and_the_next_one_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(memory.VARIABLE, "2M")
    monkeypatch.chdir(tmp_path)
    rows = pyarrow.table({"id": np.arange(40_000), "text": ["word " * 10] * 40_000})
    with vicinal.sql.connect(tables={"rows": rows}) as db:
        with pytest.raises(UsageError, match=r"^1:1: not enough memory: .* used\); select fewer rows .* --memory 4G"):
            db.execute("SELECT id, text FROM rows ORDER BY text, id DESC LIMIT 30000 OFFSET 3")
        assert db.execute("SELECT Count(*) AS n FROM rows WHERE id < 7")[0] == (7,)
    monkeypatch.setenv(memory.VARIABLE, "20M")
    with vicinal.sql.connect(tables={"rows": rows}) as db:  # the remedy
        assert len(db.execute("SELECT id, text FROM rows ORDER BY text, id DESC LIMIT 30000 OFFSET 3")) == 30_000
    assert list(tmp_path.iterdir()) == []  # DuckDB's temporary file does not lie where the user works
