"""Floor 6: one file per command; the only place that knows Hydra's main."""
