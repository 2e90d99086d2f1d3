"""An index that threads share: a search sees it before or after a change; the end is that of a serial replay."""

import copy
import os
import pickle
import select
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vicinal
from vicinal.errors import UsageError
from vicinal.indexes import BY_NAME, INDEXES, Index, load_index
from vicinal.locks import Mutex, ReadWriteLock
from workplace import start

THREADS, STEPS, N, DIM = 8, 3, 64, 8
RANDOM = np.random.default_rng(7)
START = RANDOM.normal(size=(N, DIM)).astype(np.float32)
ADDED = RANDOM.normal(size=(THREADS, STEPS, DIM)).astype(np.float32)  # of which two copies are added at once

EACH = pytest.mark.parametrize(
    ("kind", "settings"),
    [
        *(pytest.param(kind, {}, id=kind.name) for kind in INDEXES),
        pytest.param(BY_NAME["binary"], {"structure": "graph"}, id="binary-graph"),
        pytest.param(BY_NAME["binary"], {"structure": "lists"}, id="binary-lists"),
    ],
)


@pytest.fixture(autouse=True)
def often() -> Iterator[None]:
    """Threads take turns every 10 microseconds, so that what is not locked is met in between."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def fit_for(kind: type[Index], vectors: np.ndarray) -> np.ndarray:
    """Vectors in the form that the kind takes: 8 bits, which name each row of 64 + 48, or the vectors as they are."""
    return np.packbits(vectors > 0, axis=-1) if kind.name == "binary" else vectors


def vectors_of(kind: type[Index]) -> tuple[np.ndarray, np.ndarray]:
    if kind.name != "binary":
        return START, ADDED
    numbers = np.arange(N + THREADS * STEPS, dtype=np.uint8)[:, None] * np.uint8(2)
    return numbers[:N], numbers[N:].reshape(THREADS, STEPS, 1)


def started(kind: type[Index], settings: dict[str, Any]) -> Index:
    make: Callable[..., Index] = kind
    few = {"n_lists": 4, "n_probe": 4} if kind.name in ("ivf", "ivfpq") else {}
    bits = {"n_bits": 4} if kind.name in ("pq", "ivfpq") else {}
    start, _ = vectors_of(kind)
    return make(threads=2, **few, **bits, **settings).fit(
        start, ids=[f"start {row}" for row in range(N)], payload={"of": ["start"] * N}
    )


def work(index: Index, thread: int, folder: Path) -> None:
    """One thread's part: it adds and removes pairs of copies of its own, removes old rows, searches and saves."""
    start, added = vectors_of(type(index))
    for step in range(STEPS):
        see(index, start, added) if thread % 2 else None
        vector, names = added[thread, step], [f"{thread} {step} {copy}" for copy in "ab"]
        if index.can_add:
            index.add(np.stack([vector, vector]), ids=names, payload={"of": [f"{thread}"] * 2})
            own = index.ids.of(index.search(vector[None], 2).indices)[0]
            assert sorted(own) == names
            if step % 3 == 2:
                index.remove(names)
                assert index.row_of(names[0]) is None
        index.remove([f"start {THREADS * step + thread}"])
    see(index, start, added)
    index.save(folder / str(thread))
    see(load_index(folder / str(thread), threads=1), start, added)


def see(index: Index, start: np.ndarray, added: np.ndarray) -> None:
    """What any thread sees: pairs are whole or not there, distances are those of the ids, columns are the rows'."""
    every = added.reshape(-1, added.shape[-1])
    found = index.search(every, 2)
    names = index.ids.of(found.indices)
    for number, (first, second) in enumerate(names):
        whole = f"{number // STEPS} {number % STEPS} "
        assert (first == whole + "a") == (second == whole + "b"), (first, second)
        assert (found.distances[number] == 0).all() or not str(first).startswith(whole)
    theirs = index.search(every[:STEPS], 5, "of = '0'")
    assert all(name is None or name.startswith("0 ") for row in index.ids.of(theirs.indices) for name in row)


def contents(index: Index) -> dict[Any, bytes]:
    rows = index.rows()
    return {name: index.vectors[row].tobytes() for name, row in zip(index.ids.of(rows), rows, strict=True)}


@EACH
def test_the_end_of_eight_threads_is_that_of_a_serial_replay(
    kind: type[Index], settings: dict[str, Any], tmp_path: Path
) -> None:
    index, serial = started(kind, settings), started(kind, settings)
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda thread: work(index, thread, tmp_path), range(THREADS)))
    (tmp_path / "serial").mkdir()
    for thread in range(THREADS):
        work(serial, thread, tmp_path / "serial")
    assert contents(index) == contents(serial) and len(index) == len(serial)
    _, added = vectors_of(kind)
    ours, theirs = (one.search(added.reshape(-1, added.shape[-1]), 6) for one in (index, serial))
    np.testing.assert_array_equal(ours.distances[:, :2], theirs.distances[:, :2])
    if index.exact:
        np.testing.assert_array_equal(ours.distances, theirs.distances)


