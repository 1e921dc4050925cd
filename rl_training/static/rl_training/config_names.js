// Names the inputs of the editors of configs, which have none by themselves: as the label beside it says, or, in a list,
// after the list and the place.
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
