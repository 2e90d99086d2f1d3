"""The command `vicinal sql`: running, printing, the prompt, moving tables in and out, and YDB's form of a text."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

import vicinal.sql
from test_sql import FACTS, SEARCH, UPSERT
from vicinal.errors import UsageError
from vicinal.sql import import_table
from vicinal.sql.parse.lexer import tokenize
from vicinal.sql.vectors import binary
from vicinal.sql.ydb.translate import to_ydb
from workplace import Workplace, environment


def test_statements_run_from_words_files_and_the_standard_input(
    work: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert work("sql", "facts.db", FACTS).code == 0
    work.write("script.yql", f"{UPSERT};\n{SEARCH};")
    answer = work("sql", "facts.db", "-f", "script.yql")
    assert answer.code == 0 and answer.err == ""
    assert [line.split()[:2] for line in answer.out.splitlines()] == [
        ["id", "user"],
        ["---", "--------"],
        ["123", "Williams"],
    ]
    answer = work("sql", "facts.db", "--format", "json", "-p", 'u="Williams"', "SELECT id FROM Facts WHERE user = $u")
    assert answer.records == [{"id": 123}]
    answer = work(
        "sql",
        "--read-only",
        "facts.db",
        "-p",
        "$q=[1, 2, 3, 5]",
        "--format",
        "json",
        "SELECT Knn::ManhattanDistance(embedding, $q) AS d FROM Facts",
    )
    assert answer.records == [{"d": 1.0}]
    with open(work.write("in.yql", "SELECT 1 + 1 AS two"), encoding="utf-8") as file:
        monkeypatch.setattr(sys, "stdin", file)
        assert work("sql", "facts.db").out == "two\n---\n  2\n"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["t.db", "SELECT nope FROM T"], 2, "t.db: no such database; CREATE TABLE creates one"),
        (["t.db", "SELECT 1", "SELECT 2"], 2, "expected one statement"),
        ([], 2, "expected a database, found none; write vicinal sql facts.db"),
        (["t.db", "-f", "no.yql"], 2, "no.yql: cannot be read"),
        (["t.db", "-p", "x", "SELECT 1"], 2, "--param x: expected NAME=JSON"),
        (["t.db", "-p", "x=y", "SELECT 1"], 2, "--param x=y: not JSON"),
        (["no/t.db", "SELECT 1"], 2, "does not exist; make it first"),
        (["data.jsonl", "SELECT 1"], 2, "data.jsonl: cannot be opened"),
        (["import", "emb.npy"], 2, "expected vicinal sql import FILE --table NAME --db FILE"),
        (["export", "x.npy", "--table", "T", "--db", "no.db"], 2, "no.db: no such database"),
        (["--read-only", "no.db", "SELECT 1"], 2, "no.db: no such database, and it is to be read only; CREATE TABLE"),
        (["--url", "http://x", "SELECT 1"], 2, "http://x: expected grpc://host:port/database"),
    ],
)
def test_what_is_wrong_is_said(work: Workplace, words: list[str], code: int, said: str) -> None:
    assert said in work.refuses(code, "sql", *words)


TABLE = "CREATE TABLE T (id Int32, e String, PRIMARY KEY (id));"


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("SELECT 1", "new.db: no such database; CREATE TABLE creates one, and so does vicinal sql import FILE"),
        ("SELECT * FROM T", "no such database"),
        ("$x = 1; SELECT $x", "no such database"),
        ("PRAGMA ydb.KMeansTreeSearchTopSize = '3'; SELECT 1", "no such database"),
        ("INSERT INTO T (id) VALUES (1)", "no such database"),
        ("UPDATE T SET id = 2", "no such database"),
        ("DELETE FROM T", "no such database"),
        ("DROP TABLE T", "no such database"),
        ("ALTER TABLE T DROP INDEX i", "no such database"),
        ("BEGIN", "no such database"),
        ("COMMIT", "1:1: COMMIT: no transaction is open"),
        ("SELEC 1", "1:1: SELEC is outside the subset"),
        (f"{TABLE} NONSENSE", "1:56: NONSENSE is outside the subset"),
        ("CREATE TABLE T (id Decimal, PRIMARY KEY (id))", "1:20: type Decimal is outside the subset"),
        ("CREATE TABLE T (id Int32)", "needs a PRIMARY KEY"),
        ("CREATE TABLE T (id Int32, PRIMARY KEY (no))", "PRIMARY KEY names column no"),
        # The table is made before its index is refused.
        (
            "CREATE TABLE T (id Int32, INDEX i GLOBAL USING vector_kmeans_tree ON (id), PRIMARY KEY (id))",
            "the last column of a vector index is a String",
        ),
    ],
)
def test_a_statement_that_only_reads_or_fails_makes_no_file(work: Workplace, statement: str, said: str) -> None:
    assert said in work.refuses(2, "sql", "new.db", statement)
    with vicinal.sql.connect("new.db") as db:
        before = work.files()
        with pytest.raises(UsageError):
            db.execute(statement)
        assert db.tables() == {} and work.files() == before


def test_what_neither_reads_nor_writes_a_table_needs_no_file(work: Workplace) -> None:
    before = work.files()
    for statement in ("$x = 1;", "DROP TABLE IF EXISTS T", "PRAGMA ydb.KMeansTreeSearchTopSize = '3'", "-- nothing"):
        answer = work("sql", "new.db", statement)
        assert (answer.code, answer.out, answer.err) == (0, "", "") and work.files() == before


def test_create_table_makes_the_file_and_what_fails_after_it_keeps_it(work: Workplace) -> None:
    assert work(
        "sql", "new.db", f"DROP TABLE IF EXISTS T; {TABLE} INSERT INTO T (id) VALUES (1); SELECT no FROM T"
    ).code
    assert work("sql", "new.db", "--format", "json", "SELECT id FROM T").records == [{"id": 1}]


def test_a_file_that_another_process_makes_is_seen(work: Workplace) -> None:
    with vicinal.sql.connect("new.db") as db:
        assert db.tables() == {}
        subprocess.run(
            [sys.executable, "-m", "vicinal", "sql", "new.db", TABLE], check=True, env=environment(), timeout=60
        )
        assert list(db.execute("SELECT * FROM T")) == []


def test_a_failed_creation_keeps_what_another_process_put_into_the_file(work: Workplace) -> None:
    with vicinal.sql.connect("new.db") as db, pytest.raises(RuntimeError), db._connection.creating():
        db._connection.duck.execute("CREATE TABLE theirs (id INTEGER)")
        raise RuntimeError
    assert Path("new.db").exists()


@pytest.mark.parametrize("words", [("--to", "ydb", "SELECT 1"), ("--to", "ydb", "SELEC 1")])
def test_a_translation_makes_no_file(work: Workplace, words: tuple[str, ...]) -> None:
    before = work.files()
    work("sql", *words)
    assert work.files() == before


def test_an_error_in_a_file_names_the_file(work: Workplace) -> None:
    assert work("sql", "t.db", TABLE).code == 0
    work.write("s.yql", "SELECT 1;\n SELECT nope;")
    answer = work("sql", "t.db", "-f", "s.yql")
    assert answer.code == 2
    assert answer.err == "vicinal: error: s.yql:2:9: unknown column nope; this SELECT has no FROM\n"


def test_vectors_and_their_data_go_in_and_come_out(work: Workplace) -> None:
    work.lines("rich.jsonl", [{"id": f"a{i}", "n": i, "x": None if i == 3 else i / 2, "tags": [i]} for i in range(30)])
    answer = work("sql", "import", "emb.npy", "--data", "rich.jsonl", "--table", "Facts", "--db", "f.db")
    assert answer.code == 0 and answer.err == "vicinal: 30 rows: emb.npy -> Facts in f.db\n"
    with vicinal.sql.connect("f.db") as db:
        kinds = {name: str(column.kind) for name, column in db.tables()["Facts"].columns.items()}
        assert kinds == {"id": "Utf8", "n": "Int64", "x": "Double", "tags": "Json", "embedding": "String"}
        row = db.execute('SELECT n, x, tags, embedding FROM Facts WHERE id = "a3"')[0]
        assert row == (3, None, "[3]", binary.to_binary(work.vectors[3]))
    assert work("sql", "export", "out.npy", "--data", "out.jsonl", "--table", "Facts", "--db", "f.db").code == 0
    order = sorted(range(30), key=lambda i: f"a{i}")
    assert np.array_equal(np.load("out.npy"), work.vectors[order])
    records = [json.loads(line) for line in Path("out.jsonl").read_text("utf-8").splitlines()]
    assert [record["n"] for record in records] == order and records[0]["tags"] == [0]
    assert work("sql", "export", "out.parquet", "--table", "Facts", "--db", "f.db").code == 0
    table = pyarrow.parquet.read_table("out.parquet")
    assert table.column_names == ["id", "n", "x", "tags", "embedding"] and table.num_rows == 30
    assert work("sql", "import", "out.parquet", "--table", "Again", "--db", "f.db").code == 0
    with vicinal.sql.connect("f.db") as db:
        same = "SELECT COUNT(*) AS n FROM Facts AS a INNER JOIN Again AS b USING (id) WHERE a.embedding = b.embedding"
        assert list(db.execute(same)) == [(30,)]
        assert {name: str(column.kind) for name, column in db.tables()["Again"].columns.items()} == kinds
    assert "exists already" in work("sql", "export", "out.npy", "--table", "Facts", "--db", "f.db").err


@pytest.mark.parametrize("form", binary.BY_NAME)
def test_every_format_goes_in(work: Workplace, form: str) -> None:
    vectors = np.random.default_rng(1).integers(0, 100, (20, 70)).astype(np.uint8)
    work.save("v.npy", vectors)
    assert work("sql", "import", "v.npy", "--table", "T", "--vector-type", form, "--db", "f.db").code == 0
    assert work("sql", "export", "w.npy", "--table", "T", "--db", "f.db").code == 0
    expected = np.unpackbits(vectors, axis=1) if form == "Bit" else vectors  # bytes are packed, as for hamming
    assert np.array_equal(np.load("w.npy"), expected)


def test_quantised_vectors_and_those_of_other_formats_go_in(work: Workplace) -> None:
    signs = np.random.default_rng(1).normal(size=(20, 64)).astype(np.float32)
    packed = np.packbits(signs > 0, axis=1)
    work.save("binary.npy", (packed - 128).astype(np.int8))
    command = ("sql", "import", "--table")
    assert work(*command, "B", "binary.npy", "--vector-type", "Bit", "--encoding", "binary", "--db", "f.db").code == 0
    with vicinal.sql.connect("f.db") as db:
        (first, same) = next(
            iter(db.execute("SELECT embedding, Knn::ToBinaryStringBit(Knn::FloatFromBinaryString(embedding)) FROM B"))
        )
        assert first == same == binary.to_binary(np.where(signs[0] > 0, 1.0, -1.0), "Bit")
    work.lines("own.jsonl", [{"id": f"r{i}", "n": i, "e": row.tolist()} for i, row in enumerate(signs)])
    assert work(*command, "L", "own.jsonl:e", "--db", "f.db").code == 0
    table = pyarrow.table({"id": range(20), "n": range(20), "e": (packed - 128).astype(np.int8).tolist()})
    pyarrow.parquet.write_table(table, "own.parquet")
    refused = work(*command, "P", "own.parquet", "--column", "e", "--encoding", "binary", "--db", "f.db").err
    assert "name it as own.parquet:e" in refused
    assert (
        work(*command, "P", "own.parquet:e", "--encoding", "binary", "--vector-type", "Bit", "--db", "f.db").code == 0
    )
    Path("w.txt").write_text("".join(f"word{i} {' '.join(map(str, row.tolist()))}\n" for i, row in enumerate(signs)))
    assert work(*command, "W", "w.txt", "--db", "f.db").code == 0
    with vicinal.sql.connect("f.db") as db:
        assert list(
            db.execute("SELECT COUNT(*) AS n FROM B INNER JOIN P USING (id) WHERE B.embedding = P.embedding")
        ) == [(20,)]
        assert {name: str(one.kind) for name, one in db.tables()["L"].columns.items()} == {
            "id": "Utf8",
            "n": "Int64",
            "embedding": "String",
        }
        asked = "SELECT L.n, W.id FROM L INNER JOIN W USING (embedding) ORDER BY L.n LIMIT 1"
        assert list(db.execute(asked)) == [(0, "word0")]


def test_parquet_with_lists_of_numbers_goes_in(work: Workplace) -> None:
    table = pyarrow.table({"key": [3, 1], "v": [[1.0, 2.0], [3.0, 4.0]], "s": ["a", "b"]})
    pyarrow.parquet.write_table(table, "p.parquet")
    command = ("sql", "import", "p.parquet", "--table", "T", "--key", "key", "--column", "v", "--db", "f.db")
    assert work(*command).code == 0
    with vicinal.sql.connect("f.db") as db:
        assert list(db.execute("SELECT key, s, Knn::FloatFromBinaryString(v) FROM T ORDER BY key")) == [
            (1, "b", [3.0, 4.0]),
            (3, "a", [1.0, 2.0]),
        ]
    again = work(*command)
    assert again.code == 3 and "table T: " in again.err and "uplicate key" in again.err


BAD_PARQUET: dict[str, tuple[list[Any], str]] = {
    "a null within": ([[1.0, 2.0], None, [3.0, None]], "rows 2 hold a null"),
    "not a number": ([None, [1.0, 2.0], [float("nan"), 1.0]], "rows 2 hold NaN or infinity"),
    "another length": ([[1.0, 2.0], [3.0]], "rows 1 have another length than the first, 2"),
    "bytes of no format": ([binary.to_binary([1.0]), None, b"ab"], "rows 2 hold bytes that are no vector's"),
    "text": (["a", "b"], "expected lists of numbers, or bytes, found string"),
    "half numbers": ([[1.5]], "is not a whole number"),
}


@pytest.mark.parametrize("case", BAD_PARQUET)
def test_vectors_of_a_parquet_file_that_are_none_are_refused(work: Workplace, case: str) -> None:
    values, said = BAD_PARQUET[case]
    pyarrow.parquet.write_table(pyarrow.table({"id": range(len(values)), "embedding": values}), "bad.parquet")
    form = ["--vector-type", "Int8"] if case == "half numbers" else []
    error = work.refuses(3, "sql", "import", "bad.parquet", "--table", "T", "--db", "f.db", *form)
    assert error.startswith("bad.parquet: ") and said in error


def test_a_null_list_stays_null(work: Workplace) -> None:
    pyarrow.parquet.write_table(pyarrow.table({"id": [1, 2, 3], "embedding": [None, [1, 2], None]}), "n.parquet")
    assert work("sql", "import", "n.parquet", "--table", "T", "--db", "f.db").code == 0
    with vicinal.sql.connect("f.db") as db:
        rows = db.execute("SELECT Knn::FloatFromBinaryString(embedding) FROM T ORDER BY id")
        assert list(rows) == [(None,), ([1.0, 2.0],), (None,)]


def test_every_type_comes_back_from_parquet_and_reads_well_in_json(work: Workplace) -> None:
    with vicinal.sql.connect("f.db") as db:
        db.execute("""
            CREATE TABLE K (i Int32, d Datetime, t Timestamp, a Date, j Json, f Float, s String, v String,
                PRIMARY KEY (i));
            UPSERT INTO K (i, d, t, a, j, f, s, v) VALUES
                (1, Datetime("2024-02-29T12:30:00Z"), Timestamp("2024-02-29T12:30:00.5Z"), Date("2024-02-29"),
                 Json('{"a": [1]}'), 0.1f, "text", Knn::ToBinaryString([1.f])),
                (2, NULL, NULL, NULL, NULL, NULL, "\\xff", Knn::ToBinaryString([2.f]))""")
        before = list(db.execute("SELECT * FROM K ORDER BY i"))
    assert work("sql", "export", "k.parquet", "--table", "K", "--db", "f.db").code == 0
    command = ("sql", "import", "k.parquet", "--table", "L", "--key", "i", "--column", "v", "--db", "f.db")
    assert work(*command).code == 0
    with vicinal.sql.connect("f.db") as db:
        assert list(db.execute("SELECT * FROM L ORDER BY i")) == before
        kinds = [[str(one.kind) for one in db.tables()[name].columns.values()] for name in "KL"]
        assert kinds[0] == kinds[1]
    command = ("sql", "export", "k.npy", "--table", "K", "--column", "v", "--data", "k.jsonl", "--db", "f.db")
    assert work(*command).code == 0
    records = [json.loads(line) for line in Path("k.jsonl").read_text("utf-8").splitlines()]
    day = "2024-02-29"
    assert records[0] == {
        **{"i": 1, "d": f"{day}T12:30:00Z", "t": f"{day}T12:30:00.500000Z", "a": day},
        **{"j": {"a": [1]}, "f": 0.1, "s": "text"},
    }
    assert records[1] == {**dict.fromkeys("dtajf"), "i": 2, "s": {"base64": "/w=="}}


def test_fields_of_lists_and_records_of_any_kind_become_json(work: Workplace) -> None:
    nested = [["a", i] if i % 2 else {"x": [i, None]} for i in range(30)]
    work.lines("j.jsonl", [{"id": i, "n": n} for i, n in enumerate(nested)])
    assert work("sql", "import", "emb.npy", "--data", "j.jsonl", "--table", "T", "--db", "f.db").code == 0
    with vicinal.sql.connect("f.db") as db:
        assert [json.loads(row[0]) for row in db.execute("SELECT n FROM T ORDER BY id")] == nested
    work.lines("k.jsonl", [{"id": i, "n": "text" if i == 20 else n} for i, n in enumerate(nested)])
    answer = work("sql", "import", "emb.npy", "--data", "k.jsonl", "--table", "U", "--db", "f.db")
    assert answer.code == 3 and "k.jsonl:21: n: expected Json as in the rows before, found Utf8" in answer.err


def test_read_only_goes_before_import(work: Workplace) -> None:
    assert work("sql", "import", "emb.npy", "--table", "T", "--db", "f.db").code == 0
    answer = work("sql", "import", "emb.npy", "--table", "U", "--db", "f.db", "--read-only")
    assert answer.code == 2 and "open for reading only" in answer.err
    with vicinal.sql.connect("f.db") as db:
        assert list(db.tables()) == ["T"]


def test_a_column_that_holds_no_vectors_is_not_exported(work: Workplace) -> None:
    work.lines("t.jsonl", [{"id": i, "text": f"fact {i}"} for i in range(30)])
    assert work("sql", "import", "emb.npy", "--data", "t.jsonl", "--table", "T", "--db", "f.db").code == 0
    answer = work("sql", "export", "o.npy", "--table", "T", "--db", "f.db", "--column", "text")
    assert answer.code == 2 and "column text is Utf8" in answer.err and not Path("o.npy").exists()


def test_an_import_that_fails_leaves_nothing(work: Workplace) -> None:
    bad = work.vectors.copy()
    bad[7, 1] = np.nan
    work.save("bad.npy", bad)
    work.lines("short.jsonl", [{"id": 1}])
    work.lines("mixed.jsonl", [{"id": i, "x": "a" if i == 9 else 1} for i in range(30)])
    work.lines("twice.jsonl", [{"id": i % 29} for i in range(30)])
    for words, said in (
        (("bad.npy", "--data", "data.jsonl"), "bad.npy: rows 7 hold NaN or infinity"),
        (("emb.npy", "--data", "short.jsonl"), "short.jsonl has 1 rows, but emb.npy has 30"),
        (("emb.npy", "--data", "mixed.jsonl"), "mixed.jsonl:10: x: expected Int64 as in the rows before, found Utf8"),
        (("emb.npy", "--data", "twice.jsonl"), "uplicate key"),
        (("emb.npy", "--vector-type", "Int8"), "is not a whole number"),
    ):
        assert said in work.refuses(3, "sql", "import", *words, "--table", "T", "--db", "f.db")
    command = ("sql", "import", "emb.npy", "--table")
    assert "unknown vector format 'Int9'" in work.refuses(2, *command, "T", "--db", "f.db", "--vector-type", "Int9")
    assert "expected a name without ~" in work.refuses(2, *command, "T~1", "--db", "f.db")
    assert work(*command, "T", "--db", "f.db").code == 0
    with vicinal.sql.connect("f.db") as db:
        assert list(db.tables()) == ["T"]


def test_an_export_that_fails_leaves_nothing(work: Workplace) -> None:
    with vicinal.sql.connect("f.db") as db:
        db.execute("CREATE TABLE T (id Int32, embedding String, PRIMARY KEY (id))")
        db.execute("INSERT INTO T (id, embedding) VALUES (1, $a), (2, NULL)", {"a": [1.0]})
    before = work.files()
    answer = work("sql", "export", "o.npy", "--data", "o.jsonl", "--table", "T", "--db", "f.db")
    assert answer.code == 3 and "the vector of id 2 is missing" in answer.err and work.files() == before


def test_many_batches_go_in_whole_and_in_order(tmp_path: Path) -> None:
    vectors = np.arange(40_000, dtype=np.float32).reshape(-1, 1)
    np.save(tmp_path / "v.npy", vectors)
    with vicinal.sql.connect(tmp_path / "t.db") as db:
        seen: list[tuple[int, int]] = []
        assert (
            import_table(db, "T", tmp_path / "v.npy", progress=lambda done, total: seen.append((done, total))) == 40_000
        )
        assert seen[-1] == (40_000, 40_000) and len(seen) > 1
        near = db.execute("SELECT id FROM T ORDER BY Knn::EuclideanDistance(embedding, $q) LIMIT 2", {"q": [31_000.2]})
        assert list(near) == [(31_000,), (31_001,)]


YDB_FORM = {
    "SELECT 1 // a\n/* b // c */ + 2": "SELECT 1 -- a\n/* b // c */ + 2",
    "SELECT '// no', Knn::FromBinaryString(e) FROM T": "SELECT '// no', Knn::FloatFromBinaryString(e) FROM T",
    "$v = Knn::ToBinaryString([1.f]); UPDATE T SET e = $v, f = ($v) WHERE g = $v": (
        '$v = Knn::ToBinaryStringFloat([1.f]); UPDATE T SET e = Untag($v, "FloatVector"), f = Untag(($v), '
        '"FloatVector") WHERE g = $v'
    ),
    "REPLACE INTO T (e) VALUES (Untag(Knn::ToBinaryStringBit([1.f]), 'BitVector')), (Knn::ToBinaryStringInt8([1t]))": (
        "REPLACE INTO T (e) VALUES (Untag(Knn::ToBinaryStringBit([1.f]), 'BitVector')), "
        '(Untag(Knn::ToBinaryStringInt8([1t]), "Int8Vector"))'
    ),
    "UPSERT INTO T SELECT id, Knn::ToBinaryString(v) AS e FROM U": (
        'UPSERT INTO T SELECT id, Untag(Knn::ToBinaryStringFloat(v), "FloatVector") AS e FROM U'
    ),
    "UPSERT INTO T SELECT id, e FROM (SELECT id, Knn::ToBinaryString(v) AS e FROM U)": (
        'UPSERT INTO T SELECT id, e FROM (SELECT id, Untag(Knn::ToBinaryStringFloat(v), "FloatVector") AS e FROM U)'
    ),
    "$r = SELECT Knn::ToBinaryString(v) AS e; UPSERT INTO T SELECT * FROM $r; REPLACE INTO S SELECT * FROM $r": (
        '$r = SELECT Untag(Knn::ToBinaryStringFloat(v), "FloatVector") AS e; '
        "UPSERT INTO T SELECT * FROM $r; REPLACE INTO S SELECT * FROM $r"
    ),
    "INSERT INTO T SELECT Knn::ToBinaryString(v) AS e FROM U UNION ALL SELECT Knn::ToBinaryString(w) AS e FROM U": (
        'INSERT INTO T SELECT Untag(Knn::ToBinaryStringFloat(v), "FloatVector") AS e FROM U '
        'UNION ALL SELECT Untag(Knn::ToBinaryStringFloat(w), "FloatVector") AS e FROM U'
    ),
    "$f = ($x) -> { $y = Knn::ToBinaryString($x); RETURN $y; }; UPSERT INTO T (e) VALUES ($f([1.f]))": (
        "$f = ($x) -> { $y = Knn::ToBinaryStringFloat($x); RETURN $y; }; "
        'UPSERT INTO T (e) VALUES (Untag($f([1.f]), "FloatVector"))'
    ),
    "SELECT Knn::CosineDistance(e, Knn::ToBinaryString([1.f])) FROM T": (
        "SELECT Knn::CosineDistance(e, Knn::ToBinaryStringFloat([1.f])) FROM T"
    ),
}


@pytest.mark.parametrize("text", YDB_FORM)
def test_a_text_in_the_form_that_ydb_takes(text: str) -> None:
    found = to_ydb(text)
    assert found == YDB_FORM[text]
    assert to_ydb(found) == found


def test_the_first_statements_in_ydbs_form_run_here_with_the_same_answer(work: Workplace) -> None:
    work.write("s.yql", f"{FACTS};{UPSERT};{SEARCH}")
    answer = work("sql", "--to", "ydb", "-f", "s.yql")
    assert answer.code == 0
    assert (
        "//" not in answer.out
        and 'Untag(Knn::ToBinaryStringFloat([1.0f, 2.0f, 3.0f, 4.0f]), "FloatVector")' in answer.out
    )
    assert len(tokenize(answer.out)[0]) == len(tokenize(FACTS)[0])
    work.write("ydb.yql", answer.out)
    outputs = [work("sql", f"{name}.db", "-f", f"{name}.yql").out for name in ("s", "ydb")]
    assert outputs[0] == outputs[1] and "Williams" in outputs[0]
    assert not Path("sql.db").exists()


def talk(folder: Path, lines: str) -> str:
    """What a terminal shows of a prompt that is given these keys."""
    keys, screen = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "vicinal", "sql", "p.db"],
        cwd=folder,
        env={**environment(), "XDG_STATE_HOME": str(folder / "state"), "TERM": "dumb"},
        stdin=screen,
        stdout=screen,
        stderr=screen,
        close_fds=True,
    )
    os.close(screen)
    os.write(keys, lines.encode())
    shown = b""
    try:
        while part := os.read(keys, 4096):
            shown += part
    except OSError:  # the terminal closed with the child
        pass
    os.close(keys)
    assert child.wait() == 0, shown
    return shown.decode()


def test_a_prompt_keeps_names_and_goes_on_after_an_error_and_remembers_its_lines(tmp_path: Path) -> None:
    shown = talk(
        tmp_path,
        "CREATE TABLE T (id Int32,\nPRIMARY KEY (id));\nINSERT INTO T (id) VALUES (41);\n$one = 1;\n"
        "SELECT nope FROM T;\nSELECT id + $one AS next\nFROM T;\n.tables\n.schema T\n.quit\n",
    )
    assert "error: 1:8: unknown column nope" in shown and "\n  42\r\n" in shown
    assert "id Int32  PRIMARY KEY" in shown
    kept = (tmp_path / "state" / "vicinal" / "sql_history").read_text("utf-8").splitlines()
    assert "FROM T;" in kept and "$one = 1;" in kept
    again = talk(tmp_path, "\x1b[A\x1b[A\x1b[A\x1b[A\n.quit\n")  # up to FROM T; which alone is outside the subset
    assert "FROM" in again


def test_a_prompt_that_makes_no_table_makes_no_file(tmp_path: Path) -> None:
    shown = talk(tmp_path, "SELECT 1;\n.tables\n.schema T\n.quit\n")
    assert "error: p.db: no such database; CREATE TABLE creates one" in shown
    assert shown.count("there are no tables; CREATE TABLE makes one") == 2
    assert {path.name for path in tmp_path.iterdir()} == {"state"}
