"""Floor 1: pruning while training: which samples an epoch sees, and with what weight."""
