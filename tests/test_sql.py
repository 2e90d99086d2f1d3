"""YQL on DuckDB: the documentation's statements as they stand, and what differs between the two languages."""

import datetime
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vicinal.sql
from vicinal.errors import DataError, UsageError
from vicinal.sql.compile.functions import FUNCTIONS, Function, find
from vicinal.sql.database import Database
from vicinal.sql.faults import SqlError
from vicinal.sql.io.printing import as_json, as_table, shown
from vicinal.sql.vectors import binary

FACTS = """CREATE TABLE Facts (
    id Uint64,        // Id of fact
    user Utf8,        // User name
    fact Utf8,        // Human-readable description of a user fact
    embedding String, // Binary representation of embedding vector (result of Knn::ToBinaryString)
    PRIMARY KEY (id)
)"""
UPSERT = """UPSERT INTO Facts (id, user, fact, embedding)
VALUES (123, "Williams", "Full name is John Williams", Knn::ToBinaryString([1.0f, 2.0f, 3.0f, 4.0f]))"""
SEARCH = """$TargetEmbedding = Knn::ToBinaryString([1.2f, 2.3f, 3.4f, 4.5f]);

SELECT * FROM Facts
WHERE user="Williams"
ORDER BY Knn::CosineDistance(embedding, $TargetEmbedding)
LIMIT 10"""
VECTOR = binary.to_binary([1.0, 2.0, 3.0, 4.0])
WILLIAMS = (123, "Williams", "Full name is John Williams", VECTOR)


@pytest.fixture
def db() -> Any:
    with vicinal.sql.connect() as found:
        yield found


@pytest.fixture
def facts(db: Database) -> Database:
    db.execute(FACTS)
    db.execute(UPSERT)
    return db


def values(db: Database, expression: str, **parameters: Any) -> Any:
    """The one value of an expression."""
    ((found,),) = db.execute(f"SELECT {expression}", parameters)
    return found


def refusal(db: Database, statement: str, **parameters: Any) -> str:
    with pytest.raises(UsageError) as refused:
        db.execute(statement, parameters)
    return str(refused.value)


def test_the_three_statements_run_as_they_stand(db: Database) -> None:
    for change in (lambda text: text, lambda text: text.replace("//", "--")):
        db.execute(change(FACTS))
        db.execute("/* a comment; with a semicolon */ " + UPSERT + " -- done")
        found = db.execute(SEARCH)
        assert found.columns == ["id", "user", "fact", "embedding"] and list(found) == [WILLIAMS]
        db.execute("DROP TABLE Facts")


# The statements of YDB's page on Knn and of its quick start with vector indexes.
DOCUMENTED = """
$vector = [1.f, 2.f, 3.f, 4.f];
CREATE TABLE Facts (
    id Uint64,            -- Id of fact
    user Utf8,            -- User name
    fact Utf8,            -- Human-readable description of a user fact
    embedding String,     -- Binary representation of embedding vector (result of Knn::ToBinaryStringFloat)
    embedding_bit String, -- Binary representation of embedding vector (result of Knn::ToBinaryStringBit)
    PRIMARY KEY (id)
);
UPSERT INTO Facts (id, user, fact, embedding, embedding_bit)
VALUES (123, "Williams", "Full name is John Williams", Untag(Knn::ToBinaryStringFloat($vector), "FloatVector"),
        Untag(Knn::ToBinaryStringBit($vector), "BitVector"));
"""


def test_two_phases_bit_vectors_first_and_floats_second(db: Database) -> None:
    db.execute(DOCUMENTED)
    found = db.execute("""
        $K = 10;
        $Target = [1.2f, 2.3f, 3.4f, 4.5f];
        $TargetEmbeddingBit = Knn::ToBinaryStringBit($Target);
        $TargetEmbeddingFloat = Knn::ToBinaryStringFloat($Target);

        $Ids = SELECT id FROM Facts
        ORDER BY Knn::CosineDistance(embedding_bit, $TargetEmbeddingBit)
        LIMIT $K * 10;

        SELECT * FROM Facts
        WHERE id IN $Ids
        ORDER BY Knn::CosineDistance(embedding, $TargetEmbeddingFloat)
        LIMIT $K;
    """)
    assert [row[0] for row in found] == [123]


def test_a_radius(facts: Database) -> None:
    statement = """
        $R = {}f;
        $TargetEmbedding = Knn::ToBinaryStringFloat([1.2f, 2.3f, 3.4f, 4.5f]);
        SELECT * FROM Facts
        WHERE Knn::CosineDistance(embedding, $TargetEmbedding) < $R;"""
    assert len(facts.execute(statement.format(0.1))) == 1
    assert len(facts.execute(statement.format("0.0000001"))) == 0


def test_quantisation_by_a_lambda(db: Database) -> None:
    found = db.execute("""
        $MapInt8 = ($x) -> {
            $min = -5.0f;
            $max =  5.0f;
            $range = $max - $min;
          RETURN CAST(Math::Round(IF($x < $min, -127, IF($x > $max, 127, ($x / $range) * 255))) As Int8)
        };

        $FloatList = [-1.2f, 2.3f, 3.4f, -4.7f, 9.f, -9.f];
        SELECT ListMap($FloatList, $MapInt8), Knn::ToBinaryStringInt8(ListMap($FloatList, $MapInt8));""")
    expected = [-31, 59, 87, -120, 127, -127]  # 2.3 / 10 * 255 = 58.65
    assert list(found) == [(expected, binary.to_binary(expected, "Int8"))]


