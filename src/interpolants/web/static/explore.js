// The playground: asks the server for particles and density along a bridge, and plays them on a canvas.

import { lineChart } from "./chart.js";
import { $, Job, get, keys, readAddress, withError, writeAddress } from "./common.js";
import * as draw from "./draw.js";
import { Player } from "./player.js";

const canvas = $("canvas"), pen = canvas.getContext("2d");
const SETTINGS = ["rho0", "rho1", "path", "envelope", "scale", "eps", "eps_shape", "method", "n_steps", "n", "reverse"];
const DEFAULTS = {
  rho0: "moons", rho1: "eight blobs", path: "linear", envelope: "brownian", scale: 1, eps: 0.5, eps_shape: "constant",
  method: "midpoint", n_steps: 50, n: 2000, reverse: false, start: null, seed: 0,
};
const TRAILS = 24;

let state = { ...DEFAULTS }, limits = { reach: 4.6, grid: 72 };
let answer = null, timer = 0, drawing = null, images = [], inks = draw.readInks();
const job = new Job({ status: $("status"), bar: $("bar"), cancel: $("cancel") });
const prices = new Job({ status: $("prices-status"), bar: $("prices-bar"), cancel: $("prices-cancel") });
const player = new Player({ button: $("play"), slider: $("time"), show, steps: () => (answer ? answer.times.length - 1 : 1) });
window.explorer = { get answer() { return answer; }, get player() { return player; } };

// --- settings ------------------------------------------------------------------------------------------

function showSettings() {
  for (const key of SETTINGS) {
    const input = $(key), value = state[key];
    if (input.type === "checkbox") input.checked = value;
    else if (Array.isArray(value)) { addOption(input, "drawn", "drawn by hand"); input.value = "drawn"; }
    else input.value = value;
    const shown = $(key + "-shown");
    if (shown) shown.textContent = value;
  }
  $("one").checked = state.start !== null;
}

function addOption(select, value, text) {
  if ([...select.options].some((o) => o.value === value)) return;
  select.add(new Option(text, value));
}

// --- asking --------------------------------------------------------------------------------------------

async function ask() {
  writeAddress(state, DEFAULTS);
  const found = await job.run("/api/simulate", state);
  if (!found) return job.refused && clear();
  unpack(found);
  report();
  player.open();
}

// Particles of other settings would stand below a refusal as if they were its answer.
function clear() {
  player.play(false);
  answer = null;
  images = [];
  pen.clearRect(0, 0, canvas.width, canvas.height);
  canvas.setAttribute("aria-label", "Nothing is shown: the settings were refused");
  $("numbers").textContent = "";
}

function askSoon() { clearTimeout(timer); timer = setTimeout(ask, 200); }

function unpack({ facts, bytes }) {
  const frames = facts.times.length, count = 2 * frames * facts.n, extra = facts.flow ? 2 * frames : 0;
  answer = {
    ...facts,
    particles: new Float32Array(bytes, 0, count),
    flow: facts.flow ? new Float32Array(bytes, 4 * count, extra) : null,
    density: new Uint8Array(bytes, 4 * (count + extra)),
  };
  images = new Array(frames);
}

function report() {
  const parts = [`${answer.nfe} evaluations a particle, by ${answer.solver.replaceAll("_", " ")}`];
  if (answer.distance)
    parts.push(`energy distance to the true law ${withError(...answer.distance)} (two true samples ${withError(...answer.floor)})`);
  if (answer.flow) parts.push("blue: the ODE from the same start");
  const most = Math.max(...answer.eps);
  if (state.eps > 0 && most < 0.9 * state.eps) parts.push(`eps was capped at ${most.toFixed(2)}: take more steps`);
  $("numbers").textContent = parts.join("; ");
}

// What evaluations buy: the same laws, path and noise level by several solvers, from few evaluations to many.
async function price() {
  const found = await prices.run("/api/prices", { ...state, start: null });
  if (!found) return;
  const { curves, floor, n } = found.facts; // a logarithmic axis has no place for what noise has made negative
  const series = curves.map((curve, k) => ({ name: curve.name, ink: k, dash: k, rows: curve.rows.map(([x, y, e]) => [x, Math.max(y, e / 4), e]) }));
  lineChart($("prices"), {
    title: "Energy distance to the true law over evaluations", xName: "evaluations of the fields a particle", yName: "energy distance (log scale)",
    series, log: true, logX: true, level: { y: Math.max(Math.abs(floor[0]), floor[1]), name: "noise of two true samples" },
  });
  $("prices-words").textContent = `${n} particles; bands are standard errors. Below the line nothing can be told from the truth.`;
}

// --- drawing -------------------------------------------------------------------------------------------

