"""Floor 3: provenance and loggers."""
