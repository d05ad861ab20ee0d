"""The program `gsr`, also as `python -m gsr_plugin`: nothing is imported before an interrupt would end it quietly."""

import sys


def main() -> None:
    """Run the program; Ctrl-C ends it with 130 while it still loads, too."""
    try:
        from gsr_plugin.cli import main as program

        program(prog_name="gsr")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
