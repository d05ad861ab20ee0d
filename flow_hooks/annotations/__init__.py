"""What a prediction says, in the forms that OpenROAD, its flows and their users read."""
