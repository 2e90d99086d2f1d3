"""The statements of YDB's pages as they stand today: structs, lists, index settings, full text, JSON; and joins."""

import datetime
import decimal
import itertools
import struct
import threading
import time
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest

import vicinal.sql
from vicinal.errors import DataError, UsageError
from vicinal.sql.database import Database
from vicinal.sql.faults import SqlError
from vicinal.sql.io.printing import shown
from vicinal.sql.vectors import binary
from workplace import start


@pytest.fixture
def db() -> Iterator[Database]:
    with vicinal.sql.connect() as found:
        yield found


def rows(db: Database, yql: str, **given: Any) -> list[tuple[Any, ...]]:
    return list(db.execute(yql, given))


def vectors(db: Database, table: str, found: np.ndarray, form: str = "Float") -> None:
    """A table with the vectors, the keys 0, 1, ... and g = key % 5."""
    db.execute(f"CREATE TABLE {table} (id Uint64, g Int32, e String, PRIMARY KEY (id))")
    kinds = {"id": "Uint64", "g": "Int32", "e": "String"}
    columns = [
        pyarrow.array(np.arange(len(found)), pyarrow.uint64()),
        pyarrow.array(np.arange(len(found)) % 5, pyarrow.int32()),
        binary.binary_array(binary.to_binaries(found, form)),
    ]
    batch = pyarrow.table(columns, names=list(kinds))
    db.load(
        table, {name: vicinal.sql.types.Type(kind) for name, kind in kinds.items()}, "id", iter([batch]), len(found)
    )


# langchain-ydb's insert, filter and delete, with its own texts.
INSERT = """
        DECLARE $documents AS List<Struct<
            id: Utf8,
            document: Utf8,
            embedding: {kind},
            metadata: Json>>;

        UPSERT INTO `docs` (id, document, embedding, metadata)
        SELECT id, document, {embedding}, metadata
        FROM AS_TABLE($documents);
"""


def test_langchains_statements(db: Database) -> None:
    db.execute(
        "CREATE TABLE IF NOT EXISTS `docs` (id Utf8, document Utf8, embedding String, metadata Json, PRIMARY KEY (id));"
    )
    each = [{"id": f"d{i}", "document": f"text {i}", "metadata": f'{{"kind": "k{i % 2}"}}'} for i in range(4)]
    packed = [one | {"embedding": struct.pack("2f", i, 1) + b"\x01"} for i, one in enumerate(each)]
    db.execute(INSERT.format(kind="String", embedding="embedding"), {"$documents": packed})
    stored = rows(db, "SELECT id, embedding FROM docs ORDER BY id")
    assert stored == [(one["id"], one["embedding"]) for one in packed]
    lists = [one | {"embedding": [float(i), 1.0]} for i, one in enumerate(each)]
    untagged = "Untag(Knn::ToBinaryStringFloat(embedding), 'FloatVector')"
    db.execute(INSERT.format(kind="List<Float>", embedding=untagged), {"$documents": lists})
    assert rows(db, "SELECT id, embedding FROM docs ORDER BY id") == stored
    search = """
        DECLARE $embedding as String;
        $TargetEmbedding = $embedding;
        SELECT id as id, Knn::CosineSimilarity(embedding, $TargetEmbedding) as score
        FROM docs WHERE JSON_VALUE(metadata, "$.kind") = "k1" ORDER BY score DESC LIMIT 3;"""
    assert [one for one, _ in rows(db, search, embedding=struct.pack("2f", 3, 1) + b"\x01")] == ["d3", "d1"]
    db.execute("DELETE FROM docs WHERE id IN ['d0', 'd1']")
    for ids in (["d2", "d3"], ["d2", "d3"] * 40):
        assert rows(db, "DECLARE $ids AS List<Utf8>; SELECT id FROM docs WHERE id IN $ids ORDER BY id", ids=ids) == [
            ("d2",),
            ("d3",),
        ]


@pytest.mark.parametrize(
    ("yql", "given", "expected"),
    [
        ("SELECT AsStruct(1 AS a, 'x' AS b).b AS x", {}, b"x"),
        ("SELECT <|a: 1, 'b': 2.5|>.b AS x", {}, 2.5),
        ("SELECT a FROM AS_TABLE(AsList(AsStruct(1 AS a), AsStruct(2 AS a))) ORDER BY a DESC LIMIT 1", {}, 2),
        ("DECLARE $s AS Struct<a: Int32, b: Utf8?>; SELECT $s.a AS x", {"s": {"a": 7}}, 7),
        ("SELECT ListLength($l) AS n", {"l": [{"a": 1}, {"a": 2}]}, 2),
        ("DECLARE $q AS string; $q = Knn::ToBinaryStringFloat([3.f, 4.f]); SELECT Knn::EuclideanDistance($q, $o) AS x",
         {"o": [0.0, 0.0]}, 5.0),
        ("DECLARE $v AS List<Uint8>; SELECT Knn::ManhattanDistance($v, Knn::ToBinaryStringUint8([1ut, 5ut])) AS x",
         {"v": [2, 2]}, 4.0),
        ('SELECT JSON_VALUE(Json(@@{"a": [{"b": 1}, {"b": 2}]}@@), "$.a[1].b" RETURNING Int32) AS x', {}, 2),
        ('SELECT JSON_EXISTS(Json(@@{"a": [{"b": 1}]}@@), "$.a.b") AS x', {}, True),
        ('SELECT JSON_VALUE(Json(@@{"a": 1}@@), "strict $.b") AS x', {}, None),
        ('SELECT JSON_VALUE(Json(@@{"a": 1}@@), "$.b" DEFAULT "none"u ON EMPTY) AS x', {}, "none"),
        ('SELECT CAST(String::SplitToList("1.5 2", " ") AS List<Float>) AS x', {}, [1.5, 2.0]),
    ],
)  # fmt: skip
def test_values(db: Database, yql: str, given: dict[str, Any], expected: Any) -> None:
    assert db.execute(yql, given)[0][0] == expected


