// Small charts as SVG: lines with errors, and histograms. They follow the theme, and say in words what they show.

const NS = "http://www.w3.org/2000/svg";
const W = 400, H = 235, LEFT = 54, RIGHT = 12, TOP = 30, BOTTOM = 42;
const DASHES = ["", "7 4", "2 3", "9 3 2 3"];

function svg(tag, attributes, ...children) {
  const made = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function short(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = size >= 1e5 || size < 1e-3 ? value.toExponential(0).replace("e+", "e") : String(Number(value.toPrecision(3)));
  return text.replaceAll("-", "−");
}

function linearTicks(low, high) {
  const raw = (high - low) / 5, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw) ?? power;
  const ticks = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) ticks.push(k * step);
  return ticks;
}

function logTicks(low, high) {
  const all = [];
  for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e++) for (const m of [1, 2, 5]) all.push(m * 10 ** e);
  const seen = all.filter((v) => v >= low * 0.999 && v <= high * 1.001);
  return seen.length > 7 ? seen.filter((v) => Math.abs(Math.log10(v) - Math.round(Math.log10(v))) < 1e-9) : seen;
}

function frame(host, { title, xName, yName, x, y, xTicks, yTicks, legend }) {
  const picture = svg("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": title, class: "chart" });
  for (const tick of yTicks) {
    picture.append(svg("line", { x1: LEFT, x2: W - RIGHT, y1: y(tick), y2: y(tick), class: "grid" }));
    picture.append(svg("text", { x: LEFT - 6, y: y(tick) + 4, "text-anchor": "end" }, short(tick)));
  }
  for (const tick of xTicks) picture.append(svg("text", { x: x(tick), y: H - BOTTOM + 17, "text-anchor": "middle" }, short(tick)));
  picture.append(svg("line", { x1: LEFT, x2: W - RIGHT, y1: H - BOTTOM, y2: H - BOTTOM, class: "axis" }));
  picture.append(svg("text", { x: (LEFT + W - RIGHT) / 2, y: H - 6, "text-anchor": "middle", class: "name" }, xName));
  picture.append(svg("text", { x: 4, y: 12, class: "name" }, yName));
  const names = document.createElement("p");
  names.className = "legend";
  for (const { name, ink, dash } of legend) {
    const swatch = svg("svg", { viewBox: "0 0 26 8", width: 26, height: 8, "aria-hidden": "true" },
      svg("line", { x1: 0, x2: 26, y1: 4, y2: 4, class: `ink${ink}`, "stroke-dasharray": DASHES[dash ?? 0] }));
    const entry = document.createElement("span");
    entry.append(swatch, ` ${name}`);
    names.append(entry);
  }
  host.replaceChildren(picture, ...(legend.length > 1 || legend.some((l) => l.always) ? [names] : []));
  return picture;
}

