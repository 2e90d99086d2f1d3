"""The public face: names, types, results, and that every command has its function and every option its argument."""

import argparse
import ast
import inspect
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import vicinal
from public import PUBLIC
from vicinal import cli

PACKAGES = (
    "analysis",
    "data",
    "distributed",
    "errors",
    "estimators",
    "indexes",
    "learn",
    "lm",
    "retrieval",
    "sql",
    "tasks",
)
# Options of the command line itself, and keys of the YAML forms that are accepted and unused.
COMMON = {"help", "verbose", "quiet", "run"}


def public(name: str) -> Any:
    """The object of a dotted public name, such as vicinal.learn.train."""
    found: Any = vicinal
    for part in name.split(".")[1:]:
        found = getattr(found, part)
    return found


@pytest.mark.parametrize("name", vicinal.__all__)
def test_a_public_name_is_there_with_a_docstring(name: str) -> None:
    found = getattr(vicinal, name)
    assert inspect.getdoc(found) or not callable(found)
    assert name in dir(vicinal)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_is_an_attribute_once_vicinal_is_imported(package: str) -> None:
    code = f"import vicinal; print(vicinal.{package}.__name__)"
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert shown.strip() == f"vicinal.{package}"


def test_importing_vicinal_imports_nothing_heavy() -> None:
    code = "import sys, vicinal; print(sorted({m.split('.')[0] for m in sys.modules} & {'numpy', 'sklearn', 'torch'}))"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "[]\n"


def commands() -> list[tuple[str, str, argparse.ArgumentParser, tuple[str, ...]]]:
    """Each command, or action of one: its name, its function's name, its parser, and the options that only print."""
    found = []
    for name in cli.COMMANDS:
        module = import_module(f"vicinal.cli.{name.replace('-', '_')}")
        parser = argparse.ArgumentParser()
        module.add_arguments(parser)
        if hasattr(module, "FUNCTIONS"):
            (actions,) = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
            assert set(actions.choices) == set(module.FUNCTIONS), name
            found += [
                (f"{name} {action}", module.FUNCTIONS[action], actions.choices[action], module.PRINTED)
                for action in actions.choices
            ]
        elif hasattr(module, "FUNCTION"):
            # A command that has a second function, such as select --compare, has the options of both.
            also = getattr(module, "ALSO", None)
            found.append((name, " ".join(filter(None, (module.FUNCTION, also))), parser, module.PRINTED))
    return found


def test_every_option_of_sql_is_an_argument_of_a_function() -> None:
    from vicinal.cli import sql

    parser = argparse.ArgumentParser()
    sql.add_arguments(parser)
    options = {action.dest for action in parser._actions} - COMMON - set(sql.PRINTED)
    assert options == set(sql.ARGUMENTS)
    for function, parameter in sql.ARGUMENTS.values():
        assert parameter in inspect.signature(public(function)).parameters, (function, parameter)


def test_every_command_names_its_function() -> None:
    named = {name.split()[0] for name, _, _, _ in commands()}
    assert named == set(cli.COMMANDS) - {"sql", "init", "completion"}  # the last two are of the command line alone


@pytest.mark.parametrize(("command", "function", "parser", "printed"), commands(), ids=lambda one: str(one)[:30])
def test_a_command_has_a_function_with_an_argument_for_each_option(
    command: str, function: str, parser: argparse.ArgumentParser, printed: tuple[str, ...]
) -> None:
    parameters = {name for one in function.split() for name in inspect.signature(public(one)).parameters}
    options = {action.dest for action in parser._actions} - COMMON - set(printed)
    assert options <= parameters, f"{command}: {sorted(options - parameters)} are no arguments of {function}"
    assert set(printed) <= {action.dest for action in parser._actions} | {"json"}


def test_docs_name_every_public_name() -> None:
    pages = Path(__file__).parent.parent / "docs" / "api"
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages.glob("*.md"))
    entries = " ".join(re.findall(r"^\.\. reference::\n\n(.*?)^```", text, re.DOTALL | re.MULTILINE)).split()
    assert [name for name in PUBLIC if entries.count(name) != 1] == [], "each has one entry under docs/api"


@pytest.mark.parametrize("package", [vicinal, vicinal.estimators, vicinal.learn, vicinal.lm, vicinal.sql])
def test_a_type_checker_does_not_take_any_name_of_a_package(package: ModuleType) -> None:
    tree = ast.parse(Path(str(package.__file__)).read_text(encoding="utf-8"))
    assert [node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "__getattr__"] == []
