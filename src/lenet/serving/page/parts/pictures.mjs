// Pictures: read by the server, or one symbol by the browser.

import { forward, judged } from "./network.mjs";
import { LARGEST, greyLevels, pixelsOfImage } from "./pixels.mjs";
import { $, add, afterEachPass, guarded, isBlank, look, lookAtStrokes, percent, showError, state, thing } from "./state.mjs";
import { changes, isDrawn, replaceStrokes } from "./drawing.mjs";
import { answerOf, ask } from "./server.mjs";
import { readsLines } from "./answer.mjs";

const MANY_PIXELS = 8e6; // larger pictures are scaled down, in pixels and in bytes; reading needs fewer
const MANY_BYTES = 8e6;
const [SMALLEST_SHOWN, LARGEST_SHOWN] = [480, 1600]; // pixels of the longer side; on smaller pictures, names would hide digits
const UNREADABLE = 16e6; // bytes; larger files that the browser cannot read are not sent

let latest = 0; // number of the latest picture
let chosen = null; // the box that was chosen last

async function readPicture(file) {
  const own = ++latest;
  const before = changes;
  $("lines").textContent = "Reading …";
  try {
    const picture = await fitting(file);
    const reading = (state.model && readsLines() && (await readByServer(picture.file))) || readHere(picture.bitmap);
    if (own !== latest) return;
    showPicture(picture.bitmap, reading);
    if (changes > before && isDrawn()) return; // the drawing is newer than the picture
    $("boxes").firstChild?.click();
    $("picture-card").scrollIntoView({ block: "nearest" });
  } catch (error) {
    if (own !== latest) return;
    forgetPicture();
    throw error;
  }
}

// Return the file and its bitmap, scaled down if they are large; the bitmap is null if the browser cannot read the file.
async function fitting(file) {
  if (!file.size) throw new Error("The file is empty. Choose another one.");
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (!bitmap) {
    if (file.size > UNREADABLE) throw new Error("The browser cannot read this large file. Choose a PNG or JPEG.");
    return { file, bitmap };
  }
  if (file.size <= MANY_BYTES && bitmap.width * bitmap.height <= MANY_PIXELS) return { file, bitmap };
  const scale = Math.min(1, Math.sqrt(MANY_PIXELS / (bitmap.width * bitmap.height)));
  const canvas = new OffscreenCanvas(1, 1);
  drawScaled(canvas, bitmap, wholeOf(bitmap), scale, paperOf(bitmap));
  bitmap.close(); // a photo of 50 megapixels would keep 200 MB
  return { file: await canvas.convertToBlob({ type: "image/jpeg", quality: 0.92 }), bitmap: canvas.transferToImageBitmap() };
}

// Clear the earlier picture, even if the new one cannot be read.
function forgetPicture() {
  $("lines").textContent = "";
  $("boxes").replaceChildren();
  if (!$("picture-box").hidden) lookAtStrokes();
  $("picture-box").hidden = true;
}

// Return the server's reading; null if the server cannot read pictures.
async function readByServer(file) {
  const headers = { "Content-Type": file.type || "application/octet-stream" };
  const response = await ask(`predict?model=${encodeURIComponent(state.model.name)}`, { method: "POST", headers, body: file });
  return [404, 405, 501].includes(response.status) ? null : answerOf(response);
}

function readHere(bitmap) {
  if (!state.model) throw new Error("The weights are still loading. Try again in a moment.");
  if (!bitmap) throw new Error("The browser cannot read this file. Choose a PNG or JPEG.");
  const { image, scale } = imageOf(bitmap, wholeOf(bitmap), paperOf(bitmap));
  const found = pixelsOfImage(image);
  if (!found) throw new Error(`The picture shows no ink. Choose one with a ${thing()}.`);
  const probabilities = Array.from(forward(state.model, found.pixels).output.values);
  const { label, kind, text } = judged(state.model, probabilities);
  const { left, top, right, bottom } = found.box;
  const box = [left, top, right + 1, bottom + 1].map((length) => length / scale);
  const name = kind === "none" ? null : state.model.classes[label];
  const digit = { box, class: name, probability: probabilities[label] };
  return { text: kind === "none" ? `${text}. This page reads one ${thing()} at a time.` : text, lines: [{ digits: [digit] }] };
}

