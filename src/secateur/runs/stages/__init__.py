"""One file per kind of expensive, stored computation."""
