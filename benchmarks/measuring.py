"""Seconds, best of alternating repeats; extrapolation; the share of the roof; peak memory in a process of its own."""

import gc
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks import peers
from benchmarks.checks import against_faiss, against_truth, without_own
from benchmarks.sets import DataSet

Row = dict[str, Any]
ONE_BY_ONE, LONG = 200, 40.0
SHORT, MOST = 1.0, 20  # seconds below which turns are added, and their number at most
PAUSE = 0.2  # seconds; OpenBLAS's and OpenMP's threads wait for work in a loop at first


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of one call, and what it gave; starts once the idle threads of what ran before have ceased to spin."""
    gc.collect()
    time.sleep(PAUSE)
    start = time.perf_counter()
    found = work()
    return time.perf_counter() - start, found


def alternating(first: Callable[[], Any], second: Callable[[], Any], repeats: int) -> tuple[float, Any, float, Any]:
    """The best seconds of each of two, run by turns, and what each gave last.

    Where a turn takes over LONG there is one; where `repeats` take less than SHORT, more until SHORT, MOST in all.
    """
    best, found = [np.inf, np.inf], [None, None]
    spent = 0.0
    for turn in range(max(repeats, MOST)):
        if turn and spent > (LONG if turn < repeats else SHORT):
            break
        for i, work in enumerate((first, second)):
            seconds, found[i] = timed(work)
            best[i] = min(best[i], seconds)
            spent += seconds
    return best[0], found[0], best[1], found[1]


def extrapolated(fit: float, ask: float, asked: int, n: int) -> float:
    """Seconds of n queries, from those of fitting and of `asked` queries."""
    return fit + ask * n / asked


def roof_share(n: int, dim: int, seconds: float, roof: float, threads: int) -> float:
    """The int8 multiply-adds of a self-join, each pair once, over what all cores could have done in the time."""
    return n * (n - 1) / 2 * dim / (seconds * roof * threads)


def peer_row(peer: peers.Peer, data: np.ndarray, queries: np.ndarray | None, ask: Row, most: int | None) -> Row:
    """One peer's seconds, from at most `most` query rows; with its answer under the key `found`."""
    reason = peer.missing(ask["metric"])
    if reason:
        return {"who": peer.name, "absent": reason}
    asked = data if queries is None else queries
    whole = len(asked)
    if most is not None and most < whole:
        asked = asked[:most]
    extra = queries is None
    fit_s, asking = timed(lambda: peer.fit(data, ask["metric"], ask["threads"]))
    ask_s, found = timed(lambda: asking(asked, ask["k"] + extra))
    row: Row = {"who": peer.name, "seconds": extrapolated(fit_s, ask_s, len(asked), whole)}
    if len(asked) < whole:
        row["extrapolated_from_rows"] = len(asked)
    row["found"] = without_own(np.asarray(found), ask["k"]) if extra else np.asarray(found)
    return row


def self_join(data: DataSet, ask: Row, most_faiss: int | None, others: tuple[peers.Peer, ...], roof: float) -> Row:
    """Each row's k nearest others: ours and faiss.knn by turns, then the other peers."""
    vectors, metric, k, threads, isa = data.vectors, ask["metric"], ask["k"], ask["threads"], ask["isa"]
    n, dim = vectors.shape

    def ours() -> tuple[np.ndarray, dict[str, Any]]:
        kernel = peers.native(vectors, metric, threads, isa)
        return kernel.self_join(k)[0], kernel.stats()

    tuned = peers.tune_faiss(vectors, vectors, metric, threads, k + 1)
    answers: list[Row] = []

    def faiss() -> None:
        answers.append(peer_row(peers.FAISS_KNN, vectors, None, ask, most_faiss))

    seconds, (indices, stats), _, _ = alternating(ours, faiss, 2)
    theirs = min(answers, key=lambda row: row.get("seconds", 0.0)) | {"tuned": tuned}
    mine: Row = {
        "who": "vicinal",
        "seconds": seconds,
        "candidates_a_row": stats["candidates"] / n,
        "phases": {key: stats[key] for key in stats if key.startswith("seconds")},
        "check": against_truth(vectors, None, indices, metric),
        "isa": stats["isa"],
    }
    if metric != "manhattan":
        mine["roof_share"] = roof_share(n, dim, seconds, roof, threads)
    if "found" in theirs:
        mine["against_faiss"] = against_faiss(vectors, None, indices, theirs["found"], metric)
    flat = () if metric == "manhattan" else (peers.FAISS_FLAT,)
    rows = [mine, theirs, *(peer_row(peer, vectors, None, ask, peer.rows) for peer in (*flat, *others))]
    return finished("self-join", data, ask, rows, n=n, runs=len(answers))


