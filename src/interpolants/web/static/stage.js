// Panels side by side, one for each run and noise level, all at the same time of the bridge.

import { element, number, withError } from "./common.js";
import * as draw from "./draw.js";

const SIZE = 420; // pixels of a panel
const TRAILS = 12;
const STRIP = 9; // images of a film strip
const STRIP_ROWS = 4; // so few images are shown as film strips

export class Stage {
  // `choose(i)` is called with the number of the sample that was clicked.
  constructor(host, clock, choose) {
    Object.assign(this, { host, clock, choose, answer: null, panels: [], inks: draw.readInks(), trails: true, data: true });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { this.inks = draw.readInks(); this.again(); });
  }

  get frames() { return this.panels.length ? Math.max(...this.panels.map((p) => p.times.length)) - 1 : 1; }

  load({ facts, bytes }, several) {
    this.answer = facts;
    const images = facts.kind === "images", entries = images ? facts.shape.reduce((a, b) => a * b, 1) : 2;
    let at = 0;
    const take = (count) => {
      const block = images ? new Uint8Array(bytes, at, count) : new Float32Array(bytes, at, count);
      at += block.byteLength;
      return block;
    };
    this.panels = facts.panels.map((panel) => ({ ...panel, states: take(panel.times.length * facts.n * entries), progress: progress(panel.times) }));
    this.context = images ? [] : facts.context.map((count) => take(2 * count));
    this.entries = entries;
    this.host.replaceChildren(...this.panels.map((panel) => this.figure(panel, several)));
    this.host.dataset.panels = this.panels.length;
  }

  figure(panel, several) {
    const canvas = element("canvas", { width: SIZE, height: SIZE, tabindex: 0, role: "img" });
    panel.canvas = canvas;
    canvas.addEventListener("click", (event) => this.clicked(panel, event));
    const level = panel.eps ? `SDE, eps = ${number(panel.eps)}` : "ODE";
    return element("figure", { class: "panel" },
      element("figcaption", {}, element("strong", {}, several ? `${panel.name}: ${level}` : level)), canvas,
      element("p", { class: "numbers" }, told(panel, this.answer)));
  }

  clear() {
    Object.assign(this, { answer: null, panels: [] });
    this.host.replaceChildren();
  }

  again() { if (this.answer) this.show(this.at ?? 0); }

  show(at) {
    this.at = at;
    if (!this.answer) return;
    for (const panel of this.panels) this.paint(panel, at);
    this.clock.textContent = `t = ${timeAt(at, this.answer.way).toFixed(2)}`;
  }

  paint(panel, at) {
    const F = panel.times.length, [k, w] = bracket(panel.progress, at), pen = panel.canvas.getContext("2d");
    panel.canvas.setAttribute("aria-label", `${this.answer.n} samples at t = ${timeAt(at, this.answer.way).toFixed(2)}, eps = ${panel.eps}`);
    pen.clearRect(0, 0, panel.canvas.width, panel.canvas.height);
    if (this.answer.kind === "images") return this.answer.n <= STRIP_ROWS ? this.strips(panel, pen, at) : this.mosaic(panel, pen, w > 0.5 ? k + 1 : k);
    const n = this.answer.n, p = panel.states, place = draw.toPixels(panel.canvas, this.answer.box), a = 2 * n * k, b = F > 1 ? a + 2 * n : a;
    if (this.data) this.background(pen, place, at);
    if (this.trails) draw.trails(pen, place, p, n, k, TRAILS, { ink: this.inks.ink });
    draw.points(pen, place, p, a, b, w, n, { ink: this.inks.orange, alpha: n > 800 ? 0.6 : 0.85, size: n > 800 ? 3 : 4.5 });
    if (this.one) draw.ring(pen, place.x(p[0]), place.y(p[1]), this.inks.ink);
  }

  background(pen, place, at) {
    const t = timeAt(at, this.answer.way);
    for (const [end, ink] of [[0, this.inks.faint], [1, this.inks.blue]]) {
      const rows = this.context[end], alpha = 0.1 + 0.35 * (end ? t : 1 - t);
      draw.points(pen, place, rows, 0, 0, 0, rows.length / 2, { ink, alpha, size: 2.5 });
    }
  }

  mosaic(panel, pen, k) {
    const n = this.answer.n, columns = Math.ceil(Math.sqrt(n)), cell = SIZE / columns, gap = Math.max(1, cell * 0.06);
    pen.imageSmoothingEnabled = false;
    for (let i = 0; i < n; i++) {
      const tile = draw.image(panel.states, (k * n + i) * this.entries, this.answer.shape);
      pen.drawImage(tile, (i % columns) * cell + gap / 2, Math.floor(i / columns) * cell + gap / 2, cell - gap, cell - gap);
    }
  }

  // Few images: each in a row, time from left to right, so that both ends are seen at once.
  strips(panel, pen, at) {
    const n = this.answer.n, F = panel.times.length, cell = SIZE / STRIP, row = SIZE / STRIP_ROWS, now = Math.round(at * (STRIP - 1));
    pen.imageSmoothingEnabled = false;
    for (let i = 0; i < n; i++)
      for (let c = 0; c < STRIP; c++) {
        const [k, w] = bracket(panel.progress, c / (STRIP - 1)), frame = Math.min(F - 1, w > 0.5 ? k + 1 : k);
        const top = i * row + (row - cell) / 2, tile = draw.image(panel.states, (frame * n + i) * this.entries, this.answer.shape);
        pen.globalAlpha = c <= now ? 1 : 0.25;
        pen.drawImage(tile, c * cell + 1, top, cell - 2, cell - 2);
        pen.globalAlpha = 1;
        if (c !== now) continue;
        pen.strokeStyle = this.inks.orange;
        pen.lineWidth = 2;
        pen.strokeRect(c * cell + 1, top, cell - 2, cell - 2);
      }
  }

  clicked(panel, event) {
    const box = panel.canvas.getBoundingClientRect(), n = this.answer.n;
    const x = (event.clientX - box.left) / box.width * SIZE, y = (event.clientY - box.top) / box.height * SIZE;
    if (this.answer.kind === "images") {
      const columns = n <= STRIP_ROWS ? 1 : Math.ceil(Math.sqrt(n)), rows = n <= STRIP_ROWS ? STRIP_ROWS : columns;
      const i = Math.floor(y / SIZE * rows) * columns + Math.floor(x / SIZE * columns);
      return i < n ? this.choose(i) : undefined;
    }
    const place = draw.toPixels(panel.canvas, this.answer.box), k = bracket(panel.progress, this.at)[0];
    let best = -1, least = 15 ** 2;
    for (let i = 0; i < n; i++) {
      const at = 2 * (k * n + i), apart = (place.x(panel.states[at]) - x) ** 2 + (place.y(panel.states[at + 1]) - y) ** 2;
      if (apart < least) [best, least] = [i, apart];
    }
    return best >= 0 ? this.choose(best) : undefined;
  }
}

