"""Model files: written whole or not at all, read without running anything in them.

A Q-table is a pickle of plain values (`.pkl`), a network is what stable-baselines3 saves (`.zip`). The default loaders
of both run code that a file may carry. Here pickles are not unpickled: their tokens are read one by one, by readers
that can build numbers, lists and arrays and nothing else. `load_policy` is the only way from a path to a policy.
"""

from autoscaler_env.storage.descriptions import FIELDS, fits, missing_fields, read_description, save_description
from autoscaler_env.storage.models import ModelFile, load_policy, read_model
from autoscaler_env.storage.reading import printable
from autoscaler_env.storage.tables import save_q_table
from autoscaler_env.storage.files import sweep, write_atomically, write_json, write_text

__all__ = [
    "FIELDS",
    "ModelFile",
    "fits",
    "load_policy",
    "missing_fields",
    "printable",
    "read_description",
    "read_model",
    "save_description",
    "save_q_table",
    "sweep",
    "write_atomically",
    "write_json",
    "write_text",
]
