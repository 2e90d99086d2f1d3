"""What the calls of a kernel share: its devices, the coder, and the tiles of the stored rows."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from vicinal.errors import need
from vicinal.knn.copies import Copies, find_copies
from vicinal.knn.kernels.torch import results
from vicinal.knn.kernels.torch.codes import SAMPLE, Coder
from vicinal.knn.kernels.torch.driver import Device, State, Stored, Work
from vicinal.knn.kernels.torch.pairs import Comparison, Target
from vicinal.knn.kernels.torch.tiles import LEAST_RESIDENT, Resident, Sizes, Source
from vicinal.knn.metrics import Metric

QUERY_ROWS = 1 << 16  # of a tile of queries

Groups = np.ndarray | None


def exact_place(device: Any) -> Any:
    """Where distances are measured: the device, or the processor for one without float64 (Apple's)."""
    return need("torch").device("cpu") if device.type == "mps" else device


class Setting:
    """Devices and the rows on them, made when they are first needed.

    names : torch's devices
    kind  : of the codes: "int8", "bf16", or "auto"
    sizes : how the work is cut; None for what fits
    """

    def __init__(self, vectors: np.ndarray, metric: Metric, names: list[Any], kind: str, sizes: Sizes | None) -> None:
        self._vectors, self._metric, self._names, self._kind, self._sizes = vectors, metric, names, kind, sizes
        self._process = os.getpid()
        self._found: Copies | None = None
        self._made: tuple[Coder, list[Device]] | None = None
        self._kept: tuple[Stored, int] | None = None

    def copies(self, groups: Groups) -> Copies:
        """Which rows are equal, and of one group."""
        if self._found is None:
            self._found = find_copies(self._vectors)
        return self._found if groups is None or not self._found.any else results.apart(self._found, groups)

    def stored(self, copies: Copies, k: int, tile: int | None = None) -> Stored:
        """The distinct rows in tiles; those without groups stay for the next call.

        tile : the rows of a tile, where they are given by a checkpoint
        """
        self._leave_parent()
        shared = copies is self._found
        if shared and self._kept is not None:
            stored, most = self._kept
            if k <= most and tile in (None, stored.sizes.tile):
                return stored
            stored.close()
            self._kept = None
        devices = self._coder_and_devices()[1]
        source = Source(self._vectors, copies.first if copies.any else None)
        sizes = self._sizes or min(
            (Sizes.fit(len(source), self._vectors, k, device.name) for device in devices), key=lambda one: one.tile
        )
        sizes = sizes if tile is None else replace(sizes, tile=tile)
        made = Stored(source, sizes, [Resident(device.loader, source, sizes) for device in devices])
        if shared:
            self._kept = made, k
        return made

    def queries(self, queries: np.ndarray, sizes: Sizes) -> Stored:
        """Queries in tiles."""
        own = replace(sizes, tile=min(sizes.tile, QUERY_ROWS), resident=LEAST_RESIDENT)
        source = Source(queries)
        return Stored(source, own, [Resident(device.loader, source, own) for device in self._coder_and_devices()[1]])

    def works(
        self,
        left: Stored,
        right: Stored,
        target: Callable[[], Target],
        k: int,
        groups: tuple[Groups, Groups],
        start: State | None = None,
    ) -> list[Work]:
        """The work of each device in a call; `target` makes what each one looks for."""
        coder, devices = self._coder_and_devices()
        park = left.sizes.resident < left.tiles  # lists of so many tiles may not fit beside them
        return [
            Work(
                device,
                left.resident[number],
                right.resident[number],
                Comparison(coder, device.multiply, left.sizes, target(), device.passing),
                k,
                start,
                groups,
                park,
            )
            for number, device in enumerate(devices)
        ]

    def release(self, stored: Stored) -> None:
        """Drop tiles that no later call uses."""
        if self._kept is None or self._kept[0] is not stored:
            stored.close()

    def forget(self) -> None:
        """Leave the devices, which failed; the next call finds them anew."""
        if self._kept is not None:
            self._kept[0].close()
        self._kept = self._made = None

    def _leave_parent(self) -> None:
        """In a forked child, whose parent has the threads of the devices, make everything anew."""
        if self._process != os.getpid():
            self._process, self._kept, self._made = os.getpid(), None, None
            need("torch").set_num_threads(1)  # those of OpenMP are the parent's too, and are waited for without end

    def _coder_and_devices(self) -> tuple[Coder, list[Device]]:
        if self._made is None:
            step = -(-len(self._vectors) // SAMPLE)
            coder = Coder.of(self._metric.prepare(self._vectors[::step]), self._metric, self._kind)
            try:
                found = [Device(name, exact_place(name), coder) for name in self._names]
            except RuntimeError:
                if self._kind != "auto" or coder.kind == "int8":
                    raise
                coder = replace(coder, kind="int8")
                found = [Device(name, exact_place(name), coder) for name in self._names]
            self._made = coder, found
        return self._made
