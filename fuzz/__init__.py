"""Fuzzers: `make fuzz`, or `python -m fuzz --help`. Each draws cases from a seed that repeats it."""
