"""Check model files: does each load, predict, play test days, and is its cost worth having?

Each file is read and played in a process of its own, with limits on memory and time: whatever is in it costs a line,
never the run.
"""