def search(data: DataSet, ask: Row, others: tuple[peers.Peer, ...], most_faiss: int | None) -> Row:
    """Queries that are not stored, all in one call."""
    stored, queries = data.split()
    kernel = peers.native(stored, ask["metric"], ask["threads"], ask["isa"])
    flat = None if peers.FAISS_FLAT.missing(ask["metric"]) else peers.faiss_flat(stored, ask["metric"], ask["threads"])
    asked = queries[:most_faiss]
    tuned = peers.tune_faiss(stored, queries, ask["metric"], ask["threads"], ask["k"])

    def theirs() -> np.ndarray | None:
        return None if flat is None else flat(asked, ask["k"])

    best, (indices, _), best_flat, found = alternating(lambda: kernel.search(queries, ask["k"]), theirs, 2)
    mine: Row = {"who": "vicinal", "seconds": best, "isa": kernel.version}
    mine["check"] = against_truth(stored, queries, indices, ask["metric"])
    mine["candidates_a_row"] = kernel.stats()["candidates"] / len(queries)
    flat_row: Row = {"who": peers.FAISS_FLAT.name, "seconds": best_flat * len(queries) / len(asked), "tuned": tuned}
    if found is None:
        flat_row = {"who": peers.FAISS_FLAT.name, "absent": peers.FAISS_FLAT.missing(ask["metric"])}
    else:
        mine["against_faiss"] = against_faiss(stored, queries, indices, found, ask["metric"])
        if len(asked) < len(queries):
            flat_row["extrapolated_from_rows"] = len(asked)
    rows = [mine, flat_row, *(peer_row(peer, stored, queries, ask, peer.rows) for peer in others)]
    return finished("search", data, ask, rows, n=len(stored), queries=len(queries))


def one_by_one(data: DataSet, ask: Row) -> Row:
    """One query a call: the median of 200 calls each."""
    stored, queries = data.split()
    queries = queries[:ONE_BY_ONE]
    asks: dict[str, Callable[[np.ndarray], Any]] = {}
    peers.tune_faiss(stored, queries[:1], ask["metric"], ask["threads"], ask["k"])
    kernel = peers.native(stored, ask["metric"], ask["threads"], ask["isa"])
    asks["vicinal"] = lambda row: kernel.search(row, ask["k"])[0]
    rows: list[Row] = []
    for peer in (peers.FAISS_FLAT, *(peer for peer in peers.OTHERS if peer.fit is not peers.row_at_a_time)):
        if reason := peer.missing(ask["metric"]):
            rows.append({"who": peer.name, "absent": reason})
        else:
            asking = peer.fit(stored, ask["metric"], ask["threads"])
            asks[peer.name] = lambda row, asking=asking: asking(row, ask["k"])  # type: ignore[misc]
    seconds: dict[str, list[float]] = {who: [] for who in asks}
    answers = []
    for who, asking_one in asks.items():
        for row in queries:
            took, found = timed_once(asking_one, row[None])
            seconds[who].append(took)
            if who == "vicinal":
                answers.append(found[0])
    measured: list[Row] = [{"who": who, "seconds": float(np.median(took))} for who, took in seconds.items()]
    measured[0] |= {"isa": kernel.version, "check": against_truth(stored, queries, np.stack(answers), ask["metric"])}
    return finished("one query", data, ask, measured + rows, n=len(stored), queries=1, median_over=len(queries))


def timed_once(work: Callable[[np.ndarray], Any], row: np.ndarray) -> tuple[float, Any]:
    """As `timed`, without a sweep of the collector before each of many short calls."""
    start = time.perf_counter()
    found = work(row)
    return time.perf_counter() - start, found


def finished(work: str, data: DataSet, ask: Row, rows: list[Row], **more: Any) -> Row:
    """The record of one piece of work, with each contestant's ratio of faiss's seconds to its own."""
    faiss = next((row.get("seconds") for row in rows if "faiss" in row["who"].lower()), None)
    for row in rows:
        row.pop("found", None)
        if faiss and "seconds" in row:
            row["times_faiss"] = faiss / row["seconds"]
    shown = {key: ask[key] for key in ("metric", "k", "threads")}
    return {"work": work, "data": data.name, "dim": data.vectors.shape[1], **shown, **more, "rows": rows}


def peak_memory(data: DataSet, metric: str, k: int, threads: int) -> Row:
    """Bytes beyond the input at the peak of a self-join, in a process that does nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vectors.npy"
        np.save(path, data.vectors)
        command = [sys.executable, "-m", "benchmarks.memory", str(path), metric, str(k), str(threads)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"absent": done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit {done.returncode}"}
    return json.loads(done.stdout)
