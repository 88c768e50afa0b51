"use strict";
// What the server says is next -> the page that shows it, and the rater's answer back.

const byId = (id) => document.getElementById(id);
const study = byId("study");
const token = study.dataset.token;
const pause = Number(study.dataset.pause);
const SECTIONS = ["checks", "intro", "between", "over", "refused", "remark"];
const RETRY_SECONDS = [1, 2, 5, 10, 20];
let playing = null; // aborts the pair on the screen

function show(...names) {
  for (const name of SECTIONS) byId(name).hidden = !names.includes(name);
  byId("stage").hidden = true;
}

function tell(text) {
  byId("message").textContent = text;
  byId("message").hidden = !text;
}

// Ask the server; a lost connection is tried again, for a vote may be sent twice.
async function ask(what, told) {
  const options = told === undefined ? {} : {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(told),
  };
  for (const seconds of [...RETRY_SECONDS, null]) {
    let answer = null;
    try {
      answer = await fetch("/api/" + token + "/" + what, options);
    } catch (lost) {
      if (seconds === null) throw new Error("The server cannot be reached. Please try again later.");
    }
    if (answer && answer.status !== 429 && answer.status < 500) {
      const state = await answer.json();
      if (!answer.ok) throw new Error(state.error);
      return state;
    }
    if (seconds === null) throw new Error("The server is busy. Please try again later.");
    byId("caption").textContent = "Waiting for the server …";
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  }
}

function follow(state) {
  if (state.stage === "checks") {
    byId("tries").textContent = state.tries === 1 ? "One try is left." : "";
    show("checks");
  } else if (state.stage === "refused") {
    show("refused");
  } else if (state.stage === "over") {
    leaveFullScreen();
    show("over", "remark");
  } else if (state.stage === "pause") {
    leaveFullScreen();
    if (state.done) show("between", "remark");
    else introduce("You are ready", "First come a few pairs for training. Then the session begins.");
  } else {
    introduce(
      state.training ? "Training" : "Session",
      "Pair " + state.position + " of " + state.of + " comes next.");
  }
}

function introduce(title, text) {
  byId("intro-title").textContent = title;
  byId("intro-text").textContent = text;
  show("intro");
}

async function measureRefresh() {
  const times = await new Promise((resolve) => {
    const found = [];
    const tick = (time) => {
      found.push(time);
      if (found.length > 45) resolve(found); else requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  });
  const steps = times.slice(1).map((time, i) => time - times[i]).sort((a, b) => a - b);
  return Math.round(10000 / steps[Math.floor(steps.length / 2)]) / 10;
}

async function describeEnvironment() {
  const plates = {}, matrices = {};
  for (const field of document.querySelectorAll(".plate")) plates[field.dataset.name] = field.value;
  for (const field of document.querySelectorAll(".matrix")) {
    (matrices[field.dataset.name] ??= []).push(field.value);
  }
  return {
    consent: byId("consent").checked,
    screen: { width: screen.width, height: screen.height, ratio: window.devicePixelRatio },
    window: { width: window.innerWidth, height: window.innerHeight },
    refresh_hz: await measureRefresh(),
    agent: navigator.userAgent,
    plates, matrices,
  };
}

async function enterFullScreen() {
  if (document.fullscreenElement) return;
  try {
    await document.documentElement.requestFullscreen();
  } catch (refusal) {
    throw new Error("The browser does not allow the full screen. Please allow it and start again.");
  }
}

function leaveFullScreen() {
  if (document.fullscreenElement) document.exitFullscreen().catch(() => {});
}

function answerPair(signal) {
  byId("question").hidden = false;
  byId("answers").firstElementChild.parentElement.focus();
  return new Promise((resolve, reject) => {
    const buttons = [...byId("answers").children];
    for (const button of buttons) {
      button.addEventListener("click", () => resolve(Number(button.dataset.grade)), { signal });
    }
    document.addEventListener("keydown", (event) => {
      const button = event.repeat || event.ctrlKey || event.metaKey || event.altKey
        ? null : buttons[Number(event.key) - 1];
      if (button) resolve(Number(button.dataset.grade));
    }, { signal });
    signal.addEventListener("abort", () => reject(new Interrupted()));
  }).finally(() => { byId("question").hidden = true; });
}

async function ratePair(state, signal) {
  const address = (name) => "/clip/" + token + "/" + name;
  const clips = [state.first, state.second, ...state.ahead].map(address);
  forgetClips(clips);
  byId("progress").textContent =
    (state.training ? "Training, pair " : "Pair ") + state.position + " of " + state.of;
  const { played, dropped } = await playPair(
    clips[0], clips[1], pause, byId("screen"), byId("caption"), signal);
  for (const ahead of clips.slice(2)) fetchClip(ahead).catch(() => {});
  const vote = await answerPair(signal);
  return await ask("vote", {
    assignment: state.assignment, position: state.position, vote, played, dropped,
  });
}

async function rate() {
  tell("");
  let state = null;
  try {
    await enterFullScreen();
    state = await ask("begin", {});
    while (state.stage === "pair") {
      playing = new AbortController();
      show();
      byId("stage").hidden = false;
      const wasTraining = state.training;
      state = await ratePair(state, playing.signal);
      playing.abort();
      if (wasTraining && state.stage === "pair" && !state.training) {
        byId("caption").textContent = "Training is over. Now it counts.";
        await new Promise((resolve) => setTimeout(resolve, 2000));
      }
    }
  } catch (error) {
    leaveFullScreen();
    if (!(error instanceof Interrupted)) tell(error.message);
    state = null;
  } finally {
    playing = null;
  }
  try {
    follow(state ?? await ask("state"));
  } catch (error) {
    tell(error.message);
  }
}

function interrupt() {
  if (playing) playing.abort();
}

document.addEventListener("visibilitychange", () => { if (document.hidden) interrupt(); });
document.addEventListener("fullscreenchange", () => { if (!document.fullscreenElement) interrupt(); });
byId("break").addEventListener("click", interrupt);
byId("start").addEventListener("click", rate);
byId("another").addEventListener("click", rate);

byId("checks-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  tell("");
  try {
    const state = await ask("enter", await describeEnvironment());
    if (state.wrong && state.wrong.length) tell(state.wrong.join("\n"));
    follow(state);
    window.scrollTo(0, 0);
  } catch (error) {
    tell(error.message);
  }
});

byId("remark-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await ask("note", { text: byId("remark-text").value });
    byId("remark").hidden = true;
  } catch (error) {
    tell(error.message);
  }
});

ask("state").then(follow, (error) => tell(error.message));
