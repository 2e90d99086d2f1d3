"""The kernel of torch's devices, on torch's CPU device: small tiles, bounds of codes, several devices, failures."""

import copy
import importlib.util
import json
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import vicinal
from oracle import HARD, brute_force, hard_case, hard_data
from vicinal import devices
from vicinal.errors import UsageError
from vicinal.knn.checkpoint import Checkpoint, question
from vicinal.knn.kernels import brute
from vicinal.knn.kernels.native import Native
from vicinal.knn.kernels.torch import Torch, codes, driver, fused, measure, pairs, products, setting, tiles
from vicinal.knn.kernels.torch.lists import NONE, Lists, merged, nothing
from vicinal.knn.metrics import find, lane_sum, squared_difference
from workplace import Workplace

METRICS = ("euclidean", "sqeuclidean", "cosine", "inner_product")
SMALL = tiles.Sizes(tile=96, resident=3, side=64, measured=500)  # several tiles, blocks and rounds; the oldest go
TINY = tiles.Sizes(tile=40, resident=3, side=32, measured=64)


def small(vectors: np.ndarray, metric: str = "euclidean", sizes: tiles.Sizes = SMALL, **more: Any) -> Torch:
    return Torch(vectors, find(metric), 2, sizes=sizes, **more)


def same(found: tuple[np.ndarray, ...], truth: tuple[np.ndarray, ...]) -> None:
    """Equal rows in equal order, and equal distances in float32, which is what a result holds."""
    for one, other in zip(found, truth, strict=True):
        with np.errstate(over="ignore"):
            one, other = (x.astype(np.float32) if x.dtype.kind == "f" else x for x in (one, other))
        np.testing.assert_array_equal(one, other)


def watched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, Any]]:
    """The pairs of tiles that are compared from now on, each with what compares it."""
    begun: list[tuple[int, Any]] = []
    run = driver.Work.run

    def note(work: driver.Work, pair: Any, following: Any) -> None:
        begun.append((id(work), pair))
        run(work, pair, following)

    monkeypatch.setattr(driver.Work, "run", note)
    return begun


@pytest.mark.parametrize("kind", ["int8", "bf16"])
def test_products_that_underflow_are_ties(kind: str) -> None:
    for size in (1e-162, 1e-200):
        vectors = np.random.default_rng(0).standard_normal((120, 5)) * size
        found = small(vectors, "inner_product", TINY, codes=kind).self_join(5)
        same(found, brute_force(vectors, None, 5, "inner_product"))


@pytest.mark.parametrize("kind", ["int8", "bf16"])
@pytest.mark.parametrize("metric", ["euclidean", "cosine", "inner_product"])
def test_tiles_that_come_and_go_give_the_oracles_answer(metric: str, kind: str) -> None:
    for data in [*HARD][:: 4 if kind == "int8" else 9]:
        vectors, indices, distances = hard_case(data, metric, 300, 13, 5)
        kernel = small(vectors, metric, codes=kind)
        same(kernel.self_join(5), (indices, distances))
        queries = vectors[::7]
        same(kernel.search(queries, 4), brute_force(vectors, queries, 4, metric))


@pytest.mark.parametrize("metric", ["euclidean", "inner_product"])
def test_groups_and_radii_over_tiles_agree_with_brute_force(metric: str) -> None:
    for data in ("plain", "40 % copies of one row"):
        vectors, _, distances = hard_case(data, metric, 300, 13, 5)
        groups = np.random.default_rng(5).integers(0, 4, len(vectors)) * 1000 - 1500
        ours, slow = small(vectors, metric), brute.Brute(vectors, find(metric), 2)
        radius, queries, asked = float(np.median(distances[:, -1])), vectors[:50], groups[:50]
        same(ours.self_join(9, groups), slow.self_join(9, groups))
        same(ours.search(queries, 9, groups, asked), slow.search(queries, 9, groups, asked))
        for more in ((None, None, None), (queries, None, None), (None, groups, None), (queries, groups, asked)):
            same(ours.within(radius, *more), slow.within(radius, *more))
    alone = small(vectors, metric).self_join(2, np.zeros(len(vectors), dtype=np.int64))
    assert (alone[0] == -1).all() and np.isinf(alone[1]).all()


