"""One file per figure, and what figures share."""
