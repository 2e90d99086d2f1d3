"""`compare_selections` and `vicinal select --compare`: trials, figures and verdicts against other implementations."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import ttest_rel
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import accuracy_score, f1_score
from sklearn.neighbors import KNeighborsClassifier

import vicinal
from vicinal.errors import DataError, UsageError
from vicinal.knn.metrics import find
from vicinal.tasks.select.question import Settings
from vicinal.tasks.select.strategies import STRATEGIES
from vicinal.tasks.select.trials import VARIANTS, Questions, Trial
from workplace import Workplace

NONE: dict[str, np.ndarray | None] = {"scores": None, "quality": None}


def classes_of(n: int, n_classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows around a centre a class, and their classes."""
    random = np.random.default_rng(seed)
    labels = random.integers(n_classes, size=n)
    return random.normal(size=(n_classes, 6))[labels] + 0.6 * random.normal(size=(n, 6)), labels


def trial(variant: str, seed: int = 0, n: int = 400, n_classes: int = 4) -> Trial:
    return Trial.of(*classes_of(n, n_classes), variant, seed, find("cosine"), NONE, None)


def test_the_variants_change_what_they_say_and_no_test_row() -> None:
    plain, imbalance, duplicates, noise = (trial(variant) for variant in VARIANTS)
    assert (len(plain.test), len(plain.target), len(plain.labels)) == (80, 20, 300)
    for other in (imbalance, duplicates, noise):
        np.testing.assert_array_equal(other.test, plain.test)
        np.testing.assert_array_equal(other.test_labels, plain.test_labels)
    shares = np.bincount(imbalance.labels) / np.bincount(plain.labels)
    np.testing.assert_allclose(np.sort(shares), 0.1 ** (np.arange(4)[::-1] / 3), atol=0.02)
    copies = len(duplicates.labels) - 300
    assert copies / len(duplicates.labels) == pytest.approx(0.3, abs=0.002)
    far = find("cosine").pairwise(duplicates.vectors[300:], plain.vectors)
    assert far.min(axis=1).max() < 1e-5 and len(set(far.argmin(axis=1))) <= 15  # of a twentieth of the rows
    np.testing.assert_array_equal(duplicates.labels[300:], plain.labels[far.argmin(axis=1)])
    assert (noise.labels != plain.labels).sum() == 30 and set(noise.labels) == set(range(4))


def test_the_figures_are_those_of_scikit_learn() -> None:
    one, rows = trial("noise"), np.arange(0, 300, 7)
    linear = RidgeClassifier().fit(one.vectors[rows], one.labels[rows]).predict(one.test)
    votes = KNeighborsClassifier(5).fit(one.vectors[rows], one.labels[rows])
    found = one.figures(rows)
    assert found["linear accuracy"] == accuracy_score(one.test_labels, linear)
    assert found["linear macro F1"] == pytest.approx(f1_score(one.test_labels, linear, average="macro"))
    near = votes.kneighbors(one.test, return_distance=False)
    clear = np.array([np.sort(np.bincount(one.labels[rows][five], minlength=4))[-2:] for five in near])
    clear_rows = clear[:, 0] < clear[:, 1]  # the majority is the same; level classes go to the nearer rows
    told = one._by_votes(rows)
    np.testing.assert_array_equal(told[clear_rows], votes.predict(one.test)[clear_rows])
    assert found["knn accuracy"] == accuracy_score(one.test_labels, told)
    assert set(one.figures(np.flatnonzero(one.labels == 2)[:5])) == set(found)  # one class: everything is of it


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: strategy.name)
def test_a_strategy_is_asked_once_where_its_choices_are_nested(strategy: Any) -> None:
    questions = Questions(trial("plain", n=160), Settings(seed=3), find("cosine"), 1)
    together = questions.choices(strategy, [6, 40])
    for rows, count in zip(together, (6, 40), strict=True):
        assert len(set(rows.tolist())) == count
        assert rows.tolist() == questions.choices(strategy, [count])[0].tolist()


