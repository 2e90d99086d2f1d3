"""The main job on 5,000 WordNet noun glosses: which are unique, which are redundant, and where the scores lie.

make demo                                       prints it
python examples/wordnet/demo.py --svg out.svg   also saves what was printed as a picture
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from vicinal import Neighbors

HERE = Path(__file__).parent
K, METRIC = 5, "cosine"


def vicinal(*arguments: object) -> None:
    """Runs the command as a user would."""
    subprocess.run([sys.executable, "-m", "vicinal", *map(str, arguments)], check=True)


def jsonl(path: Path) -> list[dict]:
    """The rows of a JSON lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def table(title: str, rows: np.ndarray, texts: list[str], scores: np.ndarray, neighbors: Neighbors) -> Table:
    """The given rows, each with its score and its nearest neighbour; where it is too wide, the texts give way."""
    shown = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, expand=True)
    for column, style, share in (
        ("score", "cyan", None),
        ("gloss", "", 1),
        ("nearest neighbour", "dim", 1),
        ("distance", "cyan", None),
    ):
        least = len(column) if share is None else None
        shown.add_column(column, style=style, no_wrap=True, overflow="ellipsis", ratio=share, min_width=least)
    for row in rows:
        nearest = texts[neighbors.indices[row, 0]]
        shown.add_row(f"{scores[row]:.3f}", texts[row], nearest, f"{neighbors.distances[row, 0]:.3f}")
    return shown


def histogram(console: Console, scores: np.ndarray) -> None:
    """Where the scores lie, as bars."""
    counts, edges = np.histogram(scores, bins=12)
    room = min(60, console.width - 24)
    console.print(f"[bold]Where the scores lie[/] (mean {METRIC} distance to the {K} nearest)")
    for count, low, high in zip(counts, edges[:-1], edges[1:], strict=True):
        bar = "\N{FULL BLOCK}" * round(room * count / counts.max())
        console.print(f" {low:.2f} to {high:.2f}  [cyan]{bar}[/] {count:,}")
    few, middle, many = np.quantile(scores, (0.05, 0.5, 0.95))
    console.print(f" median {middle:.3f}; one in twenty is below {few:.3f}, one in twenty above {many:.3f}\n")


def main() -> None:
    """Score with the command, then show what came out."""
    parser = argparse.ArgumentParser(description="The main job on 5,000 WordNet glosses.")
    parser.add_argument("--svg", type=Path, help="save what is printed as a picture")
    arguments = parser.parse_args()
    data, embeddings = HERE / "glosses.jsonl", HERE / "embeddings.npy"
    with tempfile.TemporaryDirectory() as folder:
        graph, output = Path(folder) / "graph", Path(folder) / "scores.jsonl"
        vicinal("neighbors", embeddings, "-k", K, "--metric", METRIC, "-o", graph)
        vicinal("score", data, "--neighbors", graph, "-k", K, "-o", output, "-q")
        neighbors, scores = Neighbors.load(graph), np.array([row["score"] for row in jsonl(output)])
    texts = [row["text"] for row in jsonl(data)]
    order = np.argsort(scores, kind="stable")
    fixed = 80 if arguments.svg is not None or not sys.stdout.isatty() else None
    console = Console(record=arguments.svg is not None, width=fixed, highlight=False)
    console.print()
    console.print(table("The ten most unique glosses", order[::-1][:10], texts, scores, neighbors), "")
    console.print(table("The ten most redundant glosses", order[:10], texts, scores, neighbors), "")
    histogram(console, scores)
    if arguments.svg is not None:
        svg = console.export_svg(title="make demo", code_format=SVG)
        arguments.svg.write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n", encoding="utf-8")


# rich's own template names a font on the web; a picture in a repository asks nobody for anything.
SVG = """<svg class="{unique_id}" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>.{unique_id}-matrix {{ font-family: monospace; font-size: {char_height}px; line-height: {line_height}px; }}
{styles}</style>
<defs><clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" /></clipPath>{lines}</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}<g class="{unique_id}-matrix">{matrix}</g></g></svg>
"""

if __name__ == "__main__":
    main()
