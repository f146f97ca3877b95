// The view of a run, and of two runs: the same page with one choice more. Runs are numbers of a list that the server has.

import { $, Job, get, keys, readAddress, writeAddress } from "./common.js";
import { Player } from "./player.js";
import * as sections from "./sections.js";
import { Stage } from "./stage.js";

const pair = location.pathname === "/compare";
const DEFAULTS = {
  run: 0, other: 1, way: "forward", start: "batch", row: 0, eps: pair ? "0" : "0, 0.5, 1", n: null, n_steps: 50, label: null, seed: 0, measured: [],
};
const LOOK_AGAIN = 2000; // milliseconds between two looks at a training
const MOST = { images: 64, points: 2000 }, USUAL = { images: 36, points: 600 };

let state = { ...DEFAULTS }, runs = [], pages = [], timer = 0, watch = 0, found = {}, rows = [], settled = false;
const stage = new Stage($("stage"), $("clock"), choose);
const player = new Player({ button: $("play"), slider: $("time"), show: (at) => stage.show(at), steps: () => stage.frames });
const carrying = new Job({ status: $("status"), bar: $("bar"), cancel: $("cancel") });
const jobs = Object.fromEntries(["errors", "likelihood", "check"].map((what) =>
  [what, new Job({ status: $(`${what}-status`), bar: $(`${what}-bar`), cancel: $(`${what}-cancel`) })]));
window.explorer = { get answer() { return stage.answer; }, get player() { return player; }, get stage() { return stage; }, get found() { return found; }, get pages() { return pages; }, get settled() { return settled; } };

const chosen = () => (pair ? [state.run, state.other] : [state.run]).map((index) => runs[index]);
const isChosen = (wanted) => wanted.every((run, k) => run.index === chosen()[k]?.index); // or another was, meanwhile
const journey = () => pages[0]?.journey;
const kind = () => (journey()?.is_image ? "images" : "points");

// --- the journey -------------------------------------------------------------------------------------------

function readLevels() {
  const parts = state.eps.split(/[,;\s]+/).filter(Boolean), values = parts.map(Number);
  const bad = parts.find((_, i) => !Number.isFinite(values[i]) || values[i] < 0);
  if (bad !== undefined) throw new Error(`Noise levels: each must be a number >= 0, got ${bad}. Write e.g. 0, 0.5, 2.`);
  if (!values.length || values.length > 4) throw new Error(`Noise levels: one to four can be shown, got ${values.length}. Write e.g. 0, 0.5, 2.`);
  return values;
}

async function carry() {
  writeAddress(state, DEFAULTS);
  const still = pages.find((page) => !page.journey);
  if (still) return carrying.say(why(still));
  let levels;
  try { levels = readLevels(); } catch (error) { carrying.stop(); clear(); return carrying.say(error.message, true); }
  const question = {
    runs: chosen().map((run) => run.index), way: state.way, start: state.start, row: state.row, eps: levels,
    n: size(), n_steps: state.n_steps, label: state.label, seed: state.seed,
  };
  const answer = await carrying.run("/api/carry", question);
  if (!answer) return carrying.refused && clear();
  rows = answer.facts.rows;
  $("row").max = answer.facts.most - 1;
  $("row").value = state.row;
  stage.one = state.start === "one";
  stage.load(answer, pair);
  $("axes").textContent = axes(answer.facts);
  player.open();
}

// Samples of other settings would stand below a refusal as if they were its answer.
function clear() {
  player.play(false);
  stage.clear();
  $("axes").textContent = "";
}

// Why nothing moves.
function why(page) {
  if (page.state === "training") return `${page.name} is not trained yet. This page follows it; samples are shown from its first checkpoint on.`;
  return page.verbs.length ? `Samples on their way are shown of bridges. What ${page.name} answered and what it can be asked is below.` : "";
}

function carrySoon() { clearTimeout(timer); timer = setTimeout(carry, 250); }

const size = () => Math.min(state.n ?? USUAL[kind()], MOST[kind()]);