def test_verdicts_are_those_of_a_paired_t_test() -> None:
    vectors, labels = classes_of(500, 8)
    found = vicinal.compare_selections(
        vectors, labels=labels.tolist(), compare="k-center,lowest", keep="8,10%", seeds=6, metric="cosine"
    )
    assert [(row["keep"], row["kept"], row["strategy"]) for row in found.rows[:2]] == [
        ("8", 8, "random"),
        ("10%", 38, "random"),
    ]
    for row in found.rows:
        own, base = (
            [one["linear accuracy"] for one in found.trials if (one["keep"], one["strategy"]) == (row["keep"], name)]
            for name in (row["strategy"], "random")
        )
        assert row["linear accuracy"] == pytest.approx(np.mean(own), abs=1e-5)
        assert row["linear accuracy error"] == pytest.approx(np.std(own, ddof=1) / np.sqrt(6), abs=1e-5)
        assert row["linear accuracy gain"] == pytest.approx(np.mean(own) - np.mean(base), abs=1e-5)
        if row["strategy"] != "random":
            told = row["linear accuracy verdict"] != "as random"
            assert told == (ttest_rel(own, base).pvalue < 0.05)
    again = vicinal.compare_selections(
        vectors, labels=labels.tolist(), compare=["lowest"], keep=[8], seeds=6, metric="cosine", threads=1
    )
    assert again.rows[1]["linear accuracy"] == next(
        row["linear accuracy"] for row in found.rows if (row["strategy"], row["keep"]) == ("lowest", "8")
    )


def test_the_command_prints_and_writes_what_the_function_finds(work: Workplace) -> None:
    vectors, labels = classes_of(120, 3)
    work.save("v.npy", vectors)
    work.write("d.jsonl", "".join(json.dumps({"id": i, "kind": f"k{label}"}) + "\n" for i, label in enumerate(labels)))
    ask = ("select", "d.jsonl", "--embeddings", "v.npy", "--compare", "facility", "--labels", "kind")
    more = ("--keep", "5%,20%", "--seeds", 2, "--metric", "cosine", "--variants", "plain,noise")
    answer = work(*ask, *more, "--json", "-o", "c.json")
    assert answer.code == 0, answer.err
    found = vicinal.compare_selections(
        "d.jsonl", labels="kind", embeddings="v.npy", compare="facility", keep=["5%", "20%"], seeds=2, metric="cosine",
        variants=["plain", "noise"],
    )  # fmt: skip
    told, written = json.loads(answer.out), json.loads(Path("c.json").read_text())
    assert told["rows"] == written["rows"] == found.rows and written["trials"] == found.trials
    table = work(*ask, *more, "--figure", "knn macro F1").out
    assert table.strip() == found.table("knn macro F1").strip() and "| facility |" in table
    assert len(found.to_pandas()) == 8


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--labels", "kind"], "--labels: is of a comparison; give --compare too, or leave it out"),
        (["-o", "o.jsonl"], "--keep: missing; say how many rows, as --keep 100 or --keep 10%"),
        (["--keep", "5"], "-o: missing; say where the rows go, as -o PATH"),
        (["--compare", "random"], "--labels: missing, but strategies are compared by what classifiers learn"),
        (["--compare", "kcenter", "--labels", "kind"], "--compare: unknown name 'kcenter': did you mean 'k-center'?"),
        (["--compare", "d4", "--labels", "kind", "--quota", "kind"], "--quota: is of a selection, and --compare makes"),
        (["--compare", "d4", "--labels", "kind", "--seeds", "1"], "--seeds: expected at least 2, so that there is a"),
        (["--compare", "d4", "--labels", "kind", "-o", "o.csv"], "-o: expected a name that ends in .json for"),
        (["--compare", "d4", "--labels", "kind", "--keep", "0"], "--keep: expected a number of rows, a share below 1"),
        (
            ["--compare", "d4", "--labels", "kind", "--metric", "l1"],
            "--metric: strategies are compared under euclidean",
        ),
        (["--compare", "logdet", "--labels", "kind"], "--metric: strategy 'logdet' is defined for cosine, got 'euclid"),
        (["--compare", "d4", "--labels", "kind", "--variants", "noisy"], "--variants: unknown name 'noisy': did you"),
    ],
)
def test_a_comparison_names_what_is_wrong(work: Workplace, options: list[str], said: str) -> None:
    work.save("v.npy", np.eye(12))
    work.write("d.jsonl", "".join(json.dumps({"id": i, "kind": i % 2}) + "\n" for i in range(12)))
    assert said in work.refuses(2, "select", "d.jsonl", "--embeddings", "v.npy", *options)


def test_too_few_rows_to_compare_are_refused() -> None:
    with pytest.raises(DataError, match="found 6 rows, expected at least 10 to hold some out"):
        vicinal.compare_selections(np.eye(6), labels=[0, 1] * 3, compare="random", keep=1)
    with pytest.raises(UsageError, match="compare: unknown name 'all of them'"):
        vicinal.compare_selections(np.eye(6), labels=[0, 1] * 3, compare=["all of them"])
