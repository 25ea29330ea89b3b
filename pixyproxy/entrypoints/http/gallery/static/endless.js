// The list as one: its pages come when they are near, and their cells leave the document when they are far away.

import { byId, emit, page as fetchPage, text } from "./gallery.js";

const NEAR = 2; // Viewports: pages this near come.
const FAR = 3; // Pages farther away leave.
const MOST_IN_DOCUMENT = 6;
const MOST_ASIDE = 20;
const SETTLED = 100; // Milliseconds without scrolling.
const IN_FLIGHT = 150; // Milliseconds in which a page that is flown over has passed.

const root = document.documentElement;
const list = byId("list");
const header = byId("top");
const suspended = new WeakMap(); // Pictures of pages that left before they were loaded, with their sources.

// A page: {ol, cursor, size, guids, cells: its elements or null, loading: AbortController or null}. Its `ol` is always
// in the document, and has the same height with its cells and without them.
const pages = [];
const aside = new Set(); // Pages that have left with their cells kept, the longest ago first.
const ends = { previous: { cursor: "" }, next: { cursor: "" } };
let place = null; // [guid, top] of the first cell in view.

/** Return the guids of all pages known, in the order of the list. */
export const order = () => pages.flatMap(({ guids }) => guids);

/** Return the guids from one image to another, both included, in the order of the list. */
export function between(one, other) {
  const guids = order();
  const [from, to] = [guids.indexOf(one), guids.indexOf(other)].sort((a, b) => a - b);
  return from < 0 ? [] : guids.slice(from, to + 1);
}

/** Return the cell of an image if it is in the document. */
export const cell = (guid) => list?.querySelector(`.cell[data-guid="${guid}"]`) ?? null;

/** Return the number of cells in a row. */
export const columns = () => getComputedStyle(pages[0].ol).gridTemplateColumns.split(" ").length;

/** Return the guid of the image that is `step` places away, or null; loads pages. */
export async function neighbour(guid, step) {
  const end = ends[step > 0 ? "next" : "previous"];
  for (;;) {
    const guids = order();
    const at = guids.indexOf(guid);
    if (at < 0) return null;
    if (guids[at + step]) return guids[at + step];
    if (!end.cursor || !(await extend(end))) return null;
  }
}

/** Bring an image's cell into the document and into view, and return it; null if the list has none. */
export async function reveal(guid) {
  const found = pages.find(({ guids }) => guids.includes(guid));
  if (!found) return null;
  await bringIn(found);
  const element = cell(guid);
  element?.scrollIntoView({ block: "nearest", behavior: "instant" });
  return element;
}

/** Return the first cell that is in view, below the header. */
export function topCell() {
  const top = header.getBoundingClientRect().bottom;
  const isBelow = (element) => element.getBoundingClientRect().bottom > top + 1;
  const found = pages.find(({ ol }) => ol.childElementCount && isBelow(ol));
  return [...(found?.ol.children ?? [])].find(isBelow) ?? null;
}

/** Take the cells of images out of the list; nothing else in view moves, and the next one gets the focus. */
export function removeCells(guids) {
  const gone = new Set(guids);
  const before = order();
  const first = before.findIndex((guid) => gone.has(guid));
  if (first < 0) return;
  const focused = document.activeElement;
  const hadFocus = focused === document.body || gone.has(focused.closest(".cell")?.dataset.guid);
  const top = topCell()?.dataset.guid;
  const anchor = before.slice(Math.max(before.indexOf(top), 0)).find((guid) => !gone.has(guid));
  keepingPlace(cell(anchor), () => {
    for (const each of pages.filter(({ guids: own }) => own.some((guid) => gone.has(guid)))) {
      for (const guid of each.guids) if (gone.has(guid)) cell(guid)?.remove();
      each.guids = each.guids.filter((guid) => !gone.has(guid));
      each.cells = each.cells?.filter(({ dataset }) => !gone.has(dataset.guid)) ?? null;
    }
    refill();
  });
  const left = order();
  const next = left[Math.min(first, left.length - 1)];
  if (hadFocus) cell(next)?.querySelector(".open").focus({ preventScroll: true });
  if (!left.length && !ends.next.cursor) showEmpty();
  update();
}

/** Show what the page says of a list without images; the viewer goes back to the address of the list before. */
function showEmpty() {
  if (isAtList()) location.reload();
  else addEventListener("popstate", () => location.reload(), { once: true });
}

const isAtList = () => location.pathname === new URL(list.dataset.listUrl, location).pathname;

const guidOf = ({ dataset }) => dataset.guid;

function addressOf(cursor) {
  const url = new URL(list.dataset.listUrl, location);
  if (cursor) url.searchParams.set("cursor", cursor);
  return url.href;
}

async function fetchCells(cursor, signal) {
  const found = (await fetchPage(addressOf(cursor), { signal })).querySelector("#list > .page");
  if (found?.dataset.cursor !== cursor) throw new Error(text("list-changed"));
  for (const picture of found.querySelectorAll("img")) {
    picture.loading = "lazy";
    takeSources(picture);
  }
  return document.adoptNode(found);
}

