"""kNN-LM: the mixture by hand and in extremes, the store on disk, and models of transformers with neighbours."""

import argparse
import json
import math
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from vicinal import lm
from vicinal.errors import DataError, UsageError
from vicinal.lm import KNNLM, Datastore, datastore, evaluation, interpolate, perplexity, target_logp, transformer
from workplace import Workplace

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


def by_definition(
    lm_logp: np.ndarray, distances: np.ndarray, values: np.ndarray, lambda_: float, temperature: float
) -> np.ndarray:
    """lambda p_kNN + (1 - lambda) p_LM, as it is written."""
    p = np.exp(lm_logp.astype(np.float64))
    for row in range(len(p)):
        there = (values[row] >= 0) & np.isfinite(distances[row])
        if there.any():
            knn = np.zeros(p.shape[1])
            for d, w in zip(distances[row][there], values[row][there], strict=True):
                knn[w] += math.exp(-float(d) / temperature)
            p[row] = lambda_ * knn / knn.sum() + (1 - lambda_) * p[row]
    return np.log(p)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12), st.floats(0, 0.99), st.floats(0.3, 50))
def test_interpolate_is_the_definition(seed: int, k: int, lambda_: float, temperature: float) -> None:
    random = np.random.default_rng(seed)
    logits = random.normal(size=(6, 9))
    lm_logp = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    distances = random.exponential(5, (6, k))
    values = random.integers(-1, 9, (6, k))
    distances[values < 0] = np.inf
    values[0], distances[0] = -1, np.inf  # a row without any neighbour
    found = interpolate(lm_logp, distances, values, lambda_, temperature)
    np.testing.assert_allclose(found, by_definition(lm_logp, distances, values, lambda_, temperature), rtol=1e-9)
    np.testing.assert_allclose(np.exp(found).sum(axis=1), 1)
    np.testing.assert_array_equal(found[0], lm_logp[0])
    targets = random.integers(0, 9, 6)
    rows = np.arange(6)
    one = target_logp(lm_logp[rows, targets], distances, values, targets, lambda_, temperature)
    np.testing.assert_allclose(one, found[rows, targets], rtol=1e-9)


def test_interpolate_in_log_space_keeps_what_probabilities_lose() -> None:
    lm_logp = np.array([[-1e-9, -900.0, -5000.0]])  # e^-900 is 0 in float64
    found = interpolate(lm_logp, [[1e30, 1e30 + 1e15]], [[0, 2]], 0.25, 1.0)
    assert found[0, 1] == pytest.approx(math.log(0.75) - 900)
    assert np.isfinite(found[0, 0])
    assert interpolate(lm_logp, [[0.0]], [[0]], 1.0, 1.0)[0].tolist() == [0.0, -math.inf, -math.inf]
    np.testing.assert_array_equal(interpolate(lm_logp, [[0.0]], [[0]], 0.0, 1.0), lm_logp)


def test_adding_log_probabilities_to_logits_is_not_the_mixture() -> None:
    """A word that no neighbour has becomes impossible, and perplexity infinite; the mixture keeps it."""
    lm_logp, distances, values = np.log([[0.6, 0.3, 0.1]]), [[1.0, 2.0]], [[0, 1]]
    with np.errstate(divide="ignore"):
        added = lm_logp + 0.25 * interpolate(lm_logp, distances, values, 1.0, 1.0)
    added -= np.logaddexp.reduce(added, axis=1, keepdims=True)
    assert added[0, 2] == -math.inf
    assert interpolate(lm_logp, distances, values, 0.25, 1.0)[0, 2] == pytest.approx(math.log(0.075))


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (([[0.0]], [[[0.0]]], [[[0]]], 0.5, 1.0), DataError, "one shape"),
        (([[0.0]], [[0.0]], [[0.5]], 0.5, 1.0), DataError, "float64"),
        (([[0.0]], [[-1.0]], [[0]], 0.5, 1.0), DataError, "below 0"),
        (([[0.0]], [[math.nan]], [[0]], 0.5, 1.0), DataError, "NaN"),
        (([[0.0]], [[1.0]], [[1]], 0.5, 1.0), DataError, "found token 1, but lm_logp has 1 tokens"),
        (([[0.0], [0.0]], [[1.0]], [[0]], 0.5, 1.0), DataError, "expected \\(1, n_words\\)"),
        (([[0.0]], [[1.0]], [[0]], 1.5, 1.0), UsageError, "lambda_: expected a number from 0 to 1"),
        (([[0.0]], [[1.0]], [[0]], 0.5, 0.0), UsageError, "T: expected a number above 0"),
        (([[0.0, 2.0]], [[0.0]], [[0]], 0.5, 1.0), DataError, "row 0 sums to 8.38906 .* not logits"),
        (([[0.0], [math.nan]], [[0.0]] * 2, [[0]] * 2, 0.5, 1.0), DataError, "row 1 sums to nan"),
    ],
)
def test_what_cannot_be_interpolated(arguments: Any, error: type, said: str) -> None:
    with pytest.raises(error, match=said):
        interpolate(*arguments)


