"use strict";
// Two clips' addresses -> A, grey, B on the screen, each whole and at its own size.

class Interrupted extends Error {}

const fetched = new Map(); // address -> promise of an object URL, so that a pair starts at once

function fetchClip(address) {
  if (!fetched.has(address)) {
    const loading = fetch(address).then(async (answer) => {
      if (!answer.ok) throw new Error("A clip could not be loaded (" + answer.status + ").");
      return URL.createObjectURL(await answer.blob());
    });
    loading.catch(() => fetched.delete(address));
    fetched.set(address, loading);
  }
  return fetched.get(address);
}

async function forgetClips(kept) {
  for (const [address, loading] of [...fetched]) {
    if (kept.includes(address)) continue;
    fetched.delete(address);
    loading.then(URL.revokeObjectURL, () => {});
  }
}

function wait(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal.addEventListener("abort", () => { clearTimeout(timer); reject(new Interrupted()); });
  });
}

function once(target, event, signal) {
  return new Promise((resolve, reject) => {
    target.addEventListener(event, resolve, { once: true, signal });
    target.addEventListener("error", () => reject(new Error("A clip cannot be played here.")), { signal });
    signal.addEventListener("abort", () => reject(new Interrupted()));
  });
}

async function makeVideo(address, signal) {
  const video = document.createElement("video");
  video.muted = true;
  video.playsInline = true;
  video.preload = "auto";
  video.disablePictureInPicture = true;
  const ready = once(video, "canplaythrough", signal);
  video.src = await fetchClip(address);
  video.load();
  await ready;
  return video;
}

// Play one clip to its end; how long that took in seconds, and the frames that were not shown.
async function playClip(video, screen, signal) {
  const scale = window.devicePixelRatio || 1; // a pixel of the clip is one of the screen
  video.style.width = video.videoWidth / scale + "px";
  video.style.height = video.videoHeight / scale + "px";
  const ended = once(video, "ended", signal);
  screen.replaceChildren(video);
  const start = performance.now();
  try {
    await Promise.all([video.play(), ended]);
  } finally {
    video.pause();
    screen.replaceChildren();
  }
  const quality = video.getVideoPlaybackQuality ? video.getVideoPlaybackQuality() : null;
  return {
    seconds: (performance.now() - start) / 1000,
    dropped: quality ? quality.droppedVideoFrames : 0,
  };
}

async function playPair(first, second, pause, screen, caption, signal) {
  caption.textContent = "";
  const videos = [await makeVideo(first, signal), await makeVideo(second, signal)];
  let played = 0, dropped = 0;
  for (const [i, name] of ["A", "B"].entries()) {
    caption.textContent = name;
    await wait(i ? pause : Math.min(pause, 0.7), signal);
    caption.textContent = "";
    const result = await playClip(videos[i], screen, signal);
    played += result.seconds;
    dropped += result.dropped;
  }
  return { played, dropped };
}
