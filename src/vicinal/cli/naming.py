"""How messages name an argument, the value that it takes, and an option with its value."""

import argparse
import shlex


def named(action: argparse.Action) -> str:
    """All names of an option; a positional argument as the help shows it."""
    return "/".join(action.option_strings) or wanted(action)


def wanted(action: argparse.Action) -> str:
    """The value of an argument as the help shows it; several with blanks between.

    >>> wanted(argparse.ArgumentParser().add_argument("--tls", nargs=2, metavar=("CERT", "KEY")))
    'CERT KEY'
    """
    shown = action.metavar or action.dest.upper()
    if isinstance(shown, str):
        return " ".join([shown] * (action.nargs if isinstance(action.nargs, int) else 1))
    return " ".join(shown)


def expected(action: argparse.Action) -> str:
    """What an argument takes.

    >>> expected(argparse.ArgumentParser().add_argument("--link", choices=("greedy", "single")))
    'one of greedy, single'
    """
    if action.choices is not None:
        return f"one of {', '.join(map(str, action.choices))}"
    if isinstance(action.nargs, int):
        return f"{action.nargs} values ({wanted(action)})"
    return f"{'one or several values' if action.nargs == '+' else 'a value'} ({wanted(action)})"


def written(action: argparse.Action, name: str = "") -> str:
    """An option with a value; `name` is the one of its names that was typed.

    >>> written(argparse.ArgumentParser().add_argument("-o", "--output", metavar="PATH"))
    '-o PATH'
    """
    value = wanted(action) if action.choices is None else shlex.quote(str(next(iter(action.choices))))
    return f"{name or action.option_strings[0]} {value}"
