// The network as a figure: its stages, the connections of a unit, and pointing at units.

import { STAGES, SIDE } from "./network.mjs";
import { clamped, fractionsOf } from "./numbers.mjs";
import { hasWords, layoutFor, oneUnit, percentagesWidth, rectangle } from "./layout.mjs";
import { $, ARROWS, afterEachPass, animated, percent, state, throttled } from "./state.mjs";
import { colour, crisp, drawPixels, outline, raster, write } from "./paint.mjs";
import { indexOf, operationText, receptiveField, sizeText, sourcesOf, strongestUnit, title } from "./units.mjs";

export const figure = $("figure");
export let layout = null;

export const drawNetwork = throttled(() => {
  if (!state.outputs) return;
  const width = figure.parentElement.clientWidth;
  layout = layoutFor(width, state.outputs);
  figure.style.height = `${layout.height}px`;
  const context = crisp(figure, width, layout.height);
  context.imageSmoothingEnabled = false;
  for (const { name } of STAGES) drawStage(context, name);
  if (layout.isWide || state.unit) connectionsOf(state.unit).forEach((each) => drawConnection(context, each));
  if (state.unit) outline(context, rectangle(layout, "input", 0, receptiveField(state.unit)), colour("--mark"), 2);
  for (const stage of STAGES) writeLabels(context, stage);
  drawSeen();
});

function drawStage(context, name) {
  const { side } = state.outputs[name];
  const { planes } = layout.stages[name];
  const chosen = state.unit?.stage === name ? state.unit.map : null;
  const values = shades(name).slice();
  if (chosen !== null) values.fill(0, chosen * side * side + state.slide, (chosen + 1) * side * side);
  const atlas = raster(values, side);
  const order = [...planes.keys()].filter((map) => map !== chosen);
  if (chosen !== null) order.push(chosen); // the selected map is drawn in front
  for (const map of order) {
    const { x, y, w, h } = planes[map];
    context.drawImage(atlas, 0, map * side, side, side, x, y, w, h);
    if (side > 1) outline(context, planes[map], colour(map === chosen ? "--mark" : "--soft"), map === chosen ? 2 : 1);
  }
  if (side === 1 && layout.isWide) outline(context, layout.stages[name], colour("--soft"), 1);
}

// Return the connections of a unit as rectangles; without a unit, one example per stage.
function connectionsOf(unit) {
  if (unit) {
    const to = rectangle(layout, unit.stage, unit.map, oneUnit(unit));
    return patchesOf(unit).map((from) => ({ from, to, unit }));
  }
  return STAGES.slice(1).map(({ name }) => {
    const { maps, side } = state.outputs[name];
    const map = name === "output" ? strongestUnit(name).map : side > 1 ? maps - 1 : Math.floor(maps / 4);
    const [row, column] = [Math.floor(side * 0.3), Math.floor(side * 0.3)];
    const from = patchesOf({ stage: name, map, row, column }).at(-1);
    return { from, to: rectangle(layout, name, map, oneUnit({ row, column })) };
  });
}

// Return the rectangles of the patches that a unit is computed from; a column is a single rectangle.
function patchesOf(unit) {
  const sources = sourcesOf(unit);
  if (sources.length && state.outputs[sources[0].stage].side === 1) return [layout.stages[sources[0].stage]];
  return sources.map(({ stage, map, field }) => rectangle(layout, stage, map, field));
}

function drawConnection(context, { from, to, unit }) {
  const style = colour(unit ? "--mark" : "--text");
  outline(context, from, style, unit ? 1.5 : 1);
  outline(context, to, style, unit ? 2 : 1);
  context.globalAlpha = 0.8;
  context.lineWidth = unit ? 0.8 : 1;
  context.strokeStyle = style;
  context.beginPath();
  const [start, tip] = layout.isWide ? [[from.x + from.w, from.y], [to.x, to.y + to.h / 2]]
    : [[from.x, from.y + from.h], [to.x + to.w / 2, to.y]];
  context.moveTo(...start);
  context.lineTo(...tip);
  context.lineTo(from.x + from.w, from.y + from.h);
  context.stroke();
  context.globalAlpha = 1;
}

