// Draws a frame of the control room on a canvas: numbers in, pixels out. widget.py joins this file with the other ones.

// The rows of each lane, as view.py defines them.
const ROWS = ["ready", "booting", "queue", "dropped", "cost"];

/** Unpack a frame of view.py: the head, the arrivals, and the rows of each lane. */
function readFrame(block) {
  if (!block || block.byteLength < 16) return null;
  const numbers = new Float32Array(block.buffer.slice(block.byteOffset, block.byteOffset + block.byteLength));
  const [counter, run, elapsedSteps, count] = numbers;
  let from = 4;
  const next = () => numbers.subarray(from, (from += elapsedSteps));
  const arrivals = next();
  const lanes = Array.from({ length: count }, () => Object.fromEntries(ROWS.map((name) => [name, next()])));
  return { counter, run, elapsedSteps, arrivals, lanes };
}

/** Return round numbers for the marks of an axis, from 0 to `high`, at least `count` besides the 0. */
function ticks(high, count) {
  const rough = high / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const distance = [1, 2, 5].map((factor) => factor * power).findLast((size) => size <= rough);
  const marks = [];
  for (let value = 0; value <= high * 1.0001; value += distance) marks.push(value);
  return marks;
}

/** Return the largest value of some rows, at least `least`. */
const largest = (rows, least) => {
  let most = least;
  for (const row of rows) for (const value of row) if (value > most) most = value;
  return most;
};

/** Return the time of day at which a step starts, such as 07:05. */
const timeOfDay = (step, scene) => {
  const minutes = Math.round((step * scene.step_seconds) / 60);
  const two = (number) => String(number).padStart(2, "0");
  return `${two(Math.floor(minutes / 60) % 100)}:${two(minutes % 60)}`;
};

/**
 * Place the panels: the position and size of each in CSS pixels, and the height of the whole chart. The panels shrink or
 * grow within limits towards a chart of the height `wanted`.
 */
function layOut(width, lanes, overlay, wanted) {
  const left = 46,
    right = 22,
    small = width < 560;
  const columns = overlay || lanes.length === 1 || width >= 700 ? 1 : lanes.length;
  const [usual, fixed] = small ? [[150, 60, 96], 60 + 74 * columns] : [[200, 76, 120], 60 + 74 * columns];
  const panelled = columns * (usual[0] + usual[1]) + usual[2];
  const scale = Math.min(1.3, Math.max(0.55, (wanted - fixed) / panelled));
  const [fleet, queue, cost] = usual.map((size) => Math.floor(size * scale));
  const panels = [];
  const column = (x, w, y, whose) => {
    panels.push({ kind: "fleet", whose, x, w, y, h: fleet });
    panels.push({ kind: "queue", whose, x, w, y: y + fleet + 28, h: queue, hours: true });
    return y + fleet + 28 + queue + 46;
  };
  const full = width - left - right;
  let y = 24;
  if (overlay || lanes.length === 1) {
    y = column(left, full, y, lanes);
  } else if (width >= 700) {
    const half = (width - 2 * (left + right)) / 2;
    column(left, half, y, [lanes[0]]);
    y = column(2 * left + right + half, half, y, [lanes[1]]);
  } else {
    for (const lane of lanes) y = column(left, full, y, [lane]);
  }
  panels.push({ kind: "cost", whose: lanes, x: left, w: full, y, h: cost, hours: true });
  return { panels, height: y + cost + 36 };
}

const tiles = new Map();

/** Return the diagonal stripes of booting instances, in the colour of their lane. */
function stripes(context, colour, paper) {
  const key = `${colour} on ${paper}`;
  if (tiles.has(key)) return tiles.get(key);
  const tile = document.createElement("canvas");
  tile.width = tile.height = 6;
  const pen = tile.getContext("2d");
  pen.fillStyle = paper;
  pen.fillRect(0, 0, 6, 6);
  pen.strokeStyle = colour;
  pen.lineWidth = 2;
  for (const shift of [-6, 0, 6]) {
    pen.beginPath();
    pen.moveTo(shift, 6);
    pen.lineTo(shift + 6, 0);
    pen.stroke();
  }
  tiles.set(key, context.createPattern(tile, "repeat"));
  return tiles.get(key);
}