def store_at(
    folder: Path, n: int = 700, dim: int = 6, dtype: Any = "float32", **about: Any
) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    keys, values = random.normal(size=(n, dim)).astype(dtype), random.integers(0, 70_000, n)
    with Datastore.create(folder, dim, 70_000, dtype, about) as store:
        for start in range(0, n, 256):
            store.append(keys[start : start + 256], values[start : start + 256])
    return keys, values


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_store_is_appended_in_blocks_and_searched_from_the_disk(dtype: str, tmp_path: Path) -> None:
    keys, values = store_at(tmp_path / "s", dtype=dtype)
    store = Datastore.open(tmp_path / "s")
    assert isinstance(store.keys, np.memmap) and isinstance(store.values, np.memmap)
    assert (store.keys.dtype, store.values.dtype, len(store)) == (np.dtype(dtype), np.int32, 700)
    np.testing.assert_array_equal(store.keys, keys)
    np.testing.assert_array_equal(store.values, values)  # beyond int16
    np.testing.assert_array_equal(np.load(tmp_path / "s" / "keys.npy"), keys)  # a plain .npy
    queries = np.random.default_rng(1).normal(size=(20, 6)).astype(dtype)
    distances, words = store.search(queries, 10)
    true = ((queries[:, None].astype(np.float64) - keys[None].astype(np.float64)) ** 2).sum(axis=2)
    order = np.argsort(true, axis=1, kind="stable")[:, :10]
    np.testing.assert_array_equal(words, values[order])
    np.testing.assert_allclose(distances, np.take_along_axis(true, order, axis=1), rtol=1e-5)


@pytest.mark.parametrize("index", ["auto", "kdtree", "hnsw", "ivf"])
def test_any_index_serves_and_missing_neighbours_are_guarded(index: str, tmp_path: Path) -> None:
    keys, values = store_at(tmp_path / "s", n=300)
    parameters: dict[str, Any] = {"n_lists": 20, "n_probe": 1} if index == "ivf" else {}
    store = Datastore.open(tmp_path / "s", index=index, **parameters)
    distances, words = store.search(keys[:5], 310)
    assert words[:, 0].tolist() == values[:5].tolist() and (distances[:, 0] == 0).all()
    assert words.shape == distances.shape == (5, 300)  # a scan adds what one list of 20 lacks
    distances = np.pad(distances, ((0, 0), (0, 10)), constant_values=np.inf)  # as of an index that finds fewer
    words = np.pad(words, ((0, 0), (0, 10)), constant_values=-1)
    gone = ~np.isfinite(distances)
    assert (words[gone] == -1).all() and (words[~gone] >= 0).all()
    assert gone.sum(axis=1).tolist() == [10] * 5
    mixed = interpolate(np.log(np.full((5, 70_000), 1 / 70_000)), distances, words, 0.5, 1.0)
    assert np.isfinite(mixed).all() and np.exp(mixed).sum(axis=1) == pytest.approx(np.ones(5))
    with pytest.raises(UsageError, match="expected sqeuclidean"):
        Datastore.open(tmp_path / "s", index=__import__("vicinal").Exact("cosine"))


