// Keeps a page up to date: shows progress events, fetches the sections marked data-live again when something changes,
// and says when what is shown is old. Without this script, the page stays as it was loaded.
"use strict";

(() => {
  const REFRESH_WHILE_LIVE = 60000;
  const REFRESH_WHILE_NOT = 5000;
  // While the page has an element marked data-waits. The page is loaded anew once the element is gone.
  const REFRESH_WHILE_WAITING = 1500;
  // Milliseconds. A random delay keeps many browsers from sending requests at the same time.
  const SPREAD = 700;
  const NEW_STREAM_AFTER = 10000;
  // The server may answer with a check of its parts that is this old.
  const CHECK_SHARED_FOR = 2000;
  // A page that misses a refresh by more than this is marked as old.
  const LATE = 5000;
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const sections = () => all("[data-live][id]");

  let stream = null;
  let lastId = document.querySelector("[data-after]")?.dataset.after ?? "";
  let refreshAt = 0;
  let refreshing = null;
  let outdated = false;

  // Numbers, written as the server writes them.

  function figure(value) {
    if (!Number.isFinite(value)) return "-";
    return Math.abs(value) < 10000 ? Number(value.toPrecision(4)).toLocaleString("en", { maximumSignificantDigits: 4 }) : Math.round(value).toLocaleString("en");
  }

  function put(element, text) {
    if (element && element.textContent !== text) element.textContent = text;
  }

  // Sections that are fetched again.

  async function refresh() {
    refreshing = null;
    refreshAt = Date.now();
    const found = sections();
    if (!found.length || document.hidden || !window.htmx) return;
    const waited = document.querySelector("[data-waits]");
    const selectOOB = ["shown-at", ...found.map((section) => section.id)].map((id) => `#${CSS.escape(id)}:outerMorph`).join(",");
    await htmx.ajax("GET", location.pathname + location.search, { target: document.body, swap: "none", selectOOB });
    if (waited && !document.querySelector("[data-waits]")) location.reload();
  }

  function refreshSoon() {
    refreshing ??= setTimeout(refresh, Math.random() * SPREAD);
  }

  function refreshInterval() {
    if (document.querySelector("[data-waits]")) return REFRESH_WHILE_WAITING;
    return stream?.readyState === EventSource.OPEN ? REFRESH_WHILE_LIVE : REFRESH_WHILE_NOT;
  }

  function refreshWhenOld() {
    if (Date.now() - refreshAt >= refreshInterval()) refreshSoon();
  }

  // Says how old the page is once it has missed a refresh.
  function markWhenOld() {
    const note = document.querySelector("[data-outdated]");
    const shown = document.getElementById("shown-at")?.dataset.shownAt;
    if (!note || !shown || !sections().length) return;
    const old = times.now() - Date.parse(shown) > refreshInterval() + LATE;
    if (old && !outdated) {
      const age = document.createElement("span");
      age.dataset.since = shown;
      note.replaceChildren("The server does not answer. This page shows the state of ", age, " ago.");
      times.tick();
      notify("The server does not answer. The page shows an older state.");
    }
    if (old !== outdated) note.hidden = !old;
    outdated = old;
  }

  // Events.

  function data(event) {
    if (event.lastEventId) lastId = event.lastEventId;
    try {
      return JSON.parse(event.data);
    } catch {
      return {};
    }
  }

  function progressed(event) {
    const found = data(event);
    const { episodes, avg_reward: reward, environment_steps: steps } = found.payload ?? {};
    // `episode` counts the episodes of one member only, but older releases published no `episodes_done`.
    const episode = found.payload?.episodes_done ?? found.payload?.episode;
    const at = Number(found.entry?.split("-")[0]);
    const runs = all(`[data-run="${CSS.escape(found.run_id ?? "")}"]`);
    // The page may have missed the start of the run while it was disconnected.
    if (!runs.length) refreshSoon();
    for (const run of runs) {
      const known = Number(run.querySelector("[data-episode]")?.textContent.replaceAll(",", "") ?? 0);
      if (!(episode >= known) && run.querySelector("[data-episode]")) continue;
      const needed = Number(run.dataset.steps);
      const share = Math.min(1, steps && needed ? steps / needed : episode / episodes);
      for (const bar of all("[data-share]", run)) bar.value = Math.max(bar.value, share);
      put(run.querySelector("[data-episode]"), Number(episode).toLocaleString("en"));
      if (Number.isFinite(reward)) put(run.querySelector("[data-reward]"), figure(reward));
      const took = (at - Date.parse(run.dataset.started)) / 1000;
      const done = steps || share * needed;
      if (took > 0 && done) put(run.querySelector("[data-rate]"), Math.round(done / took).toLocaleString("en"));
      const left = run.querySelector("[data-left]");
      if (left && took > 0 && share > 0) left.dataset.until = new Date(at + (1000 * took * (1 - share)) / share).toISOString();
    }
    dispatch("progress", found);
  }

  function changed(event) {
    const found = data(event);
    const { success, error, version } = found.payload ?? {};
    if (event.type === "started") notify(`Run of ${found.policy} started`);
    if (event.type === "completed") notify(`Run of ${found.policy} ${success ? "succeeded" : error === "cancelled" ? "was cancelled" : "failed"}`);
    if (event.type === "deployment") notify(version ? `Version ${version} of ${found.policy} is live` : `Nothing of ${found.policy} is live`);
    refreshSoon();
    dispatch(event.type, found);
  }

  // Dates the heartbeats that the page shows, so that their ages start anew.
  function dateHeartbeats(event) {
    for (const [part, at] of Object.entries(data(event))) {
      const age = document.querySelector(`[data-heartbeat="${CSS.escape(part)}"] [data-since]`);
      if (age && Date.parse(at) > Date.parse(age.dataset.since)) age.dataset.since = at;
    }
    times.tick();
  }

  // Passes the event on to the other scripts of the page.
  function dispatch(kind, detail) {
    document.dispatchEvent(new CustomEvent(`live:${kind}`, { detail }));
  }

  function notify(text) {
    put(document.querySelector("[data-announce]"), text);
  }

  function show(kind, text) {
    const shown = document.querySelector("[data-connection]");
    if (!shown) return;
    shown.hidden = false;
    shown.className = `connection ${kind}`;
    put(shown, text);
  }

  function listen() {
    if (!window.EventSource || stream || document.hidden || !sections().length) return;
    const query = new URLSearchParams();
    const policy = document.querySelector("[data-live-policy]");
    if (policy) query.set("policy", policy.dataset.livePolicy);
    if (lastId) query.set("after", lastId);
    const opened = new EventSource(`/live/?${query}`);
    let failing = 0;
    stream = opened;
    opened.onopen = () => {
      show("live", "Live");
      // Shows what changed while the page was disconnected. The first connection has missed nothing when the page holds
      // the stream id of the time at which the page was made.
      if (failing || !lastId) refreshSoon();
      failing = 0;
    };
    opened.onerror = () => {
      show("lost", "Reconnecting");
      failing ||= Date.now();
      // EventSource does not reconnect after an error status, for example when the session has ended.
      if (opened.readyState === EventSource.CLOSED) {
        stop();
        setTimeout(listen, NEW_STREAM_AFTER);
        refreshSoon();
      }
    };
    opened.addEventListener("progress", progressed);
    opened.addEventListener("heartbeats", dateHeartbeats);
    for (const kind of ["started", "completed", "deployment", "decision", "changed", "health"]) opened.addEventListener(kind, changed);
    opened.addEventListener("health", () => setTimeout(refreshSoon, CHECK_SHARED_FOR));
  }

  function stop() {
    stream?.close();
    stream = null;
  }

  // A hidden page holds no connection: a browser allows few connections to each site.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return stop();
    listen();
    refreshSoon();
  });

  // Opens questions in a dialog; without this script they are separate pages.

  document.addEventListener("click", async (event) => {
    const dialog = document.getElementById("question");
    if (event.target.closest("[data-close]") && dialog.open) {
      event.preventDefault();
      dialog.close();
      return;
    }
    const link = event.target.closest("a[data-question]");
    if (!link || !window.htmx || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    // The dialog is the source, because htmx queues requests with the same source, and the page itself is fetched again.
    await htmx.ajax("GET", link.getAttribute("href"), { source: dialog, target: dialog, swap: "innerHTML" });
    if (dialog.querySelector("form")) dialog.showModal();
    else location.assign(link.href);
  });

  document.addEventListener("times:due", refreshSoon);
  refreshAt = Date.now();
  setInterval(() => {
    refreshWhenOld();
    markWhenOld();
  }, 1000);
  listen();
})();
