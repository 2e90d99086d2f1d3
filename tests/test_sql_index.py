"""Vector indexes: used where VIEW asks, true distances, kept up to date with the rows."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vicinal.sql
from vicinal.errors import UsageError
from vicinal.sql.database import Database
from vicinal.sql.vectors import binary

WITH = 'WITH (distance={}, vector_type="float", vector_dimension=16, levels={}, clusters={})'


def clustered(n: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(20, 16)) * 4
    return (centres[np.arange(n) % 20] + random.normal(size=(n, 16))).astype(np.float32)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file with a table of 1,500 vectors, which tests copy."""
    path = tmp_path_factory.mktemp("filled") / "t.db"
    with vicinal.sql.connect(path) as made:
        made.execute("CREATE TABLE T (id Uint64, user Utf8, e String, PRIMARY KEY (id))")
        given = {f"v{row}": vector for row, vector in enumerate(clustered(1500))}
        rows = ", ".join(f'({row}, "u{row % 3}", $v{row})' for row in range(1500))
        made.execute(f"UPSERT INTO T (id, user, e) VALUES {rows}", given)
    return path


@pytest.fixture
def db(filled: Path, tmp_path: Path) -> Any:
    shutil.copy(filled, tmp_path / "t.db")
    with vicinal.sql.connect(tmp_path / "t.db") as found:
        yield found


def search(db: Database, view: str, target: np.ndarray, top: int = 10, where: str = "", k: int = 10) -> list[Any]:
    return list(
        db.execute(
            f'PRAGMA ydb.KMeansTreeSearchTopSize = "{top}"; SELECT id, Knn::CosineDistance(e, $q) AS d FROM T {view} '
            f"{where} ORDER BY Knn::CosineDistance(e, $q) LIMIT {k}",
            {"q": target},
        )
    )


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("on", ["e", "user, e"])
def test_a_search_finds_nearly_all_with_true_distances_and_all_where_it_visits_all(
    db: Database, levels: int, on: str
) -> None:
    settings = WITH.format("cosine", levels, 8)
    db.execute(f"ALTER TABLE T ADD INDEX i GLOBAL USING vector_kmeans_tree ON ({on}) COVER (user) {settings}")
    where = 'WHERE user = "u1"' if "user" in on else ""
    recall = []
    for target in clustered(20, seed=7):
        exact = search(db, "", target, where=where)
        assert search(db, "VIEW i", target, top=64, where=where) == exact
        assert search(db, "VIEW PRIMARY KEY", target, where=where) == exact
        found = search(db, "VIEW i", target, top=2, where=where)
        everything = dict(search(db, "", target, k=1500, where=where))
        assert all(everything[row] == distance for row, distance in found)
        recall.append(len({row for row, _ in found} & {row for row, _ in exact}) / 10)
    assert np.mean(recall) >= 0.8
    few = search(db, "VIEW i", clustered(1)[0], top=1, where=where, k=1500)
    assert 0 < len(few) < len(search(db, "", clustered(1)[0], where=where, k=1500))


def test_rows_that_change_are_found_where_they_are(db: Database) -> None:
    db.execute(f"ALTER TABLE T ADD INDEX i GLOBAL USING vector_kmeans_tree ON (user, e) {WITH.format('cosine', 1, 8)}")
    far = np.full(16, 50, np.float32) * np.where(np.arange(16) % 2, 1, -1)
    db.execute('UPSERT INTO T (id, user, e) VALUES (9001, "u1", $v), (9002, "new", $v)', {"v": far})
    for user, row in (("u1", 9001), ("new", 9002)):
        assert search(db, "VIEW i", far, top=1, where=f'WHERE user = "{user}"')[0][0] == row
    db.execute("UPDATE T SET e = $v WHERE id = 5", {"v": far * 2})
    db.execute("UPSERT INTO T (id, e) VALUES (6, $v)", {"v": far * 3})
    found = {row for row, distance in search(db, "VIEW i", far, top=1, k=5)}
    assert {5, 6, 9001, 9002} <= found
    db.execute("DELETE FROM T WHERE id = 9001; REPLACE INTO T (id, user) VALUES (9002, 'new')")
    found = {row for row, distance in search(db, "VIEW i", far, top=8, k=1600)}
    assert not {9001, 9002} & found


