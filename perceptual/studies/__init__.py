"""Studies: many training runs planned, run, collected into one table, analysed and drawn."""
