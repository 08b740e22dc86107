"""Floor 4: from run records to statistics, tables and figures."""
