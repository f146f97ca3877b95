// What is known of one method, or of two side by side: what it is, curves, numbers with their errors, claims, texts, figures, verbs.

import { histogram, lineChart } from "./chart.js";
import { $, element, number, withError } from "./common.js";

const NOT_LOSSES = new Set(["step", "seconds", "lr", "skipped", "grad_norm"]);
const MOST_CURVES = 4; // as many as there are inks
const several = (pages) => pages.length > 1;
const titled = (pages, page, text) => (several(pages) ? `${page.name}: ${text}` : text);

function table(head, rows, text = 1) {
  const kind = (i, content) => (i < text ? "text" : typeof content === "string" && content.length > 30 ? "long" : "figure");
  const cell = (tag, i, content) => element(tag, { class: kind(i, content) }, ...[content].flat());
  return element("div", { class: "scroll" }, element("table", {},
    element("thead", {}, element("tr", {}, ...head.map((h, i) => cell("th", i, h)))),
    element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map((c, i) => cell("td", i, c)))))));
}

// One block a page, the name above it where there are several; nothing where no page has anything.
function blocks(id, pages, make) {
  const made = pages.map((page) => [page, make(page)]).filter(([, parts]) => parts.length);
  const shown = made.flatMap(([page, parts]) => [...(several(pages) ? [element("h3", {}, page.name)] : []), ...parts]);
  $(id).replaceChildren(...shown);
  $(`${id}-box`).hidden = shown.length === 0;
}

// --- what it is ------------------------------------------------------------------------------------------------

export function head(pages) {
  $("sentence").textContent = pages.map((page) => titled(pages, page, page.title || page.card.title)).join(" · ");
  const found = pages.flatMap((page) => page.findings.map(({ text, grave }) => element("li", { class: grave ? "grave" : "" }, titled(pages, page, text))));
  $("findings").replaceChildren(...found);
  const box = $("findings-box"), failed = pages.some((page) => page.failed);
  box.hidden = found.length === 0;
  if (failed) $("told-box").before(box); else $("claims-box").after(box); // before everything else where a check failed
  opening(pages);
  $("sides").classList.toggle("two", several(pages));
  $("sides").replaceChildren(...pages.map(about));
}

// The first figure, then the main score and the worst loss, as a report begins.
function opening(pages) {
  const single = !several(pages) && pages[0].first !== null ? [drawn(pages, pages[0], pages[0].figures[pages[0].first], pages[0].first)] : [];
  $("picture").replaceChildren(...single);
  const pairs = pages.flatMap((page) => page.told.map(([name, text]) => [titled(pages, page, name), text]));
  $("told").replaceChildren(...list(pairs).childNodes);
  $("told-box").hidden = single.length + pairs.length === 0;
}

function about(page) {
  const { card } = page, facts = [["kind", `${card.id}, ${card.family}`], ["shapes", card.shapes], ["cost", card.cost], ["limits", card.limits]];
  const formulas = card.formulas.map((text) => ["formula", element("span", { class: "formula" }, text)]);
  return element("div", {}, element("h3", {}, card.title), list([...formulas, ...facts]),
    ...Object.entries(page.settings).map(([heading, table]) => element("details", {}, element("summary", {}, heading), list(flat(table)))));
}

// A table of tables as dotted names and words.
const flat = (table, prefix = "") => Object.entries(table).flatMap(([name, value]) =>
  (value !== null && typeof value === "object" && !Array.isArray(value) ? flat(value, `${prefix}${name}.`) : [[prefix + name, typeof value === "string" ? value : JSON.stringify(value)]]));

const list = (pairs) => element("dl", {}, ...pairs.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));

export function verbs(pages) {
  blocks("verbs", pages, (page) => page.verbs.map(({ verb, about, command, why }) =>
    element("div", { class: "verb" }, element("strong", {}, verb), ` ${about}`, why ? element("p", { class: "note" }, `Not here: ${why}`) : copyable(command))));
}

function copyable(command) {
  const button = element("button", { type: "button", onclick: async () => {
    try { await navigator.clipboard.writeText(command); button.textContent = "Copied"; } catch { getSelection().selectAllChildren(code); }
  } }, "Copy"), code = element("code", {}, command);
  return element("p", { class: "command" }, code, button);
}

// --- training --------------------------------------------------------------------------------------------------

export function training(pages) {
  const stages = [...new Set(pages.flatMap((page) => Object.keys(page.stages)))];
  $("training").replaceChildren(...stages.flatMap((stage) => {
    const host = element("div");
    curves(host, stage, pages);
    return stages.length > 1 ? [element("h3", {}, stage), host] : [host];
  }));
  $("training-words").textContent = pages.map((page) => page.training && titled(pages, page, page.training)).join(" ");
}

