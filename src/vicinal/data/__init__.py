"""Data sets in, scores out: tables, embeddings, labels, and the note that says what an array was made from."""
