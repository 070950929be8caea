// Strokes: lists of points on a pad that is 1 wide and 1 high.

import { SIDE } from "./network.mjs";
import { BOX, areaMeans, centred, extent } from "./pixels.mjs";

const PEN = 2.4; // pixels, the width of a typical pen
const FINE = 8; // resolution at which strokes are drawn, before averaging
const LEAST = 0.12; // smallest extent, as a fraction of the pad, so that a dot is not enlarged to fill the box

export function trace(context, strokes) {
  context.lineCap = context.lineJoin = "round";
  context.beginPath();
  for (const stroke of strokes) {
    stroke.forEach(({ x, y }, k) => (k ? context.lineTo(x, y) : context.moveTo(x, y)));
    context.lineTo(stroke.at(-1).x + 1e-4, stroke.at(-1).y); // so that a dot has round ends
  }
  context.stroke();
}

let fine = null; // the canvas on which strokes are drawn

export function pixelsOfStrokes(strokes) {
  if (!strokes.length) return new Uint8Array(SIDE * SIDE);
  const { left, top, right, bottom } = extent(strokes.flat());
  const scale = (BOX - PEN) / Math.max(right - left, bottom - top, LEAST);
  const [width, height] = [right - left, bottom - top].map((length) => Math.min(BOX, Math.ceil(length * scale + PEN)));
  fine ??= new OffscreenCanvas(BOX * FINE, BOX * FINE).getContext("2d", { willReadFrequently: true });
  fine.reset();
  fine.scale(FINE, FINE);
  fine.translate(PEN / 2 - left * scale, PEN / 2 - top * scale);
  fine.scale(scale, scale);
  fine.lineWidth = PEN / scale;
  trace(fine, strokes);
  const { data } = fine.getImageData(0, 0, width * FINE, height * FINE);
  const ink = Float64Array.from({ length: data.length / 4 }, (_, i) => data[4 * i + 3]);
  return centred(areaMeans({ width: width * FINE, height: height * FINE, values: ink }, width, height));
}

// Points of each stroke, in hundredths of the height: x from the left, y from the top.
export const GLYPHS = [
  "36,2 14,13 2,48 10,84 30,99 52,84 60,46 50,12 32,1 22,6",
  "17,15 22,9 27,0 | 27,0 25,50 22,100",
  "5,24 15,6 36,0 53,14 48,40 28,70 3,97 | 3,97 22,92 42,97 64,93",
  "6,12 26,0 48,10 44,34 20,46 | 20,46 48,54 56,76 40,96 18,99 1,87",
  "17,2 10,34 3,60 | 3,60 30,60 62,56 | 47,12 43,50 38,100",
  "15,4 12,24 8,46 | 8,46 30,39 52,52 54,76 36,96 14,99 0,90 | 15,4 36,5 58,0",
  "46,0 22,20 6,56 8,86 28,100 50,86 49,63 30,54 13,66 8,80",
  "2,7 30,7 58,3 | 58,3 40,40 25,100",
  "48,12 30,0 12,10 15,31 34,48 50,71 43,93 23,100 6,87 12,67 32,48 48,30 48,10",
  "53,12 32,1 10,13 6,36 23,49 43,36 53,12 | 53,12 50,50 42,100",
];
const HEIGHT = 0.66; // of the pad

const vary = (amount) => amount * (Math.random() + Math.random() - 1);

// Points that strokes share are moved together, so that corners stay closed.
export function handwritten(digit) {
  const slant = 0.1 + vary(0.1);
  const wide = 1 + vary(0.12);
  const moved = new Map();
  const place = (text) => {
    if (!moved.has(text)) {
      const [x, y] = text.split(",").map((number) => number / 100 + vary(0.03));
      moved.set(text, { x: 0.5 + HEIGHT * (wide * (x - 0.3) + slant * (0.5 - y)), y: 0.5 + HEIGHT * (y - 0.5) });
    }
    return moved.get(text);
  };
  return GLYPHS[digit].split(" | ").map((stroke) => smooth(stroke.split(" ").map(place)));
}

// Return a Catmull-Rom curve through the points.
function smooth(points) {
  const curve = [];
  for (let k = 0; k + 1 < points.length; k++) {
    const [a, b, c, d] = [points[k - 1] ?? points[k], points[k], points[k + 1], points[k + 2] ?? points[k + 1]];
    const at = (axis, t) => b[axis] + (t / 2) * (c[axis] - a[axis]
      + t * (2 * a[axis] - 5 * b[axis] + 4 * c[axis] - d[axis] + t * (3 * b[axis] - 3 * c[axis] + d[axis] - a[axis])));
    for (let t = 0; t < 1; t += 1 / 12) curve.push({ x: at("x", t), y: at("y", t) });
  }
  return [...curve, points.at(-1)];
}

// Return the first `count` points of strokes.
export function begun(strokes, count) {
  const result = [];
  for (const stroke of strokes) {
    if (count > 0) result.push(stroke.slice(0, count));
    count -= stroke.length;
  }
  return result;
}

const STEPS_ACROSS = 255; // steps from one side of the pad to the other in a link
const NEAR = 0.012; // points nearer to the last one are left out of a link

const LONGEST = 8000; // characters of a drawing in a link

// Return strokes as text for a URL: for each stroke the bytes x, y of its points, then 0, 0.
export function encoded(strokes) {
  const bytes = strokes.flatMap((stroke) => [...thinned(stroke).flatMap(({ x, y }) => [byteOf(x), byteOf(y)]), 0, 0]);
  if (bytes.length > 0.75 * LONGEST) throw new Error("The drawing is too long for a link. Draw it with fewer strokes.");
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

// Return the strokes of a text; null if it is damaged.
export function decodedStrokes(text) {
  if (!/^[\w-]+$/.test(text) || text.length > LONGEST || text.length % 4 === 1) return null;
  const bytes = [...atob(text.replaceAll("-", "+").replaceAll("_", "/"))].map((each) => each.charCodeAt(0));
  const strokes = [[]];
  for (let k = 0; k + 1 < bytes.length; k += 2) {
    if (bytes[k]) strokes.at(-1).push({ x: (bytes[k] - 1) / (STEPS_ACROSS - 1), y: (bytes[k + 1] - 1) / (STEPS_ACROSS - 1) });
    else strokes.push([]);
  }
  const isWhole = bytes.length % 2 === 0 && strokes.pop().length === 0;
  const isStroke = (stroke) => stroke.length && stroke.every(({ y }) => y >= 0);
  return isWhole && strokes.length && strokes.every(isStroke) ? strokes : null;
}

const byteOf = (value) => 1 + Math.round(value * (STEPS_ACROSS - 1));

function thinned(stroke) {
  const kept = [stroke[0]];
  for (const point of stroke) if (Math.hypot(point.x - kept.at(-1).x, point.y - kept.at(-1).y) >= NEAR) kept.push(point);
  return kept.at(-1) === stroke.at(-1) ? kept : [...kept, stroke.at(-1)];
}
