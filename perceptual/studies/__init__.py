"""Studies: sweeps of runs, what is collected from them, analyses, figures, a report."""
