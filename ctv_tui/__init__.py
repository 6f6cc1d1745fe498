"""The command line and the terminal dashboard of ctv-tui."""

__version__ = "0.1.0"
