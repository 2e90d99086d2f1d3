"""Measures of a whole set: against ODA-DataScorer's own answers, and against the definitions in float64."""

import json
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import vicinal
from vicinal.analysis.diversity import average, similarities, vendi
from vicinal.errors import DataError, UsageError
from vicinal.tasks.diversity.measures import MEASURES
from vicinal.tasks.score import passes
from workplace import Workplace, distances

ODA = Path(__file__).parent / "data" / "oda"
EXPECTED = json.loads((ODA / "expected.json").read_text(encoding="utf-8"))
RANDOM = np.random.default_rng(5)
TALL = RANDOM.normal(size=(90, 6)) + 0.5


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What `vicinal.score` answers for every configuration of expected.json, from one YAML file for each data set."""
    folder, found = tmp_path_factory.mktemp("oda"), dict[int, Any]()
    for data in ("example_input.jsonl", "example_input_w_cluster_id.jsonl"):
        numbers = [number for number, one in enumerate(EXPECTED) if one["data"] == data]
        scorers = [{"name": one["scorer"], "sub_name": f"n{number}"} for number, one in enumerate(EXPECTED)]
        listed = [scorers[number] | _in_folder(EXPECTED[number]["config"]) for number in numbers]
        whole = {"input_path": str(ODA / data), "output_path": str(folder / data), "num_gpu": 0, "scorers": listed}
        (folder / "c.yaml").write_text(yaml.safe_dump(whole), encoding="utf-8")
        with pytest.warns(UserWarning, match="no 'id'"):
            scores = vicinal.score(config=folder / "c.yaml")
        if scores.scored:
            lines = (folder / data / "pointwise_scores.jsonl").read_text(encoding="utf-8").splitlines()
            rows = [json.loads(line)["scores"] for line in lines]
            found |= {int(name[1:]): [row[name]["score"] for row in rows] for name in rows[0]}
        (line,) = (folder / data / "setwise_scores.jsonl").read_text(encoding="utf-8").splitlines()
        found |= {int(name[1:]): answer for name, answer in json.loads(line).items()}
    return [found[number] for number in range(len(EXPECTED))]


def _in_folder(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration whose files are named where they lie."""
    return {key: str(ODA / value) if key.endswith("_path") else value for key, value in config.items()}


def agree(found: Any, expected: Any, key: str = "") -> None:
    """Every key of the expected answer is there, and every number is within 1e-5."""
    if isinstance(expected, dict):
        for name in expected.keys() - {"max_workers"}:
            agree(found[name], expected[name], name)
    elif isinstance(expected, float | list):
        np.testing.assert_allclose(found, expected, rtol=1e-5, err_msg=key)
    else:
        assert found == expected, key


@pytest.mark.parametrize("number", range(len(EXPECTED)), ids=lambda one: f"{one}-{EXPECTED[one]['scorer']}")
def test_answers_are_those_of_oda(number: int, answers: list[Any]) -> None:
    one, found = EXPECTED[number], answers[number]
    expected = one["result"][0] if one["scorer"] == "LogDetDistanceScorer" else one["result"]
    if one["config"].get("similarity_metric") == "dot_product" and one["scorer"] == "VendiScorer":
        assert expected["vendi_score"] == 0.0  # the eigenvalues sum to 512, and exp(-sum l ln l) underflows
        vectors = np.load(ODA / one["config"]["embedding_path"]).astype(float)
        assert found["vendi_score"] == pytest.approx(true_vendi(vectors @ vectors.T))
    else:
        agree(found, expected)


def test_every_scorer_of_oda_that_reads_embeddings_is_among_the_29() -> None:
    assert len(EXPECTED) == 29
    assert {one["scorer"] for one in EXPECTED} == {"KNNScorer", *(measure.name for measure in MEASURES)}


def true_vendi(kernel: np.ndarray) -> float:
    values = np.linalg.eigvalsh(kernel)
    shares = values[values > 1e-14] / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def true_kernel(vectors: np.ndarray, name: str) -> np.ndarray:
    """All similarities, by the definition."""
    if name in ("cosine", "pearson"):
        rows = vectors - vectors.mean(axis=1, keepdims=True) if name == "pearson" else vectors
        return np.asarray(1 - distances(rows, "cosine"))
    if name == "dot_product":
        return np.asarray(vectors @ vectors.T)
    return np.asarray(1 / (1 + distances(vectors, name)))


