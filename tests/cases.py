"""One test, many cases: a claim that holds for many inputs is one item, and a failure names its case."""

import functools
import inspect
from collections.abc import Callable, Iterable

from autoscaler_env.service import Service

SERVICES = {
    "reference": Service(),
    "slow boot": Service(boot_steps=3, initial_instances=5, queue_limit=900, steps_per_episode=150),
    "wide": Service(fleet_changes=(-5, -1, 0, 1, 5), boot_steps=2, max_instances=60, steps_per_episode=150),
    "odd": Service(
        fleet_changes=(2, 0, -3),
        capacity_per_instance=7,
        min_instances=1,
        max_instances=13,
        initial_instances=4,
        queue_limit=11,
        peak_arrivals=61,
        boot_steps=7,
        steps_per_episode=97,
        step_seconds=61,
    ),
    "no queue": Service(queue_limit=0, max_instances=40, steps_per_episode=96),
    "from zero, boots within a step": Service(
        fleet_changes=(-2, -1, 0, 1, 3),
        capacity_per_instance=11,
        min_instances=0,
        max_instances=9,
        initial_instances=0,
        queue_limit=60,
        peak_arrivals=70,
        boot_seconds=90,
        steps_per_episode=96,
    ),
    "from zero, boots into a third step": Service(
        fleet_changes=(-1, 0, 2),
        capacity_per_instance=7,
        min_instances=0,
        max_instances=12,
        initial_instances=2,
        queue_limit=30,
        peak_arrivals=60,
        boot_seconds=700,
        steps_per_episode=96,
    ),
    "huge": Service(
        capacity_per_instance=159_999,
        max_instances=101,
        initial_instances=40,
        queue_limit=2**24 - 159_999 * 101,
        peak_arrivals=2**23 - 1,
        steps_per_episode=96,
    ),
}
"""Services of many shapes."""


def cases(names: str | tuple[str, ...], values: Iterable) -> Callable[[Callable], Callable]:
    """Run a test once for each case, within one item; a failure gets a note with the case.

    Args:
        names: The argument of the test, or several, as for `pytest.mark.parametrize`.
        values: One value for each case, or a tuple of them.
    """
    single = isinstance(names, str)
    values = list(values)
    assert values, "there must be at least one case"

    def decorate(test: Callable) -> Callable:
        signature = inspect.signature(test)

        @functools.wraps(test)
        def run(**fixtures):
            for value in values:
                case = {names: value} if single else dict(zip(names, value, strict=True))
                try:
                    test(**fixtures, **case)
                except BaseException as failure:
                    failure.add_note(f"in the case {case}")
                    raise

        ours = (names,) if single else names
        parameters = [parameter for name, parameter in signature.parameters.items() if name not in ours]
        run.__signature__ = signature.replace(parameters=parameters)
        return run

    return decorate


every_service = cases("any_service", SERVICES.values())
"""Run a test on each of the services."""
