// <enhanced-video>: a stream or a file -> the same picture, enhanced, on the page and as a track.
//
//   attributes  network: its name, the first one where it is not given; strength: 0 to 1;
//               split: per cent of the width, from the left, that stay as they are; off
//   methods     play(stream | file | address), stop(), captureStream(rate), takePicture()
//   events      notice: {kind, text}, what happened, in a sentence; stats: see `measure`
//   property    stats: the last ones

import { FrameLoop } from "./frame_loop.js";
import { openNetwork, readSite } from "./network.js";
import { Renderer } from "./renderer.js";

const BASE = new URL("./", import.meta.url);
const STATS_MS = 500;
const SHARE = 0.2; // of a new time in the mean that is shown
const STYLE = `
:host { display: block; position: relative; line-height: 0; overflow: hidden; }
canvas { display: block; width: 100%; height: auto; background: #000; }
video { position: absolute; width: 1px; height: 1px; opacity: 0; pointer-events: none; }
.line { position: absolute; top: 0; bottom: 0; width: 44px; margin-left: -22px; cursor: ew-resize;
  touch-action: none; outline: none; }
.line[hidden] { display: none; }
.line::before { content: ""; position: absolute; inset: 0 calc(50% - 1px); background: #fff;
  box-shadow: 0 0 3px #000; }
.line::after { content: "\\2194"; position: absolute; left: 8px; top: calc(50% - 14px); width: 28px;
  height: 28px; border-radius: 50%; background: #fff; color: #111; box-shadow: 0 0 4px #000;
  font: 18px/27px system-ui, sans-serif; text-align: center; }
.line:focus-visible::after { outline: 3px solid #48f; outline-offset: 2px; }
`;

class EnhancedVideo extends HTMLElement {
  static observedAttributes = ["network", "strength", "split", "off"];

  constructor() {
    super();
    const sheet = new CSSStyleSheet(); // no style element: a strict security policy forbids it
    sheet.replaceSync(STYLE);
    const shadow = this.attachShadow({ mode: "open" });
    shadow.adoptedStyleSheets = [sheet];
    this.canvas = document.createElement("canvas");
    this.canvas.width = 1280;
    this.canvas.height = 720;
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", "the video, enhanced");
    this.video = document.createElement("video");
    this.video.muted = this.video.playsInline = this.video.loop = true;
    this.video.setAttribute("aria-hidden", "true");
    this.line = this.makeLine();
    shadow.append(this.video, this.canvas, this.line);
    this.loop = new FrameLoop(
      this.video, (...frame) => this.handle(...frame), (error) => this.giveUp(error));
    this.network = null;
    this.working = false; // a picture is on its way through the network
    this.epoch = 0; // results of an earlier one are of another source, size or network
    this.fresh = true; // the network has to forget what it saw
    this.counts = { drawn: 0, steps: 0, cuts: 0 };
    this.times = {};
    this.stats = null;
    this.opening = null;
  }

  connectedCallback() {
    if (this.renderer === undefined) this.prepare();
    this.ticking ??= setInterval(() => this.measure(), STATS_MS);
    if (!this.network && !this.opening) this.load();
  }

  disconnectedCallback() {
    this.stop();
    clearInterval(this.ticking);
    this.ticking = null;
    this.network?.close();
    this.network = null;
  }

  attributeChangedCallback(name, before, now) {
    if (before === now || !this.isConnected) return;
    if (name === "network") this.load();
    else this.refresh();
    if (name === "split") this.placeLine();
  }

  get strength() {
    const value = Number(this.getAttribute("strength") ?? 1);
    return this.off ? 0 : Math.min(1, Math.max(0, Number.isFinite(value) ? value : 1));
  }

  get off() {
    return this.hasAttribute("off");
  }

  // Where the enhanced part begins, from 0 left to 1 right.
  get split() {
    const value = Number(this.getAttribute("split") ?? 0);
    return Math.min(1, Math.max(0, Number.isFinite(value) ? value / 100 : 0));
  }

  // Play a MediaStream, a File or an address; what played before stops.
  async play(source) {
    this.stop();
    if (source instanceof MediaStream) {
      this.video.srcObject = source;
      for (const track of source.getVideoTracks()) this.watch(track);
    } else {
      this.address = typeof source === "string" ? source : URL.createObjectURL(source);
      this.video.src = this.address;
    }
    this.loop.start();
    try {
      await this.video.play();
    } catch (error) {
      if (error.name === "AbortError") return; // another source was chosen meanwhile
      this.stop();
      throw new Error(this.video.error || error.name === "NotSupportedError"
        ? "This browser cannot play this file." : error.message);
    }
  }

