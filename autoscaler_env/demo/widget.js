// The control room as a page shows it: controls, chart, player's buttons, reasons, score card. Everything is decided in
// Python (room.py): this sends messages and shows what comes back. chart.js and parts.js stand above in the same file.

const ASK_AGAIN = 3000; // milliseconds after which an unanswered request for the next slot is repeated
const GIVE_UP = 5; // repetitions after which time stands still

class View {
  constructor(model, element) {
    this.model = model;
    this.alive = true;
    this.asked = null; // when the next slot was asked for, if no answer has come yet
    this.repeated = 0;
    this.due = 0; // slots that have become due since the last request, a fraction too
    this.last = null; // time of the frame before
    this.overlay = false;
    this.hover = null;
    this.replay = null; // when a replay began
    this.typed = new Set(); // controls that show what a person typed, not what is in force
    this.root = make("div", { class: "asr", tabindex: "0", "data-lm-suppress-shortcuts": "true" });
    this.root.setAttribute("role", "group");
    this.root.setAttribute("aria-label", "Control room");
    element.append(this.root);
    this.build();
    this.root.addEventListener("keydown", (event) => this.key(event));
    this.listen = {
      "change:frame": () => this.hear(),
      "change:scene": () => this.stale(),
      "change:why": () => this.stale(),
      "change:card": () => this.stale(),
    };
    for (const [event, heard] of Object.entries(this.listen)) model.on(event, heard);
    this.restyle = () => this.paint();
    this.size = new ResizeObserver(() => this.stale());
    this.size.observe(this.root);
    this.theme = new MutationObserver(this.restyle);
    this.theme.observe(document.body, { attributes: true });
    this.night = matchMedia("(prefers-color-scheme: dark)");
    this.night.addEventListener("change", this.restyle);
    this.loop = (now) => {
      if (!this.alive) return;
      // A notebook attaches the element, and its style, after it was made: colours can be read only then.
      if (!this.colours?.ink && this.root.isConnected) this.paint();
      this.tick(now);
      this.draw(now);
      this.request = requestAnimationFrame(this.loop);
    };
    this.request = requestAnimationFrame(this.loop);
  }

  /** Stop for good: the cell was deleted, its output cleared, or the page closed. */
  remove() {
    this.alive = false;
    cancelAnimationFrame(this.request);
    for (const [event, heard] of Object.entries(this.listen)) this.model.off(event, heard);
    this.size.disconnect();
    this.theme.disconnect();
    this.night.removeEventListener("change", this.restyle);
    this.root.remove();
  }

  // --- messages ------------------------------------------------------------------------------------------------------

  send(message) {
    try {
      this.model.send(message);
      return true;
    } catch (error) {
      this.lost("The kernel has gone. Run the cell again.");
      return false;
    }
  }

  ask(message) {
    this.waiting = performance.now();
    this.silent = false;
    this.send(message);
  }

  /** Take an answer: whatever was asked for has been done, or refused. */
  hear() {
    if (this.asked !== null) this.parts.canvas.dataset.lag = String(performance.now() - this.asked);
    this.asked = null;
    this.waiting = null;
    this.repeated = 0;
    this.silent = false;
    this.frame = readFrame(this.model.get("frame"));
    this.stale();
  }

  lost(text) {
    this.silent = true;
    this.asked = null;
    this.parts.silence.textContent = text;
    this.stale();
  }

  stale() {
    this.changed = true;
  }

  /** Ask for the slots that are due; one request at a time, so that a slow kernel is never flooded. */
  tick(now) {
    const passed = this.last === null ? 0 : (now - this.last) / 1000;
    this.last = now;
    const scene = this.model.get("scene");
    if (!scene.playing || !this.frame || !this.root.isConnected || this.silent) {
      this.due = 0;
      return;
    }
    const speed = scene.values.speed;
    this.due = Math.min(this.due + passed * speed, Math.max(1, speed / 4));
    if (this.asked !== null) {
      if (now - this.asked < ASK_AGAIN) return;
      if (++this.repeated > GIVE_UP) {
        this.lost("The kernel does not answer. Press play to go on.");
        return;
      }
    } else if (this.due < 1) {
      return;
    }
    const slots = Math.max(1, Math.floor(this.due));
    this.due = Math.max(0, this.due - slots);
    this.asked = now;
    this.send({ do: "tick", run: this.frame.run, slot: this.frame.slot, slots });
  }

