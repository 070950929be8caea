// The start of the page: its colours, its model, and its parts in order.

import { forward, judged, modelOf } from "./network.mjs";
import { $, guarded, lookAtStrokes, remember, remembered, showError, state, thing } from "./state.mjs";
import { handwritten, pixelsOfStrokes } from "./strokes.mjs";
import { palette, readTheme } from "./paint.mjs";
import { openDrawing, pad, prepareDrawing } from "./drawing.mjs";
import { drawNetwork, layout, pointAt, preparePointing } from "./figure.mjs";
import { receptiveField } from "./units.mjs";
import { drawUnit, prepareUnit } from "./equation.mjs";
import { answerOf, ask, isServed, prepareServer } from "./server.mjs";
import { prepareAnswer, readsLines } from "./answer.mjs";
import { preparePictures } from "./pictures.mjs";
import { prepareMind, repaintMind } from "./mind.mjs";
import { drawCurve, drawExamples, lessonPad, prepareLesson } from "./lesson.mjs";
import { offerTour, prepareTour } from "./tour.mjs";

const dark = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";

function paint() {
  $("theme").textContent = isDark() ? "Light" : "Dark";
  $("theme").setAttribute("aria-label", isDark() ? "Light colours" : "Dark colours");
  readTheme();
  for (const each of [pad, lessonPad]) each.draw();
  if (!state.outputs) return;
  drawUnit();
  drawNetwork();
  repaintMind();
  drawExamples();
  drawCurve();
}

function prepareLook() {
  const { dataset } = document.documentElement;
  const theme = remembered("lenet-theme");
  if (theme) dataset.theme = theme;
  $("theme").addEventListener("click", () => {
    dataset.theme = isDark() ? "light" : "dark";
    remember("lenet-theme", dataset.theme);
    paint();
  });
  dark.addEventListener("change", paint);
  $("dismiss").addEventListener("click", () => showError(""));
  new ResizeObserver(paint).observe(document.body);
}

function showModel({ name, version, metadata, classes, isNamed, parameters }) {
  const total = Object.values(parameters).reduce((sum, { values }) => sum + values.length, 0);
  const accuracy = Number(metadata.test_accuracy);
  const list = classes.length > 4 ? `${classes.slice(0, 2).join(", ")} … ${classes.at(-1)}` : classes.join(", ");
  $("model-facts").textContent = `Model ${name} (sigmoids, average pooling), version ${version}: ${total.toLocaleString("en")} parameters, `
    + `${classes.length} classes (${list})${accuracy ? `, test accuracy ${(100 * accuracy).toFixed(2)}%` : ""}.`;
  for (const element of document.querySelectorAll(".thing")) element.textContent = thing();
  for (const element of document.querySelectorAll(".of-digits")) element.hidden = isNamed;
  $("picture-help").textContent = readsLines()
    ? "Or drop or paste a picture of a number or a page anywhere. The server reads it."
    : `Or drop or paste a picture of one ${thing()} anywhere. This browser reads it.`;
}

const WARM = 12; // passes before the first stroke, after which the browser has compiled the code

async function start() {
  prepareLook();
  prepareServer();
  prepareDrawing();
  preparePictures();
  paint();
  const embedded = $("model");
  state.model = modelOf(embedded ? JSON.parse(embedded.textContent) : await answerOf(await ask("model.json" + location.search)));
  showModel(state.model);
  $("compare-box").hidden = !isServed();
  for (let k = 0; k < WARM; k++) forward(state.model, state.pixels);
  prepareAnswer(state.model.classes);
  preparePointing();
  prepareUnit();
  prepareMind(state.model);
  prepareLesson();
  prepareTour();
  lookAtStrokes();
  offerTour();
  openDrawing();
}

guarded(start)();

globalThis.lenet = {
  state, forward, judged, pixelsOfStrokes, handwritten, receptiveField, pointAt,
  places: () => layout, tones: () => palette,
};
