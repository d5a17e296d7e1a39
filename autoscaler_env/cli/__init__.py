"""The command `autoscaler`: a module for each subcommand, a dataclass of options that knows how to `run`.

What a command needs beyond its options is imported inside `run`: `--help`, and training a table, should not wait for
torch.
"""
