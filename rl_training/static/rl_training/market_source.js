// Shows, in the editor of a market, the settings of the selected source only. The values of hidden settings are kept.
// The input of the path offers the market files that exist.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const editor = document.querySelector(".config-editor[data-files]");
  if (!editor) return;
  const fieldsOfSources = JSON.parse(document.getElementById("source-fields").textContent);
  const conditional = new Set(Object.values(fieldsOfSources).flat());

  // The link opens the page that checks a file, with the settings as they are in the form.
  function showCheck(keyed, source) {
    const link = document.querySelector(".market-check");
    link.parentElement.hidden = source !== "file";
    const query = new URLSearchParams();
    for (const key of fieldsOfSources.file) {
      const value = keyed.get(key)?.value;
      if (value && key !== "columns") query.set(key, value);
    }
    link.search = query;
  }

  function showFields() {
    const inputs = [...editor.querySelectorAll(":is(input, select)[name]")];
    const keyed = new Map(inputs.map((input) => [input.name.split("§")[1], input]));
    const source = keyed.get("source")?.value;
    for (const key of conditional) {
      const row = keyed.get(key)?.closest(".rjf-form-row");
      if (row) row.hidden = !(fieldsOfSources[source] ?? [...conditional]).includes(key);
    }
    // A setting that is an object has a group with a title in place of a row.
    for (const group of editor.querySelectorAll(".rjf-form-group .rjf-form-group")) {
      const key = group.querySelector(".rjf-form-group-title")?.textContent.trim().toLowerCase();
      if (conditional.has(key)) group.hidden = !(fieldsOfSources[source] ?? [...conditional]).includes(key);
    }
    keyed.get("path")?.setAttribute("list", editor.dataset.files);
    showCheck(keyed, source);
  }

  showFields();
  editor.addEventListener("change", showFields);
  new MutationObserver(showFields).observe(editor, { childList: true, subtree: true });
});
