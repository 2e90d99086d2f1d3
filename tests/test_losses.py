"""Losses and miners against pytorch-metric-learning, torch and transformers, by hand, and by their gradients."""

import importlib.util
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_metric_learning import distances, losses, miners, reducers, samplers
from torch.nn import functional

from vicinal.errors import DataError, UsageError
from vicinal.learn import MPerClass, clip, contrastive, mining, n_pair, triplet
from vicinal.learn.batch_losses import label_loss
from vicinal.learn.losses import DISTANCES, LOSSES, REDUCTIONS, as_distance, find

EUCLIDEAN = distances.LpDistance(normalize_embeddings=False, p=2, power=2)


def batch(n: int = 24, dim: int = 5, classes: int = 6, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    made = torch.Generator().manual_seed(seed)
    return torch.randn(n, dim, generator=made, dtype=torch.float64), torch.arange(n) % classes


def test_contrastive_by_hand() -> None:
    a = torch.tensor([[0.0, 0.0]] * 4, dtype=torch.float64)
    b = torch.tensor([[0.6, 0.8], [0.3, 0.4], [0.3, 0.4], [3.0, 4.0]], dtype=torch.float64)  # d = 1, .5, .5, 5
    same = torch.tensor([True, True, False, False])
    assert contrastive(a, b, same).tolist() == pytest.approx([1.0, 0.25, 0.75, 0.0])
    assert contrastive(a, b, same, form="hadsell").tolist() == pytest.approx([1.0, 0.25, 0.25, 0.0])
    assert contrastive(a, b, same, margin=2.0, form="hadsell").tolist() == pytest.approx([1.0, 0.25, 2.25, 0.0])


def test_contrastive_is_pytorch_metric_learnings() -> None:
    z, labels = batch()
    i, j, same = mining.all_pairs(labels)
    theirs = losses.ContrastiveLoss(0, 20.0, distance=EUCLIDEAN, reducer=reducers.MeanReducer())(z, labels)
    ours = contrastive(z[i], z[j], same, margin=20.0)
    assert float(ours[same].mean() + ours[~same].mean()) == pytest.approx(float(theirs))
    plain = distances.LpDistance(normalize_embeddings=False, p=2, power=1)
    theirs = losses.ContrastiveLoss(0, 4.0, distance=plain, reducer=reducers.DoNothingReducer())(z, labels)
    ours = contrastive(z[i], z[j], same, margin=4.0, form="hadsell")
    kinds = {"pos_loss": same, "neg_loss": ~same}
    for name, kind in kinds.items():  # each pair stands there twice, unsquared
        expected = theirs[name]["losses"].square().sort().values
        torch.testing.assert_close(torch.cat([ours[kind]] * 2).sort().values, expected)


def test_a_collapsed_negative_pair_is_not_pushed_apart_by_the_first_form() -> None:
    forms: Any = (("squared", 2e-4), ("hadsell", 2.0))
    for form, pushed in forms:
        a = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
        b = torch.tensor([[1e-4, 0.0]], dtype=torch.float64)
        contrastive(a, b, torch.tensor([False]), form=form).sum().backward()
        assert float(a.grad.norm()) == pytest.approx(pushed, rel=1e-3)
    same = torch.zeros(1, 2, requires_grad=True)
    contrastive(same, torch.zeros(1, 2), torch.tensor([False]), form="hadsell").sum().backward()
    assert same.grad.tolist() == [[0.0, 0.0]]  # no direction, and no NaN


def test_triplet_is_pytorch_metric_learnings_and_torchs() -> None:
    z, labels = batch()
    a, p, n = mining.all_triplets(torch.cdist(z, z), labels)
    for squared, power in ((True, 2), (False, 1)):
        distance = distances.LpDistance(normalize_embeddings=False, p=2, power=power)
        theirs = losses.TripletMarginLoss(0.5, distance=distance, reducer=reducers.MeanReducer())(z, labels)
        ours = triplet(z[a], z[p], z[n], 0.5, squared)
        assert float(ours.mean()) == pytest.approx(float(theirs))
    torchs = functional.triplet_margin_loss(z[a], z[p], z[n], 0.5, eps=0, reduction="none")
    torch.testing.assert_close(ours, torchs)
    kept = losses.TripletMarginLoss(0.5, distance=EUCLIDEAN)(z, labels)  # its default: the mean above zero
    assert float(triplet(z[a], z[p], z[n], 0.5, reduction="nonzero_mean")) == pytest.approx(float(kept))


def test_n_pair_is_pytorch_metric_learnings_and_cross_entropy() -> None:
    z, _ = batch(12)
    anchor, positive = z[:6], z[6:]
    measures: Any = (("cosine", True), ("inner_product", False))
    for distance, unit in measures:
        similarity = distances.DotProductSimilarity(normalize_embeddings=unit)
        theirs = losses.NPairsLoss(reducer=reducers.MeanReducer(), distance=similarity)(z, torch.arange(6).repeat(2))
        ours = n_pair(anchor, positive, temperature=1.0, distance=distance)
        assert float(ours.mean()) == pytest.approx(float(theirs))
    cosines = functional.normalize(anchor) @ functional.normalize(positive).T
    expected = functional.cross_entropy(cosines / 0.07, torch.arange(6), reduction="none")
    torch.testing.assert_close(n_pair(anchor, positive), expected)
    others = torch.stack([positive[[j for j in range(6) if j != i]] for i in range(6)])
    torch.testing.assert_close(n_pair(anchor, positive, others), expected)
    by_hand = [
        math.log(1 + sum(math.exp((cosines[i, j] - cosines[i, i]) / 0.07) for j in range(6) if j != i))
        for i in range(6)
    ]
    assert n_pair(anchor, positive).tolist() == pytest.approx(by_hand)


def test_n_pair_at_temperature_1_cannot_fall_below_its_bound() -> None:
    simplex = torch.eye(64, dtype=torch.float64) - 1 / 64  # the best there is: all equally far from each other
    assert float(n_pair(simplex, simplex, temperature=1.0).mean()) == pytest.approx(3.17, abs=0.005)
    assert float(n_pair(simplex, simplex).mean()) < 1e-4
    z = torch.nn.Parameter(torch.randn(64, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    descent = torch.optim.Adam([z], 0.05)
    for _ in range(300):
        descent.zero_grad()
        value = n_pair(z, z, temperature=1.0, reduction="mean")
        value.backward()
        descent.step()
    assert 3.17 < float(value.detach()) + 0.005 < 3.2


def open_clip_loss() -> Any:
    """open_clip's ClipLoss; the module alone, for the package asks for torchvision and timm."""
    package = importlib.util.find_spec("open_clip")
    assert package is not None and package.submodule_search_locations, "pip install --no-deps open_clip_torch"
    file = Path(package.submodule_search_locations[0]) / "loss.py"
    spec = importlib.util.spec_from_file_location("open_clip_loss", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.ClipLoss()


def test_clip_is_open_clips_and_the_mean_of_both_cross_entropies() -> None:
    first, second = batch(16)[0], batch(16, seed=1)[0]
    one, other = functional.normalize(first), functional.normalize(second)
    theirs = open_clip_loss()
    for scale in (math.log(1 / 0.07), torch.tensor(1.5, dtype=torch.float64)):
        factor = torch.tensor(math.exp(float(scale)), dtype=torch.float64)
        logits, own = one @ other.T * factor, torch.arange(16)
        sides = [functional.cross_entropy(way, own, reduction="none") for way in (logits, logits.T)]
        torch.testing.assert_close(clip(first, second, scale), (sides[0] + sides[1]) / 2)
        torch.testing.assert_close(clip(first, second, scale, reduction="mean"), theirs(one, other, factor))
    most = clip(first, second, math.log(1000.0))
    torch.testing.assert_close(most, clip(first, second, math.log(100.0)))


@pytest.mark.parametrize("distance", [one.name for one in DISTANCES])
def test_gradients_in_float64(distance: Any) -> None:
    def leaf(seed: int, *shape: int) -> torch.Tensor:
        made = torch.Generator().manual_seed(seed)
        return torch.randn(*shape, generator=made, dtype=torch.float64).requires_grad_()

    a, b, c = (leaf(seed, 6, 3) for seed in range(3))
    same = torch.arange(6) % 2 == 0
    far = torch.autograd.gradcheck
    for form in ("squared", "hadsell"):
        assert far(lambda a, b, form=form: contrastive(a, b, same, 3.0, form, distance), (a, b))
    for squared in (True, False):
        assert far(lambda a, p, n, squared=squared: triplet(a, p, n, 1.0, squared, distance), (a, b, c))
    assert far(lambda a, b: n_pair(a, b, temperature=0.5, distance=distance), (a, b))
    assert far(lambda a, b, n: n_pair(a, b, n, 0.5, distance), (a, b, leaf(3, 6, 4, 3)))
    scale = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    assert far(lambda a, b, s: clip(a, b, s, distance), (a, b, scale))


def test_equal_rows_give_no_nan() -> None:
    z = torch.zeros(4, 3, requires_grad=True)
    labels = torch.tensor([0, 0, 1, 1])
    i, j, same = mining.all_pairs(labels)
    one = contrastive(z[i], z[j], same, form="hadsell").sum() + triplet(z[:1], z[1:2], z[2:3], squared=False).sum()
    one.backward()
    assert torch.isfinite(z.grad).all()


@pytest.mark.parametrize("distance", [one.name for one in DISTANCES])
def test_rows_of_zeros_do_not_drown_others(distance: Any) -> None:
    """A direction has no gradient at 0; scaled by 1 / length it would be 1e12 times any other."""
    z = torch.tensor([[0.0, 0], [1, 2], [2, -1], [0, 0]], dtype=torch.float64, requires_grad=True)
    same = torch.tensor([True, False])
    values = [contrastive(z[:2], z[2:], same, distance=distance), triplet(z[:2], z[1:3], z[2:], distance=distance)]
    values += [n_pair(z[:2], z[2:], distance=distance), clip(z[:2], z[2:], distance=distance)]
    for one in values:
        (gradient,) = torch.autograd.grad(one.sum(), z)
        assert torch.isfinite(one).all() and gradient.abs().max() < 1_000


def test_distances_of_a_batch_hold_for_equal_rows_and_half_precision() -> None:
    unit = functional.normalize(torch.randn(64, 64, generator=torch.Generator().manual_seed(0)), dim=1)
    both = torch.cat([unit, unit])
    found = as_distance("euclidean").matrix(both, both)
    assert found[:64, 64:].diagonal().max() == 0  # by products of rows they would be up to 1e-3
    for dtype in (torch.float16, torch.bfloat16):
        half = both.to(dtype).requires_grad_()
        for miner in mining.MINERS:
            label_loss("triplet", half[:16], torch.arange(16) % 4, miner).backward()
        assert half.grad is not None and torch.isfinite(half.grad).all()


@pytest.mark.parametrize(
    ("name", "miner"), [("contrastive", "semi-hard"), ("triplet", "semi-hard"), ("triplet", "all"), ("n-pair", "all")]
)
def test_gradients_are_the_same_on_any_number_of_threads(name: str, miner: str) -> None:
    z = torch.randn(128, 12, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(128) % 90  # classes of one and of two rows
    before = torch.get_num_threads()
    gradients = []
    try:
        for threads in (1, 2, 2, 2, 2, 8, 8, 8, 8):
            torch.set_num_threads(threads)
            leaf = z.clone().requires_grad_()
            label_loss(name, leaf, labels, miner).backward()
            gradients.append(leaf.grad)
    finally:
        torch.set_num_threads(before)
    for gradient in gradients[1:]:
        assert torch.equal(gradient, gradients[0])


def test_distances_and_reductions_are_arguments() -> None:
    z, _ = batch(8)
    a, b = z[:4], z[4:]

    def blocks(a: Any, b: Any) -> Any:
        return (a - b).abs().sum(-1)

    same = torch.tensor([True, True, False, False])
    ours = contrastive(a, b, same, 9.0, distance=blocks)
    d = torch.tensor(np.abs(a.numpy() - b.numpy()).sum(1))
    torch.testing.assert_close(ours, torch.where(same, d**2, (9.0 - d**2).clamp(min=0)))
    assert n_pair(a, b, distance=blocks).shape == (4,)
    names: Any = REDUCTIONS
    for name in names:
        assert contrastive(a, b, same, reduction=name).shape == ((4,) if name == "none" else ())
    torch.testing.assert_close(contrastive(a, b, same, 9.0, distance=blocks, reduction=torch.max), ours.max())
    for one in DISTANCES:
        whole = one.matrix(a, b)
        torch.testing.assert_close(whole, torch.stack([one.between(row, b) for row in a]))
    with pytest.raises(UsageError, match="distance"):
        as_distance("near")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="reduction"):
        contrastive(a, b, same, reduction="median")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="form"):
        contrastive(a, b, same, form="cubed")  # type: ignore[arg-type]


def test_losses_say_what_they_learn_from() -> None:
    assert [one.name for one in LOSSES] == ["contrastive", "triplet", "n-pair", "clip"]
    with pytest.raises(UsageError, match="'triplet' learns from labels, not from pairs; choose contrastive"):
        find("triplet", "pairs")
    with pytest.raises(UsageError, match="did you mean 'triplet'"):
        find("triplets", "labels")


def test_semi_hard_takes_the_hardest_of_pytorch_metric_learnings() -> None:
    z, labels = batch(40, classes=5)
    far = torch.cdist(z, z)
    plain = distances.LpDistance(normalize_embeddings=False, p=2, power=1)
    miner = miners.TripletMarginMiner(margin=1e9, type_of_triplets="semihard", distance=plain)
    theirs: dict[tuple[int, int], list[int]] = {}
    for a, p, n in zip(*(one.tolist() for one in miner(z, labels)), strict=True):
        theirs.setdefault((a, p), []).append(n)
    ours = list(zip(*(one.tolist() for one in mining.semi_hard(far, labels)), strict=True))
    assert {(a, p) for a, p, _ in ours} == set(theirs) and len(ours) == len(theirs)
    for a, p, n in ours:
        assert far[a, n] == far[a, theirs[a, p]].min()
        assert far[a, n] > far[a, p] and labels[a] == labels[p] != labels[n] and a != p


def test_hardest_is_pytorch_metric_learnings_batch_hard() -> None:
    z, labels = batch(40, classes=5)
    labels[0] = 9  # alone: no positive
    plain = distances.LpDistance(normalize_embeddings=False, p=2, power=1)
    theirs = set(zip(*(one.tolist() for one in miners.BatchHardMiner(distance=plain)(z, labels)), strict=True))
    ours = mining.hardest(torch.cdist(z, z), labels)
    assert set(zip(*(one.tolist() for one in ours), strict=True)) == theirs and len(ours[0]) == 39


def test_pairs_of_a_batch() -> None:
    i, j, same = mining.all_pairs(torch.tensor([0, 1, 0]))
    assert list(zip(i.tolist(), j.tolist(), same.tolist(), strict=True)) == [(0, 1, False), (0, 2, True), (1, 2, False)]
    first, second = mining.n_pairs(torch.tensor([4, 2, 4, 4, 2, 7]))
    assert first.tolist() == [1, 0] and second.tolist() == [4, 2]
    with pytest.raises(DataError, match="no class of two rows"):
        mining.n_pairs(torch.arange(5))


def test_m_per_class() -> None:
    labels = np.repeat([0, 1, 2, 3, 4], [40, 17, 8, 3, 2])
    sampler = MPerClass(labels, m=4, batch_size=16, seed=3)
    batches = list(sampler.epoch(0))
    assert len(batches) == len(sampler)
    for rows in batches:
        assert len(set(rows.tolist())) == len(rows) <= 16
    for code, least in enumerate((40, 17, 8, 3, 2)):
        assert set(np.flatnonzero(labels == code)) <= set(np.concatenate(batches))
        handfuls = [(labels[rows] == code).sum() for rows in batches]
        assert all(count % min(4, least) == 0 for count in handfuls)
    for one, other in zip(batches, sampler.epoch(0), strict=True):
        np.testing.assert_array_equal(one, other)
    last = list(MPerClass(np.arange(132) % 33, m=4, batch_size=32).epoch(0))  # 33 handfuls and none left alone
    assert sorted({len(rows) // 4 for rows in last}) == [6, 7]
    assert any(len(a) != len(b) or (a != b).any() for a, b in zip(batches, sampler.epoch(1), strict=True))
    theirs = samplers.MPerClassSampler(np.arange(60) % 6, 4, 24, 48)
    assert len(list(theirs)) == sum(map(len, MPerClass(np.arange(48) % 6, 4, 24)))  # the same rows an epoch
    with pytest.raises(DataError, match="one class"):
        MPerClass(np.zeros(9, dtype=int))
    with pytest.raises(DataError, match=r"1 of 3 classes have a single row \(2\)"):
        MPerClass(np.array([0, 0, 1, 1, 2]))
    assert sorted(np.concatenate(list(MPerClass(np.array([0, 0, 1, 1, 2]), allow_small_classes=True).epoch(0)))) == [
        0,
        1,
        2,
        3,
        4,
    ]
    for wrong in (1, 9):
        with pytest.raises(UsageError, match="rows a class"):
            MPerClass(labels, m=wrong, batch_size=16)
