// Keys: what each does is listed in the dialog that `?` opens.

import { byId } from "./gallery.js";
import { cell, columns, neighbour, order, reveal, topCell } from "./endless.js";
import { step, zoom } from "./viewer.js";

const viewer = byId("viewer");
const list = byId("list");
const handlers = new Map();
let current = null; // The image whose cell the Tab key reaches.

/**
 * Call the handler when a key is pressed: "x", "Shift+ArrowLeft", "Ctrl+a" (on a Mac, ⌘A).
 *
 * Not while typing, and not in dialogs other than the viewer. A handler returns false if the key is not for it.
 */
export function key(name, handler) {
  handlers.set(name, [...(handlers.get(name) ?? []), handler]);
}

const isTyping = (element) => element.closest?.(
  "textarea, select, [contenteditable], input:not([type=checkbox], [type=button], [type=file])",
);

function nameOf({ key: pressed, ctrlKey, metaKey, shiftKey }) {
  return `${ctrlKey || metaKey ? "Ctrl+" : ""}${shiftKey && pressed.length > 1 ? "Shift+" : ""}${pressed}`;
}

function press(event) {
  if (event.defaultPrevented || event.altKey || event.isComposing || isTyping(event.target)) return;
  if (document.querySelector("dialog[open]:not(#viewer)")) return;
  if ((handlers.get(nameOf(event)) ?? []).some((handle) => handle(event) !== false)) event.preventDefault();
}

/** Return the guid of the cell that has the focus, or null. */
export const focusedGuid = () => (viewer.open ? null : document.activeElement.closest("#list .cell")?.dataset.guid ?? null);

async function moveTo(guid) {
  const element = guid && (await reveal(guid));
  element?.querySelector(".open").focus({ preventScroll: true });
}

function move(steps) {
  const from = focusedGuid();
  if (!from) return false;
  return neighbour(from, steps()).then(moveTo);
}

function click(id) {
  const found = byId(id);
  if (!found || found.closest("[inert]")) return false;
  return found.click();
}

function toggleFacts() {
  document.documentElement.classList.toggle("without-facts");
}

function search() {
  if (viewer.open || !byId("q")) return false;
  byId("q").focus();
  return byId("q").select();
}

/** Let the Tab key reach one cell of the list: the one that had the focus last, or else the first in view. */
function reachOneCell() {
  if (!list || (current && cell(current))) return;
  setCurrent(topCell()?.dataset.guid);
}

function setCurrent(guid) {
  cell(current)?.querySelector(".open").setAttribute("tabindex", -1);
  current = guid;
  cell(current)?.querySelector(".open").setAttribute("tabindex", 0);
}

document.addEventListener("keydown", press);
document.addEventListener("focusin", ({ target }) => {
  const guid = target.closest("#list .cell")?.dataset.guid;
  if (guid && guid !== current) setCurrent(guid);
});
document.addEventListener("pixy:page", ({ detail }) => {
  for (const element of detail.ol.querySelectorAll(".open, .pick")) element.setAttribute("tabindex", -1);
  if (current) setCurrent(current);
  reachOneCell();
});
document.addEventListener("pixy:settled", reachOneCell);

key("ArrowRight", () => move(() => 1));
key("ArrowLeft", () => move(() => -1));
key("ArrowDown", () => move(columns));
key("ArrowUp", () => move(() => -columns()));
key("Home", () => (focusedGuid() ? moveTo(order()[0]) : false));
key("End", () => (focusedGuid() ? moveTo(order().at(-1)) : false));
for (const [name, direction] of [["ArrowLeft", -1], ["ArrowRight", 1]]) {
  key(name, () => (!byId("image") || document.querySelector("figure.full:focus") ? false : step(direction)));
}
key("z", () => zoom());
key("i", toggleFacts);
key("c", () => click("copy-prompt"));
key("d", () => click("download"));
key("n", () => (viewer.open ? false : click("new-link")));
key("/", search);
key("?", () => byId("keys").showModal());