/** The chart of a control room on one canvas. */
class Chart {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.drawn = 0;
  }

  /**
   * Draw a frame.
   * @param frame The result of readFrame.
   * @param scene The result of scene_of in view.py.
   * @param style The colours ink, soft, faint, paper, lanes (one per lane), queue and best; the font.
   * @param view overlay (both fleets in one panel), upto (steps to draw, or null for all), hover (the step under the
   *     pointer, or null), best (the fleet of the optimum, or null), height (wanted, in CSS pixels).
   */
  draw(frame, scene, style, view) {
    const width = Math.max(this.canvas.parentElement.clientWidth, 240);
    const ratio = window.devicePixelRatio || 1;
    const order = frame.lanes.map((_, lane) => lane);
    const { panels, height } = layOut(width, order, view.overlay, view.height);
    if (this.canvas.width !== Math.round(width * ratio) || this.canvas.height !== Math.round(height * ratio)) {
      this.canvas.width = Math.round(width * ratio);
      this.canvas.height = Math.round(height * ratio);
      this.canvas.style.width = `${width}px`;
      this.canvas.style.height = `${height}px`;
    }
    Object.assign(this, { frame, scene, style, view, panels });
    this.upto = Math.min(view.upto ?? frame.elapsedSteps, frame.elapsedSteps);
    const context = this.context;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    context.font = `12px ${style.font}`;
    const work = frame.arrivals.map((arrivals) => arrivals / scene.capacity);
    const fleets = frame.lanes.map((lane) => lane.ready.map((ready, step) => ready + lane.booting[step]));
    this.work = work;
    this.fleets = fleets;
    const tops = {
      fleet:
        1.08 *
        largest(
          [work, ...fleets, ...(view.best ? [view.best] : [])],
          Math.max(scene.peak / scene.capacity, scene.initial, scene.first_arrivals / scene.capacity),
        ),
      queue:
        1.1 *
        largest(
          frame.lanes.map((lane) => lane.queue),
          100,
        ),
      cost:
        1.08 *
        largest(
          frame.lanes.map((lane) => lane.cost.slice(-1)),
          1,
        ),
    };
    for (const panel of panels) {
      panel.top = tops[panel.kind];
      this.axes(panel);
      context.save();
      context.beginPath();
      context.rect(panel.x, panel.y - 1, panel.w, panel.h + 1);
      context.clip();
      this[panel.kind](panel);
      context.restore();
    }
    if (view.hover !== null && view.hover < this.upto) this.hairline(view.hover);
    this.drawn += 1;
    this.canvas.dataset.frame = String(frame.counter);
    this.canvas.dataset.elapsedSteps = String(frame.elapsedSteps);
    this.canvas.dataset.drawn = String(this.drawn);
  }

  x(panel, step) {
    return panel.x + (panel.w * step) / this.scene.steps;
  }

  y(panel, value) {
    return panel.y + panel.h * (1 - value / panel.top);
  }

  axes(panel) {
    const { context, style, scene } = this;
    const name = { fleet: "fleet (instances)", queue: "queue (requests)", cost: "cost so far ($)" }[panel.kind];
    const whose = panel.whose.length === 1 && panel.kind !== "cost" ? `${scene.lanes[panel.whose[0]].label}: ` : "";
    context.lineWidth = 1;
    context.strokeStyle = style.faint;
    context.fillStyle = style.soft;
    context.textBaseline = "middle";
    context.textAlign = "right";
    for (const value of ticks(panel.top, { fleet: 3, queue: 1, cost: 2 }[panel.kind])) {
      const y = Math.round(this.y(panel, value)) + 0.5;
      if (y < panel.y - 1) continue;
      context.beginPath();
      context.moveTo(panel.x, y);
      context.lineTo(panel.x + panel.w, y);
      context.stroke();
      context.fillText(value >= 10000 ? `${value / 1000}k` : value.toLocaleString("en"), panel.x - 6, y);
    }
    context.textBaseline = "alphabetic";
    context.textAlign = "left";
    context.fillText(whose + name, panel.x - 40, panel.y - 9);
    if (!panel.hours) return;
    const hours = (scene.steps * scene.step_seconds) / 3600;
    const distances = [0.25, 0.5, 1, 2, 3, 6, 12, 24, 48];
    const distance = distances.find((size) => (panel.w / hours) * size >= 44) ?? 96;
    context.textAlign = "center";
    for (let hour = 0; hour <= hours + 1e-9; hour += distance) {
      const x = panel.x + (panel.w * hour) / hours;
      context.fillText(timeOfDay((hour * 3600) / scene.step_seconds, scene), x, panel.y + panel.h + 15);
    }
    if (panel.kind === "cost") context.fillText("hour of the day", panel.x + panel.w / 2, panel.y + panel.h + 30);
  }

  /** Begin a path along values that are constant during each step. */
  outline(panel, values) {
    const { context } = this;
    context.beginPath();
    for (let step = 0; step < this.upto; step++) {
      const y = this.y(panel, values[step]);
      if (step === 0) context.moveTo(this.x(panel, 0), y);
      else context.lineTo(this.x(panel, step), y);
      context.lineTo(this.x(panel, step + 1), y);
    }
  }

  /** Fill the area from `low` (0 by default) up to `high`. */
  area(panel, high, low, fill) {
    if (this.upto === 0) return;
    const { context } = this;
    this.outline(panel, high);
    for (let step = this.upto - 1; step >= 0; step--) {
      const y = this.y(panel, low ? low[step] : 0);
      context.lineTo(this.x(panel, step + 1), y);
      context.lineTo(this.x(panel, step), y);
    }
    context.closePath();
    context.fillStyle = fill;
    context.fill();
  }

  line(panel, values, colour, width, dash = []) {
    const { context } = this;
    this.outline(panel, values);
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.lineJoin = "round";
    context.setLineDash(dash);
    context.stroke();
    context.setLineDash([]);
  }

  fleet(panel) {
    const { context, style, frame, scene } = this;
    const alone = panel.whose.length === 1;
    for (const lane of panel.whose) {
      const colour = style.lanes[lane];
      if (alone) {
        context.globalAlpha = 0.3;
        this.area(panel, frame.lanes[lane].ready, null, colour);
        context.globalAlpha = 1;
        this.area(panel, this.fleets[lane], frame.lanes[lane].ready, stripes(context, colour, style.paper));
      }
      this.line(panel, this.fleets[lane], colour, 2, alone || lane === 0 ? [] : [6, 3]);
    }
    if (this.view.best) this.line(panel, this.view.best, style.best, 1.5, [2, 3]);
    this.line(panel, this.work, style.ink, 1.3);
    if (frame.elapsedSteps === 0) this.first(panel);
    if (!alone) return;
    (scene.lanes[panel.whose[0]]?.handovers ?? []).forEach((handover, number) => {
      const x = this.x(panel, handover.elapsed_steps);
      const room = x + 8 + context.measureText(handover.label).width < panel.x + panel.w;
      context.strokeStyle = style.soft;
      context.lineWidth = 1;
      context.setLineDash([3, 3]);
      context.beginPath();
      context.moveTo(x, panel.y);
      context.lineTo(x, panel.y + panel.h);
      context.stroke();
      context.setLineDash([]);
      context.fillStyle = style.soft;
      context.textAlign = room ? "left" : "right";
      const y = panel.y + 12 + 14 * (number % 3);
      context.lineWidth = 4; // an edge, so that no line of the chart strikes the label through
      context.strokeStyle = style.paper;
      context.strokeText(handover.label, room ? x + 4 : x - 4, y);
      context.fillText(handover.label, room ? x + 4 : x - 4, y);
    });
  }

  /** Mark the demand of the first step and the ready fleet, which a policy sees before its first action. */
  first(panel) {
    const { context, style, scene } = this;
    const marks = [
      [scene.first_arrivals / scene.capacity, style.ink],
      [scene.initial, style.lanes[panel.whose[0]]],
    ];
    for (const [value, colour] of marks) {
      context.fillStyle = colour;
      context.beginPath();
      context.arc(panel.x + 5, this.y(panel, value), 4, 0, 2 * Math.PI);
      context.fill();
    }
  }

  queue(panel) {
    const { context, style, frame } = this;
    const alone = panel.whose.length === 1;
    for (const lane of panel.whose) {
      const { queue, dropped } = frame.lanes[lane];
      if (alone) this.area(panel, queue, null, style.queue);
      else this.line(panel, queue, style.lanes[lane], 1.8, lane === 0 ? [] : [6, 3]);
      context.fillStyle = alone ? style.ink : style.lanes[lane];
      for (let step = 0; step < this.upto; step++) {
        if (dropped[step] === 0) continue;
        const x = this.x(panel, step + 0.5),
          y = panel.y + 1 + (alone ? 0 : 8 * lane);
        context.beginPath();
        context.moveTo(x - 3.5, y);
        context.lineTo(x + 3.5, y);
        context.lineTo(x, y + 7);
        context.fill();
      }
    }
  }

  cost(panel) {
    const { context, style, frame } = this;
    const [first, second] = frame.lanes;
    if (second && this.upto > 0) {
      const higher = first.cost[this.upto - 1] > second.cost[this.upto - 1] ? 0 : 1;
      context.globalAlpha = 0.15;
      this.area(panel, first.cost, second.cost, style.lanes[higher]);
      context.globalAlpha = 1;
    }
    for (const lane of panel.whose)
      this.line(panel, frame.lanes[lane].cost, style.lanes[lane], 2.2, lane ? [6, 3] : []);
  }

  /** Mark the step under the pointer in every panel. */
  hairline(step) {
    const { context, style } = this;
    context.strokeStyle = style.ink;
    context.globalAlpha = 0.5;
    context.lineWidth = 1;
    for (const panel of this.panels) {
      const x = this.x(panel, step + 0.5);
      context.beginPath();
      context.moveTo(x, panel.y);
      context.lineTo(x, panel.y + panel.h);
      context.stroke();
    }
    context.globalAlpha = 1;
  }

  /** Return the step at a position on the canvas, in CSS pixels; null outside the panels. */
  stepAt(x, y) {
    for (const panel of this.panels ?? []) {
      if (x >= panel.x && x < panel.x + panel.w && y >= panel.y - 10 && y <= panel.y + panel.h + 10) {
        return Math.floor(((x - panel.x) / panel.w) * this.scene.steps);
      }
    }
    return null;
  }
}
