"""Floor 2: indexed data sets, their preparation, the two loaders and the DataModule."""
