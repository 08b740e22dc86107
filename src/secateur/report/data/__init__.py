"""Records as rows: runs, cells, intervals, verdicts."""