@EACH
def test_a_change_that_is_interrupted_leaves_the_index_as_it_was(
    kind: type[Index], settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    index, (start, added) = started(kind, settings), vectors_of(kind)
    index.remove("start 3")
    before, answer = contents(index), index.search(start, 3)

    def interrupted(change: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> None:
            change(*arguments)  # the work is done, and then thrown away
            raise KeyboardInterrupt

        return call

    def unchanged() -> bool:
        again = index.search(start, 3)
        same = [np.array_equal(again.distances, answer.distances), contents(index) == before]
        return all(same) and index.row_of("new") is None and index.row_of("start 3") is None and len(index) == N - 1

    backend: Any = index._backend
    for name, change in (
        ("extend", lambda: index.add(added[0, :1], ids=["new"])),
        ("extend", lambda: index.add(added[0, :1], ids=["start 3"])),
        ("shrink", lambda: index.remove([f"start {row}" for row in range(4, 50)])),
        ("build", lambda: index.fit(added[0], ids=["new", "x", "y"])),
    ):
        if name == "extend" and not index.can_add:
            continue
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(backend, name, interrupted(getattr(backend, name)))
            change()
        assert unchanged(), name
    engine = getattr(backend, "engine", None)
    if engine is not None and index.can_add:
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(engine, "extend", interrupted(engine.extend))  # what is added to a graph stays in it
            index.add(added[0, :1], ids=["new"])
        monkeypatch.undo()
        assert unchanged()
        assert len(index.add(added[0, :1], ids=["new"])) == N and index.row_of("new") == N


@EACH
def test_a_copy_is_an_index_of_its_own(kind: type[Index], settings: dict[str, Any]) -> None:
    index, (start, added) = started(kind, settings), vectors_of(kind)
    index.remove("start 3")
    answer = index.search(start, 3)
    for made in (pickle.loads(pickle.dumps(index)), copy.deepcopy(index), copy.copy(index)):
        assert type(made) is kind and contents(made) == contents(index) and made.settings == index.settings
        np.testing.assert_array_equal(made.search(start, 3).distances, answer.distances)
        made.remove("start 5")
        if made.can_add:
            made.add(added[0, :1], ids=["new"], payload={"of": ["new"]})
            assert made.search(added[0, :1], 1, "of = 'new'").indices.tolist() == [[N]]
        assert index.row_of("start 5") == 5 and index.row_of("new") is None and len(index) == N - 1


@EACH
def test_a_forked_child_answers_after_the_parent_used_threads(kind: type[Index], settings: dict[str, Any]) -> None:
    index, (start, added) = started(kind, settings), vectors_of(kind)
    answer = index.search(np.repeat(start, 8, axis=0), 3).distances
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        said = b"failed"
        with suppress(BaseException):
            same = np.array_equal(index.search(np.repeat(start, 8, axis=0), 3).distances, answer)
            made = started(kind, settings)
            if made.can_add:
                made.add(added[0], ids=["x", "y", "z"])
            said = b"same" if same and len(made.search(start, 3)) == N else b"another"
        os.write(writing, said)
        os._exit(0)
    os.close(writing)
    answered = bool(select.select([reading], [], [], 120)[0])
    if not answered:
        os.kill(child, 9)
    os.waitpid(child, 0)
    assert answered and os.read(reading, 9) == b"same"
    os.close(reading)


def test_a_search_of_many_rows_does_not_keep_a_change_of_an_exact_index_waiting() -> None:
    index = BY_NAME["exact"]().fit(np.repeat(START, 40, axis=0))
    rows: Any = index

    def progress(done: int, total: int) -> None:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(lambda: len(index) > 1 and index.remove([0])).result(timeout=60) if 0 in live else None
        live.clear()

    live = {0}
    found = rows.neighbors(2, progress=progress)
    assert len(index) == 40 * N - 1 and found.indices[1, 0] in range(40)


# Folders, which processes share

ADDS = """
import sys, numpy as np
from vicinal.storage import atomic, locks
from vicinal.cli import main
import vicinal.tasks.index as tasks

real = tasks.open_index
def loaded(index, threads=None):
    found = real(index, threads)
    print("loaded", flush=True)
    sys.stdin.readline()
    return found
tasks.open_index = loaded
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A saved index, and rows a.npy and b.npy to add."""
    BY_NAME["exact"]().fit(START, ids=[f"start {row}" for row in range(N)]).save(tmp_path / "index")
    for number, name in enumerate("ab"):
        np.save(tmp_path / f"{name}.npy", ADDED[number])
        lines = "".join(f'{{"id": "{name} {row}"}}\n' for row in range(STEPS))
        (tmp_path / f"{name}.jsonl").write_text(lines)
    return tmp_path


def test_of_two_processes_that_add_the_second_waits_and_nothing_is_lost(folder: Path) -> None:
    def adds(name: str) -> subprocess.Popen:
        rows = ["index", "add", "index", f"{name}.npy", "--data", f"{name}.jsonl"]
        return start(ADDS, *rows, cwd=folder)

    with adds("a") as first:
        assert first.stdout is not None and first.stdout.readline() == "loaded\n"
        with adds("b") as second:
            assert second.stderr is not None and second.stdout is not None
            said = second.stderr.readline()
            held = "another process or thread is changing it; waiting until that one is done"
            assert said == f"vicinal: warning: index: {held}\n"
            first.communicate("\n", timeout=120)
            assert first.returncode == 0
            assert second.stdout.readline() == "loaded\n"
            _, said = second.communicate("\n", timeout=120)
            assert second.returncode == 0 and f"{STEPS} rows added, {N + 2 * STEPS} in all" in said
    index = load_index(folder / "index")
    assert sorted(index.ids.of(index.rows()))[:4] == ["a 0", "a 1", "a 2", "b 0"] and len(index) == N + 2 * STEPS


def test_what_another_object_saved_is_not_replaced(folder: Path) -> None:
    one, other = load_index(folder / "index"), load_index(folder / "index")
    one.add(ADDED[0], ids=["a", "b", "c"]).save(folder / "index", overwrite=True)
    other.remove("start 1")
    with pytest.raises(UsageError, match=r"index: was changed by another process or object .*load it again and repeat"):
        other.save(folder / "index", overwrite=True)
    assert len(load_index(folder / "index")) == N + 3
    other.save(folder / "another name")  # the two remedies
    load_index(folder / "index").remove("start 1").save(folder / "index", overwrite=True)
    assert len(load_index(folder / "index")) == N + 2 and len(load_index(folder / "another name")) == N - 1
    one.save(folder / "third")
    one.save(folder / "third", overwrite=True)  # its own folder


@pytest.mark.filterwarnings("ignore:.*another process or thread is changing it")
def test_threads_that_add_to_a_folder_lose_nothing(folder: Path) -> None:
    def add(number: int) -> None:
        vicinal.add_to_index(folder / "index", ADDED[number], ids=[f"{number} {row}" for row in range(STEPS)])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(4)))
    assert len(load_index(folder / "index")) == N + 4 * STEPS


