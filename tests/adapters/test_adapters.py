"""What vicinal gives to other packages, taken by the packages themselves: UMAP, scikit-learn, cleanlab."""

from typing import Any

import numpy as np
import pytest
import umap
from cleanlab import Datalab
from sklearn.cluster import DBSCAN
from sklearn.neighbors import LocalOutlierFactor

import vicinal
from vicinal.errors import UsageError

K = 15


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    random = np.random.default_rng(0)
    return np.concatenate([random.normal(size=(120, 8)), random.normal(size=(120, 8)) + 4]).astype(np.float32)


def graph(vectors: Any, **options: Any) -> Any:
    return umap.UMAP(n_neighbors=K, n_epochs=2, init="random", random_state=0, **options).fit(vectors).graph_


def test_umap_takes_the_neighbours_and_builds_its_own_graph_of_them(vectors: np.ndarray) -> None:
    own = graph(vectors)  # of so few rows, UMAP computes all distances itself
    found = vicinal.neighbors(vectors, K - 1)
    knn = found.to_umap()
    assert abs(graph(vectors, precomputed_knn=knn) - own).max() < 1e-5
    assert all(one.flags.writeable and one.flags.owndata for one in knn)
    # A table without the rows themselves is taken in silence, and the graph differs.
    bare = vicinal.neighbors(vectors, K)
    assert abs(graph(vectors, precomputed_knn=(bare.indices.copy(), bare.distances.copy())) - own).max() > 0.05
    assert found.indices[0, 0] == vicinal.neighbors(vectors, 1).indices[0, 0]  # UMAP wrote into its own copies


def test_umap_takes_a_sparse_matrix_of_distances(vectors: np.ndarray) -> None:
    matrix = vicinal.neighbors(vectors, K - 1).to_csr(own=True, symmetric=True)
    assert abs(graph(matrix, metric="precomputed") - graph(vectors)).max() < 0.2


def test_what_umap_would_take_wrongly_is_refused(vectors: np.ndarray) -> None:
    with pytest.raises(UsageError, match="to_umap: needs distances, found inner products"):
        vicinal.neighbors(vectors, 3, "inner_product").to_umap()
    with pytest.raises(UsageError, match="of another set, of a slice"):
        vicinal.neighbors(vectors, 3)[5:9].to_umap()


def test_scikit_learn_takes_sparse_matrices_and_scipy_changes_them(vectors: np.ndarray) -> None:
    index = vicinal.index("exact").fit(vectors)
    within, nearest = index.within(radius=2.0), vicinal.neighbors(vectors, 10)
    for matrix in (within.to_csr(), nearest.to_csr(), nearest.to_csr(own=True), nearest.to_csr(symmetric=True)):
        matrix.sum_duplicates()
        matrix.sort_indices()
        matrix.prune()
        matrix.data += 1
    labels = DBSCAN(eps=2.0, metric="precomputed").fit(within.to_csr(own=True)).labels_
    np.testing.assert_array_equal(labels, DBSCAN(eps=2.0).fit(vectors).labels_)
    ours = LocalOutlierFactor(n_neighbors=10, metric="precomputed").fit(nearest.to_csr(own=True))
    theirs = LocalOutlierFactor(n_neighbors=10).fit(vectors)
    np.testing.assert_allclose(ours.negative_outlier_factor_, theirs.negative_outlier_factor_, rtol=1e-4)


def test_cleanlab_takes_the_graph(vectors: np.ndarray) -> None:
    labels = np.repeat(["a", "b"], 120)
    labels[3] = "b"  # of more than three columns, cleanlab takes cosine
    scores = []
    for given in (
        {"knn_graph": vicinal.neighbors(vectors, 10, "cosine").to_csr()},
        {"features": vectors.astype(np.float64)},
    ):
        lab = Datalab({"label": labels}, label_name="label", verbosity=0)
        lab.find_issues(**given, issue_types={"outlier": {"k": 10}, "near_duplicate": {"k": 10}, "non_iid": {"k": 10}})
        scores.append({kind: lab.get_issues(kind)[f"{kind}_score"] for kind in ("outlier", "near_duplicate")})
    for kind in scores[0]:
        np.testing.assert_allclose(scores[0][kind], scores[1][kind], rtol=1e-3, atol=1e-4)


def test_a_map_by_umap_reports_its_neighbours_and_epochs(vectors: np.ndarray) -> None:
    from vicinal.tasks.page.maps import flat_map

    seen: dict[str, list[tuple[int, int]]] = {}

    def start(name: str) -> Any:
        return lambda done, total: seen.setdefault(name, []).append((done, total))

    drawn = flat_map(vectors, "euclidean", "umap", start)
    assert list(seen) == ["neighbours for umap", "epochs of umap"]
    assert all(reports[-1][0] == reports[-1][1] for reports in seen.values())
    np.testing.assert_array_equal(drawn, flat_map(vectors, "euclidean", "umap"))
