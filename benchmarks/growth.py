"""How cost grows with n, dim, k and threads, and what each instruction set gives."""

from collections.abc import Iterator
from typing import Any

from benchmarks import measuring, peers, sets
from benchmarks.sets import DataSet

Row = dict[str, Any]
LARGE, PART = 40_000, 2_000  # beyond so many rows, faiss is asked a part


def roofs() -> dict[str, float]:
    """The int8 multiply-adds a second of one core, by instruction set, best first."""
    from vicinal.knn.kernels.native import isas as usable

    return {isa: peers.roof(isa) for isa in usable()}


def pair(data: DataSet, threads: int, k: int) -> dict[str, float]:
    """Seconds of a self-join, euclidean: ours and faiss.knn at its best settings, by turns.

    The best of two; where n is large, one run of ours, and faiss's time is in proportion to some of the rows.
    """
    vectors, n = data.vectors, len(data.vectors)
    peers.tune_faiss(vectors, vectors, "euclidean", threads, k + 1)
    asked = vectors[:PART] if n > LARGE else vectors

    def ours() -> object:
        return peers.native(vectors, "euclidean", threads).self_join(k)

    def theirs() -> object:
        return peers.faiss_knn(vectors, "euclidean", threads)(asked, k + 1)

    best, _, best_faiss, _ = measuring.alternating(ours, theirs, 1 if n > LARGE else 2)
    return {"vicinal": best, "faiss.knn": best_faiss * n / len(asked), "asked_of_faiss": len(asked)}


def isas(data: DataSet, threads: int) -> Row:
    """A self-join with each instruction set of this machine, and faiss.knn in the same run."""
    ask: Row = {"metric": "euclidean", "k": 5, "threads": threads, "isa": ""}
    n, dim = data.vectors.shape
    rows: list[Row] = []
    peers.tune_faiss(data.vectors, data.vectors, "euclidean", threads, 6)
    theirs = [measuring.peer_row(peers.FAISS_KNN, data.vectors, None, ask, None) for _ in range(2)]
    for isa, roof in roofs().items():

        def ours(isa: str = isa) -> object:
            return peers.native(data.vectors, "euclidean", threads, isa).self_join(5)

        seconds = min(measuring.timed(ours)[0] for _ in range(2))
        share = measuring.roof_share(n, dim, seconds, roof, threads)
        rows.append({"who": f"vicinal, {isa}", "seconds": seconds, "roof_share": share})
    rows.append(min(theirs, key=lambda row: row.get("seconds", 0)))
    return measuring.finished("isas", data, ask, rows, n=n)


def points(quick: bool) -> dict[str, list[tuple[int, int, int, int]]]:
    """What grows, with the n, dim, k and threads of each point."""
    cores = peers.cores()
    many = [one for one in (1, 2, 4, 8, 16, 32, 64) if one <= cores]
    if quick:
        return {
            "n": [(n, 64, 5, cores) for n in (1_000, 2_000, 4_000)],
            "dim": [(2_000, dim, 5, cores) for dim in (16, 64, 256)],
            "k": [(2_000, 64, k, cores) for k in (1, 10, 100)],
            "threads": [(2_000, 64, 5, threads) for threads in many],
        }
    sizes = (2_500, 5_000, 10_000, 20_000, 40_000, 100_000, 200_000, 400_000)
    return {
        "n": [(n, 384, 5, cores) for n in sizes],
        "dim": [(10_000, dim, 5, cores) for dim in (16, 32, 64, 128, 256, 384, 768, 1536)],
        "k": [(20_000, 384, k, cores) for k in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000)],
        "threads": [(40_000, 384, 5, threads) for threads in many],
    }


def all_of(quick: bool) -> Iterator[Row]:
    """One record for each thing that grows."""
    if peers.FAISS_KNN.missing("euclidean"):
        return
    for over, shapes in points(quick).items():
        found = []
        for n, dim, k, threads in shapes:
            told = {"n": n, "dim": dim, "k": k, "threads": threads}
            found.append(told | pair(sets.clusters(n, dim), threads, k))
        yield {"work": "growth", "over": over, "data": "clusters", "metric": "euclidean", "k": 5, "points": found}
