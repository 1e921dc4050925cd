// Fetches the page again every few seconds and puts in place what has changed. Without it, the page is as it was loaded.
"use strict";

const EVERY_MILLISECONDS = 5000;

function inUse(section) {
  const selection = document.getSelection();
  return section.contains(document.activeElement) || (!selection.isCollapsed && selection.containsNode(section, true));
}

async function refresh() {
  if (document.hidden) return;
  const response = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (response.redirected) return location.reload(); // logged out
  if (!response.ok) return;
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
  for (const section of document.querySelectorAll("[data-live]")) {
    const other = fresh.getElementById(section.id);
    if (other && other.innerHTML !== section.innerHTML && !inUse(section)) section.innerHTML = other.innerHTML;
  }
}

async function keepFresh() {
  try {
    await refresh();
  } catch {
    // The server is away; the next round asks again.
  }
  setTimeout(keepFresh, EVERY_MILLISECONDS);
}

setTimeout(keepFresh, EVERY_MILLISECONDS);