def test_the_prepared_data_sets_conversion(db: Database) -> None:
    """The recipe's own expression over a printed vector."""
    db.execute("CREATE TABLE wikipedia (id Uint64 NOT NULL, emb Utf8, embedding String, PRIMARY KEY (id))")
    db.execute("INSERT INTO wikipedia (id, emb) VALUES (5, '[ 0.5  1.25\n -3 ]')", {})
    db.execute(
        """declare $begin As Int32; UPDATE wikipedia SET embedding = Unwrap(Untag(Knn::ToBinaryStringFloat(Cast(
        String::SplitToList(String::Strip(String::ReplaceAll(String::RemoveAll(String::RemoveFirst(String::RemoveLast(
        CAST(emb AS String), "]"), "["), "\\n"), "  ", " ")), " ") AS List<Float>)), "FloatVector"))
        WHERE id >= $begin AND id < $begin + 10000;""",
        {"begin": 0},
    )
    assert rows(db, "SELECT Knn::FloatFromBinaryString(embedding) AS e FROM wikipedia") == [([0.5, 1.25, -3.0],)]


# Index settings and index statements.


def recall(db: Database, view: str, found: np.ndarray, form: str = "Float") -> float:
    hits = 0
    for row in range(0, len(found), 20):
        given = {"q": binary.to_binary(found[row], form)}
        order = "ORDER BY Knn::CosineDistance(e, $q) LIMIT 10"
        exact, near = (rows(db, f"SELECT id FROM T {one} {order}", **given) for one in ("", f"VIEW {view}"))
        hits += len(set(exact) & set(near))
    return hits / (10 * len(range(0, len(found), 20)))


def test_settings_have_no_case_and_what_the_data_say_may_be_left_out(db: Database) -> None:
    found = np.random.default_rng(3).normal(size=(300, 6))
    vectors(db, "T", found)
    db.execute("ALTER TABLE T ADD INDEX plain GLOBAL USING vector_kmeans_tree ON (e) WITH (distance=cosine)")
    db.execute(
        'ALTER TABLE T ADD INDEX three GLOBAL SYNC USING vector_kmeans_tree ON (e) WITH (Distance="Cosine", '
        'vector_type="Float", Vector_Dimension=6, Levels=2, clusters=6, overlap_clusters=3)'
    )
    db.execute(
        "ALTER TABLE T ADD INDEX adaptive GLOBAL USING vector_kmeans_tree ON (g, e) WITH (distance=cosine, "
        'vector_type="float", vector_dimension=6, clusters=64, levels=1, adaptive_clusters=true)'
    )
    assert db.tables()["T"].indexes["plain"].settings["vector_dimension"] == 6
    (tree,) = {
        len(one.levels[0]) for one in db._definitions.vectors._forest(db.tables()["T"], "adaptive").trees.values()
    }
    assert tree == 2  # 60 vectors of each g, below 100
    db.execute('PRAGMA ydb.KMeansTreeSearchTopSize = "2"')
    held = rows(db, "SELECT COUNT(*) AS n FROM T")
    assert held == [(300,)] and recall(db, "three", found) > recall(db, "plain", found) - 0.1
    db.execute('PRAGMA ydb.KMeansTreeSearchTopSize = "1000"')
    assert recall(db, "three", found) == recall(db, "plain", found) == 1.0
    db.execute("UPSERT INTO T (id, e) VALUES (7, $e)", {"e": np.full(6, 9.0)})  # a change keeps the overlap right
    query = "SELECT id FROM T VIEW three ORDER BY Knn::CosineDistance(e, $q) LIMIT 1"
    assert rows(db, query, q=np.full(6, 1.0)) == [(7,)]


@pytest.mark.parametrize("form", ["Float16", "BFloat16", "Bit", "Int8", "Uint8"])
def test_an_index_over_every_stored_format(db: Database, form: str) -> None:
    found = np.abs(np.random.default_rng(4).normal(size=(120, 70)) * 20).round() - 12 * (form != "Uint8")
    vectors(db, "T", found, form)
    db.execute(
        f'ALTER TABLE T ADD INDEX i GLOBAL USING vector_kmeans_tree ON (e) WITH (distance=cosine, vector_type="{form}")'
    )
    db.execute('PRAGMA ydb.KMeansTreeSearchTopSize = "100"')
    assert recall(db, "i", found, form) == 1.0


