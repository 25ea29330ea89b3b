// The form for new images: keeps what is typed, collects pictures, and sends each order once.

import { announce, announceFailure, api, byId, page, text, user } from "./gallery.js";

const form = byId("new");
const list = byId("references");
const TYPES = new Set(["image/png", "image/jpeg", "image/webp"]);
const DAY = 86_400_000;
const DRAFTS = 20;
const PAUSE = 5;

const newKey = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

// A draft belongs to an entry of the history, where reload and Back find it again, and to its user.
const id = history.state?.draft ?? Date.now() + Math.random();
const place = `new ${user} ${id}`;
const draft = JSON.parse(sessionStorage.getItem(place) ?? "null") ?? { fields: {} };
let pictures = [...list.children].map(({ dataset: { guid, content, name, mask }, firstElementChild: { src } }) => ({ guid, content, name, maskURL: mask, preview: src }));
let sending = null;

// What was typed.

const fields = () => Object.fromEntries([...new FormData(form)].filter(([name, value]) => name !== "idempotency_key" && typeof value === "string"));

function fill(values) {
  for (const [name, value] of Object.entries(values)) {
    const field = form.elements[name];
    if (field && (!field.options || [...field.options].some((option) => option.value === value))) field.value = value;
  }
}

const identity = ({ guid, content, file, mask, maskURL }, index) => [guid || content || [file.name, file.size, file.lastModified], !index && (mask?.id ?? maskURL)];

const signature = () => JSON.stringify([fields(), pictures.map(identity)]);

function keep() {
  Object.assign(draft.fields, fields());
  try {
    sessionStorage.setItem(place, JSON.stringify(draft));
  } catch {
    announce(text("draft-too-large"));
  }
}

function keyOf(order) {
  if (draft.order !== order) Object.assign(draft, { order, key: newKey(), isUsed: false });
  keep();
  return draft.key;
}

function typed() {
  keep();
  byId("used").hidden = !draft.isUsed || draft.order !== signature();
  const limit = byId("prompt-count");
  const count = [...form.elements.prompt.value.trim()].length;
  limit.querySelector(".count").textContent = text("characters", { count: count.toLocaleString("en") });
  limit.classList.toggle("bad", count > limit.querySelector("data").value);
}

async function showOptions() {
  const model = form.elements.model.value;
  const { prompt, tags, ...options } = { ...draft.fields, ...fields() };
  const found = await page(`${form.dataset.options}?${new URLSearchParams(options)}`);
  if (form.elements.model.value !== model) return;
  byId("options").replaceWith(found.getElementById("options"));
  typed();
}

// Pictures are kept in the browser's database for a day, since forms lose them.

const done = (request) => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});