def test_what_a_store_refuses(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    for keys, values, said in (
        ([[1.0, 2.0]], [0], r"found keys \(1, 2\) and values \(1,\), expected \(m, 3\)"),
        ([[1.0, 2.0, 3.0]], [0, 1], r"values \(2,\)"),
        ([[1.0, 2.0, 3.0]], [9], "expected whole numbers from 0 to 8, found int64 9 to 9"),
        ([[1.0, 2.0, 3.0]], [-1], "found int64 -1"),
        ([[1.0, 2.0, 3.0]], [0.5], "found float64"),
        ([[1.0, 2.0, 3.0], [0.0, np.nan, 0.0]], [0, 1], "keys 1 to 2: row 2 is NaN"),
        ([[1.0, 2.0, 70_000.0]], [0], "beyond 65504, the largest value in a float16 store"),
    ):
        with pytest.raises(DataError, match=said), Datastore.create(folder, 3, 9) as store:
            store.append([[0.0, 0.0, 0.0]], [8])
            store.append(keys, values)
        assert not any(tmp_path.iterdir())  # nothing was left
    with pytest.raises(DataError, match="nothing was appended"), Datastore.create(folder, 3, 9) as store:
        store.append(np.empty((0, 3)), np.empty(0, dtype=int))
    wrong: Any = "int8"
    with pytest.raises(UsageError, match="dtype"), Datastore.create(folder, 3, 9, wrong):
        pass
    with pytest.raises(UsageError, match="n_words at most 2147483648, as values are int32"):
        Datastore.create(folder, 3, 2**31 + 1).__enter__()
    beyond = "row 0 is NaN, infinite or beyond .*, the largest value in a float32 store of dim 3"
    with pytest.raises(DataError, match=beyond), Datastore.create(folder, 3, 9, "float32") as store:
        store.append([[1e19, 1e19, 1e19], [-1e19, -1e19, -1e19]], [0, 1])
    store_at(folder, model="small", n_words=70_000)
    assert Datastore.open(folder, {"model": "small"}).about["model"] == "small"
    with pytest.raises(DataError, match="model: the store has small, this model has large"):
        Datastore.open(folder, {"model": "large", "n_words": 70_000})
    with pytest.raises(UsageError, match="exists already"), Datastore.create(folder, 3, 9):
        pass
    with pytest.raises(DataError, match="expected a folder written by `vicinal lm build`"):
        Datastore.open(tmp_path / "none")
    manifest = json.loads((folder / "manifest.json").read_text())
    for change, said in (
        ({"format_version": 2}, "format version 2"),
        ({"n": "many"}, "not a manifest"),
        ({"n": 701}, "700"),
    ):
        (folder / "manifest.json").write_text(json.dumps({**manifest, **change}))
        with pytest.raises(DataError, match=said):
            Datastore.open(folder)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    whole = (folder / "values.npy").read_bytes()
    (folder / "values.npy").write_bytes(whole[:-1] + b"x")
    with pytest.raises(DataError, match=r"values.npy: damaged"):
        Datastore.open(folder)
    (folder / "values.npy").unlink()
    with pytest.raises(DataError, match=r"values.npy: missing"):
        Datastore.open(folder)


TINY = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 64,
}
KINDS: dict[str, Any] = {
    "gpt2": lambda: transformers.GPT2Config(vocab_size=60, n_embd=32, n_layer=2, n_head=2, n_positions=64),
    "llama": lambda: transformers.LlamaConfig(intermediate_size=48, **TINY),
    "gpt_neox": lambda: transformers.GPTNeoXConfig(intermediate_size=48, **TINY),
    "opt": lambda: transformers.OPTConfig(ffn_dim=48, word_embed_proj_dim=32, **TINY),
}
LAYERS = {
    "gpt2": "transformer.h.1.mlp",
    "llama": "model.layers.1.mlp",
    "gpt_neox": "gpt_neox.layers.1.mlp",
    "opt": "model.decoder.layers.1.fc1",
}


def tiny(kind: str = "gpt2", seed: int = 0) -> Any:
    """A model from a configuration; nothing is downloaded."""
    torch.manual_seed(seed)
    config = KINDS[kind]()
    config.bos_token_id = config.eos_token_id = config.pad_token_id = None
    return transformers.AutoModelForCausalLM.from_config(config).eval()


def tokens(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 60, n)


