"""The user's OpenROAD and OpenROAD-flow-scripts: where they are, what they can do, and scripts of ours in them."""
