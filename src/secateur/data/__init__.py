"""Floor 2: indexed data sets, the resident loader, transforms and the DataModule."""
