// Requests to the server of the page, and the page's answer compared with the server's.

import { SIDE } from "./network.mjs";
import { $, afterEachPass, guarded, state } from "./state.mjs";
import { changes } from "./drawing.mjs";

let changesBefore = 0; // the count of changes at the last comparison

export const isServed = () => !$("model") && location.protocol.startsWith("http");

let token = "";

// Fetch, and ask the user for a token until the server accepts it. Error messages are sentences.
export async function ask(url, options = {}) {
  for (;;) {
    const sent = token;
    const headers = { ...options.headers, ...(token && { Authorization: `Bearer ${token}` }) };
    let response;
    try {
      response = await fetch(url, { ...options, headers });
    } catch {
      throw new Error("The server does not respond. Check that it is running.");
    }
    if (response.status !== 401) return response;
    if (token === sent) await tokenFromUser(); // unless another request has asked for it
  }
}

export async function answerOf(response) {
  const json = await response.json().catch(() => ({}));
  if (response.ok) return json;
  throw new Error(json.error ?? `The server responded with status ${response.status}.`);
}

const form = $("token-form");

function tokenFromUser() {
  form.hidden = false;
  if (token) $("token-hint").textContent = "The server rejected this token. Try another one.";
  $("token").focus();
  return new Promise((resolve) => form.addEventListener("submit", resolve, { once: true }));
}

function keepToken(event) {
  event.preventDefault();
  form.hidden = true;
  token = $("token").value;
  $("token").value = "";
}

async function compare() {
  const images = { name: "images", shape: [1, SIDE, SIDE], datatype: "UINT8", data: Array.from(state.pixels) };
  const own = state.outputs.output.values;
  changesBefore = changes;
  const start = performance.now();
  const response = await ask(`v2/models/${encodeURIComponent(state.model.name)}/infer`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ inputs: [images], outputs: [{ name: "probabilities" }] }),
  });
  const { outputs, model_version: version } = await answerOf(response);
  const time = performance.now() - start;
  if (changes > changesBefore) return;
  const difference = Math.max(...own.map((value, k) => Math.abs(value - outputs[0].data[k])));
  $("comparison").textContent = version !== state.model.version ? `The server now has version ${version}. Reload the page.`
    : `Round trip: ${time.toFixed(1)} ms. The probabilities differ by at most ${difference.toExponential(0)}.`;
}

export function prepareServer() {
  form.addEventListener("submit", keepToken); // before the requests that wait for it
  $("compare").addEventListener("click", guarded(compare));
  afterEachPass(() => changes > changesBefore && ($("comparison").textContent = ""));
}
