"""Whether a finished run is what its record says, and whether it can be had again."""
