// What becomes of one's own images: one stream for the page, while it is looked at, and their tiles.

import { announce, announceFailure, api, byId, emit, on, parse, prefix, text } from "./gallery.js";

const STATES = ["pending", "generating", "ready", "failed", "unknown"];
const UNFINISHED = new Set(["pending", "generating", "unknown"]);
const RETRY = 10_000;

let stream = null;
let retry;

function open() {
  if (stream || document.hidden) return;
  stream = new EventSource(`${prefix}/private/image/events`);
  for (const state of STATES) stream.addEventListener(state, ({ data }) => emit("pixy:changed", JSON.parse(data)));
  stream.addEventListener("partial", ({ data }) => emit("pixy:partial", JSON.parse(data)));
  // After a failure that was not tried again, nothing else notices that the service is back.
  stream.onopen = () => { byId("offline").hidden = true; };
  stream.onerror = () => {
    if (stream.readyState !== EventSource.CLOSED) return;
    close();
    retry = setTimeout(open, RETRY);
  };
  refresh();
  refreshArticle();
}

function close() {
  clearTimeout(retry);
  stream?.close();
  stream = null;
}

/** Return a page of one's own, or null: what goes on in the background asks for no login. */
async function found(url) {
  const response = await fetch(url, { headers: { Accept: "text/html" } }).catch(() => null);
  return response?.ok && !response.redirected ? parse(await response.text()) : null;
}

let running = null;
let isStale = false;

/** Bring the tiles up to date; one more time if something changes meanwhile. */
export function refresh() {
  isStale = true;
  running ??= (async () => {
    while (isStale) {
      isStale = false;
      await showTiles();
    }
    running = null;
  })();
  return running;
}

async function showTiles() {
  const making = byId("making");
  if (!making) return;
  const known = [...making.querySelectorAll(".tile")].map(({ dataset }) => ["guid", dataset.guid]);
  const tiles = (await found(`${prefix}/gallery/making?${new URLSearchParams(known)}`))?.querySelector(".tiles");
  if (!tiles) return;
  for (const tile of making.querySelectorAll(".tile")) if (!tiles.querySelector(`[id="${tile.id}"]`)) tile.remove();
  let before = null;
  for (const tile of [...tiles.children]) {
    const old = byId(tile.id);
    if (old?.dataset.status === tile.dataset.status) {
      before = old;
      continue;
    }
    if (old) replace(old, tile);
    else if (before) before.after(tile);
    else making.querySelector(".tiles").prepend(tile);
    before = tile;
  }
}

function replace(old, tile) {
  const hadFocus = old.contains(document.activeElement);
  old.replaceWith(tile);
  if (hadFocus) tile.querySelector("a").focus();
  tell(tile.dataset.status, tile.dataset.prompt);
}

function tell(status, prompt) {
  if (status === "ready") announce(text("ready", { prompt }));
  if (status === "failed" || status === "unknown") announce(text("not-ready", { prompt }));
}

async function refreshArticle() {
  const article = byId("image");
  if (!article || !UNFINISHED.has(article.dataset.status)) return;
  const fresh = (await found(location.href))?.getElementById("image");
  if (!fresh || fresh.dataset.guid !== byId("image")?.dataset.guid || fresh.dataset.status === article.dataset.status) return;
  article.replaceWith(fresh);
  tell(fresh.dataset.status, fresh.querySelector("h1").textContent);
  emit("pixy:shown", { article: fresh });
}

document.addEventListener("pixy:changed", ({ detail: { guid, status } }) => {
  const tile = byId(`t-${guid}`);
  if (tile ? tile.dataset.status !== status : status !== "ready") refresh();
  const article = byId("image");
  if (article?.dataset.guid === guid && article.dataset.status !== status) refreshArticle();
});

document.addEventListener("pixy:deleted", ({ detail: { guids } }) => guids.forEach((guid) => byId(`t-${guid}`)?.remove()));

document.addEventListener("pixy:partial", ({ detail: { guid, url } }) => {
  for (const picture of document.querySelectorAll(`[data-guid="${guid}"] img.partial`)) {
    picture.src = url;
    picture.hidden = false;
  }
});

on("submit", "form.try-again", async (event, { action, dataset: { guid } }) => {
  event.preventDefault();
  try {
    await api("POST", new URL(action).pathname.slice(prefix.length), { idempotencyKey: guid });
    if (byId("making")) await refresh();
    else location.assign(`${prefix}/gallery?scope=mine`);
  } catch (error) {
    announceFailure(error);
  }
});

on("click", ".tile .remove", async (event, { dataset: { guid } }) => {
  event.preventDefault();
  const tile = byId(`t-${guid}`);
  const next = tile.nextElementSibling ?? tile.previousElementSibling;
  try {
    await api("DELETE", `/private/image/${guid}`);
    emit("pixy:deleted", { guids: [guid] });
    (next?.querySelector("a") ?? byId("main")).focus();
  } catch (error) {
    announceFailure(error);
  }
});

// The server's count goes on in the page: the clocks of both may differ.
const began = new WeakMap();
setInterval(() => {
  const now = Math.floor(performance.now() / 1000);
  for (const since of document.querySelectorAll(".since")) {
    if (!began.has(since)) began.set(since, now - since.dataset.seconds);
    const seconds = now - began.get(since);
    since.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  }
}, 1000);

document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
addEventListener("pagehide", close);
addEventListener("pageshow", open);
open();