@pytest.mark.parametrize("k", [150, 1000])
def test_a_k_larger_than_a_tile(k: int) -> None:
    vectors = hard_data("40 % copies of one row", 400, 5)
    k = min(k, 399)
    same(small(vectors, sizes=TINY).self_join(k), Native(vectors, find("euclidean"), 2).self_join(k))


@pytest.mark.parametrize("dim", [7, 384, 1500])
@pytest.mark.parametrize("metric", ["euclidean", "cosine", "inner_product"])
def test_dimensions_with_and_without_a_remainder(metric: str, dim: int) -> None:
    vectors = hard_data("float32", 250, dim) + np.float32(0.25)
    same(small(vectors, metric).self_join(6), Native(vectors, find(metric), 2).self_join(6))


def test_two_devices_take_different_tiles_and_give_one_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = watched(monkeypatch)
    vectors, indices, distances = hard_case("40 % copies of one row", "euclidean", 300, 13, 5)
    both = small(vectors, sizes=TINY, device="cpu,cpu")
    same(both.self_join(5), (indices, distances))
    assert len({work for work, _ in begun}) == 2 and len({pair for _, pair in begun}) == len(begun)
    same(both.search(vectors[:60], 5), brute_force(vectors, vectors[:60], 5, "euclidean"))
    slow = brute.Brute(vectors, find("euclidean"), 2)
    same(both.within(float(distances[0, -1])), slow.within(float(distances[0, -1])))


def test_a_device_without_float64_has_its_distances_measured_on_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def elsewhere(device: Any) -> Any:
        asked.append(device)
        return torch.device("cpu")

    monkeypatch.setattr(setting, "exact_place", elsewhere)
    vectors, indices, distances = hard_case("offset by 1e8", "euclidean", 300, 13, 5)
    same(small(vectors).self_join(5), (indices, distances))
    assert asked
    monkeypatch.undo()
    assert setting.exact_place(torch.device("mps")).type == "cpu"
    assert setting.exact_place(torch.device("cuda", 1)).type == "cuda"


@pytest.mark.parametrize("dim", [1, 3, 8, 13, 64, 385])
def test_sums_distances_and_roots_have_the_bits_of_numpy(dim: int) -> None:
    random = np.random.default_rng(dim)
    a, b = (random.standard_normal((300, dim)) * np.logspace(-150, 30, 300)[:, None] for _ in range(2))
    np.testing.assert_array_equal(measure.lane_sum(torch.from_numpy(a)).numpy(), lane_sum(a))
    for name in METRICS:
        metric = find(name)
        x, y = metric.prepare(a), metric.prepare(b)
        inverse = measure.inverse_length(torch.from_numpy(a)) if name == "cosine" else None
        np.testing.assert_array_equal(measure.prepared(torch.from_numpy(a), inverse).numpy(), x)
        found = measure.distances(metric, torch.from_numpy(x), torch.from_numpy(y))
        np.testing.assert_array_equal(found.numpy(), metric.finish(metric.measure(x, y)))
    assert measure.probe(torch.device("cpu")) == ""


def adversarial(kind: str, dim: int) -> np.ndarray:
    """Rows whose codes lose as much as codes can, in one direction, or nearly nothing."""
    random = np.random.default_rng(dim)
    rows = random.standard_normal((96, dim))
    if kind == "halves":  # every coordinate lies between two codes
        rows = (random.integers(-126, 126, (96, dim)) + 0.5) / 127
        rows[:, 0] = 1
    elif kind == "one large":
        rows[:, 0] *= 1e4
    elif kind == "opposite":
        rows[48:] = -rows[:48] * (1 + 1e-6)
    elif kind == "near":
        rows[48:] = rows[:48] * (1 + 1e-4 * random.standard_normal((48, dim)))
    elif kind == "of many lengths":
        rows *= 10.0 ** random.uniform(-30, 11, (96, 1))
    elif kind == "alternating":
        rows = np.where(np.arange(dim) % 2, 1.0, -1.0) * random.uniform(0.9, 1, (96, 1))
    elif kind == "huge":
        rows[::9] *= 1e30
    return rows


