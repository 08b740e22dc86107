"""Floor 5: many experiments: sweeps, Slurm, the processes of one run."""
