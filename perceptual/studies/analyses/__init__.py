"""Analyses of a study: pure functions of arrays that return tables, and what feeds them.

`registry.ANALYSES` lists them by name. A table is a list of dictionaries with equal keys; what is
undefined is None. `table.Table` is the collected table of a study.
"""