@pytest.mark.parametrize("code", ["int8", "bf16"])
@pytest.mark.parametrize("metric", ["euclidean", "inner_product"])
def test_no_pair_within_its_rows_radius_is_below_the_limit(metric: str, code: str) -> None:
    """With the exact distance of a pair as the radius, which is the hardest case, the pair has to pass."""
    measurement = find(metric)
    for kind in ("plain", "halves", "one large", "opposite", "near", "of many lengths", "alternating", "huge"):
        for dim in (3, 1100):
            rows = adversarial(kind, dim)
            coder = codes.Coder.of(measurement.prepare(rows[1::9]), measurement, code)
            raw = torch.from_numpy(rows)
            inverse = measure.inverse_length(raw) if metric == "cosine" else None
            tile = tiles.Tile(0, raw, inverse, codes.coded(coder, raw, inverse, torch.device("cpu"), 50))
            multiply = products.choose(code, dim, torch.device("cpu"))
            comparison = pairs.Comparison(coder, multiply, SMALL, pairs.Within(0))
            left, right = slice(0, 40), slice(40, 96)
            score = comparison._scores(tile.codes, left, tile.codes, right)
            prepared, order = measurement.prepare(rows), tile.codes.row.numpy()
            a, b = prepared[order[left]], prepared[order[right]]
            far = measurement.finish(measurement.measure(a[:, None, :], b[None, :, :]))
            for own, block, other, radii in ((0, left, right, far), (1, right, left, far.T)):
                for column in range(radii.shape[1]):
                    radius = measure.radius_of(measurement, torch.from_numpy(radii[:, column].copy()), coder.factor)
                    limit = coder.limits(tile.codes, block, tile.codes, other, radius)
                    found = score[:, column] if own == 0 else score[column]
                    assert bool((found >= limit).all()), (kind, dim, own, column)


@pytest.mark.parametrize("code", ["int8", "bf16"])
def test_slacks_bound_what_codes_lose_and_codes_tell_rows_apart(code: str) -> None:
    rows = adversarial("plain", 300)
    coder = codes.Coder.of(rows, find("euclidean"), code)
    raw = torch.from_numpy(rows)
    coded = codes.coded(coder, raw, None, torch.device("cpu"), 1000)
    order = coded.row.numpy()
    moved = (rows[order] - coder.centre) * coder.factor
    code_values = coded.codes[: len(rows), :300].double().numpy() * coded.scale.double().numpy()[:, None]
    lost = np.sqrt(squared_difference(moved, code_values))
    assert (lost <= coded.slack.numpy()).all()
    assert (coded.slack.numpy() <= 0.02 * np.linalg.norm(moved, axis=1)).all()
    assert (np.diff(coded.length.numpy()) >= 0).all()


def test_the_kind_of_codes_follows_the_rows() -> None:
    plain, peaked = hard_data("plain", 200, 256), np.random.default_rng(0).uniform(-1, 1, (200, 256)) / 127
    peaked[:, 0] = 1  # the others are about as large as what an int8 code loses
    assert codes.Coder.of(plain, find("euclidean")).kind == "int8"
    assert codes.Coder.of(peaked, find("inner_product")).kind == "bf16"


@pytest.mark.parametrize("dim", [1, 1040, 1041, 4000])
def test_products_of_int8_codes_are_exact_in_float32(dim: int) -> None:
    assert products.EXACT_DIM * products.HIGHEST**2 <= 1 << 24 < (products.EXACT_DIM + 1) * products.HIGHEST**2
    extreme = torch.full((32, dim), 127, dtype=torch.int8)
    found = products.float32(extreme, torch.cat([extreme, -extreme]))
    assert found.long().unique().tolist() == [-dim * 127**2, dim * 127**2]
    assert products.probe(products.float32, "int8", dim, torch.device("cpu")) == ""


def test_an_operation_with_wrong_products_is_found_out_and_not_used() -> None:
    def saturates(rows: Any, columns: Any) -> Any:
        return products.float32(rows, columns).clamp(max=48_960)  # what int8 products do without VNNI

    wrong = products.probe(saturates, "int8", 384, torch.device("cpu"))
    assert wrong.startswith("products of int8 codes are wrong by up to")
    short = lambda rows, columns: (rows.float() @ columns.float().t()).bfloat16()  # noqa: E731
    assert "bf16 codes are wrong" in products.probe(short, "bf16", 384, torch.device("cpu"))