  // Let go of the source; its tracks go on, as they are not ours.
  stop() {
    this.loop.stop();
    this.forget();
    this.video.pause();
    this.video.srcObject = null;
    this.video.removeAttribute("src");
    if (this.address?.startsWith("blob:")) URL.revokeObjectURL(this.address);
    this.address = null;
  }

  // The enhanced picture as a stream for a call or a recording.
  captureStream(rate = 30) {
    return this.canvas.captureStream(rate);
  }

  // What is shown, as a PNG.
  takePicture() {
    this.draw();
    return new Promise((resolve, reject) => {
      this.canvas.toBlob(
        (blob) => (blob ? resolve(blob) : reject(new Error("There is no picture yet."))),
        "image/png");
    });
  }

  tell(kind, text) {
    this.dispatchEvent(new CustomEvent("notice", { detail: { kind, text } }));
  }

  giveUp(error) {
    if (this.renderer.lost) return; // it may come back
    this.stop();
    this.tell("error", `The picture cannot be drawn: ${error.message}`);
  }

  prepare() {
    this.renderer = null;
    try {
      this.renderer = new Renderer(this.canvas);
    } catch (error) {
      queueMicrotask(() => this.tell("error", error.message));
      return;
    }
    this.canvas.addEventListener("webglcontextlost", (event) => {
      event.preventDefault();
      this.tell("error", "The graphics card was taken away; waiting for it.");
    });
    this.canvas.addEventListener("webglcontextrestored", () => {
      this.renderer.build();
      this.forget();
      this.tell("info", "The graphics card is back.");
    });
    this.placeLine();
  }

  // Open the network that is named; the picture goes on without one meanwhile.
  async load() {
    const mine = (this.opening = {});
    this.network?.close();
    this.network = null;
    this.forget();
    try {
      const site = await readSite(BASE);
      const name = this.getAttribute("network");
      const facts = name ? site.networks.find((n) => n.name === name) : site.networks[0];
      if (!facts) {
        const names = site.networks.map((n) => n.name).join(", ");
        throw new Error(`There is no network ${name} here, but ${names || "none"}.`);
      }
      this.tell("info", `Loading ${facts.name} …`);
      const network = await openNetwork(facts, site, BASE);
      if (mine !== this.opening || !this.isConnected) {
        network.close();
        return;
      }
      this.network = network;
      this.fresh = true;
      this.tell("info", facts.kind === "maps"
        ? `${facts.name} is ready: it sees a picture of ${facts.side} x ${facts.side}.`
        : `${facts.name} is ready. It runs on the whole frame, which takes long in a browser.`);
    } catch (error) {
      if (mine === this.opening) this.tell("error", error.message);
    } finally {
      if (mine === this.opening) this.opening = null;
    }
  }

  forget() {
    this.epoch += 1;
    this.fresh = true;
    this.times = {};
    this.renderer?.forget();
  }

  watch(track) {
    const isMine = () => this.video.srcObject?.getTracks().includes(track);
    track.addEventListener("ended", () => {
      if (!isMine()) return;
      this.stop();
      this.tell("error", "The camera is gone: unplugged, or taken by another program. "
        + "Plug it in and choose it again.");
    });
    track.addEventListener("mute", () => {
      if (isMine()) this.tell("warning", "The camera sends no picture just now.");
    });
    track.addEventListener("unmute", () => {
      if (isMine()) this.tell("info", "The camera sends pictures again.");
    });
  }

  // A new frame: draw it with what the network last made, and give it to the network if that is
  // idle. A network that runs whole keeps its frame until it is done: both halves are of one time.
  async handle(frame, width, height) {
    if (!this.renderer || this.renderer.lost || !width || !height) return;
    if (this.runsWhole && this.working) return;
    const { epoch } = this;
    const start = performance.now();
    const resized = await this.renderer.upload(frame, width, height);
    if (epoch !== this.epoch) return;
    if (resized) {
      this.forget();
      this.tell("info", `The picture is ${width} x ${height}.`);
    }
    this.note("upload_ms", performance.now() - start);
    if (this.network && !this.off && !this.working) this.advance(width, height);
    if (this.runsWhole && this.renderer.ready) return;
    this.draw();
    this.counts.drawn += 1;
  }

  // Whether frames go through the network as they are.
  get runsWhole() {
    return this.network?.facts.kind === "whole" && !this.off;
  }

