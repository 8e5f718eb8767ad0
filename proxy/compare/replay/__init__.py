"""A file of recorded requests put to both backends: recording (what is read), run, results, report."""
