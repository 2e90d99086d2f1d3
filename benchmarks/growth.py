"""How cost grows with n, dim, k and threads, and what each instruction set gives."""

from typing import Any

from benchmarks import measuring, peers, sets
from benchmarks.sets import DataSet

Row = dict[str, Any]
K = 5
LARGE, PART = 40_000, 2_000  # beyond so many rows, faiss is asked a part


def roofs() -> dict[str, float]:
    """The int8 multiply-adds a second of one core, by instruction set, best first."""
    from vicinal.knn.kernels.native import isas as usable

    return {isa: peers.roof(isa) for isa in usable()}


def pair(shape: dict[str, int]) -> dict[str, float]:
    """Seconds of a self-join of this n, dim, k and threads, euclidean: ours and faiss.knn at its best, by turns.

    The best of two; where n is large, one run of ours, and faiss's time is in proportion to some of the rows.
    """
    n, k, threads = shape["n"], shape["k"], shape["threads"]
    vectors = sets.clusters(n, shape["dim"]).vectors
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


def points(quick: bool) -> dict[str, list[dict[str, int]]]:
    """What grows, with the n, dim, k and threads of each point."""
    cores = peers.cores()
    grown = {
        "n": (2_500, 5_000, 10_000, 20_000, 40_000, 100_000, 200_000, 400_000),
        "dim": (16, 32, 64, 128, 256, 384, 768, 1536),
        "k": (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000),
        "threads": tuple(one for one in (1, 2, 4, 8, 16, 32, 64) if one <= cores),
    }
    shared = {"n": 10_000, "dim": 384, "k": K, "threads": cores}
    if quick:
        grown |= {"n": (1_000, 2_000, 4_000), "dim": (16, 64, 256), "k": (1, 10, 100)}
        shared |= {"n": 2_000, "dim": 64}
    return {over: [shared | {over: value} for value in values] for over, values in grown.items()}