function curves(host, stage, pages) {
  const series = [];
  for (const [k, page] of pages.entries()) {
    const rows = page.stages[stage] ?? [], names = logged(rows).slice(0, several(pages) ? 1 : MOST_CURVES);
    for (const [i, name] of names.entries())
      series.push({ name: titled(pages, page, name), ink: several(pages) ? k : i, dash: several(pages) ? k : i, rows: rows.map((row) => [row.step, row[name]]) });
    const unseen = page.held_out[stage] ?? [], dashes = several(pages) ? k + 2 : 1, ink = several(pages) ? k : names.length % MOST_CURVES;
    for (const name of logged(unseen).slice(0, 1))
      series.push({ name: titled(pages, page, name.replace("held_out", "held-out").replaceAll("_", " ")), ink, dash: dashes % MOST_CURVES, rows: unseen.map((row) => [row.step, row[name]]) });
  }
  const values = series.flatMap((s) => s.rows.map((r) => r[1])).filter(Number.isFinite);
  const log = values.length > 0 && Math.min(...values) > 0 && Math.max(...values) > 8 * Math.min(...values);
  const names = new Set(pages.flatMap((page) => logged(page.stages[stage] ?? [])));
  const what = names.has("loss") ? "loss" : names.size === 1 ? [...names][0] : "logged numbers";
  lineChart(host, { title: `${what} in stage ${stage}`, xName: "step", yName: log ? `${what} (log scale)` : what, series, log });
}

// The loss first; its parts where there are several.
function logged(rows) {
  const names = [...new Set(rows.flatMap((row) => Object.keys(row).filter((key) => !NOT_LOSSES.has(key) && typeof row[key] === "number")))];
  const parts = names.filter((name) => name !== "loss");
  return names.includes("loss") ? ["loss", ...(parts.length > 1 ? parts : [])] : parts;
}

// --- numbers and claims ----------------------------------------------------------------------------------------

const titleOf = ({ title, name }) => title || name.split(".").pop().replaceAll("_", " ");
const measure = (score) => (score.note ? [titleOf(score), element("span", { class: "note block" }, score.note)] : titleOf(score));

export function numbers(pages) {
  if (several(pages)) return both(...pages);
  const rows = pages[0].scores, rivals = [...new Set(rows.flatMap((score) => Object.keys(score.rivals)))];
  const floor = (score) => (typeof score.floor === "string" ? score.floor.replace(/^unknown: (nobody said)?/, "") : [withError(score.floor, score.floor_error), ...(score.floor_of ? [element("span", { class: "note block" }, score.floor_of)] : [])]);
  const cells = rows.map((score) => [measure(score), withError(score.value, score.error), floor(score),
    ...rivals.map((name) => (name in score.rivals ? number(score.rivals[name]) : "")), score.unit, score.better === "neither" ? "" : score.better]);
  const none = pages[0].state === "done" ? "No question was asked." : "Its questions are not answered yet: interpolants run asks them.";
  $("numbers-table").replaceChildren(rows.length ? table(["Measure", "value", "floor", ...rivals, "unit", "better"], cells) : none);
}

function both(a, b) {
  if (JSON.stringify(a.settings.Data) !== JSON.stringify(b.settings.Data))
    return $("numbers-table").replaceChildren("The two were fitted to different data: a difference of their numbers would say nothing about the methods.");
  const known = new Map(b.scores.map((score) => [score.name, score]));
  const rows = a.scores.filter((score) => known.has(score.name)).map((score) => compared(score, known.get(score.name), [a.name, b.name]));
  const head = ["Measure", a.name, b.name, "difference", "in errors", "unit", "better"];
  $("numbers-table").replaceChildren(rows.length ? table(head, rows) : "The two have no measure in common.");
}

// A difference is worth a word when it is more than twice its standard error.
function compared(m, other, names) {
  const gap = other.value - m.value, error = Math.hypot(m.error || 0, other.error || 0);
  const known = m.value !== null && other.value !== null, apart = error > 0 ? gap / error : NaN;
  let verdict = "";
  if (known && error > 0 && (m.better === "lower" || m.better === "higher"))
    verdict = Math.abs(apart) <= 2 ? "cannot be told" : (gap < 0) === (m.better === "lower") ? names[1] : names[0];
  const apartness = known && error > 0 ? number(Math.abs(apart), 2) : "–";
  return [measure(m), withError(m.value, m.error), withError(other.value, other.error), known ? withError(gap, error) : "–", apartness, m.unit, verdict];
}

const EXPECTATIONS = { fails: " (expected to fail)", undecided: " (expected to be undecided)" };
const OUTCOMES = { holds: "✓ holds", fails: "✗ fails", undecided: "? undecided", "not asked": "– not asked" };