// How far along the way each frame is, in [0, 1]: times may be dense near the ends, and may turn round.
function progress(times) {
  const steps = times.map((t, i) => (i ? Math.abs(t - times[i - 1]) : 0)), total = steps.reduce((a, b) => a + b, 0) || 1;
  let sum = 0;
  return steps.map((step) => (sum += step) / total);
}

function bracket(progress, at) {
  let k = 0;
  while (k < progress.length - 2 && progress[k + 1] <= at) k++;
  const width = progress[k + 1] - progress[k];
  return [k, width > 0 ? Math.min(Math.max((at - progress[k]) / width, 0), 1) : 0];
}

function timeAt(at, way) {
  if (way === "forward") return at;
  return way === "backward" ? 1 - at : Math.abs(1 - 2 * at);
}

function told(panel, answer) {
  const parts = [`${panel.nfe} evaluations a sample`];
  if (panel.distance) parts.push(`energy distance to the data ${withError(...panel.distance)} standard units`);
  if (panel.spread !== undefined && answer.n > 1) parts.push(`spread of where they arrive ${number(panel.spread)}`);
  if (panel.miss !== undefined) parts.push(`misses the start by ${number(panel.miss)} (spread of the data ${number(panel.spread_of_data)})`);
  if (panel.eps && panel.eps_used !== null && panel.eps_used < 0.9 * panel.eps) parts.push(`eps was capped at ${number(panel.eps_used)}: take more steps`);
  return parts.join("; ") + ".";
}
