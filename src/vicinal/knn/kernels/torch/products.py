"""Products of codes on a device: which operation multiplies them, and how wrong its sums can be.

    int_mm    int8 codes, int32 sums: exact
    float32   int8 codes as float32: whole numbers of at most 2^24, so every sum is exact in any order; coordinates
              beyond EXACT_DIM are multiplied in parts, whose sums are added as int32
    bf16      bfloat16 codes, float32 sums: the error is at most dim 2^-22 |a| |b|, see `error`

Every operand has at most eight significant bits, and TF32 keeps eleven: a device that shortens the operands of a
float32 product loses nothing of them, so that no setting of the caller matters, and none of these is touched. What the
sums lose is proven (int8) or bounded (bf16), and `probe` holds a device against both before it is used: `torch._int_mm`
on processors without VNNI, for one, saturates its sums.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from vicinal.errors import need
from vicinal.locks import Mutex

if TYPE_CHECKING:
    from torch import Tensor

HIGHEST = 127
EXACT_DIM = (1 << 24) // HIGHEST**2  # so many products of two codes add up to at most 2^24
LANES = 16  # codes are padded to a multiple of it with zeros, as the int8 units of CUDA ask for
ROWS = 32  # and so are the rows of a block

Multiply = Callable[["Tensor", "Tensor"], "Tensor"]


def int_mm(rows: Tensor, columns: Tensor) -> Tensor:
    """All products of int8 rows and columns, int32."""
    return need("torch")._int_mm(rows, columns.t())


def float32(rows: Tensor, columns: Tensor) -> Tensor:
    """All products of int8 rows and columns, as float32 where they fit, else as int32."""
    torch = need("torch")
    dim = rows.shape[1]
    if dim <= EXACT_DIM:
        return torch.mm(rows.float(), columns.float().t())
    whole = torch.zeros((len(rows), len(columns)), dtype=torch.int32, device=rows.device)
    for start in range(0, dim, EXACT_DIM):
        part = slice(start, start + EXACT_DIM)
        whole += torch.mm(rows[:, part].float(), columns[:, part].float().t()).to(torch.int32)
    return whole


def bf16(rows: Tensor, columns: Tensor) -> Tensor:
    """All products of bfloat16 rows and columns, with float32 sums."""
    torch = need("torch")
    if rows.device.type == "cuda":
        return torch.mm(rows, columns.t(), out_dtype=torch.float32)
    return torch.mm(rows.float(), columns.float().t())


def error(codes: str, dim: int) -> float:
    """How far a product of codes a and b can be from the true one, as a share of |a| |b|.

    Products of bfloat16 are exact in float32. Each of at most dim additions loses at most two units of 2^-23 of the
    largest partial sum, whether it rounds or, as tensor cores do (Fasi, Higham, Mikaitis, Pranesh 2021), truncates; no
    partial sum of absolute products exceeds |a| |b|.
    """
    return 0.0 if codes == "int8" else dim * 2.0**-22


def probe(multiply: Multiply, codes: str, dim: int, device: Any) -> str:
    """Why an operation cannot be used on a device; empty where its products are what they have to be.

    The codes are the hardest ones: all of the largest value, of one sign and of two, and random ones.
    """
    torch = need("torch")
    generator = torch.Generator().manual_seed(dim)
    width = -(-dim // LANES) * LANES
    hardest = torch.full((ROWS, width), HIGHEST, dtype=torch.int64)
    signs = hardest.clone()
    signs[:, ::2] *= -1
    drawn = torch.randint(-HIGHEST, HIGHEST + 1, (2 * ROWS, width), generator=generator)
    drawn[:, dim:] = hardest[:, dim:] = signs[:, dim:] = 0
    every = torch.cat([hardest, signs, drawn])
    truth = (every.double() @ every.double().t()).numpy()
    lengths = every.double().norm(dim=1).numpy()
    stored = every.to(torch.int8 if codes == "int8" else torch.bfloat16).to(device)
    found = multiply(stored, stored).to("cpu").double().numpy()
    wrong = abs(found - truth)
    if (wrong > error(codes, dim) * lengths[:, None] * lengths[None, :]).any():
        return f"products of {codes} codes are wrong by up to {wrong.max():g} on {device}"
    return ""


def choose(codes: str, dim: int, device: Any) -> Multiply:
    """The fastest operation whose products of such codes are right on a device.

    Raises
    ------
    RuntimeError
        Where none is.
    """
    ways: tuple[Multiply, ...] = (bf16,)
    if codes == "int8":
        # On a processor float32 is right on every instruction set, which int_mm is not.
        ways = (int_mm, float32) if device.type == "cuda" else (float32,)
    reasons = []
    for multiply in ways:
        try:
            reason = probe(multiply, codes, dim, device)
        except (RuntimeError, TypeError) as failure:  # an operation that the device or this release lacks
            reason = str(failure).partition("\n")[0]
        if not reason:
            return multiply
        reasons.append(reason)
    raise RuntimeError("; ".join(reasons))


_turn = Mutex()
_inside: list[Any] = []  # what the caller's setting was, once for each call that is inside


@contextmanager
def full_sums() -> Iterator[None]:
    """Within it no sum of bfloat16 products is shortened; the setting is the caller's again when the last one leaves.

    Other settings of products are left alone: they shorten operands, and codes are short.
    """
    matmul = need("torch").backends.cuda.matmul
    with _turn:
        _inside.append(_inside[0] if _inside else matmul.allow_bf16_reduced_precision_reduction)
        matmul.allow_bf16_reduced_precision_reduction = False
    try:
        yield
    finally:
        with _turn:
            before = _inside.pop()
            if not _inside:
                matmul.allow_bf16_reduced_precision_reduction = before
