// An image in a dialog above the list, under its own address; and zooming, there and on the image's own page.

import { announce, announceFailure, byId, emit, on, page, prefix, Problem, text } from "./gallery.js";
import { cell, neighbour, order, reveal } from "./endless.js";

const BY_HISTORY = "history";
const viewer = byId("viewer");
const list = byId("list");
const ownPath = location.pathname;
const ownTitle = document.title;
let opened = null; // The image that was opened.
let shown = null; // The image that is shown now.
let opener = null;

const isPlain = (event) => !(event.button || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey);

const guidOfAddress = () => /\/gallery\/image\/([^/]+)$/.exec(location.pathname)?.[1];

function addressOf(guid) {
  return `${prefix}/gallery/image/${guid}${new URL(list.dataset.listUrl, location).search}`;
}

/** Show an image in the dialog, under its address. */
export function openViewer(guid, address = addressOf(guid)) {
  history.pushState({ over: true }, "", address);
  return show(guid, address);
}

/** Show the image before or after the one in the dialog, or go to its page. */
export async function step(direction) {
  const link = document.querySelector(`#image a[rel=${direction > 0 ? "next" : "prev"}]`);
  if (!viewer.open) return link?.click();
  const from = shown;
  const guid = await neighbour(from, direction);
  if (shown !== from) return undefined;
  if (guid) return showInstead(guid, addressOf(guid));
  if (link && !order().includes(from)) return showInstead(/[^/]+$/.exec(new URL(link.href).pathname)[0], link.href);
  return announce(text(direction > 0 ? "last-image" : "first-image"));
}

function showInstead(guid, address) {
  history.replaceState(history.state, "", address);
  return show(guid, address);
}

async function show(guid, address) {
  shown = guid;
  if (!viewer.open) {
    opened = guid;
    opener = document.activeElement;
    viewer.showModal();
  }
  viewer.ariaBusy = "true";
  try {
    const found = await page(address);
    if (shown === guid) fill(found);
  } catch (error) {
    if (shown === guid) skip(guid, error);
  } finally {
    viewer.ariaBusy = "false";
  }
}

function fill(found) {
  const focused = document.activeElement.getAttribute("rel");
  const article = document.adoptNode(found.getElementById("image"));
  byId("image")?.remove();
  preview(article);
  viewer.prepend(article);
  document.title = found.title;
  (article.querySelector(`a[rel=${focused ?? "none"}]`) ?? article.querySelector(".back")).focus();
  // The picture of the next image is there when it is shown.
  new Image().src = article.querySelector("a[rel=next]")?.dataset.picture ?? "";
  emit("pixy:shown", { article });
}

/** Show the thumbnail until the picture has come. */
function preview(article) {
  const picture = article.querySelector("#picture");
  const thumbnail = cell(article.dataset.guid)?.querySelector("img").currentSrc;
  if (!picture || !thumbnail) return;
  picture.style.setProperty("background", `center / cover url("${thumbnail}")`);
  picture.addEventListener("load", () => picture.removeAttribute("style"), { once: true });
}

function skip(guid, error) {
  if (error instanceof Problem && error.status === 404) {
    announce(text("gone"));
    emit("pixy:deleted", { guids: [guid] });
  } else {
    announceFailure(error);
    viewer.close();
  }
}

/** Go on to another image when the one that is shown is gone. */
async function goOn({ detail }) {
  if (!viewer.open || !detail.guids.includes(shown)) return;
  // Both are looked up before the list forgets this one.
  const [next, previous] = [neighbour(shown, 1), neighbour(shown, -1)];
  const other = (await next) ?? (await previous);
  if (other) await showInstead(other, addressOf(other));
  else viewer.close();
}

async function afterClosing() {
  const { returnValue } = viewer;
  viewer.returnValue = "";
  if (viewer.open) return; // It was opened again meanwhile.
  if (returnValue !== BY_HISTORY) history.back();
  const guid = shown;
  shown = null;
  byId("image")?.remove();
  document.title = ownTitle;
  if (guid !== opened) await reveal(guid);
  (cell(guid)?.querySelector(".open") ?? opener)?.focus({ preventScroll: true });
}

function followHistory() {
  if (!list) {
    // A viewer that was reloaded is this page, and the list that it was opened from is not loaded.
    if (location.pathname !== ownPath) location.reload();
    return;
  }
  const guid = guidOfAddress();
  if (guid) show(guid, location.href);
  else viewer.close(BY_HISTORY);
}

/** Show the picture as large as it is stored, or fitted into the window again. */
export function zoom(x = 0.5, y = 0.5) {
  const picture = byId("picture");
  if (!picture) return false;
  const figure = picture.closest("figure");
  const isFull = figure.classList.toggle("full");
  figure.tabIndex = isFull ? 0 : -1;
  const center = () => figure.scrollTo(
    (figure.scrollWidth - figure.clientWidth) * x, (figure.scrollHeight - figure.clientHeight) * y,
  );
  if (isFull && picture.dataset.full) {
    picture.addEventListener("load", center, { once: true });
    picture.src = picture.dataset.full;
    delete picture.dataset.full;
  }
  center();
  return true;
}

on("click", "a.open", (event, link) => {
  if (!list || !isPlain(event)) return;
  event.preventDefault();
  openViewer(link.closest("[data-guid]").dataset.guid, link.href);
});
on("click", "#image a:is([rel=prev], [rel=next])", (event, link) => {
  if (!viewer.open || !isPlain(event)) return;
  event.preventDefault();
  step(link.rel === "next" ? 1 : -1);
});
on("click", "#image .back", (event) => {
  if (!isPlain(event) || !(viewer.open || history.state?.over)) return;
  event.preventDefault();
  if (viewer.open) viewer.close();
  else history.back();
});
on("click", "#picture", (event, picture) => {
  const { left, top, width, height } = picture.getBoundingClientRect();
  zoom((event.clientX - left) / width, (event.clientY - top) / height);
});
on("click", "#zoom", () => zoom());
viewer.addEventListener("close", afterClosing);
document.addEventListener("pixy:deleted", goOn);
addEventListener("popstate", followHistory);
