"""Film the control room in a browser, for the top of README: `python benchmarks/film_demo.py` makes `figures/demo.gif`.

A person plays a day of flash crowds against the threshold rule. The person is a script that follows the traffic, which
is what most people do.
"""

from __future__ import annotations

import argparse
import io
import re
import shutil
import sys
from pathlib import Path

import numpy as np
from bench_demo import PATIENCE, running
from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from autoscaler_env.paths import Folders
from autoscaler_env.storage.files import write_atomically

LARGEST = 2_000_000
"""Bytes of the film, at most."""

WIDTH, HEIGHT, SHOWN = 1040, 800, 900
"""Pixels: of the window, and the width that the film is scaled to."""

MILLISECONDS, LAST_MILLISECONDS = 90, 4_000
"""How long a picture of the film is shown, and the last one."""


def press(page: Page) -> None:
    """Press what a person would who follows the traffic."""
    said = page.locator(".asr-why p").first.text_content() or ""
    spare = re.search(r"could take ([\d,]+) more", said)
    key = "ArrowUp" if spare is None else "ArrowDown" if int(spare[1].replace(",", "")) > 87 * 3 else "ArrowRight"
    step = page.locator("canvas").get_attribute("data-elapsed-steps")
    page.keyboard.press(key)
    expect(page.locator("canvas")).not_to_have_attribute("data-elapsed-steps", step or "", timeout=PATIENCE)


def shoot(page: Page) -> Image.Image:
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    return picture.resize((SHOWN, round(SHOWN * picture.height / picture.width)), Image.Resampling.LANCZOS)


def film(page: Page, seed: int, steps_per_picture: int) -> list[Image.Image]:
    """Play a day; return its pictures."""
    page.get_by_role("combobox", name="traffic").select_option("SPIKE")
    page.get_by_role("textbox", name="day").fill(str(seed))
    page.get_by_role("textbox", name="day").press("Enter")
    page.get_by_role("combobox", name="first lane").select_option("you")
    expect(page.get_by_role("button", name="add 1")).to_be_visible(timeout=PATIENCE)
    page.locator(".asr").focus()
    page.locator(".asr").evaluate("(room) => window.scrollTo(0, room.offsetTop - 8)")
    pictures = []
    for _ in range(288 // steps_per_picture):
        for _ in range(steps_per_picture):
            press(page)
        pictures.append(shoot(page))
    score = page.locator(".asr-score")
    expect(score.get_by_role("columnheader", name="optimum")).to_be_visible(timeout=PATIENCE)
    score.evaluate("(card) => window.scrollTo(0, card.getBoundingClientRect().top + window.scrollY - 300)")
    return [*pictures, shoot(page)]


def commonest_colours(pictures: list[Image.Image]) -> Image.Image:
    """Return a palette of the 256 colours that fill most of the pictures: flat areas keep theirs exactly."""
    pixels = np.concatenate([np.asarray(picture).reshape(-1, 3) for picture in pictures])
    colours, counts = np.unique(pixels, axis=0, return_counts=True)
    palette = Image.new("P", (1, 1))
    palette.putpalette(colours[np.argsort(counts)[::-1][:256]].ravel().tolist())
    return palette


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="evaluation day of SPIKE")
    parser.add_argument("--output", type=Path, default=Folders.course().figures / "demo.gif", help="the film")
    options = parser.parse_args()
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        sys.exit("chromium is not installed: the film is made in a browser")
    command = [sys.executable, "-m", "autoscaler_env.cli.main", "demo", "--web", "--port=0"]
    with running(command, r"http://[\d.:]+/") as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, bypass_csp=True)
        page.goto(address)
        pictures = film(page, options.seed, steps_per_picture=4)
        browser.close()
    palette = commonest_colours([pictures[len(pictures) // 2], pictures[-1]])
    frames = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    times = [MILLISECONDS] * (len(frames) - 1) + [LAST_MILLISECONDS]
    content = io.BytesIO()
    frames[0].save(content, "GIF", save_all=True, append_images=frames[1:], duration=times, loop=0, optimize=True)
    if len(content.getvalue()) > LARGEST:
        sys.exit(f"{len(content.getvalue()):,} bytes: more than {LARGEST:,}")
    write_atomically(options.output, lambda file: file.write(content.getvalue()))
    print(f"Wrote {Folders.course().shown(options.output)}: {len(content.getvalue()):,} bytes, {len(frames)} pictures.")


if __name__ == "__main__":
    main()
