"""Scoring metrics against judgements: the graph-compiled pass, the scores, and their tables."""
