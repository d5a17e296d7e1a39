// The view of the control room. All decisions are made in Python (room.py): the view sends messages and shows the
// answers. widget.py puts chart.js, dom.js, clock.js and controls.js before this file.

const REPLAY = 6000; // milliseconds of a replay
const NARROW = 640; // CSS pixels inside the padding; the style sheet has the same
const PADDING = 12; // CSS pixels on each side of the room
const OUTSIDE = 110; // CSS pixels of a notebook's window above and below a cell

class View {
  constructor(model, element) {
    this.model = model;
    this.alive = true;
    this.overlay = null; // whether both fleets are in one panel; null where the width decides
    this.hover = null; // the step under the pointer
    this.replay = null; // when the replay started
    this.stale = () => (this.changed = true);
    this.clock = new Clock(model, this.stale);
    this.controls = new Controls(this.clock, this.stale);
    this.root = make("div", { class: "asr", tabindex: "0", role: "group", "aria-label": "Control room" });
    this.root.setAttribute("data-lm-suppress-shortcuts", "true"); // JupyterLab's shortcuts
    this.root.addEventListener("keydown", (event) => event.stopPropagation());
    this.build();
    element.append(this.root);
    this.listenToKeys();
    this.resized = this.stale;
    window.addEventListener("resize", this.resized);
    this.events = ["change:scene", "change:why", "change:card"];
    for (const event of this.events) model.on(event, this.stale);
    this.restyle = () => this.paint();
    this.size = new ResizeObserver(this.stale);
    this.size.observe(this.root);
    this.theme = new MutationObserver(this.restyle);
    this.theme.observe(document.body, { attributes: true });
    this.night = matchMedia("(prefers-color-scheme: dark)");
    this.night.addEventListener("change", this.restyle);
    this.stale();
    const loop = (now) => {
      if (!this.alive) return;
      // A notebook attaches the element and its style later; the colours cannot be read before that.
      if (!this.colours?.ink && this.root.isConnected) this.paint();
      this.clock.tick(now, this.root.isConnected);
      this.draw(now);
      this.request = requestAnimationFrame(loop);
    };
    this.request = requestAnimationFrame(loop);
  }

  /**
   * Listen to keys wherever they mean this room: inside it, and outside if the focus is on nothing smaller than what
   * contains it (the page; in a notebook its cell, and the notebook while this cell was used last). A key in another
   * cell or in a form field belongs to that.
   */
  listenToKeys() {
    this.near = Boolean(this.model.page);
    const home = () => this.root.closest(".jp-Cell, .cell") ?? document.body;
    const target = (event) => event.composedPath()[0];
    this.pointed = (event) => (this.near = home().contains(target(event)));
    this.pressed = (event) => {
      const focused = target(event);
      const around = this.near && focused instanceof Node && focused.contains(this.root);
      if (around || this.root.contains(focused)) this.controls.key(event, focused);
    };
    window.addEventListener("pointerdown", this.pointed, true);
    window.addEventListener("keydown", this.pressed, true);
  }

  /** Stop for good: the cell was deleted, its output was cleared, or the page was closed. */
  remove() {
    this.alive = false;
    window.removeEventListener("pointerdown", this.pointed, true);
    window.removeEventListener("keydown", this.pressed, true);
    window.removeEventListener("resize", this.resized);
    cancelAnimationFrame(this.request);
    this.clock.close();
    for (const event of this.events) this.model.off(event, this.stale);
    this.size.disconnect();
    this.theme.disconnect();
    this.night.removeEventListener("change", this.restyle);
    this.root.remove();
  }

