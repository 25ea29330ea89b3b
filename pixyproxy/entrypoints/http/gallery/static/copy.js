// Copies prompts and addresses.

import { announce, on, text } from "./gallery.js";

/** Copy the text of an element; without leave to use the clipboard, select it. */
async function copy(source) {
  try {
    await navigator.clipboard.writeText(source.value ?? source.textContent);
    announce(text("copied"));
  } catch {
    if (source.select) source.select();
    else getSelection().selectAllChildren(source);
    announce(text(document.execCommand("copy") ? "copied" : "copy-by-key"));
  }
}

on("click", "[data-copy]", (event, button) => copy(document.querySelector(button.dataset.copy)));
