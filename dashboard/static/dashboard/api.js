// Completes Swagger UI: its dark colours follow the browser's scheme, its fields get names, and keyboards can scroll its
// blocks of code.
"use strict";

const dark = window.matchMedia("(prefers-color-scheme: dark)");

function followScheme() {
  document.documentElement.classList.toggle("dark-mode", dark.matches);
}

function nameOf(field) {
  const row = field.closest("[data-param-name]");
  if (row) return row.dataset.paramName;
  return field.matches("textarea") ? "Request body" : "Media type";
}

function amend(root) {
  for (const field of root.querySelectorAll("select:not([aria-label]), textarea:not([aria-label])")) {
    if (!field.labels.length) field.setAttribute("aria-label", nameOf(field));
  }
  for (const button of root.querySelectorAll(".close-modal:not([aria-label])")) button.setAttribute("aria-label", "Close");
  for (const block of root.querySelectorAll("pre:not([tabindex])")) block.tabIndex = 0;
}

followScheme();
dark.addEventListener("change", followScheme);
const root = document.getElementById("swagger-ui");
new MutationObserver(() => amend(root)).observe(root, { childList: true, subtree: true });
