"""Several processes that compute one training."""