def test_indexes_are_renamed_dropped_and_shown(db: Database) -> None:
    vectors(db, "T", np.random.default_rng(5).normal(size=(40, 4)))
    made = """CREATE TABLE S (id Uint64, u Utf8, v Int32 NOT NULL, e String,
        INDEX by_u GLOBAL SYNC ON (u) COVER (v), PRIMARY KEY (id));
        ALTER TABLE S ADD INDEX by_v GLOBAL ASYNC ON (v);
        INSERT INTO S (id, u, v, e) SELECT id, CAST(id AS Utf8) AS u, g AS v, e FROM T;
        ALTER TABLE S ADD INDEX near GLOBAL USING vector_kmeans_tree ON (e) WITH (distance=cosine, clusters=4);
        ALTER TABLE S ADD INDEX words GLOBAL USING fulltext_plain ON (u) WITH (tokenizer=whitespace);
        ALTER TABLE S RENAME INDEX near TO nearest; ALTER TABLE S RENAME INDEX by_v TO of_v;
        ALTER TABLE S RENAME INDEX words TO text"""
    db.execute(made)
    assert list(db.tables()["S"].indexes) == ["by_u", "nearest", "of_v", "text"]
    target = {"q": [1.0, 2.0, 3.0, 4.0]}
    assert len(rows(db, "SELECT id FROM S VIEW nearest ORDER BY Knn::CosineDistance(e, $q) LIMIT 3", **target)) == 3
    assert rows(db, "SELECT COUNT(*) AS n FROM S VIEW of_v WHERE v = 3") == [(8,)]
    path, kind, create = db.execute("SHOW CREATE TABLE S")[0]
    with vicinal.sql.connect() as other:
        other.execute(create)
        assert (path, kind) == ("S", "Table") and other.execute("SHOW CREATE TABLE S")[0][2] == create
    db.execute("ALTER TABLE S DROP INDEX of_v; ALTER TABLE S DROP INDEX nearest; ALTER TABLE S DROP INDEX text")
    assert list(db.tables()["S"].indexes) == ["by_u"]
    for wrong, said in (
        ("ALTER TABLE S RENAME INDEX of_v TO x", "1:28: unknown index 'of_v'"),
        ("ALTER TABLE S ADD INDEX x GLOBAL ON (w)", "1:38: unknown column 'w'"),
        ("ALTER TABLE S ADD INDEX x GLOBAL ON (v) WITH (a=1)", "WITH (...) of a secondary index is outside"),
        ("ALTER TABLE S ADD INDEX x GLOBAL UNIQUE ON (v)", "a unique index is outside the subset"),
        ("SHOW TABLES", "SHOW TABLES is outside the subset; write SHOW CREATE TABLE t, or .tables"),
    ):
        with pytest.raises(SqlError) as refused:
            db.execute(wrong)
        assert said in str(refused.value)


# Full text and hybrid search.

ARTICLES = """
CREATE TABLE articles (id Uint64, title String, body String, PRIMARY KEY (id));
ALTER TABLE articles ADD INDEX ft_idx GLOBAL USING fulltext_relevance ON (body) COVER (title)
WITH (tokenizer=standard, use_filter_lowercase=true);
UPSERT INTO articles (id, title, body) VALUES
  (1, "Intro",  "Machine learning is a field of AI"),
  (2, "Search", "Fulltext search finds documents by words"),
  (3, "Notes",  "Neural networks are used in machine learning");"""


def bm25(documents: list[list[str]], terms: list[str], k1: float = 1.2, b: float = 0.75) -> list[float]:
    """Okapi BM25 with Lucene's idf, by the definition; 0 where a term is missing."""
    mean = np.mean([len(one) for one in documents])
    scores = []
    for words in documents:
        score = 0.0
        for term in terms:
            df = sum(term in one for one in documents)
            tf = words.count(term)
            idf = np.log(1 + (len(documents) - df + 0.5) / (df + 0.5))
            score += idf * tf * (k1 + 1) / (tf + k1 * (1 - b + b * len(words) / mean))
        scores.append(score if all(term in words for term in terms) else 0.0)
    return scores


