"""Serve the page of a kept run on this machine, with search by meaning, and keep marks of rows.

The page of `vicinal report`, and beside it the nearest rows of a sentence as it is typed, and marks (keep, drop, a
label) that are added to a file which `vicinal select --marks` takes. The address that is printed holds a token; without
it nothing is answered.

  vicinal score data.jsonl --embeddings emb.npy --run run/ -o scores.jsonl
  vicinal explore run/ --marks marks.jsonl
  vicinal select data.jsonl run/ --marks marks.jsonl --keep 1000 -o chosen.jsonl
"""

import argparse

from vicinal.cli import options
from vicinal.cli.console import Console

FUNCTION = "vicinal.explore"
PRINTED = ()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `vicinal explore`."""
    from vicinal.tasks.explore import HOST, MARKS, PORT
    from vicinal.tasks.page.maps import MAPS

    parser.add_argument("scores", metavar="RUN", help="a folder of vicinal score --run")
    parser.add_argument("--marks", metavar="PATH", default=MARKS, help=f"where marks are added (default {MARKS})")
    parser.add_argument(
        "--model", metavar="NAME", help="the model that embeds sentences (default: the one beside the embeddings)"
    )
    parser.add_argument("--host", metavar="NAME", default=HOST, help=f"the address (default {HOST})")
    parser.add_argument("--port", metavar="N", default=str(PORT), help=f"0 for any that is free (default {PORT})")
    parser.add_argument(
        "--field", dest="fields", metavar="FIELD", action="append", help="a field to show (default: all but embeddings)"
    )
    parser.add_argument("--map", metavar="NAME", default="pca", help=f"{', '.join(MAPS)} (default pca)")
    parser.add_argument("--radius", metavar="R", default="0", help="rows so near are duplicates (default 0)")
    parser.add_argument("--labels", metavar="FIELD", help="labels: show likely label errors, boundary pairs, figures")
    parser.add_argument("--title", help="of the page (default: the data set's name)")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Serve until the user interrupts."""
    from vicinal.tasks.explore import explore

    server = explore(
        arguments.scores,
        marks=arguments.marks,
        model=arguments.model,
        host=arguments.host,
        port=options.number(arguments.port),
        fields=arguments.fields,
        map=arguments.map,
        radius=options.number(arguments.radius),
        labels=arguments.labels,
        title=arguments.title,
    )
    with server:
        print(server.url, flush=True)
        console.note(f"marks are added to {arguments.marks}; Ctrl-C ends it")
        server.wait()
    return 0
