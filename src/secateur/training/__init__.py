"""Floor 3: LightningModules, callbacks, evaluation passes and the Trainer factory."""
