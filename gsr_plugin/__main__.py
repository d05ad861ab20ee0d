"""`python -m gsr_plugin` is the program `gsr`."""

from gsr_plugin.cli import main

main(prog_name="gsr")
