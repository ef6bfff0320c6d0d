"""What every folder uses: whole files, progress, tables of text."""
