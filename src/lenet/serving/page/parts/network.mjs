// The model and its forward pass. The stages have the paper's names: C1, S2, C3, S4, C5, F6, output.

import { fractionsOf } from "./numbers.mjs";

// Arrays are base64 of little-endian numbers; all machines that run browsers are little-endian.
function decoded(base64, dtype) {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  return Float64Array.from(dtype === "float64" ? new Float64Array(bytes.buffer) : new Float32Array(bytes.buffer));
}

// Add typed parameters, and whether the classes have names other than their numbers.
export function modelOf(json) {
  const parameters = {};
  for (const [name, { shape, data }] of Object.entries(json.parameters)) {
    parameters[name] = { shape, values: decoded(data, json.dtype) };
  }
  const isNamed = json.classes.some((name, k) => name !== `${k}`);
  return { ...json, parameters, isNamed };
}

export const SIDE = 28;

// A 1x1 convolution on 1x1 maps is a full connection, so F6 and the output are computed as convolutions, too.
export const STAGES = [
  { name: "input" },
  { name: "c1", padding: 2, squash: sigmoid, operation: "convolution" },
  { name: "s2", pool: 2, operation: "average pooling" },
  { name: "c3", padding: 0, squash: sigmoid, operation: "convolution" },
  { name: "s4", pool: 2, operation: "average pooling" },
  { name: "c5", padding: 0, squash: sigmoid, operation: "convolution" },
  { name: "f6", padding: 0, squash: sigmoid, operation: "full connection" },
  { name: "output", padding: 0, squash: softmax, operation: "full connection" },
];

function sigmoid(sums) {
  return sums.map((sum) => 1 / (1 + Math.exp(-sum)));
}

export function softmax(sums) {
  const largest = Math.max(...sums); // prevents overflow in exp; the result is the same
  const powers = sums.map((sum) => Math.exp(sum - largest));
  const total = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / total);
}

// Return the sum of products of one map's kernels and the patches at (top, left) of all previous maps.
function correlation(before, weight, map, top, left) {
  const { maps, side, values } = before;
  const size = weight.shape[2] ?? 1;
  let sum = 0;
  for (let source = 0; source < maps; source++) {
    const kernel = (map * maps + source) * size * size;
    for (let i = Math.max(0, -top); i < size && top + i < side; i++) { // zeros outside the border
      const row = (source * side + top + i) * side;
      for (let j = Math.max(0, -left); j < size && left + j < side; j++) {
        sum += weight.values[kernel + i * size + j] * values[row + left + j];
      }
    }
  }
  return sum;
}

function convolution(before, weight, bias, padding) {
  const maps = weight.shape[0];
  const side = before.side + 2 * padding - (weight.shape[2] ?? 1) + 1;
  const sums = new Float64Array(maps * side * side);
  let unit = 0;
  for (let map = 0; map < maps; map++) {
    for (let row = 0; row < side; row++) {
      for (let column = 0; column < side; column++) {
        sums[unit++] = bias.values[map] + correlation(before, weight, map, row - padding, column - padding);
      }
    }
  }
  return { maps, side, sums };
}

function averagePooling({ maps, side: wide, values: fine }, size) {
  const side = wide / size;
  const values = new Float64Array(maps * side * side);
  for (let i = 0; i < fine.length; i++) {
    const map = Math.floor(i / (wide * wide));
    const row = Math.floor((i / wide) % wide / size);
    const column = Math.floor(i % wide / size);
    values[(map * side + row) * side + column] += fine[i] / (size * size);
  }
  return { maps, side, values };
}

const EPSILON = 1e-5; // added to the variance of an image

// Return the mean and standard deviation for pixels from 0 to 1. A model without a mean uses those of each image.
export function standardisation(model, pixels) {
  if (model.mean !== null) return model;
  const mean = pixels.reduce((a, b) => a + b, 0) / pixels.length;
  const variance = pixels.reduce((sum, pixel) => sum + (pixel - mean) ** 2, 0) / pixels.length;
  return { mean, std: Math.sqrt(variance + EPSILON) };
}

export function standardise(model, pixels) {
  const { mean, std } = standardisation(model, pixels);
  return pixels.map((pixel) => (pixel - mean) / std);
}

// Return the outputs of every stage for 28x28 pixels from 0 to 255. The sums of the last stage are the logits.
export function forward(model, bytes) {
  const values = standardise(model, fractionsOf(bytes));
  const outputs = { input: { maps: 1, side: SIDE, values } };
  let before = outputs.input;
  for (const { name, padding, pool, squash } of STAGES.slice(1)) {
    if (pool) {
      before = averagePooling(before, pool);
    } else {
      before = convolution(before, model.parameters[`${name}.weight`], model.parameters[`${name}.bias`], padding);
      before.values = squash(before.sums);
    }
    outputs[name] = before;
  }
  return outputs;
}

// Return 1 - exp(-d / 3), where d is the difference between the highest logit and the mean; it is low for non-digits.
export function digitScore(probabilities) {
  const logits = probabilities.map((p) => Math.log(Math.max(p, 1e-300)));
  const mean = logits.reduce((sum, logit) => sum + logit, 0) / logits.length;
  return Math.max(0, -Math.expm1((mean - Math.max(...logits)) / 3)); // equal ones may round to less than 0
}

// Return the logarithm of the ratio between the two highest probabilities.
function margin(probabilities) {
  const [best, second] = [...probabilities].sort((a, b) => b - a);
  return Math.log(best / second);
}

const ERRORS = 0.002; // the error rate whose threshold is used

export function judged(model, probabilities) {
  const label = probabilities.indexOf(Math.max(...probabilities));
  const thresholds = Object.entries(model.thresholds).filter(([rate]) => Number(rate) <= ERRORS);
  const [, least] = thresholds.sort(([a], [b]) => b - a)[0] ?? [0, 0];
  const isNone = digitScore(probabilities) < model.min_digit_score;
  if (isNone) return { label, kind: "none", text: model.isNamed ? "not any of the classes" : "not a digit" };
  const name = model.classes[label];
  if (margin(probabilities) < least) return { label, kind: "unsure", text: `unsure; most likely ${name}` };
  return { label, kind: "digit", text: name };
}
