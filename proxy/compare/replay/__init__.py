"""Sends a file of recorded requests to both backends: recording (reads the file), run, results, report."""
