// Changes, shares and deletes the image that is shown, in place. What is typed is kept until it is stored.

import { announce, announceFailure, api, byId, confirmed, emit, on, page, text } from "./gallery.js";
import { key } from "./keys.js";

const detailsOf = (article) => `/private/image/${article.dataset.guid}`;
const draftOf = (article) => `change ${article.dataset.guid}`;

let saving = false;

const seenBy = (form) => JSON.parse(form.elements.seen.value);

/** Return what a form changes of what was seen, as a merge patch. */
function changesIn(form) {
  const typed = new FormData(form);
  const seen = seenBy(form);
  const tags = new Set(typed.getAll("tag").map((tag) => tag.trim()).filter(Boolean));
  const wanted = { tags: [...tags], visibility: typed.get("visibility"), filename: typed.get("filename")?.trim() };
  const isNew = ([name, value]) => value !== undefined && JSON.stringify(value) !== JSON.stringify(seen[name]);
  return Object.fromEntries(Object.entries(wanted).filter(isNew).map(([name, value]) => [name, value || null]));
}

const isChanged = (field) => field.name && (field.value !== field.defaultValue || field.checked !== field.defaultChecked);

/** Put the details of a page into the article that is shown, with the focus where it was. */
function showDetails(article, found) {
  const shown = found.querySelector("#image");
  const focused = article.contains(document.activeElement) && document.activeElement.id;
  const isOpen = byId("share")?.open;
  article.dataset.version = shown.dataset.version;
  article.querySelector(".facts").replaceWith(shown.querySelector(".facts"));
  // The stored picture has another address when the visibility has changed; the one that is shown stays.
  const picture = byId("picture");
  if (picture) picture.dataset.full = shown.querySelector("#picture").dataset.full;
  if (isOpen) byId("share").open = true;
  if (focused !== false) (byId(focused) ?? byId("new-tag"))?.focus({ preventScroll: true });
}

async function refresh(article) {
  showDetails(article, await page(byId("change").action));
}

function showError(form, error) {
  const line = form.querySelector(".error");
  line.textContent = error.status === 404 ? text("gone") : error.message;
  line.hidden = false;
}

/** Store what a form asks for; if another has changed the image meanwhile, show both versions. */
async function save(form) {
  if (saving) return;
  saving = true;
  const article = form.closest("#image");
  const headers = { "Content-Type": "application/merge-patch+json", "If-Match": `"${seenBy(form).version}"` };
  try {
    const { body } = await api("PATCH", detailsOf(article), { json: changesIn(form), headers, repeatable: true });
    sessionStorage.removeItem(draftOf(article));
    await refresh(article);
    announce(text("saved"));
    emit("pixy:changed", body);
  } catch (error) {
    if (error.status === 412) await showConflict(article, form);
    else showError(form, error);
  } finally {
    saving = false;
  }
}

/** Show what is there now beside what was typed, as the page does without JavaScript. */
async function showConflict(article, form) {
  try {
    showDetails(article, await page(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)) }));
    // Others have made the same change.
    sessionStorage.removeItem(draftOf(article));
  } catch (error) {
    if (error.status === 412) showDetails(article, error.page);
    else showError(form, error);
  }
}

function keepDraft(form) {
  form.classList.add("edited");
  sessionStorage.setItem(draftOf(form.closest("#image")), new URLSearchParams(new FormData(form)));
}

/** Put back what was typed and not stored before the page or the viewer was left. */
function restoreDraft() {
  const form = byId("change");
  const draft = form && sessionStorage.getItem(draftOf(form.closest("#image")));
  if (!draft || form.classList.contains("edited")) return;
  const typed = new URLSearchParams(draft);
  const tags = new Set(typed.getAll("tag").filter(Boolean));
  for (const field of form.elements) {
    if (field.type === "checkbox") field.checked = tags.delete(field.value);
    else if (field.type === "radio") field.checked = field.value === typed.get(field.name);
    else if (typed.has(field.name) && field.name !== "tag") field.value = typed.get(field.name);
  }
  for (const tag of tags) {
    const field = byId("new-tag").cloneNode();
    field.removeAttribute("id");
    field.value = tag;
    byId("new-tag").before(field);
  }
  form.classList.add("edited");
  announce(text("unsaved"));
}

on("submit", "#change", (event, form) => {
  event.preventDefault();
  save(form);
});

on("input", "#change", (event, form) => {
  keepDraft(form);
  // A tag is off at a click, unless something else is being typed.
  const isOnly = [...form.elements].filter(isChanged).length === 1;
  if (event.target.type === "checkbox" && isOnly) save(form);
});

on("click", "#discard", async (event, link) => {
  event.preventDefault();
  const article = link.closest("#image");
  sessionStorage.removeItem(draftOf(article));
  await refresh(article).catch(announceFailure);
});

on("submit", "#make-link", async (event, form) => {
  event.preventDefault();
  const path = `${detailsOf(form.closest("#image"))}/link`;
  try {
    const { body } = await api("POST", path, { json: { lifetime: Number(form.lifetime.value) }, repeatable: true });
    const time = byId("link").querySelector("time");
    time.dateTime = body.expires_at;
    time.textContent = new Date(body.expires_at).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
    byId("link-url").value = body.url;
    byId("link").hidden = false;
    byId("link-url").select();
  } catch (error) {
    announceFailure(error);
  }
});

on("click", "#delete", async (event, link) => {
  event.preventDefault();
  const article = link.closest("#image");
  const picture = byId("picture")?.cloneNode() ?? "";
  if (picture) picture.removeAttribute("id");
  const prompt = document.createElement("p");
  prompt.dir = "auto";
  prompt.tabIndex = 0; // A long one scrolls.
  prompt.textContent = byId("prompt").textContent;
  if (!(await confirmed(text("delete-one"), text("delete-action"), picture, prompt))) return;
  try {
    await api("DELETE", detailsOf(article), { headers: { "If-Match": "*" } });
    announce(text("deleted-all", { n: 1 }));
  } catch (error) {
    if (error.status !== 404) return announceFailure(error);
    announce(text("gone"));
  }
  sessionStorage.removeItem(draftOf(article));
  emit("pixy:deleted", { guids: [article.dataset.guid] });
  if (!article.closest("dialog")) location.replace(article.querySelector("a.back").href);
});

let searching;

on("input", "[list=tag-suggestions]", async (event, field) => {
  searching?.abort();
  searching = new AbortController();
  try {
    const query = new URLSearchParams({ prefix: field.value.trim(), limit: 8 });
    const { body } = await api("GET", `/private/tag?${query}`, { signal: searching.signal });
    field.list.replaceChildren(...body.map(({ tag }) => new Option("", tag)));
  } catch {
    // Suggestions are an offer.
  }
});

document.addEventListener("pixy:changed", async ({ detail }) => {
  const form = byId("change");
  const article = form?.closest("#image");
  if (article?.dataset.guid !== detail.guid || saving) return;
  if (Date.parse(detail.updated_at) <= Math.floor(form.dataset.updated * 1000)) return;
  if (form.classList.contains("edited")) announce(text("changed-elsewhere"));
  else await refresh(article).catch(announceFailure);
});

key("Delete", () => (byId("delete") ? byId("delete").click() : false));
document.addEventListener("pixy:shown", restoreDraft);
restoreDraft();