/** Change the document while an element stays where it is in view. */
function keepingPlace(element, change) {
  const topOf = () => element?.getBoundingClientRect().top ?? 0;
  // The browser would do the same, at another time, and not every browser.
  root.style.setProperty("overflow-anchor", "none");
  const before = topOf();
  change();
  const moved = topOf() - before;
  if (moved) scrollBy({ top: moved, behavior: "instant" });
  requestAnimationFrame(() => root.style.removeProperty("overflow-anchor"));
}

function pageOf(ol) {
  const cells = [...ol.children];
  return { ol, cursor: ol.dataset.cursor, size: cells.length, guids: cells.map(guidOf), cells, loading: null };
}

function setHeight({ ol, guids }) {
  ol.style.setProperty("--cells", guids.length);
}

/** Move cells up from later pages, so that only the last one ends with a short row. */
function refill() {
  pages.forEach((short, index) => {
    const next = pages[index + 1];
    const lack = next ? Math.min(short.size - short.guids.length, next.guids.length) : 0;
    if (lack > 0) {
      const isShown = short.ol.childElementCount > 0;
      short.guids.push(...next.guids.splice(0, lack));
      const moved = next.cells?.splice(0, lack);
      if (moved && short.cells) {
        short.cells.push(...moved);
        if (isShown) short.ol.append(...moved);
        else for (const element of moved) element.remove();
      } else {
        for (const element of moved ?? []) element.remove();
        forget(short);
      }
    }
    setHeight(short);
  });
}

function forget(each) {
  each.cells = null;
  aside.delete(each);
}

/** Put a page's cells into the document; those that are not kept any more are fetched. */
async function bringIn(each) {
  if (each.cells) {
    aside.delete(each);
    if (!each.ol.childElementCount) {
      each.ol.append(...each.cells);
      welcome(each);
    }
    return;
  }
  each.loading ??= startLoading(each);
  await each.loading.done;
}

function welcome({ ol }) {
  emit("pixy:page", { ol });
  setTimeout(() => {
    for (const picture of ol.querySelectorAll("img")) giveSources(picture);
    emit("pixy:pictures", { ol });
  }, IN_FLIGHT);
}

function startLoading(each) {
  const controller = new AbortController();
  return Object.assign(controller, { done: load(each, controller.signal) });
}

async function load(each, signal) {
  try {
    const found = new Map();
    let { cursor } = each;
    // Cells that moved up from a later page are in that one's answer.
    do {
      const ol = await fetchCells(cursor, signal);
      for (const element of ol.children) found.set(guidOf(element), element);
      cursor = ol.dataset.next;
    } while (cursor && !found.has(each.guids.at(-1)) && found.size < 2 * each.size);
    each.ol.replaceChildren();
    each.cells = each.guids.map((guid) => found.get(guid)).filter(Boolean);
    await bringIn(each);
  } catch {
    // The page stays grey, and is fetched again when it comes near the next time.
  } finally {
    if (!signal.aborted) each.loading = null;
  }
}

function takeOut(each) {
  each.loading?.abort();
  each.loading = null;
  if (!each.ol.childElementCount) return;
  for (const picture of each.ol.querySelectorAll("img")) suspend(picture);
  each.ol.replaceChildren();
  aside.add(each);
  if (aside.size > MOST_ASIDE) forget(aside.values().next().value);
}

/**
 * Cancel an unfinished picture: requests of pages that have left would queue in front of those in view.
 *
 * In Chromium, a picture whose `srcset` changes outside the document, or has `sizes=auto`, is never freed.
 */
function suspend(picture) {
  if (!picture.complete) takeSources(picture);
}

function takeSources(picture) {
  suspended.set(picture, [picture.getAttribute("srcset"), picture.getAttribute("src")]);
  picture.removeAttribute("srcset");
  picture.removeAttribute("src");
}

function giveSources(picture) {
  const sources = suspended.get(picture);
  if (!sources) return;
  suspended.delete(picture);
  [picture.srcset, picture.src] = sources;
}

/** Bring in the pages that are near, take out those that are far, and load what is missing at both ends. */
function update() {
  if (!pages.length) return;
  const height = innerHeight;
  const distances = new Map(pages.map((each) => {
    const { top, bottom } = each.ol.getBoundingClientRect();
    const hasFocus = each.ol.contains(document.activeElement);
    return [each, hasFocus ? 0 : Math.max(top - height, -bottom, 0)];
  }));
  const nearest = [...distances.keys()].sort((a, b) => distances.get(a) - distances.get(b));
  const kept = nearest.slice(0, MOST_IN_DOCUMENT).filter((each) => distances.get(each) <= FAR * height);
  for (const each of pages) if (!kept.includes(each)) takeOut(each);
  for (const each of kept) if (distances.get(each) <= NEAR * height) bringIn(each);
  for (const end of Object.values(ends)) {
    if (!end.cursor || end.loading || end.failed) continue;
    const { top, bottom } = end.holder.getBoundingClientRect();
    if (top < height * (1 + NEAR) && bottom > -height * NEAR) extend(end);
  }
}