@pytest.mark.parametrize(
    ("settings", "call", "down"),
    [
        ("distance=euclidean", "EuclideanDistance", ""),
        ("distance=manhattan", "ManhattanDistance", ""),
        ("similarity=inner_product", "InnerProductSimilarity", " DESC"),
        ("similarity=cosine", "CosineSimilarity", " DESC"),
    ],
)
def test_every_distance_has_its_index(db: Database, settings: str, call: str, down: str) -> None:
    shape = 'vector_type="float", vector_dimension=16, levels=1, clusters=8'
    db.execute(f"ALTER TABLE T ADD INDEX i GLOBAL USING vector_kmeans_tree ON (e) WITH ({settings}, {shape})")
    target = clustered(1, seed=3)[0]
    query = f"SELECT id, Knn::{call}(e, $q) AS s FROM T %s ORDER BY s{down} LIMIT 5"
    exact = list(db.execute(query % "", {"q": target}))
    found = list(db.execute('PRAGMA ydb.KMeansTreeSearchTopSize="3"; ' + query % "VIEW i", {"q": target}))
    assert len({row for row, _ in exact} & {row for row, _ in found}) >= 4
    assert list(db.execute('PRAGMA ydb.KMeansTreeSearchTopSize="8"; ' + query % "VIEW i", {"q": target})) == exact


