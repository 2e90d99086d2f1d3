"""Write a commented configuration for one of your data sets, which runs as it is.

  vicinal init score data.jsonl --embeddings emb.npy
  vicinal init duplicates data.jsonl --embeddings emb.npy -o duplicates.yaml
  vicinal init select data.jsonl --embeddings emb.npy
  vicinal init report run/

Each key has a comment that says what it does; those that are commented out show what else there is. The file is read by
--config of the command, and options that are typed replace its values.
"""

import argparse
import json
from pathlib import Path

from vicinal.cli.console import Console

TEMPLATES = ("score", "select", "duplicates", "report")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `vicinal init`."""
    parser.add_argument("job", metavar="JOB", choices=TEMPLATES, help=", ".join(TEMPLATES))
    parser.add_argument("data", metavar="DATA", help="the data set; of report a folder of vicinal score --run")
    parser.add_argument("--embeddings", metavar="PATH", help="its embeddings, one row a sample (not for report)")
    parser.add_argument("-o", "--output", metavar="FILE", help="the file to write (default: JOB.yaml)")
    parser.add_argument("--overwrite", action="store_true", help="replace a file that exists")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Fill in the template and write it."""
    from vicinal.errors import UsageError
    from vicinal.storage import atomic

    job, output = arguments.job, arguments.output or f"{arguments.job}.yaml"
    if Path(output).suffix not in (".yaml", ".yml"):
        raise UsageError(f"{output}: expected a name that ends in .yaml; name another with -o")
    if job == "report" and arguments.embeddings is not None:
        raise UsageError("embeddings: the run of a report has its own; leave them out")
    if job != "report" and arguments.embeddings is None:
        raise UsageError("embeddings: missing; name the embeddings of the data set with --embeddings")
    for path in filter(None, (arguments.data, arguments.embeddings)):
        _refuse_missing(path)
    atomic.check_file(output, arguments.overwrite)
    template = (Path(__file__).parent / "templates" / f"{job}.yaml").read_text(encoding="utf-8")
    filled = template
    for name in ("data", "embeddings"):
        filled = filled.replace(f"@{name}@", json.dumps(getattr(arguments, name), ensure_ascii=False))
    with atomic.whole_file(output, arguments.overwrite) as file:
        file.write(filled.replace("@file@", output).encode())
    console.note(f"{output}: run it with vicinal {job} --config {output}")
    return 0


def _refuse_missing(path: str) -> None:
    from vicinal.data.sources import split
    from vicinal.errors import UsageError

    file, _ = split(path)
    if not path.startswith(":") and not file.exists():
        raise UsageError(f"{path}: there is nothing at {file.absolute()}; name a file that is there")
