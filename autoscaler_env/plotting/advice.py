"""The figure of an answer: what each policy on offer costs, and the least that was possible."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from autoscaler_env.plotting.style import POLICY_COLOURS, colour_of, new_figure, themed

OFFER_COLOURS = {"fixed": POLICY_COLOURS["static"], "today": "#6E7680", "forecast": "#0072B2"} | POLICY_COLOURS
"""The colours of all policies, those that only an answer knows among them."""


@themed
def plot_offer(
    offer: pd.DataFrame,
    optimum: float | None = None,
    recommended: str | None = None,
    title: str = "What a day would cost",
    width: float = 9.0,
) -> Figure:
    """Draw the mean cost of each policy as a bar with its 95 % interval, and the optimum as a line.

    Args:
        offer: Indexed by policy, from the top: label (text), cost, low, high ($ a day).
        optimum: The least that was possible, in $ a day; none is drawn by default.
        recommended: The policy whose number is printed in bold.
        title: What the figure says.
        width: Of the figure, in inches.

    Returns:
        The figure; dollars a day.
    """
    figure = new_figure(width, 1.25 + 0.3 * len(offer))
    axes = figure.subplots()
    places = range(len(offer))
    colours = [OFFER_COLOURS.get(name, colour_of(name)) for name in offer.index]
    ends = [offer["cost"] - offer["low"].clip(lower=0), offer["high"] - offer["cost"]]
    axes.barh(
        places,
        offer["cost"],
        xerr=ends,
        color=colours,
        height=0.68,
        error_kw={"ecolor": "#222222", "linewidth": 1.2, "capsize": 2.5},
    )
    longest = float(offer["high"].max())
    for place, (name, row) in zip(places, offer.iterrows(), strict=True):
        weight = "bold" if name == recommended else "normal"
        axes.text(row["high"] + 0.02 * longest, place, f"${row['cost']:,.2f}", va="center", fontsize=9, weight=weight)
    axes.set_yticks(places, offer["label"])
    for tick, name in zip(axes.get_yticklabels(), offer.index, strict=True):
        tick.set_fontweight("bold" if name == recommended else "normal")
    if optimum is not None:
        axes.axvline(optimum, color="#222222", linestyle="--", linewidth=1.2, label=f"optimum ${optimum:,.2f}")
        figure.legend(loc="outside lower center" if width < 6 else "outside upper right", fontsize=9)
    axes.set(ylim=(len(offer) - 0.4, -0.6), xlim=(0, (1.16 if width > 6 else 1.3) * longest))
    axes.set_xlabel("mean cost ($ a day), with its 95 % interval over days")
    axes.grid(axis="y", visible=False)
    figure.suptitle(title, x=0.01, ha="left")
    return figure