@pytest.mark.parametrize("name", similarities.BY_NAME)
@pytest.mark.parametrize("vectors", [TALL, TALL[:4]], ids=["tall", "wide"])
@pytest.mark.parametrize("dtype", ["float64", "float16"])
def test_aps_and_vendi_are_those_of_all_pairs(name: Any, vectors: np.ndarray, dtype: str) -> None:
    rows = vectors.astype(dtype)
    kernel = true_kernel(rows.astype(float), name)
    found = vicinal.diversity(rows, by=["aps", "vendi"], similarity=name, threads=2)
    assert found["aps"]["score"] == pytest.approx(kernel[np.triu_indices(len(rows), 1)].mean(), rel=1e-9)
    assert found["vendi"]["vendi_score"] == pytest.approx(true_vendi(kernel), rel=1e-9)
    assert not found["aps"]["is_sampled"] and "is_estimated" not in found["vendi"]


@pytest.mark.parametrize("name", ["euclidean", "manhattan", "cosine"])
def test_a_sample_of_pairs_is_seeded_and_says_its_error(name: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = true_kernel(TALL, name)[np.triu_indices(90, 1)]
    one, again, other = (
        vicinal.diversity(TALL, by="aps", similarity=name, sample_pairs=800, seed=seed)["aps"] for seed in (1, 1, 2)
    )
    assert one == again and one["score"] != other["score"]
    assert (one["num_pairs"], one["is_sampled"], one["total_possible_pairs"]) == (800, True, 4005)
    for found in (one, other):
        assert abs(found["score"] - whole.mean()) < 4 * found["standard_error"]
    assert one["standard_error"] == pytest.approx(whole.std() * ((1 - 800 / 4005) / 800) ** 0.5, rel=0.15)
    assert not vicinal.diversity(TALL, by="aps", similarity=name, sample_pairs=4005)["aps"]["is_sampled"]


def test_the_pairs_of_a_sample_are_all_different_and_each_as_likely() -> None:
    first, second = average.pairs_of(np.arange(4950))
    assert sorted(zip(first.tolist(), second.tolist(), strict=True)) == [(i, j) for i in range(100) for j in range(i)]
    for total, count in ((4950, 1200), (4950, 1300), (10**12, 5000)):
        found = average.drawn(total, count, np.random.default_rng(0))
        assert len(set(found.tolist())) == count and found.min() >= 0 and found.max() < total
        assert abs(found.mean() / total - 0.5) < 0.05
    large = np.array([10**12 - 1, 499_999_500_000 - 1, 499_999_500_000])
    first, second = average.pairs_of(large)
    assert (first * (first - 1) // 2 + second == large).all() and (second < first).all() and (second >= 0).all()


@pytest.mark.parametrize("name", ["euclidean", "manhattan"])
def test_the_estimate_of_vendi_is_near_and_its_bounds_hold(name: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = np.random.default_rng(1).normal(size=(700, 12)) * np.geomspace(3, 0.1, 12)
    exact = true_vendi(true_kernel(vectors, name))
    monkeypatch.setattr(vendi, "MOST_ROWS", 500)
    monkeypatch.setattr(vendi, "SAMPLE", 300)
    monkeypatch.setattr(vendi.vendi_estimate, "__defaults__", (1, 0, 150))
    found = vicinal.diversity(vectors, by="vendi", similarity=name)["vendi"]
    assert found["is_estimated"] and found["landmarks"] == 150
    assert found["low"] <= exact <= found["high"]
    assert found["vendi_score"] == pytest.approx(exact, rel=0.1)


@pytest.mark.parametrize("vectors", [TALL, TALL[:4]], ids=["tall", "wide"])
@pytest.mark.parametrize("alpha", [1e-10, 0.01, 2.0])
def test_log_det_is_that_of_the_cosine_matrix(vectors: np.ndarray, alpha: float) -> None:
    kernel = 1 - distances(vectors, "cosine")
    n, rank = len(vectors), min(vectors.shape)
    values = np.linalg.eigvalsh(kernel)[::-1][:rank]
    found = vicinal.diversity(vectors, by="logdet", ridge_alpha=alpha)["logdet"]
    assert found["log_det"] == pytest.approx(np.log(values + alpha).sum() + (n - rank) * log(alpha), rel=1e-9)
    kernel += alpha * np.eye(n)
    stats = found["similarity_matrix_stats"]
    assert stats["mean"] == pytest.approx(kernel.mean()) and stats["std"] == pytest.approx(kernel.std())
    assert stats["min"] == pytest.approx(kernel.min()) and stats["max"] == pytest.approx(kernel.max())
    assert ("warning" in found) == (n > rank) and found["sign"] == 1 and found["is_positive_definite"]


def test_a_singular_log_det_says_so() -> None:
    for vectors in (TALL, np.ones((2, 3))):
        found = vicinal.diversity(vectors, by="logdet", ridge_alpha=0)["logdet"]
        assert (found["log_det"], found["sign"], found["is_valid"], found["log_det_is_inf"]) == ("-inf", 0, False, True)
        assert not found["is_positive_definite"] and found["is_positive_semidefinite"]


def test_radius_is_that_of_the_columns_with_far_and_constant_ones() -> None:
    vectors = np.column_stack([TALL, TALL[:, 0] + 1e9, np.full(90, 0.1)]).astype(np.float64)
    found = vicinal.diversity(vectors, by="radius")["radius"]
    deviations = np.r_[TALL.std(axis=0), TALL[:, 0].std(), 1e-10]
    assert found["radius"] == pytest.approx(np.exp(np.log(deviations).mean()), rel=1e-6)
    assert (found["zero_std_dimensions"], found["min_std"]) == (1, 1e-10)
    many = np.random.default_rng(0).normal(size=(40_000, 60)).astype(np.float32)  # several blocks
    np.testing.assert_allclose(
        vicinal.diversity(many, by="radius")["radius"]["max_std"], many.astype(float).std(axis=0).max(), rtol=1e-12
    )


def test_novelsum_is_that_of_the_definition_with_copies_and_another_reference() -> None:
    vectors = np.vstack([TALL, TALL[:3]])
    reference = np.vstack([vectors, TALL + 0.1])
    found = vicinal.diversity(
        vectors, by="novelsum", reference=reference, density_powers=[0.5], neighbors=3, distance_powers=[0, 1.5]
    )["novelsum"]
    apart = np.sort(np.maximum(distances(vectors, "cosine"), 0), axis=1)
    distinct = np.unique(reference, axis=0)
    squares = np.sort(((vectors[:, None] - distinct[None]) ** 2).sum(axis=2), axis=1)[:, 1:4]
    rho = (squares.mean(axis=1) + 1e-9) ** -0.5
    for power in (0, 1.5):
        weights = np.arange(1, 94) ** -float(power)
        expected = (rho * np.average(apart, axis=1, weights=weights)).mean()
        assert found[f"neighbor_3_density_0.5_distance_{power}"] == pytest.approx(expected, rel=1e-5)
    assert found["cos_distance"] == pytest.approx(apart.mean())
    narrow = TALL * 1e-3 + 100  # all cosines are 1 to eight digits
    small = vicinal.diversity(narrow, by="novelsum", density_powers=0, neighbors=1, distance_powers=1)["novelsum"]
    weights = 1 / np.arange(1, 91)
    units = narrow / np.linalg.norm(narrow, axis=1, keepdims=True)
    halves = ((units[:, None] - units[None]) ** 2).sum(axis=2) / 2
    expected = np.average(np.sort(halves, axis=1), axis=1, weights=weights).mean()
    assert small["neighbor_1_density_0_distance_1"] == pytest.approx(expected, rel=1e-4)


def test_novelsum_takes_its_densities_from_the_pass_of_the_row_scores(
    work: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def line(name: str) -> str:
        return f"- {{name: {name}, embedding_path: emb.npy}}\n"

    def run(*names: str) -> dict[str, Any]:
        config = "input_path: data.jsonl\noutput_path: out\nscorers:\n" + "".join(map(line, names))
        config = config.replace("NovelSumScorer,", "NovelSumScorer, dense_ref_path: emb.npy,")
        work.write("c.yaml", config)
        assert work("score", "--config", "c.yaml", "--overwrite", "-k", "2").code == 0
        return dict(json.loads((work.folder / "out" / "setwise_scores.jsonl").read_text("utf-8")))

    alone = run("NovelSumScorer")["NovelSumScorer"]
    monkeypatch.setattr("vicinal.analysis.diversity.novel_sum.density_distances", lambda *_: pytest.fail("searched"))
    seen, real = [], passes._answer

    def watched(*given: Any) -> Any:
        seen.append(given[6])  # the least k
        return real(*given)

    monkeypatch.setattr(passes, "_answer", watched)
    both = run("KNNScorer", "NovelSumScorer", "RadiusScorer")
    agree(both["NovelSumScorer"], alone)
    assert seen == [10] and list(both) == ["NovelSumScorer", "RadiusScorer"]
    lines = (work.folder / "out" / "pointwise_scores.jsonl").read_text("utf-8").splitlines()
    assert len(lines) == 30 and list(json.loads(lines[0])["scores"]) == ["KNNScorer"]


def test_novelsum_without_a_reference_reads_every_array_beside_the_embeddings(work: Workplace) -> None:
    work.save("more.npy", work.vectors + 1)
    head = "input_path: data.jsonl\noutput_path: out\nscorers:\n"
    work.write("c.yaml", head + "- {name: NovelSumScorer, embedding_path: emb.npy}\n")
    assert work("score", "--config", "c.yaml").code == 0
    found = json.loads((work.folder / "out" / "setwise_scores.jsonl").read_text("utf-8"))["NovelSumScorer"]
    both = np.vstack([work.vectors, work.vectors + 1])
    agree(found, vicinal.diversity(work.vectors, by="novelsum", reference=both)["novelsum"])
    work.save("wide.npy", np.ones((3, 9)))
    assert "wide.npy: found dim 9" in work.refuses(3, "score", "--config", "c.yaml", "--overwrite")


def test_the_command_prints_the_main_figures_and_writes_all(work: Workplace) -> None:
    answer = work("diversity", "emb.npy", "-o", "d.jsonl")
    names = [line.split()[:2] for line in answer.out.splitlines()]
    assert names == [["radius", "radius"], ["aps", "score"], ["vendi", "vendi_score"], ["logdet", "log_det"]]
    assert "26 eigenvalues are ridge_alpha" in answer.err
    written = json.loads((work.folder / "d.jsonl").read_text("utf-8"))
    assert written == json.loads(work("diversity", "emb.npy", "--json").out)
    assert written["radius"]["num_samples"] == 30
    work.lines("c.jsonl", [{"cluster_id": "a"}] * 3 + [{"cluster_id": "b"}])
    assert work("diversity", "c.jsonl", "--by", "entropy", "--clusters", "cluster_id", "--num-clusters", 2).out == (
        "entropy entropy 0.5623351\n"
    )
    np.save("two.npy", work.vectors[:2])
    np.save("own.npy", np.zeros((30, 1), dtype=int))
    found = work("diversity", "emb.npy", "--by", "inertia", "--centroids", "two.npy", "--clusters", "own.npy")
    expected = (
        1 - work.vectors @ work.vectors[0] / np.linalg.norm(work.vectors, axis=1) / np.linalg.norm(work.vectors[0])
    ).sum()
    assert float(found.out.split()[2]) == pytest.approx(expected, rel=1e-5)


ZEROS = np.vstack([np.zeros((1, 4)), np.arange(20).reshape(5, 4) + 1.0])


@pytest.mark.parametrize(
    ("error", "given", "message"),
    [
        (UsageError, {"by": "vend"}, "by: unknown measure 'vend': did you mean 'vendi'"),
        (UsageError, {"by": "aps,aps"}, "by: expected the names of measures, each once"),
        (UsageError, {"by": "aps", "similarity": "cos"}, "similarity: unknown similarity 'cos'"),
        (UsageError, {"by": "facility"}, "subset: missing; facility needs it: give --subset"),
        (UsageError, {"by": "entropy", "clusters": [0] * 6}, "num_clusters: missing; entropy needs it"),
        (UsageError, {"by": "entropy", "clusters": list("abcdef"), "num_clusters": 5}, "num_clusters: expected at"),
        (UsageError, {"by": "logdet", "ridge_alpha": -1}, "ridge_alpha: expected a finite number of at least 0, got"),
        (UsageError, {"by": "novelsum", "neighbors": [5, 5]}, "neighbors: expected at least one number and none twice"),
        (
            UsageError,
            {"by": "novelsum", "distance_powers": ["a"]},
            "distance_powers: expected a finite number",
        ),
        (
            UsageError,
            {"by": "vendi", "subset": ZEROS},
            r"subset: vendi do not read it; leave it out, or add one to --by \(in Python: by=\) that does: facility",
        ),
        (
            UsageError,
            {"by": "radius", "similarity": "pearson"},
            "similarity: radius do not read it; .* that does: aps, vendi",
        ),
        (UsageError, {"by": "logdet,radius", "neighbors": 9}, "neighbors: logdet, radius do not read it"),
        (UsageError, {"by": "novelsum", "seed": 1}, "seed: novelsum do not read it"),
        (UsageError, {"by": "aps", "sample_pairs": 0}, "sample_pairs: expected a whole number above 0, got 0"),
        (UsageError, {"by": "aps", "seed": 0.5}, "seed: expected a whole number from 0 on, got 0.5"),
        (DataError, {"by": "vendi"}, r"embeddings: 1 row cannot be used \(1 with zero vector"),
        (DataError, {"by": "aps", "similarity": "pearson"}, "1 with equal values, which do not correlate"),
        (DataError, {"by": "facility", "subset": [[1.0]]}, "subset: found dim 1, embeddings has dim 4"),
        (DataError, {"by": "facility", "subset": ZEROS, "distance": "cosine", "on_invalid": "null"}, "subset: 1 row"),
        (DataError, {"by": "novelsum", "neighbors": 9, "on_invalid": "null"}, "found 5 distinct rows, expected at"),
        (
            DataError,
            {"by": "inertia", "centroids": ZEROS[1:3], "clusters": [0, 1, 2, 0, 0, 0], "distance": "manhattan"},
            "clusters: expected whole numbers from 0 to 1, the rows of centroids, found 2 in row 2",
        ),
    ],
)
def test_what_cannot_be_measured_is_refused(error: type[Exception], given: dict[str, Any], message: str) -> None:
    with pytest.raises(error, match=message):
        vicinal.diversity(ZEROS, **given)


def test_rows_that_cannot_be_used_are_left_out_on_request() -> None:
    found = vicinal.diversity(ZEROS, by="aps,logdet,radius", on_invalid="null")
    assert found.answers == vicinal.diversity(ZEROS[1:], by="aps,logdet,radius").answers
    assert (found.n, found.unusable) == (5, {0: "zero vector, which has no direction for cosine"})
    assert vicinal.diversity(ZEROS, by="radius").n == 6


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("name: VendiScorer, k: 5", "c.yaml:4:48: scorers.0.k: unknown key 'k'"),
        (
            "name: VendiScorer, similarity_metric: l2",
            "scorers.0.similarity_metric: unknown similarity_metric 'l2': choose",
        ),
        ("name: FacilityLocationScorer", "c.yaml:4:3: scorers.0.subset_embeddings_path: missing"),
        ("name: ApsScorer, sample_pairs: many", 'scorers.0.sample_pairs: expected a whole number above 0, got "many"'),
        ("name: LogDetDistanceScorer, ridge_alpha: -1", "scorers.0.ridge_alpha: expected a finite number of at least"),
        ("name: NovelSumScorer, dense_ref_path: none.npy", "scorers.0.dense_ref_path: expected a file, got"),
    ],
)
def test_a_wrong_key_of_a_set_scorer_is_said_with_its_place(work: Workplace, line: str, message: str) -> None:
    head = "input_path: data.jsonl\noutput_path: out\nscorers:\n"
    work.write("c.yaml", f"{head}- {{embedding_path: emb.npy, {line}}}\n")
    assert message in work.refuses(2, "score", "--config", "c.yaml")


def test_set_scorers_stand_only_in_the_nested_form(work: Workplace) -> None:
    work.write("c.yaml", "name: VendiScorer\nembedding_path: emb.npy\n")
    said = work.refuses(2, "score", "data.jsonl", "--config", "c.yaml")
    assert said.startswith(
        "c.yaml:1:7: name: VendiScorer measures the whole set, not its rows; use `vicinal diversity` (in"
    )
    assert "aps measures the whole set" in work.refuses(2, "score", "emb.npy", "--by", "mean,aps")
    nested = "input_path: data.jsonl\noutput_path: out\nscorers: [{name: RadiusScorer, embedding_path: emb.npy}]\n"
    work.write("c.yaml", nested)
    assert "run: a run is kept for its scores" in work.refuses(2, "score", "--config", "c.yaml", "--run", "r")
    assert work("neighbors", "emb.npy", "-k", 3, "-o", "graph").code == 0
    assert "RadiusScorer is computed from embeddings" in work.refuses(
        2, "score", "--config", "c.yaml", "--neighbors", "graph"
    )
    scores = vicinal.score(config="c.yaml")
    assert (len(scores), scores.names, list(scores.setwise)) == (30, [], ["RadiusScorer"])
    assert repr(scores) == "Scores(n=30, setwise=['RadiusScorer'])"
    assert scores.summary()["setwise"] == scores.setwise
    with pytest.raises(UsageError, match="no row has a score; read `setwise`"):
        _ = scores.neighbors
    assert "exists already" in work.refuses(2, "score", "--config", "c.yaml")
