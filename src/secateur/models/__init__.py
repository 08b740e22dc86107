"""Floor 2: backbones that expose features(x) and their head."""