def test_the_full_text_page(db: Database) -> None:
    db.execute(ARTICLES)
    match = "SELECT id FROM articles VIEW ft_idx WHERE FulltextMatch(body, {}) ORDER BY id"
    for query, expected in (
        ('"machine learning"', [1, 3]),
        ('"machine search ai", "Keywords" AS Mode, "Or" AS DefaultOperator, "66%" AS MinimumShouldMatch', [1, 2, 3]),
        ('"machine field ai", "Or" AS DefaultOperator, "2" AS MinimumShouldMatch', [1]),
        ("'+machine -neural', 'query' AS Mode", [1]),
        ("'\"in machine learning\"', 'Query' AS Mode", [3]),
        ("'search AI', 'Query' AS Mode", [1, 2]),
        ('""', []),
    ):
        assert [one for (one,) in rows(db, match.format(query))] == expected, query
    texts = [body.decode().lower().split() for (body,) in rows(db, "SELECT body FROM articles ORDER BY id")]
    score = 'FulltextScore(body, "machine learning"{})'
    for given, k1, b in (("", 1.2, 0.75), (", 0.5 AS K1, 0.2 AS B", 0.5, 0.2)):
        call = score.format(given)
        found = rows(db, f"SELECT {call} AS s FROM articles VIEW ft_idx ORDER BY id")
        assert [one for (one,) in found] == pytest.approx(bm25(texts, ["machine", "learning"], k1, b))
    db.execute("UPDATE articles SET body = 'nothing' WHERE id = 3; DELETE FROM articles WHERE id = 2")
    assert rows(db, match.format('"machine learning"')) == [(1,)]
    for wrong, said in (
        ("SELECT id FROM articles WHERE FulltextMatch(body, 'a')", "needs a full-text index: write VIEW ft_idx"),
        (match.format("'a%', 'Wildcard' AS Mode"), "needs an index with use_filter_ngram=true"),
        (match.format("'a', 1 AS Slop"), "found Slop AS an argument"),
        ("ALTER TABLE articles ADD INDEX x GLOBAL USING fulltext_plain ON (title) WITH (use_filter_snowball=true)",
         "needs language="),
    ):  # fmt: skip
        with pytest.raises(SqlError) as refused:
            db.execute(wrong)
        assert said in str(refused.value)


def test_n_grams_and_stems(db: Database) -> None:
    db.execute("CREATE TABLE t (id Uint64, body Utf8, PRIMARY KEY (id))")
    db.execute("INSERT INTO t (id, body) VALUES (1, 'Machines learned'u), (2, 'a car'u)")
    db.execute(
        "ALTER TABLE t ADD INDEX gram GLOBAL USING fulltext_plain ON (body) WITH (tokenizer=standard, "
        "use_filter_lowercase=true, use_filter_ngram=true, filter_ngram_min_length=3, filter_ngram_max_length=4); "
        "ALTER TABLE t ADD INDEX stem GLOBAL USING fulltext_plain ON (body) WITH (tokenizer=standard, "
        'use_filter_lowercase=true, use_filter_snowball=true, language="english")'
    )
    for view, query in (("gram", "'chin'"), ("gram", "'%earn%', 'Wildcard' AS Mode"), ("stem", "'machine learning'")):
        assert rows(db, f"SELECT id FROM t VIEW {view} WHERE FulltextMatch(body, {query})") == [(1,)], query


def test_hybrid_rank_against_the_definition(db: Database) -> None:
    random = np.random.default_rng(6)
    words = ["alpha", "beta", "gamma", "delta"]
    found = random.normal(size=(30, 4)).astype(np.float32)
    texts = [" ".join(random.choice(words, size=random.integers(1, 8))) for _ in found]
    db.execute("CREATE TABLE d (id Uint64, text Utf8, e String, PRIMARY KEY (id))")
    each = [{"id": i, "text": text, "e": binary.to_binary(found[i])} for i, text in enumerate(texts)]
    db.execute(
        "DECLARE $l AS List<Struct<id: Uint64, text: Utf8, e: String>>; INSERT INTO d SELECT * FROM AS_TABLE($l)",
        {"l": each},
    )
    db.execute(
        "ALTER TABLE d ADD INDEX ft GLOBAL USING fulltext_relevance ON (text) WITH (tokenizer=standard); "
        "ALTER TABLE d ADD INDEX vec GLOBAL USING vector_kmeans_tree ON (e) WITH (distance=cosine)"
    )
    db.execute('PRAGMA ydb.KMeansTreeSearchTopSize = "100"')
    query = np.array([1.0, 0.5, -0.2, 0.1], np.float32)
    scores = bm25([text.split() for text in texts], ["alpha", "beta"])
    far = 1 - (found @ query) / (np.linalg.norm(found, axis=1) * np.linalg.norm(query))
    by_text = [one for one in sorted(range(30), key=lambda i: (-scores[i], i)) if scores[one] > 0][:20]
    by_vector = sorted(range(30), key=lambda i: (far[i], i))[:20]
    for weights in ((1.0, 1.0), (1.0, 3.0)):
        fused: dict[int, float] = {}
        for weight, ranking in zip(weights, (by_text, by_vector), strict=True):
            for place, row in enumerate(ranking, start=1):
                fused[row] = fused.get(row, 0.0) + weight / (60 + place)
        expected = sorted(fused, key=lambda i: (-fused[i], i))[:5]
        yql = f"""SELECT id FROM d ORDER BY HybridRank(FullTextScore(text, "alpha beta"),
            Knn::CosineDistance(e, $q), ({weights[0]}, {weights[1]}) AS Weights, (20, 20) AS Limits) LIMIT 5"""
        assert [one for (one,) in rows(db, yql, q=query)] == expected
        assert [one for (one,) in rows(db, yql.replace("q), (", "q), AsTuple("), q=query)] == expected
    with pytest.raises(SqlError, match=r"HybridRank needs one index of type fulltext_relevance on .id."):
        db.execute("SELECT id FROM d ORDER BY HybridRank(FullTextScore(id, 'a'), Knn::CosineDistance(e, 'b')) LIMIT 2")


