// The answer and the probability of each class.

import { judged } from "./network.mjs";
import { $, add, afterEachPass, isBlank, percent, speaker, state, thing } from "./state.mjs";
import { isServed } from "./server.mjs";

const sayAnswer = speaker($("answer"));

// Long names are cut off; the full name is a tooltip.
function prepareBars(classes) {
  const longest = Math.max(...classes.map((name) => name.length));
  $("bars").toggleAttribute("data-many", classes.length > 12);
  $("reading-box").toggleAttribute("data-long", longest > 3);
  if (longest > 2) $("bars").style.setProperty("--name", `${0.65 * Math.min(longest, 12)}em`);
  for (const name of classes) {
    const bar = add($("bars"), "li");
    add(bar, "span", { className: "name", textContent: name, title: name.length > 8 ? name : "" });
    add(add(bar, "span", { className: "track" }), "span", { className: "fill" });
    add(bar, "span", { className: "percent" });
  }
}

export const readsLines = () => isServed() && state.model.classes.every((name) => [...name].length === 1);
const hint = () => (readsLines() ? "To read a number, choose a picture." : `This page reads one ${thing()} at a time.`);
function showAnswer() {
  const probabilities = Array.from(state.outputs.output.values);
  const blank = isBlank();
  const { label, kind, text } = judged(state.model, probabilities);
  const answer = blank ? `Draw a ${thing()}` : text;
  $("reading").dataset.kind = blank ? "blank" : kind;
  $("reading").replaceChildren();
  add($("reading"), "strong", { textContent: answer });
  $("pad-answer").textContent = blank ? "" : kind === "unsure" ? `${state.model.classes[label]}?` : text;
  if (!blank && kind !== "none") add($("reading"), "span", { textContent: percent(probabilities[label]) });
  $("hint").textContent = !blank && kind === "none" ? hint() : "";
  sayAnswer(answer);
  [...$("bars").children].forEach((bar, k) => {
    bar.classList.toggle("best", !blank && kind !== "none" && k === label);
    bar.querySelector(".fill").style.transform = `scaleX(${probabilities[k]})`;
    bar.querySelector(".percent").textContent = percent(probabilities[k]);
  });
}

function showLatency() {
  const sorted = state.times.toSorted((a, b) => a - b);
  const median = sorted[sorted.length >> 1];
  $("latency").textContent = median < 0.1 ? `${Math.round(1000 * median)} µs` : `${median.toFixed(1)} ms`;
}

export function prepareAnswer(classes) {
  prepareBars(classes);
  afterEachPass(showAnswer);
  afterEachPass(showLatency);
}
