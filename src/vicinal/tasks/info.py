"""Which kernel computes which metric on this machine, and why the others do not."""

import os
import platform
from typing import Any

import numpy as np

from vicinal import __version__, devices
from vicinal.knn.arguments import cores
from vicinal.knn.kernels import KERNELS
from vicinal.knn.kernels.native import MISSING, isas
from vicinal.knn.metrics import METRICS


def info() -> dict[str, Any]:
    """Return the versions, processor cores, instruction sets and kernels of this installation.

    Returns
    -------
    dict
        vicinal, python : versions. cores : how many this process may use. isas : the instruction sets that the native
        kernel can use, best first; empty where it is not built, and `missing` says why. forced_isa : the value of
        VICINAL_ISA. kernels : for each metric, kernel -> "yes" or why not; the first "yes" is used, and "torch" where
        a device is asked for. torch : its version, None where it is not installed. devices : what `device` can name.

    Examples
    --------
    >>> "euclidean" in info()["kernels"]
    True
    """
    return {
        "vicinal": __version__,
        "python": platform.python_version(),
        "cores": cores(),
        "isas": isas(),
        "missing": None if isas() else MISSING,
        "forced_isa": os.environ.get("VICINAL_ISA"),
        "torch": devices.torch_version(),
        "devices": devices.here(),
        "kernels": {
            metric.name: {kernel.name: kernel.covers(metric, np.dtype("float32")) or "yes" for kernel in KERNELS}
            for metric in METRICS
        },
    }
