// Draws the charts of a page from the data at the URL in `data-chart`. Without this script, summaries and tables remain.
"use strict";

(() => {
  const HEIGHT = 240;
  // Milliseconds. The worker stores the curve of an active run every 5 seconds.
  const FETCH_AGAIN = 10000;
  // Progress events of the run that are newer than the stored curve, and how many are kept.
  const progress = [];
  const KEPT = 500;
  const DRAWN = new Map(); // figure -> { plot, data }
  const DATE = uPlot.fmtDate("{YYYY}-{MM}-{DD} {HH}:{mm}");
  // uPlot's axis formats: smallest step, label, additions where the year, month, day, hour, minute or second changes; the
  // 1 appends an addition to the label.
  const TIMES = [
    [3600 * 24 * 365, "{YYYY}", null, null, null, null, null, null, 1],
    [3600 * 24 * 28, "{MMM}", "\n{YYYY}", null, null, null, null, null, 1],
    [3600 * 24, "{D} {MMM}", "\n{YYYY}", null, null, null, null, null, 1],
    [3600, "{HH}:{mm}", "\n{D} {MMM} {YYYY}", null, "\n{D} {MMM}", null, null, null, 1],
    [60, "{HH}:{mm}", "\n{D} {MMM} {YYYY}", null, "\n{D} {MMM}", null, null, null, 1],
    [1, "{HH}:{mm}:{ss}", "\n{D} {MMM} {YYYY}", null, "\n{D} {MMM}", null, null, null, 1],
  ];
  // The tick distances of an axis that shows whole numbers.
  const WHOLE = [1, 2, 5].flatMap((first) => [...Array(10).keys()].map((power) => first * 10 ** power)).sort((a, b) => a - b);
  const FORMS = {
    figure: (value) => {
      if (value && Math.abs(value) < 1e-4) return value.toExponential(2);
      return Math.abs(value) < 1e4 ? value.toLocaleString("en", { maximumSignificantDigits: 4 }) : Math.round(value).toLocaleString("en");
    },
    count: (value) => value.toLocaleString("en"),
    percent: (value) => `${Number((100 * value).toPrecision(4)).toLocaleString("en")} %`,
    seconds: (value) => {
      if (Math.abs(value) < 60) return `${Number(value.toPrecision(3))} s`;
      if (Math.abs(value) < 3600) return `${Number((value / 60).toPrecision(3))} min`;
      return `${Number((value / 3600).toPrecision(3))} h`;
    },
  };

  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  }

  function seeThrough(name) {
    return `color-mix(in srgb, ${colour(name)} 35%, transparent)`;
  }

  // Draws a line over the whole height at each x that has a value.
  function marks(plot, place) {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.fillStyle = seeThrough(plot.series[place].colour);
    for (const [index, value] of plot.data[place].entries()) {
      if (value === null) continue;
      const left = plot.valToPos(plot.data[0][index], "x", true);
      ctx.fillRect(left - devicePixelRatio, bbox.top, 2 * devicePixelRatio, bbox.height);
    }
    ctx.restore();
    return null;
  }

  function series(one, data) {
    const stroke = colour(one.colour);
    const shape = {
      line: { width: 1.75, points: { show: data.data[0].length < 40, size: 5 } },
      points: { width: 1, points: { show: true, size: data.data[0].length < 100 ? 6 : 4, fill: stroke } },
      bars: { width: 1, fill: seeThrough(one.colour), paths: uPlot.paths.bars({ size: [1, 200], gap: 2 }), points: { show: false } },
      marks: { scale: "marks", paths: marks, points: { show: false }, value: (plot, value) => (value === null ? "no" : "yes") },
    }[one.style];
    const value = (plot, found) => (found === null || found === undefined ? "-" : FORMS[data.form](found));
    return { label: one.label, colour: one.colour, stroke, value, spanGaps: one.spans, ...shape };
  }

  function place(x) {
    if (x.time) return (plot, value) => (value === null ? "-" : `${DATE(uPlot.tzDate(new Date(value * 1000), "Etc/UTC"))} UTC`);
    const form = FORMS[x.form];
    if (!x.bin_width) return (plot, value) => (value === null ? "-" : form(value));
    return (plot, value) => (value === null ? "-" : `${form(value - x.bin_width / 2)} to ${form(value + x.bin_width / 2)}`);
  }

  function axes(data) {
    const look = {
      stroke: colour("quiet"),
      font: "12px system-ui, sans-serif",
      grid: { stroke: colour("rule"), width: 1 },
      ticks: { stroke: colour("rule"), width: 1 },
    };
    const form = FORMS[data.form];
    const whole = data.x.form === "count" && { incrs: WHOLE };
    const x = data.x.time ? { values: TIMES } : { values: (plot, values) => values.map(FORMS[data.x.form]), size: 32, ...whole };
    const size = (plot, values) => 18 + 7 * Math.max(3, ...(values ?? []).map((text) => String(text).length));
    const y = { values: (plot, values) => values.map((value) => form(value)), size, ...(data.form === "count" && { incrs: WHOLE }) };
    return [{ ...look, ...x, space: 70 }, { ...look, ...y, space: 36 }];
  }

  // Puts a single value, or equal values, in the middle of the axis instead of on its edge.
  function room(plot, low, high) {
    if (low === null) return [0, 1];
    if (low === high) return [low - (Math.abs(low) / 2 || 1), high + (Math.abs(high) / 2 || 1)];
    return uPlot.rangeNum(low, high, 0.1, true);
  }

  function options(data, width) {
    const half = data.x.bin_width / 2;
    const bars = data.series.some((one) => one.style === "bars");
    // The first and the last x, not the range that uPlot proposes: around a single time it proposes years.
    function span() {
      const [first, last] = [data.data[0].at(0), data.data[0].at(-1)];
      const spare = half || (first < last ? 0 : data.x.time ? 3600 : 1);
      return [first - spare, last + spare];
    }
    return {
      width,
      height: HEIGHT,
      tzDate: (stamp) => uPlot.tzDate(new Date(stamp * 1000), "Etc/UTC"),
      scales: {
        x: { time: data.x.time, range: span },
        y: { range: bars ? (plot, low, high) => [0, Math.max(1, high * 1.1)] : room },
        marks: { range: [0, 1] },
      },
      axes: axes(data),
      series: [{ label: data.x.label, value: place(data.x) }, ...data.series.map((one) => series(one, data))],
      cursor: { drag: { x: false, y: false }, y: false },
    };
  }

  function draw(figure, data) {
    const drawing = figure.querySelector(".drawing");
    DRAWN.get(figure)?.plot?.destroy();
    drawing.replaceChildren();
    figure.querySelector("[data-summary]").textContent = data.summary;
    let plot = null;
    if (data.data[0].length) {
      drawing.hidden = false;
      // A hidden figure has no width; the ResizeObserver sets the width when the figure becomes visible.
      plot = new uPlot(options(data, figure.clientWidth || 300), data.data, drawing);
      const picture = plot.root.querySelector(".u-wrap");
      picture.setAttribute("role", "img");
      picture.setAttribute("aria-label", `${data.title}. ${data.summary}`);
    }
    DRAWN.set(figure, { plot, data });
  }

  async function load(figure) {
    const drawing = figure.querySelector(".drawing");
    try {
      const response = await fetch(figure.dataset.chart, { headers: { Accept: "application/json" } });
      if (!response.ok || response.redirected) throw new Error(`${response.status}`);
      const found = await response.json();
      for (const values of progress) append(found, values);
      draw(figure, found);
      figure.dataset.drawn = "yes";
    } catch {
      if (DRAWN.has(figure)) return; // the previous drawing stays until the next event
      const note = document.createElement("p");
      note.className = "failed-to-load";
      note.textContent = "The chart could not be loaded. Its table is below.";
      drawing.replaceChildren(note);
    }
  }

  function figures() {
    return document.querySelectorAll("figure[data-chart]");
  }

  // Adds the values of a progress event to the data of an active run's chart. Returns whether they were new.
  function append(data, values) {
    const x = values[data.x.key];
    if (!data.x.key || !Number.isFinite(x) || x <= (data.data[0].at(-1) ?? 0)) return false;
    data.data[0].push(x);
    for (const [index, one] of data.series.entries()) data.data[index + 1].push(values[one.key] ?? null);
    return true;
  }

  const resized = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      const plot = DRAWN.get(target)?.plot;
      if (plot && target.clientWidth && target.clientWidth !== plot.width) plot.setSize({ width: target.clientWidth, height: HEIGHT });
    }
  });

  function start() {
    for (const figure of figures()) {
      load(figure);
      resized.observe(figure);
    }
  }

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const [figure, { data }] of DRAWN) draw(figure, data);
  });
  // live.js dispatches this event when a run has ended.
  document.addEventListener("live:completed", ({ detail }) => {
    if (detail.policy === document.getElementById("charts")?.dataset.policy) figures().forEach(load);
  });
  document.addEventListener("live:decision", ({ detail }) => {
    if (detail.policy === document.getElementById("equity")?.dataset.policy) figures().forEach(load);
  });
  const ofRun = document.querySelector("[data-charts-of-run]");
  document.addEventListener("live:progress", ({ detail }) => {
    if (detail.run_id !== ofRun?.dataset.chartsOfRun || !detail.payload) return;
    progress.push(detail.payload);
    progress.splice(0, progress.length - KEPT);
    for (const [figure, { plot, data }] of DRAWN) {
      if (!append(data, detail.payload)) continue;
      if (plot) plot.setData(data.data);
      else draw(figure, data);
    }
  });
  if (ofRun) {
    const timer = setInterval(() => document.hidden || figures().forEach(load), FETCH_AGAIN);
    document.addEventListener("live:completed", ({ detail }) => {
      if (detail.run_id !== ofRun.dataset.chartsOfRun) return;
      clearInterval(timer);
      progress.length = 0;
    });
  }
  start();
})();
