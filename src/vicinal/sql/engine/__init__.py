"""Compiled statements on DuckDB: the connection, tables and indexes, and joins with a table of targets."""
