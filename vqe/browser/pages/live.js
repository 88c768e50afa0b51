// The page: buttons -> <enhanced-video>; what it says and measures -> text.

import "./enhanced_video.js";
import { startDrawnClip } from "./drawn_clip.js";
import { readSite } from "./network.js";
import { save, startRecording } from "./recording.js";

const byId = (id) => document.getElementById(id);
const picture = byId("picture");
const SOURCES = ["camera", "file", "clip"];
const REFUSALS = {
  NotAllowedError: "The camera is not allowed. Allow it beside the page's address, or choose a file "
    + "or the drawn clip.",
  NotFoundError: "There is no camera. Plug one in, or choose a file or the drawn clip.",
  NotReadableError: "The camera is in use by another program. Close that, then try again.",
  OverconstrainedError: "The camera has no such picture size. Choose another one.",
};
let source = null; // {name, end}: what plays, and how to let go of it
let recording = null;
let hiddenAt = null;

function tell(kind, text) {
  byId("notice").textContent = text;
  byId("notice").className = `notice ${kind}`;
}

function show(name) {
  for (const other of SOURCES) byId(other).setAttribute("aria-pressed", String(other === name));
  for (const id of ["stop", "record", "save"]) byId(id).disabled = name === null;
  byId("empty").hidden = name !== null;
}

async function finish() {
  await endRecording();
  const before = source;
  source = null;
  picture.stop();
  before?.end();
  show(null);
}

// Play what `open` gives: {source, end}.
async function begin(name, open) {
  await finish();
  try {
    const opened = await open();
    source = { name, end: opened.end };
    show(name);
    await picture.play(opened.source);
  } catch (error) {
    await finish();
    tell("error", REFUSALS[error.name] ?? error.message);
  }
}

async function openCamera() {
  if (!navigator.mediaDevices) {
    throw new Error("Browsers give cameras to pages of https:// and localhost alone. "
      + "Open this page there, or choose a file or the drawn clip.");
  }
  const [width, height] = byId("size").value.split("x").map(Number);
  const stream = await navigator.mediaDevices.getUserMedia({
    video: { width: { ideal: width }, height: { ideal: height }, frameRate: { ideal: 30 } },
  });
  return { source: stream, end: () => stream.getTracks().forEach((track) => track.stop()) };
}

async function openClip() {
  const clip = startDrawnClip();
  return { source: clip.stream, end: clip.stop };
}

// The sound of what plays: of the microphone beside a camera, or of the file.
async function findSound() {
  if (!byId("sound").checked) return [];
  if (source.name === "file") return picture.video.captureStream?.().getAudioTracks() ?? [];
  if (source.name !== "camera") return [];
  try {
    return (await navigator.mediaDevices.getUserMedia({ audio: true })).getAudioTracks();
  } catch (refusal) {
    tell("warning", "The microphone is not allowed or not there: recording without sound.");
    return [];
  }
}

async function beginRecording() {
  const sound = await findSound();
  if (!source) return;
  recording = startRecording(picture.captureStream(), sound);
  recording.sound = sound;
  byId("record").textContent = "Stop recording";
  byId("record").classList.add("recording");
  if (sound.length || !byId("sound").checked || source.name !== "camera") {
    tell("info", `Recording what is shown${sound.length ? ", with sound" : ", without sound"}.`);
  }
}

async function endRecording() {
  if (!recording) return;
  const ended = recording;
  recording = null;
  byId("record").textContent = "Record";
  byId("record").classList.remove("recording");
  const blob = await ended.stop();
  for (const track of ended.sound) track.stop();
  save(blob, blob.type.includes("mp4") ? "mp4" : "webm");
  tell("info", "The recording was saved to your downloads.");
}

byId("camera").addEventListener("click", () => begin("camera", openCamera));
byId("clip").addEventListener("click", () => begin("clip", openClip));
byId("file").addEventListener("click", () => byId("chosen").click());
byId("chosen").addEventListener("change", ({ target }) => {
  const [file] = target.files;
  target.value = "";
  if (file) begin("file", async () => ({ source: file, end: () => {} }));
});
byId("stop").addEventListener("click", finish);
byId("size").addEventListener("change", () => {
  if (source?.name === "camera") begin("camera", openCamera);
});
byId("record").addEventListener("click", async () => {
  try {
    await (recording ? endRecording() : beginRecording());
  } catch (error) {
    recording = null;
    tell("error", `Recording failed: ${error.message}`);
  }
});
byId("save").addEventListener("click", async () => {
  try {
    save(await picture.takePicture(), "png");
  } catch (error) {
    tell("error", error.message);
  }
});

byId("enhance").addEventListener("change", ({ target }) => {
  picture.toggleAttribute("off", !target.checked);
});
let place = "50"; // of the line, while it is away
byId("compare").addEventListener("change", ({ target }) => {
  if (target.checked) picture.setAttribute("split", place);
  else {
    place = picture.getAttribute("split");
    picture.removeAttribute("split");
  }
});
byId("strength").addEventListener("input", ({ target }) => {
  picture.setAttribute("strength", String(target.value / 100));
  byId("percent").textContent = `${target.value} %`;
});
byId("network").addEventListener("change", ({ target }) => {
  picture.setAttribute("network", target.value);
});

picture.addEventListener("notice", ({ detail }) => {
  tell(detail.kind, detail.text);
  if (detail.kind === "error" && source && !picture.loop.running) finish();
});
picture.addEventListener("stats", ({ detail }) => {
  const ms = (value) => (value === undefined ? "-" : `${value.toFixed(value < 100 ? 1 : 0)} ms`);
  const fps = (value) => `${value.toFixed(value < 10 ? 1 : 0)} frames/s`;
  const size = detail.width ? `, ${detail.width} x ${detail.height}` : "";
  byId("drawn").textContent = source ? fps(detail.drawn_fps) : "-";
  byId("source").textContent = source ? fps(detail.source_fps) + size : "-";
  byId("upload").textContent = ms(detail.upload_ms);
  byId("read").textContent = ms(detail.read_ms);
  byId("step").textContent = ms(detail.network_ms);
  byId("draw").textContent = ms(detail.draw_ms);
  byId("backend").textContent = detail.backend ?? "loading, or none";
});

document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    hiddenAt = performance.now();
  } else if (hiddenAt !== null && source) {
    const seconds = Math.round((performance.now() - hiddenAt) / 1000);
    tell("info", `This page was hidden for ${seconds} s: the picture stood still meanwhile.`);
  }
});

async function listNetworks() {
  const { networks } = await readSite(new URL("./", import.meta.url));
  for (const { name, kind } of networks) {
    const option = document.createElement("option");
    option.value = name;
    option.textContent = kind === "maps" ? name : `${name} (whole frames, slow)`;
    byId("network").append(option);
  }
}

listNetworks().catch((error) => tell("error", error.message));
