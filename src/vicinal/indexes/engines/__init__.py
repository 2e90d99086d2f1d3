"""One file a library or structure: the engine, and the public classes of index that it stands behind."""
