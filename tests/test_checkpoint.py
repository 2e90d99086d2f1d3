"""A stopped pass resumes from its checkpoint with the same result, and refuses the checkpoint of another pass."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import vicinal
from oracle import hard_data
from vicinal import Exact, cli
from vicinal.errors import UsageError
from vicinal.knn.checkpoint import Checkpoint, question
from vicinal.knn.kernels import blas
from vicinal.knn.kernels.native import Native
from vicinal.knn.metrics import find
from vicinal.storage.manifests import MANIFEST

K = 7


class Stop(Exception):
    """Raised in the middle of a pass, in place of a kill."""


def stopped(
    vectors: np.ndarray,
    folder: Path,
    saves: int,
    groups: np.ndarray | None = None,
    stop: type[BaseException] = Stop,
    said: str | None = None,
) -> Checkpoint:
    """The checkpoint of a pass that was stopped after this number of saves."""
    kept = Checkpoint(folder, question(vectors, "euclidean", K, groups))
    save, seen = kept.save, []

    def count(state: dict) -> None:
        save(state)
        seen.append(state["finished"])
        if len(seen) == saves:
            raise stop

    kept.save = count  # type: ignore[method-assign]
    with pytest.raises(stop, match=said):
        Native(vectors, find("euclidean"), 2).self_join(K, groups, checkpoint=kept, every=0)
    return Checkpoint(folder, question(vectors, "euclidean", K, groups))


@pytest.mark.parametrize("kind", ["float32", "40 % copies of one row", "rows within 1e-4", "int8"])
@pytest.mark.parametrize("grouped", [False, True])
def test_a_stopped_pass_goes_on_to_the_same_answer(kind: str, grouped: bool, tmp_path: Path) -> None:
    vectors = hard_data(kind, 9000, 6)
    groups = np.arange(9000) // 3 if grouped else None
    whole = Native(vectors, find("euclidean"), 2).self_join(K, groups)
    kept = stopped(vectors, tmp_path / "kept", 2, groups)
    state = kept.load()
    assert state is not None and state["finished"] > 0
    assert (state["indices"] != whole[0]).any()  # it was stopped before the end
    for threads in (1, 2):
        again = Native(vectors, find("euclidean"), threads)._index.self_join(K, groups, resume=state)
        np.testing.assert_array_equal(again[0], whole[0])
        np.testing.assert_array_equal(again[1], whole[1])
    rest = Native(vectors, find("euclidean"), 2).self_join(K, groups, checkpoint=kept)
    np.testing.assert_array_equal(rest[0], whole[0])
    assert not (tmp_path / "kept").exists()


def test_an_interrupt_reports_the_checkpoint_folder(tmp_path: Path) -> None:
    vectors = hard_data("float32", 9000, 6)
    stopped(vectors, tmp_path / "kept", 1, stop=KeyboardInterrupt, said="finished work is kept in .*kept, and the same")


def test_what_is_done_at_the_interrupt_is_kept_whatever_the_time_since_the_last_save(tmp_path: Path) -> None:
    vectors = hard_data("float32", 24000, 24)
    totals: list[int] = []
    kernel = Native(vectors, find("manhattan"), 1)
    whole = kernel._index.self_join(K, progress=lambda done, total: totals.append(total))

    def press(done: int, total: int) -> None:
        if total == totals[-1] and done:  # the scan, not what prepares it
            raise KeyboardInterrupt

    kept = Checkpoint(tmp_path / "kept", question(vectors, "manhattan", K, None))
    with pytest.raises(KeyboardInterrupt):
        kernel._index.self_join(K, progress=press, checkpoint=kept.save, every=1e9)
    state = kept.load()
    assert state is not None and state["finished"] > 0
    again = Native(vectors, find("manhattan"), 2)._index.self_join(K, resume=state)
    np.testing.assert_array_equal(again[0], whole[0])
    np.testing.assert_array_equal(again[1], whole[1])


def test_a_checkpoint_of_another_pass_is_refused_with_what_changed(tmp_path: Path) -> None:
    vectors = hard_data("float32", 9000, 6)
    stopped(vectors, tmp_path / "kept", 1)
    index = Exact().fit(vectors)
    with pytest.raises(UsageError, match="changed since: k was 7, is 8"):
        index.neighbors(8, checkpoint=tmp_path / "kept")
    with pytest.raises(UsageError, match="changed since: metric was euclidean, is cosine"):
        Exact("cosine").fit(vectors).neighbors(K, checkpoint=tmp_path / "kept")
    with pytest.raises(UsageError, match="changed since: the groups' values"):
        index.neighbors(K, groups=np.arange(9000), checkpoint=tmp_path / "kept")
    other = vectors.copy()
    other[4000, 3] += 1
    with pytest.raises(UsageError, match="changed since: the vectors' values"):
        Exact().fit(other).neighbors(K, checkpoint=tmp_path / "kept")
    assert index.neighbors(K, checkpoint=tmp_path / "kept").k == K


def test_a_damaged_checkpoint_and_a_foreign_folder_are_refused(tmp_path: Path) -> None:
    vectors = hard_data("float32", 9000, 6)
    stopped(vectors, tmp_path / "kept", 1)
    with open(tmp_path / "kept" / "indices.npy", "r+b") as file:
        file.seek(500)
        file.write(b"\xff")
    with pytest.raises(UsageError, match=r"indices\.npy: damaged"):
        Exact().fit(vectors).neighbors(K, checkpoint=tmp_path / "kept")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").touch()
    with pytest.raises(UsageError, match="holds files that vicinal did not write"):
        Exact().fit(vectors).neighbors(K, checkpoint=tmp_path / "photos")
    assert (tmp_path / "photos" / "cat.jpg").exists()


@pytest.mark.parametrize(
    "change", [{"finished": -5}, {"finished": 10**9}, {"finished": "x"}, {"layout": 1}, {"layout": None}], ids=str
)
def test_a_state_that_this_kernel_did_not_write_is_refused(change: dict, tmp_path: Path) -> None:
    vectors = hard_data("float32", 9000, 6)
    stopped(vectors, tmp_path / "kept", 1)
    file = tmp_path / "kept" / MANIFEST
    manifest = json.loads(file.read_text())
    manifest["state"].update(change)
    file.write_text(json.dumps(manifest))
    with pytest.raises(UsageError, match="kept: damaged, or written by another version; remove the folder"):
        Exact().fit(vectors).neighbors(K, checkpoint=tmp_path / "kept")


def test_the_commands_take_a_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    np.save(tmp_path / "v.npy", hard_data("float32", 50, 6))
    (tmp_path / "d.jsonl").write_text("{}\n" * 50)
    kept = ["--checkpoint", str(tmp_path / "kept")]
    assert cli.main(["neighbors", str(tmp_path / "v.npy"), "-k", "3", "-o", str(tmp_path / "graph"), *kept]) == 0
    arguments = ["score", str(tmp_path / "d.jsonl"), "--embeddings", str(tmp_path / "v.npy"), *kept]
    assert cli.main(arguments) == 0
    assert len(capsys.readouterr().out.splitlines()) == 50


def test_a_finished_pass_of_several_is_kept_until_the_last_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("v.npy", hard_data("float32", 50, 6))
    Path("d.jsonl").write_text("".join(f'{{"id": {row}}}\n' for row in range(50)))
    scorers = "".join(
        f"  - {{name: KNNScorer, k: 3, embedding_path: v.npy, distance_metric: {metric}}}\n"
        for metric in ("cosine", "manhattan")
    )
    Path("s.yaml").write_text(f"input_path: d.jsonl\noutput_path: out\nscorers:\n{scorers}")
    wanted = vicinal.score("d.jsonl", config="s.yaml")
    whole, passes = Exact.neighbors, []

    def stopped_at(metric: str) -> Callable:
        def neighbors(index: Exact, *given: object, **more: object) -> object:
            passes.append(index.metric.name)
            if index.metric.name == metric:
                raise KeyboardInterrupt
            return whole(index, *given, **more)  # type: ignore[arg-type]

        return neighbors

    monkeypatch.setattr(Exact, "neighbors", stopped_at("manhattan"))
    with pytest.raises(KeyboardInterrupt):
        vicinal.score("d.jsonl", config="s.yaml", checkpoint="kept", overwrite=True)
    assert passes == ["cosine", "manhattan"] and [one.name for one in Path("kept").iterdir()] == [
        "pass1-cosine-finished"
    ]
    monkeypatch.setattr(Exact, "neighbors", stopped_at("cosine"))
    found = vicinal.score("d.jsonl", config="s.yaml", checkpoint="kept", overwrite=True)
    assert list(found.records()) == list(wanted.records()) and not Path("kept").exists()


def test_a_kernel_without_checkpoints_refuses_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vicinal.knn.kernels.KERNELS", (blas.Blas,))
    with pytest.raises(UsageError, match="runs on the blas kernel here, which cannot resume"):
        Exact().fit(hard_data("plain", 9, 2)).neighbors(2, checkpoint=tmp_path / "kept")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("indices", lambda array: array.astype(np.int32)),
        ("indices", lambda array: array.astype(np.float64)),
        ("indices", lambda array: array[:, :3]),
        ("distances", lambda array: (array.view(np.int32) + 9000).view(np.float32)),  # row numbers, until the pass ends
        ("distances", lambda array: array.astype(np.float64)),
        ("distances", lambda array: array[1:]),
    ],
)
def test_arrays_of_another_type_or_shape_are_refused_though_their_checksums_are_right(
    name: str, change: Callable[[np.ndarray], np.ndarray], tmp_path: Path
) -> None:
    vectors = hard_data("float32", 9000, 6)
    kept = stopped(vectors, tmp_path / "kept", 1)
    state = kept.load()
    assert state is not None
    kept.save({**state, name: change(state[name])})
    with pytest.raises(UsageError, match="kept: damaged, or written by another version; remove the folder to start"):
        Exact().fit(vectors).neighbors(K, checkpoint=tmp_path / "kept")
