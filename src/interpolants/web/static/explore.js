// The playground: asks the server for particles and density along a bridge, and plays them on a canvas.
// State lives in the address, so that a reload or a link shows the same picture.

const $ = (id) => document.getElementById(id);
const canvas = $("canvas"), pen = canvas.getContext("2d");
const SETTINGS = ["rho0", "rho1", "path", "envelope", "scale", "eps", "eps_shape", "method", "n_steps", "n", "reverse"];
const DEFAULTS = {
  rho0: "moons", rho1: "eight blobs", path: "linear", envelope: "brownian", scale: 1, eps: 0.5, eps_shape: "constant",
  method: "heun", n_steps: 50, n: 2000, reverse: false, start: null, seed: 0,
};
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const SECONDS = 5; // of one pass through the bridge
const TRAILS = 24;

let state = { ...DEFAULTS }, limits = { reach: 4.6, grid: 72 };
let answer = null, frame = 0, playing = false, last = 0, waiting = null, timer = 0, drawing = null, images = [];
window.explorer = { frames: 0, slow: 0, get answer() { return answer; } };

// --- state and address ---------------------------------------------------------------------------------

function readAddress() {
  try {
    const given = JSON.parse(decodeURIComponent(location.hash.slice(1) || "{}"));
    for (const key of Object.keys(DEFAULTS)) if (key in given) state[key] = given[key];
  } catch {
    say("The address holds no settings that can be read; these are the defaults.", true);
  }
}

function writeAddress() {
  const changed = Object.fromEntries(Object.entries(state).filter(([k, v]) => JSON.stringify(v) !== JSON.stringify(DEFAULTS[k])));
  history.replaceState(null, "", Object.keys(changed).length ? "#" + encodeURIComponent(JSON.stringify(changed)) : location.pathname);
}

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
  waiting?.abort();
  const mine = (waiting = new AbortController());
  $("cancel").disabled = false;
  say("Computing ...");
  writeAddress();
  try {
    const reply = await fetch("/api/simulate", { method: "POST", body: JSON.stringify(state), signal: mine.signal });
    if (!reply.ok) {
      const told = await reply.json().catch(() => ({ error: `The server answered ${reply.status}.` }));
      throw new Error(told.error);
    }
    unpack(await reply.arrayBuffer());
    say("");
    report();
    if (!playing && !calm.matches) play(true, true);
    else show(calm.matches ? answer.times.length - 1 : frame);
  } catch (error) {
    if (error.name === "AbortError") { if (mine === waiting) say("Cancelled. Change a setting to go on."); }
    else say(error instanceof TypeError ? "The server cannot be reached. Is it still running?" : error.message, true);
  } finally {
    if (mine === waiting) { waiting = null; $("cancel").disabled = true; }
  }
}

function askSoon() { clearTimeout(timer); timer = setTimeout(ask, 200); }

function unpack(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const count = head.times.length * head.n * 2;
  answer = { ...head, particles: new Float32Array(buffer, 4 + length, count), density: new Uint8Array(buffer, 4 + length + 4 * count) };
  images = new Array(head.times.length);
  frame = 0;
}

function report() {
  const parts = [`${answer.nfe} evaluations a particle`];
  if (answer.distance) {
    const [value, error] = answer.distance, [floor] = answer.floor;
    parts.push(`energy distance to the true law ${value.toFixed(4)} ± ${error.toFixed(4)} (two true samples ${floor.toFixed(4)})`);
  }
  const most = Math.max(...answer.eps);
  if (state.eps > 0 && most < 0.9 * state.eps) parts.push(`eps was capped at ${most.toFixed(2)}: take more steps`);
  $("numbers").textContent = parts.join("; ");
}

function say(text, wrong = false) {
  $("status").textContent = text;
  $("status").classList.toggle("error", wrong);
}

// --- drawing -------------------------------------------------------------------------------------------

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
let inks = {};
function readInks() { inks = { blue: colour("--blue"), orange: colour("--orange"), ink: colour("--ink"), dark: matchMedia("(prefers-color-scheme: dark)").matches }; images = new Array(images.length); }
const place = (x, y) => [(x / limits.reach + 1) * canvas.width / 2, (1 - y / limits.reach) * canvas.height / 2];

function densityImage(k) {
  if (images[k]) return images[k];
  const size = answer.grid, picture = new OffscreenCanvas(size, size), brush = picture.getContext("2d");
  const data = brush.createImageData(size, size), [r, g, b] = inks.dark ? [86, 180, 233] : [0, 114, 178];
  for (let row = 0; row < size; row++)
    for (let column = 0; column < size; column++) {
      const at = 4 * ((size - 1 - row) * size + column);
      data.data.set([r, g, b, 0.55 * answer.density[(k * size + row) * size + column]], at);
    }
  brush.putImageData(data, 0, 0);
  return (images[k] = picture);
}

