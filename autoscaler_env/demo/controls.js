// The controls: the clock, the day, the policies of the lanes, the buttons of a person who plays, the service.

const PERSON = "you"; // the name of the person, as session.py defines it
const LARGEST_TRACE = 4_000_000; // characters, as controls.py defines it

class Controls {
  /** `stale` is called when the view has to be drawn again. */
  constructor(clock, stale) {
    this.clock = clock;
    this.stale = stale;
    this.typed = new Set(); // controls that show an unfinished entry instead of the current value
    this.pointed = null; // the menu that was last opened with a mouse or a finger
    this.player = make("div", { class: "asr-player" });
    this.sliders = make("div", { class: "asr-sliders" });
    this.build();
    const { parts } = this;
    this.elements = [this.transport, parts["play-error"], parts.problem, this.lanes, this.player];
  }

  set(name, value) {
    this.typed.delete(name);
    this.clock.ask({ do: "set", name, value });
  }

  /**
   * Take a choice from a menu. A menu would keep the focus and the arrow keys. If the choice is the person, or if a
   * person plays and used the mouse, the focus goes back to the room: the next arrow key scales the fleet instead of
   * changing the menu.
   */
  choose(name, menu) {
    this.set(name, menu.value);
    const plays = menu.value === PERSON || (this.clock.scene.person !== null && this.pointed === menu);
    if (plays) menu.closest(".asr").focus({ preventScroll: true });
    this.pointed = null;
  }

  act(action) {
    this.clock.ask({ do: "act", action });
  }

  play() {
    this.clock.ask({ do: this.clock.playing ? "pause" : "play" });
  }

