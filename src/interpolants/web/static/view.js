// The view of a run, and of two runs: the same page with one choice more. Runs are numbers of a list that the server has.

import { $, Job, element, get, keys, readAddress, writeAddress } from "./common.js";
import { Player } from "./player.js";
import * as sections from "./sections.js";
import { Stage } from "./stage.js";

const pair = location.pathname === "/compare";
const DEFAULTS = {
  run: 0, other: 1, way: "forward", start: "batch", row: 0, eps: pair ? "0" : "0, 0.5, 1", n: null, n_steps: 50, label: null, seed: 0, measured: [],
};
const LOOK_AGAIN = 2000; // milliseconds between two looks at a training
const MOST = { images: 64, points: 2000 }, USUAL = { images: 36, points: 600 };

let state = { ...DEFAULTS }, runs = [], pages = [], timer = 0, watch = 0, found = {}, rows = [];
const stage = new Stage($("stage"), $("clock"), choose);
const player = new Player({ button: $("play"), slider: $("time"), show: (at) => stage.show(at), steps: () => stage.frames });
const carrying = new Job({ status: $("status"), bar: $("bar"), cancel: $("cancel") });
const jobs = Object.fromEntries(["errors", "likelihood", "check"].map((what) =>
  [what, new Job({ status: $(`${what}-status`), bar: $(`${what}-bar`), cancel: $(`${what}-cancel`) })]));
window.explorer = { get answer() { return stage.answer; }, get player() { return player; }, get stage() { return stage; }, get found() { return found; }, get pages() { return pages; } };

const chosen = () => (pair ? [state.run, state.other] : [state.run]).map((index) => runs[index]);
const kind = () => (chosen()[0]?.is_image ? "images" : "points");

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
  const without = chosen().find((run) => run && !run.has_bridge);
  if (without?.growing) return carrying.say(`${without.name} is not trained yet. This page follows it; samples can be carried as soon as it is.`);
  if (without) return carrying.say(`${without.name} was trained by another method: its curves and numbers are shown below, and nothing can be carried.`);
  let levels;
  try { levels = readLevels(); } catch (error) { carrying.stop(); return carrying.say(error.message, true); }
  const question = {
    runs: chosen().map((run) => run.index), way: state.way, start: state.start, row: state.row, eps: levels,
    n: size(), n_steps: state.n_steps, label: state.label, seed: state.seed,
  };
  const answer = await carrying.run("/api/carry", question);
  if (!answer) return;
  rows = answer.facts.rows;
  stage.one = state.start === "one";
  stage.load(answer, pair);
  $("axes").textContent = axes(answer.facts);
  player.open();
}

function carrySoon() { clearTimeout(timer); timer = setTimeout(carry, 250); }

const size = () => Math.min(state.n ?? USUAL[kind()], MOST[kind()]);

function axes(facts) {
  const kept = facts.held_out ? "" : " The rows are training data, for no others were kept.";
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
    if (!run.has_bridge || (what === "likelihood" && !run.can_score)) { results.push(null); continue; }
    const n = what === "likelihood" && run.is_image ? 64 : 256;
    const answer = await jobs[what].run("/api/judge", { run: run.index, what, n });
    if (!answer) return;
    results.push(what === "check" ? answer.facts.checks : answer.facts);
  }
  if (asked.some((run, k) => run !== chosen()[k])) return; // another run was chosen meanwhile
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
  const wanted = chosen();
  if (wanted.some((run) => run === undefined)) {
    const count = pair && runs.length < 2 ? "A comparison needs two runs: interpolants explore RUN1 RUN2" : `There are ${runs.length} runs, numbered from 0.`;
    return carrying.say(runs.length ? count : "No run was given. Start the explorer with one: interpolants explore RUN", true);
  }
  try {
    pages = await Promise.all(wanted.map((run) => get(`/api/runs/${run.index}`)));
  } catch (error) {
    return carrying.say(error instanceof TypeError ? "The server cannot be reached. Is it still running?" : error.message, true);
  }
  found = {};
  $("errors").replaceChildren("Not measured yet.");
  $("errors-seen").hidden = true;
  $("errors-words").textContent = "";
  for (const part of ["head", "training", "numbers", "levels"]) sections[part](pages);
  for (const what of ["likelihood", "check"]) draw(what);
  showChoices();
  carry();
  follow();
  for (const what of state.measured.filter((name) => Object.hasOwn(jobs, name))) await measure(what);
}

// While a run is in training its curve grows on the page; when it is trained the page opens as for any other run.
function follow() {
  if (!pages.some((page) => page.growing)) return;
  watch = setTimeout(async () => {
    const wanted = chosen();
    let fresh;
    try { fresh = await Promise.all(wanted.map((run) => get(`/api/runs/${run.index}`))); } catch { return follow(); }
    if (wanted.some((run, k) => run !== chosen()[k])) return; // another run was chosen meanwhile
    if (fresh.some((page, k) => page.growing !== pages[k].growing)) {
      await list();
      return openRuns();
    }
    pages = fresh;
    sections.training(pages);
    follow();
  }, LOOK_AGAIN);
}

async function list() {
  runs = (await get("/api/runs")).runs;
  for (const select of [$("run"), $("other")])
    select.replaceChildren(...runs.map((run) => element("option", { value: run.index }, run.growing ? `${run.name} (in training)` : run.name)));
}

function showChoices() {
  const first = chosen()[0], classes = first?.classes ?? [];
  $("label").replaceChildren(new Option("each its own", ""), ...classes.map((name, k) => new Option(name, k)));
  $("label-row").hidden = classes.length === 0;
  $("n").max = MOST[kind()];
  $("row").max = Math.max(0, (state.way === "forward" ? first?.starts : first?.ends) - 1 || 0);
  showSettings();
}

function showSettings() {
  if (state.label !== null && state.label >= (chosen()[0]?.classes ?? []).length) state.label = null;
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
