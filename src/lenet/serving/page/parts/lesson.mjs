// Two symbols of the reader's own, which a new last layer learns in the page.

import { forward } from "./network.mjs";
import { fractionsOf } from "./numbers.mjs";
import { learn, newLayer, read } from "./learning.mjs";
import { $, add, animated, isMotionUnwanted, number, percent, state } from "./state.mjs";
import { pixelsOfStrokes } from "./strokes.mjs";
import { colour, crisp, drawPixels, write } from "./paint.mjs";
import { Pad } from "./pad.mjs";

const NAMES = ["A", "B"];
const STEPS = 200; // of gradient descent
const LEARNING = 2000; // milliseconds for all steps
const ENOUGH = 2; // examples of each symbol

const lesson = { strokes: [], examples: [], layer: null, losses: [] }; // examples are {label, pixels, values}
let stopTraining = () => {};

export const lessonPad = new Pad($("lesson-pad"), lesson, (place) => (lesson.strokes = [...lesson.strokes, [place]]), showReading,
  $("lesson-pen"));

const valuesOf = (pixels) => forward(state.model, pixels).f6.values;
const countOf = (label) => lesson.examples.filter((each) => each.label === label).length;

// Show what the trained layer reads on the pad or, if the pad is empty, how the layer was trained.
function showReading() {
  const { layer, losses, strokes } = lesson;
  if (losses.length < STEPS) return;
  const probabilities = read(layer, valuesOf(pixelsOfStrokes(strokes)));
  const label = Number(probabilities[1] > probabilities[0]);
  const [first, last] = [losses[0], losses.at(-1)].map((loss) => number(loss, 3));
  $("lesson-text").textContent = strokes.length ? `The new layer reads ${NAMES[label]} with ${percent(probabilities[label])}.`
    : `${layer.parameters.length} parameters learned in ${STEPS} steps: the loss fell from ${first} to ${last}. Draw another`
      + " symbol to test them.";
}

function clearPad() {
  lesson.strokes = [];
  lessonPad.lift();
  lessonPad.changed();
}

function keep(label) {
  if (!lesson.strokes.length) {
    $("lesson-text").textContent = `Draw a symbol before you keep it as ${NAMES[label]}.`;
    return;
  }
  const pixels = pixelsOfStrokes(lesson.strokes);
  lesson.examples.push({ label, pixels, values: valuesOf(pixels) });
  clearPad();
  examplesChanged();
}

// A layer that learned other examples is no longer read.
function examplesChanged() {
  stopTraining();
  lesson.losses = [];
  drawExamples();
  drawCurve();
  const missing = NAMES.filter((_, label) => countOf(label) < ENOUGH);
  $("train").disabled = missing.length > 0;
  $("lesson-text").textContent = missing.length
    ? `Keep at least ${ENOUGH} examples of ${missing.join(" and ")}; about 5 of each work well.`
    : "Ready to train. More examples make it more reliable.";
}

export function drawExamples() {
  NAMES.forEach((name, label) => {
    const list = $(`examples-${name}`);
    list.replaceChildren();
    lesson.examples.filter((each) => each.label === label).forEach((example, k) => {
      const button = add(list, "button", { type: "button", title: "Remove" });
      button.setAttribute("aria-label", `Remove example ${k + 1} of ${name}`);
      drawPixels(add(button, "canvas"), fractionsOf(example.pixels));
      button.addEventListener("click", () => {
        lesson.examples = lesson.examples.filter((each) => each !== example);
        examplesChanged();
        (list.children[k] ?? list.lastElementChild ?? lessonPad.canvas).focus();
      });
    });
  });
}

function train() {
  stopTraining();
  lesson.losses = [];
  lesson.layer = newLayer(lesson.examples, NAMES.length);
  stopTraining = animated(isMotionUnwanted() ? 0 : LEARNING, (progress) => {
    while (lesson.losses.length < progress * STEPS) lesson.losses.push(learn(lesson.layer, lesson.examples));
    drawCurve();
    showReading();
  });
}

export function drawCurve() {
  const canvas = $("curve");
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const context = crisp(canvas, width, height);
  const [left, top, right, bottom] = [38, 12, width - 8, height - 24];
  const [first, last] = [lesson.losses[0] ?? Math.LN2, lesson.losses.at(-1)];
  const at = (step, loss) => [left + (step / STEPS) * (right - left), bottom - (loss / (1.1 * first)) * (bottom - top)];
  context.strokeStyle = colour("--line");
  context.lineWidth = 1;
  context.strokeRect(left, top, right - left, bottom - top);
  write(context, number(first), left - 6, at(0, first)[1] + 5, { size: 13, style: "--soft", align: "right" });
  write(context, "0", left - 6, bottom + 4, { size: 13, style: "--soft", align: "right" });
  write(context, `loss${last === undefined ? "" : ` ${number(last, 3)}`}`, right - 6, top + 16, { size: 13, align: "right" });
  write(context, `${STEPS} steps`, right, height - 6, { size: 13, style: "--soft", align: "right" });
  context.beginPath();
  lesson.losses.forEach((loss, k) => context.lineTo(...at(k, loss)));
  context.strokeStyle = colour("--mark");
  context.lineWidth = 2;
  context.stroke();
}

export function prepareLesson() {
  NAMES.forEach((name, label) => $(`keep-${name}`).addEventListener("click", () => keep(label)));
  $("lesson-clear").addEventListener("click", clearPad);
  $("train").addEventListener("click", train);
  examplesChanged();
}
