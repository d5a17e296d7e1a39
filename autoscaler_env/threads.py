"""One thread for NumPy's and torch's products of small matrices: with more, threads only wait for each other."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from threadpoolctl import ThreadpoolController

P = ParamSpec("P")
R = TypeVar("R")


def one_blas_thread(function: Callable[P, R]) -> Callable[P, R]:
    """Let NumPy multiply matrices with one thread while a function runs; the results are the same, bit for bit.

    Our matrices have some thousand rows and at most 64 columns. With more threads each product wakes all of them, and
    they wait actively for the next one: on two processors that takes seven times the CPU time, on more processors more.

    Args:
        function: The function to change.

    Returns:
        The function, which leaves the threads as they were.

    Example:
        >>> import numpy as np
        >>> one_blas_thread(np.dot)(np.eye(2), [1.0, 2.0]).tolist()
        [1.0, 2.0]
    """

    @functools.wraps(function)
    def limited(*arguments: P.args, **named: P.kwargs) -> R:
        with _libraries().limit(limits=1, user_api="blas"):
            return function(*arguments, **named)

    return limited


def one_thread() -> None:
    """Let torch use one thread, from now on and in this process."""
    import torch  # here: rules need none

    torch.set_num_threads(1)


@functools.cache
def _libraries() -> ThreadpoolController:
    """Return the libraries with threads of their own that are loaded; to look for them takes milliseconds."""
    return ThreadpoolController()