function writeLabels(context, stage) {
  const { x, y, w } = layout.stages[stage.name];
  const size = sizeText(state.outputs[stage.name]);
  const operation = stage.operation ? operationText(stage) : [];
  const squash = stage.squash ? [stage.squash.name] : [];
  if (layout.isWide) {
    write(context, title(stage.name), x + w / 2, 20, { size: 17, weight: 700 });
    write(context, size, x + w / 2, 41, { style: "--soft" });
    const middle = x - layout.stages[stage.name].gap / 2;
    const lines = [...operation, ...squash];
    lines.forEach((line, k) => write(context, line, middle, layout.foot + 19 * k, { style: "--soft" }));
  } else {
    const end = write(context, title(stage.name), 0, y - 10, { size: 16, weight: 700, align: "left", hasHalo: true });
    write(context, size, end + 9, y - 10, { align: "left", hasHalo: true });
    write(context, operation.join(" "), figure.clientWidth, y - 10, { style: "--soft", size: 13, align: "right", hasHalo: true });
  }
  if (stage.name === "output") writeClasses(context);
}

function writeClasses(context) {
  const { values } = state.outputs.output;
  layout.stages.output.planes.forEach(({ x, y, w, h }, label) => {
    const weight = values[label] === Math.max(...values) ? 700 : 400;
    const name = state.model.classes[label];
    if (layout.isWide) {
      const size = Math.min(14, h);
      const end = x + w + percentagesWidth() - 14;
      const room = end - x - w - 72;
      write(context, name, x + w + 10, y + h / 2 + size / 3, { size, weight, align: "left", room });
      write(context, percent(values[label]), end, y + h / 2 + size / 3, { size, weight, align: "right" });
    } else {
      write(context, name, x + w / 2, y + h + 15, { weight, room: hasWords() ? w - 4 : Infinity });
      outline(context, { x, y, w, h }, colour("--line"), 1);
    }
  });
}

function drawSeen() {
  const canvas = $("sees");
  const context = drawPixels(canvas, fractionsOf(state.pixels));
  if (!state.unit) return;
  const { top, left, bottom, right } = receptiveField(state.unit);
  const unit = canvas.clientWidth / SIDE;
  const [w, h] = [(right - left) * unit - 4, (bottom - top) * unit - 4];
  outline(context, { x: left * unit + 2, y: top * unit + 2, w, h }, colour("--mark"), 3);
}

// Return the values to show. The input is shown as pixels from 0 to 1, because standardised values exceed that range.
function shades(name) {
  return name === "input" ? fractionsOf(state.pixels) : state.outputs[name].values;
}

const listeners = [];

// Call a function when another unit is selected.
export const afterPointing = (work) => listeners.push(work);

export function pointAt(unit) {
  stopSliding();
  if (!state.outputs || JSON.stringify(unit) === JSON.stringify(state.unit)) return;
  select(unit);
}

function select(unit) {
  state.unit = unit;
  listeners.forEach((work) => work());
  drawNetwork();
}

const SLIDING = 9000; // milliseconds for a whole map
let stopSliding = () => {};

// Slide the kernel of the selected map over the stage before, unit by unit, and return to the selected unit.
export function slide() {
  const unit = state.unit;
  const { side } = state.outputs[unit.stage];
  stopSliding();
  const stop = animated(SLIDING, (progress) => {
    const at = Math.min(side * side - 1, Math.floor(progress ** 2 * side * side)); // slow at first, so that the eye follows
    state.slide = progress < 1 ? at + 1 : Infinity;
    select(progress < 1 ? { ...unit, row: Math.floor(at / side), column: at % side } : unit);
  });
  stopSliding = () => {
    stop();
    stopSliding = () => {};
    state.slide = Infinity;
    drawNetwork();
  };
}