@pytest.mark.filterwarnings("ignore:.* is NULL")
def test_a_quantised_target_is_computed_once_and_compared(facts: Database) -> None:
    facts.execute("UPSERT INTO Facts (id, embedding) VALUES (1, Knn::ToBinaryStringInt8([1t, 2t])), (2, NULL)")
    found = facts.execute("""
        $Target = Knn::ToBinaryStringInt8(ListMap([3.2f, 4.1f], ($x) -> (CAST($x AS Int8))));
        SELECT id, Knn::ManhattanDistance(embedding, $Target) AS d FROM Facts ORDER BY d, id""")
    assert list(found) == [(2, None), (123, None), (1, 4.0)]  # NULL first; formats that differ give NULL


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)
def test_every_function_answers_its_example(db: Database, function: Function) -> None:
    assert find(function.name) is function
    found = db.execute(f"SELECT {function.example} AS x" + (" FROM (SELECT 1 AS one)" if function.aggregate else ""))
    assert shown(found[0][0], found.kinds[0]) == function.answer


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)
def test_every_function_names_itself_where_arguments_are_too_many(db: Database, function: Function) -> None:
    if function.counts:
        arguments = ", ".join(["1"] * (max(function.counts) + 1))
        assert f"{function.name} takes " in refusal(db, f"SELECT {function.name}({arguments})")


LITERALS = {
    "5": (5, "Int32"),
    "5u": (5, "Uint32"),
    "1ul": (1, "Uint64"),
    "2t": (2, "Int8"),
    "3s": (3, "Int16"),
    "4us": (4, "Uint16"),
    "7l": (7, "Int64"),
    "0xFF": (255, "Int32"),
    "0b101u": (5, "Uint32"),
    "0o17ut": (15, "Uint8"),
    "3000000000": (3000000000, "Int64"),
    "18446744073709551615": (18446744073709551615, "Uint64"),
    "1.5": (1.5, "Double"),
    "1.f": (1.0, "Float"),
    "1.2f": (float(np.float32(1.2)), "Float"),
    "-2.5e-3": (-2.5e-3, "Double"),
    r'"a\"b\\\n\x41\u00e9"': ('a"b\\\nAé'.encode(), "String"),
    r"'it\'s'": (b"it's", "String"),
    '"é"u': ("é", "Utf8"),
    '@@raw "x" \\n @@@@ end@@': (b'raw "x" \\n @@ end', "String"),
    "true": (True, "Bool"),
    "[1, 2u, 3.5]": ([1.0, 2.0, 3.5], "List<Double>"),
    '["a", "b"]': ([b"a", b"b"], "List<String>"),
    "[]": ([], "List<Null>"),
    "'{\"a\": [1]}'j": ('{"a": [1]}', "Json"),
}


@pytest.mark.parametrize("text", LITERALS)
def test_literals_have_yqls_values_and_types(db: Database, text: str) -> None:
    found = db.execute(f"SELECT {text}")
    assert (found[0][0], str(found.kinds[0])) == LITERALS[text]


# What DuckDB would answer otherwise, or not at all.
DIFFERENT = {
    "7 / 2": 3,
    "-7 / 2": -3,
    "-7 % 2": -1,
    "1 / 0": None,
    "1 % 0": None,
    "7.0 / 2": 3.5,
    "1.0 / 0": float("inf"),
    "1u + 2l": 3,
    "NULL + 1": None,
    "CAST(3.9 AS Int32)": 3,
    "CAST(-3.9 AS Int32)": -3,
    "CAST(300 AS Int8)": None,
    'CAST("12" AS Int32)': 12,
    'CAST(" 12" AS Int32)': None,
    'CAST("1_2" AS Int32)': None,
    'CAST("1.5" AS Int32)': None,
    'CAST("1.5" AS Double)': 1.5,
    "CAST(5 AS String)": b"5",
    'CAST("\\xff" AS Utf8)': None,
    'Length("é")': 2,
    '"a" || "b"': b"ab",
    '"\\x00\\xff" = "\\x00\\xff"': True,
    '"a" = "a"u': True,
    "3 IN (1, 2, 3)": True,
    "3 IN [1, 2]": False,
    "2 NOT IN (1, NULL)": None,
    "NULL IS NULL": True,
    "2 BETWEEN 1 AND 3": True,
    "CASE WHEN 1 > 2 THEN 1 WHEN 2 > 1 THEN 2u ELSE 3 END": 2,
    'CASE "b" WHEN "a" THEN 1 WHEN "b" THEN 2 END': 2,
    "[10, 20, 30][1]": 20,
    "[10][5]": None,
    "NULL ?? 5": 5,
    '"abc"u LIKE "a%"': True,
    'Date("2024-02-29")': datetime.date(2024, 2, 29),
    "NOT (Math::Sqrt(-1.0) > 1)": True,
    "Math::Sqrt(-1.0) < 1": False,
    "Math::Sqrt(-1.0) = Math::Sqrt(-1.0)": False,
    "Math::Sqrt(-1.0) != Math::Sqrt(-1.0)": True,
    "Math::Sqrt(-1.0) >= 1": False,
}


@pytest.mark.parametrize("text", DIFFERENT)
def test_expressions_mean_what_they_mean_in_yql(db: Database, text: str) -> None:
    found = values(db, text)
    assert found == DIFFERENT[text] and type(found) is type(DIFFERENT[text])


