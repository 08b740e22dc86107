"""Floor 1: from a ScoreTable to a Mask that keeps an exact number of samples."""
