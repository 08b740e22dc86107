"""Floor 5: from run records to statistics, tables and figures."""