function show(at) {
  if (!answer) return;
  const F = answer.times.length, n = answer.n;
  frame = Math.min(Math.max(at, 0), F - 1);
  const k = Math.min(Math.floor(frame), F - 2 < 0 ? 0 : F - 2), w = F > 1 ? frame - k : 0;
  pen.clearRect(0, 0, canvas.width, canvas.height);
  if ($("show-density").checked) {
    pen.imageSmoothingEnabled = true;
    pen.drawImage(densityImage(Math.round(frame)), 0, 0, canvas.width, canvas.height);
  }
  const p = answer.particles, a = 2 * n * k, b = F > 1 ? a + 2 * n : a;
  if ($("show-trails").checked) drawTrails(k, w);
  pen.fillStyle = inks.orange;
  pen.globalAlpha = n > 1500 ? 0.55 : 0.8;
  const s = n > 1500 ? 2.6 : 3.6, half = s / 2, W = canvas.width / 2, scale = W / limits.reach;
  for (let i = 0; i < 2 * n; i += 2) {
    const x = p[a + i] + w * (p[b + i] - p[a + i]), y = p[a + i + 1] + w * (p[b + i + 1] - p[a + i + 1]);
    pen.fillRect(W + scale * x - half, W - scale * y - half, s, s);
  }
  pen.globalAlpha = 1;
  if (state.start) {
    const [x, y] = place(...state.start);
    pen.strokeStyle = inks.ink; pen.lineWidth = 2; pen.beginPath(); pen.arc(x, y, 7, 0, 7); pen.stroke();
  }
  const t = answer.times[k] + w * ((answer.times[k + 1] ?? answer.times[k]) - answer.times[k]);
  $("clock").textContent = `t = ${t.toFixed(2)}`;
  $("time").value = F > 1 ? Math.round(1000 * frame / (F - 1)) : 1000;
  canvas.setAttribute("aria-label", `${n} particles over the exact density at t = ${t.toFixed(2)}`);
}

function drawTrails(k, w) {
  const n = answer.n, p = answer.particles;
  pen.strokeStyle = inks.ink; pen.globalAlpha = 0.35; pen.lineWidth = 1;
  for (let i = 0; i < Math.min(TRAILS, n); i++) {
    pen.beginPath();
    for (let f = 0; f <= k; f++) pen.lineTo(...place(p[2 * (f * n + i)], p[2 * (f * n + i) + 1]));
    pen.stroke();
  }
  pen.globalAlpha = 1;
}

// --- playing -------------------------------------------------------------------------------------------

function play(on, afresh = false) {
  playing = on && answer !== null;
  $("play").textContent = playing ? "Pause" : "Play";
  if (!playing) return;
  if (afresh || frame >= answer.times.length - 1) frame = 0;
  last = 0;
  requestAnimationFrame(tick);
}

function tick(now) {
  if (!playing) return;
  const passed = last ? now - last : 0;
  last = now;
  const begun = performance.now();
  show(frame + (passed / 1000 / SECONDS) * (answer.times.length - 1));
  window.explorer.frames++;
  window.explorer.slow = Math.max(window.explorer.slow, performance.now() - begun);
  if (frame >= answer.times.length - 1) play(false);
  else requestAnimationFrame(tick);
}

// --- drawing one's own law, and the one start --------------------------------------------------------------

function where(event) {
  const box = canvas.getBoundingClientRect();
  const x = ((event.clientX - box.left) / box.width * 2 - 1) * limits.reach, y = (1 - (event.clientY - box.top) / box.height * 2) * limits.reach;
  return [Number(x.toFixed(3)), Number(y.toFixed(3))];
}

function startDrawing(which) {
  if (drawing?.which === which) return finishDrawing();
  play(false);
  drawing = { which, points: [] };
  canvas.classList.add("drawing");
  $("draw" + which).classList.add("on");
  $("draw" + which).textContent = "Done";
  pen.clearRect(0, 0, canvas.width, canvas.height);
  say(`Draw rho${which} with the mouse or a finger, then press Done.`);
}

function finishDrawing() {
  const { which, points } = drawing;
  drawing = null;
  canvas.classList.remove("drawing");
  $("draw" + which).classList.remove("on");
  $("draw" + which).textContent = `Draw rho${which}`;
  if (points.length < 3) { say("At least three points are needed; nothing was changed.", true); show(frame); return; }
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
  const point = where(event), [x, y] = place(...point);
  drawing.points.push(point);
  pen.fillStyle = inks.orange;
  pen.fillRect(x - 3, y - 3, 6, 6);
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
  for (const id of ["show-density", "show-trails"]) $(id).addEventListener("input", () => show(frame));
  $("play").addEventListener("click", () => play(!playing));
  $("time").addEventListener("input", () => { play(false); if (answer) show($("time").value / 1000 * (answer.times.length - 1)); });
  $("again").addEventListener("click", () => { state.seed = (state.seed + 1) % 1000; ask(); });
  $("cancel").addEventListener("click", () => waiting?.abort());
  for (const which of ["0", "1"]) $("draw" + which).addEventListener("click", () => startDrawing(which));
  addEventListener("keydown", (event) => {
    if (/^(INPUT|SELECT|BUTTON)$/.test(event.target.tagName)) return;
    if (event.key === " ") { event.preventDefault(); play(!playing); }
    else if (event.key === "ArrowRight" || event.key === "ArrowLeft") { play(false); show(frame + (event.key === "ArrowRight" ? 1 : -1)); }
    else if (event.key === "Escape") waiting?.abort();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readInks(); show(frame); });
  addEventListener("hashchange", () => { readAddress(); showSettings(); ask(); });
}

async function begin() {
  readInks();
  try {
    const choices = await (await fetch("/api/choices")).json();
    limits = choices;
    for (const [id, list] of [["rho0", "laws"], ["rho1", "laws"], ["path", "paths"], ["envelope", "envelopes"], ["eps_shape", "shapes"], ["method", "methods"]])
      for (const name of choices[list]) addOption($(id), name, name);
  } catch {
    say("The server cannot be reached. Is it still running?", true);
    return;
  }
  readAddress();
  showSettings();
  connect();
  ask();
}

begin();
