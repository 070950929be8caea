// Units of the network: their receptive fields, their arithmetic and the words for them.

import { SIDE, STAGES, standardisation } from "./network.mjs";
import { clamped, fractionsOf } from "./numbers.mjs";
import { number, percent, state } from "./state.mjs";

export const title = (name) => (name === "output" ? "Output" : name === "input" ? "Input" : name.toUpperCase());

export function sizeText({ maps, side }) {
  if (side === 1) return `${maps}`;
  return `${maps > 1 ? `${maps} @ ` : ""}${side}×${side}`;
}

// Return the words that name the operation of a stage.
export function operationText({ name, pool, operation }) {
  const size = pool ?? state.model.parameters[`${name}.weight`].shape[2];
  return [...(size ? [`${size}×${size}`] : []), ...operation.split(" ")];
}

export const indexOf = (name) => STAGES.findIndex((stage) => stage.name === name);
export const stageBefore = (name) => STAGES[indexOf(name) - 1]?.name;

// Return the rows of the previous stage from which the rows [first, end) of a stage are computed.
function reach({ name, pool, padding }, first, end) {
  if (pool) return [first * pool, end * pool];
  const size = state.model.parameters[`${name}.weight`].shape[2] ?? 1;
  return [first - padding, end - 1 - padding + size];
}

// Return the patch of an earlier stage, `until`, that a unit depends on, clipped to the borders.
function fieldIn(until, { stage, row, column }) {
  let [top, bottom, left, right] = [row, row + 1, column, column + 1];
  for (let k = indexOf(stage); k > indexOf(until); k--) {
    [top, bottom] = reach(STAGES[k], top, bottom);
    [left, right] = reach(STAGES[k], left, right);
  }
  const { side } = state.outputs[until];
  const within = (value) => clamped(value, 0, side);
  return { top: within(top), left: within(left), bottom: within(bottom), right: within(right) };
}

export const receptiveField = (unit) => fieldIn("input", unit);

// Return the patches that a unit is computed from: one in each previous map, or for pooling only in its own.
export function sourcesOf(unit) {
  const k = indexOf(unit.stage);
  if (k === 0) return [];
  const stage = STAGES[k - 1].name;
  const field = fieldIn(stage, unit);
  const maps = STAGES[k].pool ? [unit.map] : [...Array(state.outputs[stage].maps).keys()];
  return maps.map((map) => ({ stage, map, field }));
}

function valueOf({ stage, map, row, column }, kind = "values") {
  const output = state.outputs[stage];
  return output[kind][(map * output.side + row) * output.side + column];
}

export function nameOf({ stage, map, row, column }) {
  const { maps, side } = state.outputs[stage];
  const name = stage === "output" && state.model.isNamed ? ` (${state.model.classes[map]})` : "";
  if (side === 1) return `${title(stage)}, unit ${map}${name}`;
  return `${title(stage)}${maps > 1 ? `, map ${map}` : ""}, row ${row}, column ${column}`;
}

// Return how a unit's value is computed, in one line.
export function arithmeticOf(unit) {
  const { name, pool } = STAGES[indexOf(unit.stage)];
  const value = number(valueOf(unit));
  if (name === "input") {
    const pixel = state.pixels[unit.row * SIDE + unit.column];
    const { mean, std } = standardisation(state.model, fractionsOf(state.pixels));
    return `(${pixel}/255 − ${number(mean, 4)}) / ${number(std, 4)} ≈ ${value}`.replace("− −", "+ ");
  }
  if (pool) return `mean(${termsOf(unit, unit.map).inputs.map((each) => number(each)).join(", ")}) ≈\u00a0${value}`;
  const bias = biasOf(unit);
  const sum = valueOf(unit, "sums");
  const result = name === "output" ? `exp(${number(sum)}) / total ≈ ${percent(valueOf(unit))}` : `sigmoid(${number(sum)}) ≈ ${value}`;
  const products = sum.toFixed(2) - bias.toFixed(2); // so that the printed numbers add up
  return `sum ${number(products)} + bias ${number(bias)} =\u00a0${number(sum)}\n${result}`;
}

const biasOf = ({ stage, map }) => state.model.parameters[`${stage}.bias`].values[map];