  build() {
    const canvas = make("canvas", {
      class: "asr-canvas",
      role: "img",
      onpointermove: (event) => this.point(event.offsetX, event.offsetY),
      onpointerleave: () => this.point(-1, -1),
    });
    const parts = (this.parts = {
      canvas,
      title: make("strong"),
      legend: make("div", { class: "asr-legend" }),
      view: make("button", { type: "button", class: "asr-link", onclick: () => this.toggle() }),
      read: make("div", { class: "asr-read" }),
      score: make("section", { class: "asr-score", "aria-live": "polite" }),
      why: make("div", { class: "asr-why" }),
      call: make("div", { class: "asr-call", hidden: true }),
      callText: make("p"),
    });
    parts.start = textButton("play", "", () => {
      this.root.focus({ preventScroll: true });
      this.clock.ask({ do: "play" });
    });
    parts.call.append(parts.callText, parts.start);
    this.chart = new Chart(canvas);
    const section = (title, content, open) =>
      make("details", { class: "asr-details", open }, make("summary", {}, title), content);
    this.root.append(
      this.controls.busy,
      ...this.controls.elements,
      make("div", { class: "asr-bar" }, parts.title, parts.legend, parts.view),
      make("div", { class: "asr-chart" }, canvas, parts.call),
      parts.read,
      parts.score,
      section("Why did the policy act?", parts.why, true),
      section("The service: boot delay, capacity, prices", this.controls.sliders, false),
    );
  }

  get narrow() {
    return this.root.clientWidth - 2 * PADDING <= NARROW;
  }

  /** Whether both fleets are in one panel: as the person chose, else in narrow views. */
  get overlaid() {
    return this.overlay ?? this.narrow;
  }

  toggle() {
    this.overlay = !this.overlaid;
    this.replay = null;
    this.stale();
  }

  point(x, y) {
    const step = this.chart.stepAt(x, y);
    if (step === this.hover) return;
    this.hover = step;
    this.stale();
  }

  /** Choose the colours: JupyterLab's theme if there is one, else the system's light or dark theme. */
  paint() {
    const lab = document.body.dataset.jpThemeLight;
    const dark = lab === undefined ? this.night.matches : lab === "false";
    this.root.dataset.theme = dark ? "dark" : "light";
    const style = getComputedStyle(this.root);
    const value = (name) => style.getPropertyValue(name).trim();
    this.colours = {
      ink: value("--asr-ink"),
      soft: value("--asr-soft"),
      faint: value("--asr-faint"),
      paper: value("--asr-paper"),
      font: style.fontFamily,
    };
    this.stale();
  }

  draw(now) {
    const { scene, frame } = this.clock;
    const busy = this.clock.busy(now);
    this.root.classList.toggle("asr-busy", busy !== "");
    if (this.controls.parts.busy.textContent !== busy) this.controls.parts.busy.textContent = busy;
    if (this.replay !== null) this.stale();
    if (!this.changed || !this.root.isConnected || !this.colours?.ink) return;
    if (!frame || frame.lanes.length !== scene.lanes?.length) return; // one half of the answer is still to come
    this.changed = false;
    if (this.run !== frame.run) {
      this.run = frame.run;
      this.overlay = this.replay = this.wanted = null;
    }
    const card = scene.finished ? this.model.get("card") : null;
    let upto = null;
    if (this.replay !== null) {
      upto = Math.floor(((now - this.replay) / REPLAY) * scene.steps);
      if (upto >= scene.steps) this.replay = upto = null;
    }
    const style = {
      ...this.colours,
      lanes: scene.lanes.map((lane) => legible(lane.colour, this.colours.paper)),
      queue: legible(scene.colours.queue, this.colours.paper),
      best: this.colours.soft,
    };
    const overlay = this.overlaid;
    const best = (overlay && card?.optimum?.fleet) || null;
    this.controls.show();
    this.numbers(scene, card, style);
    this.chart.draw(frame, scene, style, { overlay, upto, hover: this.hover, best, height: this.height() });
    this.parts.canvas.dataset.lag = String(this.clock.lag);
    this.call(scene);
    this.reasons();
    this.scoring(scene, card, style);
  }

