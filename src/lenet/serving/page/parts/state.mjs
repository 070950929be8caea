// What the page shows, and small tools that all of its parts use.

import { SIDE, forward } from "./network.mjs";
import { pixelsOfStrokes } from "./strokes.mjs";

export const $ = (id) => document.getElementById(id);

export const state = {
  model: null,
  strokes: [], // lists of points; the pad is 1 wide and 1 high
  pixels: new Uint8Array(SIDE * SIDE), // the network's input
  outputs: null, // of every stage
  unit: null, // the selected unit: {stage, map, row, column}
  slide: Infinity, // how many units of the selected map have been computed while a kernel slides over it
  times: [], // of the last forward passes, in milliseconds
};

export const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export const thing = () => (state.model?.isNamed ? "symbol" : "digit");
export const isBlank = () => state.pixels.every((pixel) => pixel === 0);
export const percent = (probability) => `${(Math.floor(1000 * probability) / 10).toFixed(1)}%`; // only certainty is 100%
export const isMotionUnwanted = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

export const number = (value, digits = 2) => {
  const text = value.toFixed(digits);
  return (Number(text) === 0 ? text.replace("-", "") : text).replace("-", "−");
};

export function add(parent, tag, properties = {}) {
  return parent.appendChild(Object.assign(document.createElement(tag), properties));
}

// Return a function that calls another one at the next frame, once per frame.
export function throttled(work) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      work();
    });
  };
}

// Call a function at each frame with the progress from 0 to 1; return a function that stops it.
export function animated(duration, work) {
  const start = performance.now();
  let frame = 0;
  const step = () => {
    const progress = duration ? Math.min(1, (performance.now() - start) / duration) : 1;
    frame = progress < 1 ? requestAnimationFrame(step) : 0;
    work(progress);
  };
  step();
  return () => cancelAnimationFrame(frame);
}

// Announce a text to screen readers after it has not changed for a while.
export function speaker(element) {
  let timer;
  return (text) => {
    clearTimeout(timer);
    timer = setTimeout(() => element.textContent !== text && (element.textContent = text), 300);
  };
}

// A browser may refuse to store data, for example for pages from files.
export function remembered(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

export function remember(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch { /* it is forgotten when the page is closed */ }
}

const followers = [];

// Call a function after each forward pass.
export const afterEachPass = (work) => followers.push(work);

// Run the network on 28x28 pixels from 0 to 255, and show all that follows from them.
export function look(pixels) {
  state.pixels = pixels;
  if (!state.model) return;
  const start = performance.now();
  state.outputs = forward(state.model, pixels);
  state.times = [...state.times.slice(-14), performance.now() - start];
  followers.forEach((work) => work());
}

export const lookAtStrokes = () => look(pixelsOfStrokes(state.strokes));

export function showError(text) {
  $("error-text").textContent = text;
  $("error").hidden = !text;
}

// Return a function that shows the message of an error.
export function guarded(work) {
  return async (...values) => {
    showError("");
    try {
      await work(...values);
    } catch (error) {
      showError(error.message);
    }
  };
}
