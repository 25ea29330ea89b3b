// Selects images of the list, and tags, shows, hides, downloads or deletes all of them.

import { announce, announceFailure, api, byId, confirmed, emit, on, text } from "./gallery.js";
import { between, cell, columns, neighbour, order, reveal } from "./endless.js";
import { focusedGuid, key } from "./keys.js";

const MOST_AT_ONCE = 1000;
const MOST_PICTURES = 12;
const bar = byId("bulk");
const selected = new Set();
const own = new Set(); // Of the images that were in the document, those that the user may change.
let anchor = null; // Where a range begins,
let reached = null; // where it ends,
let before = []; // and what was selected before it.

const guidOf = (element) => element.closest(".cell").dataset.guid;

function show() {
  for (const box of document.querySelectorAll("#list .pick")) box.checked = selected.has(guidOf(box));
  bar.hidden = !selected.size;
  bar.querySelector("output").textContent = text("selected", { n: selected.size.toLocaleString("en") });
  bar.querySelector(".own").hidden = ![...selected].some((guid) => own.has(guid));
  emit("pixy:selection", { guids: [...selected] });
}

/** Select an image or not; a range can begin here. */
function pick(guid, isWanted = !selected.has(guid)) {
  if (isWanted) selected.add(guid);
  else selected.delete(guid);
  anchor = reached = guid;
  before = [...selected];
  show();
}

/** Select what lies between the image picked last and this one, in place of an earlier range from there. */
function pickTo(guid) {
  const range = anchor ? between(anchor, guid) : [];
  if (!range.length) return pick(guid, true);
  selected.clear();
  for (const each of [...before, ...range]) selected.add(each);
  reached = guid;
  return show();
}

function clear() {
  selected.clear();
  anchor = reached = null;
  before = [];
  show();
}

/** Do the same with all selected images, and return the result for each; those not tried have the error. */
async function withAll(action, fields, options) {
  const guids = [...selected];
  const items = [];
  bar.inert = true;
  try {
    while (items.length < guids.length) {
      const some = guids.slice(items.length, items.length + MOST_AT_ONCE);
      const { body } = await api("POST", `/private/image/bulk/${action}`, { json: { guids: some, ...fields }, ...options });
      items.push(...body);
    }
  } catch (error) {
    if (!items.length) throw error;
    for (const guid of guids.slice(items.length)) items.push({ guid, problem: { detail: error.message } });
  } finally {
    bar.inert = false;
  }
  for (const { image } of items) if (image) emit("pixy:changed", image);
  return items;
}

/** Return a picture like that of an image's cell, of the file that is loaded already. */
function copyOfPicture(guid) {
  const { currentSrc, src, alt } = cell(guid)?.querySelector("img") ?? {};
  return Object.assign(new Image(), { src: currentSrc || src || "", alt: alt ?? "" });
}

/** Show which images were left alone, and why. */
function tell(items, done) {
  const failed = items.filter(({ problem }) => problem);
  if (!failed.length) return announce(text(done, { n: items.length.toLocaleString("en") }));
  const dialog = byId("told");
  dialog.querySelector("p").textContent = text("partly", { done: items.length - failed.length, failed: failed.length });
  dialog.querySelector("ul").replaceChildren(...failed.map(({ guid, problem }) => {
    const line = document.createElement("li");
    const prompt = document.createElement("bdi");
    const picture = copyOfPicture(guid);
    [prompt.textContent, picture.alt] = [picture.alt, ""];
    line.append(picture, prompt, problem.detail);
    return line;
  }));
  return dialog.showModal();
}

/** Ask before something is done with all selected images; shows their number and some of them. */
function isWanted(question, action) {
  const strip = document.createElement("div");
  const guids = [...selected];
  strip.className = "strip";
  strip.append(...guids.filter(cell).slice(0, MOST_PICTURES).map(copyOfPicture));
  const rest = guids.length - strip.childElementCount;
  if (rest) strip.append(text("more", { n: rest.toLocaleString("en") }));
  const name = guids.length === 1 ? `${question}-one` : question;
  return confirmed(text(name, { n: guids.length.toLocaleString("en") }), text(action), strip);
}

