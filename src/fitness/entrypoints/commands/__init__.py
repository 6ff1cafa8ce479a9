"""The commands of the command line, one module for each group; `serve`, `worker` and `doctor` are in cli.py."""
