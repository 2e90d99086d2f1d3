"""Print which kernel computes which metric on this machine, and why.

vicinal info
"""

import argparse
import json

from vicinal.cli import screen
from vicinal.cli.console import Console

FUNCTION = "vicinal.info"
PRINTED = ("json",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vicinal info`."""
    parser.add_argument("--json", action="store_true", help="the same as JSON")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Print which kernel computes which metric."""
    from vicinal.tasks.info import info

    about = info()
    if arguments.json:
        print(json.dumps({name: value for name, value in about.items() if name != "missing"}))
        return 0
    lines: list[str] = []
    lines.append("  ".join(f"{name} {about[name]}" for name in ("vicinal", "python", "cores")))
    if about["isas"]:
        forced = about["forced_isa"]
        choice = f"{forced}, forced by VICINAL_ISA" if forced else f"{about['isas'][0]}, the best here"
        lines.append(f"native kernel: {choice} (usable: {', '.join(about['isas'])})")
    else:
        lines.append(f"native kernel: none: {about['missing']}; install a C++ compiler, then vicinal again")
    if about["torch"] is None:
        lines.append("torch kernel: torch is not installed; pip install 'vicinal[torch]' for --device")
    else:
        lines.append(f"torch kernel: torch {about['torch']}, with --device {', '.join(about['devices'])} or auto")
    for metric, kernels in about["kernels"].items():
        used = next((name for name, answer in kernels.items() if answer == "yes"), "none")
        others = "; ".join(f"{name}: {answer}" for name, answer in kernels.items() if answer != "yes")
        lines.append(f"{metric:<12} {used}" + (f"  ({others})" if others else ""))
    screen.show_text("\n".join(lines))
    return 0