@pytest.mark.parametrize("kind", KINDS)
def test_every_position_has_its_key_its_token_and_what_the_model_said(kind: str) -> None:
    model, text = tiny(kind), tokens(50)
    (block,) = transformer.blocks(model, text)
    assert transformer.last_feed_forward(model) == LAYERS[kind]
    np.testing.assert_array_equal(block.targets, text[1:])
    ids = torch.from_numpy(text[None, :-1])
    seen: list[torch.Tensor] = []
    handle = model.get_submodule(LAYERS[kind]).register_forward_hook(lambda _, given, __: seen.append(given[0]))
    with torch.no_grad():
        logits = model(ids).logits[0]
    handle.remove()
    np.testing.assert_allclose(block.keys, seen[0].reshape(49, 32).numpy(), atol=1e-5)
    said = torch.log_softmax(logits.double(), -1)[torch.arange(49), torch.from_numpy(text[1:])]
    np.testing.assert_allclose(block.logp, said.numpy(), atol=1e-4)


def test_the_key_is_what_the_last_feed_forward_network_is_given() -> None:
    model, text = tiny(), tokens(20)
    (block,) = transformer.blocks(model, text)
    last = model.transformer.h[-1]
    with torch.no_grad():
        hidden = model.transformer(torch.from_numpy(text[None, :-1]), output_hidden_states=True).hidden_states[-2]
        attended = hidden + last.attn(last.ln_1(hidden))[0]
        np.testing.assert_allclose(block.keys, last.ln_2(attended)[0].numpy(), atol=1e-5)