# Order, warnings, limits.


def test_pages_of_ties_hold_each_row_once(db: Database) -> None:
    same = np.tile([1.0, 2.0], (320, 1))
    same[:19] = np.random.default_rng(7).normal(size=(19, 2))
    vectors(db, "T", same[np.random.default_rng(8).permutation(320)])
    order = "SELECT id FROM T ORDER BY Knn::CosineDistance(e, $q) LIMIT {} OFFSET {}"
    given = {"q": [1.0, 2.0]}
    pages = [rows(db, order.format(10, at), **given) for at in range(0, 320, 10)]
    whole = rows(db, order.format(5000, 0), **given)
    assert list(itertools.chain(*pages)) == whole and len(set(whole)) == 320
    assert rows(db, order.format(20, 0), **given) == whole[:20]
    db.execute("CREATE TABLE Q (id Uint64, e String, PRIMARY KEY (id))")
    db.execute("INSERT INTO Q (id, e) VALUES (1, Knn::ToBinaryStringFloat([1.f, 2.f]))")
    ranked = """SELECT f FROM (SELECT q.id AS q, t.id AS f, ROW_NUMBER() OVER (
        PARTITION BY q.id ORDER BY Knn::CosineDistance(t.e, q.e)) AS place FROM T AS t CROSS JOIN Q AS q)
        WHERE place <= 40 ORDER BY place LIMIT 40"""
    assert sorted(rows(db, ranked)) == sorted(whole[:40])  # one pass for all targets keeps ties alike


@pytest.mark.parametrize(
    "yql", ["SELECT id FROM T ORDER BY {}", "SELECT {} AS d FROM T", "SELECT {} AS d FROM T LIMIT 2"]
)
def test_a_target_of_another_length_is_warned_about_once(db: Database, yql: str) -> None:
    vectors(db, "T", np.ones((5000, 4)))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = rows(db, yql.format("Knn::CosineDistance(e, $q)"), q=[1.0, 2.0, 3.0])
    assert yql.startswith("SELECT id") or {one for (one,) in found} == {None}
    (one,) = said
    assert "of a Float vector of 4 elements and a Float vector of 3 elements is NULL" in str(one.message)


@pytest.mark.parametrize(
    ("yql", "said"),
    [
        ("$a0 = 'x'; " + "".join(f"$a{i} = $a{i - 1} || $a{i - 1};" for i in range(1, 60)) + "SELECT $a59",
         "more than 100,000 parts"),
        ("$f0 = ($x) -> ($x + $x); " + "".join(f"$f{i} = ($x) -> ($f{i - 1}($f{i - 1}($x)));" for i in range(1, 60))
         + "SELECT $f59(1)", "more than 100,000 parts"),
        ("SELECT 1;\nSELECT ListFromRange(0, 10000000000)", "2:8: ListFromRange: 10,000,000,000 elements"),
        ("SELECT ListReplicate(1, 10000000000)", "1:8: ListReplicate: 10,000,000,000 elements"),
        ("SELECT ListReplicate(ListReplicate(1, 9999), 9999)", "1:1: .*more than 1,000,000 elements"),
        ("SELECT " + "(" * 3000 + "1" + ")" * 3000, "1:1: this statement is nested too deeply"),
        ("SELECT " + "1 + " * 20000 + "1", "1:1: this statement is nested too deeply"),
        ("SELECT 1 AS a " + "UNION ALL SELECT 1 AS a " * 2000, "1:1: this statement is nested too deeply"),
    ],
    ids=["names", "lambdas", "range", "replicate", "nested", "parentheses", "sum", "union"],
)  # fmt: skip
def test_limits_are_errors_with_their_place(db: Database, yql: str, said: str) -> None:
    with pytest.raises(SqlError, match=said) as refused:
        db.execute(yql)
    assert refused.value.line


# YDB computes Float? of float32 sums and clamps nothing: knn-distance.h, `norm != 0 ? lr / norm : 1`.
@pytest.mark.parametrize(
    ("a", "b", "form", "expected"),
    [
        ([1e-25, 1e-25], [1e-25, -1e-25], "Float", 1.0),  # the squares underflow: no norm
        ([1e25, 1e25], [1e25, 1e25], "Float", float("nan")),  # they overflow: infinity by infinity
        ([1, 2], [2, 4], "Uint8", 1.0),
    ],
)
def test_cosines_beyond_float32_are_ydbs(db: Database, a: Any, b: Any, form: str, expected: float) -> None:
    ((found,),) = rows(
        db, "SELECT Knn::CosineSimilarity($a, $b) AS c", a=binary.to_binary(a, form), b=binary.to_binary(b, form)
    )
    assert found == pytest.approx(expected, abs=1e-6, nan_ok=True)


# Joins, and tables and connections of the caller's.