  /** Return the height for the chart, in CSS pixels, with which the whole room down to the chart is in one view. */
  height() {
    const { player } = this.controls;
    const top = (element) => element.getBoundingClientRect().top;
    const above = this.model.page ? top(this.root) + window.scrollY : OUTSIDE;
    const below = this.narrow ? player.offsetHeight + 8 : 48; // the buttons, or the caption
    return window.innerHeight - above - (top(this.parts.canvas) - top(this.root)) - below;
  }

  /** Call a person to act before the first step, over the empty part of the first chart. */
  call(scene) {
    const { call, callText, start } = this.parts;
    const { frame } = this.clock;
    const person = scene.lanes.findIndex((lane) => lane.person);
    const step = scene.played_steps;
    call.hidden = person < 0 || scene.playing || scene.finished || frame.elapsedSteps !== step;
    if (call.hidden) return;
    const panel = this.chart.panels.find(({ kind, whose }) => kind === "fleet" && whose.includes(person));
    const left = this.chart.x(panel, Math.max(step, scene.steps / 8)) + 10;
    Object.assign(call.style, { left: `${left}px`, top: `${panel.y + 20}px`, maxWidth: `${panel.x + panel.w - left}px` });
    const demand = (scene.first_arrivals / scene.capacity).toFixed(1);
    const time = timeOfDay(step, scene);
    const before = `It is ${time}. ${whole(scene.first_arrivals)} requests arrive in the first step, work for ${demand} instances. ${scene.initial} are ready.`;
    const paid = step && dollars(frame.lanes[person].cost[step - 1]);
    const after = `It is ${time}. The policy ${this.model.get("why")[person]?.who} has run the service so far, for ${paid}. Can you do it for less?`;
    const boot = Number(scene.values.boot_steps);
    const aim = scene.lanes.length > 1 ? "Lower cost wins." : "Keep the cost low.";
    const rules = `${aim} A new instance is ready ${scene.boot ?? (boot === 1 ? "one step" : `${boot} steps`)} later.`;
    const sentence = `${step ? after : before} ${rules} Or press an action or its arrow: one step at a time.`;
    if (callText.textContent !== sentence) callText.textContent = sentence;
    start.lastChild.textContent = start.title = `${step ? "Take over" : "Start"} (starts the clock)`;
  }

  numbers(scene, card, style) {
    const { parts } = this;
    const { frame } = this.clock;
    const last = frame.elapsedSteps - 1;
    parts.title.textContent = `${scene.title}, ${timeOfDay(frame.elapsedSteps, scene)}${scene.finished ? ": score card below" : ""}`;
    const costs = frame.lanes.map((lane) => (last >= 0 ? lane.cost[last] : 0));
    this.controls.parts.lanes.forEach((lane, number) => {
      const used = number < frame.lanes.length;
      lane.box.classList.toggle("asr-empty", !used);
      lane.swatch.style.background = used ? style.lanes[number] : "transparent";
      lane.cost.textContent = used ? dollars(costs[number]) : "";
      lane.note.textContent = used ? scene.lanes[number].note : "";
      if (!used) lane.now.textContent = "";
      else if (last < 0)
        lane.now.textContent = `${scene.initial} ready, ${whole(scene.first_arrivals)} requests in the first step`;
      else {
        const { ready, booting, queue, dropped } = frame.lanes[number];
        const extra = dropped[last] > 0 ? `, ${whole(dropped[last])} dropped` : "";
        lane.now.textContent = `${ready[last]} ready, ${booting[last]} booting, ${whole(queue[last])} waiting${extra}`;
      }
    });
    this.controls.parts.gap.replaceChildren();
    if (frame.lanes.length > 1) {
      const gap = costs[0] - costs[1];
      const leader = scene.lanes[gap > 0 ? 1 : 0].label;
      const even = Math.abs(gap) < 0.005;
      this.controls.parts.gap.append(
        make("b", {}, dollars(Math.abs(gap))),
        make("span", {}, even ? "equal costs" : `cheaper: ${leader}`),
      );
    }
    const key = (kind, label, colour) => {
      const swatch = make("i", { class: `asr-key asr-${kind}` });
      if (colour) swatch.style.setProperty("--asr-colour", colour);
      return make("span", {}, swatch, label);
    };
    const overlaid = this.overlaid && frame.lanes.length > 1;
    const text = JSON.stringify([
      overlaid,
      this.root.dataset.theme,
      style.lanes,
      scene.lanes.map((lane) => lane.label),
      Boolean(card?.optimum),
    ]);
    if (parts.legend.dataset.text !== text) {
      parts.legend.dataset.text = text;
      const own = overlaid
        ? scene.lanes.map((lane, number) => key(number ? "dashed" : "line", lane.label, style.lanes[number]))
        : [key("ready", "ready", style.lanes[0]), key("booting", "booting", style.lanes[0])];
      const best = overlaid && card?.optimum ? [key("dotted", "optimum", style.soft)] : [];
      parts.legend.replaceChildren(
        key("line", "demand", style.ink),
        ...own,
        ...best,
        key("queue", "queue", overlaid ? style.soft : style.queue),
        key("drop", "dropped"),
      );
    }
    parts.view.hidden = frame.lanes.length < 2;
    parts.view.textContent = this.overlaid ? "Show side by side" : "Overlay the fleets";
    parts.canvas.setAttribute(
      "aria-label",
      `${scene.title}: demand, capacity, queue and cost of ${scene.lanes.map((lane) => lane.label).join(" and ")}`,
    );
    this.reading(scene);
  }

