"""`vicinal learn` and `vicinal apply`: heads that help where they can, runs resumed to the same bits, and refusals."""

import argparse
import json
import resource
import signal
import subprocess
import sys
import warnings
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from vicinal import learn
from vicinal.analysis.diagnostics import map_at_r, recall_at
from vicinal.data.provenance import FORMAT, hash_of
from vicinal.errors import DataError, UsageError
from vicinal.indexes.exact import Exact
from vicinal.knn.checkpoint import Checkpoint
from vicinal.learn import Head, Heads, HeldOut, History, Schedule, SiameseNetwork, evaluation, loop, training
from vicinal.learn.batch_losses import label_loss
from vicinal.learn.evaluation import Quality, measure, split
from vicinal.learn.heads import KINDS, HeadKind
from vicinal.learn.losses import DISTANCES, LOSSES, REDUCTIONS, DistanceName, LossName, ReductionName
from vicinal.learn.mining import MINERS, MinerName
from vicinal.learn.pairs import read_pairs
from vicinal.learn.plan import Plan
from vicinal.storage import manifests
from workplace import Workplace, environment

CLASSES = 20


def planted(n: int = 800, dim: int = 12, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Classes that differ along four coordinates, in noise that is larger along all others."""
    random = np.random.default_rng(seed)
    codes = np.arange(n) % CLASSES
    x = random.normal(size=(n, dim)) * ([0.25] * 4 + [1.5] * (dim - 4))
    x[:, :4] += np.random.default_rng(1).normal(size=(CLASSES, 4))[codes]
    return x.astype(np.float32), codes


def write(work: Workplace, n: int = 800) -> tuple[np.ndarray, np.ndarray]:
    x, codes = planted(n)
    work.save("x.npy", x)
    work.lines("x.jsonl", [{"id": f"r{row}", "label": f"c{code}"} for row, code in enumerate(codes)])
    return x, codes


QUICK = ("--epochs", "6", "--learning-rate", "0.01", "--device", "cpu")


@pytest.mark.parametrize("loss", ["triplet", "contrastive", "n-pair"])
@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_learning_from_labels_and_applying(work: Workplace, loss: str, head: str) -> None:
    x, codes = write(work)
    answer = work(
        "learn", "x.npy", "--labels", "x.jsonl:label", "--loss", loss, "--head", head, "-o", "h", "--json", *QUICK
    )
    assert answer.code == 0, answer.err
    told = json.loads(answer.out)
    for part in told["table"]:  # rows of known classes, and of classes that were never seen
        before, after = part["figures"]["MAP@R"]
        assert after > before + 0.1, part
    assert [part["name"] for part in told["table"]] == ["held-out rows", "held-out classes"]
    assert "no epoch was better" not in answer.err
    found = work("apply", "h", "x.npy", "-o", "y.npy")
    assert found.code == 0, found.err
    y = np.load("y.npy")
    assert (y.dtype, y.shape) == (np.float32, x.shape)
    np.testing.assert_allclose(np.linalg.norm(y, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(y, Heads.load("h").towers[0].apply(x))
    # The table is what anyone finds who measures the output.
    parts = split(np.unique(np.array([f"c{code}" for code in codes]), return_inverse=True)[1], 0)
    for rows, part in zip((parts.rows, parts.classes), told["table"], strict=True):
        for at, vectors in enumerate((x, y)):
            for name, value in measure(vectors, rows, codes).items():
                assert part["figures"][name][at] == pytest.approx(value, abs=1e-12)
    assert not Path("h.checkpoint").exists()


def test_the_table_on_the_terminal_and_what_is_said(work: Workplace) -> None:
    write(work)
    answer = work("learn", "x.npy", "--labels", "x.jsonl", "--loss", "triplet", "-o", "h", "-v", *QUICK)
    lines = answer.out.splitlines()
    assert lines[0].split() == ["held-out", "rows", "before", "after"] and "MAP@R" in lines[4]
    assert lines[5].split() == ["held-out", "classes", "before", "after"] and len(lines) == 10
    assert "epoch 1, loss 0." in answer.err and "held-out recall@1 0." in answer.err
    assert "6 epochs, the best" in answer.err


def test_a_head_is_applied_without_torch(work: Workplace) -> None:
    arrays = {"A": np.eye(2, 4, dtype=np.float32), "b": np.zeros(2, np.float32)}
    Heads((Head(arrays, normalize=False),)).save("h")
    code = "import sys; sys.modules['torch'] = None; from vicinal.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "apply", "h", "emb.npy", "-o", "out.npy", "--dtype", "float16"]
    subprocess.run(command, check=True, env=environment())
    np.testing.assert_array_equal(np.load("out.npy"), work.vectors[:, :2].astype(np.float16))
    command[3:] = ["learn", "emb.npy", "--labels", "data.jsonl:text", "--loss", "triplet", "-o", "g"]
    refused = subprocess.run(command, check=False, env=environment(), capture_output=True, text=True)
    assert refused.returncode == 2 and "pip install 'vicinal[learn]'" in refused.stderr


def test_a_small_network_is_what_its_arrays_say() -> None:
    random = np.random.default_rng(0)
    shapes = {"A": (3, 5), "b": (3,), "H": (7, 5), "h": (7,), "C": (3, 7)}
    arrays = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    x = random.normal(size=(50, 5)).astype(np.float16)
    w = {name: one.astype(np.float64) for name, one in arrays.items()}
    z = x @ w["A"].T + w["b"] + np.maximum(x @ w["H"].T + w["h"], 0) @ w["C"].T
    np.testing.assert_allclose(Head(arrays, normalize=False).apply(x), z, rtol=1e-4, atol=1e-4)
    unit = z / np.linalg.norm(z, axis=1, keepdims=True)
    np.testing.assert_allclose(Head(arrays).apply(x), unit, rtol=1e-4, atol=1e-5)
    with pytest.raises(DataError, match="b: expected finite float32"):
        Head({"A": arrays["A"], "b": np.array([1, np.nan, 0], np.float32)})


# In a process of its own: it changes faiss's classes for all.
THEIRS = """
import json, sys, numpy as np, torch
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
asked = AccuracyCalculator(include=("mean_average_precision_at_r", "precision_at_1"), device=torch.device("cpu"))
x, codes = (torch.from_numpy(np.load(name)) for name in ("x.npy", "codes.npy"))
print(json.dumps(asked.get_accuracy(x, codes)))
"""


def test_measures_are_those_of_pytorch_metric_learning_and_of_the_definition(tmp_path: Path) -> None:
    x, codes = planted(300)
    codes[:100] = 0  # classes of unequal sizes
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "codes.npy", codes)
    child = subprocess.run([sys.executable, "-c", THEIRS], cwd=tmp_path, check=True, capture_output=True, text=True)
    theirs = json.loads(child.stdout)
    found = Exact().fit(x).neighbors(299)
    assert map_at_r(found, codes) == pytest.approx(theirs["mean_average_precision_at_r"], abs=1e-4)
    assert recall_at(found, codes, 1) == pytest.approx(theirs["precision_at_1"], abs=1e-4)
    by_hand = []
    for row in range(300):
        hits = codes[found.indices[row]] == codes[row]
        r = int(hits.sum())
        by_hand.append(sum(hits[: i + 1].mean() for i in range(r) if hits[i]) / r)
    assert map_at_r(found, codes) == pytest.approx(np.mean(by_hand), abs=1e-12)
    alone = np.append(np.zeros(299, dtype=int), 1)
    assert recall_at(found, alone, 10) == 1.0  # the row alone does not count
    with pytest.raises(UsageError, match="299 others, but the lists hold 5"):
        map_at_r(found.nearest(5), np.zeros(300, dtype=int))
    assert np.isnan(map_at_r(Exact().fit([[0.0], [1.0]]).neighbors(1), np.array([0, 1])))


@pytest.mark.filterwarnings("ignore:learning made", "ignore:no epoch was better")
@pytest.mark.parametrize("kind", ["linear", "mlp"])
@pytest.mark.parametrize("scale", [2.0**-60, 2.0**60])
def test_what_is_learned_does_not_depend_on_the_scale(kind: Any, scale: float) -> None:
    x, codes = planted(400)
    plain, scaled = (
        learn.train(one, codes, head=kind, epochs=2, learning_rate=0.01, device="cpu")
        for one in (x, x * np.float32(scale))
    )
    assert plain.history.scores == scaled.history.scores and plain.history.best > 0
    np.testing.assert_array_equal(plain.heads.towers[0].apply(x), scaled.heads.towers[0].apply(x * np.float32(scale)))


@pytest.mark.filterwarnings("ignore:learning made", "ignore:no epoch was better")
def test_learned_rows_are_measured_from_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    x, codes = planted(400)
    seen: list[np.ndarray] = []

    def watched(vectors: np.ndarray, *rest: Any) -> dict[str, float]:
        seen.append(vectors)
        return measure(vectors, *rest)

    monkeypatch.setattr(evaluation, "measure", watched)
    learned = learn.train(x, codes, epochs=1, device="cpu")
    assert [isinstance(one, np.memmap) for one in seen] == [False, True] * 2
    np.testing.assert_array_equal(seen[1], learned.heads.towers[0].apply(x))


def test_labels_may_come_later_but_of_the_same_rows(work: Workplace) -> None:
    x, codes = write(work)
    ids: list[int | str] = [f"r{row}" for row in range(len(x))]
    note = {"format": FORMAT, "data": "x.jsonl", "data_sha256": manifests.sha256("x.jsonl"), "ids_sha256": hash_of(ids)}
    text = json.dumps({**note, "rows": len(x), "model": "m", "normalized": False})
    (work.folder / "x.npy.json").write_text(text)
    rows = [{"id": one, "label": f"d{code}"} for one, code in zip(ids, codes, strict=True)]
    work.lines("later.jsonl", rows)
    work.lines("turned.jsonl", rows[::-1])
    command = ("learn", "x.npy", "--loss", "triplet", *QUICK, "-o", "h", "--labels")
    assert work(*command, "later.jsonl").code == 0
    assert "whose ids are others than turned.jsonl's or in another order" in work.refuses(
        3, *command[:-3], "-o", "g", "--labels", "turned.jsonl"
    )
    work.lines("p.jsonl", [{"a": "r0", "b": "r20", "same": True}, {"a": "r0", "b": "r1", "same": False}])
    refused = work.refuses(
        3, "learn", "x.npy", "--loss", "contrastive", "-o", "g", "--pairs", "p.jsonl", "--ids", "turned.jsonl"
    )
    assert "in another order" in refused


def test_rows_of_single_classes_are_negatives_of_n_pairs(work: Workplace) -> None:
    """Most batches hold no two rows of a class: they are left out, and learning goes on."""
    x, _ = write(work)
    codes = np.where(np.arange(len(x)) < 60, np.arange(len(x)) % 2, np.arange(len(x)))
    work.lines("lone.jsonl", [{"label": f"c{code}"} for code in codes])
    answer = work(
        "learn", "x.npy", "--labels", "lone.jsonl", "--loss", "n-pair", "--allow-small-classes", "-o", "h", *QUICK
    )
    assert answer.code == 0, answer.err
    z = torch.nn.functional.normalize(torch.from_numpy(x[:6].astype(np.float64)), dim=1)
    found = label_loss("n-pair", z, torch.tensor([0, 0, 1, 1, 2, 3]))
    near, far = z[[0, 2]] @ z[[1, 3, 4, 5]].T / 0.07, torch.tensor([0, 1])
    assert float(found) == pytest.approx(float(torch.nn.functional.cross_entropy(near, far)))


@pytest.mark.parametrize("sizes", [[100] * 20, [5] * 60, [3, 900, 40, 4, 1, 2, 60, 8, 30, 12], [50, 60, 70]])
def test_a_split_keeps_mates_together(sizes: list[int]) -> None:
    codes = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    parts = split(codes, 7)
    every = np.concatenate([parts.train, parts.watched, parts.rows, parts.classes])
    assert len(np.unique(every)) == len(every) == len(codes)
    whole = set(codes[parts.classes])
    assert len(whole) == (max(2, round(0.1 * sum(size > 1 for size in sizes))) if len(sizes) >= 8 else 0)
    assert not whole & set(codes[np.concatenate([parts.train, parts.watched, parts.rows])])
    for rows in (parts.watched, parts.rows):
        counts = np.bincount(codes[rows], minlength=len(sizes))
        assert not (counts == 1).any() and counts.sum() > 0
    left = np.bincount(codes[parts.train], minlength=len(sizes))
    for code, size in enumerate(sizes):
        assert code in whole or left[code] >= min(size, 2)
    for one, other in zip(vars(parts).values(), vars(split(codes, 7)).values(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert (split(codes, 8).rows.tolist(), split(codes, 8).classes.tolist()) != (
        parts.rows.tolist(),
        parts.classes.tolist(),
    )


class Stop(Exception):
    """Where a kill or Ctrl-C would come."""


@pytest.mark.filterwarnings("ignore:learning made", "ignore:no epoch was better")
@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_a_run_that_was_stopped_ends_where_it_would_have(kind: Any, tmp_path: Path) -> None:
    x, codes = planted(400)
    settings: dict[str, Any] = {"head": kind, "dim": 6, "epochs": 5, "learning_rate": 0.01, "device": "cpu"}
    whole = learn.train(x, codes, **settings)

    def stop(said: str) -> None:
        if said.startswith("epoch 4"):
            raise Stop

    with pytest.raises(Stop):
        learn.train(x, codes, **settings, checkpoint=tmp_path / "kept", on_epoch=stop)
    seen: list[str] = []
    rest = learn.train(x, codes, **settings, checkpoint=tmp_path / "kept", on_epoch=seen.append)
    assert [said.partition(",")[0] for said in seen] == ["epoch 4", "epoch 5"]
    for name, array in whole.heads.towers[0].arrays.items():
        np.testing.assert_array_equal(rest.heads.towers[0].arrays[name], array)
    assert rest.history.recalls == whole.history.recalls and rest.history.best == whole.history.best
    assert rest.history.scores == whole.history.scores
    with pytest.raises(UsageError, match=r"options was \{\}, is \{'margin': 0.3\}"):
        learn.train(x, codes, **settings, margin=0.3, checkpoint=tmp_path / "kept")
    with pytest.raises(UsageError, match="the vectors' values"):
        learn.train(x + 1, codes, **settings, checkpoint=tmp_path / "kept")


@pytest.mark.filterwarnings("ignore:learning made", "ignore:no epoch was better")
@pytest.mark.parametrize("batch", [1, 5])
def test_ctrl_c_in_an_epoch_keeps_its_batches(batch: int, tmp_path: Path) -> None:
    x, codes = planted(400)
    settings: dict[str, Any] = {"dim": 6, "epochs": 2, "learning_rate": 0.01, "device": "cpu", "batch_size": 32}
    whole = learn.train(x, codes, **settings)
    calls: list[int] = []

    def press(done: int, total: int, said: str) -> None:
        calls.append(done)
        if len(calls) == batch:
            signal.raise_signal(signal.SIGINT)

    kept = tmp_path / "kept"
    with pytest.raises(KeyboardInterrupt, match="finished work is kept in"):
        learn.train(x, codes, **settings, checkpoint=kept, progress=press)
    assert len(calls) == batch  # the next batch is the last, and nothing is reported of it
    before = len(calls)
    rest = learn.train(x, codes, **settings, checkpoint=kept, progress=lambda done, *_: calls.append(done))
    assert calls[before] > calls[before - 1]  # it goes on within the epoch
    np.testing.assert_array_equal(rest.heads.towers[0].arrays["A"], whole.heads.towers[0].arrays["A"])
    assert rest.history.losses[1:] == whole.history.losses[1:]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_who_interrupts_is_told_and_the_same_command_goes_on(work: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    write(work)
    command = ("learn", "x.npy", "--labels", "x.jsonl", "--loss", "n-pair", *QUICK, "-o")
    assert work(*command, "whole").code == 0
    looked: list[int] = []

    def interrupted(*arguments: Any) -> float:
        looked.append(1)
        if len(looked) == 4:
            raise KeyboardInterrupt
        return recall_at(*arguments)

    monkeypatch.setattr(evaluation, "recall_at", interrupted)
    answer = work(*command, "h")
    assert answer.code == 130 and "finished work is kept in h.checkpoint, and the same command continues" in answer.err
    assert Path("h.checkpoint").is_dir() and not Path("h").exists()
    monkeypatch.setattr(evaluation, "recall_at", recall_at)
    assert work(*command, "h").code == 0 and not Path("h.checkpoint").exists()
    for name in ("A", "b"):
        np.testing.assert_array_equal(np.load(f"h/head.{name}.npy"), np.load(f"whole/head.{name}.npy"))


def test_a_full_disk_ends_learning_with_a_message_and_it_continues_when_there_is_room(
    work: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(work)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    command = ("learn", "x.npy", "--labels", "x.jsonl", "--loss", "n-pair", "--head", "mlp", "--hidden", 700, *QUICK)
    looked: list[int] = []

    def filled(*arguments: Any) -> float:
        looked.append(1)
        if full_at == len(looked):  # after three epochs; H alone has 33,600 bytes
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
        return recall_at(*arguments)

    full_at = -1
    monkeypatch.setattr(evaluation, "recall_at", filled)
    assert work(*command, "-o", "whole").code == 0
    full_at = len(looked) + 4
    try:
        answer = work(*command, "-o", "h")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    full_at, whole = -1, full_at - 4
    assert answer.code == 3 and "h.checkpoint: not enough room: needs " in answer.err and not Path("h").exists()
    assert work(*command, "-o", "h").code == 0 and not Path("h.checkpoint").exists()
    assert len(looked) == 2 * whole + 1  # only the epoch whose state was not written is judged again
    for one in Path("whole").glob("*.npy"):
        np.testing.assert_array_equal(np.load(one), np.load(Path("h") / one.name))


@pytest.mark.filterwarnings("ignore:learning made")
def test_progress_is_told_in_rows_with_loss_and_recall() -> None:
    x, codes = planted(400)
    told: list[tuple[int, int, str]] = []
    learn.train(x, codes, epochs=2, device="cpu", progress=lambda *one: told.append(one))
    rows = len(split(codes, 0).train)
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)
    assert told[-1][:2] == (2 * rows, 2 * rows) and told[0][0] < rows
    assert all("epoch" in said and "loss" in said and "held-out recall@1 0." in said for _, _, said in told)


def test_the_best_epoch_is_kept_and_learning_stops_early() -> None:
    """The score decides, recall@1 is told: it is at its ceiling from the start, and highest where the score is low."""
    weight = torch.zeros(1, requires_grad=True)
    seen = iter([(0.9, 0.5), (0.9, 0.6), (1.0, 0.4), (0.9, 0.3), (0.9, 0.2), (0.9, 0.1)])
    course = loop.optimize(
        {"w": weight},
        lambda _: [None],
        lambda _: weight.sum(),
        lambda: Quality(*next(seen)),
        Schedule(50, 3, 0.1),
    )
    assert (course.best, len(course.losses), course.recalls) == (1, 5, [0.9, 0.9, 1.0, 0.9, 0.9])
    assert course.scores == [0.5, 0.6, 0.4, 0.3, 0.2]
    assert float(weight.detach()) == pytest.approx(-0.1, rel=0.1)
    with pytest.raises(UsageError, match="none of them requires a gradient"):
        loop.optimize({"w": torch.zeros(1)}, lambda _: [], lambda _: weight, None, Schedule())
    with pytest.raises(DataError, match="found no batch"):
        loop.optimize({"w": weight}, lambda _: [], lambda _: weight, None, Schedule())


def test_nan_stops_names_the_step_and_keeps_the_last_good_state(tmp_path: Path) -> None:
    x, codes = planted(400)
    folder, broken = tmp_path / "kept", x.copy()
    good: list[Any] = []

    def spoil(said: str) -> None:
        folder_state = Checkpoint(folder, json.loads((folder / "manifest.json").read_text())["question"], names).load()
        good.append(folder_state)
        broken[:] = np.nan if len(good) == 2 else broken

    names = tuple(f"{what}.{name}" for name in "Ab" for what in ("now", "best"))

    class Kept(Checkpoint):
        def save(self, state: dict[str, Any]) -> None:
            super().save(state)
            spoil("")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "Checkpoint", Kept)
        with pytest.raises(DataError, match=r"epoch 3, step 1: a gradient is not finite.*kept in .*kept") as caught:
            learn.train(broken, codes, normalize=False, epochs=3, learning_rate=0.01, device="cpu", checkpoint=folder)
    assert "learning rate (0.01)" in str(caught.value)
    after = Checkpoint(folder, json.loads((folder / "manifest.json").read_text())["question"], names).load()
    assert after is not None and len(good) == 2
    for name in names:
        np.testing.assert_array_equal(after[name], good[-1][name])
        assert np.isfinite(after[name]).all()


def test_a_rate_that_is_too_high_is_said(work: Workplace) -> None:
    write(work)
    answer = work(
        "learn", "x.npy", "--labels", "x.jsonl", "--loss", "contrastive", "-o", "h", "--learning-rate", "1e30",
        "--no-normalize", "--device", "cpu",
    )  # fmt: skip
    assert answer.code == 3 and "epoch 1, step 2" in answer.err and "lower the learning rate (1e+30)" in answer.err
    assert "is kept in" not in answer.err  # no epoch was done, so nothing is
    assert not Path("h").exists()


def test_learning_from_pairs(work: Workplace) -> None:
    _, codes = write(work)
    random = np.random.default_rng(0)
    pairs = []
    for row in range(800):
        mates, others = np.flatnonzero(codes == codes[row]), np.flatnonzero(codes != codes[row])
        for group, same in ((mates, True), (others, False)):
            for other in random.choice(group[group != row], 3, replace=False):
                pairs.append({"a": f"r{row}", "b": f"r{other}", "same": same})
    work.lines("p.jsonl", pairs)
    command = ("learn", "x.npy", "--pairs", "p.jsonl", "--ids", "x.jsonl", "--loss", "contrastive", "-o")
    answer = work(*command, "h", "--json", *QUICK)
    assert answer.code == 0, answer.err
    (part,) = json.loads(answer.out)["table"]
    assert (part["name"], part["classes"]) == ("held-out groups", 2)
    assert part["figures"]["MAP@R"][1] > part["figures"]["MAP@R"][0] + 0.1
    text = "a,b,same\n" + "".join(f"{one['a']},{one['b']},{str(one['same']).lower()}\n" for one in pairs)
    work.write("p.csv", text)
    found = read_pairs("p.csv", [f"r{row}" for row in range(800)], "x")
    expected = read_pairs("p.jsonl", [f"r{row}" for row in range(800)], "x")
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])
    assert expected[1].tolist() == [one["same"] for one in pairs]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"a": "r0", "b": "zz", "same": True}], "p.jsonl:1: no id 'zz': expected one of the 800 ids of x.jsonl"),
        ([{"a": "r0", "same": True}], "p.jsonl:1: no field 'b'"),
        ([{"a": "r0", "b": "r1", "same": "maybe"}], "p.jsonl:1: same: expected true or false, found 'maybe'"),
        ([{"a": "r0", "b": "r0", "same": True}], "p.jsonl:1: a and b are the same row ('r0')"),
        ([{"a": "r0", "b": "r1", "same": True}], "both similar and dissimilar pairs are needed, but all 1 are similar"),
        ([], "but there are none"),
    ],
)
def test_pairs_that_cannot_be_used(work: Workplace, rows: list, said: str) -> None:
    write(work)
    work.lines("p.jsonl", rows)
    command = ("learn", "x.npy", "--pairs", "p.jsonl", "--ids", "x.jsonl", "--loss", "contrastive", "-o", "h")
    assert said in work.refuses(3, *command)


def test_few_groups_of_pairs_are_learned_from_without_a_table(work: Workplace) -> None:
    write(work)
    work.lines("p.jsonl", [{"a": 0, "b": 20, "same": True}, {"a": 0, "b": 1, "same": False}])
    answer = work("learn", "x.npy", "--pairs", "p.jsonl", "--loss", "contrastive", "-o", "h", *QUICK)
    assert answer.code == 0 and answer.out == ""
    assert "1 groups, too few to hold any out" in answer.err and "is not measured" in answer.err


def two_sides(n: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """What both sides share lies in 6 coordinates of each, turned differently."""
    random = np.random.default_rng(0)
    shared = random.normal(size=(n, 6))
    one = shared @ random.normal(size=(6, 10)) + 0.3 * random.normal(size=(n, 10))
    return one.astype(np.float32), (shared @ random.normal(size=(6, 14)) + 0.3 * random.normal(size=(n, 14))).astype(
        np.float32
    )


def test_two_towers_into_one_space(work: Workplace) -> None:
    one, other = two_sides()
    work.save("image.npy", one)
    work.save("text.npy", other)
    command = ("learn", "--joint", "image.npy", "text.npy", "--loss", "clip")
    answer = work(*command, "-o", "h", "--json", "--epochs", 30, "--learning-rate", "0.02", "--device", "cpu")
    assert answer.code == 0, answer.err
    (part,) = json.loads(answer.out)["table"]
    assert part["rows"] == 60 and part["chance"]["recall@1 ->"] == pytest.approx(1 / 60)
    for way in ("->", "<-"):
        before, after = part["figures"][f"recall@1 {way}"]
        assert before is None and after > 0.5, part
        assert part["figures"][f"recall@10 {way}"][1] > 0.9
    for side, vectors in (("image", one), ("text", other)):
        assert work("apply", "h", f"{side}.npy", "--tower", side, "-o", f"{side}10.npy").code == 0
        assert np.load(f"{side}10.npy").shape == (600, 10)
        np.testing.assert_array_equal(np.load(f"{side}10.npy"), Heads.load("h").tower(side, "h").apply(vectors))
    assert "holds the towers image and text; choose one with --tower (in Python: tower='image')" in work.refuses(
        2, "apply", "h", "image.npy", "-o", "z.npy"
    )
    refused = work.refuses(2, "apply", "h", "image.npy", "--tower", "imag", "-o", "z.npy")
    assert "did you mean 'image'" in refused
    refused = work.refuses(3, "apply", "h", "image.npy", "--tower", "text", "-o", "z.npy")
    assert "found dim 10, but the text was learned on dim 14" in refused
    work.save("short.npy", other[:500])
    refused = work.refuses(3, "learn", "--joint", "image.npy", "short.npy", "--loss", "clip", "-o", "g")
    assert "image has 600 rows, but short has 500" in refused


def test_what_a_head_is_not_applied_to(work: Workplace) -> None:
    arrays = {"A": np.eye(3, dtype=np.float32), "b": np.zeros(3, np.float32)}
    Heads((Head(arrays),)).save("h")
    assert "emb.npy: found dim 4, but the head was learned on dim 3" in work.refuses(
        3, "apply", "h", "emb.npy", "-o", "o.npy"
    )
    work.save("nan.npy", np.array([[0, 1, np.nan]]))
    assert "1 row cannot be used (1 with NaN" in work.refuses(3, "apply", "h", "nan.npy", "-o", "o.npy")
    assert "expected a name that ends in .npy" in work.refuses(2, "apply", "h", "nan.npy", "-o", "o.jsonl")
    assert "expected a folder written by `vicinal learn`" in work.refuses(
        3, "apply", "nothing", "nan.npy", "-o", "o.npy"
    )
    manifest = json.loads(Path("h/manifest.json").read_text())
    (work.folder / "h/manifest.json").write_text(json.dumps({**manifest, "format_version": 9}))
    assert "format version 9" in work.refuses(3, "apply", "h", "nan.npy", "-o", "o.npy")
    (work.folder / "h/manifest.json").write_text(json.dumps({**manifest, "towers": [{"kind": "deep"}]}))
    assert "towers.0.name: missing" in work.refuses(3, "apply", "h", "nan.npy", "-o", "o.npy")
    (work.folder / "h/manifest.json").write_text(json.dumps({**manifest, "towers": []}))
    assert "towers: found none" in work.refuses(3, "apply", "h", "nan.npy", "-o", "o.npy")
    for name in ("../../head", "a/b", ".."):
        tower = {**manifest["towers"][0], "name": name}
        (work.folder / "h/manifest.json").write_text(json.dumps({**manifest, "towers": [tower]}))
        said = work.refuses(3, "apply", "h", "nan.npy", "-o", "o.npy")
        assert f"h/manifest.json: not a manifest of a head: towers: found 'linear' named '{name}'" in said
    (work.folder / "h/manifest.json").write_text(json.dumps(manifest))
    (work.folder / "h/head.A.npy").write_bytes(b"x")
    assert "h/head.A.npy: damaged" in work.refuses(3, "apply", "h", "nan.npy", "-o", "o.npy")


def test_what_a_head_gives_is_finite_or_refused(work: Workplace) -> None:
    arrays = {"A": np.eye(4, dtype=np.float32), "b": np.zeros(4, np.float32)}
    Heads((Head(arrays),)).save("unit")
    Heads((Head(arrays, normalize=False),)).save("plain")
    work.save("big.npy", np.array([[1, 0, 0, 0], [3e5, 4e5, 0, 0], [0, 3e30, 0, -4e30]], np.float32))
    assert work("apply", "unit", "big.npy", "-o", "unit.npy").code == 0
    expected = np.array([[1, 0, 0, 0], [0.6, 0.8, 0, 0], [0, 0.6, 0, -0.8]])
    np.testing.assert_allclose(np.load("unit.npy"), expected, rtol=1e-6)
    refused = work.refuses(3, "apply", "plain", "big.npy", "-o", "half.npy", "--dtype", "float16")
    assert "big.npy: row 1: the result is too large for float16; use --dtype float32" in refused
    assert not Path("half.npy").exists()


@pytest.mark.filterwarnings("ignore:no epoch was better")
def test_a_joint_side_may_hold_rows_of_zeros() -> None:
    one, other = two_sides(100)
    other[:30] = 0
    with pytest.warns(UserWarning, match="30 of 100 rows hold only zeros"):
        learned = learn.train(joint=(one, other), epochs=2, device="cpu")
    assert all(np.isfinite(after) for _, after in learned.table[0].figures.values())


def test_rows_that_are_not_finite_are_named_before_anything_is_learned(work: Workplace) -> None:
    work.lines("two.jsonl", [{"label": "ab"[row % 2]} for row in range(30)])
    work.vectors[4, 1] = np.inf
    work.save("inf.npy", work.vectors)
    refused = work.refuses(3, "learn", "inf.npy", "--labels", "two.jsonl", "--loss", "triplet", "-o", "h")
    assert "inf.npy: 1 row cannot be used (1 with NaN or infinite value: 4)" in refused
    refused = work.refuses(3, "learn", "--joint", "emb.npy", "inf.npy", "--loss", "clip", "-o", "h")
    assert "inf.npy: 1 row cannot be used" in refused


def test_labels_that_cannot_be_learned_from(work: Workplace) -> None:
    work.lines("one.jsonl", [{"label": "same"}] * 30)
    refused = work.refuses(3, "learn", "emb.npy", "--labels", "one.jsonl", "--loss", "triplet", "-o", "h")
    assert "all 30 rows have the label 'same'" in refused
    work.lines("lone.jsonl", [{"label": "lone" if row == 7 else "ab"[row % 2]} for row in range(30)])
    command = ("learn", "emb.npy", "--labels", "lone.jsonl", "--loss", "triplet", "-o", "h")
    answer = work(*command, *QUICK)
    assert answer.code == 0
    assert "1 of 3 classes have a single row (lone); nothing is learned from these rows" in answer.err
    assert "2 classes with two rows or more are too few to hold any out whole: only rows are held out" in answer.err
    answer = work(*command, "--overwrite", "--allow-small-classes", *QUICK)
    assert answer.code == 0 and "single row" not in answer.err
    work.lines("few.jsonl", [{"label": "ab"[row % 2] if row < 2 else "c"} for row in range(30)])
    refused = work.refuses(3, *command[:3], "few.jsonl", *command[4:], "--overwrite")
    assert "2 of 3 classes have a single row (a, b), but triplet needs two rows of a class" in refused
    with pytest.raises(DataError, match="have the label 'x'"):
        learn.train(work.vectors, ["x"] * 30)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--loss", "triplet"), "expected one of labels, pairs and joint, got none"),
        (("--labels", "x.jsonl", "--pairs", "x.jsonl", "--loss", "triplet"), "got labels and pairs"),
        (("--labels", "x.jsonl", "--loss", "clip"), "loss 'clip' learns from joint, not from labels"),
        (("--labels", "x.jsonl", "--loss", "triplett"), "did you mean 'triplet'"),
        (
            ("--labels", "x.jsonl", "--loss", "triplet", "--temperature", "1"),
            "temperature: the loss triplet has no such option; its options are margin, squared",
        ),
        (("--labels", "x.jsonl", "--loss", "n-pair", "--temperature", "0"), "expected a number above 0"),
        (("--labels", "x.jsonl", "--loss", "triplet", "--dim", "13"), "dim: expected 1 to 12"),
        (("--labels", "x.jsonl", "--loss", "triplet", "--per-class", "100"), "rows a class in batches of 128"),
        (("--labels", "x.jsonl", "--loss", "triplet", "--epochs", "0"), "--epochs: expected a whole number"),
        (
            ("--labels", "x.jsonl", "--loss", "triplet", "--learning-rate", "-1"),
            "--learning-rate: expected a number above 0",
        ),
        (("--labels", "x.jsonl", "--loss", "triplet", "--learning-rate", "1e38"), "at most 1e+30, got 1e+38"),
        (("--labels", "x.jsonl", "--loss", "n-pair", "--miner", "all"), "miner: applies to the loss triplet only"),
        (("--labels", "x.jsonl", "--loss", "n-pair", "--hidden", "9"), "hidden: applies to the head mlp only"),
        (("--pairs", "x.jsonl", "--loss", "contrastive", "--per-class", "9"), "--per-class: applies to labels only"),
        (("--labels", "x.jsonl", "--loss", "triplet", "--seed", "-1"), "--seed: expected a whole number"),
        (("--labels", "x.jsonl", "--loss", "triplet", "--ids", "x.jsonl"), "ids: applies to pairs only"),
        (("--labels", "x.jsonl", "--loss", "triplet", "--device", "abacus"), "device:"),
        (("--labels", "x.jsonl", "--loss", "triplet", "--device", "cuda:99"), "device:"),
    ],
)
def test_options_that_cannot_be_used(work: Workplace, options: tuple[str, ...], said: str) -> None:
    write(work)
    assert said in work.refuses(2, "learn", "x.npy", *options, "-o", "h")


def test_where_learning_made_it_worse_a_warning_says_so() -> None:
    head = Head({"A": np.eye(2, dtype=np.float32), "b": np.zeros(2, np.float32)})
    table = [HeldOut("held-out classes", 9, 2, {"recall@1": (0.5, 0.4), "MAP@R": (0.2, 0.3)})]
    with pytest.warns(UserWarning) as caught:
        training._result((head,), History([float("nan")], [0.5], [0.5]), Plan("triplet"), table)
    said = [str(one.message) for one in caught]
    assert said[0] == "learning made held-out classes worse: recall@1 0.500 -> 0.400"
    assert "no epoch was better on the watched rows than the start" in said[1]


def test_train_gives_what_the_command_gives(work: Workplace) -> None:
    x, codes = write(work)
    one, other = two_sides()
    work.save("image.npy", one)
    work.save("text.npy", other)
    ids = [f"r{row}" for row in range(len(x))]
    pairs = [[row, row + step] for row in range(0, 700) for step in (20, 1)]
    same = [bool(codes[a] == codes[b]) for a, b in pairs]
    work.lines("p.jsonl", [{"a": ids[a], "b": ids[b], "same": s} for (a, b), s in zip(pairs, same, strict=True)])
    quick: dict[str, Any] = {"epochs": 2, "learning_rate": 0.01, "device": "cpu"}
    options = ("--epochs", "2", "--learning-rate", "0.01", "--device", "cpu", "--json", "-o")
    runs: Any = (
        (
            ("x.npy", "--labels", "x.jsonl", "--head", "mlp", "--hidden", "5", "--unsquared", "--per-class", "3"),
            [
                {"data": given, "labels": known, "head": "mlp", "hidden": 5, "squared": False, "per_class": 3}
                for given, known in ((x, [f"c{code}" for code in codes]), ("x.npy", "x.jsonl:label"))
            ],
        ),
        (
            ("x.npy", "--pairs", "p.jsonl", "--ids", "x.jsonl", "--form", "hadsell", "--margin", "2"),
            [
                {"data": x, "pairs": given, "ids": known, "form": "hadsell", "margin": 2.0}
                for given, known in (((pairs, same), None), ("p.jsonl", ids), ("p.jsonl", "x.jsonl"))
            ],
        ),
        (
            ("--joint", "image.npy", "text.npy", "--dim", "4", "--seed", "3"),
            [{"joint": given, "dim": 4, "seed": 3} for given in ((one, other), ("image.npy", Path("text.npy")))],
        ),
    )
    for at, (command, calls) in enumerate(runs):
        answer = work("learn", *command, *options, f"h{at}")
        assert answer.code == 0, answer.err
        for arguments in calls:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                result = learn.train(**arguments, **quick)
            assert {**json.loads(json.dumps(result.heads.about)), "output": f"h{at}"} == json.loads(answer.out)
            saved = Heads.load(f"h{at}").towers
            for mine, its in zip(result.heads.towers, saved, strict=True):
                for name, array in its.arrays.items():
                    np.testing.assert_array_equal(mine.arrays[name], array)
    assert [head.name for head in saved] == ["image", "text"]


def test_the_packages_are_light_to_import_and_list_their_names() -> None:
    code = """
import sys
from vicinal import estimators, learn, lm
assert not {"numpy", "scipy", "sklearn", "torch", "transformers"} & set(sys.modules)
for package in (estimators, learn, lm):
    assert package.__doc__ and set(package.__all__) <= set(dir(package))
    assert all(getattr(package, name).__doc__ for name in package.__all__)
assert not {"torch", "transformers"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, env=environment())


def test_every_option_has_its_argument() -> None:
    elsewhere = {
        "embeddings": "data", "unsquared": "squared", "no_normalize": "normalize",
        "json": None, "verbose": None, "quiet": None, "help": None,
    }  # fmt: skip
    for command, function in (("learn", learn.train), ("apply", learn.apply)):
        parser = argparse.ArgumentParser()
        import_module(f"vicinal.cli.{command}").add_arguments(parser)
        names = {elsewhere.get(option.dest, option.dest) for option in parser._actions} - {None}
        assert names <= set(signature(function).parameters), command
    assert get_args(LossName) == tuple(one.name for one in LOSSES)
    assert get_args(DistanceName) == tuple(one.name for one in DISTANCES)
    assert (get_args(ReductionName), get_args(MinerName)) == (tuple(REDUCTIONS), tuple(MINERS))
    assert get_args(HeadKind) == tuple(KINDS)


@pytest.mark.filterwarnings("ignore:learning made", "ignore:no epoch was better")
def test_a_result_transforms_saves_and_shows_its_table(tmp_path: Path) -> None:
    x, codes = planted(400)
    result = learn.train(x, codes, epochs=2, learning_rate=0.01, device="cpu", dim=5, output=tmp_path / "out")
    assert not (tmp_path / "out.checkpoint").exists()
    result.save(tmp_path / "h")
    y = result.transform(x)
    assert (y.shape, y.dtype) == ((400, 5), np.float32)
    np.save(tmp_path / "x.npy", x)
    heads: list[Any] = [result, result.heads, result.head, tmp_path / "h", str(tmp_path / "out")]
    for head in heads:
        np.testing.assert_array_equal(learn.apply(head, x), y)
    written = learn.apply(result, tmp_path / "x.npy", tmp_path / "y.npy", dtype="float16")
    assert isinstance(written, np.memmap)
    np.testing.assert_array_equal(written, y.astype(np.float16))
    np.testing.assert_array_equal(learn.apply(result, x, dtype="float16"), written)
    measures = [(part.name, measure, *figures) for part in result.table for measure, figures in part.figures.items()]
    assert [(one["part"], one["measure"], one["before"], one["after"]) for one in result.records()] == measures
    assert len(measures) == 8 and str(result).count("\n") == 9 and f"{measures[3][3]:.3f}" in str(result)
    with pytest.raises(UsageError, match="exists already"):
        learn.train(x, codes, device="cpu", output=tmp_path / "out")
    with pytest.raises(UsageError, match="unknown dtype 'int8'"):
        learn.apply(result, x, dtype="int8")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"data": None, "labels": [0, 1]}, UsageError, "labels: needs the embeddings too"),
        ({"joint": ("a.npy", "b.npy")}, UsageError, "data, the first argument, must be left out"),
        ({"labels": [0, 1]}, DataError, "labels: found 2, expected 30 values, one a row"),
        (
            {"labels": np.where(np.arange(30) == 4, np.nan, 1.0)},
            DataError,
            "labels: row 4: expected a label, found nan",
        ),
        ({"labels": [None] * 30}, DataError, "labels: row 0: expected a label in every row, found null"),
        ({"labels": [0, 1] * 15, "hidden": 3}, UsageError, "hidden: applies to the head mlp only"),
        ({"labels": [0, 1] * 15, "batch_size": 0}, UsageError, "batch_size: expected a whole number above 0, got 0"),
        ({"labels": [0, 1] * 15, "seed": 2**43}, UsageError, "seed: expected a whole number from 0 to 8796093022207"),
        ({"labels": [0, 1] * 15, "margin": 0.0}, UsageError, "margin: expected a number above 0, got 0.0"),
        ({"labels": [0, 1] * 15, "ids": [0]}, UsageError, "ids: applies to pairs only"),
        ({"pairs": ([[0, 30], [0, 1]], [True, False])}, DataError, "found rows 0 to 30, expected 0 to 29"),
        ({"pairs": ([[0, 2], [1, 1]], [True, False])}, DataError, "pair 1 names the same row twice"),
        ({"pairs": ([[0, 2], [0, 1]], [True])}, DataError, "one truth value each"),
        ({"pairs": ([[0, 2], [0, 1]], [True, True])}, DataError, "found 2 similar pairs of 2"),
        ({"pairs": ([[0, 2], [0, 1]], [True, False]), "ids": [0]}, UsageError, "holds row numbers"),
    ],
)
def test_arguments_that_cannot_be_used(arguments: dict[str, Any], error: type, said: str) -> None:
    x = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    with pytest.raises(error, match=said):
        learn.train(**{"data": x, "device": "cpu", **arguments})


