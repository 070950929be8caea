// Where the stages and maps of the network are in the figure.

import { STAGES } from "./network.mjs";
import { state } from "./state.mjs";

const WIDE = 1450; // CSS pixels, the width of the figure for these sizes
const STACKS = {
  // side of a unit, steps right and down from map to map, and the gap to the previous stage relative to all gaps; if the
  // maps lie side by side, the gaps between them instead of the steps, and how many are in a row
  input: [5, 0, 0, 6], c1: [4, 17, 50, 30], s2: [6, 11, 40, 30], c3: [5.4, 6, 6, 34, 4], s4: [8, 6, 6, 30, 4],
  c5: [3.3, 0, 3.3, 106], f6: [3.3, 0, 3.3, 150], output: [28, 0, 28, 138],
};
const [HEAD, FOOT, COLUMN] = [56, 76, 26]; // above and below the stages, and the width of a column
const PERCENTAGES = 108; // to the right of the output
const NAME = 80; // CSS pixels for the name of a class
const MANY_NAMES = 30;

export const hasWords = () => state.model.classes.some((name) => name.length > 2);
export const percentagesWidth = () => PERCENTAGES + (hasWords() ? NAME - 24 : 0); // numbers need 24 pixels

// As in Figure 2 of the paper: stages from left to right, with the maps of C1 and S2 behind each other.
function wide(width, outputs) {
  const names = Object.keys(STACKS);
  const stages = Object.fromEntries(names.map((name) => [name, stackOf(name, width / WIDE, outputs[name])]));
  const rest = names.reduce((room, name) => room - stages[name].w, width - percentagesWidth());
  const gaps = names.reduce((sum, name) => sum + STACKS[name][3], 0);
  const tallest = Math.max(...names.map((name) => stages[name].h));
  let x = 0;
  for (const name of names) {
    const stage = stages[name];
    stage.gap = (rest * STACKS[name][3]) / gaps;
    x += stage.gap;
    stage.x = Math.round(x);
    stage.y = Math.round(HEAD + (tallest - stage.h) / 2);
    x += stage.w;
  }
  const end = HEAD + tallest;
  return { isWide: true, height: end + FOOT, foot: end + 26, stages: withPlanes(stages) };
}

// Return the sizes of a stage. Units are whole screen pixels, so that their edges are sharp.
function stackOf(name, scale, { maps, side }) {
  const snap = (length) => Math.max(1, Math.round(length * scale * devicePixelRatio)) / devicePixelRatio;
  const [unit, right, down, , columns] = STACKS[name];
  const high = snap(name === "output" ? Math.min(unit, 340 / maps) : unit);
  const size = side > 1 ? { w: side * high, h: side * high } : { w: snap(COLUMN), h: high };
  const tile = columns ? size.w : 0;
  const step = side > 1 ? { x: tile + snap(right), y: tile + snap(down) } : { x: 0, y: high };
  const place = (k) => (columns ? [k % columns, Math.floor(k / columns)] : [k, k]);
  const places = Array.from({ length: maps }, (_, k) => ({ x: place(k)[0] * step.x, y: place(k)[1] * step.y }));
  const reach = (axis) => Math.max(...places.map((each) => each[axis]));
  return { size, places, w: size.w + reach("x"), h: size.h + reach("y") };
}

function withPlanes(stages) {
  for (const stage of Object.values(stages)) {
    stage.planes = stage.places.map(({ x, y }) => ({ x: stage.x + x, y: stage.y + y, ...stage.size }));
  }
  return stages;
}

// Maps per row if the figure is narrower than ROOMY CSS pixels, and if it is wider.
const PER_ROW = { input: [1, 1], c1: [6, 6], s2: [8, 8], c3: [8, 8], s4: [8, 8], c5: [24, 40], f6: [21, 42] };
const ROOMY = 560;
const MAP = 130; // CSS pixels, the maximum width of a map

const classesPerRow = (width, maps) =>
  Math.min(maps, hasWords() && maps <= MANY_NAMES ? Math.max(1, Math.floor(width / NAME)) : 13);

// For narrow screens: stages from top to bottom, with the maps of a stage side by side.
function narrow(width, outputs) {
  const stages = {};
  let y = 0;
  for (const { name } of STAGES) {
    const { maps, side } = outputs[name];
    const perRow = PER_ROW[name]?.[width < ROOMY ? 0 : 1] ?? classesPerRow(width, maps);
    const least = side > 1 ? 4 : 0; // between maps
    const room = Math.min(MAP, (width - 2 - least * (perRow - 1)) / perRow);
    const w = side * Math.floor((room / side) * devicePixelRatio) / devicePixelRatio;
    const h = name === "output" ? Math.min(w, 26) : w;
    const gap = side > 1 && perRow > 1 ? (width - 2 - perRow * w) / (perRow - 1) : 0;
    const rowHeight = h + (name === "output" ? 22 : Math.min(gap, 8));
    y += 44;
    const at = (_, k) => ({ x: 1 + (k % perRow) * (w + gap), y: y + Math.floor(k / perRow) * rowHeight, w, h });
    const planes = Array.from({ length: maps }, at);
    const last = planes.at(-1);
    stages[name] = { x: 1, y, w: planes[Math.min(maps, perRow) - 1].x + w - 1, h: last.y + h - y, planes };
    y += Math.ceil(maps / perRow) * rowHeight;
  }
  return { isWide: false, height: y + 8, stages };
}

export function rectangle(layout, name, map, { top, left, bottom, right }) {
  const { x, y, w, h } = layout.stages[name].planes[map];
  const { side } = state.outputs[name];
  const [dx, dy] = [w / side, h / side];
  return { x: x + left * dx, y: y + top * dy, w: (right - left) * dx, h: (bottom - top) * dy };
}

export const oneUnit = ({ row, column }) => ({ top: row, left: column, bottom: row + 1, right: column + 1 });

export function layoutFor(width, outputs) {
  const isWide = width >= 1140 + percentagesWidth() - PERCENTAGES;
  return isWide ? wide(width, outputs) : narrow(width, outputs);
}
