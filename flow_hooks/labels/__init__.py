"""Batch labelling: the jobs of a batch file, on this machine, on Ray or as a Slurm array."""
