"""The layers that ARCHITECTURE.md draws, held against the code: who may import whom, and no cycles anywhere."""

import ast
import re
from pathlib import Path

import pytest

import vicinal

PACKAGE = Path(vicinal.__file__).parent
LAYERS = (
    ("errors",),
    ("devices", "layout", "locks", "typing"),
    ("progress",),
    ("storage",),
    ("knn",),
    ("indexes", "analysis"),
    ("data",),
    ("distributed",),
    ("tasks", "retrieval", "estimators", "learn", "lm", "sql"),
    ("cli",),
    ("__init__", "__main__"),
)
LAYER = {name: number for number, names in enumerate(LAYERS) for name in names}
LONGEST_FUNCTION, LONGEST_FILE = 60, 400
LAZY = {  # modules that import by a text: names of their own package at first use, commands, an optional library
    "vicinal",
    "vicinal.cli",
    "vicinal.errors",
    "vicinal.estimators",
    "vicinal.knn.kernels.native",
    "vicinal.learn",
    "vicinal.lm",
    "vicinal.sql",
}
VAGUE = {"utils", "util", "common", "helpers", "helper", "core", "manager", "misc", "base"}
MODULES = {
    ".".join(["vicinal", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def entry_of(module: str) -> str:
    """The entry at the top of the package that a module belongs to."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def parts_of(module: str) -> str:
    """The module or subpackage of an entry that a module belongs to.

    >>> parts_of("vicinal.tasks.score.plan")
    'vicinal.tasks.score'
    """
    return ".".join(module.split(".")[:3])


def type_checking_lines(tree: ast.AST) -> set[int]:
    """The lines that only a type checker reads."""
    blocks = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)]
    return {line for block in blocks for line in range(block.lineno, (block.end_lineno or block.lineno) + 1)}


def imports_of(path: Path) -> set[str]:
    """The modules of vicinal that a file imports, at its top or inside a function."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    ignored = type_checking_lines(tree)
    modules = set()
    for node in ast.walk(tree):
        if getattr(node, "lineno", 0) in ignored:
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "vicinal":
            for name in node.names:
                whole = f"{node.module}.{name.name}"
                modules.add(whole if whole in MODULES else str(node.module))
        elif isinstance(node, ast.Import):
            modules |= {name.name for name in node.names if name.name.split(".")[0] == "vicinal"}
    return modules


def cycle_of(graph: dict[str, set[str]]) -> list[str]:
    """A cycle of a graph as the nodes on it, or an empty list.

    >>> cycle_of({"a": {"b"}, "b": {"c"}, "c": {"b"}})
    ['b', 'c', 'b']
    >>> cycle_of({"a": {"b"}, "b": set()})
    []
    """
    done: set[str] = set()

    def visit(node: str, path: list[str]) -> list[str]:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return []
        for other in sorted(graph.get(node, ())):
            if cycle := visit(other, [*path, node]):
                return cycle
        done.add(node)
        return []

    for start in sorted(graph):
        if cycle := visit(start, []):
            return cycle
    return []


GRAPH = {module: imports_of(path) - {module} for module, path in MODULES.items()}


@pytest.mark.parametrize("module", [module for module in MODULES if module != "vicinal"])
def test_a_module_imports_lower_layers_only(module: str) -> None:
    own = entry_of(module)
    for other in GRAPH[module]:
        entry = entry_of(other)
        # `from vicinal import __version__` is the one thing that every module may import from the top.
        allowed = entry in (own, "__init__") or LAYER[entry] < LAYER[own]
        assert allowed, f"{module} (layer {LAYER[own]}) imports {other} (layer {LAYER[entry]})"


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {module: {other for other in others if other != "vicinal"} for module, others in GRAPH.items()}
    assert cycle_of(graph) == []


def test_no_packages_import_each_other_in_a_circle() -> None:
    """Of the modules and subpackages of one entry, such as `vicinal.tasks.predict` and `vicinal.tasks.pictures`."""
    graph: dict[str, set[str]] = {}
    for module, others in GRAPH.items():
        own = parts_of(module)
        graph.setdefault(own, set()).update(part for part in map(parts_of, others) if part.count(".") == 2)
        graph[own].discard(own)
    assert cycle_of(graph) == []


def test_no_import_is_hidden_from_these_tests() -> None:
    """Modules are imported by their full names; only those of LAZY import by a text, from their own entry."""
    relative, by_text = set(), set()
    for module, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level:
                relative.add(module)
            if isinstance(node, ast.Name) and node.id in ("import_module", "__import__"):
                by_text.add(module)
    assert relative == set()
    assert by_text == LAZY


def test_every_entry_has_a_layer_and_every_layer_an_entry() -> None:
    entries = {entry_of(module) for module in MODULES}
    assert entries == set(LAYER)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_has_a_telling_name_and_a_docstring(module: str) -> None:
    assert not VAGUE & set(module.split(".")), module
    assert ast.get_docstring(ast.parse(MODULES[module].read_text(encoding="utf-8"))), f"{module} needs a docstring"


def test_the_drawing_shows_every_entry() -> None:
    drawing = (Path(__file__).parent.parent / "ARCHITECTURE.md").read_text(encoding="utf-8").split("```")[1]
    shown = set(re.findall(r"^  (\w+)(?:\.py|/) ", drawing, flags=re.MULTILINE))
    assert shown == set(LAYER) - {"__main__"}


def lines_of_code(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The lines of a function's body, without its signature and docstring."""
    body = [one for one in function.body if not (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))]
    return (function.end_lineno or 0) - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("module", MODULES)
def test_functions_and_files_are_short(module: str) -> None:
    """A function has at most 60 lines in its body, a file at most 400."""
    text = MODULES[module].read_text(encoding="utf-8")
    functions = [one for one in ast.walk(ast.parse(text)) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = {one.name: lines_of_code(one) for one in functions if lines_of_code(one) > LONGEST_FUNCTION}
    assert long == {}
    assert len(text.splitlines()) <= LONGEST_FILE
