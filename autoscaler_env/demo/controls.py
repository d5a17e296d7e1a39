"""Choose policy, pattern and day with a mouse; the picture is redrawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import ipywidgets as widgets
from matplotlib.figure import Figure

from autoscaler_env.catalog import find_policy
from autoscaler_env.demo.session import demo_days
from autoscaler_env.paths import Folders
from autoscaler_env.plotting.days import plot_side_by_side
from autoscaler_env.plotting.style import label_of, png_of
from autoscaler_env.rollouts import roll_out
from autoscaler_env.service import Service

RIVAL = "threshold"
"""The policy that is drawn beside the chosen one, unless told otherwise."""


def draw_day(
    policy: str,
    pattern: str,
    seed: int,
    *,
    rival: str = RIVAL,
    service: Service | None = None,
    folders: Folders | None = None,
) -> Figure:
    """Draw one finished day under two policies; names and a number in, a figure out.

    Args:
        policy: What `catalog.find_policy` understands.
        pattern: The load pattern.
        seed: Number of the evaluation day, at least 0.
        rival: The policy drawn beside it; if it is the same one, that policy is drawn alone.
        service: The reference service by default.
        folders: Where models lie; the project's folders by default.

    Returns:
        Demand and fleet, queue, and bill so far, a column per policy.

    Raises:
        ValueError: A name is unknown, or the seed negative.
    """
    service = service or Service()
    days = demo_days(pattern, seed=seed, count=1, service=service)
    rollouts = {}
    for name in dict.fromkeys((policy, rival)):
        found = find_policy(name, service, folders)
        rollouts[found.name] = roll_out(found, days, service)
    bills = {name: float(rollout.bill.sum()) for name, rollout in rollouts.items()}
    cheapest = min(bills, key=lambda name: bills[name])
    title = f"{pattern}, evaluation day {seed}"
    if len(bills) > 1:
        title += f": {label_of(cheapest)} is cheaper by ${max(bills.values()) - bills[cheapest]:,.2f}"
    return plot_side_by_side(rollouts, title=title)


def controls(
    draw: Callable[[str, str, int], Figure], policies: Sequence[str], patterns: Sequence[str], seed: int = 0
) -> widgets.VBox:
    """Return menus for policy and pattern and a field for the day, above a picture that they redraw.

    Args:
        draw: Given policy, pattern and number of the day, returns the figure.
        policies: What the first menu offers.
        patterns: What the second menu offers.
        seed: The day that is shown first.

    Returns:
        The widget; its last child is the picture.
    """
    policy = widgets.Dropdown(options=list(policies), value=policies[-1], description="policy")
    pattern = widgets.Dropdown(options=list(patterns), description="pattern")
    day = widgets.BoundedIntText(value=seed, min=0, max=10**6, description="day")
    image = widgets.Image(format="png", layout=widgets.Layout(max_width="100%"))
    message = widgets.HTML()

    def redraw(_change: object = None) -> None:
        try:
            image.value = png_of(draw(policy.value, pattern.value, day.value))
            message.value = ""
        except ValueError as error:  # a model that does not load, say: the picture before stays
            message.value = str(error)

    for control in (policy, pattern, day):
        control.observe(redraw, names="value")
    redraw()
    return widgets.VBox([widgets.HBox([policy, pattern, day]), message, image])
