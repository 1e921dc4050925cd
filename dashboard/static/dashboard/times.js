// Updates the relative times of a page: `data-since` shows the time since, `data-countdown` ("in 5 s") and `data-until`
// ("5 s") the time until. An age beyond `data-stale-after` seconds marks the nearest `data-ages` element as stale, with
// the word in that attribute. Without this script, relative times stay as they were loaded, beside the times in their
// titles.
"use strict";

const times = (() => {
  // Ages are measured by the server's clock, because this machine's clock may differ.
  const ahead = Date.parse(document.body.dataset.now) - Date.now();
  const now = () => Date.now() + ahead;

  // Writes a duration as the server writes it (templatetags/cells.py).
  function duration(seconds) {
    if (seconds < 60) return `${Math.max(0, Math.floor(seconds))} s`;
    const minutes = Math.floor(seconds / 60);
    if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
    const hours = Math.floor(minutes / 60);
    return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24).toLocaleString("en")} d ${hours % 24} h`;
  }

  function put(element, text) {
    if (element && element.textContent !== text) element.textContent = text;
  }

  function each(name, act) {
    for (const element of document.querySelectorAll(`[data-${name}]`)) act(element, (Date.parse(element.dataset[name]) - now()) / 1000);
  }

  function mark(element, stale) {
    const ages = element.closest("[data-ages]");
    if (!ages || ages.classList.contains("stale") === stale) return;
    ages.classList.toggle("stale", stale);
    ages.querySelector("[data-stale]")?.remove();
    if (!stale) return;
    const word = document.createElement("strong");
    word.dataset.stale = "";
    word.textContent = `${ages.dataset.ages}, `;
    element.parentElement.prepend(word);
  }

  function tick() {
    each("since", (element, ahead) => {
      put(element, duration(-ahead));
      if (element.dataset.staleAfter) mark(element, -ahead > Number(element.dataset.staleAfter));
    });
    each("countdown", (element, left) => {
      put(element, left > 0 ? `in ${duration(left)}` : "now");
      if (left <= 0 && left > -1) document.dispatchEvent(new Event("times:due"));
    });
    each("until", (element, left) => put(element, left > 0 ? duration(left) : "soon"));
  }

  document.addEventListener("htmx:after:swap", tick);
  tick();
  setInterval(tick, 1000);
  return { now, duration, tick };
})();
