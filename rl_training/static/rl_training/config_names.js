// Gives each input of a config's editor an accessible name, because the editor gives none: the text of the label beside
// the input, or, in a list, the list's name and the position.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  function nameInputs(editor) {
    for (const input of editor.querySelectorAll(":is(input, select)[name]")) {
      if (input.closest("label")) continue;
      const [, key, place] = input.name.split("§");
      const label = input.closest(".rjf-form-row")?.querySelector("label")?.textContent;
      input.setAttribute("aria-label", label ?? `${key} ${Number(place) + 1}`);
    }
  }

  for (const editor of document.querySelectorAll(".config-editor")) {
    nameInputs(editor);
    new MutationObserver(() => nameInputs(editor)).observe(editor, { childList: true, subtree: true });
  }
});
