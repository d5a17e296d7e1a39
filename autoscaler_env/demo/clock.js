// The view's side of time: asks for each step when it is due, and notices when nobody answers. Python keeps no clock, so
// nothing runs where nobody looks.

const ASK_AGAIN = 3000; // milliseconds after which an unanswered request for the next step is repeated
const GIVE_UP = 5; // repetitions after which time stands still
const SLOW = 400; // milliseconds after which a person is shown that an answer is on its way

class Clock {
  /** `heard` is called after every answer, and when hope is given up. */
  constructor(model, heard) {
    this.model = model;
    this.heard = heard;
    this.frame = readFrame(model.get("frame"));
    this.complaint = ""; // why time stands still, if nobody answers
    this.asked = null; // when the next step was asked for, if no answer has come yet
    this.waiting = null; // when a person asked for something, if no answer has come yet
    this.repeated = 0;
    this.due = 0; // steps that have become due since the last request, a fraction too
    this.last = null; // time of the tick before
    this.lag = 0; // milliseconds that the last answer to a request for steps took
    this.hear = this.hear.bind(this);
    model.on("change:frame", this.hear);
  }

  close() {
    this.model.off("change:frame", this.hear);
  }

  get scene() {
    return this.model.get("scene");
  }

  get playing() {
    return this.scene.playing && !this.complaint;
  }

  slow(now) {
    return this.waiting !== null && now - this.waiting > SLOW;
  }

  send(message) {
    try {
      this.model.send(message);
    } catch {
      this.stop("The kernel has gone. Run the cell again.");
    }
  }

  /** Ask for what a person wants. */
  ask(message) {
    this.waiting = performance.now();
    this.complaint = "";
    this.repeated = 0;
    this.send(message);
  }

  /** Take an answer: every request is answered by a frame, whether it was granted or refused. */
  hear() {
    if (this.asked !== null) this.lag = performance.now() - this.asked;
    this.asked = this.waiting = null;
    this.repeated = 0;
    this.complaint = "";
    this.frame = readFrame(this.model.get("frame"));
    this.heard();
  }

  stop(complaint) {
    this.complaint = complaint;
    this.asked = this.waiting = null;
    this.heard();
  }

  /** Ask for the steps that are due; one request at a time, so that a slow kernel is never flooded. */
  tick(now, attached) {
    const passed = this.last === null ? 0 : (now - this.last) / 1000;
    this.last = now;
    if (!this.playing || !this.frame || !attached) {
      this.due = 0;
      return;
    }
    const { speed } = this.scene.values;
    this.due = Math.min(this.due + passed * speed, Math.max(1, speed / 4));
    if (this.asked === null ? this.due < 1 : now - this.asked < ASK_AGAIN) return;
    if (this.asked !== null && ++this.repeated > GIVE_UP) {
      this.stop("The kernel does not answer. Press play to go on.");
      return;
    }
    const steps = Math.max(1, Math.floor(this.due));
    this.due = Math.max(0, this.due - steps);
    this.asked = now;
    this.send({ do: "tick", run: this.frame.run, elapsed_steps: this.frame.elapsed_steps, steps });
  }
}
