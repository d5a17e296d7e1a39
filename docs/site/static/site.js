// What pages do beyond the theme: films can be stopped, and a tap shows a figure in its full size.
"use strict";

const calm = window.matchMedia("(prefers-reduced-motion: reduce)");

function addPause(film) {
    const moving = film.src;
    const still = moving.replace(/\.(gif|webp)$/, ".still.png");
    const button = document.createElement("button");
    button.type = "button";
    button.className = "asr-pause";
    const show = (plays) => {
        film.src = plays ? moving : still;
        button.textContent = plays ? "Pause the film" : "Play the film";
    };
    let plays = !calm.matches;
    show(plays);
    button.addEventListener("click", () => show((plays = !plays)));
    calm.addEventListener("change", () => show((plays = !calm.matches)));
    film.after(button);
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
document.querySelectorAll("img.asr-film").forEach(addPause);
document.querySelectorAll(".cell_output img").forEach(linkToFullSize);
