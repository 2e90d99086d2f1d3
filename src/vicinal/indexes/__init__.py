"""Indexes: vectors go in, `Neighbors` come out."""

from vicinal.indexes.exact import Exact as Exact