# The lock itself


def in_a_thread(call: Callable[[], Any]) -> threading.Thread:
    thread = threading.Thread(target=call)
    thread.start()
    return thread


def test_readings_run_side_by_side_and_changes_alone() -> None:
    lock, together, seen = ReadWriteLock(), threading.Barrier(3), []

    def reads() -> None:
        with lock.reading:
            together.wait(60)  # all three are inside at once
            seen.append("read")

    threads = [in_a_thread(reads) for _ in range(3)]
    with suppress(Exception):
        for thread in threads:
            thread.join(60)
    assert seen == ["read"] * 3

    inside, most = [], []

    def changes() -> None:
        for _ in range(200):
            with lock.changing, lock.changing, lock.reading:
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    for thread in [in_a_thread(changes) for _ in range(4)]:
        thread.join(60)
    assert set(most) == {1} and len(most) == 800


def test_a_waiting_change_goes_before_readings_that_begin_later() -> None:
    lock, order = ReadWriteLock(), []
    waiting = threading.Event()

    def change() -> None:
        waiting.set()
        with lock.changing:
            order.append("change")

    def read() -> None:
        with lock.reading:
            order.append("read")

    with lock.reading:
        changer = in_a_thread(change)
        waiting.wait(60)
        while not lock._waiting:
            threading.Event().wait(0)
        reader = in_a_thread(read)
        with lock.reading:  # one who reads already may read more
            pass
        assert order == []
    changer.join(60)
    reader.join(60)
    assert order == ["change", "read"]


def test_a_change_from_within_a_reading_is_refused() -> None:
    index = started(BY_NAME["hnsw"], {})
    with (
        index._lock.reading,
        pytest.raises(UsageError, match="this index cannot be changed by a thread that is reading"),
    ):
        index.remove("start 1")
    assert len(index.remove("start 1")) == N - 1


def test_a_child_that_was_forked_amid_a_change_says_so() -> None:
    index, mutex = started(BY_NAME["hnsw"], {}), Mutex()
    changing, done = threading.Event(), threading.Event()

    def change() -> None:
        with index._lock.changing, mutex:
            changing.set()
            done.wait(60)

    thread = in_a_thread(change)
    changing.wait(60)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        said = "nothing"
        with suppress(BaseException):
            with mutex:
                pass
            try:
                index.search(START, 1)
            except UsageError as error:
                said = str(error)
        os.write(writing, said.encode())
        os._exit(0)
    done.set()
    thread.join(60)
    os.close(writing)
    os.waitpid(child, 0)
    said = os.read(reading, 999).decode()
    os.close(reading)
    assert said.startswith("this index was being changed by another thread when this process was forked")
    assert len(index.search(START, 1)) == N  # the parent goes on
