// Plays a position from 0 to 1: a button, a slider, keys; nothing moves by itself where motion is to be reduced.

import { calm } from "./common.js";

const SECONDS = 5; // of one pass

export class Player {
  constructor({ button, slider, show, steps = () => 48 }) {
    Object.assign(this, { button, slider, draw: show, steps, at: 0, playing: false, last: 0, frames: 0, slowest: 0 });
    button.addEventListener("click", () => this.play(!this.playing));
    slider.addEventListener("input", () => { this.play(false); this.show(slider.value / 1000); });
  }

  show(at) {
    this.at = Math.min(Math.max(at, 0), 1);
    this.slider.value = Math.round(1000 * this.at);
    this.draw(this.at);
  }

  nudge(steps) { this.play(false); this.show(this.at + steps / this.steps()); }

  play(on, afresh = false) {
    const begins = on && !this.playing;
    this.playing = on;
    this.button.textContent = on ? "Pause" : "Play";
    if (!on) return;
    if (afresh || this.at >= 1) this.at = 0;
    this.last = 0;
    if (begins) requestAnimationFrame((now) => this.tick(now));
  }

  // A new picture: play it, or show its end where motion is to be reduced.
  open() {
    if (calm.matches) this.show(1);
    else if (this.playing) this.show(this.at);
    else this.play(true, true);
  }

  tick(now) {
    if (!this.playing) return;
    const passed = this.last ? now - this.last : 0, begun = performance.now();
    this.last = now;
    this.show(this.at + passed / 1000 / SECONDS);
    this.frames++;
    this.slowest = Math.max(this.slowest, performance.now() - begun);
    if (this.at >= 1) this.play(false);
    else requestAnimationFrame((next) => this.tick(next));
  }
}