function axes(facts) {
  const growing = pages.filter((page) => page.snapshot !== null).map((page) => ` ${page.name} is in training: these are its weights of step ${page.snapshot.toLocaleString("en")}.`).join("");
  const kept = growing + (facts.held_out ? "" : " The rows are training data, for no others were kept.");
  const alone = "Click a sample to follow it alone.", click = state.start === "one" ? "The ring is the start." : alone;
  if (facts.kind === "images") {
    const strips = facts.n <= 4 ? " One row for each, from left to right on its way." : "";
    return `Images; black is −1, white 1.${strips}${state.start === "one" ? "" : ` ${alone}`}${kept}`;
  }
  return `Orange: samples; grey: data at t = 0; blue: data at t = 1. Across ${facts.axes[0]}, upwards ${facts.axes[1]}. ${click}${kept}`;
}

function choose(i) {
  state.row = rows[i];
  state.start = "one";
  if (kind() === "images" && state.n === null) state.n = 16;
  showSettings();
  carry();
}

// --- measuring -----------------------------------------------------------------------------------------------

async function measure(what) {
  const asked = chosen(), results = [];
  for (const run of asked) {
    const { journey } = pages.find((page) => page.index === run.index);
    if (!journey || (what === "likelihood" && !journey.can_score)) { results.push(null); continue; }
    const n = what === "likelihood" && journey.is_image ? 64 : 256;
    const answer = await jobs[what].run("/api/judge", { run: run.index, what, n });
    if (!answer) return;
    results.push(what === "check" ? answer.facts.checks : answer.facts);
  }
  if (!isChosen(asked)) return;
  found[what] = results;
  if (!state.measured.includes(what)) state.measured = [...state.measured, what];
  writeAddress(state, DEFAULTS);
  draw(what);
}

function draw(what) {
  const show = { errors: sections.errors, likelihood: sections.likelihood, check: sections.checks }[what];
  show(pages, found[what] ?? []);
}

// --- choosing runs ---------------------------------------------------------------------------------------------

async function openRuns() {
  clearTimeout(watch);
  settled = false;
  const wanted = chosen();
  if (wanted.some((run) => run === undefined)) {
    const count = pair && runs.length < 2 ? "A comparison needs two runs: interpolants explore RUN1 RUN2" : `There are ${runs.length} runs, numbered from 0.`;
    return carrying.say(runs.length ? count : "No run was given. Start the explorer with one: interpolants explore RUN", true);
  }
  let fresh;
  try {
    fresh = await Promise.all(wanted.map((run) => get(`/api/runs/${run.index}`)));
  } catch (error) {
    return carrying.say(error instanceof TypeError ? "The server cannot be reached. Is it still running?" : error.message, true);
  }
  if (!isChosen(wanted)) return;
  pages = fresh;
  found = {};
  $("errors").replaceChildren("Not measured yet.");
  $("errors-seen").hidden = true;
  $("errors-words").textContent = "";
  for (const part of ["head", "training", "numbers", "claims", "figures", "texts", "verbs"]) sections[part](pages);
  for (const what of ["likelihood", "check"]) draw(what);
  showParts();
  showChoices();
  carry();
  settled = !pages.every((page) => page.journey);
  follow();
  if (!pages.some((page) => page.journey)) return;
  for (const what of state.measured.filter((name) => Object.hasOwn(jobs, name))) await measure(what);
}

// What only bridges have is shown of bridges: samples on their way where all of them move, measurements where one can be measured.
function showParts() {
  const moves = pages.every((page) => page.journey), measured = pages.some((page) => page.journey);
  for (const id of ["stage", "player", "axes", "controls"]) $(id).hidden = !moves;
  for (const what of Object.keys(jobs)) $(`${what}-box`).hidden = !measured;
  document.querySelector("main").classList.toggle("still", !moves);
  if (moves) return;
  carrying.stop();
  clear();
}

