"""Exact passes on real Ray clusters: the bits of one machine, whatever happens to the nodes."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray

from vicinal import distributed
from vicinal.cli import main
from vicinal.distributed import cluster
from vicinal.errors import DataError, UsageError, VicinalError
from vicinal.knn.block_join import BlockJoin
from vicinal.knn.exact import ExactSearch
from vicinal.knn.joined import Joined
from vicinal.knn.metrics import METRICS, find
from vicinal.knn.neighbors import Neighbors


def rows_of(metric: str, n: int = 3001, dtype: str = "float32") -> np.ndarray:
    rng = np.random.default_rng(n)
    if find(metric).kernel == "bits":
        rows = rng.integers(0, 256, (n, 6)).astype(np.uint8)
    else:
        rows = (np.round(rng.normal(size=(n, 16)) * 4) / 4).astype(dtype)
    rows[n // 2 :: 7] = rows[: len(rows[n // 2 :: 7])]  # copies
    return rows


def same(found: Any, expected: Any) -> bool:
    return (
        np.array_equal(found.indices, expected.indices)
        and found.distances.tobytes() == expected.distances.tobytes()
        and np.array_equal(getattr(found, "indptr", 0), getattr(expected, "indptr", 0))
    )


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_bits_of_one_machine(count: int, start: Any, tmp_path: Path) -> None:
    start(count)
    groups = np.arange(3001) % 5
    for metric in (one.name for one in METRICS):
        rows = rows_of(metric)
        search = ExactSearch(rows, find(metric))
        found = distributed.neighbors(rows, 6, find(metric), block_rows=1000)  # the last block has one row
        assert same(found, search.neighbors(6))
        assert found.plan is not None and found.plan.size(found.plan.blocks - 1) == 1
        assert same(
            distributed.neighbors(rows, 6, find(metric), groups=groups, block_rows=700), search.neighbors(6, groups)
        )
        assert same(distributed.search(rows, rows[:300], 4, find(metric), block_rows=900), search.search(rows[:300], 4))
        many = rows_of(metric, 8193)
        shared = distributed.neighbors(many, 6, find(metric), groups=np.arange(8193) % 5)  # every node has all rows
        assert shared.plan is not None and shared.plan.ranges == count
        assert same(shared, ExactSearch(many, find(metric)).neighbors(6, np.arange(8193) % 5))
    assert {one.ran_on for one in found.ran} <= {node["NodeID"] for node in ray.nodes()}


def test_more_blocks_than_tasks_run_at_a_time_and_shards_of_float16(start: Any, tmp_path: Path) -> None:
    start(2)
    rows = rows_of("cosine", 2500, "float16")
    for number, part in enumerate((rows[:901], rows[901:1000], rows[1000:])):
        np.save(tmp_path / f"emb-{number}.npy", part)
    found = distributed.neighbors(tmp_path, 5, "cosine", block_rows=125)
    assert len(found.ran) == 20 * 21 // 2
    assert same(found, ExactSearch.of(rows, "cosine").neighbors(5))


def test_all_within_a_radius(start: Any) -> None:
    start(2)
    for metric in ("euclidean", "cosine", "hamming"):
        rows = rows_of(metric, 1500)
        search = ExactSearch(rows, find(metric))
        radius = float(np.median(search.neighbors(3).distances))
        assert same(distributed.within(rows, radius, find(metric), block_rows=400), search.within(radius))
        asked = rows[:200]
        assert same(distributed.within(rows, radius, find(metric), asked, block_rows=400), search.within(radius, asked))


def test_invalid_rows_of_all_blocks_are_named(start: Any) -> None:
    start(2)
    rows = rows_of("euclidean")
    rows[[3, 2000, 2999]] = np.nan
    with pytest.raises(DataError, match=r"3 rows cannot be used .*3, 2000, 2999"):
        distributed.neighbors(rows, 5, block_rows=500)
    found = distributed.neighbors(rows, 5, block_rows=500, on_invalid="null")
    assert same(found, ExactSearch.of(rows, on_invalid="null").neighbors(5))
    assert list(found.unusable) == [3, 2000, 2999]


def large(n: int = 24_000) -> np.ndarray:
    return np.random.default_rng(7).normal(size=(n, 256)).astype(np.float32)


@pytest.mark.parametrize("block_rows", [3000, None])
def test_a_node_that_dies_in_the_middle_changes_nothing(start: Any, tmp_path: Path, block_rows: int | None) -> None:
    nodes = start(3)
    rows = large()
    np.save(tmp_path / "rows.npy", rows)
    expected = ExactSearch(rows).neighbors(10)
    killed: list[str] = []

    def progress(done: int, total: int) -> None:
        if not killed and done > total // 3:
            killed.append(nodes.kill(0))

    found = distributed.neighbors(tmp_path / "rows.npy", 10, block_rows=block_rows, progress=progress)
    assert same(found, expected)
    again = [one for one in found.ran if one.sent_to == killed[0] and one.ran_on != killed[0]]
    assert again  # what was sent to it and was not done ran on another node
    assert any(one.ran_on == killed[0] for one in found.ran)
    assert found.plan is not None and len(found.ran) == len(list(found.plan.tiles()))


DRIVER = """
import sys
import ray
from vicinal import distributed