// Return the unit that is visible at a place in the figure.
function unitAt(x, y) {
  for (const { name } of layout ? STAGES : []) {
    const { planes } = layout.stages[name];
    const { side } = state.outputs[name];
    const chosen = state.unit?.stage === name ? [state.unit.map] : [];
    for (const map of [...chosen, ...[...planes.keys()].reverse()]) {
      const { x: left, y: top, w, h } = planes[map];
      const [column, row] = [Math.floor(((x - left) / w) * side), Math.floor(((y - top) / h) * side)];
      if (row >= 0 && row < side && column >= 0 && column < side) return { stage: name, map, row, column };
    }
  }
  return null;
}

function pointByPointer(event) {
  const box = figure.getBoundingClientRect();
  const unit = unitAt(event.clientX - box.left, event.clientY - box.top);
  if (unit || event.type === "click") pointAt(unit);
  if (unit) uncover(unit, event.type === "click");
}

// Scroll if the arithmetic of a unit hides it or, if it is wanted too, is below the window; the unit stays in view.
function uncover(unit, isArithmeticWanted) {
  const { y, h } = rectangle(layout, unit.stage, unit.map, oneUnit(unit));
  const { top, bottom } = $("unit").getBoundingClientRect();
  const from = figure.getBoundingClientRect().top + y;
  const hidden = from + h + 8 - top;
  const below = isArithmeticWanted ? bottom - innerHeight : 0;
  const room = from - 8 - Math.max(0, $("tour").getBoundingClientRect().bottom);
  const distance = Math.min(room, Math.max(hidden, below));
  if (distance > 0) scrollBy({ top: Math.ceil(distance) });
}

function moveInStage(unit, dx, dy) {
  const { maps, side } = state.outputs[unit.stage];
  if (side === 1) return { ...unit, map: clamped(unit.map + dx + dy, 0, maps - 1) };
  return { ...unit, row: clamped(unit.row + dy, 0, side - 1), column: clamped(unit.column + dx, 0, side - 1) };
}

function moveToMap(unit, step) {
  const { maps } = state.outputs[unit.stage];
  return { ...unit, map: (unit.map + step + maps) % maps };
}

// Move to the same place in another stage.
function moveToStage(unit, step) {
  const stage = STAGES[clamped(indexOf(unit.stage) + step, 0, STAGES.length - 1)].name;
  const { maps, side } = state.outputs[stage];
  const scale = side / state.outputs[unit.stage].side;
  const place = (value) => Math.min(side - 1, Math.floor((value + 0.5) * scale));
  return { stage, map: Math.min(unit.map, maps - 1), row: place(unit.row), column: place(unit.column) };
}

function networkKey(event) {
  if (!state.outputs || event.ctrlKey || event.metaKey || event.altKey) return;
  const unit = state.unit ?? { stage: "c1", map: 0, row: 13, column: 13 };
  const moves = {
    PageUp: () => moveToMap(unit, -1), PageDown: () => moveToMap(unit, 1),
    "[": () => moveToStage(unit, -1), "]": () => moveToStage(unit, 1),
    Home: () => moveToStage(unit, -1), End: () => moveToStage(unit, 1),
    Escape: () => null,
  };
  const arrow = ARROWS[event.key];
  if (!arrow && !moves[event.key]) return;
  event.preventDefault();
  if (arrow) pointAt(state.unit ? moveInStage(unit, ...arrow) : unit);
  else pointAt(moves[event.key]());
  if (state.unit) uncover(state.unit, true);
}

export function preparePointing() {
  afterEachPass(drawNetwork);
  figure.addEventListener("pointermove", (event) => event.pointerType === "mouse" && pointByPointer(event));
  figure.addEventListener("click", pointByPointer);
  $("network").addEventListener("keydown", networkKey);
}

