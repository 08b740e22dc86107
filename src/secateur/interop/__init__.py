"""Floor 1: foreign score and mask files."""
