"""The program `gsr`, also as `python -m gsr_plugin`: nothing is imported before an interrupt would end it quietly."""

import atexit
import gc
import os
import sys


def _end() -> None:
    """The end frees all at once; a search for garbage before it takes a while. Triton would call that a leak."""
    if "triton" not in sys.modules:
        gc.freeze()


def main() -> None:
    """Run the program, or have a warm server do it; Ctrl-C ends it with 130 while it still loads, too."""
    atexit.register(_end)
    try:
        if os.environ.get("GSR_SERVER") or os.environ.get("GSR_SERVE"):
            from gsr_plugin.client import answer_from_server

            code = answer_from_server(sys.argv[1:])
            if code is not None:
                sys.exit(code)
        from gsr_plugin.cli import main as program

        program(prog_name="gsr")
    except SystemExit as e:
        if "TORCHELASTIC_RUN_ID" in os.environ:
            from gsr_plugin.ranks import leave

            leave(int(e.code or 0))
        raise
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