@pytest.mark.parametrize("name", ["CosineDistance", "EuclideanDistance", "ManhattanDistance", "InnerProductSimilarity"])
@pytest.mark.parametrize("form", ["Float", "Int8"])
def test_a_nearest_join_gives_the_rows_of_the_cross_join(db: Database, name: str, form: str) -> None:
    random = np.random.default_rng(9)
    for table, n in (("A", 40), ("B", 60)):
        vectors(db, table, (random.normal(size=(n, 5)) * 30).round(), form)
    down = " DESC" if name.endswith("Similarity") else ""
    call = f"Knn::{name}(a.e, b.e)"
    near = rows(
        db,
        f"""SELECT a.id AS l, b.id AS r, {call} AS d FROM A AS a JOIN NEAREST 3 B AS b BY {call}
        WHERE a.g < 3 AND b.g != 1 ORDER BY l, d{down}, r""",
    )
    plain = rows(
        db,
        f"""SELECT l, r, d FROM (SELECT a.id AS l, b.id AS r, {call} AS d, ROW_NUMBER() OVER (
        PARTITION BY a.id ORDER BY {call}{down}) AS p FROM A AS a CROSS JOIN B AS b WHERE a.g < 3 AND b.g != 1)
        WHERE p <= 3 ORDER BY l, d{down}, r""",
    )
    assert near == plain and len(near) == 24 * 3


@pytest.mark.parametrize(
    ("yql", "said"),
    [
        ("SELECT 1 FROM A JOIN NEAREST 0 B BY Knn::CosineDistance(A.e, B.e)", "a number from 1 to 10,000"),
        ("SELECT 1 FROM A JOIN NEAREST 2 B BY Knn::CosineDistance(A.e, A.e)", "a column of each of the two tables"),
        ("SELECT 1 FROM A JOIN NEAREST 2 B BY A.id", "BY takes a function of Knn"),
        (
            "SELECT 1 FROM A JOIN NEAREST 2 B BY Knn::CosineDistance(A.e, B.e) WHERE A.id = B.id",
            "about one of the tables",
        ),
        ("SELECT 1 FROM A LEFT JOIN NEAREST 2 B BY Knn::CosineDistance(A.e, B.e)", "LEFT JOIN NEAREST is outside"),
        (
            "SELECT 1 FROM A FULL OUTER JOIN NEAREST 2 B BY Knn::CosineDistance(A.e, B.e)",
            "1:17: FULL OUTER JOIN NEAREST is outside the subset; write JOIN NEAREST, which is inner",
        ),
    ],
)
def test_what_a_nearest_join_does_not_take(db: Database, yql: str, said: str) -> None:
    for table in "AB":
        vectors(db, table, np.ones((2, 2)))
    with pytest.raises(SqlError, match=said):
        db.execute(yql)


def test_dataframes_are_tables_for_reading() -> None:
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    left = pandas.DataFrame({"id": [3, 1], "u": ["a", "b"], "e": [np.array([3.0, 0.0]), np.array([0.0, 1.0])]})
    right = polars.DataFrame({"k": ["x", "y"], "e": [[0.0, 1.0], [3.0, 4.0]]})
    with vicinal.sql.connect(tables={"L": left, "R": right}) as db:
        yql = """SELECT L.id AS i, R.k AS k, Knn::EuclideanDistance(L.e, R.e) AS d FROM L JOIN NEAREST 1 R
            BY Knn::EuclideanDistance(L.e, R.e) WHERE L.u != "z"u ORDER BY i"""
        assert rows(db, yql) == [(1, "x", 0.0), (3, "x", pytest.approx(10**0.5))]
        for change in ("DELETE FROM L", "DROP TABLE L", "ALTER TABLE L ADD INDEX i GLOBAL ON (id)"):
            with pytest.raises(SqlError, match="table L was registered and is for reading only"):
                db.execute(change)
        for wrong, said in ((3, "expected a DataFrame"), (pyarrow.table({"x": [{"a": 1}]}), "no type in YQL")):
            with pytest.raises((UsageError, DataError), match=said):
                db.register("w", wrong)


def test_functions_in_a_connection_of_duckdbs() -> None:
    duckdb = pytest.importorskip("duckdb")
    random = np.random.default_rng(10)
    a, b = random.normal(size=(20, 6)), random.normal(size=(30, 6))
    con = duckdb.connect()
    vicinal.sql.install(con)
    for name, values in (("a", a), ("b", b)):
        con.register(name, pyarrow.table({"id": np.arange(len(values)), "e": list(values)}))
    query = (
        "SELECT * FROM knn_join('SELECT id, e FROM a', 'SELECT id, e FROM b WHERE id >= 5', 3, metric := 'euclidean')"
    )
    found = con.sql(query).fetchall()
    far = np.linalg.norm(a[:, None] - b[None, 5:], axis=2)
    assert [one[:2] for one in found] == [(i, int(j) + 5) for i in range(20) for j in np.argsort(far[i])[:3]]
    assert con.sql("SELECT knn_euclidean_distance([0.0, 3.0], [4.0, 0.0])").fetchall() == [(5.0,)]
    with pytest.raises(UsageError, match="in this connection already"):
        vicinal.sql.install(con)
    with pytest.raises(UsageError, match="expected a connection of DuckDB's"):
        vicinal.sql.install("facts.db")
    with pytest.raises(duckdb.Error, match="unknown metric 'l3'"):
        con.sql(query.replace("euclidean", "l3")).fetchall()


