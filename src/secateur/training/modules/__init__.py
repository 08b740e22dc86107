"""One LightningModule per paradigm."""
