"""Floor 0: identifiers, tables, masks, ledger, run records and the store. No Lightning, Hydra or wandb."""