def test_a_not_a_number_is_no_match_of_a_radius(db: Database) -> None:
    db.execute("CREATE TABLE T (id Int32, e String, PRIMARY KEY (id))")
    vector = binary.to_binary([np.nan, 1.0])
    db.execute("UPSERT INTO T (id, e) VALUES (1, $e)", {"e": vector})
    for sign in ("<", ">", "<=", ">=", "="):
        query = f"SELECT id FROM T WHERE Knn::EuclideanDistance(e, $q) {sign} 5"
        assert list(db.execute(query, {"q": [0.0, 0.0]})) == []


def test_null_comes_first_where_the_order_ascends_and_last_where_it_descends(facts: Database) -> None:
    facts.execute("UPSERT INTO Facts (id) VALUES (1)")
    by = "Knn::CosineDistance(embedding, Knn::ToBinaryString([1.f, 1.f, 1.f, 1.f]))"
    assert [row[0] for row in facts.execute(f"SELECT id FROM Facts ORDER BY {by}")] == [1, 123]
    assert [row[0] for row in facts.execute(f"SELECT id FROM Facts ORDER BY {by} DESC")] == [123, 1]


def test_upsert_changes_the_listed_columns_and_replace_all(facts: Database) -> None:
    facts.execute('UPSERT INTO Facts (id, user) VALUES (123, "Smith")')
    assert list(facts.execute("SELECT * FROM Facts")) == [(123, "Smith", *WILLIAMS[2:])]
    facts.execute("UPSERT INTO Facts (id) VALUES (123)")
    assert list(facts.execute("SELECT user FROM Facts")) == [("Smith",)]
    facts.execute('REPLACE INTO Facts (id, user) VALUES (123, "Jones")')
    assert list(facts.execute("SELECT * FROM Facts")) == [(123, "Jones", None, None)]
    with pytest.raises(DataError, match="a row with this key exists already"):
        facts.execute("INSERT INTO Facts (id) VALUES (123)")
    with pytest.raises(DataError, match="NULL in a column of the primary key"):
        facts.execute("INSERT INTO Facts (id) VALUES (NULL)")


@pytest.mark.parametrize("verb", ["UPSERT", "REPLACE"])
def test_of_rows_with_one_key_the_last_counts(facts: Database, verb: str) -> None:
    facts.execute(f'{verb} INTO Facts (id, user) VALUES (1, "a"), (2, "x"), (1, "b"), (1, "c"), (2, "y")')
    assert list(facts.execute("SELECT id, user FROM Facts WHERE id < 3 ORDER BY id")) == [(1, "c"), (2, "y")]


@pytest.mark.parametrize("verb", ["UPSERT", "REPLACE"])
def test_of_selected_rows_with_one_key_the_last_counts(facts: Database, verb: str) -> None:
    facts.execute("CREATE TABLE T (id Uint64, v Int32, w Int32, PRIMARY KEY (id)); INSERT INTO T (id, w) VALUES (2, 7)")
    for _ in range(3):  # the second time all keys are there already
        facts.execute(f"""{verb} INTO T SELECT 1ul AS id, 1 AS v UNION ALL SELECT 2ul AS id, 2 AS v
            UNION ALL SELECT 1ul AS id, 3 AS v UNION ALL SELECT 2ul AS id, 4 AS v""")
        expected = [(1, 3, None), (2, 4, 7 if verb == "UPSERT" else None)]
        assert list(facts.execute("SELECT * FROM T ORDER BY id")) == expected
    facts.execute(f"{verb} INTO T SELECT id, v + 1 AS v FROM T")
    assert list(facts.execute("SELECT id, v FROM T ORDER BY id")) == [(1, 4), (2, 5)]


def test_update_and_delete(facts: Database) -> None:
    facts.execute('UPSERT INTO Facts (id, user) VALUES (1, "a"), (2, "b")')
    facts.execute('UPDATE Facts SET user = user || "!", fact = NULL WHERE id < 100 AND user != "a"')
    assert list(facts.execute("SELECT id, user FROM Facts ORDER BY id")) == [(1, "a"), (2, "b!"), (123, "Williams")]
    facts.execute("DELETE FROM Facts WHERE user LIKE '%!'")
    assert list(facts.execute("SELECT COUNT(*) AS n FROM Facts")) == [(2,)]
    assert "primary key" in refusal(facts, "UPDATE Facts SET id = 5")


def test_rows_from_a_select(facts: Database) -> None:
    facts.execute("CREATE TABLE Copies (id Uint64, user Utf8, PRIMARY KEY (id))")
    facts.execute("UPSERT INTO Copies SELECT id, user FROM Facts")
    facts.execute("INSERT INTO Copies (user, id) SELECT user, id + 1 FROM Facts")
    assert list(facts.execute("SELECT * FROM Copies ORDER BY id")) == [(123, "Williams"), (124, "Williams")]
    assert "expected 2 columns" in refusal(facts, "INSERT INTO Copies (id, user) SELECT id FROM Facts")


