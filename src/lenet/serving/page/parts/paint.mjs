// Colours of the theme, and drawing on canvases.

import { SIDE } from "./network.mjs";
import { clamped } from "./numbers.mjs";

let theme = new Map(); // colours and the font of canvases
export const colour = (name) => theme.get(name);
const LEVELS = 255; // colours on each side of zero
export let palette = []; // [red, green, blue] from -1 to +1

const STOPS = ["--minus", "--half-minus", "--zero", "--half-plus", "--plus"];

export function readTheme() {
  const style = getComputedStyle(document.body);
  const names = [...STOPS, "--text", "--soft", "--line", "--mark", "--card", "font-family"];
  theme = new Map(names.map((name) => [name, style.getPropertyValue(name)]));
  const colours = STOPS.map((name) => colour(name).match(/[\d.]+/g).map(Number));
  palette = Array.from({ length: 2 * LEVELS + 1 }, (_, i) => {
    const place = (i / (2 * LEVELS)) * (STOPS.length - 1);
    const k = Math.min(Math.floor(place), STOPS.length - 2);
    return [0, 1, 2].map((c) => Math.round(colours[k][c] + (place - k) * (colours[k + 1][c] - colours[k][c])));
  });
}

export const tone = (value) => palette[Math.round(LEVELS * (1 + clamped(value, -1, 1)))];

// Return a canvas with one pixel per value from -1 to 1.
export function raster(values, width) {
  const canvas = new OffscreenCanvas(width, values.length / width);
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  values.forEach((value, i) => image.data.set([...tone(value), 255], 4 * i));
  context.putImageData(image, 0, 0);
  return canvas;
}

export function crisp(canvas, width, height) {
  const ratio = devicePixelRatio;
  const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== wide || canvas.height !== high) [canvas.width, canvas.height] = [wide, high];
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

// Draw 28x28 values over a square canvas.
export function drawPixels(canvas, values) {
  const width = canvas.clientWidth;
  const context = crisp(canvas, width, width);
  context.imageSmoothingEnabled = false;
  context.drawImage(raster(values, SIDE), 0, 0, width, width);
  return context;
}

export function outline(context, { x, y, w, h }, style, width) {
  context.strokeStyle = style;
  context.lineWidth = width;
  context.strokeRect(x - width / 2, y - width / 2, w + width, h + width);
}

// Write a text, cut off if it exceeds its room, with a halo that keeps it legible on lines, and return where it ends if it starts at x.
export function write(context, text, x, y, options = {}) {
  const { style = "--text", size = 14, weight = 400, align = "center", room = Infinity, hasHalo = false } = options;
  context.font = `${weight} ${size}px ${colour("font-family")}`;
  context.fillStyle = colour(style) ?? style;
  context.textAlign = align;
  const isWide = (shown) => context.measureText(shown).width > room;
  if (isWide(text)) {
    const characters = [...text];
    while (characters.length > 1 && isWide(`${characters.join("")}…`)) characters.pop();
    text = `${characters.join("")}…`;
  }
  if (hasHalo) {
    [context.strokeStyle, context.lineWidth, context.lineJoin] = [colour("--card"), 5, "round"];
    context.strokeText(text, x, y);
  }
  context.fillText(text, x, y);
  return x + context.measureText(text).width;
}
