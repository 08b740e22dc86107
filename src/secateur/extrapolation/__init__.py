"""Floor 1: predicting the scores of samples that were not scored."""