def test_joins_groups_and_windows(db: Database) -> None:
    db.execute("""
        CREATE TABLE A (id Int32, g Utf8, PRIMARY KEY (id));
        CREATE TABLE B (id Int32, a Int32, x Double, PRIMARY KEY (id, a));
        INSERT INTO A (id, g) VALUES (1, "p"), (2, "q"), (3, "q");
        INSERT INTO B (id, a, x) VALUES (1, 1, 0.5), (2, 1, 1.5), (3, 2, 2.0), (4, 9, 7.0);
    """)
    rows = db.execute("""
        SELECT A.g AS g, COUNT(*) AS n, SUM(B.x) AS total, COUNT(DISTINCT B.a) AS kinds, MAX(B.id) AS last
        FROM A INNER JOIN B ON A.id = B.a GROUP BY A.g HAVING COUNT(*) > 0 ORDER BY n DESC, g LIMIT 5 OFFSET 0""")
    assert list(rows) == [("p", 2, 2.0, 1, 2), ("q", 1, 2.0, 1, 3)]
    assert [str(kind) for kind in rows.kinds] == ["Utf8", "Uint64", "Double", "Uint64", "Int32"]
    left = db.execute("SELECT A.id AS id, B.x AS x FROM A LEFT JOIN B ON A.id = B.a ORDER BY id, x")
    assert list(left) == [(1, 0.5), (1, 1.5), (2, 2.0), (3, None)]
    assert list(db.execute("SELECT x.id FROM A AS x LEFT SEMI JOIN B AS y ON x.id = y.a ORDER BY x.id")) == [(1,), (2,)]
    assert list(db.execute("SELECT B.x FROM A INNER JOIN B USING (id) WHERE A.id = 3")) == [(2.0,)]
    assert len(db.execute("SELECT A.id FROM A CROSS JOIN B")) == 12
    ranked = db.execute("""
        SELECT id, place FROM (
            SELECT id, ROW_NUMBER() OVER w AS place FROM B WINDOW w AS (PARTITION BY a ORDER BY x DESC)
        ) WHERE place = 1 ORDER BY id""")
    assert list(ranked) == [(2, 1), (3, 1), (4, 1)]
    both = "SELECT id FROM A UNION ALL SELECT id FROM B ORDER BY id DESC LIMIT 3"
    assert list(db.execute(both)) == [(4,), (3,), (3,)]
    assert list(db.execute("SELECT DISTINCT g FROM A ORDER BY g")) == [("p",), ("q",)]
    named = "$t = SELECT id, g FROM A; $m = (SELECT MAX(id) AS m FROM $t); SELECT g FROM $t AS t WHERE t.id = $m"
    assert list(db.execute(named)) == [("q",)]


def test_names_are_case_sensitive(facts: Database) -> None:
    assert "unknown table facts; did you mean Facts (names are case-sensitive)?" in refusal(
        facts, "SELECT * FROM facts"
    )
    assert "1:8: unknown column ID; did you mean id (names" in refusal(facts, "SELECT ID FROM Facts")
    assert "unknown name $Q" in refusal(facts, "$q = 1; SELECT $Q")
    facts.execute("CREATE TABLE facts (id Int32, ID Int32, Id Utf8, PRIMARY KEY (ID))")
    facts.execute('INSERT INTO facts (id, ID, Id) VALUES (1, 2, "three")')
    found = facts.execute("SELECT *, Id AS iD FROM facts ORDER BY ID, iD")
    assert found.columns == ["id", "ID", "Id", "iD"] and list(found) == [(1, 2, "three", "three")]
    assert list(facts.execute("SELECT q.ID AS x FROM (SELECT id, ID FROM facts) AS q")) == [(2,)]
    assert len(facts.execute("SELECT * FROM Facts")) == 1
    facts.execute("DROP TABLE Facts")
    assert list(facts.execute("SELECT Id FROM facts")) == [("three",)]


def test_quoted_names_may_be_anything(db: Database) -> None:
    db.execute('CREATE TABLE `dir/my "table"; --` (`select` Int32, `a\\`b` Utf8, PRIMARY KEY (`select`))')
    db.execute('UPSERT INTO `dir/my "table"; --` (`select`, `a\\`b`) VALUES (1, "x")')
    assert list(db.execute('SELECT `a\\`b` FROM `dir/my "table"; --` WHERE `select` = 1')) == [("x",)]
    found = db.execute('SELECT "a" AS `CAST($9 AS x`, "b" AS `$1 LIMIT 5` ORDER BY 1')
    assert (list(found), found.columns) == ([(b"a", b"b")], ["CAST($9 AS x", "$1 LIMIT 5"])


def test_a_word_of_yqls_is_an_alias_after_as_and_a_name_in_backticks(facts: Database) -> None:
    assert list(facts.execute("SELECT sample.id AS any FROM Facts AS sample")) == [(123,)]
    assert list(facts.execute("SELECT `final`.id `only` FROM Facts `final`")) == [(123,)]