ray.init(address=sys.argv[1], logging_level="ERROR", log_to_driver=False)
done = lambda now, total: print(now, flush=True)
how = {"block_rows": int(sys.argv[5]) or None, "checkpoint": sys.argv[3], "progress": done}
found = distributed.neighbors(sys.argv[2], 10, **how)
found.save(sys.argv[4], overwrite=True)
print("ran", len(found.ran), len(list(found.plan.tiles())))
"""


def driver(nodes: Any, tmp_path: Path, block_rows: int | None) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", DRIVER, nodes.cluster.address]
    command += [str(tmp_path / name) for name in ("rows.npy", "kept", "graph")]
    command.append(str(block_rows or 0))
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("block_rows", [3000, None])
def test_a_killed_driver_resumes_from_its_checkpoint(start: Any, tmp_path: Path, block_rows: int | None) -> None:
    nodes = start(2)
    rows = large()
    np.save(tmp_path / "rows.npy", rows)
    with driver(nodes, tmp_path, block_rows) as first:
        assert first.stdout is not None
        for line in first.stdout:
            if int(line) > 24_000 // 4:
                first.send_signal(signal.SIGKILL)
                break
    finished = list((tmp_path / "kept").glob("*.npz"))
    assert len(finished) >= 2 and not (tmp_path / "graph").exists()
    with driver(nodes, tmp_path, block_rows) as second:
        output, _ = second.communicate()
    assert second.returncode == 0
    ran, tiles = (int(one) for one in output.rsplit("ran", 1)[1].split())
    assert 0 < ran == tiles - len(finished)
    assert same(Neighbors.load(tmp_path / "graph"), ExactSearch(rows).neighbors(10))
    assert not (tmp_path / "kept").exists()


def test_a_checkpoint_of_other_values_is_refused(start: Any, tmp_path: Path) -> None:
    start(1)
    rows = rows_of("euclidean")

    def stop(done: int, total: int) -> None:
        if done > total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="the same command continues"):
        distributed.neighbors(rows, 5, block_rows=500, checkpoint=tmp_path / "kept", progress=stop)
    other = rows.copy()
    other[17] += 1
    with pytest.raises(UsageError, match="the vectors' values"):
        distributed.neighbors(other, 5, checkpoint=tmp_path / "kept")
    found = distributed.neighbors(rows, 5, checkpoint=tmp_path / "kept")
    assert same(found, ExactSearch(rows).neighbors(5))


def test_a_resumed_pass_refuses_what_an_earlier_one_allowed(start: Any, tmp_path: Path) -> None:
    start(2)
    rows = rows_of("euclidean")
    rows[[3, 2000]] = np.nan
    for block_rows in (1000, None):
        seen: list[int] = []

        def stop(done: int, total: int, seen: list[int] = seen) -> None:
            seen.append(done)
            if done > total * 0.8:
                raise KeyboardInterrupt

        how: dict[str, Any] = {"block_rows": block_rows, "checkpoint": tmp_path / "kept"}
        with pytest.raises(KeyboardInterrupt):
            distributed.neighbors(rows, 5, on_invalid="null", progress=stop, **how)
        with pytest.raises(DataError, match=r"2 rows cannot be used .*3, 2000"):
            distributed.neighbors(rows, 5, **how)
        found = distributed.neighbors(rows, 5, on_invalid="null", **how)  # what was finished is still there
        assert same(found, ExactSearch.of(rows, on_invalid="null").neighbors(5))


def test_rows_that_are_left_out_are_not_refused(start: Any) -> None:
    start(1)
    rows = rows_of("euclidean", 500)
    rows[[3, 200]] = np.nan
    expected = ExactSearch.of(rows, on_invalid="null")
    for left_out in ({3: "mine", 200: "mine"}, {3: "mine"}):
        for call in (distributed.neighbors, lambda given, k, **how: distributed.search(given, rows[:3], k, **how)):
            if len(left_out) == 1:
                with pytest.raises(DataError, match=r"1 row cannot be used .*: 200\)"):
                    call(rows, 4, block_rows=200, left_out=left_out)
                continue
            found = call(rows, 4, block_rows=200, left_out=left_out)
            assert found.unusable == left_out
            assert same(found, expected.neighbors(4) if call is distributed.neighbors else expected.search(rows[:3], 4))
    for few in (np.full((2, 2), np.nan), np.array([[np.nan, 0], [1, 2]])):
        assert same(distributed.within(few, 1.0, on_invalid="null"), ExactSearch.of(few, on_invalid="null").within(1.0))
    assert same(distributed.within(np.eye(1), 1.0), ExactSearch(np.eye(1)).within(1.0))


def test_a_task_that_raises_ends_the_pass_with_its_error(start: Any, tmp_path: Path) -> None:
    start(2)
    np.save(tmp_path / "rows.npy", large(12_000))

    def replace_file(done: int, total: int) -> None:
        np.save(tmp_path / "other.npy", large(12_000)[:6000])
        (tmp_path / "other.npy").replace(tmp_path / "rows.npy")

    with pytest.raises(VicinalError, match=r"rows\.npy: is another file on the node"):
        distributed.neighbors(tmp_path / "rows.npy", 5, block_rows=1000, progress=replace_file)
    assert same(distributed.neighbors(rows_of("euclidean"), 5), ExactSearch(rows_of("euclidean")).neighbors(5))


def test_blocks_that_the_object_store_spills(start: Any) -> None:
    nodes = start(2, store=80 << 20)
    session = Path(nodes.cluster.head_node.get_session_dir_path())
    spilled: set[Path] = set()
    rows = np.random.default_rng(1).normal(size=(60_000, 512)).astype(np.float32)  # 123 MB in stores of 84 MB

    def progress(done: int, total: int) -> None:
        spilled.update(session.glob("ray_spilled_objects*/*"))

    found = distributed.neighbors(rows, 4, block_rows=10_000, progress=progress)
    assert spilled
    assert same(found, ExactSearch(rows).neighbors(4))


def test_progress_of_all_nodes_is_one(start: Any) -> None:
    start(2)
    rows = rows_of("euclidean", 9000)
    for block_rows in (1500, None):
        seen: list[tuple[int, int]] = []

        def progress(done: int, total: int, seen: list[tuple[int, int]] = seen) -> None:
            seen.append((done, total))

        distributed.neighbors(rows, 5, block_rows=block_rows, progress=progress)
        assert seen == sorted(seen) and len(seen) > 6 and {total for _, total in seen} == {9000}
        assert seen[-1] == (9000, 9000)


def test_two_runs_beside_each_other(start: Any) -> None:
    start(2)
    found: dict[str, Any] = {}

    def run(metric: str) -> None:
        found[metric] = distributed.neighbors(rows_of(metric), 6, find(metric), block_rows=300)

    threads = [threading.Thread(target=run, args=(metric,)) for metric in ("euclidean", "manhattan")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for metric, result in found.items():
        assert same(result, ExactSearch(rows_of(metric), find(metric)).neighbors(6))
    assert len(found) == 2


def test_two_runs_of_threads_that_are_not_connected() -> None:
    rows, found = rows_of("euclidean", 900), {}

    def run(n: int) -> None:
        found[n] = distributed.neighbors(rows[:n], 6, block_rows=300, num_cpus=1)

    threads = [threading.Thread(target=run, args=(n,)) for n in (700, 900)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {n: same(one, ExactSearch(rows[:n]).neighbors(6)) for n, one in found.items()} == {700: True, 900: True}
    assert not ray.is_initialized()


@pytest.mark.parametrize("sets", [("portable", "avx2"), ("avx2", "")])
def test_nodes_of_several_instruction_sets(start: Any, sets: tuple[str, ...]) -> None:
    nodes = start(1)
    for name in sets:
        nodes.cluster.add_node(
            num_cpus=1, object_store_memory=100 << 20, env_vars={"VICINAL_ISA": name} if name else {}
        )
    for metric in ("euclidean", "manhattan", "hamming"):
        rows = rows_of(metric, 9000)
        found = distributed.neighbors(rows, 6, find(metric))
        assert same(found, ExactSearch(rows, find(metric)).neighbors(6))
        assert same(distributed.neighbors(rows, 6, find(metric), block_rows=2500), found)


def test_an_interrupted_pass_leaves_no_task_behind(start: Any, tmp_path: Path) -> None:
    start(1)
    np.save(tmp_path / "rows.npy", large(60_000))

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        distributed.neighbors(tmp_path / "rows.npy", 5, block_rows=20_000, progress=stop)
    one = ray.remote(num_cpus=1)(lambda: 1)
    assert ray.get(one.remote(), timeout=30) == 1  # the node's only core is free
    assert time.monotonic() - begun < 60


def test_a_cancelled_task_stops_inside_the_kernel(start: Any, tmp_path: Path) -> None:
    start(1)
    np.save(tmp_path / "rows.npy", large(60_000))
    begun, ended = tmp_path / "begun", tmp_path / "ended"

    def long_join(rows: Path, begun: Path, ended: Path) -> None:
        """A self-join that says how far it came when it is interrupted."""
        seen = [(0, 1)]

        def progress(done: int, total: int) -> None:
            seen.append((done, total))
            begun.touch()

        block = BlockJoin(np.load(rows, mmap_mode="r"), find("euclidean"), None, 1)
        try:
            block.self_join(10, progress)
        except KeyboardInterrupt:
            ended.write_text(f"interrupted {seen[-1][0]}")
            raise
        ended.write_text("finished")

    task = ray.remote(num_cpus=1)(long_join).remote(tmp_path / "rows.npy", begun, ended)
    while not begun.exists():
        assert not ray.wait([task], timeout=0.1)[0]
    ray.cancel(task)
    assert ray.get(ray.remote(num_cpus=1)(lambda: 1).remote(), timeout=60) == 1  # the node's only core is free
    what, done = ended.read_text().split()
    assert what == "interrupted" and int(done) < 60_000


def test_the_address_of_another_cluster_is_refused(start: Any, tmp_path: Path) -> None:
    nodes = start(1)
    host, _, port = nodes.cluster.address.rpartition(":")
    rows = rows_of("euclidean", 300)
    assert same(distributed.neighbors(rows, 3, address=nodes.cluster.address), ExactSearch(rows).neighbors(3))
    with pytest.raises(UsageError, match="this process is connected to the Ray cluster at"):
        distributed.neighbors(rows, 3, address=f"{host}:{int(port) + 1}")
    ray.shutdown()
    assert same(distributed.neighbors(rows, 3, address=nodes.cluster.address), ExactSearch(rows).neighbors(3))
    assert not ray.is_initialized()


def test_an_address_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not ray.is_initialized()
    monkeypatch.setenv(
        "RAY_ADDRESS", "127.0.0.1:1"
    )  # what auto means; without it, auto finds any cluster of the machine
    for address in ("auto", "127.0.0.1:1"):
        with pytest.raises(UsageError, match="address: no Ray cluster answers at"):
            distributed.neighbors(np.eye(3), 1, address=address)
    assert not ray.is_initialized()


def test_without_an_address_this_machine_is_the_cluster() -> None:
    rows = rows_of("euclidean", 400)
    assert same(distributed.neighbors(rows, 3, block_rows=100), ExactSearch(rows).neighbors(3))
    assert not ray.is_initialized()


def test_tasks_take_the_cores_that_they_ask_for(start: Any) -> None:
    nodes = start(0)
    nodes.cluster.add_node(num_cpus=2, object_store_memory=100 << 20)
    found, each = cluster.nodes_of(ray, None)
    assert [node.slots for node in found] == [1] and each == 2
    found, each = cluster.nodes_of(ray, 1)
    assert [node.slots for node in found] == [2] and each == 1
    with pytest.raises(UsageError, match="num_cpus: 3 cores a task"):
        cluster.nodes_of(ray, 3)
    assert os.environ.get("OMP_NUM_THREADS") is None


def test_commands_read_shards_on_the_nodes(
    start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    start(2)
    rows = rows_of("cosine", 2500)
    rows[1700, 3] = np.nan
    (tmp_path / "emb").mkdir()
    for number, part in enumerate((rows[:901], rows[901:1000], rows[1000:])):
        np.save(tmp_path / "emb" / f"emb-{number}.npy", part)
    monkeypatch.chdir(tmp_path)
    cases = {
        "score": ["score", "emb", "-k", "5", "--metric", "cosine", "-o", "out.jsonl"],
        "duplicates": ["duplicates", "emb", "--radius", "0.05", "--metric", "cosine", "-o", "out.jsonl"],
    }

    def run(engine: str, *arguments: str) -> tuple[int, bytes, str]:
        (tmp_path / "out.jsonl").unlink(missing_ok=True)
        code = main([*arguments, "--engine", engine, "--overwrite"])
        output = tmp_path / "out.jsonl"
        errors = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
        return code, output.read_bytes() if output.exists() else b"", "\n".join(errors)

    whole = Joined.__array__
    for arguments in cases.values():
        expected = [run("local", *arguments, "--on-invalid", choice) for choice in ("error", "null", "skip")]
        monkeypatch.setattr(Joined, "__array__", None)  # all rows can become no array here
        assert [run("ray", *arguments, "--on-invalid", choice) for choice in ("error", "null", "skip")] == expected
        monkeypatch.setattr(Joined, "__array__", whole)
        assert [code == 0 for code, _, _ in expected] == [False, True, True]
        assert "1 row cannot be used (1 with NaN or infinite value: 1700)" in expected[0][2]
