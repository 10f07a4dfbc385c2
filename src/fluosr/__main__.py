"""``fluosr`` and ``python -m fluosr``: the command line, where Ctrl-C is answered from the first import on."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point; exit codes as :func:`fluosr.cli.main`."""
    try:
        from fluosr.cli import main as command_line

        command_line()
    except KeyboardInterrupt:  # while importing, or while another ending was being told
        print("Stopped.", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
