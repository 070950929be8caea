// Gradients: which pixels would change the answer, and how a new last layer learns.

import { STAGES, softmax, standardisation } from "./network.mjs";
import { clamped, fractionsOf, largestOf } from "./numbers.mjs";

// Return the gradient of a weighted sum of the logits with respect to the pixels from 0 to 1.
function pixelGradient(model, bytes, outputs, logitWeights) {
  let gradient = Float64Array.from(logitWeights);
  for (let k = STAGES.length - 1; k > 0; k--) {
    const { name, padding, pool } = STAGES[k];
    const [before, after] = [outputs[STAGES[k - 1].name], outputs[name]];
    if (pool) {
      gradient = poolingBackward(before, after, pool, gradient);
    } else {
      if (name !== "output") gradient = gradient.map((d, i) => d * after.values[i] * (1 - after.values[i])); // sigmoid
      gradient = convolutionBackward(before, after, model.parameters[`${name}.weight`], padding, gradient);
    }
  }
  return standardiseBackward(model, bytes, outputs.input.values, gradient);
}

function poolingBackward({ maps, side: wide }, { side }, size, gradient) {
  const source = (_, i) => (Math.floor(i / (wide * wide)) * side + Math.floor((i / wide) % wide / size)) * side
    + Math.floor((i % wide) / size);
  return Float64Array.from({ length: maps * wide * wide }, (_, i) => gradient[source(_, i)] / (size * size));
}

function convolutionBackward({ maps, side }, after, weight, padding, gradient) {
  const size = weight.shape[2] ?? 1;
  const result = new Float64Array(maps * side * side);
  gradient.forEach((d, unit) => {
    const top = Math.floor(unit / after.side) % after.side - padding;
    const left = unit % after.side - padding;
    const map = Math.floor(unit / (after.side * after.side));
    for (let source = 0; source < maps; source++) {
      const kernel = (map * maps + source) * size * size;
      for (let i = Math.max(0, -top); i < size && top + i < side; i++) {
        const row = (source * side + top + i) * side;
        for (let j = Math.max(0, -left); j < size && left + j < side; j++) {
          result[row + left + j] += d * weight.values[kernel + i * size + j];
        }
      }
    }
  });
  return result;
}

// The mean and standard deviation of an image depend on each of its pixels.
function standardiseBackward(model, bytes, values, gradient) {
  const { std } = standardisation(model, fractionsOf(bytes));
  if (model.mean !== null) return gradient.map((d) => d / std);
  const mean = gradient.reduce((a, b) => a + b) / gradient.length;
  const slope = gradient.reduce((sum, d, i) => sum + d * values[i], 0) / gradient.length;
  return gradient.map((d, i) => (d - mean - values[i] * slope) / std);
}

// Return the gradient of the logit of a class minus the largest logit of the others.
export function towards(model, bytes, outputs, label) {
  const { sums } = outputs.output;
  const rival = [...sums.keys()].filter((k) => k !== label).reduce((a, b) => (sums[b] > sums[a] ? b : a));
  return pixelGradient(model, bytes, outputs, Array.from(sums, (_, k) => (k === label) - (k === rival)));
}

const STRIDE = 20; // grey levels by which a step changes the pixel with the largest gradient

// Move pixels from 0 to 255 one step along a gradient; square roots let more pixels take part.
export function nudged(bytes, gradient) {
  const largest = largestOf(gradient);
  const moved = (byte, d) => byte + STRIDE * Math.sign(d) * Math.sqrt(Math.abs(d) / largest);
  return bytes.map((byte, i) => clamped(moved(byte, gradient[i]), 0, 255));
}

// ---- a last layer that learns: softmax regression on the outputs of F6 -----------------------------------------

const [RATE, MOMENTUM, DECAY] = [0.5, 0.9, 1e-3];

// Return an untrained layer for examples of {values, label}. It subtracts the mean of the examples from its input.
export function newLayer(examples, classes) {
  const size = examples[0].values.length;
  const mean = examples[0].values.map((_, i) => examples.reduce((sum, { values }) => sum + values[i], 0) / examples.length);
  const zeros = () => new Float64Array(classes * (size + 1)); // the weights of a class, then its bias
  return { classes, size, mean, parameters: zeros(), velocity: zeros() };
}

// Return the probability of each class.
export function read({ classes, size, mean, parameters }, values) {
  const sums = Array.from({ length: classes }, (_, k) => {
    const first = k * (size + 1);
    return values.reduce((sum, value, i) => sum + parameters[first + i] * (value - mean[i]), parameters[first + size]);
  });
  return softmax(sums);
}

// Return the mean cross-entropy of the examples and its gradient.
export function lossAndGradient(layer, examples) {
  const { size, mean } = layer;
  const gradient = new Float64Array(layer.parameters.length);
  let loss = 0;
  for (const { values, label } of examples) {
    const probabilities = read(layer, values);
    loss -= Math.log(probabilities[label]) / examples.length;
    probabilities.forEach((probability, k) => {
      const d = (probability - (k === label)) / examples.length;
      values.forEach((value, i) => (gradient[k * (size + 1) + i] += d * (value - mean[i])));
      gradient[k * (size + 1) + size] += d;
    });
  }
  return { loss, gradient };
}

// Take one step of gradient descent with momentum; return the loss before it.
export function learn(layer, examples) {
  const { loss, gradient } = lossAndGradient(layer, examples);
  gradient.forEach((d, i) => {
    layer.velocity[i] = MOMENTUM * layer.velocity[i] - RATE * (d + DECAY * layer.parameters[i]);
    layer.parameters[i] += layer.velocity[i];
  });
  return loss;
}
