"""The diagnosis: vectors and labels in, figures, warnings and lists out."""

from vicinal.tasks.diagnose.diagnosis import Diagnosis, diagnose
from vicinal.tasks.diagnose.figures import Figure
from vicinal.tasks.diagnose.judges import ids_of_pairs, matched
from vicinal.tasks.diagnose.records import as_json, convergence_table, error_records, pair_records

__all__ = [
    "Diagnosis",
    "Figure",
    "as_json",
    "convergence_table",
    "diagnose",
    "error_records",
    "ids_of_pairs",
    "matched",
    "pair_records",
]