// series: {name, ink, dash, rows: [[x, y, error?], ...]}; level: {y, name} is a line across.
export function lineChart(host, { title, xName, yName, series, log = false, logX = false, level = null, zero = false }) {
  const shown = series.map((s) => ({ ...s, rows: s.rows.filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y) && (!log || y > 0)) })).filter((s) => s.rows.length);
  if (!shown.length) { host.replaceChildren(document.createTextNode("Nothing to draw.")); return; }
  const xs = shown.flatMap((s) => s.rows.map((r) => r[0])), ys = shown.flatMap((s) => s.rows.map((r) => r[1]));
  if (level) ys.push(level.y);
  if (!log) for (const s of shown) for (const [, y, e] of s.rows) if (e) ys.push(y - e, y + e);
  let low = Math.min(...ys), high = Math.max(...ys);
  if (zero && !log) low = Math.min(low, 0);
  if (log) { low /= 1.15; high *= 1.15; } else { const pad = (high - low || Math.abs(high) || 1) * 0.06; low -= zero && low === 0 ? 0 : pad; high += pad; }
  const [x0, x1] = [Math.min(...xs), Math.max(...xs)];
  const flat = (v) => (logX ? Math.log(v) : v), tall = (v) => (log ? Math.log(Math.max(v, low)) : v);
  const x = (v) => LEFT + (W - LEFT - RIGHT) * (x1 > x0 ? (flat(v) - flat(x0)) / (flat(x1) - flat(x0)) : 0.5);
  const y = (v) => H - BOTTOM - (H - TOP - BOTTOM) * (tall(v) - tall(low)) / (tall(high) - tall(low));
  const xTicks = logX ? [...new Set(xs)].sort((a, b) => a - b) : linearTicks(x0, x1 > x0 ? x1 : x0 + 1).filter((t) => t <= x1);
  const legend = shown.map((s) => ({ ...s, always: series.length > 1 }));
  if (level) legend.push({ name: level.name, ink: "level", always: true });
  const picture = frame(host, { title, xName, yName, x, y, xTicks, yTicks: log ? logTicks(low, high) : linearTicks(low, high), legend });
  if (level) picture.append(svg("line", { x1: LEFT, x2: W - RIGHT, y1: y(level.y), y2: y(level.y), class: "inklevel" }));
  for (const s of shown) {
    if (s.rows.some((r) => r[2])) {
      const top = s.rows.map(([a, b, e]) => `${x(a)},${y(b + (e || 0))}`), under = s.rows.map(([a, b, e]) => `${x(a)},${y(Math.max(b - (e || 0), log ? low : -Infinity))}`);
      picture.append(svg("polygon", { points: [...top, ...under.reverse()].join(" "), class: `band ink${s.ink}` }));
    }
    picture.append(svg("polyline", { points: s.rows.map(([a, b]) => `${x(a)},${y(b)}`).join(" "), class: `curve ink${s.ink}`, "stroke-dasharray": DASHES[s.dash ?? 0] }));
    for (const [a, b, e] of s.rows.length <= 60 ? s.rows : []) {
      const told = svg("title", {}, `${s.name}: ${short(a)}, ${b.toPrecision(4)}${e ? ` ± ${e.toPrecision(2)}` : ""}`);
      picture.append(svg("circle", { cx: x(a), cy: y(b), r: 2.6, class: `dot ink${s.ink}` }, told));
    }
  }
}

// series: {name, ink, values}; the mean of each is a dashed line.
export function histogram(host, { title, xName, series }) {
  const shown = series.map((s) => ({ ...s, values: s.values.filter(Number.isFinite) })).filter((s) => s.values.length);
  if (!shown.length) { host.replaceChildren(document.createTextNode("Nothing to draw.")); return; }
  const all = shown.flatMap((s) => s.values).sort((a, b) => a - b);
  const at = (q) => all[Math.min(all.length - 1, Math.floor(q * all.length))];
  const low = at(0.005), high = Math.max(at(0.995), low + 1e-9), bins = 32, width = (high - low) / bins;
  const counted = shown.map((s) => {
    const counts = new Array(bins).fill(0);
    for (const v of s.values) counts[Math.min(bins - 1, Math.max(0, Math.floor((v - low) / width)))] += 1 / s.values.length;
    return { ...s, counts, mean: s.values.reduce((a, b) => a + b, 0) / s.values.length };
  });
  const most = Math.max(...counted.flatMap((s) => s.counts)) * 1.08;
  const x = (v) => LEFT + (W - LEFT - RIGHT) * Math.min(Math.max((v - low) / (high - low), 0), 1);
  const y = (v) => H - BOTTOM - (H - TOP - BOTTOM) * v / most;
  const picture = frame(host, { title, xName, yName: "share of points", x, y, xTicks: linearTicks(low, high), yTicks: linearTicks(0, most), legend: counted.map((s) => ({ ...s, always: true })) });
  for (const [k, s] of counted.entries()) {
    const corners = s.counts.flatMap((c, i) => [`${x(low + i * width)},${y(c)}`, `${x(low + (i + 1) * width)},${y(c)}`]);
    const outline = [`${x(low)},${y(0)}`, ...corners, `${x(high)},${y(0)}`].join(" ");
    if (k === 0) picture.append(svg("polygon", { points: outline, class: `band ink${s.ink}` }));
    picture.append(svg("polyline", { points: outline, class: `curve ink${s.ink}`, "stroke-dasharray": DASHES[s.dash ?? 0] }));
    picture.append(svg("line", { x1: x(s.mean), x2: x(s.mean), y1: y(0), y2: TOP, class: `curve ink${s.ink}`, "stroke-dasharray": "4 3" }, svg("title", {}, `mean of ${s.name}: ${s.mean.toPrecision(4)}`)));
  }
}
