"""A person as a policy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoscaler_env.service import Service

PERSON = "you"
"""What tables and menus call the person."""


class Person:
    """Does what was asked for last, once, and holds otherwise.

    Args:
        service: Gives the actions.

    Example:
        >>> person = Person(Service())
        >>> person.ask(2)
        >>> [int(person.predict(np.zeros((1, 7), dtype=np.float32))[0]) for _ in range(2)]
        [2, 1]
    """

    name = PERSON

    def __init__(self, service: Service) -> None:
        self._service = service
        self.next = service.hold
        """The action of the next slot, an index into `service.fleet_changes`."""

    def ask(self, action: Any) -> None:
        """Say what to do in the next slot.

        Raises:
            ValueError: There is no such action.
        """
        actions = len(self._service.fleet_changes)
        if isinstance(action, bool) or not isinstance(action, int) or not 0 <= action < actions:
            raise ValueError(f"action = {action!r}: must be a whole number from 0 to {actions - 1}")
        self.next = action

    def reset(self, days: NDArray[np.int64]) -> None:
        """Forget what was asked for."""
        self.next = self._service.hold

    def predict(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return what was asked for, for each of the services: shape (n,)."""
        action, self.next = self.next, self._service.hold
        return np.full(len(observations), action)