export function claims(pages) {
  const head = ["claim", "verdict", "beside", "seeds", "gap"];
  blocks("claims", pages, (page) => {
    const rows = page.claims.map(({ claim, outcome, gap, error, seeds }) => [element("code", {}, claim.says),
      [element("span", { class: `verdict ${outcome.replace(" ", "-")}` }, OUTCOMES[outcome]), EXPECTATIONS[claim.expected] ?? ""],
      claim.role, `${seeds}`, seeds ? withError(gap, error) : "–"]);
    return rows.length ? [table(head, rows)] : [];
  });
}

// --- texts and figures -----------------------------------------------------------------------------------------

export function texts(pages) {
  blocks("texts", pages, (page) => Object.entries(page.texts).flatMap(([title, lines]) => [element("h3", {}, title.slice(title.indexOf("/") + 1)), ...text(lines)])); // without the question
}

// Lines as they are; a table in Markdown, with or without lines after it, as a table.
function text(lines) {
  const end = lines.findIndex((line) => !line.startsWith("|")), size = end < 0 ? lines.length : end;
  if (size < 3) return [element("pre", {}, lines.join("\n"))];
  const cells = lines.slice(0, size).map((line) => line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim()));
  const after = lines.slice(size).join("\n").trim();
  return [table(cells[0], cells.slice(2)), ...(after ? [element("p", {}, after)] : [])];
}

export function figures(pages) {
  const names = [...new Set(pages.flatMap((page) => page.figures.map((figure) => figure.name)))];
  const above = (page, k) => !several(pages) && k === page.first;
  const shown = names.flatMap((name) => pages.flatMap((page) => page.figures.flatMap((figure, k) => (figure.name === name && !above(page, k) ? [drawn(pages, page, figure, k)] : []))));
  $("figures").replaceChildren(...shown);
  $("figures-box").hidden = shown.length === 0;
}

function drawn(pages, page, { name, caption, alt, width, height }, k) {
  const place = `/api/runs/${page.index}/figures/${k}`, words = caption || `${name[0].toUpperCase()}${name.slice(1).replaceAll("-", ": ").replaceAll("_", " ")}.`;
  const image = element("img", { src: `${place}/light`, alt, width, height, loading: "lazy",
    onerror: () => image.parentNode.replaceWith(element("p", { class: "note" }, "This figure cannot be drawn: is interpolants[plots] installed?")) });
  const made = element("figure", {}, element("picture", {}, element("source", { srcset: `${place}/dark`, media: "(prefers-color-scheme: dark)" }), image),
    element("figcaption", {}, titled(pages, page, words)));
  made.style.flexBasis = `min(100%, ${width}px)`;
  made.style.maxWidth = `${width}px`;
  return made;
}

// --- measured of bridges ---------------------------------------------------------------------------------------

export function checks(pages, measured) {
  const lists = pages.map((page, k) => measured[k] ?? []);
  if (!lists.some((list) => list.length)) return $("check-table").replaceChildren("Not tested yet.");
  if (!several(pages)) {
    const rows = lists[0].map((c) => [verdict(c.verdict), c.name, number(c.value), number(c.limit), c.message]);
    return $("check-table").replaceChildren(table(["", "test", "value", "limit", "what it says"], rows, 2));
  }
  const names = [...new Set(lists.flatMap((list) => list.map((c) => c.name)))];
  const cells = (list, name) => { const c = list.find((one) => one.name === name); return c ? [verdict(c.verdict), `${number(c.value)} (limit ${number(c.limit)})`] : ["–", "–"]; };
  const rows = names.map((name) => [name, ...lists.flatMap((list) => cells(list, name))]);
  $("check-table").replaceChildren(table(["test", pages[0].name, "value", pages[1].name, "value"], rows));
}

// A verdict is a word and a sign, not a colour alone.
function verdict(word) {
  const sign = { pass: "✓", warn: "!", fail: "✗" }[word] ?? "?";
  return element("span", { class: `verdict ${word}` }, `${sign} ${word}`);
}

export function likelihood(pages, measured) {
  const series = [], words = [];
  for (const [k, page] of pages.entries()) {
    const found = measured[k]?.log_prob ?? {};
    for (const [name, title, dash] of [["train", "training data", 1], ["heldout", "held-out data", 0]]) {
      const values = (found[name] ?? []).filter((v) => v !== null);
      if (!values.length) continue;
      series.push({ name: titled(pages, page, title), ink: several(pages) ? k : dash ? 0 : 1, dash, values });
      words.push(`${titled(pages, page, title)} ${meanOf(values)} nats (${values.length} points)`);
    }
    if (page.journey && !page.journey.can_score) words.push(titled(pages, page, "rho0 is given by samples, so a log-likelihood needs a leg from a Gaussian: fit it with leg = {}"));
  }
  if (series.length) histogram($("likelihood"), { title: "Log-likelihood of training and held-out data", xName: "log-likelihood in nats; dashed: mean", series });
  else $("likelihood").replaceChildren("Not measured yet.");
  $("likelihood-words").textContent = words.length ? `${series.length ? "Mean: " : ""}${words.join("; ")}.` : "";
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