@pytest.mark.parametrize("n", [2, 16, 17, 24, 25, 40, 100, 101])
def test_windows_tell_every_position_once_with_half_a_window_before_it(n: int) -> None:
    model, text = tiny(), tokens(n)
    found = list(transformer.blocks(model, text, context=16, batch_size=3))
    np.testing.assert_array_equal(np.concatenate([one.targets for one in found]), text[1:])
    logp = np.concatenate([one.logp for one in found])
    for at in (0, (n - 2) // 2, n - 2):  # predicts token at + 1 from the window that it lies in
        start = 0 if at < 16 else (at - 16) // 8 * 8 + 8
        with torch.no_grad():
            logits = model(torch.from_numpy(text[None, start : at + 1])).logits[0, -1]
        assert logp[at] == pytest.approx(float(torch.log_softmax(logits.double(), -1)[text[at + 1]]), abs=1e-4)


def test_texts_and_layers_that_cannot_be_used() -> None:
    model = tiny()
    for text, said in (
        (np.array([1]), "at least 2"),
        (np.array([0.5, 1]), "float64"),
        (np.array([1, 60]), "knows 0 to 59"),
    ):
        with pytest.raises(DataError, match=said):
            list(transformer.blocks(model, text))
    with pytest.raises(UsageError, match=r"GPT2LMHeadModel has no module 'nowhere'"):
        list(transformer.blocks(model, tokens(9), "nowhere"))
    with pytest.raises(UsageError, match="context"):
        list(transformer.blocks(model, tokens(9), context=1))
    with pytest.raises(UsageError, match="context: the model supports 2 to 64 tokens at once, got 65"):
        list(transformer.blocks(model, tokens(9), context=65))
    with pytest.raises(UsageError, match="no feed-forward network found in Linear"):
        transformer.last_feed_forward(torch.nn.Linear(2, 2))


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_those_of_the_mixture_and_generate_follows_the_store(kind: str, tmp_path: Path) -> None:
    model, text = tiny(kind), tokens(60)
    lm.build(text, model, tmp_path / "s", dtype="float32")
    store = Datastore.open(tmp_path / "s", transformer.fingerprint(model))
    ids = torch.from_numpy(tokens(2 * 9, seed=3).reshape(2, 9))
    with torch.no_grad():
        plain = model(ids, labels=ids)
    mixed = KNNLM(model, store, lambda_=0.4, T=3.0, k=8)(ids, labels=ids)
    keys = np.concatenate([next(transformer.blocks(model, np.append(row, 0))).keys for row in ids.numpy()])
    lm_logp = torch.log_softmax(plain.logits.double(), -1).reshape(18, 60).numpy()
    expected = interpolate(lm_logp, *store.search(keys, 8), 0.4, 3.0).reshape(2, 9, 60)
    np.testing.assert_allclose(mixed.logits.numpy(), expected, atol=1e-4)
    rows, places = np.arange(2)[:, None], np.arange(8)
    assert float(mixed.loss) == pytest.approx(-expected[rows, places, ids[:, 1:].numpy()].mean(), abs=1e-4)
    with torch.no_grad():
        torch.testing.assert_close(model(ids).logits, plain.logits)  # the hooks are gone
    # With neighbours alone, a context of the store is continued as it was.
    alone = KNNLM(model, store, lambda_=1.0, T=1e-3, k=4)
    told = alone.generate(torch.from_numpy(text[None, :5]), max_new_tokens=20, do_sample=False, pad_token_id=0)
    assert told[0].tolist() == text[:25].tolist()
    plainly = model.generate(torch.from_numpy(text[None, :5]), max_new_tokens=20, do_sample=False, pad_token_id=0)
    assert plainly[0].tolist() != text[:25].tolist()
    beams = alone.generate(
        torch.from_numpy(text[None, :5]), max_new_tokens=6, num_beams=3, do_sample=False, pad_token_id=0
    )
    assert beams[0].tolist() == text[:11].tolist()
    several = KNNLM(model, store).generate(ids, max_new_tokens=4, do_sample=True, pad_token_id=0)
    assert several.shape == (2, 13)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_the_largest_keys_have_finite_distances_and_queries_are_rounded_like_keys(dtype: Any, tmp_path: Path) -> None:
    most = datastore.largest(dtype, 9)
    with Datastore.create(tmp_path / "s", 9, 5, dtype) as store:
        store.append(np.full((1, 9), most), [1])
        store.append(np.full((1, 9), -most), [2])
    distances, words = Datastore.open(tmp_path / "s").search(np.full((1, 9), 3 * most), 2)
    assert words.tolist() == [[1, 2]] and np.isfinite(distances).all() and distances[0, 0] == 0


def test_one_with_in_another_mixes_once(tmp_path: Path) -> None:
    model, text = tiny(), tokens(60)
    store = lm.build(text, model, tmp_path / "s")
    mixed = KNNLM(model, store, lambda_=0.4, T=3.0, k=8)
    ids = torch.from_numpy(tokens(9, seed=3)[None])
    once = mixed(ids).logits
    with mixed:
        torch.testing.assert_close(model(ids).logits, once)  # gradients are asked for, as by default
        torch.testing.assert_close(mixed(ids).logits, once)
        torch.testing.assert_close(model(ids).logits, once)
    with torch.no_grad():
        assert not torch.allclose(model(ids).logits, once)
    for wrong in ({"lambda_": 1.5}, {"T": 0.0}, {"k": 0}):
        with pytest.raises(UsageError, match=f"{next(iter(wrong))}: expected"):
            KNNLM(model, mixed.store, **wrong)


def test_a_store_of_another_model_or_vocabulary_is_refused(tmp_path: Path) -> None:
    model = tiny()
    store = lm.build(tokens(30), model, tmp_path / "s")
    with pytest.raises(DataError, match=r"model: the store has gpt2, .*, this model has llama, .*; weights_sha256"):
        KNNLM(tiny("llama"), store)
    with pytest.raises(DataError, match=r"weights_sha256: the store has .*, this model has "):
        KNNLM(tiny(seed=1), store)
    with pytest.raises(
        DataError, match=r"layer: the store has transformer.h.1.mlp, this model has transformer.h.0.mlp"
    ):
        KNNLM(model, store, layer="transformer.h.0.mlp")
    with pytest.raises(UsageError, match="return_dict"):
        KNNLM(model, store)(torch.zeros(1, 3, dtype=torch.long), return_dict=False)


def saved(folder: Path, seed: int = 0, words: str = "abcdefghijklmnopqrstuvwxyz .,") -> None:
    """A tiny GPT-2 and a tokenizer of letters, as a folder."""
    model = tiny(seed=seed)
    model.save_pretrained(folder)
    made = Tokenizer(models.WordLevel({word: at for at, word in enumerate(words)}, unk_token=" "))
    made.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    transformers.PreTrainedTokenizerFast(tokenizer_object=made, unk_token=" ").save_pretrained(folder)


def test_build_and_eval(work: Workplace) -> None:
    saved(work.folder / "model")
    work.write("train.txt", "the cat sat on the mat, and the dog lay by the door. " * 30)
    work.write("valid.txt", "the dog sat on the mat. the cat lay by the door. " * 6)
    work.write("test.txt", "and the dog sat on the door, the cat lay on the mat. " * 6)
    build = ("lm", "build", "--model", "model", "--text", "train.txt", "--device", "cpu", "-o")
    answer = work(*build, "store", "--json")
    assert answer.code == 0, answer.err
    n = len(work.write("train.txt", Path("train.txt").read_bytes()).read_text())
    assert json.loads(answer.out) == {"n": n - 1, "output": "store"}
    evaluate = (
        "lm",
        "eval",
        "store",
        "--model",
        "model",
        "--device",
        "cpu",
        "--validation",
        "valid.txt",
        "--text",
        "test.txt",
    )
    answer = work(*evaluate, "-k", "64", "--json")
    assert answer.code == 0, answer.err
    told = json.loads(answer.out)
    assert told["with_neighbors"] < 0.5 * told["without"] and told["lambda_"] > 0.3 and 0 <= told["missing"] < 1
    model, tokenizer = transformer.load("model", "cpu")
    text = evaluation.read_tokens("test.txt", tokenizer)
    logp = np.concatenate([one.logp for one in transformer.blocks(model, text)])
    assert told["without"] == pytest.approx(math.exp(-logp.mean()))
    shown = work(*evaluate, "-k", "64", "--index", "hnsw")
    assert shown.code == 0 and "from the validation text; k 64" in shown.out and "-" in shown.out.splitlines()[2]
    many = work(*evaluate, "-k", "100000", "--json")
    assert (
        json.loads(many.out)["k"] == n - 1
        and f"k = 100000, but the store has {n - 1} keys; using k = {n - 1}" in many.err
    )
    # What is chosen on the validation text depends on it alone.
    work.write("other.txt", "zzzz. " * 20)
    again = json.loads(work(*evaluate[:-1], "other.txt", "-k", "64", "--json").out)
    assert (again["lambda_"], again["T"], again["validation"]) == (told["lambda_"], told["T"], told["validation"])
    assert "must not be chosen on the text that is reported on" in work.refuses(2, *evaluate[:-1], "valid.txt")
    assert "expected a file" in work.refuses(2, *evaluate[:-1], "none.txt")
    refused = work.refuses(2, "lm", "build", "--model", "model", "--text", "train.txt", "-o", "s", "--device", "abacus")
    assert "device: " in refused
    (work.folder / "none").mkdir()
    assert "model: none: cannot be loaded" in work.refuses(2, *build[:3], "none", *build[4:], "other")
    saved(work.folder / "changed", seed=1)
    refused = work.refuses(3, *evaluate[:4], "changed", *evaluate[5:])
    assert "weights_sha256: the store has" in refused and "this model has" in refused
    saved(work.folder / "letters", words="zyxwvutsrqponmlkjihgfedcba .,")
    refused = work.refuses(3, *evaluate[:4], "letters", *evaluate[5:])
    assert "vocabulary_sha256: the store has" in refused and "weights_sha256" not in refused
    work.write("empty.txt", "")
    assert "found 0 tokens" in work.refuses(3, *build[:5], "empty.txt", *build[6:], "other")
    work.write("latin.txt", b"caf\xe9 au lait")
    assert "not UTF-8 (byte 3)" in work.refuses(3, *build[:5], "latin.txt", *build[6:], "other")


def test_build_and_evaluate_give_what_the_commands_give(work: Workplace) -> None:
    saved(work.folder / "model")
    for name, line in (("train", "the cat sat on the mat. "), ("valid", "a cat lay. "), ("test", "the mat sat. ")):
        work.write(f"{name}.txt", line * 20)
    command = ("--model", "model", "--device", "cpu", "--context", "32", "--json", "--text")
    assert work("lm", "build", *command, "train.txt", "--dtype", "float32", "-o", "s").code == 0
    answer = work("lm", "eval", "s", *command, "test.txt", "--validation", "valid.txt", "-k", "9")
    shown = work("lm", "eval", "s", *command[:-2], "--text", "test.txt", "--validation", "valid.txt", "-k", "9")
    model, tokenizer = transformer.load("model", "cpu")
    texts = {name: evaluation.read_tokens(f"{name}.txt", tokenizer) for name in ("train", "valid", "test")}
    told: list[tuple[int, int, str]] = []
    build: dict[str, Any] = {"context": 32, "dtype": "float32", "progress": lambda *one: told.append(one)}
    built = lm.build(texts["train"], model, "t", tokenizer=tokenizer, **build)
    other = lm.build("train.txt", "model", "u", device="cpu", **build)
    for name in ("keys.npy", "values.npy", "manifest.json"):
        assert Path("s", name).read_bytes() == Path("t", name).read_bytes() == Path("u", name).read_bytes()
    assert told[-1] == (len(texts["train"]) - 1, len(texts["train"]) - 1, "keys")
    told.clear()
    results = [
        lm.evaluate(built, model, texts["valid"], texts["test"], k=9, context=32, tokenizer=tokenizer),
        lm.evaluate("s", model, "valid.txt", "test.txt", k=9, index="exact", context=32, tokenizer=tokenizer),
        lm.evaluate(
            other, "model", "valid.txt", texts["test"], k=9, context=32, device="cpu", progress=build["progress"]
        ),
    ]
    for result in results:
        assert json.loads(json.dumps(result.as_dict())) == json.loads(answer.out)
        assert f"{result}\n" == shown.out
    n = len(texts["valid"]) + len(texts["test"]) - 2
    assert told[-1] == (n, n, "neighbours of the text") and told[0][2] == "neighbours of the validation text"
    positions = texts["valid"], texts["test"]
    with pytest.raises(UsageError, match="the same text"):
        lm.evaluate(built, model, texts["test"], texts["test"].tolist())
    with pytest.raises(UsageError, match="index and threads: apply where the store is given as a folder"):
        lm.evaluate(built, model, *positions, index="hnsw", tokenizer=tokenizer)
    with pytest.raises(UsageError, match=r"device: .* move this one with model.to\(\)"):
        lm.evaluate(built, model, *positions, device="cpu")
    with pytest.raises(UsageError, match=r"test\.txt: a text needs a tokenizer"):
        lm.evaluate("s", model, texts["valid"], "test.txt")
    with pytest.raises(UsageError, match="k: expected a whole number above 0, got 0"):
        lm.evaluate("s", model, *positions, k=0)
    with pytest.raises(UsageError, match=r"none.txt: expected a file"):
        lm.build("none.txt", model, "v")


def test_every_option_of_lm_has_its_argument() -> None:
    parser = argparse.ArgumentParser()
    import_module("vicinal.cli.lm").add_arguments(parser)
    (actions,) = (one for one in parser._actions if isinstance(one, argparse._SubParsersAction))
    for action, function in (("build", lm.build), ("eval", lm.evaluate)):
        names = {option.dest for option in actions.choices[action]._actions} - {"json", "verbose", "quiet", "help"}
        assert names <= set(signature(function).parameters), action


def test_the_choice_is_the_best_of_its_grid_and_of_no_neighbour_at_all() -> None:
    random = np.random.default_rng(0)
    asked = perplexity.Positions(
        np.log(random.uniform(0.01, 0.5, 200)),
        np.sort(random.exponential(4, (200, 10)).astype(np.float32), axis=1),
        random.integers(0, 5, (200, 10)).astype(np.int32),
        random.integers(0, 5, 200),
    )
    best = perplexity.choose(asked)
    scale = float(asked.distances.mean(dtype=np.float64))
    every = {
        (one, scale * step): asked.perplexity(one, scale * step)
        for one in perplexity.LAMBDAS
        for step in perplexity.T_STEPS
    }
    assert best.with_neighbors == pytest.approx(min(every.values()))
    assert every[best.lambda_, best.T] == pytest.approx(best.with_neighbors)
    assert best.without == pytest.approx(float(np.exp(-asked.lm_logp.mean())))
    sure = np.where(np.arange(200) < 3, -900.0, asked.lm_logp)  # e^-900 is 0 in float64
    far = perplexity.choose(perplexity.Positions(sure, asked.distances, asked.values, np.full(200, 9)))
    assert far.with_neighbors == far.without == pytest.approx(float(np.exp(-sure.mean())))
    useless = perplexity.Positions(asked.lm_logp, asked.distances, asked.values, np.full(200, 9))
    assert perplexity.choose(useless).lambda_ == 0.0
    assert evaluation.evaluation_at(useless, best, 9).missing == 1.0
