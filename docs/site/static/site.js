// What pages do beyond the theme: films can be stopped, and a tap shows a figure in its full size.
"use strict";

const calm = window.matchMedia("(prefers-reduced-motion: reduce)");

function addPause(film) {
    const source = film.closest("picture")?.querySelector("source"); // a notebook's film has its still end here
    const moving = film.src;
    const still = source?.srcset ?? moving.replace(/\.(gif|webp)$/, ".png");
    source?.remove();
    const button = document.createElement("button");
    button.type = "button";
    button.className = ["asr-pause", ...["only-light", "only-dark"].filter((kind) => film.classList.contains(kind))].join(" ");
    let plays = !calm.matches;
    const show = () => {
        film.src = plays ? moving : still;
        button.textContent = plays ? "Pause the film" : "Play the film";
    };
    show();
    button.addEventListener("click", () => {
        plays = !plays;
        show();
    });
    calm.addEventListener("change", () => {
        plays = !calm.matches;
        show();
    });
    (film.closest("picture") ?? film).after(button);
}

function linkToFullSize(figure) {
    if (figure.closest("a")) return;
    const link = document.createElement("a");
    link.href = figure.src;
    link.className = "asr-full-size";
    figure.replaceWith(link);
    link.append(figure);
}

// The button of the search is called what it shows; on a phone it shows no words.
document.querySelectorAll("button.search-button-field").forEach((button) => {
    button.setAttribute("aria-label", button.innerText.replace(/\s+/g, " ").trim() || "Search");
});
document.querySelectorAll("img.asr-film, .cell_output picture img").forEach(addPause);
document.querySelectorAll(".cell_output img[src*=_images]").forEach(linkToFullSize);
