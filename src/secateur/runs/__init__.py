"""Floor 4: one experiment, from its configuration to run.json."""
