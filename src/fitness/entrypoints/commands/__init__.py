"""The command line's commands, one module for each group, but for `serve` and `doctor`."""
