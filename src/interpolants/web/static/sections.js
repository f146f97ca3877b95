// What is known of one run, or of two side by side: curves, numbers with their errors, verdicts.

import { histogram, lineChart } from "./chart.js";
import { $, element, number, withError } from "./common.js";

const NOT_LOSSES = new Set(["step", "seconds", "lr", "skipped", "grad_norm", "loss"]);
const several = (pages) => pages.length > 1;
const titled = (pages, page, text) => (several(pages) ? `${page.name}: ${text}` : text);

function table(head, rows, text = 1) {
  const kind = (i, content) => (i < text ? "text" : typeof content === "string" && content.length > 30 ? "long" : "figure");
  const cell = (tag, i, content) => element(tag, { class: kind(i, content) }, content);
  return element("div", { class: "scroll" }, element("table", {},
    element("thead", {}, element("tr", {}, ...head.map((h, i) => cell("th", i, h)))),
    element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map((c, i) => cell("td", i, c)))))));
}

export function training(pages) {
  const series = [];
  for (const [k, page] of pages.entries()) {
    const names = ["loss", ...(several(pages) ? [] : heads(page))];
    for (const [i, name] of names.entries())
      series.push({ name: titled(pages, page, name), ink: several(pages) ? k : i, dash: several(pages) ? k : i, rows: page.history.map((row) => [row.step, row[name]]) });
  }
  const values = series.flatMap((s) => s.rows.map((r) => r[1])).filter(Number.isFinite);
  const log = values.length > 0 && Math.min(...values) > 0 && Math.max(...values) > 8 * Math.min(...values);
  lineChart($("training"), { title: "Loss while training", xName: "training step", yName: log ? "loss (log scale)" : "loss", series, log });
  $("training-words").textContent = pages.map((page) => titled(pages, page, page.training)).join(" ");
}

function heads(page) {
  const found = new Set(page.history.flatMap((row) => Object.keys(row).filter((key) => !NOT_LOSSES.has(key) && typeof row[key] === "number")));
  return found.size > 1 ? [...found] : [];
}

export function numbers(pages) {
  if (!several(pages)) {
    const rows = pages[0].metrics.map((m) => [m.title, withError(m.value, m.error), withError(m.floor, m.floor_error), number(m.baseline), m.unit, m.reading]);
    const head = ["Measure", "value", "floor", "baseline", "unit", "what it says"];
    $("numbers-table").replaceChildren(rows.length ? table(head, rows) : "This run was not judged: interpolants run makes the numbers.");
    return;
  }
  const [a, b] = pages, known = new Map(b.metrics.map((m) => [m.id, m]));
  const rows = a.metrics.filter((m) => known.has(m.id)).map((m) => compared(m, known.get(m.id), [a.name, b.name]));
  const head = ["Measure", a.name, b.name, "difference", "in errors", "unit", "better"];
  $("numbers-table").replaceChildren(rows.length ? table(head, rows) : "The two runs have no measure in common.");
}

// A difference is worth a word when it is more than twice its standard error.
function compared(m, other, names) {
  const gap = other.value - m.value, error = Math.hypot(m.error || 0, other.error || 0);
  const known = m.value !== null && other.value !== null, apart = error > 0 ? gap / error : NaN;
  let verdict = "";
  if (known && error > 0 && (m.better === "lower" || m.better === "higher"))
    verdict = Math.abs(apart) <= 2 ? "cannot be told" : (gap < 0) === (m.better === "lower") ? names[1] : names[0];
  const told = known && error > 0 ? number(Math.abs(apart), 2) : "–";
  return [m.title, withError(m.value, m.error), withError(other.value, other.error), known ? withError(gap, error) : "–", told, m.unit, verdict];
}

export function levels(pages) {
  const rows = pages.flatMap((page) => page.levels.map((row) => [...(several(pages) ? [page.name] : []), `${number(row.eps)}${row.chosen ? " (chosen)" : ""}`, row.method, number(row.nfe), withError(row.sliced_w2, row.sliced_w2_error), withError(row.energy, row.energy_error)]));
  const head = [...(several(pages) ? ["Run"] : []), "eps", "solver", "evaluations", "sliced W2", "energy distance"];
  $("levels-table").replaceChildren(rows.length ? table(head, rows, several(pages) ? 1 : 0) : "No noise levels were compared.");
}

