"""The trees behind `vector_kmeans_tree`: k-means within k-means, and a search that goes down the nearest branches.

A row belongs to one leaf. A search keeps the nearest few nodes of each level and visits their leaves; it measures the
rows there exactly. An index with prefix columns has a tree for each of their values.
"""

import io
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from vicinal.knn.blocks import blocks

SEED = 20


def closeness(function: str, x: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """How far each x lies from each centroid by Knn::<function>: (len(x), len(centroids)); low is close."""
    if function == "ManhattanDistance":
        return np.stack([np.abs(x - one).sum(axis=1) for one in centroids], axis=1)
    if function == "InnerProductSimilarity":
        return np.asarray(-(x @ centroids.T))
    if function == "EuclideanDistance":
        return np.asarray((centroids * centroids).sum(axis=1) - 2 * (x @ centroids.T))
    return np.asarray(-(_unit(x) @ _unit(centroids).T))


def _unit(rows: np.ndarray) -> np.ndarray:
    norms = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
    return np.asarray(rows / np.where(norms > 0, norms, 1))


@dataclass
class Tree:
    """Levels of centroids, each with the node above it; the last level's are the leaves, numbered from `first`."""

    levels: list[np.ndarray]
    parents: list[np.ndarray]
    first: int

    @property
    def leaves(self) -> int:
        """How many leaves there are."""
        return len(self.levels[-1])

    def visit(self, target: np.ndarray, function: str, top: int) -> list[int]:
        """The leaves that a search visits: at each level the `top` nearest nodes below those kept."""
        kept = np.zeros(1, np.int64)
        for centroids, parents in zip(self.levels, self.parents, strict=True):
            below = np.flatnonzero(np.isin(parents, kept))
            order = np.argsort(closeness(function, target[None], centroids[below])[0], kind="stable")
            kept = below[order[:top]]
        return sorted(int(leaf) + self.first for leaf in kept)

    def nearest(self, vectors: np.ndarray, function: str, count: int) -> np.ndarray:
        """Each vector's `count` nearest leaves, (n, count), the nearest first; -1 where there are fewer.

        At each level the nearest nodes below those kept of the level before are kept, as a search does.
        """
        if count == 1:
            return self.assign(vectors, function)[:, None]
        out = np.full((len(vectors), count), -1, np.int64)
        for block in blocks(len(vectors), 16_384):
            part = vectors[block]
            kept = np.zeros((len(part), 1), np.int64)
            for centroids, parents in zip(self.levels, self.parents, strict=True):
                far = closeness(function, part, centroids)
                far[~(parents[None, :, None] == kept[:, None, :]).any(axis=2)] = np.inf
                best = np.argsort(far, axis=1, kind="stable")[:, :count]
                kept = np.where(np.isinf(np.take_along_axis(far, best, axis=1)), -1, best)
            out[block, : kept.shape[1]] = np.where(kept >= 0, kept + self.first, -1)
        return out

    def assign(self, vectors: np.ndarray, function: str) -> np.ndarray:
        """Each vector's leaf, (n,): the nearest node of each level below the one before."""
        at = np.zeros(len(vectors), np.int64)
        for centroids, parents in zip(self.levels, self.parents, strict=True):
            below = np.empty_like(at)
            for node in np.unique(at):
                rows, children = np.flatnonzero(at == node), np.flatnonzero(parents == node)
                for block in blocks(len(rows), 65_536):
                    part = rows[block]
                    below[part] = children[closeness(function, vectors[part], centroids[children]).argmin(axis=1)]
            at = below
        return at + self.first


def grow(vectors: np.ndarray, clusters: int, levels: int, function: str, first: int) -> Tree:
    """A tree over vectors, float32 (n, dim)."""
    parents: list[np.ndarray] = []
    centroids: list[np.ndarray] = []
    at, width = np.zeros(len(vectors), np.int64), 1
    for _ in range(levels):
        found, above = [], []
        for node in range(width):
            rows = np.flatnonzero(at == node)
            part = (
                _kmeans(vectors[rows], clusters, function) if len(rows) else np.zeros((1, vectors.shape[1]), np.float32)
            )
            found.append(part)
            above.append(np.full(len(part), node))
        centroids.append(np.concatenate(found))
        parents.append(np.concatenate(above))
        at = Tree(centroids, parents, 0).assign(vectors, function)
        width = len(centroids[-1])
    return Tree(centroids, parents, first)


def _kmeans(vectors: np.ndarray, clusters: int, function: str) -> np.ndarray:
    import faiss

    if len(vectors) <= clusters:
        return np.unique(vectors, axis=0)
    spherical = function.startswith("Cosine")
    points = np.ascontiguousarray(_unit(vectors) if spherical else vectors)
    kmeans = faiss.Kmeans(
        points.shape[1], clusters, niter=12, seed=SEED, spherical=spherical, min_points_per_centroid=1
    )
    kmeans.train(points)
    return np.asarray(kmeans.centroids)


@dataclass
class Forest:
    """A tree for each value of the prefix columns, by the value's JSON; without prefix columns one, under "[]"."""

    trees: dict[str, Tree]

    def visit(self, target: np.ndarray | None, function: str, top: int) -> list[int]:
        """The leaves that a search visits, of every tree; none where the target is no vector of the index's."""
        found: list[int] = []
        for tree in self.trees.values():
            if target is not None and len(target) == tree.levels[0].shape[1]:
                found += tree.visit(target, function, top)
        return found

    def save(self) -> bytes:
        """The forest as bytes."""
        arrays: dict[str, Any] = {}
        about = []
        for number, (prefix, tree) in enumerate(self.trees.items()):
            about.append([prefix, len(tree.levels), tree.first])
            for level, (centroids, parents) in enumerate(zip(tree.levels, tree.parents, strict=True)):
                arrays[f"c{number}.{level}"], arrays[f"p{number}.{level}"] = centroids, parents
        file = io.BytesIO()
        np.savez(file, about=np.frombuffer(json.dumps(about).encode(), np.uint8), **arrays)
        return file.getvalue()

    @classmethod
    def load(cls, data: bytes) -> "Forest":
        """A forest from the bytes that `save` gave."""
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            about = json.loads(arrays["about"].tobytes())
            return cls(
                {
                    prefix: Tree(
                        [arrays[f"c{number}.{level}"] for level in range(levels)],
                        [arrays[f"p{number}.{level}"] for level in range(levels)],
                        first,
                    )
                    for number, (prefix, levels, first) in enumerate(about)
                }
            )
