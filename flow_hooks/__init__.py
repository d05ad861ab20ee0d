"""Where an OpenROAD flow meets us: Tcl hooks, the feedback planner, annotations. Never torch."""