def test_the_callers_settings_are_the_same_afterwards_and_change_nothing() -> None:
    matmul, precision = torch.backends.cuda.matmul, torch.get_float32_matmul_precision()
    vectors, indices, distances = hard_case("float32", "euclidean", 300, 13, 5)
    try:
        torch.set_float32_matmul_precision("medium")  # products of float32 in bfloat16 or TF32, where there is either
        for code in ("int8", "bf16"):
            with torch.autocast("cpu", dtype=torch.bfloat16), torch.device("meta"):
                same(small(vectors, codes=code).self_join(5), (indices, distances))
        before = matmul.allow_bf16_reduced_precision_reduction
        with products.full_sums():
            with products.full_sums():
                pass
            assert not matmul.allow_bf16_reduced_precision_reduction
        assert matmul.allow_bf16_reduced_precision_reduction == before
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(precision)


def test_lists_keep_the_nearest_by_distance_and_entry() -> None:
    lists = Lists.empty(3, 2, torch.device("cpu"))
    for rows, far, entries in [
        ([0, 0, 2], [0.5, 0.5, 1.0], [9, 4, 7]),
        ([0, 2, 2, 0], [0.5, 0.1, 1.0, 0.6], [5, 8, 3, 1]),
    ]:
        lists.offer(torch.tensor(rows), torch.tensor(far, dtype=torch.float64), torch.tensor(entries))
    distance, entry = lists.numpy()
    assert entry.tolist() == [[4, 5], [NONE, NONE], [8, 3]]
    assert distance.tolist() == [[0.5, 0.5], [np.inf, np.inf], [0.1, 1.0]]
    twice = merged(
        (distance, entry), (np.array([[0.5, 0.4], [3.0, np.inf], [0.1, 0.2]]), np.array([[4, 2], [6, NONE], [8, 1]]))
    )
    assert twice[1].tolist() == [[2, 4], [6, NONE], [8, 1]]