export function factsOf(unit) {
  const { top, left, bottom, right } = receptiveField(unit);
  const sees = bottom - top === SIDE && right - left === SIDE ? "The unit sees the whole input: its receptive field."
    : `The unit sees rows ${top} to ${bottom - 1} and columns ${left} to ${right - 1} of the input: its receptive field.`;
  if (unit.stage === "input") {
    const of = state.model.mean === null ? "this drawing's" : "the training set's";
    return `A pixel from 0 (paper) to 255 (ink), divided by 255 and standardised: ${of} mean is subtracted, and the result is`
      + " divided by its standard deviation. This puts paper below 0 and ink above it, on a similar scale in each drawing.";
  }
  const weight = state.model.parameters[`${unit.stage}.weight`];
  if (!weight) return `The mean of ${termsOf(unit, unit.map).inputs.length} units; it has no weights. ${sees}`;
  const count = weight.values.length / weight.shape[0];
  const squash = unit.stage === "output" ? "Softmax divides the exponential of the sum by the total for all classes."
    : "The sigmoid maps the sum to 0 (off) to 1 (on). Without it, several layers could do no more than one.";
  const { padding } = STAGES[indexOf(unit.stage)];
  const zeros = padding ? `The input is padded with ${padding} rows and columns of zeros. ` : "";
  return `The sum of ${count} products of an input and a learned weight, plus a learned bias, which sets how easily the unit turns on. ${squash} ${zeros}${sees}`;
}

// Return the inputs of a unit in one of the previous maps, its weights for them, and their products; zeros lie outside
// the border. A unit of F6 or of the output has a single source, the whole previous stage.
function termsOf(unit, source) {
  const k = indexOf(unit.stage);
  const { pool, padding } = STAGES[k];
  const before = state.outputs[STAGES[k - 1].name];
  const weight = state.model.parameters[`${unit.stage}.weight`];
  if (weight && !weight.shape[2]) {
    const weights = weight.values.subarray(unit.map * before.maps, (unit.map + 1) * before.maps);
    return terms(before.values, weights, nearSquare(before.maps));
  }
  const size = pool ?? weight.shape[2];
  const [top, left] = [unit.row, unit.column].map((place) => (pool ? place * pool : place - padding));
  const inputs = Array.from({ length: size * size }, (_, i) => {
    const [row, column] = [top + Math.floor(i / size), left + (i % size)];
    const isInside = Math.min(row, column) >= 0 && Math.max(row, column) < before.side;
    return isInside ? before.values[(source * before.side + row) * before.side + column] : 0;
  });
  if (pool) return terms(inputs, inputs.map(() => 1 / (size * size)), size);
  const first = (unit.map * before.maps + source) * size * size;
  return terms(inputs, weight.values.subarray(first, first + size * size), size);
}

function terms(inputs, weights, width) {
  const products = Array.from(inputs, (input, i) => input * weights[i]);
  return { inputs: Array.from(inputs), weights: Array.from(weights), products, width, sum: products.reduce((a, b) => a + b) };
}

// Return the terms of all previous maps that a unit is computed from.
export function allTermsOf(unit) {
  const sources = sourcesOf(unit).map(({ map }) => map);
  const isDense = state.model.parameters[`${unit.stage}.weight`]?.shape.length === 2;
  return (isDense ? [0] : sources).map((map) => ({ map, ...termsOf(unit, map) }));
}

// Return the unit with the largest value of a stage.
export function strongestUnit(stage) {
  const { values } = state.outputs[stage];
  return unitNumber(stage, values.indexOf(values.reduce((a, b) => Math.max(a, b))));
}

function unitNumber(stage, i) {
  const { side } = state.outputs[stage];
  return { stage, map: Math.floor(i / (side * side)), row: Math.floor(i / side) % side, column: i % side };
}

// Return the unit that best shows what a stage computes: the strongest, or for pooling, the one whose inputs differ most.
export function exampleUnit(stage) {
  if (!STAGES[indexOf(stage)].pool) return strongestUnit(stage);
  const spread = (unit) => {
    const { inputs } = termsOf(unit, unit.map);
    return Math.max(...inputs) - Math.min(...inputs);
  };
  const units = Array.from(state.outputs[stage].values, (_, i) => unitNumber(stage, i));
  return units.reduce((best, unit) => (spread(unit) > spread(best) ? unit : best));
}

// Return the width of the full grid of `count` cells that is closest to a square.
function nearSquare(count) {
  let height = Math.floor(Math.sqrt(count));
  while (count % height) height--;
  return count / height;
}