/** Load the page at an end of the list; resolve to whether that was possible. */
function extend(end) {
  end.loading ??= lengthen(end).finally(() => { end.loading = null; });
  return end.loading;
}

async function lengthen(end) {
  try {
    end.failed?.remove();
    end.failed = null;
    const found = pageOf(await fetchCells(end.cursor));
    keepingPlace(end === ends.previous ? pages[0].ol : null, () => attach(end, found));
    welcome(found);
    requestAnimationFrame(update);
    return true;
  } catch (error) {
    showFailure(end, error);
    return false;
  }
}

function attach(end, found) {
  setHeight(found);
  if (end === ends.next) {
    end.holder.before(found.ol);
    pages.push(found);
    refill();
  } else {
    end.holder.after(found.ol);
    pages.unshift(found);
  }
  end.cursor = found.ol.dataset[end.name];
  if (!end.cursor) end.holder.remove();
}

function showFailure(end, error) {
  const button = document.createElement("button");
  button.textContent = text("try-again");
  button.addEventListener("click", () => extend(end));
  end.failed = document.createElement("p");
  end.failed.className = "again";
  end.failed.setAttribute("role", "alert");
  end.failed.append(text("more-failed", { detail: error.message }), " ", button);
  if (end === ends.next) end.holder.before(end.failed);
  else end.holder.after(end.failed);
}

/** Note in the address and in the history what is in view. */
function remember() {
  if (!pages.length || !isAtList()) return;
  const element = topCell();
  const found = element && pages.find(({ ol }) => ol.contains(element));
  const isAtTop = scrollY < 1 && !ends.previous.cursor;
  place = element && !isAtTop ? [guidOf(element), element.getBoundingClientRect().top] : null;
  const address = addressOf(place ? found.cursor : "");
  history.replaceState({ ...history.state, place }, "", address);
  emit("pixy:settled");
}

async function restore([guid, top]) {
  for (let more = 3; !cell(guid) && more && ends.next.cursor; more -= 1) await extend(ends.next);
  const element = cell(guid);
  if (element) scrollBy({ top: element.getBoundingClientRect().top - top, behavior: "instant" });
}

function holder(end, name) {
  const ol = document.createElement("div");
  ol.className = "page holder";
  ol.style.setProperty("--cells", pages[0].size);
  return Object.assign(end, { name, holder: ol, cursor: pages[0].ol.dataset[name] });
}

function start() {
  const first = list?.querySelector(".page");
  if (!first) return;
  history.scrollRestoration = "manual";
  pages.push(pageOf(first));
  setHeight(pages[0]);
  holder(ends.previous, "previous");
  holder(ends.next, "next");
  if (ends.previous.cursor) first.before(ends.previous.holder);
  if (ends.next.cursor) first.after(ends.next.holder);
  welcome(pages[0]);
  place = history.state?.place ?? null;
  if (place) restore(place);
  else if (pages[0].cursor) restore([pages[0].guids[0], header.getBoundingClientRect().bottom + 8]);
  update();
  follow();
}

function follow() {
  let settling;
  let frame;
  addEventListener("scroll", () => {
    frame ??= requestAnimationFrame(() => { frame = undefined; update(); });
    clearTimeout(settling);
    settling = setTimeout(remember, SETTLED);
  }, { passive: true });
  let width = innerWidth;
  addEventListener("resize", () => {
    if (width !== innerWidth && place) restore(place);
    width = innerWidth;
    update();
  });
  addEventListener("pagehide", remember);
  document.addEventListener("click", remember, true);
  document.addEventListener("pixy:deleted", ({ detail }) => removeCells(detail.guids));
}

const asked = new WeakSet();

/** Ask once more for a thumbnail that has failed: the service was making too many at once. */
function askAgain(picture) {
  if (asked.has(picture)) return;
  asked.add(picture);
  setTimeout(() => {
    if (!picture.isConnected || suspended.has(picture)) return;
    takeSources(picture);
    giveSources(picture);
  }, 5000 + Math.random() * 2000);
}

function watchPictures() {
  document.addEventListener("error", ({ target }) => {
    if (target.matches?.(".cell img")) askAgain(target);
  }, true);
  // Those that have failed before this module ran.
  for (const picture of document.querySelectorAll(".cell img")) {
    if (picture.complete && !picture.naturalWidth) askAgain(picture);
  }
}

function followHeader() {
  const note = () => root.style.setProperty("--top", `${header.offsetHeight}px`);
  new ResizeObserver(note).observe(header);
  note();
}

followHeader();
watchPictures();
// All modules listen by then.
document.addEventListener("DOMContentLoaded", start);
