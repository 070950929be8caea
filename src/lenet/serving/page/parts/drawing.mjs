// The page's drawing: the pad, Undo, example digits, and links that carry it.

import { $, add, animated, guarded, isMotionUnwanted, lookAtStrokes, state } from "./state.mjs";
import { GLYPHS, begun, decodedStrokes, encoded, handwritten } from "./strokes.mjs";
import { Pad } from "./pad.mjs";

const past = []; // earlier lists of strokes for Undo, the latest last
let example = null; // {strokes, stop} of the example that is being drawn
export let changes = 0; // how often the strokes were replaced
let isOpening = false; // whether the pad shows the digit with which the page opens; a stroke replaces it

export const isDrawn = () => state.strokes.length > 0 && !isOpening;

export const pad = new Pad($("pad"), state, startStroke, () => {
  $("invitation").hidden = isDrawn() || pad.pen.isShown;
  $("invitation").classList.toggle("opening", isOpening);
  lookAtStrokes();
}, $("pen"));

// Put strokes on the pad, and end the example and the stroke that are being drawn.
function putStrokes(strokes, isOpened = false) {
  example?.stop();
  example = null;
  isOpening = isOpened;
  changes++;
  state.strokes = strokes;
  pad.lift();
  pad.changed();
}

// A stroke discards a half-drawn example, and the digit with which the page opens. It withdraws the offer of the tour but
// leaves its room, so that the pad does not move.
function startStroke(place) {
  replaceStrokes([...(example || isOpening ? [] : state.strokes), [place]]);
  $("tour").inert = $("tour-back").hidden;
}

// Replace the strokes on the pad. The strokes that a half-drawn example replaced are in `past` already.
export function replaceStrokes(strokes) {
  if (!example && !isOpening && (state.strokes.length || strokes.length)) past.push(state.strokes);
  putStrokes(strokes);
}

const undo = () => putStrokes(past.pop() ?? []);
const clear = () => replaceStrokes([]);

// Draw an example stroke by stroke, or at once if the user prefers reduced motion.
function writeExample(digit, duration = 500) {
  const strokes = handwritten(digit);
  replaceStrokes(begun(strokes, 1));
  pad.pen.isShown = false;
  const stop = animated(isMotionUnwanted() ? 0 : duration, (progress) => {
    state.strokes = begun(strokes, Math.ceil(progress * strokes.flat().length) || 1);
    example = progress < 1 ? { strokes, stop: () => stop() } : null;
    pad.changed();
  });
}

// Open the page with the drawing of its link, or with a digit that writes itself.
export function openDrawing() {
  if (openLink() || state.model.isNamed || state.strokes.length) return;
  writeExample(5, 3500);
  isOpening = true;
}

// Handle keys that work everywhere except in fields.
function pageKey(event) {
  if (event.defaultPrevented || event.altKey || event.target.matches("input, select, #lesson-pad")) return;
  const isCommand = event.ctrlKey || event.metaKey;
  if (isCommand && event.key === "z") undo();
  else if (isCommand) return;
  else if (/^[0-9]$/.test(event.key) && !state.model?.isNamed) writeExample(Number(event.key));
  else if (["Delete", "Escape"].includes(event.key) && [pad.canvas, document.body].includes(event.target)) clear();
  else return;
  event.preventDefault();
}

// ---- links ---------------------------------------------------------------------------------------------

const LINK = "#drawing=";

// Put the drawing into the address and copy the address.
async function share() {
  if (!state.strokes.length) throw new Error("The pad is empty. Draw something first.");
  if (example) putStrokes(example.strokes, isOpening);
  pad.lift();
  history.replaceState(null, "", LINK + encoded(state.strokes));
  try {
    await navigator.clipboard.writeText(location.href);
    $("pen").textContent = "Link copied";
  } catch { // browsers restrict the clipboard
    $("pen").textContent = "Copy the address";
  }
}

// Show the drawing of the page's link; return whether there is one.
function openLink() {
  if (!location.hash.startsWith(LINK)) return false;
  const strokes = decodedStrokes(location.hash.slice(LINK.length));
  if (!strokes) throw new Error("The drawing in this link is damaged. Ask for the link again.");
  replaceStrokes(strokes);
  return true;
}

export function prepareDrawing() {
  document.addEventListener("keydown", pageKey);
  $("undo").addEventListener("click", undo);
  $("clear").addEventListener("click", clear);
  $("share").addEventListener("click", guarded(share));
  addEventListener("hashchange", guarded(openLink));
  GLYPHS.forEach((_, digit) => {
    const button = add($("examples"), "button", { type: "button", textContent: digit });
    button.setAttribute("aria-label", `Draw a ${digit}`);
    button.addEventListener("click", () => writeExample(digit));
  });
}
