"""One file for each library or structure: its engine, and the public index classes that use it."""
