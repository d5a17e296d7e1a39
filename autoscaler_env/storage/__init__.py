"""Model files: written whole or not at all, read without running anything in them.

A Q-table is a pickle of plain values (`.pkl`), a network is what stable-baselines3 saves (`.zip`). The default loaders
of both run code that a file may carry. Here pickles are not unpickled: their tokens are read one by one, by readers
that can build numbers, lists and arrays and nothing else. `load_policy` is the only way from a path to a policy.
"""