export function checks(pages, measured) {
  const lists = pages.map((page, k) => measured[k] ?? page.checks);
  if (!several(pages)) {
    const rows = lists[0].map((c) => [verdict(c.verdict), c.name, number(c.value), number(c.limit), c.message]);
    $("check-table").replaceChildren(rows.length ? table(["", "test", "value", "limit", "what it says"], rows, 2) : "No verdicts are stored.");
    return;
  }
  const names = [...new Set(lists.flatMap((list) => list.map((c) => c.name)))];
  const cells = (list, name) => { const c = list.find((one) => one.name === name); return c ? [verdict(c.verdict), `${number(c.value)} (limit ${number(c.limit)})`] : ["–", "–"]; };
  const rows = names.map((name) => [name, ...lists.flatMap((list) => cells(list, name))]);
  $("check-table").replaceChildren(rows.length ? table(["test", pages[0].name, "value", pages[1].name, "value"], rows) : "No verdicts are stored.");
}

// A verdict is a word and a sign, not a colour alone.
function verdict(word) {
  const sign = { pass: "✓", warn: "!", fail: "✗" }[word] ?? "?";
  return element("span", { class: `verdict ${word}` }, `${sign} ${word}`);
}

export function likelihood(pages, measured) {
  const series = [], words = [];
  for (const [k, page] of pages.entries()) {
    const found = measured[k]?.log_prob ?? page.log_prob ?? {};
    for (const [name, title, dash] of [["train", "training data", 1], ["heldout", "held-out data", 0]]) {
      const values = (found[name] ?? []).filter((v) => v !== null);
      if (!values.length) continue;
      series.push({ name: titled(pages, page, title), ink: several(pages) ? k : dash ? 0 : 1, dash, values });
      words.push(`${titled(pages, page, title)} ${meanOf(values)} nats (${values.length} points)`);
    }
    if (!page.can_score && !Object.keys(found).length && page.has_bridge)
      words.push(`${titled(pages, page, "")} rho0 is given by samples, so a log-likelihood needs a leg from a Gaussian: run it with evaluate.log_prob above 0`);
  }
  if (series.length) histogram($("likelihood"), { title: "Log-likelihood of training and held-out data", xName: "log-likelihood in nats; dashed: mean", series });
  else $("likelihood").replaceChildren("Nothing is stored.");
  $("likelihood-words").textContent = words.length ? `Mean: ${words.join("; ")}.` : "";
}

function meanOf(values) {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const spread = values.reduce((a, b) => a + (b - mean) ** 2, 0) / Math.max(1, values.length - 1);
  return withError(mean, Math.sqrt(spread / values.length));
}

export function errors(pages, measured) {
  const loss = [], seen = [], why = [];
  for (const [k, page] of pages.entries()) {
    const found = measured[k];
    if (!found) continue;
    for (const [i, [name, rows]] of Object.entries(found.loss).entries())
      loss.push({ name: titled(pages, page, name), ink: several(pages) ? k : i, dash: i, rows });
    if (!found.held_out) why.push(titled(pages, page, "measured on training data, for no others were kept."));
    if (!found.errors) { why.push(titled(pages, page, found.why)); continue; }
    for (const [i, name] of ["velocity", "score"].entries())
      seen.push({ name: titled(pages, page, name), ink: several(pages) ? k : i, dash: i, rows: found.errors.map((row) => [row[0], row[1 + i]]) });
  }
  if (!measured.some(Boolean)) return;
  lineChart($("errors"), { title: "Loss by time", xName: "time t", yName: "loss per sample, network's units", series: loss, zero: true });
  $("errors-seen").hidden = seen.length === 0;
  if (seen.length) lineChart($("errors-seen"), { title: "Squared errors by time", xName: "time t", yName: "mean squared error, from below", series: seen, log: true });
  $("errors-words").textContent = why.join(" ");
}

export function head(pages) {
  $("sentence").textContent = pages.map((page) => titled(pages, page, page.sentence || (several(pages) ? "" : page.name))).join(" ");
  const warned = pages.flatMap((page) => page.warnings.map((text) => titled(pages, page, text)));
  $("warnings").replaceChildren(...warned.map((text) => element("li", {}, text)));
  $("warnings-box").hidden = warned.length === 0;
  const texts = pages.flatMap((page) => Object.entries(page.texts));
  $("texts").replaceChildren(...texts.flatMap(([title, lines]) => [element("h3", {}, title), ...lines.map((line) => element("p", { class: "line" }, line))]));
  $("texts-box").hidden = texts.length === 0;
}
