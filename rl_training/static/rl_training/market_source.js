// Shows, in the editor of a market, the settings of the selected source only. The values of hidden settings are kept.
// The input of the path offers the market files that exist.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const editor = document.querySelector(".config-editor[data-files]");
  if (!editor) return;
  const fieldsOfSources = JSON.parse(document.getElementById("source-fields").textContent);
  const conditional = new Set(Object.values(fieldsOfSources).flat());

  function showFields() {
    const inputs = [...editor.querySelectorAll(":is(input, select)[name]")];
    const keyed = new Map(inputs.map((input) => [input.name.split("§")[1], input]));
    const source = keyed.get("source")?.value;
    for (const key of conditional) {
      const row = keyed.get(key)?.closest(".rjf-form-row");
      if (row) row.hidden = !(fieldsOfSources[source] ?? [...conditional]).includes(key);
    }
    keyed.get("path")?.setAttribute("list", editor.dataset.files);
  }

  showFields();
  editor.addEventListener("change", showFields);
  new MutationObserver(showFields).observe(editor, { childList: true, subtree: true });
});
