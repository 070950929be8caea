// What would change the answer: the pixels that matter, steps along the gradient, and the nearest written digits.

import { SIDE, forward, judged } from "./network.mjs";
import { fractionsOf, largestOf } from "./numbers.mjs";
import { nudged, towards } from "./learning.mjs";
import { $, add, afterEachPass, animated, isBlank, isMotionUnwanted, look, number, percent, state, thing } from "./state.mjs";
import { GLYPHS, handwritten, pixelsOfStrokes } from "./strokes.mjs";
import { colour, drawPixels, outline } from "./paint.mjs";

const RESTING = 250; // milliseconds without a change, after which gradients are computed
const EACH = 6; // written examples of each digit, to find the nearest
const NEAREST = 4;

let path = []; // the drawing, and then after each step along the gradient
let isStep = false; // whether the pixels that the network sees are a step
let restTimer = 0;
let stopSteps = () => {};
let written = null; // {digit, pixels, values}, made when they are first needed

const judgement = () => judged(state.model, Array.from(state.outputs.output.values));
const className = (label) => state.model.classes[label];
const target = () => Number($("target").value);

function restart() {
  if (isStep) return;
  stopSteps();
  clearTimeout(restTimer);
  restTimer = setTimeout(beginPath, RESTING);
}

function beginPath() {
  clearTimeout(restTimer);
  restTimer = 0;
  path = [Float64Array.from(state.pixels)];
  $("steps").value = 0;
  chooseTarget();
  showMind();
}

// Choose the second most probable class, unless another one is chosen that is not the answer.
function chooseTarget() {
  const { values } = state.outputs.output;
  const ranked = [...values.keys()].sort((a, b) => values[b] - values[a]);
  if (!$("target").dataset.chosen || target() === ranked[0]) $("target").value = ranked[1];
}

const gradientAt = (pixels) => towards(state.model, pixels, forward(state.model, pixels), target());

function showStep() {
  const count = Number($("steps").value);
  if (restTimer) beginPath(); // or else the steps would start from the drawing before, and the timer would restart them
  $("steps").value = count;
  while (path.length <= count) path.push(nudged(path.at(-1), gradientAt(path.at(-1))));
  isStep = true;
  look(Uint8Array.from(path[count], Math.round));
  isStep = false;
  showMind();
}

function showMind() {
  const blank = isBlank();
  for (const id of ["target", "steps", "change"]) $(id).disabled = blank;
  $("mind-text").textContent = blank ? `Draw a ${thing()} first.` : sentence();
  drawPixels($("changed"), fractionsOf(state.pixels));
  const gradient = blank ? path[0] : gradientAt(path[0]);
  const largest = largestOf(gradient);
  const context = drawPixels($("matter"), gradient.map((d) => d / largest));
  const cell = $("matter").clientWidth / SIDE;
  path[0].forEach((pixel, i) => {
    const [x, y] = [(i % SIDE) * cell + 1, Math.floor(i / SIDE) * cell + 1];
    if (pixel > 127) outline(context, { x, y, w: cell - 2, h: cell - 2 }, colour("--text"), 0.5);
  });
  drawNearest();
}

function sentence() {
  const count = Number($("steps").value);
  const { label, kind, text } = judgement();
  const reads = `${className(label)} with ${percent(state.outputs.output.values[label])}`;
  const rejected = kind !== "digit" ? ` The answer is “${text}”.` : "";
  const other = `${className(target())} with ${percent(state.outputs.output.values[target()])}`;
  if (!count) return `The network reads ${reads}, and ${other}.${rejected}`;
  const difference = path[count].reduce((sum, pixel, i) => sum + Math.abs(pixel - path[0][i]), 0) / path[0].length;
  return `After ${count} ${count > 1 ? "steps" : "step"}, the pixels differ by ${number(difference, 1)} of 255 grey levels on`
    + ` average, and the network reads ${reads}.${rejected} The whole page shows this drawing; with 0 steps, it shows yours.`;
}

// Step until the answer is the target, and is accepted.
function changeMind() {
  stopSteps();
  const most = Number($("steps").max);
  $("steps").value = 0;
  stopSteps = animated(isMotionUnwanted() ? 0 : 60 * most, (progress) => {
    while (Number($("steps").value) < Math.floor(progress * most)) {
      $("steps").stepUp();
      showStep();
      const { label, kind } = judgement();
      if (label === target() && kind !== "none") return stopSteps();
    }
  });
}

function distance(a, b) {
  return Math.sqrt(a.reduce((sum, value, i) => sum + (value - b[i]) ** 2, 0));
}

// Draw the written digits whose values in F6 are the most similar to those of the drawing.
function drawNearest() {
  if (state.model.isNamed) return;
  written ??= GLYPHS.flatMap((_, digit) => Array.from({ length: EACH }, () => {
    const pixels = pixelsOfStrokes(handwritten(digit));
    return { digit, pixels, values: forward(state.model, pixels).f6.values };
  }));
  const own = state.outputs.f6.values;
  const near = written.map((each) => ({ ...each, far: distance(each.values, own) })).sort((a, b) => a.far - b.far);
  $("nearest").replaceChildren();
  for (const { digit, pixels, far } of isBlank() ? [] : near.slice(0, NEAREST)) {
    const item = add($("nearest"), "li");
    drawPixels(add(item, "canvas"), fractionsOf(pixels));
    add(item, "span", { textContent: `${digit}, at ${number(far)}` });
  }
}

export function repaintMind() {
  if (path.length) showMind();
}

export function prepareMind({ classes, isNamed }) {
  classes.forEach((name, k) => add($("target"), "option", { value: k, textContent: name }));
  $("target").addEventListener("change", () => {
    stopSteps();
    $("target").dataset.chosen = "yes";
    path.length = 1;
    $("steps").value = 0;
    showStep();
  });
  $("steps").addEventListener("input", () => {
    stopSteps();
    showStep();
  });
  $("change").addEventListener("click", changeMind);
  $("nearest-box").hidden = isNamed;
  afterEachPass(restart);
}