class Breaks:
    """Lets some pairs of tiles be compared, and then fails as torch does where memory is short."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, after: int, lists_too: bool = False) -> None:
        self.left, run, lists = after, driver.Work.run, driver.Work.lists

        def broken(work: driver.Work, pair: Any, following: Any) -> None:
            self.left -= 1
            if self.left == -1:
                run(work, pair, following)  # what was entered by then may be offered again
            if self.left < 0:
                raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB\nmore of the same")
            run(work, pair, following)

        def lost(work: driver.Work) -> Any:
            if self.left < 0:
                raise RuntimeError("CUDA error: unspecified launch failure")
            return lists(work)

        monkeypatch.setattr(driver.Work, "run", broken)
        if lists_too:
            monkeypatch.setattr(driver.Work, "lists", lost)


@pytest.mark.parametrize("after", [0, 4, 11])
@pytest.mark.parametrize("grouped", [False, True])
def test_a_device_that_fails_leaves_the_rest_to_the_processor(
    after: int, grouped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = hard_data("40 % copies of one row", 400, 6)
    groups = np.arange(400) % 5 if grouped else None
    truth = Native(vectors, find("cosine"), 2).self_join(7, groups)
    seen: list[tuple[int, int]] = []
    Breaks(monkeypatch, after, lists_too=after == 4)
    with pytest.warns(
        UserWarning, match=r"the device gave up \(CUDA out of memory\. Tried to allocate 2\.00 GiB\); the"
    ) as said:
        found = small(vectors, "cosine", TINY, device="cpu").self_join(7, groups, lambda *done: seen.append(done))
    same(found, truth)
    assert len(said) == 1 and "\n" not in str(said[0].message) and seen[-1] == (400, 400)
    rest = int(str(said[0].message).rsplit(": ", 1)[1].split()[0])
    assert rest < 300 if after == 11 and not grouped else rest > 0


def test_queries_and_radii_go_on_too_where_a_device_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = hard_data("few integers, many ties", 300, 4)
    exact = Native(vectors, find("euclidean"), 2)
    truth, near = exact.search(vectors[:200], 5), exact.within(1.5)
    Breaks(monkeypatch, 7)  # with five tiles of queries and two of the 108 distinct rows
    with pytest.warns(UserWarning, match=r"does the rest: 80 of 200 queries"):
        same(small(vectors, sizes=TINY).search(vectors[:200], 5), truth)
    with pytest.warns(UserWarning, match="does the rest: all 300 rows"):
        same(small(vectors, sizes=TINY).within(1.5), near)


def test_a_device_that_cannot_be_used_leaves_everything_to_the_processor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vectors, indices, distances = hard_case("plain", "euclidean", 300, 13, 5)
    monkeypatch.setattr(measure, "probe", lambda device: "float64 is wrong here")
    with pytest.warns(UserWarning, match=r"the device gave up \(float64 is wrong here\); .* 300 of 300 rows"):
        same(small(vectors).self_join(5), (indices, distances))


def test_rows_that_codes_cannot_tell_apart_go_to_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, indices, distances = hard_case("rows within 1e-7 of two centres", "euclidean", 300, 13, 5)
    monkeypatch.setattr(pairs, "MANY", 20_000)
    with pytest.warns(UserWarning, match=r"gave up \(its codes leave \d+% of the pairs to be measured\); the"):
        same(small(vectors, sizes=TINY).self_join(5), (indices, distances))


def test_a_forked_child_and_a_copy_answer() -> None:
    vectors = hard_data("plain", 200, 6)
    index = vicinal.Exact(device="cpu").fit(vectors)
    truth = index.neighbors(3).indices
    assert copy.copy(index).engine == pickle.loads(pickle.dumps(index)).engine == index.engine
    child = os.fork()
    if not child:
        os._exit(0 if (index.neighbors(3).indices == truth).all() else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_a_pass_is_stopped_within_a_pair_of_tiles_and_progress_only_rises() -> None:
    vectors, whole = hard_data("plain", 4000, 40), tiles.Sizes(4000, 3, 32, 5000)
    seen: list[int] = []
    small(vectors[:300], sizes=TINY).self_join(3, progress=lambda done, total: seen.append(done))
    assert seen == sorted(seen) and seen[-1] == 300

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    kernel = small(vectors, sizes=whole)
    with pytest.raises(KeyboardInterrupt):
        kernel.self_join(3, progress=stop)
    assert "candidates" not in kernel.stats()


def test_what_progress_raises_is_not_taken_for_a_fault_of_the_device() -> None:
    def stop(done: int, total: int) -> None:
        raise RuntimeError("enough")

    with warnings.catch_warnings(), pytest.raises(RuntimeError, match="enough"):
        warnings.simplefilter("error")
        small(hard_data("plain", 300, 4)).self_join(3, progress=stop)


def test_a_stopped_self_join_goes_on_from_its_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = hard_data("40 % copies of one row", 400, 6)
    truth = Native(vectors, find("euclidean"), 2).self_join(7)
    asked = question(vectors, "euclidean", 7, None)

    def stop(done: int, total: int) -> None:
        if done > total // 2:
            raise KeyboardInterrupt

    for folder, again in ((tmp_path / "a", TINY), (tmp_path / "b", SMALL)):
        with pytest.raises(KeyboardInterrupt, match="finished work is kept in"):
            small(vectors, sizes=TINY).self_join(7, None, stop, Checkpoint(folder, asked), every=0)
        with monkeypatch.context() as patch:
            begun = watched(patch)
            same(small(vectors, sizes=again).self_join(7, checkpoint=Checkpoint(folder, asked)), truth)
        assert len(begun) < 15 and not folder.exists()  # of 28 pairs of tiles, whatever the sizes are now


def test_checkpoints_of_the_other_kernel_and_damaged_ones_are_refused(tmp_path: Path) -> None:
    vectors = hard_data("float32", 300, 6)
    asked = question(vectors, "euclidean", 7, None)
    kept = Checkpoint(tmp_path / "kept", asked)
    lists = nothing(300, 7)
    state = {"kernel": "torch", "tile": 96, "pairs": [[0, 0]], "distances": lists[0], "indices": lists[1]}
    wrong: list[dict[str, Any]] = [
        {"tile": 0}, {"tile": "x"}, {"pairs": [[1, 0]]}, {"pairs": [[0, 9]]}, {"pairs": 3}, {"pairs": [[0]]},
        {"indices": lists[1] * 0 + 300}, {"indices": lists[1][:, :3]}, {"distances": lists[0].astype(np.float32)},
        {"distances": lists[0] * np.nan},
    ]  # fmt: skip
    for change in wrong:
        kept.save(state | change)
        with pytest.raises(UsageError, match="kept: damaged, or written by another version; remove the folder"):
            small(vectors).self_join(7, checkpoint=Checkpoint(tmp_path / "kept", asked))
    kept.save(state)
    with pytest.raises(UsageError, match="kept: damaged, or written by another version; remove the folder"):
        Native(vectors, find("euclidean"), 2).self_join(7, checkpoint=Checkpoint(tmp_path / "kept", asked))
    kept.save({"finished": 3, "layout": 4, "distances": lists[0], "indices": lists[1]})
    with pytest.raises(
        UsageError, match="written by the kernel of the processor; run the same command without --device"
    ):
        small(vectors).self_join(7, checkpoint=Checkpoint(tmp_path / "kept", asked))


def test_the_kernel_says_why_it_does_not_support_a_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    float32 = np.dtype("float32")
    assert Torch.covers(find("manhattan"), float32) == "products give no bound of a sum of absolute differences"
    assert "eight bytes for each byte" in Torch.covers(find("hamming"), np.dtype("uint8"))
    assert [Torch.covers(find(name), float32) for name in METRICS] == [""] * 4
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert Torch.covers(find("euclidean"), float32) == "torch is not installed: pip install 'vicinal[torch]'"


def test_sizes_fit_the_memory_of_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, device = (
        np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), (4_000_000, 768), (0, 0)),
        torch.device("cuda"),
    )
    for free, resident in ((80 << 30, True), (8 << 30, False), (1 << 30, False)):
        monkeypatch.setattr(tiles, "free_bytes", lambda device, free=free: free)
        sizes = tiles.Sizes.fit(len(vectors), vectors, 10, device)
        assert (sizes.resident * sizes.tile >= len(vectors)) == resident, (free, sizes)
        assert sizes.resident * sizes.tile * 768 * 6 + sizes.side**2 * 12 < free
        assert sizes.resident >= 3


def test_commands_and_functions_give_the_same_result_on_a_device(work: Workplace) -> None:
    np.save("v.npy", hard_data("40 % copies of one row", 60, 5))
    Path("d.jsonl").write_text("".join(f'{{"label": "{row % 3}"}}\n' for row in range(60)))
    rows, data = ["v.npy"], ["d.jsonl", "--embeddings", "v.npy"]
    for command in (
        ["score", *data, "--by", "mean,lof", "-k", "3"],
        ["duplicates", *rows, "--radius", "0.5"],
        ["outliers", *rows, "-k", "4"],
        ["select", *data, "--keep", "10", "--strategy", "k-center", "-o", "s.jsonl", "--overwrite"],
        ["search", *rows, "--queries", "v.npy", "-k", "4"],
        ["classify", *data, "--labels", "label", "--queries", "v.npy"],
    ):
        truth = work(*command)
        assert truth.code == 0, truth.err
        kept = Path("s.jsonl").read_bytes() if "s.jsonl" in command else b""
        found = work(*command, "--device", "cpu")
        assert (found.code, found.out) == (0, truth.out), (command, found.err)
        assert not kept or Path("s.jsonl").read_bytes() == kept
    summary = work("neighbors", *rows, "-o", "g", "-k", "3", "--device", "cpu", "--json").out
    assert json.loads(summary)["engine"].startswith("torch (")
    assert vicinal.neighbors("v.npy", 3, device="cpu").engine.startswith(f"torch ({torch.__version__} on cpu)")
    assert vicinal.neighbors("v.npy", 3).engine.startswith("native")
    assert vicinal.Exact("cosine", device="cpu").fit(np.load("v.npy")).engine.startswith("torch")


def test_a_device_that_is_not_here_or_a_metric_that_does_not_run_there_is_refused(work: Workplace) -> None:
    np.save("v.npy", hard_data("plain", 30, 5))
    for device, message in [
        ("gpu", "--device: found 'gpu', expected "),
        ("cuda:99,cpu", "--device: found 'cuda:99', expected "),
        ("hpu", "cpu or auto; torch says: "),
        ("meta", "torch says: it holds no values"),
        ("auto,cpu", "expected auto alone"),
    ]:
        answer = work("neighbors", "v.npy", "-o", "g", "--device", device)
        assert answer.code == 2 and message in answer.err, answer.err
    answer = work("neighbors", "v.npy", "-o", "g", "--device", "cpu", "--metric", "manhattan")
    assert answer.code == 2 and "--device: manhattan does not run on cpu: products give no bound" in answer.err
    assert work("neighbors", "v.npy", "-o", "g", "--device", "auto", "--metric", "manhattan").code == 0


def test_a_device_that_no_pass_would_use_is_refused(work: Workplace) -> None:
    np.save("v.npy", hard_data("plain", 30, 5))
    assert work("neighbors", "v.npy", "-o", "g", "-k", "3").code == 0
    assert work("index", "build", "v.npy", "--type", "kdtree", "-o", "tree").code == 0
    for command, why in (
        (["score", "--neighbors", "g", "-k", "2"], "neighbors are given"),
        (["index", "build", "v.npy", "--type", "kdtree", "-o", "other"], "an index of type kdtree is built"),
        (["search", "tree", "--queries", "v.npy", "-k", "2"], "an index of type kdtree searches"),
    ):
        answer = work(*command, "--device", "cpu")
        assert answer.code == 2 and f"--device: {why}" in answer.err, answer.err
    assert work("score", "--neighbors", "g", "-k", "2", "--device", "auto").code == 0
    with pytest.raises(UsageError, match="device: neighbors are given, so that no pass runs; leave the device out"):
        vicinal.select("v.npy", keep=5, strategy="facility", neighbors="g", device="cpu")
    vicinal.select("v.npy", keep=5, strategy="facility", neighbors="g", dedup=0.1, device="cpu")
    for name in ("", 3, ["cpu"]):
        with pytest.raises(UsageError, match="device: expected a name such as 'cuda'"):
            vicinal.Exact(device=name)  # type: ignore[arg-type]


def test_auto_takes_a_gpu_for_large_passes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert devices.of_pass("auto", 10**6, 1e15) is None or torch.cuda.is_available()
    monkeypatch.setattr(devices, "gpus", lambda: ["cuda:0", "cuda:1"])
    assert devices.of_pass("auto", 10**6, 1e15) == "cuda:0,cuda:1"
    assert devices.of_pass("auto", 10**4, 1e15) is None and devices.of_pass("auto", 10**6, 1e10) is None
    assert devices.of_pass("cpu", 2, 1.0) == "cpu" and devices.of_pass(None, 10**6, 1e15) is None


def test_auto_answers_few_queries_on_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "gpus", lambda: ["cpu"])
    monkeypatch.setattr(devices, "LEAST_ROWS", 50)
    monkeypatch.setattr(devices, "LEAST_WORK", 100 * 100 * 5 / 2)
    vectors, asked = hard_data("plain", 100, 5), list[int]()
    queries = setting.Setting.queries

    def note(self: setting.Setting, rows: np.ndarray, sizes: tiles.Sizes) -> Any:
        asked.append(len(rows))
        return queries(self, rows, sizes)

    monkeypatch.setattr(setting.Setting, "queries", note)
    index, exact = vicinal.Exact(device="auto").fit(vectors), vicinal.Exact().fit(vectors)
    assert index.engine.startswith("torch")
    for count in (1, 49, 50, 100):
        same((index.search(vectors[:count], 3).indices,), (exact.search(vectors[:count], 3).indices,))
        same(index.within(vectors[:count], 1.5)[0], exact.within(vectors[:count], 1.5)[0])
    assert asked == [50, 50, 100, 100]


def test_info_names_the_devices_and_what_the_kernel_does_not_support(work: Workplace) -> None:
    about = vicinal.info()
    assert about["torch"] == torch.__version__ and about["devices"][-1] == "cpu"
    assert about["kernels"]["cosine"]["torch"] == "yes" and about["kernels"]["manhattan"]["torch"] != "yes"
    assert f"torch kernel: torch {torch.__version__}, with --device " in work("info").out


@pytest.mark.parametrize("metric", ["cosine", "inner_product"])
def test_a_block_that_is_decided_in_one_step_gives_the_same_answer(
    metric: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def passing(codes: Any, scales: Any, squares: Any, limits: Any, groups: Any, diagonal: bool) -> Any:
        asked.append(diagonal)
        a, b = (
            code[: len(scale)].double() * scale.double()[:, None] for code, scale in zip(codes, scales, strict=True)
        )
        score = 2 * a @ b.t() - squares[0].double()[:, None] - squares[1].double()[None, :]
        passed = score >= limits[0][:, None]
        passed |= torch.zeros(()).bool() if limits[1] is None else score >= limits[1][None, :]
        passed &= torch.ones(()).bool() if groups is None else groups[0][:, None] != groups[1][None, :]
        return passed.triu(1) if diagonal else passed

    monkeypatch.setattr(fused, "choose", lambda *given: passing)
    vectors, _, distances = hard_case("40 % copies of one row", metric, 400, 5, 5)
    groups, slow = np.arange(len(vectors)) % 7, brute.Brute(vectors, find(metric), 2)
    for grouped in (None, groups):
        ours = small(vectors, metric, TINY)
        same(ours.self_join(5, grouped), slow.self_join(5, grouped))
        same(ours.search(vectors[:90], 5, grouped, grouped if grouped is None else groups[:90]),
             slow.search(vectors[:90], 5, grouped, grouped if grouped is None else groups[:90]))  # fmt: skip
        same(ours.within(float(distances[0, -1]), None, grouped), slow.within(float(distances[0, -1]), None, grouped))
    assert set(asked) == {False, True}


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="torch's wheels for processors lack Triton")
def test_the_kernel_of_triton_in_its_interpreter() -> None:
    code = """