def test_a_run_on_fewer_threads_leaves_torchs_setting() -> None:
    x, codes = planted(400)
    before = torch.get_num_threads()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        learn.train(x, codes, epochs=1, device="cpu", threads=before + 1)
    assert torch.get_num_threads() == before


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    x, y = load_digits(return_X_y=True)
    return torch.from_numpy(x / 16).float(), torch.from_numpy(y)


def tower() -> torch.nn.Module:
    torch.manual_seed(0)
    layers = (torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Dropout(0.1), torch.nn.Linear(32, 8))
    return torch.nn.Sequential(*layers)


@pytest.mark.parametrize("loss", ["contrastive", "triplet", "n-pair"])
def test_a_siamese_network_learns_from_raw_inputs(loss: Any) -> None:
    x, y = digits()
    loader = [(x[at : at + 64], y[at : at + 64]) for at in range(0, 1024, 64)]
    network = SiameseNetwork(tower(), loss)
    held_out = [(x[1024:], y[1024:])]
    before = recall_at(Exact().fit(network.embed(x[1024:])).neighbors(1), y[1024:].numpy(), 1)
    course = network.fit(loader, held_out, Schedule(epochs=6, learning_rate=0.01))
    after = recall_at(Exact().fit(network.embed([x[1024:1100], x[1100:]])).neighbors(1), y[1024:].numpy(), 1)
    assert after == course.recalls[course.best] > before + 0.02
    found = Exact().fit(network.embed(x[1024:])).neighbors(len(x) - 1025)
    assert map_at_r(found, y[1024:].numpy()) == course.scores[course.best] == max(course.scores)
    again = SiameseNetwork(tower(), loss)
    again.fit(loader, held_out, Schedule(epochs=6, learning_rate=0.01))
    np.testing.assert_array_equal(again.embed(x), network.embed(x))


