"""Reading and writing of data: tables, embeddings, labels, and the note that says what an array was made from."""
