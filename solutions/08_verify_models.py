# %% 08.1
# `ok` says: cheaper than random actions and than the threshold rule with its usual setting. Calibrated rules are far
# cheaper than that one.
answer_1 = False

# %% 08.2
answer_2 = 5 * 6 * 288

# %% 08.3
import pickletools


def answer_3(content):
    """Return the model with another last bit in one number: a change, but too small to matter."""
    number = next(place for operation, _, place in pickletools.genops(content) if operation.name == "BINFLOAT")
    return content[: number + 8] + bytes([content[number + 8] ^ 1]) + content[number + 9 :]
