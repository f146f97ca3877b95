// The index: every run that the server has, what it is and how far or how good it is, with a link to its page.

import { $, element, get } from "./common.js";

const LOOK_AGAIN = 4000; // milliseconds between two looks at runs in training
const STATES = { training: "in training", trained: "trained, not judged", done: "done" };
window.explorer = { settled: false };

const page = (place, settings) => `${place}#${encodeURIComponent(JSON.stringify(settings))}`;

function card(run, k, runs) {
  const before = run.data && runs.slice(0, k).findLast((other) => other.data === run.data); // judged on the same data
  const compare = before ? [" · ", element("a", { href: page("/compare", { run: before.index, other: run.index }) }, `compare with ${before.name}`)] : [];
  const title = run.title && run.title !== run.name ? `${run.title}. ` : "";
  return element("section", {}, element("h2", {}, element("a", { href: page("/run", { run: run.index }) }, run.name)),
    element("p", { class: "note" }, `${title}${run.what}, `, element("strong", {}, STATES[run.state]), ...compare),
    element("p", { class: "told" }, run.told));
}

async function look() {
  try {
    const { runs } = await get("/api/index");
    $("runs").replaceChildren(...runs.map(card));
    $("status").textContent = runs.length ? `${runs.length} ${runs.length === 1 ? "fitted method" : "fitted methods"}: one for each task and seed of a run.` : "No run was given. Start the explorer with a run, or with a folder of runs: interpolants explore runs";
    window.explorer.settled = true;
    if (runs.some((run) => run.state !== "done")) setTimeout(look, LOOK_AGAIN);
  } catch (error) {
    $("status").classList.add("error");
    $("status").textContent = error instanceof TypeError ? "The server cannot be reached. Is it still running?" : error.message;
  }
}

look();