async function withStore(work) {
  const opening = indexedDB.open("pixyproxy", 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore("pictures");
  const database = await done(opening);
  const result = await done(work(database.transaction("pictures", "readwrite").objectStore("pictures")));
  database.close();
  return result;
}

const keepPictures = () => withStore((store) => store.put({ user, pictures }, id)).catch(() => {});

async function restorePictures() {
  await withStore((store) => store.delete(IDBKeyRange.upperBound(Date.now() - DAY)));
  const kept = await withStore((store) => store.get(id));
  if (kept?.user === user) pictures = kept.pictures;
}

const addresses = new WeakMap();

function source({ content, file }) {
  if (file && !addresses.has(file)) addresses.set(file, URL.createObjectURL(file));
  return content ?? addresses.get(file);
}

function showPictures() {
  list.replaceChildren(...pictures.map((picture, index) => {
    const item = byId("reference-item").content.firstElementChild.cloneNode(true);
    const [before, after] = item.querySelectorAll("[data-move]");
    before.disabled = !index;
    after.disabled = index === pictures.length - 1;
    item.querySelector("img").src = picture.preview ?? source(picture);
    item.querySelector("img").alt = picture.name;
    if (picture.mask || picture.maskURL) item.querySelector(".paint").textContent = text("painted");
    return item;
  }));
  typed();
}

function changePictures() {
  keepPictures();
  showPictures();
}

function add(files) {
  const { references, model } = byId("options").dataset;
  const good = files.filter(({ type }) => TYPES.has(type));
  const names = (these) => these.map(({ name }) => name).join(", ");
  const room = Math.max(0, references - pictures.length);
  pictures.push(...good.slice(0, room).map((file) => ({ file, name: file.name })));
  changePictures();
  const bad = files.filter(({ type }) => !TYPES.has(type));
  const sentences = [
    bad.length && text("no-picture", { names: names(bad) }),
    good.length > room && text("too-many-references", { model, count: references, names: names(good.slice(room)) }),
  ];
  complain("references", sentences.filter(Boolean).join(" "));
}

async function paint() {
  const { paint: paintMask } = await import("./mask.js");
  const [first] = pictures;
  const painted = await paintMask(source(first), first.mask?.strokes);
  if (!painted) return;
  Object.assign(first, { maskURL: undefined, mask: painted.strokes.length ? { ...painted, id: newKey() } : undefined });
  changePictures();
  list.querySelector(".paint").focus();
}

list.addEventListener("click", ({ target }) => {
  const button = target.closest("button");
  if (!button) return;
  if (button.matches(".paint")) return void paint();
  const index = [...list.children].indexOf(button.closest("li"));
  const [picture] = pictures.splice(index, 1);
  const to = index + Number(button.dataset.move);
  if (button.dataset.move) pictures.splice(to, 0, picture);
  changePictures();
  const next = button.dataset.move && list.children[to].querySelector(`[data-move="${button.dataset.move}"]:enabled`);
  (next || list.children[Math.min(index, pictures.length - 1)]?.querySelector(":enabled") || byId("reference")).focus();
});

byId("reference").addEventListener("change", ({ target }) => {
  add([...target.files]);
  target.value = "";
});

document.addEventListener("paste", (event) => {
  const { files, types } = event.clipboardData;
  if (!files.length || types.includes("text/plain")) return;
  event.preventDefault();
  add([...files]);
});

for (const type of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(type, (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    // A picture that misses the form would take the place of the page.
    event.preventDefault();
    form.classList.toggle("dropping", type === "dragover");
    if (type === "drop") add([...event.dataTransfer.files]);
  });
}

// What is wrong.

function complain(name, sentence) {
  const place = byId(`error-${name}`);
  if (!place) return null;
  place.textContent = sentence;
  place.hidden = !sentence;
  const field = form.querySelector(`[aria-describedby~="error-${name}"]`);
  if (sentence) field?.setAttribute("aria-invalid", "true");
  else field?.removeAttribute("aria-invalid");
  return field;
}

function forgive() {
  byId("problem").hidden = true;
  for (const { dataset } of form.querySelectorAll(".wrong")) complain(dataset.field, "");
}

function show(problem) {
  const box = byId("problem");
  box.querySelector(".title").textContent = problem.title ?? "";
  box.querySelector(".billing").textContent = "maybe_billed" in problem ? text(problem.maybe_billed ? "billed" : "free") : "";
  box.hidden = false;
  const blamed = (problem.errors ?? []).map(({ field, detail }) => {
    const [name, index] = field.split(/[[\]]/);
    const picture = name === "references" && pictures[index];
    return complain(name, picture ? `${picture.name}: ${detail}` : detail);
  });
  const isTold = blamed.length && blamed.every(Boolean);
  box.querySelector(".detail").textContent = isTold ? "" : problem.message;
  (blamed.find(Boolean) ?? byId("create")).focus();
  if (!isTold) box.scrollIntoView({ block: "nearest" });
}

// The order.

async function bytes({ file, content, name }) {
  if (file) return file;
  const response = await fetch(content);
  if (!response.ok) throw new Error(text("reference-gone", { name }));
  return response.blob();
}

async function body({ tags, width, height, ...values }) {
  const data = new FormData();
  const format = form.elements.output_format;
  if (values.size === "other") values.size = `${width}x${height}`;
  if (values.n === "1") delete values.n;
  if (format?.options && !("compresses" in format.selectedOptions[0].dataset)) delete values.output_compression;
  for (const [name, value] of Object.entries(values)) if (value || name === "prompt") data.append(name, value);
  for (const tag of tags.match(/(?:\\[\\,]|[^,])+/g) ?? []) if (tag.trim()) data.append("tags", tag.replace(/\\([\\,])/g, "$1").trim());
  for (const picture of pictures) {
    if (picture.guid) data.append("references", picture.guid);
    else data.append("reference", await bytes(picture), picture.name);
  }
  const { mask, maskURL: content } = pictures[0] ?? {};
  if ((mask || content) && "mask" in byId("options").dataset) data.append("mask", await bytes({ file: mask?.picture, content }), "mask.png");
  return data;
}

async function wait({ title, message, retryAfter = PAUSE }, { signal }) {
  const line = byId("waiting");
  line.querySelector(".why").textContent = text("waiting", { title, detail: message });
  line.hidden = false;
  for (let seconds = retryAfter; seconds > 0; seconds -= 1) {
    line.querySelector(".left").textContent = text("left", { seconds });
    await new Promise((resolve) => setTimeout(resolve, 1000));
    signal.throwIfAborted();
  }
  line.hidden = true;
}

async function buy(data, path, idempotencyKey) {
  const { signal } = sending;
  for (;;) {
    try {
      return await api("POST", path, { form: data, idempotencyKey, signal, headers: { Prefer: "respond-async" } });
    } catch (problem) {
      // One that has begun is told of by its tile.
      if (problem.guid || problem.batch) return null;
      if (!problem.retryable || ![429, 503].includes(problem.status)) throw problem;
      await wait(problem, sending);
    }
  }
}

function rest() {
  sending = null;
  byId("waiting").hidden = true;
  byId("create").removeAttribute("aria-disabled");
  byId("create").textContent = text("create");
  typed();
}

async function send() {
  if (sending) return;
  sending = new AbortController();
  byId("create").setAttribute("aria-disabled", "true");
  byId("create").textContent = text("sending");
  forgive();
  try {
    const key = keyOf(signature());
    const values = fields();
    await buy(await body(values), `/private/image${["", "1"].includes(values.n) ? "" : "/batch"}`, key);
    draft.isUsed = true;
    keep();
    location.assign(form.dataset.list);
  } catch (problem) {
    rest();
    if (problem.name !== "AbortError") show(problem);
  }
}

form.addEventListener("input", typed);
form.elements.model.addEventListener("change", () => showOptions().catch(announceFailure));
form.addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
byId("stop").addEventListener("click", () => sending?.abort());
byId("another").addEventListener("click", () => {
  draft.order = undefined;
  send();
});
addEventListener("pageshow", ({ persisted }) => persisted && rest());

for (const old of Object.keys(sessionStorage).filter((name) => name.startsWith("new ")).sort().slice(0, -DRAFTS)) sessionStorage.removeItem(old);
history.replaceState({ ...history.state, draft: id }, "");
fill(draft.fields);
if (form.elements.model.value !== byId("options").dataset.model) showOptions().then(() => fill(draft.fields), announceFailure);
restorePictures().catch(() => {}).then(showPictures);