// A run that goes on: its curves grow on the page, and when it comes to its next state the page opens anew.
function follow() {
  if (pages.every((page) => page.state === "done")) return;
  watch = setTimeout(async () => {
    const wanted = chosen();
    let fresh;
    try {
      await list();
      if (!isChosen(wanted) || pages.some((page) => page.state !== runs[page.index].state)) return openRuns();
      fresh = await Promise.all(pages.map((page) => (page.state === "training" ? get(`/api/runs/${page.index}`) : page)));
    } catch { return follow(); }
    if (!isChosen(wanted)) return;
    const before = pages.map((page) => page.snapshot).join();
    pages = fresh;
    sections.training(pages);
    if (pages.map((page) => page.snapshot).join() !== before) { showParts(); showChoices(); carry(); }
    follow();
  }, LOOK_AGAIN);
}

async function list() {
  runs = (await get("/api/runs")).runs;
  const names = runs.map((run) => (run.state === "training" ? `${run.name} (in training)` : run.name));
  for (const select of [$("run"), $("other")]) {
    if (names.join() === [...select.options].map((option) => option.text).join()) continue; // a list that is open stays open
    const kept = select.value;
    select.replaceChildren(...names.map((name, index) => new Option(name, index)));
    if (kept) select.value = kept;
  }
}

function showChoices() {
  const classes = journey()?.classes ?? [];
  $("label").replaceChildren(new Option("each its own", ""), ...classes.map((name, k) => new Option(name, k)));
  $("label-row").hidden = classes.length === 0;
  $("n").max = MOST[kind()];
  showSettings();
}

function showSettings() {
  if (state.label !== null && state.label >= (journey()?.classes ?? []).length) state.label = null;
  for (const key of ["run", "other", "way", "start", "eps"]) $(key).value = state[key];
  $("label").value = state.label ?? "";
  for (const [key, value] of [["row", state.row], ["n", size()], ["n_steps", state.n_steps]]) {
    $(key).value = value;
    $(`${key}-shown`).textContent = value;
  }
  $("row-row").hidden = state.start !== "one";
}

// --- controls ----------------------------------------------------------------------------------------------------

function connect() {
  for (const key of ["way", "start", "eps", "n", "n_steps", "row"])
    $(key).addEventListener("input", () => {
      state[key] = $(key).type === "range" ? Number($(key).value) : $(key).value;
      if (key === "way") showChoices();
      else if (key !== "eps") showSettings();
      carrySoon();
    });
  $("label").addEventListener("input", () => { state.label = $("label").value === "" ? null : Number($("label").value); carrySoon(); });
  for (const key of ["run", "other"])
    $(key).addEventListener("input", () => { state = { ...state, [key]: Number($(key).value), row: 0, n: null, label: null }; openRuns(); });
  for (const what of Object.keys(jobs)) $(`${what}-go`).addEventListener("click", () => measure(what));
  $("again").addEventListener("click", () => { state.seed = (state.seed + 1) % 1000; carry(); });
  $("show-data").addEventListener("input", () => { stage.data = $("show-data").checked; stage.again(); });
  $("show-trails").addEventListener("input", () => { stage.trails = $("show-trails").checked; stage.again(); });
  keys(player, () => [carrying, ...Object.values(jobs)].forEach((job) => job.stop()));
  addEventListener("hashchange", () => { take(); openRuns(); });
}

function take() {
  let complaint;
  [state, complaint] = readAddress(DEFAULTS);
  for (const key of ["run", "other", "row", "seed", "n_steps"]) if (!Number.isInteger(state[key])) state[key] = DEFAULTS[key];
  if (!Array.isArray(state.measured)) state.measured = [];
  if (typeof state.eps !== "string") state.eps = DEFAULTS.eps;
  if (complaint) carrying.say(complaint, true);
}

async function begin() {
  document.title = pair ? "Two runs, interpolants explorer" : "A run, interpolants explorer";
  $(pair ? "to-compare" : "to-run").setAttribute("aria-current", "page");
  $("other-row").hidden = !pair;
  try {
    await list();
  } catch {
    return carrying.say("The server cannot be reached. Is it still running?", true);
  }
  take();
  connect();
  openRuns();
}

begin();