function show(at) {
  if (!answer) return;
  const F = answer.times.length, n = answer.n, frame = at * (F - 1);
  const k = Math.min(Math.floor(frame), Math.max(F - 2, 0)), w = F > 1 ? frame - k : 0;
  const place = draw.toPixels(canvas, box()), p = answer.particles, a = 2 * n * k, b = F > 1 ? a + 2 * n : a;
  pen.clearRect(0, 0, canvas.width, canvas.height);
  if ($("show-density").checked) {
    const nearest = Math.round(frame), size = answer.grid;
    images[nearest] ??= draw.density(answer.density, nearest * size * size, size, inks.dark);
    pen.drawImage(images[nearest], 0, 0, canvas.width, canvas.height);
  }
  if ($("show-trails").checked) draw.trails(pen, place, p, n, k, TRAILS, { ink: inks.ink });
  draw.points(pen, place, p, a, b, w, n, { ink: inks.orange, alpha: n > 1500 ? 0.55 : 0.8, size: n > 1500 ? 2.6 : 3.6 });
  if (answer.flow) {
    draw.trails(pen, place, answer.flow, 1, k, 1, { ink: inks.blue, alpha: 1, width: 3 });
    draw.points(pen, place, answer.flow, 2 * k, F > 1 ? 2 * k + 2 : 2 * k, w, 1, { ink: inks.blue, alpha: 1, size: 10 });
  }
  if (state.start) draw.ring(pen, place.x(state.start[0]), place.y(state.start[1]), inks.ink);
  const t = answer.times[k] + w * ((answer.times[k + 1] ?? answer.times[k]) - answer.times[k]);
  $("clock").textContent = `t = ${t.toFixed(2)}`;
  canvas.setAttribute("aria-label", `${n} particles over the exact density at t = ${t.toFixed(2)}`);
}

const box = () => [[-limits.reach, limits.reach], [-limits.reach, limits.reach]];

// --- drawing one's own law, and the one start --------------------------------------------------------------

function where(event) {
  const box = canvas.getBoundingClientRect();
  const x = ((event.clientX - box.left) / box.width * 2 - 1) * limits.reach, y = (1 - (event.clientY - box.top) / box.height * 2) * limits.reach;
  return [Number(x.toFixed(3)), Number(y.toFixed(3))];
}

function startDrawing(which) {
  if (drawing?.which === which) return finishDrawing();
  player.play(false);
  drawing = { which, points: [] };
  canvas.classList.add("drawing");
  $("draw" + which).classList.add("on");
  $("draw" + which).textContent = "Done";
  pen.clearRect(0, 0, canvas.width, canvas.height);
  job.say(`Draw rho${which} with the mouse or a finger, then press Done.`);
}

function finishDrawing() {
  const { which, points } = drawing;
  drawing = null;
  canvas.classList.remove("drawing");
  $("draw" + which).classList.remove("on");
  $("draw" + which).textContent = `Draw rho${which}`;
  if (points.length < 3) { job.say("At least three points are needed; nothing was changed.", true); show(player.at); return; }
  const step = Math.max(1, Math.ceil(points.length / 400));
  state["rho" + which] = points.filter((_, i) => i % step === 0);
  showSettings();
  ask();
}

canvas.addEventListener("pointerdown", (event) => {
  if (drawing) { canvas.setPointerCapture(event.pointerId); addPoint(event); }
  else if ($("one").checked) { state.start = where(event); ask(); }
});
canvas.addEventListener("pointermove", (event) => { if (drawing && event.buttons) addPoint(event); });

function addPoint(event) {
  const point = where(event), place = draw.toPixels(canvas, box());
  drawing.points.push(point);
  pen.fillStyle = inks.orange;
  pen.fillRect(place.x(point[0]) - 3, place.y(point[1]) - 3, 6, 6);
}

// --- controls ------------------------------------------------------------------------------------------

function connect() {
  for (const key of SETTINGS)
    $(key).addEventListener("input", () => {
      const input = $(key);
      if (input.value === "drawn") return;
      state[key] = input.type === "checkbox" ? input.checked : input.type === "range" ? Number(input.value) : input.value;
      showSettings();
      askSoon();
    });
  $("one").addEventListener("input", () => { state.start = $("one").checked ? [0, 0] : null; ask(); });
  for (const id of ["show-density", "show-trails"]) $(id).addEventListener("input", () => show(player.at));
  $("again").addEventListener("click", () => { state.seed = (state.seed + 1) % 1000; ask(); });
  $("prices-go").addEventListener("click", price);
  for (const which of ["0", "1"]) $("draw" + which).addEventListener("click", () => startDrawing(which));
  keys(player, () => { job.stop(); prices.stop(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { inks = draw.readInks(); images = []; show(player.at); });
  addEventListener("hashchange", () => { take(); ask(); });
}

function take() {
  let complaint;
  [state, complaint] = readAddress(DEFAULTS);
  showSettings();
  if (complaint) job.say(complaint, true);
}

async function begin() {
  try {
    limits = await get("/api/choices");
  } catch {
    return job.say("The server cannot be reached. Is it still running?", true);
  }
  for (const [id, list] of [["rho0", "laws"], ["rho1", "laws"], ["path", "paths"], ["envelope", "envelopes"], ["eps_shape", "shapes"], ["method", "methods"]])
    for (const name of limits[list]) addOption($(id), name, name.replaceAll("_", " "));
  take();
  connect();
  ask();
}

begin();
