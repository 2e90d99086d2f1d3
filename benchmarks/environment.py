"""What a figure depends on besides the code: the environment, which is cleared, the processor, the peers' libraries."""

import os
import platform
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

# They choose other kernels in OpenBLAS and faiss than a user has by default, and nothing shows it.
CLEARED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "FAISS_SIMD_LEVEL")
TOLD = "BENCHMARK_CLEARED"
FLAGS = ("avx2", "fma", "avx_vnni", "avx512f", "avx512_vnni", "amx_int8", "asimd", "asimddp", "i8mm")


def clear() -> str:
    """Start this process again without the variables that choose kernels, before a library reads them.

    Returns    what was cleared, as NAME=value words, empty where nothing was set.
    """
    found = {name: os.environ[name] for name in CLEARED if name in os.environ}
    if found:
        words = " ".join(f"{name}={value}" for name, value in found.items())
        left = {name: value for name, value in os.environ.items() if name not in found}
        print(f"cleared for this run: {words}", flush=True)
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], left | {TOLD: words})
    return os.environ.get(TOLD, "")


def told(path: Path = Path("/proc/cpuinfo")) -> dict[str, str]:
    """The system's words about the processor."""
    lines = path.read_text().splitlines() if path.exists() else []
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in reversed(lines))}


def processor() -> dict[str, Any]:
    """Its name, numbers and the extensions that matter."""
    words = told()
    flags = (words.get("flags") or words.get("Features", "")).split()
    numbers = ("cpu family", "model", "stepping") if "cpu family" in words else ("CPU implementer", "CPU part")
    return {
        "cpu": words.get("model name") or platform.processor() or platform.machine(),
        "family_model_stepping": [words.get(key, "") for key in numbers],
        "flags": [flag for flag in FLAGS if flag in flags],
    }


def key(machine: dict[str, Any], isa: str = "") -> str:
    """The folder of a processor's results; those of a forced instruction set have one of their own."""
    words = f"{machine['cpu'].replace('(R)', '').replace('(TM)', '')} {' '.join(machine['family_model_stepping'])}"
    name = "-".join("".join(c if c.isalnum() else " " for c in words.lower()).split())
    return f"{name}-forced-{isa}" if isa else name


def libraries() -> list[dict[str, Any]]:
    """The BLAS and OpenMP libraries that the peers have loaded, each with the kernel that it chose."""
    for module in ("faiss", "sklearn", "scipy.linalg", "usearch", "numkong"):
        try:
            import_module(module)
        except ImportError:
            continue
    from threadpoolctl import threadpool_info

    shown = []
    for one in threadpool_info():
        path = Path(one["filepath"])
        shown.append(
            {
                "of": path.parent.name.removesuffix(".libs"),
                "library": one["internal_api"],
                "version": one["version"],
                "kernel": one.get("architecture"),
                "threads": one["num_threads"],
            }
        )
    return sorted(shown, key=lambda one: (one["of"], one["library"]))


def simd_level() -> str:
    """The instruction set of faiss's own loops."""
    try:
        import faiss
    except ImportError:
        return "absent"
    config = getattr(faiss, "SIMDConfig", None)
    return str(config.get_level_name()) if config else faiss.get_compile_options().strip()


def said(machine: dict[str, Any]) -> str:
    """The libraries of a machine's record in words."""
    if "libraries" not in machine:
        return "which BLAS and which kernel ran was not recorded"
    blas = [one for one in machine["libraries"] if one.get("kernel")]
    words = [f"{one['of']}: {one['library']} {one['version']}, kernel {one['kernel']}" for one in blas]
    return "; ".join([*words, f"faiss's own loops: {machine['faiss_simd_level']}"])
