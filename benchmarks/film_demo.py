"""Record the control room in a browser for the README: `python benchmarks/film_demo.py` makes `figures/demo.gif`.

A person plays a day of flash crowds against the threshold rule. The person is a script that follows the demand, as most
people do.
"""

from __future__ import annotations

import argparse
import io
import re
import sys
import tempfile
from pathlib import Path

import numpy as np
from bench_demo import PATIENCE, chromium, demo_server
from PIL import Image
from playwright.sync_api import Page, expect

from autoscaler_env.paths import Folders
from autoscaler_env.storage.files import write_atomically

LARGEST = 2_000_000
"""The most bytes of the animation."""

WIDTH, HEIGHT, SCALED_WIDTH = 1040, 800, 900
"""Width and height of the window, and the width of the animation, in pixels."""

MILLISECONDS, LAST_MILLISECONDS = 90, 4_000
"""How long a picture is shown, and the last picture."""

SPARE_INSTANCES = 3
"""The person removes an instance if more than this many are idle."""


def choose_key(explanation: str, capacity: int = 87) -> str:
    """Return the key of a person who follows the demand.

    Args:
        explanation: The observation in words, as the page shows it.
        capacity: Requests per step that an instance serves.
    """
    spare = re.search(r"Spare capacity: ([\d,]+) request", explanation)
    if spare is None:
        return "ArrowUp"
    return "ArrowDown" if int(spare[1].replace(",", "")) > SPARE_INSTANCES * capacity else "ArrowRight"


def press(page: Page) -> None:
    """Play a step."""
    step = page.locator("canvas").get_attribute("data-elapsed-steps")
    page.keyboard.press(choose_key(page.locator(".asr-why p").first.text_content() or ""))
    expect(page.locator("canvas")).not_to_have_attribute("data-elapsed-steps", step or "", timeout=1000 * PATIENCE)


def screenshot(page: Page) -> Image.Image:
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    height = round(SCALED_WIDTH * picture.height / picture.width)
    return picture.resize((SCALED_WIDTH, height), Image.Resampling.LANCZOS)


def record(page: Page, seed: int, steps_per_picture: int) -> list[Image.Image]:
    """Play a day and return its pictures."""
    page.get_by_role("combobox", name="workload").select_option("SPIKE")
    page.get_by_role("textbox", name="day").fill(str(seed))
    page.get_by_role("textbox", name="day").press("Enter")
    page.get_by_role("combobox", name="first policy").select_option("you")
    expect(page.get_by_role("button", name="add 1")).to_be_visible(timeout=1000 * PATIENCE)
    page.locator(".asr").focus()
    page.locator(".asr").evaluate("(room) => window.scrollTo(0, room.offsetTop - 8)")
    pictures = []
    played = int(page.locator("canvas").get_attribute("data-elapsed-steps") or 0)
    for _ in range((288 - played) // steps_per_picture):
        for _ in range(steps_per_picture):
            press(page)
        pictures.append(screenshot(page))
    score = page.locator(".asr-score")
    expect(score.get_by_role("columnheader", name="optimum")).to_be_visible(timeout=1000 * PATIENCE)
    score.evaluate("(card) => window.scrollTo(0, card.getBoundingClientRect().top + window.scrollY - 300)")
    return [*pictures, screenshot(page)]


def commonest_colours(pictures: list[Image.Image]) -> Image.Image:
    """Return a palette of the 256 most frequent colours, so that flat areas keep their exact colour."""
    pixels = np.concatenate([np.asarray(picture).reshape(-1, 3) for picture in pictures])
    colours, counts = np.unique(pixels, axis=0, return_counts=True)
    palette = Image.new("P", (1, 1))
    palette.putpalette(colours[np.argsort(counts)[::-1][:256]].ravel().tolist())
    return palette


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="evaluation day of SPIKE")
    parser.add_argument("--output", type=Path, default=Folders().figures / "demo.gif", help="the animation")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, chromium() as browser, demo_server(Path(folder)) as address:
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, bypass_csp=True)
        page.goto(address)
        pictures = record(page, options.seed, steps_per_picture=4)
    palette = commonest_colours([pictures[len(pictures) // 2], pictures[-1]])
    frames = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    times = [MILLISECONDS] * (len(frames) - 1) + [LAST_MILLISECONDS]
    content = io.BytesIO()
    frames[0].save(content, "GIF", save_all=True, append_images=frames[1:], duration=times, loop=0, optimize=True)
    if len(content.getvalue()) > LARGEST:
        sys.exit(f"{len(content.getvalue()):,} bytes: more than {LARGEST:,}")
    write_atomically(options.output, lambda file: file.write(content.getvalue()))
    print(f"Wrote {Folders().shown(options.output)}: {len(content.getvalue()):,} bytes, {len(frames)} pictures.")


if __name__ == "__main__":
    main()