OUTSIDE = {
    "WITH x AS (SELECT 1) SELECT * FROM x": "1:1: WITH is outside the subset",
    "SELECT 1\n  | 2": "1:8: | is outside the subset",
    "SELECT (1, 2)": "1:8: a tuple is outside the subset",
    "SELECT x FROM Facts FLATTEN BY x": "1:21: FLATTEN is outside the subset",
    "SELECT Digest::Md5Hex('a')": "1:8: function Digest::Md5Hex is outside the subset",
    "SELECT knn::CosineDistance('a', 'b')": "1:8: function knn::CosineDistance is outside the subset",
    "SELECT 1 EXCEPT SELECT 2": "1:8: EXCEPT is outside the subset",
    "SELECT id FROM Facts GROUP BY ROLLUP (id)": "1:31: function ROLLUP is outside the subset",
    "SELECT DISTINCT ON (id) id FROM Facts": "1:21: ON is outside the subset",
    "CREATE INDEX i ON Facts (id)": "1:8: CREATE INDEX is outside the subset",
    "CREATE TABLE t (a Decimal, PRIMARY KEY (a))": "1:19: type Decimal is outside the subset",
    "CREATE TABLE t (a Int32, PRIMARY KEY (a)": "1:40: expected , or ), found the end of the statement",
    "CREATE TABLE t (a Int32)": "1:1: table t needs a PRIMARY KEY",
    "ALTER TABLE Facts ADD CHANGEFEED x": "ADD is outside the subset",
    "ALTER TABLE Facts ADD INDEX i LOCAL USING min_max ON (user)": "a local index is outside the subset",
    "PRAGMA TablePathPrefix = 'x'": "1:1: PRAGMA TablePathPrefix is outside the subset",
    "GRANT SELECT ON t TO u": "1:1: GRANT is outside the subset",
    "EXPLAIN SELECT 1": "1:1: EXPLAIN is outside the subset",
    "COPY Facts TO 'x'": "1:1: COPY is outside the subset",
    "ATTACH 'x'": "1:1: ATTACH is outside the subset",
    "SET threads = 1": "1:1: SET is outside the subset",
    "SELECT id::Int32 FROM Facts": "1:8: id::Int32 without () is outside the subset",
    "SELECT CAST(1.5 AS String)": "1:8: CAST of Double to String is outside the subset",
    "SELECT id FROM Facts RIGHT ONLY JOIN Facts AS f ON 1 = 1": "1:22: RIGHT ONLY is outside the subset",
    "SELECT * FROM read_csv('x')": "1:15: read_csv as a table is outside the subset",
    "SELECT * FROM duckdb_settings()": "1:15: duckdb_settings as a table is outside the subset",
    "SELECT * FROM 'x.csv'": "1:15: unknown table 'x.csv'",
    "SELECT a.b.c.d FROM Facts AS a": "1:10: a name of three parts is outside the subset",
    "SELECT sum(id) FILTER (WHERE id > 1) FROM Facts": "1:23: FILTER (...) is outside the subset",
    "SELECT sum(id) OVER (ORDER BY id ROWS 1 PRECEDING) FROM Facts": "1:34: a window's frame, ROWS, is outside",
    "SELECT id FROM Facts LIMIT 1, 2": "LIMIT with two numbers is outside the subset",
    "SELECT id FROM Facts FETCH FIRST 1 ROW ONLY": "1:22: FETCH is outside the subset",
    "SELECT id FROM Facts FOR UPDATE": "1:22: FOR is outside the subset",
    "SELECT TOP 5 id FROM Facts": "1:8: TOP is outside the subset; write LIMIT 5 at the end of the SELECT",
    "SELECT id FROM Facts QUALIFY id > 1": "1:22: QUALIFY is outside the subset",
    "SELECT id FROM Facts TABLESAMPLE (10 PERCENT)": "1:22: TABLESAMPLE is outside the subset",
    "SELECT id FROM Facts AS t (a, b)": "outside the subset",
    "SELECT id FROM Facts WHERE id IN (1, 2), 3": "1:42: expected a comma, an operator, a clause or the end",
    "SELECT (SELECT id, user FROM Facts)": "has one column, found 2",
    "SELECT interval '1 day'": "1:17: INTERVAL is outside the subset; there is no arithmetic on times",
    "SELECT DATE '2024-01-01'": "1:13: DATE '2024-01-01' is outside the subset; write Date('2024-01-01')",
    "SELECT struct(1)": "function struct is outside the subset",
    "SELECT {'a': 1}": "1:8: a set or a dictionary, {...}, is outside the subset",
    "SELECT x -> x FROM Facts": "1:10: expected ($x) before ->, as a lambda has it; write ($x) -> (...)",
    "SELECT 1 IS DISTINCT FROM 2": "1:8: IS DISTINCT FROM is outside the subset",
    "SELECT 'a' 'b'": "a string beside another is outside the subset",
    "INSERT INTO Facts (id) VALUES (1) RETURNING id": "1:35: RETURNING is outside the subset",
    "UPDATE Facts SET user = 'a' FROM Facts": "1:29: FROM is outside the subset",
    "DELETE FROM Facts USING Facts": "1:19: USING is outside the subset",
    "FROM Facts": "FROM before SELECT is outside the subset",
    "SELECT * EXCEPT (id) FROM Facts": "1:10: EXCEPT is outside the subset",
    "SELECT COUNT(id ORDER BY id) FROM Facts": "1:14: ORDER BY here is outside the subset",
    "SELECT a FROM (VALUES (1)) AS t(a)": "1:33: a list of columns after an alias is outside the subset",
    "SELECT id FROM Facts, LATERAL (SELECT 1)": "1:23: LATERAL as a table is outside the subset",
    "SELECT 1 UNION SELECT 'a'": "have no common type",
    "SELECT id FROM Facts EXCLUSION JOIN Facts AS b USING (id)": "1:22: EXCLUSION is outside the subset",
    "SELECT id FROM Facts LEFT ONLY JOIN Facts AS b USING (id)": "1:22: LEFT ONLY is outside the subset",
    "SELECT id FROM Facts ANY JOIN Facts AS b USING (id)": "1:22: ANY is outside the subset",
    "SELECT COUNT(*) FROM Facts NATURAL JOIN Facts AS b": "1:28: NATURAL is outside the subset",
    "SELECT COUNT(*) FROM Facts JOIN Facts AS b": "1:28: INNER JOIN needs ON or USING",
    "SELECT id FROM Facts\nORDER BY id NULLS LAST": "2:13: NULLS LAST is outside the subset",
    "SELECT id FROM Facts ORDER BY id DESC NULLS FIRST": "1:39: NULLS FIRST is outside the subset",
    "SELECT id FROM Facts ASSUME ORDER BY id": "1:22: ASSUME is outside the subset",
    "SELECT id FROM Facts SAMPLE 0.5": "1:22: SAMPLE is outside the subset",
    "SELECT Facts.* EXCEPT (id) FROM Facts": "1:16: EXCEPT is outside the subset",
    "SELECT * WITHOUT id FROM Facts": "1:10: WITHOUT is outside the subset",
    "SELECT true XOR false": "1:13: XOR is outside the subset",
    "SELECT id ISNULL FROM Facts": "1:11: ISNULL is outside the subset",
    "SELECT 1 << 2": "1:8: << is outside the subset",
    "SELECT user\nFROM Facts GROUP BY ALL": "2:12: ALL here is outside the subset",
    "SELECT user FROM Facts GROUP COMPACT BY user": "1:30: COMPACT is outside the subset",
    "SELECT id\nFROM Facts LIMIT 5%": "2:12: what follows LIMIT's number is outside the subset",
    "SELECT id FROM Facts WHERE COUNT(*) > 1": "1:28: Count in WHERE is outside the subset",
    "SELECT id FROM Facts WHERE Row_Number() OVER (ORDER BY id) = 1": "1:28: Row_Number in WHERE is outside the subset",
    "SELECT * FROM (Facts AS a JOIN Facts AS b ON a.id = b.id)": "1:16: a join in parentheses is outside the subset",
    'SELECT id FROM Facts WHERE user REGEXP "W.*"': "1:33: REGEXP is outside the subset",
    "UPDATE Facts ON SELECT 1 AS id": "1:14: UPDATE ... ON is outside the subset",
    "DELETE FROM Facts ON SELECT 1 AS id": "1:19: DELETE FROM ... ON is outside the subset",
    "SELECT * FROM AS_TABLE([1])": "1:15: AS_TABLE takes a List<Struct<...>>, found List<Int32>",
    "SELECT <|a: 1": "expected |> at the end of the struct, found the end of the statement",
    "CREATE TABLE t (a Utf8(22), PRIMARY KEY (a))": "1:23: type Utf8(...) is outside the subset",
    "CREATE TABLE t (a Decimal(36, 9), PRIMARY KEY (a))": "1:19: Decimal(36,9): expected 1 to 35 digits",
    "CREATE TABLE t (a Int32 DEFAULT 1, PRIMARY KEY (a))": "1:25: DEFAULT is outside the subset",
    "CREATE TABLE t (a Int32, PRIMARY KEY (a)) WITH (STORE = COLUMN)": "1:49: STORE in WITH (...) of CREATE TABLE",
    "CREATE TABLE t (a Int32, PRIMARY KEY (a)) PARTITION BY HASH (a)": "1:43: PARTITION BY is outside the subset",
}


