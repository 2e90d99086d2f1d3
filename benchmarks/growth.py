"""How cost grows with n and with dim, and what each instruction set gives."""

from collections.abc import Iterator
from typing import Any

from benchmarks import measuring, peers, sets
from benchmarks.sets import DataSet

Row = dict[str, Any]


def roofs() -> dict[str, float]:
    """The int8 multiply-adds a second of one core, by instruction set, best first."""
    from vicinal.knn.kernels.native import isas as usable

    return {isa: peers.roof(isa) for isa in usable()}


def pair(data: DataSet, threads: int) -> tuple[float, float]:
    """Seconds of a self-join, euclidean, k = 5: ours and faiss.knn, the best of two by turns."""

    def ours() -> object:
        return peers.native(data.vectors, "euclidean", threads).self_join(5)

    def theirs() -> object:
        return peers.faiss_knn(data.vectors, "euclidean", threads)(data.vectors, 6)

    best, _, best_faiss, _ = measuring.alternating(ours, theirs, 2)
    return best, best_faiss


def isas(data: DataSet, threads: int) -> Row:
    """A self-join with each instruction set of this machine, and faiss.knn in the same run."""
    ask: Row = {"metric": "euclidean", "k": 5, "threads": threads, "isa": ""}
    n, dim = data.vectors.shape
    rows: list[Row] = []
    theirs = [measuring.peer_row(peers.FAISS_KNN, data.vectors, None, ask, None) for _ in range(2)]
    for isa, roof in roofs().items():

        def ours(isa: str = isa) -> object:
            return peers.native(data.vectors, "euclidean", threads, isa).self_join(5)

        seconds = min(measuring.timed(ours)[0] for _ in range(2))
        share = measuring.roof_share(n, dim, seconds, roof, threads)
        rows.append({"who": f"vicinal, {isa}", "seconds": seconds, "roof_share": share})
    rows.append(min(theirs, key=lambda row: row.get("seconds", 0)))
    return measuring.finished("isas", data, ask, rows, n=n)


def both(threads: int, quick: bool) -> Iterator[Row]:
    """One record for n and one for dim."""
    if peers.FAISS_KNN.missing("euclidean"):
        return
    sizes = (1_000, 2_000, 4_000) if quick else (2_500, 5_000, 10_000, 20_000, 40_000)
    dims = (16, 64, 256) if quick else (8, 16, 32, 50, 64, 100, 128, 256, 384, 784, 1536)
    n = 2_000 if quick else 10_000
    for over, shapes in (("n", [(size, 384) for size in sizes]), ("dim", [(n, dim) for dim in dims])):
        points = []
        for rows, dim in shapes:
            data = sets.clusters(rows, dim)
            ours, faiss = pair(data, threads)
            points.append({"n": rows, "dim": dim, "vicinal": ours, "faiss.knn": faiss})
        yield {"work": "growth", "over": over, "data": "clusters", "metric": "euclidean", "k": 5, "points": points}
