"""Floor 1: one file per scorer, a pure function and its streaming accumulator."""