import numpy as np, torch
from vicinal.knn.kernels.native import Native
from vicinal.knn.kernels.torch import Torch, driver, fused, tiles
from vicinal.knn.metrics import find
for dim in (5, 100):
    assert fused.probe("int8", dim, torch.device("cpu")) == ""
driver.fused.choose = lambda *given: fused.passing
x = np.random.default_rng(0).normal(size=(700, 40)).astype("f4")
for metric in ("euclidean", "inner_product"):
    for groups in (None, np.arange(700) % 9):
        kernel = Torch(x, find(metric), 2, codes="int8", sizes=tiles.Sizes(300, 3, 128, 9000))
        found, truth = kernel.self_join(6, groups), Native(x, find(metric), 2).self_join(6, groups)
        assert (found[0] == truth[0]).all() and (found[1].astype("f4") == truth[1]).all()
"""
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"TRITON_INTERPRET": "1"})


@pytest.mark.slow
@pytest.mark.parametrize("isa", ["avx2", "default"])
def test_20_000_rows_agree_with_the_native_kernel_on_each_instruction_set(isa: str) -> None:
    code = """
import numpy as np
from vicinal.knn.kernels.native import Native
from vicinal.knn.kernels.torch import Torch
from vicinal.knn.metrics import find
random = np.random.default_rng(0)
x = random.normal(size=(20_000, 24)) @ random.normal(size=(24, 96))
x = (x + 0.1 * random.normal(size=x.shape)).astype("f4")
for metric in ("euclidean", "cosine", "inner_product"):
    truth = Native(x, find(metric), 2).self_join(10)
    for codes in ("int8", "bf16"):
        found = Torch(x, find(metric), 2, codes=codes).self_join(10)
        assert (found[0] == truth[0]).all() and (found[1].astype("f4") == truth[1]).all(), (metric, codes)
"""
    forced = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
    environment = os.environ | ({} if isa == "default" else forced | {"VICINAL_ISA": "avx2"})
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
