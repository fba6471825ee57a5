"""`patch-lif` on Lava: graded counts in, one-population network, a child process per run."""
