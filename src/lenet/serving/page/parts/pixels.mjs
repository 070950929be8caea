// From ink, drawn or photographed, to MNIST's pixels.

import { SIDE } from "./network.mjs";
import { clamped } from "./numbers.mjs";

export const BOX = 20; // digits are fitted into a box of 20x20
const MIDDLE = 14; // where their centre of mass goes

export function extent(points) {
  const box = { left: Infinity, top: Infinity, right: -Infinity, bottom: -Infinity };
  for (const { x, y } of points) {
    box.left = Math.min(box.left, x);
    box.right = Math.max(box.right, x);
    box.top = Math.min(box.top, y);
    box.bottom = Math.max(box.bottom, y);
  }
  return box;
}

// Resize an image: each new pixel is the mean of the area that it covers.
export function areaMeans(image, width, height) {
  const values = new Float64Array(width * height);
  for (let row = 0; row < height; row++) {
    const rows = covered(row, height, image.height);
    for (let column = 0; column < width; column++) {
      let sum = 0, area = 0;
      for (const [j, across] of covered(column, width, image.width)) {
        for (const [i, down] of rows) {
          sum += across * down * image.values[i * image.width + j];
          area += across * down;
        }
      }
      values[row * width + column] = sum / area;
    }
  }
  return { width, height, values };
}

// Return which of `from` old pixels the new pixel k of `to` covers, and what part of each.
function covered(k, to, from) {
  const [start, end] = [(k * from) / to, ((k + 1) * from) / to];
  const result = [];
  for (let i = Math.floor(start); i < end && i < from; i++) {
    const part = Math.min(end, i + 1) - Math.max(start, i);
    if (part > 1e-9) result.push([i, part]);
  }
  return result;
}

// Return 28x28 bytes with the centre of mass as near the middle as the digit fits; the darkest ink becomes 255.
export function centred({ width, height, values }) {
  const largest = values.reduce((a, b) => Math.max(a, b)) || 1;
  const ink = values.map((value) => Math.round((255 * value) / largest));
  let mass = 0, down = 0, across = 0;
  ink.forEach((value, i) => {
    mass += value;
    down += value * Math.floor(i / width);
    across += value * (i % width);
  });
  const place = (moment, length) => clamped(rounded(MIDDLE - moment / (mass || 1)), 0, SIDE - length);
  const [top, left] = [place(down, height), place(across, width)];
  const pixels = new Uint8Array(SIDE * SIDE);
  ink.forEach((value, i) => (pixels[(top + Math.floor(i / width)) * SIDE + left + (i % width)] = value));
  return pixels;
}

// Round half to even, as lenet does; symmetric digits have their centre between two pixels.
function rounded(value) {
  const nearest = Math.round(value);
  return nearest - value === 0.5 && nearest % 2 ? nearest - 1 : nearest;
}

export const LARGEST = 640; // pixels on the longer side, to which larger pictures are shrunk
const CONTRAST = 24; // minimum difference of ink and paper in grey levels

export function greyLevels({ width, height, data }) {
  const grey = (_, i) => Math.round(0.299 * data[4 * i] + 0.587 * data[4 * i + 1] + 0.114 * data[4 * i + 2]);
  return { width, height, values: Float64Array.from({ length: width * height }, grey) };
}

function borderMedian({ width, height, values }) {
  const border = values.filter((_, i) => {
    const [row, column] = [Math.floor(i / width), i % width];
    return row === 0 || column === 0 || row === height - 1 || column === width - 1;
  });
  return border.sort()[border.length >> 1];
}

// Return the mean grey levels of the two classes of Otsu's threshold.
function meansOfTwoKinds(values) {
  const counts = new Float64Array(256);
  values.forEach((value) => counts[Math.round(value)]++);
  const total = values.reduce((a, b) => a + b, 0);
  let best = { between: -1 }, low = 0, lowSum = 0;
  for (let level = 0; level < 255; level++) {
    low += counts[level];
    lowSum += level * counts[level];
    const high = values.length - low;
    if (!low || !high) continue;
    const [below, above] = [lowSum / low, (total - lowSum) / high];
    const between = low * high * (above - below) ** 2;
    if (between > best.between) best = { between, below, above };
  }
  return best;
}

// Return the ink, from 0 to 1, and its bounding box; null if there is none.
function inkOf(image) {
  const { width, height, values } = greyLevels(image);
  const isLight = borderMedian({ width, height, values }) > values.reduce((a, b) => a + b) / values.length;
  const depth = isLight ? values.map((value) => 255 - value) : values;
  const { below, above } = meansOfTwoKinds(depth);
  if (!(above - below >= CONTRAST)) return null;
  const dark = depth.filter((value) => value > (below + above) / 2).sort();
  const full = dark[Math.floor(0.9 * dark.length)]; // a quantile, because dirt may be darker than the ink
  const ink = depth.map((value) => clamped((value - below) / (full - below), 0, 1));
  const places = [];
  ink.forEach((value, i) => value >= 0.5 && places.push({ x: i % width, y: Math.floor(i / width) }));
  return { width, height, values: ink.map((value) => (value < 0.2 ? 0 : value)), box: extent(places) };
}

function cropped({ width, values }, { left, top, right, bottom }) {
  const size = { width: right - left + 1, height: bottom - top + 1 };
  const at = (_, i) => values[(top + Math.floor(i / size.width)) * width + left + (i % size.width)];
  return { ...size, values: Float64Array.from({ length: size.width * size.height }, at) };
}

// Return the pixels and the bounding box of the ink in the picture; null if there is no ink.
export function pixelsOfImage(image) {
  const ink = inkOf(image);
  if (!ink) return null;
  const digit = cropped(ink, ink.box);
  const scale = BOX / Math.max(digit.width, digit.height);
  const [width, height] = [digit.width, digit.height].map((length) => Math.max(1, Math.round(length * scale)));
  return { pixels: centred(areaMeans(digit, width, height)), box: ink.box };
}
