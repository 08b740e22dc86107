"""One file per method: each answers which samples are kept."""