  /**
   * Handle a key of a person: the arrows scale the fleet, space plays and pauses, a full stop plays one step.
   * @param target The element that has the focus; keys of form fields and editors are left alone.
   */
  key(event, target) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (target.isContentEditable || target.matches?.("input, select, textarea")) return;
    const { scene } = this.clock;
    const use = () => {
      event.preventDefault();
      event.stopImmediatePropagation();
    };
    if (event.key === " " && !target.closest?.("button, summary, a")) {
      use();
      if (!event.repeat) this.play();
    }
    if (event.key === ".") {
      use();
      this.clock.ask({ do: "step" });
    }
    const changes = scene.actions.map((action) => action.change);
    const nearest = (sign) => {
      const wanted = changes.filter((change) => Math.sign(change) === sign).sort((a, b) => Math.abs(a) - Math.abs(b));
      return changes.indexOf(event.shiftKey ? wanted.at(-1) : wanted[0]);
    };
    const sign = { ArrowUp: 1, ArrowDown: -1, ArrowRight: 0 }[event.key];
    if (sign !== undefined && scene.person !== null && !scene.finished) {
      use();
      const action = nearest(sign);
      if (action >= 0 && !(event.repeat && this.clock.waiting !== null)) this.act(action);
    }
  }

  build() {
    const parts = (this.parts = {});
    const button = (name, symbol, text, pressed) => (parts[name] = textButton(symbol, text, pressed));
    parts.busy = make("span", { role: "status" });
    this.busy = make("div", { class: "asr-busy-note" }, parts.busy);
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
        name.startsWith("lane") ? "" : parts[`${name}-error`],
      );
    };
    const menu = (chosen) =>
      make("select", {
        onpointerdown: (event) => (this.pointed = event.currentTarget),
        onchange: (event) => chosen(event.target),
      });
    const select = (name) => menu((chosen) => this.choose(name, chosen));
    const typed = (name, type) =>
      make("input", {
        type,
        inputmode: name === "seed" ? "numeric" : "decimal",
        spellcheck: "false",
        onchange: (event) => this.set(name, event.target.value),
        oninput: () => this.typed.add(name),
      });
    parts.file = make("input", { type: "file", accept: ".csv,text/csv", hidden: true, onchange: () => this.upload() });
    const pattern = menu((chosen) => {
      if (chosen.value !== "file:") this.choose("pattern", chosen);
      else parts.file.click();
      this.stale();
    });
    parts["play-error"] = make("div", { class: "asr-error", role: "alert", "data-control": "play" });
    parts.problem = make("div", { class: "asr-error", role: "alert" });
    this.transport = make(
      "div",
      { class: "asr-transport" },
      button("play", "play", "Play", () => this.play()),
      button("step", "step", "Step", () => this.clock.ask({ do: "step" })),
      button("restart", "restart", "Restart", () => this.clock.ask({ do: "restart" })),
      button("fresh", "fresh", "New day", () => this.clock.ask({ do: "fresh" })),
      button("more", "more", "Settings", () => {
        const open = this.transport.classList.toggle("asr-open");
        parts.more.setAttribute("aria-expanded", String(open));
        this.stale();
      }),
      make(
        "div",
        { class: "asr-settings" },
        field("speed", "speed", select("speed"), "steps per second"),
        field("pattern", "workload", pattern),
        parts.file,
        field("seed", "day", typed("seed", "text"), "same number, same day"),
        field("steps", "length", select("steps")),
      ),
    );
    parts.more.setAttribute("aria-expanded", "false");
    parts.lanes = [1, 2].map((number) => {
      const lane = (parts[`card${number}`] = {
        swatch: make("span", { class: "asr-swatch" }),
        cost: make("output", { class: "asr-cost", "aria-live": "off" }),
        now: make("div", { class: "asr-now" }),
        note: make("div", { class: "asr-note" }),
      });
      lane.box = make(
        "section",
        { class: "asr-lane" },
        lane.swatch,
        field(`lane${number}`, number === 1 ? "first policy" : "second policy", select(`lane${number}`)),
        lane.cost,
        lane.now,
        make("div", { class: "asr-messages" }, parts[`lane${number}-error`], lane.note),
      );
      return lane;
    });
    parts.gap = make("output", { class: "asr-gap", "aria-live": "off" });
    this.lanes = make("div", { class: "asr-lanes" }, parts.lanes[0].box, parts.gap, parts.lanes[1].box);
    this.field = field;
    this.range = typed;
  }

  async upload() {
    const [file] = this.parts.file.files;
    this.parts.file.value = "";
    if (file) this.clock.ask({ do: "trace", name: file.name, text: await file.slice(0, LARGEST_TRACE + 1).text() });
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

  /** Show the current values and the error messages; leave unfinished entries alone. */
  show() {
    const { parts } = this;
    const { playing, scene, problem } = this.clock;
    const { values } = scene;
    parts.play.querySelector("path").setAttribute("d", ICONS[playing ? "pause" : "play"]);
    parts.play.lastChild.textContent = parts.play.title = playing ? "Pause" : "Play";
    parts.step.disabled = scene.finished;
    parts.problem.textContent = problem;
    this.fill(
      parts.speed,
      scene.speeds.map((speed) => ({ value: String(speed), label: String(speed) })),
      values.speed,
    );
    const patterns = scene.patterns.map((name) => ({ value: name, label: name }));
    this.fill(parts.pattern, [...patterns, { value: "file:", label: "upload a CSV file ..." }], values.pattern);
    this.fill(parts.steps, scene.lengths, values.steps);
    this.fill(parts.lane1, scene.policies, values.lane1);
    this.fill(parts.lane2, [...scene.policies, { value: "", label: "none", group: "one policy only" }], values.lane2);
    if (!this.sliders.firstChild) this.makeSliders(scene);
    parts.code.textContent = scene.service;
    for (const name of ["seed", ...Object.keys(scene.sliders)]) {
      const refused = scene.errors[name];
      for (const control of [parts[name], parts[`${name}-range`]]) {
        if (!control || this.typed.has(name) || (refused && control === parts[name])) continue;
        if (control.value !== String(values[name])) control.value = String(values[name]);
      }
    }
    for (const name of ["play", "speed", "pattern", "seed", "steps", "lane1", "lane2", ...Object.keys(scene.sliders)]) {
      const text = scene.errors[name] ?? "";
      if (parts[`${name}-error`].textContent !== text) parts[`${name}-error`].textContent = text;
      parts[name].setAttribute("aria-invalid", text ? "true" : "false");
    }
    this.person(scene);
  }

  /** Make the sliders, each with a text box, and show the service as Python code. */
  makeSliders(scene) {
    for (const [name, { label, unit, low, high, step }] of Object.entries(scene.sliders)) {
      const box = this.range(name, "text");
      const field = this.field(name, label, box, unit);
      field.querySelector("small").prepend(make("code", {}, name), ",");
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
      this.sliders.append(field);
    }
    const reset = make("button", {
      type: "button",
      class: "asr-button",
      onclick: () => this.clock.ask({ do: "reference" }),
    });
    reset.append(make("span", {}, "Reset the service"));
    this.parts.code = make("code");
    this.sliders.append(reset, make("div", { class: "asr-code" }, "In Python: ", this.parts.code));
  }

  /** Show the person's buttons if a person plays. */
  person(scene) {
    const { player } = this;
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
            const symbol = ["minus", "hold", "plus"][sign + 1];
            const button = make("button", {
              type: "button",
              class: "asr-act",
              "data-action": index,
              onclick: () => this.act(index),
            });
            button.append(icon(symbol), make("span", {}, label), make("kbd", {}, hint[sign]));
            button.title = `${label} (${hint[sign]})`;
            player.append(button);
          });
        player.append(make("p"));
      }
    }
    const help = player.querySelector("p");
    const boot = Number(scene.values.boot_steps);
    const aim = scene.lanes.length > 1 ? "pay less than the other policy" : "keep the cost low";
    const delay = scene.boot ?? (boot === 1 ? "1 step" : `${boot} steps`);
    const text = scene.finished
      ? "The day is over. Your score card is below the chart."
      : `You are the autoscaler: ${aim}. A new instance is ready after ${delay}. While the day is paused, each press plays one step. While it plays, a press sets the action of the next step. Space plays and pauses.`;
    if (help && help.textContent !== text) help.textContent = text;
    for (const button of player.querySelectorAll("button")) {
      button.disabled = scene.finished;
      button.classList.toggle("asr-next", scene.playing && Number(button.dataset.action) === scene.person);
    }
  }
}
