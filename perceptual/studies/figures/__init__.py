"""Figures of a study, each drawn from its collected table alone; `registry.FIGURES` lists them."""
