"""Say which kernel serves which metric on this machine, and why.

vicinal info
"""

import argparse
import json
import os
import platform

from vicinal.cli.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vicinal info`."""
    parser.add_argument("--json", action="store_true", help="the same as JSON")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Ask every kernel of every metric."""
    import numpy as np

    from vicinal import __version__
    from vicinal.knn.arguments import cores
    from vicinal.knn.kernels import KERNELS
    from vicinal.knn.kernels.native import MISSING, isas
    from vicinal.knn.metrics import METRICS

    answers = {
        metric.name: {kernel.name: kernel.covers(metric, np.dtype("float32")) or "yes" for kernel in KERNELS}
        for metric in METRICS
    }
    about = {"vicinal": __version__, "python": platform.python_version(), "cores": cores()}
    forced = os.environ.get("VICINAL_ISA")
    if arguments.json:
        print(json.dumps({**about, "isas": isas(), "forced_isa": forced, "kernels": answers}))
        return 0
    print("  ".join(f"{name} {value}" for name, value in about.items()))
    if isas():
        choice = f"{forced}, forced by VICINAL_ISA" if forced else f"{isas()[0]}, the best here"
        print(f"native kernel: {choice} (usable: {', '.join(isas())})")
    else:
        print(f"native kernel: none: {MISSING}; with a C++ compiler at hand, install vicinal again")
    for metric, kernels in answers.items():
        serves = next((name for name, answer in kernels.items() if answer == "yes"), "none")
        others = "; ".join(f"{name}: {answer}" for name, answer in kernels.items() if answer != "yes")
        print(f"{metric:<12} {serves}" + (f"  ({others})" if others else ""))
    return 0
