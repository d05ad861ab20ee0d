"""From a prediction to commands of OpenROAD: what a plan may hold, the rules that choose it, its files and record."""
