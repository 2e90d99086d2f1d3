"""From statements of YQL to nodes of DuckDB's SQL, each expression with its type."""