def test_a_siamese_network_takes_pairs_and_triplets_as_they_come() -> None:
    x, y = digits()
    same = y[:200] == y[200:400]
    batches: dict[Any, Any] = {
        "contrastive": [(x[:200], x[200:400], same)],
        "triplet": [(x[:100], x[100:200], x[200:300])],
        "n-pair": [(x[:10], x[10:20])],
    }
    for loss, loader in batches.items():
        course = SiameseNetwork(tower(), loss).fit(loader, schedule=Schedule(epochs=8, learning_rate=0.01))
        assert course.losses[-1] < course.losses[1] and course.best == 8
    with pytest.raises(DataError, match=r"epoch 2: found no batch.*iterated anew in each epoch"):
        SiameseNetwork(tower()).fit(iter([(x[:64], y[:64])]))
    with pytest.raises(DataError, match="validation: 3 rows, no two of one class"):
        SiameseNetwork(tower()).fit([(x[:64], y[:64])], [(x[:3], torch.arange(3))])
    with pytest.raises(DataError, match="a batch has 2 parts, but triplet takes"):
        SiameseNetwork(tower()).fit([(x[:5], x[5:10])])
    with pytest.raises(UsageError, match="option of triplet"):
        SiameseNetwork(tower(), temperature=1.0)
    with pytest.raises(UsageError, match="not from labels"):
        SiameseNetwork(tower(), "clip")


def test_a_nan_in_a_loader_is_met_by_name_and_leaves_the_last_whole_epoch() -> None:
    x, y = digits()
    good = [(x[at : at + 64], y[at : at + 64]) for at in range(0, 256, 64)]
    epochs = []

    class Loader:
        def __iter__(self) -> Any:
            epochs.append(1)
            broken = [*good[:2], (good[2][0] * float("nan"), good[2][1])]
            return iter(good if len(epochs) < 3 else broken)

    network = SiameseNetwork(tower(), "contrastive")
    with pytest.raises(DataError, match="epoch 3, step 3: the loss is nan"):
        network.fit(Loader(), schedule=Schedule(epochs=9, learning_rate=0.01))
    after = network.embed(x)
    again = SiameseNetwork(tower(), "contrastive")
    again.fit(good, schedule=Schedule(epochs=2, learning_rate=0.01))
    np.testing.assert_array_equal(after, again.embed(x))
