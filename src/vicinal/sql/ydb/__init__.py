"""Statements on a YDB cluster: the form that it takes, and a client of its Python SDK."""
