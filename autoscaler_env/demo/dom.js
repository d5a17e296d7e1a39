// Elements of the control room: buttons, icons and colours, the reasons of the policies, the score card.

const ICONS = {
  play: "M4 2l10 6-10 6z",
  pause: "M3 2h4v12H3zM9 2h4v12H9z",
  step: "M3 2l7 6-7 6zM11 2h2v12h-2z",
  fresh: "M2 2h12v12H2zM4 4v8h8V4zM5 5h2v2H5zM9 9h2v2H9zM7 7h2v2H7z",
  more: "M1 3h14v2H1zM1 7h14v2H1zM1 11h14v2H1z",
  restart: "M8 2a6 6 0 1 1-5.6 3.9l1.9.7A4 4 0 1 0 8 4v3L3.5 3.5 8 0z",
  minus: "M2 7h12v2H2z",
  hold: "M2 4h12v2H2zM2 10h12v2H2z",
  plus: "M7 2h2v5h5v2H9v5H7V9H2V7h5z",
};
const PAID_FROM = {
  worked: "instance_cost",
  idle: "instance_cost",
  booting: "instance_cost",
  late: "late_cost",
  dropped: "drop_cost",
};
const ITEMS = [
  ["instance_cost", "Instances"],
  ["late_cost", "Lateness"],
  ["drop_cost", "Drops"],
];

const dollars = (value) => `$${value.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`;
const whole = (value) => Math.round(value).toLocaleString("en");

/** Make an element, as in `make("button", { class: "x", onclick }, "text", child)`. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** Move `colour` away from `paper` until it is visible: a contrast of 3 to 1 on dark paper (WCAG 2.1), 2 to 1 on light. */
function legible(colour, paper) {
  const channels = (text) => {
    const hex = text.trim().match(/^#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})$/i);
    return hex
      ? hex.slice(1).map((part) => parseInt(part, 16))
      : (text.match(/[\d.]+/g) ?? [0, 0, 0]).slice(0, 3).map(Number);
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((c) => (c / 255 <= 0.04045 ? c / 3294.6 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = light(channels(paper)),
    toward = ground < 0.4 ? 255 : 0;
  let rgb = channels(colour);
  for (let step = 0; step < 20; step++) {
    const [low, high] = [light(rgb), ground].sort((a, b) => a - b);
    if ((high + 0.05) / (low + 0.05) >= (toward ? 3 : 2)) break;
    rgb = rgb.map((c) => Math.round(c + (toward - c) * 0.1));
  }
  return `rgb(${rgb.join(", ")})`;
}

/** Make a button with an icon and a text. */
function textButton(symbol, text, pressed) {
  return make(
    "button",
    { type: "button", class: `asr-button asr-button-${symbol}`, title: text, onclick: pressed },
    icon(symbol),
    make("span", {}, text),
  );
}

/** Show why each policy acted: the explanations of explain.py, in words and bars. */
function reasons(why) {
  return why.map(({ who, saw, did, scale, bars }) => {
    const rows = bars.flatMap(({ label, start, end, text, chosen }) => {
      const bar = make("i");
      bar.style.left = `${100 * start}%`;
      bar.style.width = `${100 * Math.max(end - start, 0.004)}%`;
      const mark = chosen ? " asr-chosen" : "";
      return [
        make("span", { class: `asr-what${mark}` }, label),
        make("div", { class: `asr-track${mark}` }, bar),
        make("span", { class: `asr-value${mark}` }, text),
      ];
    });
    return make(
      "section",
      {},
      make("h2", { class: "asr-who" }, who),
      make("p", {}, saw),
      bars.length ? make("p", { class: "asr-scale" }, scale) : null,
      make("div", { class: "asr-bars" }, ...rows),
      make("p", {}, did),
    );
  });
}

/** Show the score card of score.py as a table and as bars; its buttons call `again`, `fresh` and `replay`. */
function scoreCard(scene, card, style, { again, fresh, replay }) {
  const columns = card.lanes.concat(card.optimum ? [card.optimum] : []);
  const most = Math.max(...columns.map((column) => column.cost), 0.01);
  const row = (label, cells, kind) =>
    make(
      "tr",
      { class: kind ?? "" },
      make("th", { scope: "row" }, label),
      ...cells.map((cell) => make("td", {}, cell)),
    );
  const table = make(
    "table",
    {},
    make(
      "thead",
      {},
      make("tr", {}, make("th", {}, ""), ...columns.map((column) => make("th", { scope: "col" }, column.label))),
    ),
    make(
      "tbody",
      {},
      row(
        "Cost",
        columns.map((column) => dollars(column.cost)),
        "asr-total",
      ),
      ...ITEMS.map(([item, label]) =>
        row(
          label,
          columns.map((column) => dollars(column.items[item])),
        ),
      ),
      row(
        "Most expensive hour",
        columns.map(({ most_expensive_hour: most }) => `${String(most.hour).padStart(2, "0")}:00, ${dollars(most.cost)}`),
        "asr-more",
      ),
      row(
        "Longest queue",
        columns.map((column) => whole(column.peak_queue)),
        "asr-more",
      ),
      row(
        "Scaling actions",
        columns.map((column) => whole(column.scaling_actions)),
        "asr-more",
      ),
    ),
  );
  const bars = columns.map((column) => {
    const pieces = Object.entries(card.words).map(([name, label]) => {
      const piece = make("i", { class: `asr-${name}`, title: `${label}: ${dollars(column.where[name])}` });
      piece.style.width = `${(100 * column.where[name]) / most}%`;
      piece.style.setProperty("--asr-colour", legible(scene.colours[PAID_FROM[name]], style.paper));
      return piece;
    });
    return [make("span", {}, column.label), make("div", { class: "asr-money" }, ...pieces)];
  });
  const keys = Object.entries(card.words).map(([name, label]) => {
    const swatch = make("i", { class: `asr-key asr-block asr-${name}` });
    swatch.style.setProperty("--asr-colour", legible(scene.colours[PAID_FROM[name]], style.paper));
    return make("span", {}, swatch, label);
  });
  return [
    make("h2", {}, "Score card"),
    make("p", { class: "asr-verdict" }, card.verdict),
    make(
      "div",
      { class: "asr-columns" },
      make("div", { class: "asr-scroll" }, table),
      make(
        "div",
        {},
        make("h3", {}, "Where the money went"),
        make("div", { class: "asr-moneys" }, ...bars.flat()),
        make("div", { class: "asr-legend" }, ...keys),
      ),
    ),
    card.reason ? make("p", { class: "asr-note" }, card.reason) : null,
    make(
      "p",
      { class: "asr-note" },
      `This was ${scene.title}. Type its number as the day to get the same day again, on any machine.`,
    ),
    make(
      "div",
      { class: "asr-transport" },
      textButton("fresh", "Try a new day", fresh),
      textButton("restart", "Play the day again", again),
      textButton("play", "Replay with both fleets", replay),
    ),
  ].filter((part) => part !== null);
}
