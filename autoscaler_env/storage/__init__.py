"""Files of models and states: written completely or not at all, and read without running anything in them.

A Q-table is a pickle of plain values (`.pkl`), a network is a zip of stable-baselines3 (`.zip`). The default loaders of
both run code that a file may contain. Here no pickle is unpickled: its tokens are read one by one, by readers that can
build numbers, lists and arrays and nothing else. `models.load_policy` is the only way from a path to a policy.
"""
