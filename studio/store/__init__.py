"""A session's data: one DuckDB file, one module of queries per noun."""
