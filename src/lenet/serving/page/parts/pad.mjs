// A canvas on which mouse, finger and keyboard draw strokes.

import { ARROWS, throttled } from "./state.mjs";
import { clamped } from "./numbers.mjs";
import { colour, crisp } from "./paint.mjs";
import { trace } from "./strokes.mjs";

const PAD_PEN = 0.055; // of the pad's width

export class Pad {
  // `holder.strokes` is drawn, `startStroke(point)` replaces it by one with a new stroke, `changed()` follows each change,
  // and `status` says whether the keyboard's pen is down.
  constructor(canvas, holder, startStroke, changed, status) {
    Object.assign(this, { canvas, holder, startStroke, status });
    this.pen = { x: 0.5, y: 0.3, isDown: false, isShown: false }; // of the keyboard
    this.pointer = null; // id of the pointer that draws
    this.changed = throttled(() => {
      this.draw();
      changed();
    });
    canvas.addEventListener("pointerdown", (event) => this.begin(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const end of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(end, (event) => event.pointerId === this.pointer && (this.pointer = null));
    }
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  draw() {
    const width = this.canvas.clientWidth;
    const context = crisp(this.canvas, width, width);
    context.save();
    context.scale(width, width);
    context.strokeStyle = colour("--text");
    context.lineWidth = PAD_PEN;
    trace(context, this.holder.strokes);
    context.restore();
    if (this.pen.isShown) this.drawPen(context, width);
  }

  drawPen(context, width) {
    context.strokeStyle = context.fillStyle = colour("--mark");
    context.lineWidth = 3;
    context.beginPath();
    context.arc(this.pen.x * width, this.pen.y * width, 9, 0, 2 * Math.PI);
    context.stroke();
    if (this.pen.isDown) context.fill();
  }

  // End the stroke in hand.
  lift() {
    this.pointer = null;
    this.pen.isDown = false;
    this.status.textContent = "";
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    const part = (length, of) => clamped(length / of, 0, 1);
    return { x: part(event.clientX - box.left, box.width), y: part(event.clientY - box.top, box.height) };
  }

  begin(event) {
    if (this.pointer !== null || event.button > 0) return;
    this.lift(); // the keyboard's pen
    this.startStroke(this.place(event));
    this.pointer = event.pointerId;
    this.canvas.setPointerCapture(this.pointer);
    this.pen.isShown = false;
    this.changed();
  }

  move(event) {
    if (event.pointerId !== this.pointer) return;
    const events = event.getCoalescedEvents?.() ?? [];
    this.holder.strokes.at(-1).push(...(events.length ? events : [event]).map((each) => this.place(each)));
    this.changed();
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const arrow = ARROWS[event.key];
    if (arrow) this.movePen(arrow, event.shiftKey ? 0.1 : 0.025);
    else if (event.key === " ") this.togglePen();
    else return;
    event.preventDefault();
    this.pen.isShown = true;
    this.changed();
  }

  movePen([right, down], step) {
    const { pen } = this;
    pen.x = clamped(pen.x + step * right, 0.04, 0.96);
    pen.y = clamped(pen.y + step * down, 0.04, 0.96);
    if (pen.isDown) this.holder.strokes.at(-1).push({ x: pen.x, y: pen.y });
  }

  togglePen() {
    const isDown = !this.pen.isDown;
    if (isDown) this.startStroke({ x: this.pen.x, y: this.pen.y });
    this.pen.isDown = isDown;
    this.status.textContent = isDown ? "Pen down" : "Pen up";
  }
}