def test_a_struct_is_printed(db: Database) -> None:
    found = db.execute("SELECT AsStruct(1 AS a, 'x' AS b) AS s")
    assert shown(found[0][0], found.kinds[0]) == "<|a: 1, b: x|>" and found.arrow().num_rows == 1


def test_threads_share_a_database(db: Database) -> None:
    """Transactions of several threads do not mix, and an export reads the rows of its beginning."""
    db.execute("CREATE TABLE T (id Uint64, t Int32, PRIMARY KEY (id))")

    def write(thread: int) -> None:
        for step in range(6):
            at = 100 * thread + 2 * step
            db.execute(f"BEGIN; INSERT INTO T (id, t) VALUES ({at}, {thread})")
            db.execute(f"INSERT INTO T (id, t) VALUES ({at + 1}, {thread})")
            db.execute("ROLLBACK" if step % 3 == 0 else "COMMIT")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert rows(db, "SELECT t, COUNT(*) AS n FROM T GROUP BY t ORDER BY t") == [(number, 8) for number in range(8)]
    reader = db.stream(db.tables()["T"], ["id"], 10)
    db.execute("DELETE FROM T")
    assert sum(batch.num_rows for batch in reader) == 64


def test_imports_into_a_table_that_has_rows(db: Database, tmp_path: Path) -> None:
    np.save(tmp_path / "e.npy", np.ones((10, 2), np.float32))
    vicinal.sql.import_table(db, "T", tmp_path / "e.npy")
    with pytest.raises(DataError, match="The table has 10 rows already: --if-exists replace"):
        vicinal.sql.import_table(db, "T", tmp_path / "e.npy")
    for mode, count in (("append", 20), ("upsert", 20), ("replace", 10)):
        vicinal.sql.import_table(db, "T", tmp_path / "e.npy", if_exists=mode)
        assert rows(db, "SELECT COUNT(*) AS n FROM T") == [(count,)]
    with pytest.raises(UsageError, match="expected the name of a file"):
        vicinal.sql.connect("")


INTERRUPTED = """
import os, signal, threading, vicinal.sql
db = vicinal.sql.connect()
db.execute("CREATE TABLE T (id Uint64, PRIMARY KEY (id))")
db.execute("INSERT INTO T (id) SELECT x.a AS id FROM AS_TABLE($l) AS x", {"l": [{"a": i} for i in range(20000)]})
threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    db.execute("SELECT COUNT(*) AS n FROM T AS a CROSS JOIN T AS b CROSS JOIN T AS c WHERE a.id + b.id + c.id = 7")
except KeyboardInterrupt:
    print(list(db.execute("SELECT COUNT(*) AS n FROM T")))
"""


def test_ctrl_c_ends_a_query_and_the_database_lives(tmp_path: Path) -> None:
    with start(INTERRUPTED, cwd=tmp_path) as child:
        out, errors = child.communicate()
    assert out == "[(20000,)]\n", errors


# What parameters of every type, and neighbours without a distance, are.


ID = uuid.UUID("f9d5cc3f-f1dc-4d9c-b97e-766e57ca4ccb")


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("Bool", True),
        ("Date", datetime.date(2020, 1, 2)),
        ("Datetime", datetime.datetime(2020, 1, 2, 3)),
        ("Timestamp", datetime.datetime(2020, 1, 2, 3, 4, 5, 6)),
        ("Interval", datetime.timedelta(hours=-1)),
        ("Uuid", ID),
        ("Decimal(22,9)", decimal.Decimal("1.5")),
        ("JsonDocument", '{"a": 1}'),
        ("Int64", 1),
    ],
)
def test_a_list_of_every_type_is_a_parameter(db: Database, kind: str, value: Any) -> None:
    yql = f"DECLARE $l AS List<{kind}?>; DECLARE $v AS {kind}; SELECT $v IN $l, $v, $l, [$v]"
    assert rows(db, yql, l=[value, None], v=value) == [(True, value, [value, None], [value])]
    if kind != "JsonDocument":
        assert rows(db, "SELECT $v IN $l", l=[value], v=value) == [(True,)]


