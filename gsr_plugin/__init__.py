"""GSR-GNN: operators, training, prediction, and the program `gsr`."""
