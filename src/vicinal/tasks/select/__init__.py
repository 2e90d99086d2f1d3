"""Data sets cut down: the chosen lines and a decision for every row."""

from vicinal.tasks.select.rows import Selected, count_of, select_rows
from vicinal.tasks.select.score_file import read_scores
from vicinal.tasks.select.strategies import BY_NAME, STRATEGIES, Strategy

__all__ = [
    "BY_NAME",
    "STRATEGIES",
    "Selected",
    "Strategy",
    "count_of",
    "read_scores",
    "select_rows",
]