  /** Show the values of the step under the pointer; without one, explain the chart. */
  reading(scene) {
    const { hover } = this;
    const { frame } = this.clock;
    if (hover === null || hover >= frame.elapsedSteps) {
      this.parts.read.textContent = scene.caption;
      return;
    }
    const demand = (frame.arrivals[hover] / scene.capacity).toFixed(1);
    const lanes = frame.lanes.map(
      (lane, number) =>
        `${scene.lanes[number].label}: ${lane.ready[hover]} ready, ${lane.booting[hover]} booting, ${whole(lane.queue[hover])} waiting, ${dollars(lane.cost[hover])}`,
    );
    this.parts.read.textContent = `${timeOfDay(hover, scene)}  demand ${demand} instances (${whole(frame.arrivals[hover])} requests).  ${lanes.join(".  ")}.`;
  }

  reasons() {
    const why = this.model.get("why");
    if (this.explained === why) return;
    this.explained = why;
    this.parts.why.replaceChildren(...reasons(why));
  }

  /** Show the score card of a finished day: ask for the card first, then for the optimum. */
  scoring(scene, card, style) {
    const { score } = this.parts;
    const want = !scene.finished ? null : !card ? "score" : card.pending ? "optimum" : null;
    if (want && this.wanted !== want) {
      this.wanted = want;
      this.clock.fetch({ do: want });
      if (want === "score") {
        this.overlay = scene.lanes.length > 1;
        this.stale();
      }
    }
    const text = card ? JSON.stringify([card, this.root.dataset.theme]) : "";
    if (score.dataset.card === text) return;
    score.dataset.card = text;
    const again = (message) => {
      this.clock.ask({ do: message });
      this.reveal(this.root);
    };
    const pressed = { again: () => again("restart"), fresh: () => again("fresh"), replay: () => this.show() };
    score.replaceChildren(...(card ? scoreCard(scene, card, style, pressed) : []));
    if (card?.pending && scene.lanes.some((lane) => lane.person)) this.reveal(score);
  }

  /** Whether the person asked the system for less motion. */
  get still() {
    return matchMedia("(prefers-reduced-motion: reduce)").matches;
  }

  reveal(element) {
    element.scrollIntoView({ block: "nearest", behavior: this.still ? "auto" : "smooth" });
  }

  /** Replay the day with the fleets overlaid. */
  show() {
    this.overlay = true;
    this.replay = this.still ? null : performance.now();
    this.reveal(this.parts.canvas);
    this.stale();
  }
}

export default {
  render({ model, el }) {
    const view = new View(model, el);
    return () => view.remove();
  },
};
