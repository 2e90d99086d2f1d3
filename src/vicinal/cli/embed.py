"""Turn a data set's text into embeddings, with a model of sentence-transformers.

Beside the array lies a note (OUTPUT.json) of what it was made from; `vicinal score` and the others look at it and
refuse the embeddings of another file or another order. A run that was stopped goes on where it was.

  vicinal embed data.jsonl --field instruction --field output -o emb.npy --model all-MiniLM-L6-v2
"""

import argparse
import json
import time

from vicinal.cli.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vicinal embed`."""
    from vicinal.data.embed import DTYPES

    parser.add_argument("data", metavar="DATA", help="the data set")
    parser.add_argument(
        "--field", metavar="FIELD", action="append", required=True, help="a field of text; several are joined"
    )
    parser.add_argument("-o", "--output", metavar="NPY", required=True, help="the array to write")
    parser.add_argument("--model", metavar="MODEL", required=True, help="a folder with a model, or a model's name")
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="of the array (default float32)")
    parser.add_argument("--normalize", action="store_true", help="scale each row to length 1")
    parser.add_argument("--batch-size", metavar="N", default="64", help="rows at a time (default 64)")
    parser.add_argument("--device", metavar="NAME", help="where the model runs: cpu, cuda, ... (default: the best)")
    parser.add_argument("--overwrite", action="store_true", help="replace an array that exists")
    parser.add_argument("--id-field", metavar="FIELD", default="id", help="the data set's field of ids (default id)")
    parser.add_argument("--json", action="store_true", help="the note as JSON on stdout")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Read, embed, write."""
    from vicinal.data.embed import embed_dataset
    from vicinal.tasks.score import config

    start = time.perf_counter()
    with console.progress() as progress:
        note = embed_dataset(
            config.input_file(arguments.data, "DATA"),
            arguments.field,
            arguments.output,
            arguments.model,
            dtype=arguments.dtype,
            normalize=arguments.normalize,
            batch_size=config.whole_number(arguments.batch_size, "--batch-size"),
            device=arguments.device,
            id_field=arguments.id_field,
            overwrite=arguments.overwrite,
            progress=progress,
        )
    if arguments.json:
        print(json.dumps(note))
    seconds = time.perf_counter() - start
    console.note(f"{note['rows']:,} rows of dim {note['dim']} in {seconds:.1f} s: {arguments.output}")
    return 0
