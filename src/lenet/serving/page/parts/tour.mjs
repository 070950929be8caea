// A short tour: a sentence for each stage of the network.

import { STAGES } from "./network.mjs";
import { $, afterEachPass, isBlank, isMotionUnwanted, percent, remember, remembered, state, thing } from "./state.mjs";
import { figure, layout, pointAt, slide } from "./figure.mjs";
import { exampleUnit, stageBefore, strongestUnit, title } from "./units.mjs";

const sizesOf = (name) => {
  const { maps, side } = state.outputs[name];
  const weight = state.model.parameters[`${name}.weight`];
  return { maps, side, kernel: weight?.shape[2], before: state.outputs[stageBefore(name)] };
};

const SENTENCES = {
  input: ({ side }) => `The drawing becomes ${side}×${side} pixels, with its ink in the middle. These ${side * side} numbers are all that`
    + " the network gets. Orange means positive, blue negative.",
  c1: ({ maps, kernel }) => `C for convolution: a kernel of ${kernel}×${kernel} weights slides over the drawing. The sum of pixels times`
    + ` its weights, plus a bias, shows how well strokes match it. The sigmoid maps the sum to between 0 and 1. Each of the`
    + ` ${maps} kernels fills a map.`,
  s2: ({ side }) => `S for subsampling, 2 for the second layer. Now called pooling, it replaces each block of 2×2 units by its mean. A map`
    + ` shrinks to ${side}×${side}, so a small shift of a stroke matters less.`,
  c3: ({ maps, before }) => `A convolution again: each of the ${maps} maps looks for a pattern, found by training, in all ${before.maps} maps before it.`
    + " Pooling has made these smaller, so a patch covers more of the drawing.",
  s4: ({ side }) => `Pooling again: each map shrinks to ${side}×${side}. The patterns remain, but their positions are known only roughly.`,
  c5: ({ maps, before }) => `The last convolution: each of these ${maps} units sees all ${before.maps} maps at once, and so the whole drawing.`,
  f6: ({ maps, before }) => `F for fully connected: each of these ${maps} units is the sigmoid of a weighted sum of all ${before.maps} values before it.`
    + " Together they are a short description of the drawing.",
  output: ({ maps, before }) => `Each of the ${maps} classes has its own weighted sum of these ${before.maps} values. Softmax turns the sums into`
    + ` probabilities that add up to 100%. The largest is the answer${ending()}. Even an answer with 99.9% can be wrong. Now draw your own.`,
};

function ending() {
  const { map } = strongestUnit("output");
  return isBlank() ? "" : `: here ${state.model.classes[map]}, with ${percent(state.outputs.output.values[map])}`;
}

let stageIndex = -1; // the index of the stage; -1 before the first

function showStage() {
  const name = STAGES[stageIndex]?.name;
  $("tour-name").textContent = name ? `${title(name)} (${stageIndex + 1} of ${STAGES.length})` : "Watch";
  $("tour-text").textContent = name ? SENTENCES[name](sizesOf(name))
    : `${state.model.isNamed ? `Draw a ${thing()}` : "A digit writes itself"}, and the whole network follows each stroke.`;
  $("tour-back").hidden = stageIndex < 0;
  $("tour-next").textContent = stageIndex < 0 ? "Take the tour" : stageIndex < STAGES.length - 1 ? "Next" : "Finish";
  if (!name) return pointAt(null);
  pointAt(exampleUnit(name));
  scrollToStage();
  if (["c1", "s2"].includes(name) && !isMotionUnwanted()) slide();
}

// Scroll so that the stage and the one before it, over which its kernel slides, are below the tour.
function scrollToStage() {
  const y = layout.isWide ? 0 : layout.stages[STAGES[Math.max(0, stageIndex - 1)].name].y - 26;
  const top = figure.getBoundingClientRect().top + scrollY + y - $("tour").offsetHeight - 4;
  scrollTo({ top });
}

function goBy(by) {
  stageIndex += by;
  if (stageIndex < STAGES.length) {
    showStage();
    if (stageIndex < 0) $("tour-next").focus({ preventScroll: true }); // "Back" is hidden
    return;
  }
  closeTour();
  scrollTo({ top: 0 }); // to the pad
}

function closeTour() {
  $("tour").hidden = true;
  remember("lenet-tour", "closed");
  $("tour-open").focus({ preventScroll: true });
}

function openTour() {
  $("tour").hidden = $("tour").inert = false;
  stageIndex = 0;
  showStage();
  $("tour-next").focus({ preventScroll: true });
}

function tourKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "ArrowRight") goBy(1);
  else if (event.key === "ArrowLeft") stageIndex >= 0 && goBy(-1);
  else if (event.key === "Escape") closeTour();
  else return;
  event.preventDefault();
}

function isOnScreen() {
  const { top, bottom } = figure.getBoundingClientRect();
  return bottom > 0 && top < innerHeight;
}

// Return a function that does its work only while the tour shows a stage.
const onStage = (work) => () => !$("tour").hidden && stageIndex >= 0 && work();

export function prepareTour() {
  afterEachPass(onStage(() => pointAt(exampleUnit(STAGES[stageIndex].name)))); // the drawing has changed
  new ResizeObserver(onStage(() => isOnScreen() && scrollToStage())).observe(figure); // for example, when a phone is turned
  $("tour-open").addEventListener("click", openTour);
  $("tour-next").addEventListener("click", () => goBy(1));
  $("tour-back").addEventListener("click", () => goBy(-1));
  $("tour-close").addEventListener("click", closeTour);
  $("tour").addEventListener("keydown", tourKey);
}

// Offer the tour, unless the reader has closed it before.
export function offerTour() {
  $("tour").hidden = remembered("lenet-tour") !== null;
  showStage();
}
