"""The exact pass on a GPU: its result beside the native kernel's, then its speed beside other ways; under 8 minutes.

python -m benchmarks.gpu                                  the first GPU of CUDA
python -m benchmarks.gpu --device cpu --rows 2000 --check-rows 500 --dims 32       that the script works, without a GPU

    check     20,000 rows, euclidean, cosine and inner product, int8 and bf16 codes: every index and distance equals the
              native kernel's, or the script ends here with exit code 1
    ours      each size: the first call (copies found, rows sent and coded), and the next, with codes made
    torch     float32 products and topk on the same device, for some of the rows; its time for all is in proportion
    others    faiss-gpu and cuVS, where they can be imported, for the same rows

A size is left out, and named, where the time that is left would not be enough. One JSON object is written at the end.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.peers import native

import vicinal
from vicinal.knn.kernels.torch import Torch
from vicinal.knn.metrics import find

ROWS, DIMS, K = (100_000, 1_000_000, 4_000_000), (384, 768), 10
CHECK_ROWS, ASKED = 20_000, 8_192
RESULTS = Path(__file__).parent / "results" / "gpu.json"
# Dense int8 and bf16 operations a second, from NVIDIA's data sheets.
PEAKS = {
    "H200": (1979e12, 989e12),
    "H100 PCIe": (1513e12, 756e12),
    "H100": (1979e12, 989e12),
    "A100": (624e12, 312e12),
    "L40S": (733e12, 362e12),
    "L4": (242e12, 121e12),
}


def data(n: int, dim: int, device: Any) -> np.ndarray:
    """Rows like embeddings: 24 directions of falling variance, and noise in all; float32, of many lengths."""
    import torch

    generator = torch.Generator(device).manual_seed(dim)
    weights = torch.linspace(1, 0.2, 24, device=device)[:, None]
    directions = torch.randn(24, dim, generator=generator, device=device) * weights
    rows = np.empty((n, dim), dtype=np.float32)
    for start in range(0, n, 1 << 17):
        part = rows[start : start + (1 << 17)]
        inner = torch.randn(len(part), 24, generator=generator, device=device) @ directions
        noise = 0.1 * torch.randn(len(part), dim, generator=generator, device=device)
        part[:] = (inner + noise).cpu().numpy()
    return rows


def synchronised(call: Callable[[], Any], device: Any) -> tuple[float, Any]:
    """The seconds of a call, with what it left to do on the device, and its result."""
    import torch

    start = time.perf_counter()
    found = call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start, found


def check(n: int, dim: int, k: int, device: Any) -> list[dict[str, Any]]:
    """Whether each metric and kind of codes gives the native kernel's result to the bit."""
    rows, made = data(n, dim, device), []
    for metric in ("euclidean", "cosine", "inner_product"):
        truth = native(rows, metric, vicinal.info()["cores"]).self_join(k)
        for codes in ("int8", "bf16"):
            found = Torch(rows, find(metric), 1, str(device), codes).self_join(k)
            equal = np.array_equal(found[0], truth[0]) and np.array_equal(found[1].astype(np.float32), truth[1])
            made.append({"metric": metric, "codes": codes, "n": n, "dim": dim, "equal": bool(equal)})
            print(json.dumps(made[-1]), flush=True)
    return made


def ours(rows: np.ndarray, k: int, device: Any) -> dict[str, Any]:
    """The first call, the next one, and what the device did."""
    import torch

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    kernel = Torch(rows, find("euclidean"), vicinal.info()["cores"], str(device))
    first, _ = synchronised(lambda: kernel.self_join(k), device)
    again, _ = synchronised(lambda: kernel.self_join(k), device)
    n, dim = rows.shape
    operations = n * (n - 1) * dim  # a product and a sum for each coordinate of each pair, once
    row = {"seconds_first": first, "seconds": again, "products_per_second": operations / 2 / again, **kernel.stats()}
    if device.type == "cuda":
        row["peak_bytes"] = torch.cuda.max_memory_allocated(device)
        name = torch.cuda.get_device_name(device)
        peak = next((value for part, value in PEAKS.items() if part in name), None)
        if peak is not None:
            row["share_of_int8_peak"], row["share_of_bf16_peak"] = (operations / again / one for one in peak)
    return row