def test_an_index_is_kept_in_the_file(tmp_path: Any) -> None:
    with vicinal.sql.connect(tmp_path / "t.db") as db:
        db.execute("CREATE TABLE T (id Int32, e String, PRIMARY KEY (id))")
        for row, vector in enumerate(clustered(40)):
            db.execute("INSERT INTO T (id, e) VALUES ($i, $e)", {"i": row, "e": binary.to_binary(vector)})
        db.execute(f"ALTER TABLE T ADD INDEX i GLOBAL USING vector_kmeans_tree ON (e) {WITH.format('cosine', 1, 4)}")
        expected = search(db, "VIEW i", clustered(1)[0], top=1)
    with vicinal.sql.connect(tmp_path / "t.db", read_only=True) as db:
        assert search(db, "VIEW i", clustered(1)[0], top=1) == expected
        assert db.execute("SELECT * FROM T LIMIT 1").columns == ["id", "e"]
    with vicinal.sql.connect(tmp_path / "t.db") as db:
        db.execute("ALTER TABLE T DROP INDEX i")
        with pytest.raises(UsageError, match="unknown index i"):
            search(db, "VIEW i", clustered(1)[0])
        db.execute("DROP TABLE T")
        assert db.tables() == {}


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("SELECT id FROM T VIEW j ORDER BY Knn::CosineDistance(e, $q) LIMIT 1", "1:23: unknown index j"),
        ("SELECT id FROM T VIEW i LIMIT 1", "VIEW i takes ORDER BY Knn::CosineDistance(e, target) and LIMIT"),
        ("SELECT id FROM T VIEW i ORDER BY Knn::CosineDistance(e, $q)", "VIEW i takes ORDER BY"),
        ("SELECT id FROM T VIEW i ORDER BY Knn::EuclideanDistance(e, $q) LIMIT 1", "VIEW i takes ORDER BY"),
        ("SELECT id FROM T VIEW i ORDER BY Knn::CosineDistance(e, $q) DESC LIMIT 1", "VIEW i takes ORDER BY"),
        (
            "SELECT id FROM T VIEW i ORDER BY Knn::CosineDistance(e, e) LIMIT 1",
            "the target being the same for all rows",
        ),
    ],
)
def test_a_view_that_an_index_cannot_serve_is_refused(db: Database, statement: str, said: str) -> None:
    db.execute(f"ALTER TABLE T ADD INDEX i GLOBAL USING vector_kmeans_tree ON (e) {WITH.format('cosine', 1, 4)}")
    with pytest.raises(UsageError) as refused:
        db.execute(statement, {"q": clustered(1)[0]})
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ('distance=l2, vector_type="float", vector_dimension=16, levels=1, clusters=4', "distance: unknown value 'l2'"),
        ('vector_type="float", vector_dimension=16, levels=1, clusters=4', "needs distance=... or similarity=..."),
        ('distance=cosine, vector_type="bit", vector_dimension=16, levels=1, clusters=4', "has no bit vector of 16"),
        ('distance=cosine, vector_type="f32"', "unknown value 'f32'"),
        ('distance=cosine, similarity=cosine, vector_type="float", vector_dimension=16', "and not both"),
        ('distance=cosine, vector_type="float", vector_dimension=16, levels=1, clusters=1', "from 2 to 2048, found 1"),
        ('distance=cosine, vector_type="float", vector_dimension=8', "has no float vector of 8 elements in e"),
        ('distance=cosine, vector_type="float", vector_dimension=16, levels=16, clusters=2048', "beyond"),
        ("distance=cosine, overlap_clusters=0", "overlap_clusters: expected a whole number from 1 to 2048, found 0"),
        ("distance=cosine, adaptive_clusters=yes", "adaptive_clusters: unknown value 'yes'"),
        ("distance=cosine, leaves=3", "setting leaves is outside the subset"),
    ],
)
def test_settings_are_checked(db: Database, settings: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        db.execute(f"ALTER TABLE T ADD INDEX i GLOBAL USING vector_kmeans_tree ON (e) WITH ({settings})")
    assert said in str(refused.value)
    assert db.tables()["T"].indexes == {}


QUICK_START = """
CREATE TABLE Vectors (
  id Uint64,
  embedding String,
  PRIMARY KEY (id)
);
UPSERT INTO Vectors(id, embedding)
VALUES
    (1, Untag(Knn::ToBinaryStringFloat([1.f, 1.f, 1.f, 1.f, 1.f]), "FloatVector")),
    (2, Untag(Knn::ToBinaryStringFloat([1.f, 1.f, 1.f, 1.f, 1.25f]), "FloatVector")),
    (3, Untag(Knn::ToBinaryStringFloat([1.f, 1.f, 1.f, 1.f, 1.5f]), "FloatVector")),
    (4, Untag(Knn::ToBinaryStringFloat([-1.f, -1.f, -1.f, -1.f, -1.f]), "FloatVector")),
    (5, Untag(Knn::ToBinaryStringFloat([-2.f, -2.f, -2.f, -2.f, -4.f]), "FloatVector")),
    (6, Untag(Knn::ToBinaryStringFloat([-3.f, -3.f, -3.f, -3.f, -6.f]), "FloatVector"));
ALTER TABLE Vectors
ADD INDEX EmbeddingIndex
GLOBAL USING vector_kmeans_tree
ON (embedding)
WITH (
  distance=cosine,
  vector_type="float",
  vector_dimension=5,
  levels=1,
  clusters=2)
"""


@pytest.mark.parametrize("view", ["", "VIEW EmbeddingIndex", "VIEW PRIMARY KEY"])
def test_the_first_steps_of_ydbs_documentation_give_its_figures(view: str) -> None:
    with vicinal.sql.connect() as db:
        db.execute(QUICK_START)
        rows = db.execute(f"""
            $K = 3;
            $TargetEmbedding = Knn::ToBinaryStringFloat([1.f, 1.f, 1.f, 1.f, 4.f]);
            SELECT id, Knn::CosineDistance(embedding, $TargetEmbedding) As CosineDistance
            FROM Vectors {view}
            ORDER BY Knn::CosineDistance(embedding, $TargetEmbedding)
            LIMIT $K;
        """)
        assert [(row, f"{distance:.10f}") for row, distance in rows] == [
            (3, "0.1055728197"),
            (2, "0.1467181444"),
            (1, "0.1999999881"),
        ]


def test_an_index_in_create_table_finds_rows_added_later() -> None:
    with vicinal.sql.connect() as db:
        db.execute("""CREATE TABLE Articles (
            id Uint64,
            user String,
            embedding String,
            INDEX by_user GLOBAL SYNC USING vector_kmeans_tree ON (user, embedding) COVER (embedding)
            WITH (distance="cosine", vector_type="float", vector_dimension=2, clusters=128, levels=2),
            PRIMARY KEY (id)
        )""")
        assert set(db.tables()["Articles"].indexes) == {"by_user"}
        db.execute("""UPSERT INTO Articles (id, user, embedding) VALUES
            (1, "a", Knn::ToBinaryString([1.f, 0.f])), (2, "a", Knn::ToBinaryString([0.f, 1.f])), (3, "b", NULL)""")
        found = db.execute("""SELECT id FROM Articles VIEW by_user WHERE user = "a"
            ORDER BY Knn::CosineDistance(embedding, Knn::ToBinaryString([0.f, 1.f])) LIMIT 5""")
        assert list(found) == [(2,), (1,)]
        with pytest.raises(UsageError, match=r"6:.*the last column of a vector index is a String, id is not"):
            db.execute("""
                CREATE TABLE Other (
                id Uint64,
                embedding String,
                INDEX i GLOBAL USING vector_kmeans_tree
                ON (id) WITH (distance="cosine", vector_type="float", vector_dimension=2),
                PRIMARY KEY (id))""")
        assert "Other" not in db.tables()


def test_levels_and_clusters_may_be_left_out() -> None:
    with vicinal.sql.connect() as db:
        db.execute("CREATE TABLE T (id Uint64, e String, PRIMARY KEY (id))")
        rows = ", ".join(f"({i}, Knn::ToBinaryString([{i}.f, {i * i % 31}.f]))" for i in range(400))
        db.execute(f"UPSERT INTO T (id, e) VALUES {rows}")
        db.execute("""ALTER TABLE T ADD INDEX i GLOBAL USING vector_kmeans_tree ON (e)
            WITH (distance=euclidean, vector_type="float", vector_dimension=2)""")
        (tree,) = db._definitions.vectors._forest(db.tables()["T"], "i").trees.values()
        assert (len(tree.levels), tree.leaves) == (1, 20)  # the root of 400
        order = "ORDER BY Knn::EuclideanDistance(e, Knn::ToBinaryString([200.f, 5.f])) LIMIT 10"
        exact = list(db.execute(f"SELECT id FROM T {order}"))
        db.execute('PRAGMA ydb.KMeansTreeSearchTopSize = "20"')
        assert list(db.execute(f"SELECT id FROM T VIEW i {order}")) == exact
