"""``python -m fluosr.cli``."""

from fluosr.cli import main

if __name__ == "__main__":
    main()
