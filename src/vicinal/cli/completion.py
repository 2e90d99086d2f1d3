"""Print the code that lets a shell complete commands, options and files.

Add one of these lines to the shell's start file, or run it once for the present shell:

  eval "$(vicinal completion bash)"             in ~/.bashrc
  eval "$(vicinal completion zsh)"              in ~/.zshrc, after compinit
  vicinal completion fish > ~/.config/fish/completions/vicinal.fish

The code holds the options as they are; print it again after an update of vicinal.
"""

import argparse
from typing import Any

from vicinal.cli.console import Console

SHELLS = ("bash", "zsh", "fish")
FOLDERS = ("FOLDER", "RUN", "INDEX", "STORE")
FILES = ("DATA", "SCORES", "FILE", "PATH", "NPY", "HTML", "HDF5", "PICTURE", "FILE[:FIELD]", "FILE:FIELD", "MODEL")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the argument of `vicinal completion`."""
    parser.add_argument("shell", metavar="SHELL", choices=SHELLS, help=", ".join(SHELLS))


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Print the code."""
    import shtab

    from vicinal.cli import parser

    top, _ = parser()
    _describe(top)
    print(shtab.complete(top, shell=arguments.shell))
    return 0


def _describe(parser: argparse.ArgumentParser) -> None:
    """Say which arguments are files and which have names to choose from, in a parser and those below it."""
    import shtab

    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                below.description = (below.description or "").partition("\n")[0]  # what a shell shows beside the name
                _describe(below)
            continue
        kind: Any = shtab.DIRECTORY if action.metavar in FOLDERS else shtab.FILE if action.metavar in FILES else None
        if kind is not None:
            action.complete = kind  # type: ignore[attr-defined]
        elif action.choices is None:
            action.choices = _names(action.dest)


def _names(argument: str) -> list[str] | None:
    """What a value may be where the function checks it, and argparse does not."""
    from vicinal.knn.metrics import BY_NAME as METRICS
    from vicinal.tasks.select import STRATEGIES

    names = {"metric": list(METRICS), "strategy": [one.name for one in STRATEGIES]}
    return names.get(argument)
