"""Floor 1: groups of source samples: labels, k-means, TURTLE."""
