"""Make the README's two pictures in a browser, and write the numbers that they show into its alt texts.

    python benchmarks/readme_pictures.py                                 # figures/demo.gif
    python benchmarks/readme_pictures.py build/advice/advice.html        # figures/advice.png

The animation shows the control room: a person plays a day of flash crowds against the threshold rule. The person is a
script that follows the demand, as most people do. The picture shows the top of a page of `advise`, made as
`examples/README.md` says.
"""

from __future__ import annotations

import argparse
import html
import io
import re
import sys
import tempfile
from pathlib import Path

import numpy as np
from bench_demo import PATIENCE, chromium, demo_server
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from autoscaler_env.paths import Folders, project_root
from autoscaler_env.storage.files import write_atomically, write_text

LARGEST = 2_000_000
"""The most bytes of the animation."""

WIDTH, HEIGHT, SCALED_WIDTH = 1040, 800, 900
"""Width and height of the window, and the width of the animation, in pixels."""

MILLISECONDS, LAST_MILLISECONDS = 90, 4_000
"""How long a picture is shown, and the last picture."""

ADVICE_WIDTH, ADVICE_HEIGHT = 1280, 960
"""Width and height of the window that shows a page of `advise`, in pixels."""

TOTAL = "Cost"
"""The row of the score card with what the day costs."""

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


def describe_game(score: Locator) -> str:
    """Return what the animation shows in words, from the score card that its last picture shows."""
    header, *rows = [row.locator("th, td").all_inner_texts() for row in score.locator("tr").all()]
    costs = dict(zip(header[1:], next(row for row in rows if row[0] == TOTAL)[1:], strict=False))
    told = ", ".join(f"{'yours' if name == 'you' else name} {costs[name]}" for name in ("you", "threshold", "optimum"))
    return (
        "The game: you and a policy scale the same service on the same day of flash crowds, "
        f"and a score card compares what the day costs: {told}."
    )


def write_alt(readme: Path, picture: str, alt: str) -> None:
    """Write the alt text of a picture into the README."""
    text = readme.read_text(encoding="utf-8")
    pattern = rf'(<img src="figures/{re.escape(picture)}"[^>]*alt=")[^"]*'
    changed, count = re.subn(
        pattern, lambda match: match[1] + html.escape(alt, quote=False).replace('"', "&quot;"), text
    )
    if count != 1:
        sys.exit(f"{readme.name} shows figures/{picture} {count} times, not once")
    write_text(readme, changed)


def film_game(seed: int, output: Path) -> str:
    """Write the animation of the game and return its alt text."""
    with tempfile.TemporaryDirectory() as folder, chromium() as browser, demo_server(Path(folder)) as address:
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, bypass_csp=True)
        page.goto(address)
        pictures = record(page, seed, steps_per_picture=4)
        alt = describe_game(page.locator(".asr-score"))
    palette = commonest_colours([pictures[len(pictures) // 2], pictures[-1]])
    frames = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    times = [MILLISECONDS] * (len(frames) - 1) + [LAST_MILLISECONDS]
    content = io.BytesIO()
    frames[0].save(content, "GIF", save_all=True, append_images=frames[1:], duration=times, loop=0, optimize=True)
    if len(content.getvalue()) > LARGEST:
        sys.exit(f"{len(content.getvalue()):,} bytes: more than {LARGEST:,}")
    write_atomically(output, lambda file: file.write(content.getvalue()))
    print(f"Wrote {Folders().shown(output)}: {len(content.getvalue()):,} bytes, {len(frames)} pictures.")
    return alt


def photograph_advice(source: Path, output: Path) -> str:
    """Write the picture of the top of a page of `advise` and return its alt text."""
    with chromium() as browser:
        page = browser.new_page(viewport={"width": ADVICE_WIDTH, "height": ADVICE_HEIGHT})
        page.goto(source.resolve().as_uri())
        picture = page.screenshot()
        answer = page.locator(".headline").inner_text()
    write_atomically(output, lambda file: file.write(picture))
    print(f"Wrote {Folders().shown(output)}: {len(picture):,} bytes.")
    advice, saving = re.split(r"(?<=[.:]) (?=[A-Z])", " ".join(answer.split()))[:2]
    return f"The advice page for a made-up web shop: {advice} {saving}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("page", type=Path, nargs="?", help="the page of `advise`; without it the game is recorded")
    parser.add_argument("--seed", type=int, default=0, help="evaluation day of SPIKE for the game")
    options = parser.parse_args()
    folder = Folders().figures
    if options.page is None:
        picture = folder / "demo.gif"
        alt = film_game(options.seed, picture)
    else:
        picture = folder / "advice.png"
        alt = photograph_advice(options.page, picture)
    write_alt(project_root() / "README.md", picture.name, alt)


if __name__ == "__main__":
    main()