@pytest.mark.parametrize("statement", OUTSIDE)
def test_what_is_outside_the_subset_is_named_with_its_place(facts: Database, statement: str) -> None:
    said = refusal(facts, statement)
    assert OUTSIDE[statement] in said
    assert said.split(":")[0].isdigit() and said.split(":")[1].isdigit(), said
    assert "this statement cannot be run" not in said, said


def test_a_null_within_a_vector_is_an_error(facts: Database) -> None:
    for form, element in (("Float", "Float"), ("Int8", "Int8"), ("Bit", "Float")):
        text = f"SELECT Knn::ToBinaryString{form}(ListMap([1, 300], ($x) -> (IF($x > 5, NULL, CAST($x AS {element})))))"
        assert refusal(facts, text) == f"1:1: this statement cannot be run: {form} vector: an element is NULL"


ENDS = {
    "CREATE TABLE": "1:8: expected a table's name, found the end of the statement",
    "SELECT 1;\n DROP": "2:2: expected TABLE, found the end of the statement",
    "PRAGMA": "1:1: expected a pragma's name, found the end of the statement",
    "SELECT id FROM Facts\nWHERE": "2:1: expected a value, found the end of the statement",
    "SELECT id FROM Facts ORDER BY": "1:22: expected a value, found the end of the statement",
    "SELECT id FROM Facts GROUP BY": "1:22: expected a value, found the end of the statement",
    "SELECT , id FROM Facts": "1:8: expected a value, found ,",
    "SELECT id,, id FROM Facts": "1:11: expected a value, found ,",
    "SELECT Row_Number() OVER (PARTITION BY) FROM Facts": "1:39: expected a value, found )",
    "UPDATE Facts SET user = , fact = 'a'": "1:25: expected a value, found ,",
    "INSERT INTO Facts (id) VALUES ()": "1:32: expected a value, found )",
    "$x = ; SELECT 1": "1:4: expected a value, found the end of the statement",
    "SELECT 1 AS": "1:10: expected a name after AS, found the end of the statement",
    "SELECT CASE WHEN true THEN 1": "1:28: expected END after CASE, found the end of the statement",
    "SELECT * FROM": "1:10: expected a table's name or a SELECT in parentheses, found the end of the statement",
    "SELECT id {1} FROM Facts": "a set or a dictionary, {...}, is outside the subset",
}


@pytest.mark.parametrize("statement", ENDS)
def test_a_statement_that_breaks_off_is_named_where_it_does(facts: Database, statement: str) -> None:
    assert ENDS[statement] in refusal(facts, statement)


@pytest.mark.parametrize("text", ["(" * 3000 + "1" + ")" * 3000, " + ".join(["1"] * 3000)], ids=["deep", "long"])
def test_what_is_nested_too_deeply_is_said(db: Database, text: str) -> None:
    assert (
        refusal(db, f"SELECT 2;\n SELECT {text}")
        == "2:2: this statement is nested too deeply; split it with $name = ...;"
    )


