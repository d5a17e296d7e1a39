// The clock of the view: asks for each step when it is due, and stops if no answer comes. The room in Python has no
// clock, so nothing runs without a view.

const REPEAT_AFTER = 3000; // milliseconds without an answer until the request for the next step is repeated
const MOST_REPETITIONS = 5; // repetitions without an answer until the clock stops
const SLOW = 300; // milliseconds without an answer to a person until the view says that it waits
const SLOW_TICK = 1000; // the same for the request for the next step, which may be long work

class Clock {
  /** `changed` is called after every answer, and when the clock stops. */
  constructor(model, changed) {
    this.model = model;
    this.changed = changed;
    this.frame = readFrame(model.get("frame"));
    this.problem = ""; // why the clock stopped, if no answer came
    this.asked = null; // when the view asked for steps; null after the answer
    this.waiting = null; // when a person asked for something; null after the answer
    this.repetitions = 0;
    this.due = 0; // steps, also a fraction of one, that became due since the last request
    this.last = null; // the time of the last tick
    this.lag = 0; // milliseconds from the last request for steps to its answer
    this.receive = this.receive.bind(this);
    model.on("change:frame", this.receive);
  }

  close() {
    this.model.off("change:frame", this.receive);
  }

  get scene() {
    return this.model.get("scene");
  }

  get playing() {
    return this.scene.playing && !this.problem;
  }

  slow(now) {
    return (
      (this.waiting !== null && now - this.waiting > SLOW) || (this.asked !== null && now - this.asked > SLOW_TICK)
    );
  }

  /** Return what a person reads while no answer comes; empty otherwise. */
  busy(now) {
    if (!this.slow(now)) return "";
    return this.model.page
      ? "The server is busy. It carries out your last press when it is free."
      : "The kernel is busy, perhaps with another cell. It carries out your last press when it is free.";
  }

  send(message) {
    try {
      this.model.send(message);
    } catch {
      this.stop("The kernel has stopped. Run the cell again.");
    }
  }

  /** Send the request of a person. While the kernel is busy, presses that play a step do not pile up. */
  ask(message) {
    const now = performance.now();
    if (this.slow(now) && ["act", "step"].includes(message.do)) return;
    this.waiting ??= now;
    this.problem = "";
    this.repetitions = 0;
    this.send(message);
  }

  /** Send a request of the view itself. It may take long, and the view says so elsewhere. */
  fetch(message) {
    this.send(message);
  }

  /** Receive an answer: a frame answers every request, accepted or refused. */
  receive() {
    if (this.asked !== null) this.lag = performance.now() - this.asked;
    this.asked = this.waiting = null;
    this.repetitions = 0;
    this.problem = "";
    this.frame = readFrame(this.model.get("frame"));
    this.changed();
  }

  stop(problem) {
    this.problem = problem;
    this.asked = this.waiting = null;
    this.changed();
  }

  /** Ask for the steps that are due; one request at a time, so requests never pile up in a slow kernel. */
  tick(now, attached) {
    const passed = this.last === null ? 0 : (now - this.last) / 1000;
    this.last = now;
    if (!this.playing || !this.frame || !attached) {
      this.due = 0;
      return;
    }
    const { speed } = this.scene.values;
    this.due = Math.min(this.due + passed * speed, Math.max(1, speed / 4));
    if (this.asked === null ? this.due < 1 : now - this.asked < REPEAT_AFTER) return;
    if (this.asked !== null && ++this.repetitions > MOST_REPETITIONS) {
      this.stop("The kernel does not answer. Press Play to continue.");
      return;
    }
    const steps = Math.max(1, Math.floor(this.due));
    this.due = Math.max(0, this.due - steps);
    this.asked = now;
    this.send({ do: "tick", run: this.frame.run, elapsed_steps: this.frame.elapsedSteps, steps });
  }
}
