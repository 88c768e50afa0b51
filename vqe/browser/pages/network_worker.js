// In a worker: pictures -> maps, or whole frames, by onnxruntime-web; remembers the network's state.

const WARM_RUNS = 3;
const TIMED_RUNS = 9;
const TRIAL_SIZE = [96, 160]; // of a frame, to time networks that run whole

let ort = null;
let session = null;
let facts = null;
let state = null; // tensors by name; null: nothing was seen

const TASKS = { open, run, reset };

self.addEventListener("message", async ({ data }) => {
  try {
    const [answer, moved] = await TASKS[data.task](data);
    self.postMessage({ id: data.id, answer }, moved);
  } catch (error) {
    self.postMessage({ id: data.id, error: String(error?.message ?? error) });
  }
});

// Load the runtime and the network; say what really runs it and how long it takes.
async function open({ network, runtime, backend, threads }) {
  facts = network;
  ort = await import(runtime.script);
  ort.env.logLevel = "error";
  ort.env.wasm.wasmPaths = { wasm: runtime.wasm };
  ort.env.wasm.numThreads = threads;
  const fetched = await fetch(network.url);
  if (!fetched.ok) throw new Error(`The network could not be loaded: ${fetched.status}.`);
  session = await ort.InferenceSession.create(new Uint8Array(await fetched.arrayBuffer()), {
    executionProviders: [backend],
    graphOptimizationLevel: "all",
  });
  const ms = await time();
  return [{ ms, threads: backend === "wasm" ? ort.env.wasm.numThreads : 0 }, []];
}

async function time() {
  const [height, width] = facts.kind === "maps" ? [facts.side, facts.side] : TRIAL_SIZE;
  const pixels = new Uint8Array(4 * height * width);
  const runs = facts.kind === "maps" ? TIMED_RUNS : 1;
  for (let i = 0; i < (facts.kind === "maps" ? WARM_RUNS : 1); i += 1) {
    await advance(pixels, height, width);
  }
  const times = [];
  for (let i = 0; i < runs; i += 1) {
    const start = performance.now();
    await advance(pixels, height, width);
    times.push(performance.now() - start);
  }
  state = null;
  return times.sort((a, b) => a - b)[runs >> 1];
}

function reset() {
  state = null;
  return [null, []];
}

async function run({ pixels, width, height }) {
  const start = performance.now();
  const before = state;
  const results = await advance(pixels, height, width);
  const ms = () => performance.now() - start;
  if (facts.kind === "maps") {
    const maps = results.maps_next.data.slice();
    return [{ maps, ms: ms(), cut: isCut(before, results) }, [maps.buffer]];
  }
  const enhanced = fromPlanes(results.enhanced.data);
  return [{ pixels: enhanced, width, height, ms: ms(), cut: isCut(before, results) },
    [enhanced.buffer]];
}

// Run the network on the next picture, RGBA of 8 bits, from the state on.
async function advance(pixels, height, width) {
  const given = new ort.Tensor("float32", toPlanes(pixels), [1, 3, height, width]);
  state ??= makeZeros(height, width);
  const results = await session.run({ [facts.input]: given, ...state });
  state = {};
  for (const name of Object.keys(facts.state)) state[name] = results[`${name}_next`];
  return results;
}

function makeZeros(height, width) {
  const sizes = { batch: 1, height, width };
  const zeros = {};
  for (const [name, shape] of Object.entries(facts.state)) {
    const dims = shape.map((n) => (typeof n === "string" ? sizes[n] : n));
    const count = dims.reduce((a, b) => a * b, 1);
    zeros[name] = new ort.Tensor("float32", new Float32Array(count), dims);
  }
  return zeros;
}

// Whether the network has just forgotten the past: by the same measure as its own.
function isCut(before, results) {
  if (!before?.thumbnail || !facts.scene_cut) return false;
  const last = before.thumbnail.data, now = results.thumbnail_next.data;
  let sum = 0;
  for (let i = 0; i < now.length; i += 1) sum += Math.abs(now[i] - last[i]);
  return sum / now.length > facts.scene_cut;
}

function toPlanes(pixels) {
  const count = pixels.length / 4;
  const planes = new Float32Array(3 * count);
  for (let i = 0; i < count; i += 1) {
    planes[i] = pixels[4 * i] / 255;
    planes[count + i] = pixels[4 * i + 1] / 255;
    planes[2 * count + i] = pixels[4 * i + 2] / 255;
  }
  return planes;
}

function fromPlanes(planes) {
  const count = planes.length / 3;
  const pixels = new Uint8ClampedArray(4 * count); // rounds
  for (let i = 0; i < count; i += 1) {
    pixels[4 * i] = 255 * planes[i];
    pixels[4 * i + 1] = 255 * planes[count + i];
    pixels[4 * i + 2] = 255 * planes[2 * count + i];
    pixels[4 * i + 3] = 255;
  }
  return new Uint8Array(pixels.buffer);
}
