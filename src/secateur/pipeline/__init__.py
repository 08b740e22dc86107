"""Floor 4: stages, and the methods that string them together."""