def torch_float32(rows: np.ndarray, k: int, device: Any) -> dict[str, Any]:
    """Expanded squares by float32 products without TF32, and topk, for some of the rows."""
    import torch

    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False  # the process of the benchmark is its own
    stored = torch.from_numpy(rows).to(device)
    squares = (stored * stored).sum(dim=1)
    asked, step = min(ASKED, len(rows)), max(1, min(2048, (1 << 31) // (4 * len(rows))))

    def run() -> None:
        for start in range(0, asked, step):
            part = stored[start : min(asked, start + step)]
            score = torch.addmm(squares[None, :], part, stored.t(), alpha=-2)
            score.topk(k + 1, dim=1, largest=False)

    run()
    seconds, _ = synchronised(run, device)
    torch.backends.cuda.matmul.allow_tf32 = before
    return {"asked": asked, "seconds_asked": seconds, "seconds_for_all": seconds * len(rows) / asked}


def faiss_gpu(rows: np.ndarray, k: int) -> dict[str, Any]:
    """FAISS's brute force on the GPU, where this build has it."""
    try:
        import faiss

        resources = faiss.StandardGpuResources()
    except (ImportError, AttributeError) as missing:
        return {"missing": str(missing)}
    index = faiss.GpuIndexFlatL2(resources, rows.shape[1])
    index.add(rows)
    asked = rows[:ASKED]
    index.search(asked, k + 1)
    start = time.perf_counter()
    index.search(asked, k + 1)
    seconds = time.perf_counter() - start
    return {"version": faiss.__version__, "asked": len(asked), "seconds_for_all": seconds * len(rows) / len(asked)}


def cuvs(rows: np.ndarray, k: int) -> dict[str, Any]:
    """The brute force of cuVS, where it is installed."""
    try:
        import cuvs as library  # type: ignore[import-not-found]
        from cuvs.neighbors import brute_force  # type: ignore[import-not-found]
    except ImportError as missing:
        return {"missing": str(missing)}
    import torch

    stored = torch.from_numpy(rows).cuda()
    index, asked = brute_force.build(stored), stored[:ASKED]

    def run() -> None:
        brute_force.search(index, asked, k + 1)
        torch.cuda.synchronize()

    run()
    start = time.perf_counter()
    run()
    seconds = time.perf_counter() - start
    return {"version": library.__version__, "asked": len(asked), "seconds_for_all": seconds * len(rows) / len(asked)}


def tried(call: Callable[..., dict[str, Any]], *given: Any) -> dict[str, Any]:
    """What a way gives, or how it fails: its failure must not cost the figures of the others."""
    try:
        return call(*given)
    except Exception as error:
        return {"failed": f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"}


def card(device: Any) -> dict[str, Any]:
    """The device, its driver, and the versions."""
    import torch

    about = {"device": str(device), "torch": torch.__version__, "vicinal": vicinal.__version__}
    about |= {"python": platform.python_version(), "numpy": np.__version__, "processor": platform.processor()}
    if device.type == "cuda":
        about |= {"card": torch.cuda.get_device_name(device), "cuda": torch.version.cuda}
        asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        try:
            about["driver"] = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()[0]
        except (OSError, subprocess.CalledProcessError, IndexError):
            about["driver"] = "unknown"
    return about


def sizes(arguments: argparse.Namespace, device: Any, began: float) -> list[dict[str, Any]]:
    """Each size that the time allows, the smallest first."""
    made: list[dict[str, Any]] = []
    slowest = 0.0  # seconds of one product, of the slowest size so far
    for n, dim in sorted(((n, dim) for n in arguments.rows for dim in arguments.dims), key=lambda one: one[0] * one[1]):
        left = arguments.minutes * 60 - (time.perf_counter() - began)
        guessed = 2.2 * slowest * n * n * dim / 2 + n * dim * 2e-8  # both calls, and the rows made and sent
        if guessed > left:
            made.append({"n": n, "dim": dim, "left_out": f"it would take {guessed:.0f} s, and {left:.0f} s are left"})
            print(json.dumps(made[-1]), flush=True)
            continue
        rows = data(n, dim, device)
        row = {"n": n, "dim": dim, "k": arguments.k, "vicinal": tried(ours, rows, arguments.k, device)}
        slowest = max(slowest, row["vicinal"].get("seconds_first", 0) / (n * n * dim / 2))
        row["torch_float32"] = tried(torch_float32, rows, arguments.k, device)
        if device.type == "cuda":
            row |= {"faiss_gpu": tried(faiss_gpu, rows, arguments.k), "cuvs": tried(cuvs, rows, arguments.k)}
        made.append(row)
        print(json.dumps(row), flush=True)
    return made


def main() -> int:
    """Check, measure, write."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS)
    parser.add_argument("--dims", type=int, nargs="+", default=DIMS)
    parser.add_argument("--check-rows", type=int, default=CHECK_ROWS)
    parser.add_argument("-k", type=int, default=K)
    parser.add_argument("--minutes", type=float, default=7.5)
    parser.add_argument("-o", "--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    warnings.filterwarnings("error", "the device gave up")  # the processor's result must not pass for a device's
    began, device = time.perf_counter(), torch.device(arguments.device)
    result: dict[str, Any] = card(device)
    print(json.dumps(result), flush=True)
    result["check"] = check(arguments.check_rows, min(arguments.dims), arguments.k, device)
    wrong = [one for one in result["check"] if not one["equal"]]
    if not wrong:
        result["sizes"] = sizes(arguments, device, began)
    result["seconds"] = time.perf_counter() - began
    arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