def test_a_statement_said_again_gives_what_is_there_then(facts: Database) -> None:
    text = "SELECT COUNT(*) AS n, $q AS q FROM Facts"
    assert list(facts.execute(text, {"q": 1})) == [(1, 1)]
    facts.execute("UPSERT INTO Facts (id) VALUES (1); CREATE TABLE Facts2 (id Int32, PRIMARY KEY (id))")
    assert list(facts.execute(text, {"q": "a"})) == [(2, "a")]
    facts.execute("DROP TABLE Facts")
    assert "unknown table Facts" in refusal(facts, "SELECT COUNT(*) AS n FROM Facts")


def test_a_comma_may_stand_after_the_last(facts: Database) -> None:
    facts.execute('UPSERT INTO Facts (id, user,) VALUES (123, "Jones",)')
    assert list(facts.execute("SELECT id, user, FROM Facts")) == [(123, "Jones")]
    assert list(facts.execute("SELECT [1, 2,], [1, 1 + 1,]")) == [([1, 2], [1, 2])]


WRONG = {
    "SELECT": "1:1: SELECT: expected *, a column or an expression, found none",
    'SELECT "abc': "1:8: this string has no end",
    "SELECT 1 /* a": "1:10: this comment has no end",
    "SELECT 5y": "1:8: expected a number, with no suffix or u, l, ul, s, us, t, ut or f, found 5y",
    "SELECT 300t": "1:8: 300t is outside Int8, -128 to 127",
    "SELECT -129t": "1:9: -129t is outside Int8, -128 to 127",
    "SELECT 1e999": "1e999 is beyond the largest Double",
    r'SELECT "\xg"': "1:8: \\x needs 2 hexadecimal digits",
    "SELECT 'a'q": "a string's suffix is s, u or j",
    "SELECT 1 + 'a'": "1:8: + takes numbers, found String",
    "SELECT 1 = 'a'": "Int32 and String have no common type",
    "SELECT id FROM Facts WHERE user": "expected Bool, found Utf8",
    "SELECT foo(1)": "function foo is outside",
    "SELECT id FROM Nowhere": "1:16: unknown table Nowhere",
    "SELECT f.x FROM Facts AS f": "1:8: unknown column x",
    "SELECT g.id FROM Facts AS f": "unknown table or alias g",
    "SELECT id FROM Facts AS a CROSS JOIN Facts AS b": "column id is in several tables",
    "SELECT * FROM Facts AS a CROSS JOIN Facts AS b": "* has column id of several tables",
    "SELECT $x": "1:8: unknown name $x",
    "SELECT Knn::ToBinaryStringFloat('a')": "expected a list of numbers, found String",
    "SELECT Knn::ToBinaryStringUint8([300])": "outside 0 to 255",
    "SELECT Knn::ToBinaryStringUint8([1.5f])": "is not a whole number",
    "SELECT Untag(Knn::ToBinaryStringFloat([1.f]), 'BitVector')": "expected a value tagged 'BitVector'",
    "INSERT INTO Facts (user) VALUES ('a')": "needs every column of the primary key; id is missing",
    "INSERT INTO Facts (id, nope) VALUES (1, 2)": "1:24: table Facts has no such column",
    "INSERT INTO Facts (id) VALUES (1, 2)": "expected 1 values as there are columns, found 2",
    "INSERT INTO Facts (id) VALUES (-1)": "1:32: -1 does not fit Uint64",
    "INSERT INTO Facts (id, user) VALUES (1, '\\xff')": "not valid UTF-8",
    "INSERT INTO Facts VALUES (1)": "needs the columns' names",
    "DECLARE $x AS Int32; SELECT $x": "1:1: $x is declared, but no value is given",
    "CREATE TABLE Facts (id Int32, PRIMARY KEY (id))": "1:14: table Facts exists already",
    "CREATE TABLE t (id Int32, PRIMARY KEY (no))": "1:40: PRIMARY KEY names column no",
    "SELECT id FROM Facts LIMIT 'a'": "LIMIT takes a whole number, found String",
    "SELECT Max(id), user FROM Facts": "this statement cannot be run",
    "COMMIT": "COMMIT: no transaction is open",
    "$f = ($x) -> ($x); SELECT $f": "$f is a lambda",
    "$f = ($x) -> ($x); SELECT $f(1, 2)": "takes 1 arguments, found 2",
    "SELECT ListMap([1], 2)": "expected a lambda",
    "$t = SELECT 1 AS a, 2 AS b; SELECT $t": "$t has 2 columns",
}


@pytest.mark.parametrize("statement", WRONG)
def test_mistakes_are_named_with_their_place(facts: Database, statement: str) -> None:
    said = refusal(facts, statement)
    assert WRONG[statement] in said and said.split(":")[0].isdigit(), said


def test_the_messages_of_the_page_are_the_ones_that_are_given(facts: Database) -> None:
    page = (Path(__file__).parent.parent / "docs" / "sql.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| `(.*?)` \| (\d+:\d+: .*?) \|$", page, flags=re.MULTILINE)
    assert len(table) >= 3
    for statement, message in table:
        assert refusal(facts, statement) == message


def test_errors_count_lines(facts: Database) -> None:
    with pytest.raises(SqlError) as refused:
        facts.execute("-- one\nSELECT id,\n   /* two\n */ nope FROM Facts")
    assert (refused.value.line, refused.value.column) == (4, 5)
    said = refusal(
        facts, "SELECT 1;\nSELECT\n  Knn::CosineDistance(embedding, Unwrap(CAST(NULL AS String)))\nFROM Facts"
    )
    assert said == "3:3: this statement cannot be run: Unwrap: found NULL"
    assert (
        refusal(facts, "SELECT 1;\nSELECT id\nFROM Facts LIMIT NULL") == "3:18: LIMIT takes a whole number, found Null"
    )


