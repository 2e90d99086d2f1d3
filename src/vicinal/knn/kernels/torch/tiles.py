"""Tiles of rows on a device: how large they are, how they get there, and which of them stay.

All tiles stay where they fit. Else the last few that were used do, and the next one is read, copied and coded by a
second thread, and on CUDA by a second stream, while the present one is compared.
"""

from __future__ import annotations

from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vicinal.errors import need
from vicinal.knn.blocks import blocks
from vicinal.knn.kernels.torch import measure
from vicinal.knn.kernels.torch.codes import Coder, Codes, coded
from vicinal.knn.memory import available

if TYPE_CHECKING:
    from torch import Tensor

STAGE_BYTES = 1 << 26  # of one of the two buffers that rows pass through
READABLE = ("float16", "float32", "float64", "int8", "uint8")
LEAST_RESIDENT = 3  # two tiles that are compared, and the next one
MOST_ROWS = 1 << 18  # of a tile: finished work is kept tile by tile, and devices take turns by tiles


@dataclass(frozen=True)
class Sizes:
    """How the work is cut.

    tile     : rows of a tile
    resident : tiles that stay on a device
    side     : rows and columns of a block of products
    measured : pairs that are measured at once
    """

    tile: int
    resident: int
    side: int
    measured: int

    @classmethod
    def fit(cls, n: int, vectors: np.ndarray, k: int, device: Any) -> Sizes:
        """What fits in the free memory of a device."""
        dim = vectors.shape[1]
        free = free_bytes(device)
        fast = device.type == "cuda"
        side = 8192 if fast else 1024
        while side > 256 and side * side * 24 > free // 8:
            side //= 2
        pair = dim * 8 * 4 + 64
        measured = max(256, min((1 << 21) if fast else (1 << 14), free // 8 // pair))
        row = dim * (vectors.dtype.itemsize + 2) + 96 + 16 * min(k, n)
        rows = max(side, int(free * 0.6) // row)
        if n <= rows:
            tile = max(side, min(n, MOST_ROWS))
            return cls(tile, max(LEAST_RESIDENT, -(-n // tile)), side, measured)
        tile = max(side, min(rows // (LEAST_RESIDENT + 1), MOST_ROWS))
        return cls(tile, max(LEAST_RESIDENT, rows // tile), side, measured)


def free_bytes(device: Any) -> int:
    """The memory that is free on a device; the processor's is shared with other work."""
    torch = need("torch")
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return available() // 2


class Source:
    """Rows on the host: all rows of an array, or some of them."""

    def __init__(self, vectors: np.ndarray, rows: np.ndarray | None = None) -> None:
        self.vectors, self.rows = vectors, rows

    def __len__(self) -> int:
        return len(self.vectors) if self.rows is None else len(self.rows)

    @property
    def dtype(self) -> np.dtype[Any]:
        """What rows are read as; whole numbers that a kernel does not read become float64, as in every kernel."""
        return self.vectors.dtype if self.vectors.dtype.name in READABLE else np.dtype(np.float64)

    def read(self, part: slice) -> np.ndarray:
        """These rows, as they lie on the host."""
        return self.vectors[part if self.rows is None else self.rows[part]]


@dataclass
class Tile:
    """Rows on a device.

    first   : the number of its first row among the rows of its source
    raw     : the rows as given, where distances are measured
    inverse : float64, 1 / their lengths under a metric of directions
    codes   : where products are computed
    ready   : an event of the stream that wrote them, on CUDA
    """

    first: int
    raw: Tensor
    inverse: Tensor | None
    codes: Codes
    ready: Any = None

    def __len__(self) -> int:
        return len(self.raw)

    def prepared(self, rows: Tensor) -> Tensor:
        """These rows, as the metric measures them."""
        return measure.prepared(self.raw[rows], None if self.inverse is None else self.inverse[rows])

    def tensors(self) -> list[Tensor]:
        """All that lies on a device."""
        return [self.raw, *([] if self.inverse is None else [self.inverse]), *vars(self.codes).values()]


class Loader:
    """Puts rows on a device and codes them.

    device : where products are computed
    exact  : where distances are measured: the device itself, or the processor where it has no float64
    """

    def __init__(self, device: Any, exact: Any, coder: Coder) -> None:
        torch = need("torch")
        self.device, self.exact, self._coder = device, exact, coder
        self._cuda = device.type == "cuda"
        self._stream: Any = torch.cuda.Stream(device) if self._cuda else None

    def load(self, source: Source, part: slice) -> Tile:
        """The tile of these rows of a source."""
        torch = need("torch")
        with torch.cuda.stream(self._stream) if self._cuda else nullcontext():
            raw = self._copied(source, part)
            step = max(1, STAGE_BYTES // (8 * raw.shape[1]))
            inverse = None
            if self._coder.metric.nonzero:
                rows = [measure.inverse_length(raw[one].double()) for one in blocks(len(raw), step)]
                inverse = torch.cat(rows)
            codes = coded(self._coder, raw, inverse, self.device, step)
            tile = Tile(part.start, raw, inverse, codes)
            if self._cuda:
                tile.ready = torch.cuda.Event()
                tile.ready.record(self._stream)
        return tile

    def _copied(self, source: Source, part: slice) -> Tensor:
        """Rows as they are, through two buffers, of which one is filled while the other is sent."""
        torch = need("torch")
        dim = source.vectors.shape[1]
        kind = getattr(torch, source.dtype.name)
        raw = torch.empty((part.stop - part.start, dim), dtype=kind, device=self.exact)
        step = max(1, STAGE_BYTES // (raw.element_size() * dim))
        shape = (min(step, len(raw)), dim)
        stages = [torch.empty(shape, dtype=kind, device="cpu", pin_memory=self._cuda) for _ in range(2)]
        sent: list[Any] = [None, None]
        for turn, one in enumerate(blocks(part.stop, step, part.start)):
            if sent[turn % 2] is not None:
                sent[turn % 2].synchronize()
            stage = stages[turn % 2][: one.stop - one.start]
            np.copyto(stage.numpy(), source.read(one), casting="unsafe")
            raw[one.start - part.start : one.stop - part.start].copy_(stage, non_blocking=self._cuda)
            if self._cuda:
                sent[turn % 2] = torch.cuda.Event()
                sent[turn % 2].record(self._stream)
        if self._cuda:
            self._stream.synchronize()  # the buffers go when this returns
        return raw


class Resident:
    """The tiles of a source that lie on a device."""

    def __init__(self, loader: Loader, source: Source, sizes: Sizes) -> None:
        self._loader, self._source, self._sizes = loader, source, sizes
        self._tiles: OrderedDict[int, Future[Tile]] = OrderedDict()
        self._reader = ThreadPoolExecutor(1, "vicinal-tiles")

    def get(self, number: int) -> Tile:
        """A tile, read now if it is not here."""
        torch = need("torch")
        tile = self._ask(number).result()
        if tile.ready is not None:
            stream = torch.cuda.current_stream(self._loader.device)
            stream.wait_event(tile.ready)
            for one in tile.tensors():
                one.record_stream(stream)
        return tile

    def ahead(self, number: int) -> None:
        """Begin to read a tile that is needed next."""
        self._ask(number)

    def close(self) -> None:
        """Forget all tiles."""
        self._tiles.clear()
        self._reader.shutdown(wait=True, cancel_futures=True)

    def _ask(self, number: int) -> Future[Tile]:
        if number not in self._tiles:
            while len(self._tiles) >= self._sizes.resident:
                self._tiles.popitem(last=False)[1].exception()  # waits, if it is still being read
            first = number * self._sizes.tile
            part = slice(first, min(first + self._sizes.tile, len(self._source)))
            self._tiles[number] = self._reader.submit(self._loader.load, self._source, part)
        self._tiles.move_to_end(number)
        return self._tiles[number]
