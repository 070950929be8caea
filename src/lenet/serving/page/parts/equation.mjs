// The selected unit: patch x kernel = products, their sum, the bias and the squashing function, with numbers.

import { STAGES } from "./network.mjs";
import { largestOf } from "./numbers.mjs";
import { $, afterEachPass, isMotionUnwanted, number, speaker, state } from "./state.mjs";
import { colour, crisp, outline, raster, tone, write } from "./paint.mjs";
import { allTermsOf, arithmeticOf, factsOf, indexOf, nameOf, receptiveField, stageBefore, title } from "./units.mjs";
import { afterPointing, figure, slide } from "./figure.mjs";

const CELL = 30; // CSS pixels, the width of a cell with a number
const SMALL = 10; // and of one without
const SIGN = 26; // the room for a sign between two grids
const LEGIBLE = 24; // the least width of a cell with a number
const PHONE = 760; // the width up to which style.css gives an equation little height
const CAPTION = 20; // the height of a caption
const CAPTION_WIDTH = 84; // of a long one, which is wider than a grid of two columns, or of five on phones

const sayUnit = speaker($("unit-spoken"));

function showUnit() {
  const { unit } = state;
  $("unit").hidden = !unit;
  if (!unit) {
    delete figure.dataset.field;
    sayUnit("");
    return;
  }
  const { top, left, bottom, right } = receptiveField(unit);
  figure.dataset.field = [top, left, bottom, right].join();
  $("unit-name").textContent = nameOf(unit);
  $("arithmetic").textContent = arithmeticOf(unit);
  $("unit-facts").textContent = factsOf(unit);
  $("slide").hidden = unit.stage === "input" || state.outputs[unit.stage].side === 1 || isMotionUnwanted();
  if (state.slide === Infinity) sayUnit(`${nameOf(unit)}: ${arithmeticOf(unit)}`);
  drawUnit();
}

export function drawUnit() {
  const { unit } = state;
  const all = unit && unit.stage !== "input" ? allTermsOf(unit) : [];
  const chosen = all.toSorted((a, b) => Math.abs(b.sum) - Math.abs(a.sum))[0];
  drawEquation(chosen, unit);
  drawKernels(all, chosen, unit);
}

// Return a canvas of a size that fits, or hide it.
function sized(canvas, width, height) {
  canvas.hidden = !width;
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const context = crisp(canvas, width, height);
  context.imageSmoothingEnabled = false;
  return context;
}

function drawEquation(chosen, unit) {
  const canvas = $("equation");
  if (!chosen) return sized(canvas, 0, 0);
  const { inputs, weights, products, width, map } = chosen;
  const isSmall = width > 5;
  const isKernel = !STAGES[indexOf(unit.stage)].pool;
  const room = canvas.parentElement.clientWidth - 4;
  const isOneRow = innerWidth <= PHONE || room >= 3 * width * (isSmall ? SMALL : 26) + 2 * SIGN;
  const fitting = Math.floor(isOneRow ? (room - 2 * SIGN) / (3 * width) : (room - SIGN) / (2 * width));
  const cell = Math.min(isSmall || fitting < LEGIBLE ? SMALL : CELL, fitting);
  const [w, h] = [width * cell, (inputs.length / width) * cell];
  const edge = 1 + Math.max(0, (CAPTION_WIDTH - w) / 2);
  const last = edge + (isOneRow ? 2 : 1) * (w + SIGN); // where the products start
  // On phones, there is room for the numbers of the products only.
  const scale = !isSmall && cell < LEGIBLE ? Math.min(CELL, Math.floor((room - last) / width)) / cell : 1;
  const before = title(stageBefore(unit.stage));
  // Paper is below 0 here, unlike in the figure.
  const from = before === "Input" ? "standardised" : isSmall ? before : `${before}, map ${map}`;
  const grids = [["", from, inputs], ["×", isKernel ? (isSmall ? "weights" : "kernel") : `1/${inputs.length} each`, weights], ["=", "products", products]];
  // The inputs' colours are relative to their whole stage, so that paper stays pale while a kernel slides.
  const [largestInput, largestWeight] = [state.outputs[stageBefore(unit.stage)].values, weights].map(largestOf);
  const largest = [largestInput, largestWeight, largestInput * largestWeight];
  const context = sized(canvas, last + scale * w + 1, (isOneRow ? 1 : 2) * (scale * h + CAPTION + 6));
  grids.forEach(([sign, caption, values], k) => {
    const column = isOneRow ? k : Math.min(k, 1);
    const [x, y, zoom] = [edge + column * (w + SIGN), CAPTION + (k - column) * (h + CAPTION + 6), k === 2 ? scale : 1];
    const box = { x, y, w: zoom * w, h: zoom * h };
    write(context, sign, x - SIGN / 2, y + h / 2 + 6, { size: 18 });
    write(context, caption, x + box.w / 2, y - 6, { size: 13, style: "--soft" });
    drawGrid(context, values, width, box, largest[k]);
  });
}

// Draw values as cells, in tones relative to `largest`, with their numbers if there is room.
function drawGrid(context, values, width, box, largest) {
  const cell = box.w / width;
  context.drawImage(raster(values.map((value) => value / largest), width), box.x, box.y, box.w, box.h);
  outline(context, box, colour("--soft"), 1);
  if (cell < LEGIBLE) return;
  values.forEach((value, i) => {
    const [red, green, blue] = tone(value / largest);
    const isDark = 0.299 * red + 0.587 * green + 0.114 * blue < 140;
    const [x, y] = [box.x + ((i % width) + 0.5) * cell, box.y + (Math.floor(i / width) + 0.64) * cell];
    write(context, brief(value), x, y, { size: 0.38 * cell, style: isDark ? "#fff" : "#000" });
  });
}

// Return a number in at most four characters.
const brief = (value) => (Math.abs(value) < 0.995 ? number(value).replace("0.", ".") : number(value, 1));

// Draw the kernels for all previous maps, with the sum that each contributes.
function drawKernels(all, chosen, unit) {
  const canvas = $("kernels");
  const isMany = all.length > 1;
  $("kernel-title").textContent = isMany
    ? `Its ${all.length} kernels, one for each map of ${title(stageBefore(unit.stage))}, each with the rounded sum of its products`
    : "";
  if (!isMany) return sized(canvas, 0, 0);
  const largest = largestOf(all.flatMap(({ weights }) => weights));
  const room = canvas.parentElement.clientWidth;
  const [size, gap, label] = [40, 8, 18];
  const rows = Math.ceil(all.length / Math.max(1, Math.floor((room + gap - 4) / (size + gap))));
  const perRow = Math.ceil(all.length / rows);
  const context = sized(canvas, perRow * (size + gap) - gap + 4, rows * (size + label + 6) + 2);
  all.forEach(({ weights, width, sum, map }, k) => {
    const box = { x: 2 + (k % perRow) * (size + gap), y: 2 + Math.floor(k / perRow) * (size + label + 6), w: size, h: size };
    context.drawImage(raster(weights.map((value) => value / largest), width), box.x, box.y, size, size);
    const isChosen = map === chosen.map;
    outline(context, box, colour(isChosen ? "--mark" : "--soft"), isChosen ? 2 : 1);
    write(context, number(sum), box.x + size / 2, box.y + size + 15, { size: 13, style: "--soft" });
  });
}

export function prepareUnit() {
  afterEachPass(showUnit);
  afterPointing(showUnit);
  $("slide").addEventListener("click", slide);
}
