"""Side-by-side measurements; each file is run as `gsr bench NAME` from a checkout."""
