"""Pure functions of `Neighbors` (and labels): scores, votes, duplicates, diagnostics, selection."""
