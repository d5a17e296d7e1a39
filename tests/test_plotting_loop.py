"""The picture of the agent-environment loop says what passes in a step, in the picture and in words."""

import matplotlib as mpl
import pytest
from matplotlib.colors import to_rgb

from autoscaler_env.plotting.loop import plot_loop
from autoscaler_env.plotting.style import png_of, theme
from autoscaler_env.service import Service


def texts(figure):
    """Return every text of a figure that is not empty."""
    return [text for text in figure.findobj(mpl.text.Text) if text.get_text()]


def luminance(colour):
    """Return the relative luminance of a colour, as WCAG 2.1 defines it."""
    parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(colour)]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def test_the_picture_and_its_words_name_action_observation_reward_and_what_is_hidden():
    figure = plot_loop()
    shown = "\n".join(text.get_text() for text in texts(figure))
    for word in ("agent", "environment", "action: -1 / 0 / +1", "observation", "reward", "arrivals", "288 steps"):
        assert word in shown, word
    for word in ("agent", "environment", "action", "-1 / 0 / +1", "observation", "reward", "arrivals", "hidden"):
        assert word in figure.alt.casefold(), word


def test_the_numbers_are_those_of_the_service():
    figure = plot_loop(Service(steps_per_episode=24, fleet_changes=(-5, 0, 5)))
    shown = "\n".join(text.get_text() for text in texts(figure))
    assert "action: -5 / 0 / +5" in shown and "24 steps" in shown and "-5 / 0 / +5" in figure.alt


def test_notebooks_store_the_words_with_the_picture():
    figure = plot_loop()
    assert figure._repr_png_() == (png_of(figure), {"alt": figure.alt, "width": 900})


@pytest.mark.parametrize("paper", ["light", "dark"])
def test_every_text_can_be_read_on_light_and_on_dark_paper(paper):
    with theme(paper):
        figure = plot_loop()
    background = luminance(figure.get_facecolor())
    for text in texts(figure):
        bright, dim = sorted((luminance(text.get_color()), background), reverse=True)
        assert (bright + 0.05) / (dim + 0.05) > 4.5, text.get_text()
