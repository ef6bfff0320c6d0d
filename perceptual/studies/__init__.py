"""Studies: many training runs planned, run and collected into one table; analyses, figures."""