  async advance(width, height) {
    this.working = true;
    const { network, epoch, renderer } = this;
    const whole = this.runsWhole;
    try {
      const start = performance.now();
      const side = network.facts.side;
      const pixels = whole ? await renderer.readFrame() : await renderer.shrink(side);
      if (epoch !== this.epoch) return;
      this.note("read_ms", performance.now() - start);
      if (this.fresh) await network.reset();
      this.fresh = false;
      const made = await network.run(pixels, whole ? width : side, whole ? height : side);
      if (epoch !== this.epoch) return;
      this.take(made, network.facts, whole);
    } catch (error) {
      if (epoch !== this.epoch || renderer.lost) return;
      network.close();
      this.network = null;
      this.forget();
      this.tell("error", `The network stopped: ${error.message}`);
    } finally {
      this.working = false;
    }
  }

  take(made, facts, whole) {
    this.note("network_ms", made.ms);
    this.counts.steps += 1;
    if (made.cut) {
      this.counts.cuts += 1;
      this.tell("info", "A new scene: its light is measured afresh.");
    }
    if (whole) {
      if (!this.times.told) {
        this.times.told = true;
        const seconds = (made.ms / 1000).toFixed(made.ms < 1000 ? 2 : 1);
        this.tell("warning", `${facts.name} takes ${seconds} s for a frame of this size here. `
          + "A smaller picture is quicker; nano is made for live pictures.");
      }
      this.renderer.setEnhanced(made.pixels, made.width, made.height);
      this.draw();
      this.counts.drawn += 1;
    } else {
      this.renderer.setMaps(made.maps, facts.grid, facts.strength);
      if (this.video.paused) this.draw();
    }
  }

  draw() {
    if (!this.renderer || this.renderer.lost || !this.renderer.width) return;
    const start = performance.now();
    this.renderer.draw(this.split, this.strength);
    if (this.timing) return;
    this.timing = true; // one at a time: what the GPU does, not what telling it takes
    this.renderer.finish().then(
      () => this.note("draw_ms", performance.now() - start), () => {},
    ).finally(() => { this.timing = false; });
  }

  // Show a changed option at once where no frame will.
  refresh() {
    if (this.off) this.fresh = true;
    if (this.video.paused || this.network?.facts.kind === "whole") this.draw();
  }

  note(name, ms) {
    const before = this.times[name];
    this.times[name] = before === undefined ? ms : before + SHARE * (ms - before);
  }

  measure() {
    const now = performance.now();
    const counts = { ...this.counts, given: this.loop.given, now };
    const last = this.last;
    this.last = counts;
    if (!last) return;
    const rate = (name) => Math.max(0, (1000 * (counts[name] - last[name])) / (now - last.now));
    const { told, ...times } = this.times;
    this.stats = {
      ...times,
      drawn_fps: rate("drawn"),
      source_fps: rate("given"),
      network_fps: rate("steps"),
      drawn: counts.drawn,
      steps: counts.steps,
      cuts: counts.cuts,
      opened: this.loop.opened,
      closed: this.loop.closed,
      width: this.renderer?.width ?? 0,
      height: this.renderer?.height ?? 0,
      backend: this.network?.label ?? null,
      kind: this.network?.facts.kind ?? null,
    };
    this.dispatchEvent(new CustomEvent("stats", { detail: this.stats }));
  }

  makeLine() {
    const line = document.createElement("div");
    line.className = "line";
    line.tabIndex = 0;
    line.setAttribute("role", "slider");
    line.setAttribute("aria-label", "where the enhanced part begins");
    line.setAttribute("aria-valuemin", "0");
    line.setAttribute("aria-valuemax", "100");
    line.addEventListener("pointerdown", (event) => line.setPointerCapture(event.pointerId));
    line.addEventListener("pointermove", (event) => {
      if (!line.hasPointerCapture(event.pointerId)) return;
      const box = this.canvas.getBoundingClientRect();
      this.moveLine((100 * (event.clientX - box.left)) / box.width);
    });
    line.addEventListener("keydown", (event) => {
      const step = event.shiftKey ? 10 : 1;
      const here = 100 * this.split;
      const places = {
        ArrowLeft: here - step, ArrowDown: here - step, ArrowRight: here + step,
        ArrowUp: here + step, PageDown: here - 10, PageUp: here + 10, Home: 0, End: 100,
      };
      if (!(event.key in places)) return;
      event.preventDefault();
      this.moveLine(places[event.key]);
    });
    return line;
  }

  moveLine(place) {
    this.setAttribute("split", String(Math.round(10 * Math.min(100, Math.max(0, place))) / 10));
    this.dispatchEvent(new CustomEvent("split"));
  }

  placeLine() {
    this.line.hidden = !this.hasAttribute("split");
    this.line.style.left = `${100 * this.split}%`;
    this.line.setAttribute("aria-valuenow", String(Math.round(100 * this.split)));
  }
}

customElements.define("enhanced-video", EnhancedVideo);
