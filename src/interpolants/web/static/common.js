// What all pages share: elements, words, the state in the address, and questions to the server.

export const $ = (id) => document.getElementById(id);
export const calm = matchMedia("(prefers-reduced-motion: reduce)");
const decoder = new TextDecoder();

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") made.className = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

// --- numbers in words ------------------------------------------------------------------------------------

export function number(value, digits = 3) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(digits - 1).replace("-", "−").replace("e+", "e");
  return Number(value.toPrecision(digits)).toLocaleString("en").replace("-", "−");
}

export function withError(value, error) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (!error) return number(value);
  const places = Math.min(Math.max(0, 1 - Math.floor(Math.log10(error))), 6);
  return `${value.toFixed(places)} ± ${error.toFixed(places)}`.replace("-", "−");
}

// --- state in the address --------------------------------------------------------------------------------

export function readAddress(defaults) {
  const state = { ...defaults };
  try {
    const given = JSON.parse(decodeURIComponent(location.hash.slice(1) || "{}"));
    if (given === null || typeof given !== "object") throw new Error();
    for (const key of Object.keys(defaults)) if (key in given) state[key] = given[key];
  } catch {
    return [{ ...defaults }, "The address holds no settings that can be read; these are the defaults."];
  }
  return [state, ""];
}

export function writeAddress(state, defaults) {
  const changed = Object.entries(state).filter(([key, value]) => JSON.stringify(value) !== JSON.stringify(defaults[key]));
  const hash = changed.length ? "#" + encodeURIComponent(JSON.stringify(Object.fromEntries(changed))) : location.pathname;
  history.replaceState(null, "", hash);
}

// --- asking ----------------------------------------------------------------------------------------------

export async function get(place) {
  const reply = await fetch(place);
  const told = await reply.json().catch(() => ({}));
  if (!reply.ok) throw new Error(told.error ?? `The server answered ${reply.status}.`);
  return told;
}

// The reply is lines of JSON that tell the progress, then one with the answer, then its bytes.
async function ask(place, question, signal, progress) {
  const reply = await fetch(place, { method: "POST", body: JSON.stringify(question), signal });
  if (!reply.ok) throw new Error((await reply.json().catch(() => ({}))).error ?? `The server answered ${reply.status}.`);
  const reader = reply.body.getReader();
  let pending = new Uint8Array(0), facts = null, body = null, filled = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    if (facts) { body.set(value, filled); filled += value.length; continue; }
    pending = joined(pending, value);
    for (let cut = pending.indexOf(10); !facts && cut >= 0; cut = pending.indexOf(10)) {
      const line = JSON.parse(decoder.decode(pending.subarray(0, cut)));
      pending = pending.slice(cut + 1);
      if (line.error) throw new Error(line.error);
      if (!line.answer) { progress(line); continue; }
      facts = line.answer;
      body = new Uint8Array(line.bytes);
      body.set(pending, 0);
      filled = pending.length;
    }
  }
  if (!facts || filled < body.length) throw new Error("The answer broke off. Is the server still running?");
  return { facts, bytes: body.buffer };
}

function joined(a, b) {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

// One kind of work on a page: its words, its bar and its button to cancel. A new question replaces the old one.
export class Job {
  constructor({ status, bar, cancel }) {
    Object.assign(this, { status, bar, cancel, waiting: null });
    cancel.addEventListener("click", () => this.stop());
  }

  stop() { this.waiting?.abort(); }

  say(text, wrong = false) {
    this.status.textContent = text;
    this.status.classList.toggle("error", wrong);
  }

  // The answer, or null if it was cancelled, replaced or refused (`refused`); the reason is then on the page.
  async run(place, question) {
    this.stop();
    const mine = (this.waiting = new AbortController());
    this.refused = false;
    this.show(true);
    this.say("Computing ...");
    try {
      const answer = await ask(place, question, mine.signal, (line) => mine === this.waiting && this.tell(line));
      if (mine !== this.waiting) return null;
      this.say("");
      return answer;
    } catch (error) {
      if (mine !== this.waiting) return null;
      this.refused = error.name !== "AbortError";
      if (!this.refused) this.say("Cancelled. Change a setting, or press again, to go on.");
      else this.say(error instanceof TypeError ? "The server cannot be reached. Is it still running?" : error.message, true);
      return null;
    } finally {
      if (mine === this.waiting) { this.waiting = null; this.show(false); }
    }
  }

  tell({ waits, share, said }) {
    this.say(waits ? "Waiting for other work to end ..." : `Computing ... ${said ?? ""}`);
    if (share === null || share === undefined) this.bar.removeAttribute("value");
    else this.bar.value = share;
  }

  show(on) {
    this.cancel.disabled = !on;
    this.bar.classList.toggle("idle", !on);
    this.bar.value = 0;
  }
}

// --- keys ------------------------------------------------------------------------------------------------

export function keys(player, stop) {
  addEventListener("keydown", (event) => {
    if (event.key === "Escape") return stop();
    if (/^(INPUT|SELECT|BUTTON|A|SUMMARY)$/.test(event.target.tagName)) return;
    if (event.key === " ") { event.preventDefault(); player.play(!player.playing); }
    else if (event.key === "ArrowRight" || event.key === "ArrowLeft") player.nudge(event.key === "ArrowRight" ? 1 : -1);
  });
}
