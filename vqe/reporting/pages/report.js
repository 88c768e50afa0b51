// What the page can do with a script: a slider over the sides of a frame, clips in step, a table that
// sorts and searches, curves that are read off. Without it all numbers and pictures are there, too.
"use strict";
(() => {
  const series = JSON.parse(document.getElementById("series").textContent);
  const STEP = 100; // rows of the table at a time

  function make(name, attributes = {}, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key === "class") element.className = value;
      else if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
      else if (typeof value === "boolean") element.toggleAttribute(key, value);
      else element.setAttribute(key, value);
    }
    element.append(...children);
    return element;
  }

  // what is far away is made when it comes near
  function whenNear(elements, act) {
    const watcher = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        watcher.unobserve(entry.target);
        act(entry.target);
      }
    }, { rootMargin: "600px" });
    elements.forEach((element) => watcher.observe(element));
  }

  function toBlob(uri) {
    const [head, body] = [uri.slice(5, uri.indexOf(",")), uri.slice(uri.indexOf(",") + 1)];
    if (!head.endsWith(";base64")) return new Blob([decodeURIComponent(body)], { type: head });
    const bytes = Uint8Array.from(atob(body), (letter) => letter.charCodeAt(0));
    return new Blob([bytes], { type: head.replace(";base64", "") });
  }

  // browsers refuse long data links: hand out the same bytes as a blob
  for (const link of document.querySelectorAll("a[download][href^='data:']")) {
    link.href = URL.createObjectURL(toBlob(link.getAttribute("href")));
  }

  // ---- the slider: two sides in one place, a range input over them

  function makeSplit(label, onMove) {
    const range = make("input", { type: "range", min: "0", max: "100", step: "1", value: "50", class: "split", "aria-label": label });
    const stage = make("div", { class: "stage" });
    const move = () => {
      stage.style.setProperty("--at", `${range.value}%`);
      range.setAttribute("aria-valuetext", `${range.value} % of ${stage.dataset.left}, the rest ${stage.dataset.right}`);
      onMove?.(range.value / 100);
    };
    range.addEventListener("input", move);
    const says = ["left", "right"].map((side) => make("span", { class: `says ${side}` }));
    const name = (left, right) => {
      [stage.dataset.left, stage.dataset.right] = [left, right];
      says[0].textContent = left;
      says[1].textContent = right;
      move();
    };
    return { stage, range, name, parts: [make("span", { class: "rule" }), ...says, range] };
  }

  // which sides are seen: at first both runs, or the input and what became of it
  function makeChoices(names, onChange) {
    const first = Math.min(series.logs.length - 1, names.length - 2);
    return ["left side", "right side"].map((label, i) => {
      const select = make("select", { "aria-label": label, onchange: onChange });
      names.forEach((text, place) => select.append(make("option", { value: String(place) }, text)));
      select.value = String(first + i);
      return select;
    });
  }

  function buildSlider(holder) {
    const frames = [...holder.querySelectorAll(".still")].map((still) => ({
      when: still.querySelector(".when").textContent,
      number: still.dataset.number,
      sides: [...still.querySelectorAll("figure")].map((figure) => figure.querySelector("img")),
      names: [...still.querySelectorAll("figcaption")].map((text) => text.firstChild.textContent.trim()),
    }));
    const names = frames[0].names;
    let now = Math.floor(frames.length / 2);
    const split = makeSplit("slider between both sides");
    const under = make("img", { class: "under", draggable: "false", alt: "" });
    const over = make("img", { class: "over", draggable: "false", alt: "" });
    split.stage.append(under, over, ...split.parts);
    const [left, right] = makeChoices(names, show);
    const where = make("output", {});
    const back = make("button", { type: "button", title: "frame before (,)", "aria-label": "frame before", onclick: () => step(-1) }, "‹");
    const on = make("button", { type: "button", title: "next frame (.)", "aria-label": "next frame", onclick: () => step(1) }, "›");
    const beside = make("button", { type: "button", "aria-pressed": "false", onclick: toggle }, "Side by side");
    const alone = make("button", { type: "button", onclick: open }, "Open alone");
    const bar = make("div", { class: "bar" }, left, make("span", {}, "|"), right, back, where, on, beside, alone);

    function show() {
      const frame = frames[now];
      const [a, b] = [frame.sides[left.value], frame.sides[right.value]];
      under.src = a.src;
      over.src = b.src;
      under.alt = a.alt;
      over.alt = b.alt;
      split.stage.style.aspectRatio = `${a.width} / ${a.height}`;
      const [width, height] = [a.getAttribute("width"), a.getAttribute("height")];
      split.stage.style.aspectRatio = `${width} / ${height}`;
      split.stage.style.maxWidth = `min(${width * 1.5}px, ${(85 * width) / height}vh)`;
      split.name(names[left.value], names[right.value]);
      where.textContent = `${frame.when} (${now + 1} of ${frames.length})`;
      back.disabled = now === 0;
      on.disabled = now === frames.length - 1;
    }
    function step(by) {
      now = Math.min(frames.length - 1, Math.max(0, now + by));
      show();
    }
    function toggle() {
      const sliding = holder.classList.toggle("sliding");
      split.stage.hidden = !sliding;
      split.stage.style.display = sliding ? "" : "none";
      beside.textContent = sliding ? "Side by side" : "Slider";
      beside.setAttribute("aria-pressed", String(!sliding));
    }
    function open() {
      for (const side of new Set([left.value, right.value])) {
        window.open(URL.createObjectURL(toBlob(frames[now].sides[side].src)), "_blank", "noopener");
      }
    }
    const box = make("div", { class: "slider", onkeydown: (event) => {
      if (event.target.tagName === "SELECT" || (event.key !== "," && event.key !== ".")) return;
      step(event.key === "." ? 1 : -1);
      event.preventDefault();
    } }, split.stage, bar);
    holder.prepend(box);
    holder.classList.add("sliding");
    show();
  }
  whenNear(document.querySelectorAll("[data-stills]"), buildSlider);

  // ---- a clip: all sides are in one video, so that they cannot fall out of step

  function buildClip(holder) {
    const video = holder.querySelector("video");
    const names = [...holder.querySelectorAll(".clip-labels li")].map((item) => item.textContent);
    const [fps, count, sides] = [holder.dataset.fps, holder.dataset.frames, names.length];
    const width = video.width / sides;
    const canvas = make("canvas", { width: String(width), height: String(video.height) });
    const ink = canvas.getContext("2d");
    const split = makeSplit("slider between both sides of the clip", draw);
    split.stage.append(canvas, ...split.parts);
    split.stage.style.aspectRatio = `${width} / ${video.height}`;
    split.stage.style.maxWidth = `min(${width * 1.5}px, ${(85 * width) / video.height}vh)`;
    const [left, right] = makeChoices(names, rename);
    const play = make("button", { type: "button", onclick: () => (video.paused ? video.play() : video.pause()) }, "Play");
    const place = make("input", { type: "range", min: "0", max: String(count - 1), value: "0", step: "1", "aria-label": "frame", oninput: () => seek(Number(place.value)) });
    const where = make("output", {});
    const [back, on] = [-1, 1].map((by) => make("button", { type: "button", "aria-label": by < 0 ? "frame before" : "next frame", onclick: () => seek(frame() + by) }, by < 0 ? "‹" : "›"));
    const bar = make("div", { class: "bar" }, play, back, on, place, where, left, make("span", {}, "|"), right);

    function frame() {
      return Math.min(count - 1, Math.floor(video.currentTime * fps + 1e-3));
    }
    function seek(number) {
      video.pause();
      video.currentTime = (Math.min(count - 1, Math.max(0, number)) + 0.5) / fps; // its middle
    }
    function draw() {
      const [cut, h] = [Math.round((width * split.range.value) / 100), video.height];
      if (video.readyState >= 2) {
        if (cut > 0) ink.drawImage(video, left.value * width, 0, cut, h, 0, 0, cut, h);
        if (cut < width) ink.drawImage(video, right.value * width + cut, 0, width - cut, h, cut, 0, width - cut, h);
      }
      place.value = String(frame());
      where.textContent = `frame ${frame()} of ${count}`;
      holder.dataset.shown = String(frame());
    }
    function rename() {
      split.name(names[left.value], names[right.value]);
    }
    function follow() {
      draw();
      if ("requestVideoFrameCallback" in video) video.requestVideoFrameCallback(follow);
    }
    video.addEventListener("play", () => (play.textContent = "Pause"));
    video.addEventListener("pause", () => (play.textContent = "Play"));
    for (const event of ["loadeddata", "seeked", "timeupdate", "ended"]) video.addEventListener(event, draw);
    video.controls = false;
    video.preload = "auto";
    video.loop = true;
    holder.classList.add("live");
    holder.append(split.stage, bar);
    rename();
    follow();
  }
  whenNear(document.querySelectorAll(".clip"), buildClip);

  // ---- curves that are read off

  const DASHES = { input: [5, 4], target: [2, 4] };
  const live = new Set();

  function colour(side) {
    const probe = make("span", { class: side.replace(" ", "-") });
    document.body.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  }

  function findCurve(place) {
    const [kind, first, rest] = place.match(/^(\w+):(\d+):(.*)$/s).slice(1);
    return kind === "log" ? series.logs[first]?.[rest] : series.videos[rest]?.[first];
  }

  function plot(figure, curve) {
    const styles = getComputedStyle(document.documentElement);
    const [soft, rule] = ["--soft", "--rule"].map((name) => styles.getPropertyValue(name).trim());
    const drawing = figure.querySelector(".drawing");
    let reading = figure.querySelector(".reading");
    if (!reading) figure.append((reading = make("div", { class: "reading", "aria-hidden": "true" })));
    const axis = { stroke: soft, grid: { stroke: rule, width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
    const options = {
      width: Math.max(200, drawing.clientWidth),
      height: 200,
      scales: { x: { time: false } },
      legend: { show: false },
      cursor: { points: { size: 7 }, drag: { x: true, y: false } },
      axes: [{ ...axis, size: 26 }, { ...axis, size: 46, values: (_, ticks) => ticks.map((tick) => String(Number(tick.toPrecision(4)))) }],
      series: [{}, ...curve.lines.map((line) => ({
        label: line.label, stroke: colour(line.side), width: 1.8, dash: DASHES[line.side], points: { show: curve.x.length < 2 }, spanGaps: true,
      }))],
      hooks: { setCursor: [(chart) => {
        const i = chart.cursor.idx;
        reading.textContent = i == null ? "" : `${curve.xLabel} ${curve.x[i]}: ` + curve.lines.map((line) => `${line.label} ${line.y[i] ?? "–"}`).join(", ");
      }] },
    };
    const chart = new uPlot(options, [curve.x, ...curve.lines.map((line) => line.y)], drawing);
    chart.root.setAttribute("role", "img");
    chart.root.setAttribute("aria-label", figure.querySelector("svg")?.getAttribute("aria-label") ?? curve.title);
    chart.root.title = "drag to zoom, double click for all";
    figure.classList.add("live");
    return chart;
  }

  function buildChart(figure) {
    const curve = findCurve(figure.dataset.curve);
    if (!curve) return;
    const entry = { figure, curve, chart: plot(figure, curve) };
    live.add(entry);
    new ResizeObserver(() => {
      const width = figure.querySelector(".drawing").clientWidth;
      if (width > 0 && Math.abs(width - entry.chart.width) > 1) entry.chart.setSize({ width, height: 200 });
    }).observe(figure);
  }
  whenNear(document.querySelectorAll("[data-curve]"), buildChart);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const entry of live) {
      entry.chart.destroy();
      entry.chart = plot(entry.figure, entry.curve);
    }
  });

  // ---- the table: rows out of sight are out of the page

  const table = document.getElementById("table");
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const numbers = new Map(); // of a column, by row
  let found = rows;
  let shown = STEP;
  const search = document.getElementById("search");
  const more = document.getElementById("more");
  const count = document.getElementById("count");
  const texts = new Map(rows.map((row) => [row, `${row.cells[0].textContent} ${row.cells[1].textContent}`.toLowerCase()]));

  function lay() {
    const wanted = search.value.trim().toLowerCase();
    found = wanted ? rows.filter((row) => texts.get(row).includes(wanted)) : rows;
    body.replaceChildren(...found.slice(0, shown));
    more.hidden = found.length <= shown;
    const there = Math.min(shown, found.length).toLocaleString("en");
    count.textContent = `${there} of ${found.length.toLocaleString("en")} shown, ${rows.length.toLocaleString("en")} in all`;
  }

  function value(row, column) {
    const text = row.cells[column].textContent.trim();
    const number = Number(text.replace("\u2212", "-").replaceAll(",", ""));
    return text === "–" || text === "" ? null : Number.isNaN(number) ? text : number;
  }

  function compare(a, b) {
    if (a === null || b === null) return (a === null) - (b === null);
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b), "en", { numeric: true });
  }

  function sort(heading) {
    const column = heading.cellIndex;
    const rising = heading.getAttribute("aria-sort") === "descending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", rising ? "ascending" : "descending");
    if (!numbers.has(column)) numbers.set(column, new Map(rows.map((row) => [row, value(row, column)])));
    const values = numbers.get(column);
    rows.sort((a, b) => {
      const [x, y] = [values.get(a), values.get(b)];
      const order = compare(x, y);
      return x === null || y === null || rising ? order : -order; // what is not there comes last
    });
    lay();
  }

  for (const heading of table.tHead.rows[0].cells) {
    const button = make("button", { type: "button", onclick: () => sort(heading) }, ...heading.childNodes);
    heading.append(button);
  }
  search.addEventListener("input", lay);
  more.addEventListener("click", () => {
    shown = Infinity;
    lay();
  });
  document.getElementById("wide").addEventListener("change", (event) => table.classList.toggle("widened", event.target.checked));
  document.querySelector(".tools").hidden = false;
  lay();
  table.classList.add("ready");

  // ---- links to videos: those without pictures show their curves below the table

  const detail = make("article", { class: "video", id: "detail", hidden: true, tabindex: "-1" });
  document.getElementById("detail-place").after(detail);

  function showDetail(row) {
    const heads = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
    const anchor = row.id;
    const facts = make("table", { class: "facts" });
    heads.forEach((head, i) => {
      const text = row.cells[i].textContent;
      if (i > 0 && text && text !== "–") facts.append(make("tr", {}, make("th", { scope: "row" }, head), make("td", {}, text)));
    });
    const below = make("div", { class: "below" }, facts);
    detail.replaceChildren(make("h3", {}, anchor), below);
    (series.videos[anchor] ?? []).forEach((curve, i) => {
      const legend = make("ul", { class: "legend" }, ...curve.lines.map((line) => make("li", { class: line.side.replace(" ", "-") }, line.label)));
      const figure = make("figure", { class: "chart", "data-curve": `video:${i}:${anchor}` }, make("figcaption", {}, curve.title), make("div", { class: "drawing" }), legend);
      below.append(figure);
    });
    detail.hidden = false;
    detail.querySelectorAll("[data-curve]").forEach(buildChart);
    detail.scrollIntoView({ block: "center" });
    detail.focus({ preventScroll: true });
  }

  function follow() {
    let anchor;
    try {
      anchor = decodeURIComponent(location.hash.slice(1));
    } catch {
      return;
    }
    const row = rows.find((row) => row.id && row.id === anchor);
    if (row) showDetail(row);
  }
  addEventListener("hashchange", follow);
  follow();
})();
