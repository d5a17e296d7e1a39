"""What a test needs from the machine: skipped aloud where it is missing, failed where CI promises it."""

import os
from typing import NoReturn

import pytest


def is_missing(what: str) -> NoReturn:
    """End the test: something that it needs is not there."""
    (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(what)
