"""Products, scores and limits of a block of pairs in one kernel of Triton, for GPUs of CUDA.

With torch's own operations every product is written to memory as 32 bits, and read and written again for each step of
the score, which takes far longer than the products themselves. This kernel keeps a tile of products in registers and
writes one byte a pair: whether it passes. It is used where Triton is installed (torch's wheels for CUDA bring it) and
`probe` finds its answers right; where not, `pairs` computes the same with torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vicinal.errors import need
from vicinal.knn.kernels.torch import products

try:
    import triton
    from triton import language as tl
except ImportError:  # the wheels of torch for processors come without it
    triton = tl = None

if TYPE_CHECKING:
    from torch import Tensor

ROWS, COLUMNS = 128, 256  # of the tile of one program
DEPTH = 128  # bytes of a row of codes that are multiplied at a time; half where a processor's memory is small
SMALL_MEMORY = ((8, 6), (8, 7), (8, 9), (12, 0), (12, 1))
OLDEST = (8, 0)  # Triton does not compile int8 products for older ones
WARPS, STAGES = 8, 3
TURN = 8  # rows of tiles that share the columns in the cache

Passing = Callable[..., "Tensor"]


def _passes(  # type: ignore[no-untyped-def]  # Triton reads annotations
    rows,
    columns,
    row_scale,
    column_scale,
    row_square,
    column_square,
    row_limit,
    column_limit,
    row_group,
    column_group,
    out,
    n,
    m,
    depth,
    BLOCK_N: tl.constexpr,  # noqa: N803
    BLOCK_M: tl.constexpr,  # noqa: N803
    BLOCK_K: tl.constexpr,  # noqa: N803
    WHOLE: tl.constexpr,  # noqa: N803
    TURNS: tl.constexpr,  # noqa: N803
    BOTH: tl.constexpr,  # noqa: N803
    GROUPS: tl.constexpr,  # noqa: N803
    DIAGONAL: tl.constexpr,  # noqa: N803
):
    """Write 1 for each pair of a block that passes the limit of its row or its column, and 0 for the others.

    n, m, depth : rows, columns, and coordinates of the padded codes
    WHOLE       : whether codes are int8, whose sums are int32
    BOTH        : whether columns look for neighbours too
    """
    program = tl.program_id(0)
    across = tl.cdiv(m, BLOCK_M)
    first = program // (TURNS * across) * TURNS
    height = min(tl.cdiv(n, BLOCK_N) - first, TURNS)
    i = (first + program % (TURNS * across) % height) * BLOCK_N + tl.arange(0, BLOCK_N)
    j = program % (TURNS * across) // height * BLOCK_M + tl.arange(0, BLOCK_M)
    own, other = i < n, j < m
    a = rows + i.to(tl.int64)[:, None] * depth
    b = columns + j.to(tl.int64)[None, :] * depth
    total = tl.zeros((BLOCK_N, BLOCK_M), dtype=tl.int32 if WHOLE else tl.float32)
    for start in range(0, depth, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        x = tl.load(a + k[None, :], mask=own[:, None] & (k < depth)[None, :], other=0)
        y = tl.load(b + k[:, None], mask=other[None, :] & (k < depth)[:, None], other=0)
        total = tl.dot(x, y, total)
    score = total.to(tl.float32) * (2 * tl.load(column_scale + j, mask=other, other=0))[None, :]
    score = score * tl.load(row_scale + i, mask=own, other=0)[:, None]
    score = score - tl.load(column_square + j, mask=other, other=0)[None, :]
    score = score - tl.load(row_square + i, mask=own, other=0)[:, None]
    passed = score >= tl.load(row_limit + i, mask=own, other=0)[:, None]
    if BOTH:
        passed = passed | (score >= tl.load(column_limit + j, mask=other, other=0)[None, :])
    if GROUPS:
        mine = tl.load(row_group + i, mask=own, other=0)
        passed = passed & (mine[:, None] != tl.load(column_group + j, mask=other, other=0)[None, :])
    if DIAGONAL:
        passed = passed & (i[:, None] < j[None, :])
    place = out + i.to(tl.int64)[:, None] * m + j[None, :]
    tl.store(place, passed.to(tl.int8), mask=own[:, None] & other[None, :])


_kernel: Any = None if triton is None else triton.jit(_passes)


def passing(
    codes: tuple[Tensor, Tensor],
    scales: tuple[Tensor, Tensor],
    squares: tuple[Tensor, Tensor],
    limits: tuple[Tensor, Tensor | None],
    groups: tuple[Tensor, Tensor] | None,
    diagonal: bool,
) -> Tensor:
    """Which pairs of a block pass, bool (n, m): each argument is that of the rows and of the columns.

    diagonal : whether rows and columns are the same, so that each pair is wanted once
    """
    torch = need("torch")
    (n, m), depth = (len(one) for one in scales), codes[0].shape[1]
    out = torch.empty((n, m), dtype=torch.int8, device=codes[0].device)
    both, whole = limits[1] is not None, codes[0].dtype == torch.int8
    depth_bytes = DEPTH // 2 if _capability(out.device) in SMALL_MEMORY else DEPTH
    own, other = groups or (out, out)
    _kernel[(triton.cdiv(n, ROWS) * triton.cdiv(m, COLUMNS),)](
        *codes, *scales, *squares, limits[0], limits[1] if both else limits[0], own, other, out, n, m, depth,
        BLOCK_N=ROWS, BLOCK_M=COLUMNS, BLOCK_K=depth_bytes if whole else depth_bytes // 2, WHOLE=whole,
        TURNS=TURN, BOTH=both, GROUPS=groups is not None, DIAGONAL=diagonal, num_warps=WARPS, num_stages=STAGES,
        enable_fp_fusion=False,
    )  # fmt: skip
    return out.view(torch.bool)


def _capability(device: Any) -> tuple[int, int]:
    """The generation of a GPU; of the interpreter, that of the newest."""
    return need("torch").cuda.get_device_capability(device) if device.type == "cuda" else (9, 0)


def probe(codes: str, dim: int, device: Any) -> str:
    """Why the kernel cannot be used on a device; empty where each pair passes that has to, and hardly another one."""
    torch = need("torch")
    generator = torch.Generator().manual_seed(dim)
    n, m, width = 200, 300, -(-dim // products.LANES) * products.LANES
    drawn = torch.randint(-products.HIGHEST, products.HIGHEST + 1, (n + m, width), generator=generator)
    drawn[:, dim:] = 0
    drawn[::7] = drawn[::7].abs()
    scales = torch.rand(n + m, generator=generator, dtype=torch.float32) + 0.5
    exact = drawn.double() * scales.double()[:, None]
    squares = (exact * exact).sum(dim=1)
    reach = squares.mean() * torch.rand(n + m, generator=generator, dtype=torch.float64) * 4
    score = 2 * exact[:n] @ exact[n:].t() - squares[:n, None] - squares[None, n:]
    error = (2.0**-20 + products.error(codes, dim)) * (squares[:n, None] + squares[None, n:])
    groups = torch.randint(0, 3, (n + m,), generator=generator)
    kind = torch.int8 if codes == "int8" else torch.bfloat16
    stored, scale, square, limit, group = (
        one.to(device) for one in (drawn.to(kind), scales, squares.float(), -reach.float(), groups)
    )
    for both, grouped, diagonal in ((True, False, False), (False, True, False), (True, True, True)):
        found = passing(
            (stored[:n], stored[n:]), (scale[:n], scale[n:]), (square[:n], square[n:]),
            (limit[:n], limit[n:] if both else None), (group[:n], group[n:]) if grouped else None, diagonal,
        ).cpu()  # fmt: skip
        for shift in (-1, 1):  # what has to pass for certain, and what may pass
            truth = score + shift * error >= -reach[:n, None]
            truth |= (score + shift * error >= -reach[None, n:]) & both
            truth &= (groups[:n, None] != groups[None, n:]) | (not grouped)
            truth = truth.triu(1) if diagonal else truth
            if bool((truth & ~found if shift < 0 else found & ~truth).any()):
                return f"the fused kernel decides pairs of {codes} codes wrongly on {device}"
    return ""


def choose(codes: str, dim: int, device: Any) -> Passing | None:
    """`passing`, where it can be used on a device; None where torch's own operations are used."""
    if _kernel is None or device.type != "cuda" or _capability(device) < OLDEST:
        return None
    try:
        return passing if not probe(codes, dim, device) else None
    except Exception:  # of Triton's compiler, which has classes of its own: torch's operations give the same pairs
        return None