def test_a_moment_with_a_zone_is_the_same_moment(db: Database) -> None:
    there = datetime.datetime(2020, 1, 1, 3, tzinfo=datetime.timezone(datetime.timedelta(hours=3)))
    assert rows(db, "SELECT $v, $l", v=there, l=[there]) == [
        (datetime.datetime(2020, 1, 1), [datetime.datetime(2020, 1, 1)])
    ]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([1, "a"], "expected values of one type, found 1"),
        ([None], "expected numbers"),
        (decimal.Decimal("nan"), "NaN does not fit"),
        (decimal.Decimal("1e-10"), "does not fit Decimal"),
    ],
)
def test_a_parameter_of_no_type_is_refused(db: Database, value: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        db.execute("SELECT $v", {"$v": value})


@pytest.mark.parametrize("name", ["CosineDistance", "EuclideanDistance", "CosineSimilarity", "InnerProductSimilarity"])
def test_rows_without_a_distance_take_no_place_of_a_nearest_join(db: Database, name: str) -> None:
    vectors(db, "A", np.array([[1.0, 0.0], [0.0, 1.0]]))
    vectors(db, "B", np.array([[1.0, 0.1], [0.1, 1.0], [2.0, 2.0]]))
    nan, longer = binary.to_binary([1.0, np.nan], "Float"), binary.to_binary([1.0, 0.0, 0.0], "Float")
    db.execute("UPSERT INTO B (id, e) VALUES (7, $n), (8, $l), (9, NULL)", {"$n": nan, "$l": longer})
    call = f"Knn::{name}(a.e, b.e)"
    yql = f"SELECT a.id, b.id, {call} AS d FROM A AS a JOIN NEAREST 10 B AS b BY {call}"
    with pytest.warns(UserWarning, match="Float vector of 3 elements"):
        found = rows(db, yql)
    assert len(found) == 8 and sum(not np.isfinite(one[2]) for one in found) == 2  # NaN is a distance, NULL is none
    with pytest.warns(UserWarning):
        first = rows(db, yql.replace("NEAREST 10", "NEAREST 3"))
    assert len(first) == 6 and np.isfinite([one[2] for one in first]).all()


def test_columns_of_frames_keep_their_types_and_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        moment = datetime.datetime(2020, 1, 1, 3, tzinfo=datetime.UTC)
        frame = pyarrow.table(
            {
                "z": pyarrow.array([moment], pyarrow.timestamp("us", "Europe/Paris")),
                "s": pyarrow.array(["a"]).dictionary_encode(),
                "d": pyarrow.array([datetime.timedelta(hours=1)]),
                "n": pyarrow.array([decimal.Decimal("1.5")], pyarrow.decimal128(5, 1)),
            }
        )
        with vicinal.sql.connect(tables={"F": frame}) as db:
            found = rows(db, "SELECT * FROM F")
    finally:
        monkeypatch.undo()
        time.tzset()
    assert found == [(moment.replace(tzinfo=None), "a", datetime.timedelta(hours=1), decimal.Decimal("1.5"))]
    for table, said in (
        (pyarrow.table({}), "found none"),
        (pyarrow.table([[1], [2]], names=["a", "a"]), "found a twice"),
    ):
        with pytest.raises(DataError, match=said):
            vicinal.sql.connect(tables={"F": table})


@pytest.mark.parametrize(("given", "kept"), [("clusters=4", False), ("clusters=4, adaptive_clusters=true", True)])
def test_show_create_table_has_what_the_index_was_made_with(db: Database, given: str, kept: bool) -> None:
    vectors(db, "T", np.eye(4))
    db.execute(f"ALTER TABLE T ADD INDEX i GLOBAL USING vector_kmeans_tree ON (e) WITH (distance=cosine, {given})")
    ((_, _, made),) = rows(db, "SHOW CREATE TABLE T")
    assert ("adaptive_clusters=true" in made) == kept
    db.execute("DROP TABLE T")
    db.execute(made)
    assert rows(db, "SHOW CREATE TABLE T") == [("T", "Table", made)]


def test_a_table_without_indexes_says_so(db: Database) -> None:
    vectors(db, "T", np.eye(2))
    with pytest.raises(SqlError, match="unknown index 'i': there is none"):
        db.execute("ALTER TABLE T DROP INDEX i")


@pytest.mark.parametrize(
    ("yql", "said"),
    [
        ("UPDATE T ON SELECT 1u AS id", r"1:10: UPDATE ... ON is outside the subset"),
        ("DELETE FROM T ON SELECT 1u AS id", r"1:15: DELETE FROM ... ON is outside the subset"),
        ("SELECT 1 INTO RESULT x", "INTO RESULT is outside the subset"),
        ('SELECT DateTime::Format("%Y")(Date("2020-01-01"))', r"1:30: a call of a function's result, f\(...\)\(...\),"),
        ('SELECT 1 WHERE Re2::Grep("a")("b")', "a call of a function's result"),
    ],
)
def test_a_construct_is_refused_by_its_name(db: Database, yql: str, said: str) -> None:
    vectors(db, "T", np.eye(2))
    with pytest.raises(SqlError, match=said):
        db.execute(yql)


def test_uuids_and_decimals_come_as_text_too(db: Database) -> None:
    yql = "DECLARE $u AS Uuid; DECLARE $l AS List<Decimal(22,9)>; SELECT $u, $l"
    assert rows(db, yql, u=str(ID), l=["1.5", 2]) == [(ID, [decimal.Decimal("1.5"), decimal.Decimal(2)])]
    with pytest.raises(UsageError, match=r"\$u: expected Uuid, found 'x'"):
        rows(db, yql, u="x", l=[])
