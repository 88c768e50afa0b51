// Facts of a network -> it, ready in a worker, by the backend that was measured to be the quickest.

const MOST_THREADS = 4;
const REMEMBERED = "vqe-live-backend";

// Read what networks and which runtimes there are.
export async function readSite(base) {
  const answer = await fetch(new URL("networks.json", base));
  if (!answer.ok) throw new Error(`The list of networks could not be loaded: ${answer.status}.`);
  return await answer.json();
}

// Return the backends that can be tried here, such as {backend: "wasm", threads: 2}.
export function listBackends(runtimes) {
  const threads = self.crossOriginIsolated
    ? Math.min(MOST_THREADS, navigator.hardwareConcurrency || 1) : 1;
  const found = [{ backend: "wasm", threads: 1 }];
  if (threads > 1) found.push({ backend: "wasm", threads });
  if (runtimes.webgpu && navigator.gpu) found.push({ backend: "webgpu", threads: 0 });
  return found;
}

// Open a network; each backend is measured once, and the quickest is remembered in this browser.
export async function openNetwork(facts, site, base) {
  const backends = listBackends(site.runtimes);
  const key = [site.version, facts.digest, navigator.userAgent, JSON.stringify(backends)].join();
  const known = backends.find((backend) => JSON.stringify(backend) === recall(key));
  let best = null;
  let failure = null;
  for (const backend of known ? [known] : backends) {
    const network = new Network(facts, site, base, backend);
    try {
      await network.open();
    } catch (error) {
      network.close();
      failure = error;
      continue;
    }
    const quicker = !best || network.trialMs < best.trialMs;
    (quicker ? best : network)?.close();
    if (quicker) best = network;
  }
  if (!best) throw failure;
  remember(key, JSON.stringify(best.backend));
  return best;
}

class Network {
  constructor(facts, site, base, backend) {
    this.facts = facts;
    this.backend = backend;
    const at = (path) => new URL(path, base).href;
    const runtime = site.runtimes[backend.backend];
    this.given = {
      network: { ...facts, url: at(facts.file) },
      runtime: { script: at(runtime.script), wasm: at(runtime.wasm) },
      ...backend,
    };
    this.worker = new Worker(at("network_worker.js"), { type: "module" });
    this.waiting = new Map();
    this.worker.addEventListener("message", ({ data }) => this.hear(data));
    this.worker.addEventListener("error", (event) => {
      event.preventDefault();
      this.fail(new Error(`The network's worker failed: ${event.message ?? "no reason given"}`));
    });
    this.count = 0;
    this.busy = false;
  }

  // What really runs the network, in words.
  get label() {
    const { backend, threads } = this.backend;
    if (backend === "webgpu") return "WebGPU";
    return threads === 1 ? "WebAssembly, 1 thread" : `WebAssembly, ${threads} threads`;
  }

  async open() {
    const { ms, threads } = await this.ask("open", this.given);
    this.trialMs = ms;
    this.backend = { ...this.backend, threads };
  }

  // Run on the next picture; there is one at a time, nothing queues.
  async run(pixels, width, height) {
    this.busy = true;
    try {
      return await this.ask("run", { pixels, width, height }, [pixels.buffer]);
    } finally {
      this.busy = false;
    }
  }

  async reset() {
    await this.ask("reset", {});
  }

  close() {
    this.worker.terminate();
    this.fail(new Error("The network was closed."));
  }

  ask(task, given, moved = []) {
    this.count += 1;
    const id = this.count;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ ...given, task, id }, moved);
    });
  }

  hear({ id, answer, error }) {
    const { resolve, reject } = this.waiting.get(id);
    this.waiting.delete(id);
    if (error === undefined) resolve(answer);
    else reject(new Error(error));
  }

  fail(error) {
    for (const { reject } of this.waiting.values()) reject(error);
    this.waiting.clear();
  }
}

function recall(key) {
  try {
    return JSON.parse(localStorage.getItem(REMEMBERED) ?? "{}")[key];
  } catch (refusal) {
    return undefined; // private windows keep nothing
  }
}

function remember(key, value) {
  try {
    const known = JSON.parse(localStorage.getItem(REMEMBERED) ?? "{}");
    localStorage.setItem(REMEMBERED, JSON.stringify({ ...known, [key]: value }));
  } catch (refusal) {
    // measured again next time
  }
}