// Return the background for a picture: black for light ink on transparency, else white, as in reading/pictures.py.
function paperOf(bitmap) {
  const { image } = imageOf(bitmap, wholeOf(bitmap), "transparent");
  let opaque = 0, light = 0;
  greyLevels(image).values.forEach((grey, i) => {
    const alpha = image.data[4 * i + 3];
    opaque += alpha;
    light += alpha * grey;
  });
  const isMostlyNothing = opaque <= 127 * image.width * image.height;
  return isMostlyNothing && light > 127 * opaque ? "black" : "white";
}

const wholeOf = ({ width, height }) => ({ left: 0, top: 0, right: width, bottom: height });

// Draw a part of a picture on a background, and give the canvas the size that fits it.
function drawScaled(canvas, bitmap, { left, top, right, bottom }, scale, paper) {
  const [width, height] = [right - left, bottom - top];
  [canvas.width, canvas.height] = [width, height].map((length) => Math.max(1, Math.round(length * scale)));
  const context = canvas.getContext("2d");
  context.fillStyle = paper;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, left, top, width, height, 0, 0, canvas.width, canvas.height);
  return context;
}

// Return a part of a picture, shrunk to at most LARGEST pixels on the longer side.
function imageOf(bitmap, part, paper) {
  const scale = Math.min(1, LARGEST / Math.max(part.right - part.left, part.bottom - part.top));
  const canvas = new OffscreenCanvas(1, 1);
  const context = drawScaled(canvas, bitmap, part, scale, paper);
  return { image: context.getImageData(0, 0, canvas.width, canvas.height), scale };
}

function showPicture(bitmap, { text, lines }) {
  forgetPicture();
  $("lines").textContent = text || "no digits";
  if (!bitmap) return;
  $("picture-box").hidden = false;
  const longer = Math.max(bitmap.width, bitmap.height);
  const scale = Math.min(Math.max(1, SMALLEST_SHOWN / longer), LARGEST_SHOWN / longer);
  drawScaled($("picture"), bitmap, wholeOf(bitmap), scale, paperOf(bitmap));
  for (const digit of lines.flatMap((line) => line.digits)) addBox(bitmap, digit);
}

function addBox(bitmap, { box: [left, top, right, bottom], class: name, probability }) {
  const ariaLabel = name === null ? `not a ${thing()}` : `${name}, ${percent(probability)}`;
  const button = add($("boxes"), "button", { type: "button", ariaLabel, ariaPressed: false });
  const part = (length, of) => `${(100 * length) / of}%`;
  button.style.left = part(left, bitmap.width);
  button.style.top = part(top, bitmap.height);
  button.style.width = part(right - left, bitmap.width);
  button.style.height = part(bottom - top, bitmap.height);
  button.dataset.doubt = name === null ? "none" : probability < 0.9 ? "unsure" : "sure";
  const isOnTheRight = left > bitmap.width / 2 && $("picture").clientWidth > 200; // its name needs the room to the left
  add(button, "span", { textContent: name ?? "?", className: isOnTheRight ? "leftwards" : "" });
  button.addEventListener("click", () => chooseDigit(bitmap, button, { left, top, right, bottom }));
}

// Run the network on one digit of the picture.
function chooseDigit(bitmap, button, { left, top, right, bottom }) {
  chosen = button;
  const margin = 0.12 * Math.max(right - left, bottom - top);
  const { image } = imageOf(bitmap, {
    left: Math.max(0, left - margin), top: Math.max(0, top - margin),
    right: Math.min(bitmap.width, right + margin), bottom: Math.min(bitmap.height, bottom + margin),
  }, paperOf(bitmap));
  const found = pixelsOfImage(image);
  replaceStrokes([]);
  if (found) requestAnimationFrame(() => look(found.pixels)); // after the pad's frame
}

// Mark the box of the digit that the network sees, unless it sees a drawing.
function markBox() {
  for (const button of $("boxes").children) button.ariaPressed = button === chosen && !state.strokes.length && !isBlank();
}

export function preparePictures() {
  afterEachPass(markBox);
  const read = guarded(readPicture);
  const readFirst = (files) => {
    $("picture-note").textContent = files.length > 1 ? `Only the first of the ${files.length} pictures is read.` : "";
    return files.length ? read(files[0]) : showError("The dropped item is not a file. Drop a picture.");
  };
  $("choose").addEventListener("click", () => $("file").click());
  $("file").addEventListener("change", () => {
    readFirst($("file").files);
    $("file").value = ""; // so that the same file can be chosen again
  });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    readFirst(event.dataTransfer.files);
  });
  document.addEventListener("paste", ({ clipboardData: { files } }) => files.length && readFirst(files));
}