  set(name, value) {
    this.typed.delete(name);
    this.ask({ do: "set", name, value });
  }

  act(action) {
    this.ask({ do: "act", action });
  }

  key(event) {
    event.stopPropagation();
    if (event.target.matches("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
    const scene = this.model.get("scene");
    const changes = scene.actions.map((action) => action.change);
    const nearest = (sign) => {
      const wanted = changes.filter((change) => Math.sign(change) === sign).sort((a, b) => Math.abs(a) - Math.abs(b));
      return changes.indexOf(event.shiftKey ? wanted.at(-1) : wanted[0]);
    };
    const sign = { ArrowUp: 1, ArrowDown: -1, ArrowRight: 0 }[event.key];
    if (sign !== undefined && scene.person !== null) {
      event.preventDefault();
      const action = nearest(sign);
      if (action >= 0 && !(event.repeat && this.waiting)) this.act(action);
    }
  }

  // --- what is there -------------------------------------------------------------------------------------------------

  build() {
    const parts = (this.parts = {});
    const button = (name, picture, text, pressed) => (parts[name] = textButton(picture, text, pressed));
    const field = (name, label, control, unit) => {
      parts[name] = control;
      parts[`${name}-error`] = make("div", { class: "asr-error", role: "alert", "data-control": name });
      control.setAttribute("aria-label", label);
      control.setAttribute("data-control", name);
      return make(
        "label",
        { class: "asr-field" },
        make("span", { class: "asr-label" }, label, unit ? make("small", {}, ` ${unit}`) : ""),
        control,
        parts[`${name}-error`],
      );
    };
    const select = (name) => make("select", { onchange: (event) => this.set(name, event.target.value) });
    const typed = (name, type) =>
      make("input", {
        type,
        inputmode: name === "seed" ? "numeric" : "decimal",
        spellcheck: "false",
        onchange: (event) => this.set(name, event.target.value),
        oninput: () => this.typed.add(name),
      });
    parts.file = make("input", { type: "file", accept: ".csv,text/csv", hidden: true, onchange: () => this.upload() });
    const pattern = make("select", {
      onchange: (event) => {
        if (event.target.value !== "file:") this.set("pattern", event.target.value);
        else parts.file.click();
        this.stale();
      },
    });
    parts["play-error"] = make("div", { class: "asr-error", role: "alert", "data-control": "play" });
    parts.silence = make("div", { class: "asr-error", role: "alert" });
    const transport = make(
      "div",
      { class: "asr-transport" },
      button("play", "play", "Play", () => this.ask({ do: this.model.get("scene").playing && !this.silent ? "pause" : "play" })),
      button("step", "step", "Step", () => this.ask({ do: "step" })),
      button("restart", "restart", "Restart", () => this.ask({ do: "restart" })),
      field("speed", "speed", select("speed"), "slots/s"),
      field("pattern", "traffic", pattern),
      parts.file,
      field("seed", "day", typed("seed", "text"), "from 0"),
      field("slots", "length", select("slots")),
    );
    parts.lanes = [1, 2].map((number) => {
      const lane = (parts[`card${number}`] = {
        swatch: make("span", { class: "asr-swatch" }),
        bill: make("output", { class: "asr-bill" }),
        now: make("div", { class: "asr-now" }),
        note: make("div", { class: "asr-note" }),
      });
      lane.box = make(
        "section",
        { class: "asr-lane" },
        lane.swatch,
        field(`lane${number}`, number === 1 ? "first lane" : "second lane", select(`lane${number}`)),
        lane.bill,
        lane.now,
        lane.note,
      );
      return lane;
    });
    parts.gap = make("output", { class: "asr-gap" });
    const lanes = make("div", { class: "asr-lanes" }, parts.lanes[0].box, parts.gap, parts.lanes[1].box);
    parts.player = make("div", { class: "asr-player" });
    parts.canvas = make("canvas", {
      class: "asr-canvas",
      role: "img",
      onpointermove: (event) => this.point(event.offsetX, event.offsetY),
      onpointerleave: () => this.point(-1, -1),
    });
    this.chart = new Chart(parts.canvas);
    parts.title = make("strong", {});
    parts.read = make("div", { class: "asr-read" });
    parts.view = make("button", { type: "button", class: "asr-link", onclick: () => this.toggle() });
    parts.legend = make("div", { class: "asr-legend" });
    parts.why = make("div", { class: "asr-why" });
    parts.sliders = make("div", { class: "asr-sliders" });
    parts.score = make("section", { class: "asr-score", "aria-live": "polite" });
    this.root.append(
      transport,
      parts["play-error"],
      parts.silence,
      lanes,
      parts.player,
      make("div", { class: "asr-bar" }, parts.title, parts.legend, parts.view),
      make("div", { class: "asr-chart" }, parts.canvas),
      parts.read,
      parts.score,
      make("details", { class: "asr-details", open: true }, make("summary", {}, "Why did it act?"), parts.why),
      make(
        "details",
        { class: "asr-details asr-service" },
        make("summary", {}, "The service: boot delay, capacity, prices"),
        parts.sliders,
      ),
    );
    this.field = field;
    this.range = typed;
  }

  toggle() {
    this.overlay = !this.overlay;
    this.replay = null;
    this.stale();
  }

  point(x, y) {
    const slot = this.chart.slotAt(x, y);
    if (slot !== this.hover) {
      this.hover = slot;
      this.stale();
    }
  }

  async upload() {
    const [file] = this.parts.file.files;
    this.parts.file.value = "";
    if (file) this.ask({ do: "trace", name: file.name, text: await file.slice(0, 4000001).text() });
  }

  // --- what is shown -------------------------------------------------------------------------------------------------

  /** Choose colours: JupyterLab's where it is, else those of the system's light or dark theme. */
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
    const scene = this.model.get("scene");
    if (!this.frame) this.frame = readFrame(this.model.get("frame"));
    if (!this.frame || !scene.lanes || this.frame.lanes.length !== scene.lanes.length) return;
    const busy = this.waiting && now - this.waiting > 400;
    this.root.classList.toggle("asr-busy", Boolean(busy));
    if (this.replay !== null) this.changed = true;
    if (!this.changed || !this.root.isConnected || !this.colours?.ink) return;
    this.changed = false;
    if (this.run !== this.frame.run) {
      this.run = this.frame.run;
      this.overlay = false;
      this.replay = null;
      this.scored = null;
    }
    const card = this.model.get("card");
    const finished = scene.finished && card?.lanes;
    let upto = null;
    if (this.replay !== null) {
      upto = Math.floor(((now - this.replay) / 6000) * scene.slots);
      if (upto >= scene.slots) this.replay = upto = null;
    }
    const style = {
      ...this.colours,
      lanes: scene.lanes.map((lane) => legible(lane.colour, this.colours.paper)),
      queue: legible(scene.colours.queue, this.colours.paper),
      best: this.colours.soft,
    };
    this.chart.draw(this.frame, scene, style, {
      overlay: this.overlay,
      upto,
      hover: this.hover,
      best: this.overlay && finished && card.optimum ? card.optimum.fleet : null,
    });
    this.controls(scene);
    this.numbers(scene, style);
    this.reasons();
    this.scoring(scene, card, style);
  }

  fill(select, choices, value) {
    const text = JSON.stringify(choices);
    if (select.dataset.choices !== text) {
      select.dataset.choices = text;
      select.replaceChildren();
      const groups = new Map();
      for (const { value, label, group } of choices) {
        if (group && !groups.has(group)) {
          groups.set(group, make("optgroup", { label: group }));
          select.append(groups.get(group));
        }
        (groups.get(group) ?? select).append(make("option", { value }, label));
      }
    }
    if (select.value !== String(value)) select.value = String(value);
  }

  controls(scene) {
    const { parts } = this;
    const { values } = scene;
    const playing = scene.playing && !this.silent;
    parts.play.querySelector("path").setAttribute("d", ICONS[playing ? "pause" : "play"]);
    parts.play.lastChild.textContent = parts.play.title = playing ? "Pause" : "Play";
    parts.step.disabled = scene.finished;
    if (!this.silent) parts.silence.textContent = "";
    this.fill(
      parts.speed,
      scene.speeds.map((speed) => ({ value: String(speed), label: String(speed) })),
      values.speed,
    );
    const patterns = scene.patterns.map((name) => ({ value: name, label: name }));
    this.fill(parts.pattern, [...patterns, { value: "file:", label: "trace from a CSV file ..." }], values.pattern);
    this.fill(parts.slots, scene.lengths, values.slots);
    this.fill(parts.lane1, scene.policies, values.lane1);
    this.fill(parts.lane2, [...scene.policies, { value: "", label: "nobody", group: "none" }], values.lane2);
    if (!parts.sliders.firstChild) this.slide(scene);
    for (const name of ["seed", ...Object.keys(scene.sliders)]) {
      const refused = scene.errors[name];
      for (const control of [parts[name], parts[`${name}-range`]]) {
        if (!control || this.typed.has(name) || (refused && control === parts[name])) continue;
        if (control.value !== String(values[name])) control.value = String(values[name]);
      }
    }
    for (const name of ["play", "speed", "pattern", "seed", "slots", "lane1", "lane2", ...Object.keys(scene.sliders)]) {
      const text = scene.errors[name] ?? "";
      if (parts[`${name}-error`].textContent !== text) parts[`${name}-error`].textContent = text;
      parts[name].setAttribute("aria-invalid", text ? "true" : "false");
    }
    this.play(scene);
  }

  /** Make the sliders, each with a box to type in. */
  slide(scene) {
    for (const [name, { label, unit, low, high, step }] of Object.entries(scene.sliders)) {
      const box = this.range(name, "text");
      const field = this.field(name, label, box, unit);
      const range = make("input", {
        type: "range",
        min: low,
        max: high,
        step,
        "aria-label": label,
        oninput: (event) => (box.value = event.target.value),
        onchange: (event) => this.set(name, event.target.value),
      });
      this.parts[`${name}-range`] = range;
      field.insertBefore(range, box);
      this.parts.sliders.append(field);
    }
    const reset = make("button", { type: "button", class: "asr-button", onclick: () => this.ask({ do: "reference" }) });
    reset.append(make("span", {}, "Back to the reference"));
    this.parts.sliders.append(reset);
  }

  /** Show the person's buttons if a person plays. */
  play(scene) {
    const { player } = this.parts;
    const key = scene.person === null ? "" : JSON.stringify(scene.actions);
    if (player.dataset.actions !== key) {
      player.dataset.actions = key;
      player.replaceChildren();
      if (key) {
        const hint = { "-1": "arrow down", 0: "arrow right", 1: "arrow up" };
        scene.actions
          .map((action, index) => ({ ...action, index }))
          .sort((a, b) => a.change - b.change)
          .forEach(({ change, label, index }) => {
            const sign = Math.sign(change);
            const picture = ["minus", "hold", "plus"][sign + 1];
            const button = make("button", {
              type: "button",
              class: "asr-act",
              "data-action": index,
              onclick: () => this.act(index),
            });
            button.append(icon(picture), make("span", {}, label), make("kbd", {}, hint[sign]));
            player.append(button);
          });
        player.append(
          make(
            "p",
            {},
            "You are the autoscaler. Paused, each press plays one slot; after Play time passes by itself, and a press counts for the next slot.",
          ),
        );
      }
    }
    for (const button of player.querySelectorAll("button")) {
      button.disabled = scene.finished;
      button.classList.toggle("asr-next", scene.playing && Number(button.dataset.action) === scene.person);
    }
  }

  numbers(scene, style) {
    const { parts, frame } = this;
    const at = frame.slot - 1;
    parts.title.textContent = `${scene.title}, ${clock(frame.slot, scene)}`;
    const bills = frame.lanes.map((lane) => (at >= 0 ? lane.bill[at] : 0));
    parts.lanes.forEach((lane, number) => {
      const there = number < frame.lanes.length;
      lane.box.classList.toggle("asr-empty", !there);
      lane.swatch.style.background = there ? style.lanes[number] : "transparent";
      lane.bill.textContent = there ? dollars(bills[number]) : "";
      lane.note.textContent = there ? scene.lanes[number].note : "";
      if (!there) lane.now.textContent = "";
      else if (at < 0) lane.now.textContent = `${scene.initial} ready`;
      else {
        const { ready, booting, queue, dropped } = frame.lanes[number];
        const extra = dropped[at] > 0 ? `, ${whole(dropped[at])} dropped` : "";
        lane.now.textContent = `${ready[at]} ready, ${booting[at]} booting, ${whole(queue[at])} waiting${extra}`;
      }
    });
    parts.gap.replaceChildren();
    if (frame.lanes.length > 1) {
      const gap = bills[0] - bills[1];
      const leader = scene.lanes[gap > 0 ? 1 : 0].label;
      const even = Math.abs(gap) < 0.005;
      parts.gap.append(make("b", {}, dollars(Math.abs(gap))), make("span", {}, even ? "even" : `less for ${leader}`));
    }
    const key = (kind, label, colour) => {
      const swatch = make("i", { class: `asr-key asr-${kind}` });
      if (colour) swatch.style.setProperty("--asr-colour", colour);
      return make("span", {}, swatch, label);
    };
    const overlaid = this.overlay && frame.lanes.length > 1;
    const text = JSON.stringify([
      overlaid,
      this.root.dataset.theme,
      style.lanes,
      scene.lanes.map((lane) => lane.label),
      Boolean(this.model.get("card")?.optimum),
    ]);
    if (parts.legend.dataset.text !== text) {
      parts.legend.dataset.text = text;
      const own = overlaid
        ? scene.lanes.map((lane, number) => key(number ? "dashed" : "line", lane.label, style.lanes[number]))
        : [key("ready", "ready", style.lanes[0]), key("booting", "booting", style.lanes[0])];
      const best = overlaid && this.model.get("card")?.optimum ? [key("dotted", "optimum", style.soft)] : [];
      parts.legend.replaceChildren(
        key("line", "demand", style.ink),
        ...own,
        ...best,
        key("queue", "queue", overlaid ? style.soft : style.queue),
        key("drop", "dropped"),
      );
    }
    parts.view.hidden = frame.lanes.length < 2;
    parts.view.textContent = this.overlay ? "Show side by side" : "Overlay the fleets";
    parts.canvas.setAttribute(
      "aria-label",
      `${scene.title}: demand, capacity, queue and bill of ${scene.lanes.map((lane) => lane.label).join(" and ")}`,
    );
    this.reading(scene);
  }

  /** Say what the chart shows under the pointer. */
  reading(scene) {
    const { frame, hover } = this;
    if (hover === null || hover >= frame.slot) {
      this.parts.read.textContent = "";
      return;
    }
    const demand = (frame.arrivals[hover] / scene.capacity).toFixed(1);
    const lanes = frame.lanes.map(
      (lane, number) =>
        `${scene.lanes[number].label}: ${lane.ready[hover]} ready, ${lane.booting[hover]} booting, ${whole(lane.queue[hover])} waiting, ${dollars(lane.bill[hover])}`,
    );
    this.parts.read.textContent = `${clock(hover, scene)}  demand ${demand} instances (${whole(frame.arrivals[hover])} requests).  ${lanes.join(".  ")}.`;
  }

  reasons() {
    const why = this.model.get("why");
    if (this.explained === why) return;
    this.explained = why;
    this.parts.why.replaceChildren(...reasons(why));
  }

  /** Show the score card of a finished day; ask for it first. */
  scoring(scene, card, style) {
    const { score } = this.parts;
    if (!scene.finished) {
      score.replaceChildren();
      this.scored = null;
      return;
    }
    if (!card?.lanes || card.pending) {
      const want = card?.lanes ? "optimum" : "score";
      if (this.scored !== want) {
        this.scored = want;
        this.ask({ do: want });
        if (want === "score") {
          this.overlay = scene.lanes.length > 1;
          this.stale();
        }
      }
    }
    const text = JSON.stringify([card, this.root.dataset.theme]);
    if (!card?.lanes || score.dataset.card === text) return;
    score.dataset.card = text;
    const pressed = { again: () => this.ask({ do: "restart" }), replay: () => this.show() };
    score.replaceChildren(...scoreCard(scene, card, style, pressed));
  }

  /** Replay the day with the fleets overlaid. */
  show() {
    this.overlay = true;
    this.replay = matchMedia("(prefers-reduced-motion: reduce)").matches ? null : performance.now();
    this.parts.canvas.scrollIntoView({ block: "nearest", behavior: "smooth" });
    this.stale();
  }
}

export default {
  render({ model, el }) {
    const view = new View(model, el);
    return () => view.remove();
  },
};