def test_values_are_bound_and_never_pasted(facts: Database) -> None:
    evil = "x'; DROP TABLE Facts; --\\ \" ` $1 \n"
    facts.execute("UPSERT INTO Facts (id, user) VALUES (5, $u)", {"$u": evil})
    assert list(facts.execute("SELECT user FROM Facts WHERE user = $u", {"u": evil})) == [(evil,)]
    written = "@@" + evil + "@@"
    assert list(facts.execute(f"SELECT id FROM Facts WHERE user = {written}")) == [(5,)]
    assert len(facts.execute("SELECT * FROM Facts")) == 2


def test_parameters_of_every_kind(facts: Database) -> None:
    given = {
        "a": 5,
        "b": 1.5,
        "c": "é",
        "d": b"\x00",
        "e": None,
        "f": True,
        "g": np.array([1, 2, 3, 4], np.float32),
        "h": np.array([1], np.uint8),
        "i": np.int64(7),
        "j": datetime.date(2024, 1, 2),
        "k": datetime.datetime(2024, 1, 2, 3, 4, 5),
    }
    (row,) = facts.execute("SELECT " + ", ".join(f"${name} AS {name}" for name in given), given)
    expected = list(given.values())
    expected[6:9] = [VECTOR, b"\x01\x02", 7]
    assert list(row) == expected
    declared = facts.execute(
        "DECLARE $q AS List<Float>; DECLARE $s AS String; DECLARE $n AS Uint32; SELECT ListLength($q), $s, $n, "
        "Knn::EuclideanDistance(embedding, Knn::ToBinaryStringFloat($q)) FROM Facts",
        {"$q": [1.0, 2.0, 3.0, 8.0], "$s": "text", "$n": 7},
    )
    assert list(declared) == [(4, b"text", 7, 4.0)]
    assert "$n: -1 does not fit Uint32" in refusal(facts, "DECLARE $n AS Uint32; SELECT $n", n=-1)
    assert "beyond 64 bits" in refusal(facts, "SELECT $n", n=1 << 64)
    assert "expected numbers of one dimension" in refusal(facts, "SELECT $n", n=[[1.0]])


def test_rows_are_a_sequence_and_arrow_and_a_data_frame(facts: Database) -> None:
    rows = facts.execute("SELECT id, user FROM Facts")
    assert (len(rows), rows[0], rows[-1], rows.columns) == (1, (123, "Williams"), (123, "Williams"), ["id", "user"])
    with pytest.raises(IndexError):
        rows[1]
    assert rows.arrow().to_pylist() == [{"id": 123, "user": "Williams"}]
    assert rows.df().to_dict("records") == [{"id": 123, "user": "Williams"}]
    twice = facts.execute("SELECT id AS a, id AS a FROM Facts")
    assert twice.columns == ["a", "a"] and list(twice) == [(123, 123)]


def test_tables_of_every_type_keep_their_values(db: Database) -> None:
    kinds = (
        "Bool Int8 Int16 Int32 Int64 Uint8 Uint16 Uint32 Uint64 Float Double Utf8 String Json Date Datetime Timestamp"
    )
    columns = ", ".join(f"c{kind} {kind}" for kind in kinds.split())
    db.execute(f"CREATE TABLE T (k Int32, {columns}, PRIMARY KEY (k))")
    values = """true, -128, -32768, -5, -6, 255, 65535, 4294967295, 18446744073709551615, 0.1, 0.1, "é", "\\xff",
        '{"a": 1}', Date("2024-02-29"), Datetime("2024-02-29T01:02:03Z"), Timestamp("2024-02-29T01:02:03.000004Z")"""
    names = ", ".join(f"c{kind}" for kind in kinds.split())
    db.execute(f"INSERT INTO T (k, {names}) VALUES (1, {values})")
    rows = db.execute("SELECT * FROM T")
    assert [str(kind) for kind in rows.kinds[1:]] == kinds.split()
    assert rows[0][1:] == (
        *(True, -128, -32768, -5, -6, 255, 65535, 4294967295, 18446744073709551615),
        *(float(np.float32(0.1)), 0.1, "é", b"\xff", '{"a": 1}', datetime.date(2024, 2, 29)),
        *(datetime.datetime(2024, 2, 29, 1, 2, 3), datetime.datetime(2024, 2, 29, 1, 2, 3, 4)),
    )
    found = db.execute('SELECT k FROM T WHERE cDate = "2024-02-29" AND cDatetime < "2025-01-01T00:00:00Z"')
    assert list(found) == [(1,)]


def test_rows_are_printed(facts: Database) -> None:
    rows = facts.execute("SELECT id, user, embedding, NULL AS n, 0.1f AS f, [1.f, 2.f] AS v FROM Facts")
    text = '"\\x00\\x00\\x80?\\x00\\x00\\x00@\\x00\\x00@@\\x00\\x00\\x80@\\x01"'
    assert list(as_table(rows)) == [
        f" id  user      {'embedding':{len(text)}}  n       f  v",
        f"---  --------  {'-' * len(text)}  ----  ---  ------",
        f"123  Williams  {text}  NULL  0.1  [1, 2]",
    ]
    assert list(as_json(rows)) == [
        '{"id": 123, "user": "Williams", "embedding": {"base64": "AACAPwAAAEAAAEBAAACAQAE="}, "n": null, "f": 0.1, '
        '"v": [1.0, 2.0]}'
    ]