const actions = {
  clear,

  tag() {
    const dialog = byId("tagging");
    dialog.querySelector(".error").hidden = true;
    dialog.showModal();
  },

  async public() {
    if (await isWanted("publish", "publish-action")) await setVisibility("public");
  },

  private: () => setVisibility("private"),

  async delete() {
    if (!(await isWanted("delete", "delete-action"))) return;
    const items = await withAll("delete");
    const gone = items.filter(({ status }) => status === 204 || status === 404).map(({ guid }) => guid);
    // The cell after them gets the focus.
    document.activeElement.blur();
    tell(items, "deleted-all");
    emit("pixy:deleted", { guids: gone });
  },
};

async function setVisibility(visibility) {
  tell(await withAll("visibility", { visibility }, { repeatable: true }), `made-${visibility}`);
}

const run = (name) => Promise.resolve(actions[name]()).catch(announceFailure);

async function tagAll(form) {
  const [add, remove] = ["add", "remove"].map((name) => form.elements[name].value.trim()).map((tag) => (tag ? [tag] : []));
  try {
    const items = await withAll("tag", { add, remove }, { repeatable: true });
    form.reset();
    byId("tagging").close();
    tell(items, "tagged");
  } catch (error) {
    const line = form.querySelector(".error");
    line.textContent = error.message;
    line.hidden = false;
  }
}

function extend(steps) {
  const from = focusedGuid();
  if (!from) return false;
  if (from !== reached || !selected.has(from)) pick(from, true);
  return neighbour(from, steps()).then(async (guid) => {
    if (!guid) return;
    pickTo(guid);
    (await reveal(guid))?.querySelector(".open").focus({ preventScroll: true });
  });
}

/** Make what a key does be done in the list only, where it has the focus or something is selected. */
const inList = (handle) => (event) => (byId("image") || !byId("list") ? false : handle(event));

function listen() {
  on("click", "#list .pick", ({ shiftKey }, box) => (shiftKey ? pickTo(guidOf(box)) : pick(guidOf(box), box.checked)));
  on("click", "#list .open", (event, link) => {
    if (!event.shiftKey) return;
    event.preventDefault();
    pickTo(guidOf(link));
  });
  on("click", "[data-bulk]", (event, button) => run(button.dataset.bulk));
  on("submit", "#tagging form", (event, form) => {
    if (event.submitter?.value === "cancel") return;
    event.preventDefault();
    tagAll(form);
  });
  on("submit", "#bulk", (event, form) => {
    if (selected.size > MOST_AT_ONCE) {
      event.preventDefault();
      announce(text("too-many", { n: selected.size.toLocaleString("en") }));
    }
    form.querySelector(".guids").replaceChildren(...[...selected].map((guid) => {
      const field = document.createElement("input");
      return Object.assign(field, { type: "hidden", name: "guid", value: guid });
    }));
  });
  document.addEventListener("pixy:page", ({ detail }) => {
    for (const element of detail.ol.querySelectorAll("[data-own]")) own.add(guidOf(element));
    show();
  });
  document.addEventListener("pixy:deleted", ({ detail }) => {
    for (const guid of detail.guids) selected.delete(guid);
    before = before.filter((guid) => selected.has(guid));
    show();
  });

  const toggle = ({ target }) => (focusedGuid() && !target.matches(".pick") ? pick(focusedGuid()) : false);
  key("x", ({ target }) => (target.matches(".pick") ? target.click() : toggle({ target })));
  key(" ", toggle);
  key("Shift+ArrowRight", () => extend(() => 1));
  key("Shift+ArrowLeft", () => extend(() => -1));
  key("Shift+ArrowDown", () => extend(columns));
  key("Shift+ArrowUp", () => extend(() => -columns()));
  key("Ctrl+a", inList(() => {
    before = order();
    for (const guid of before) selected.add(guid);
    show();
  }));
  key("Escape", inList(() => (selected.size ? clear() : false)));
  key("Delete", inList(() => {
    if (!selected.size && focusedGuid()) pick(focusedGuid());
    return selected.size && !bar.querySelector(".own").hidden ? run("delete") : false;
  }));
}

if (bar) listen();
