// What all modules share: texts, pages, the API, the status line and dialogs.

const root = document.documentElement;
const policy = globalThis.trustedTypes?.createPolicy("pixy", { createHTML: (html) => html });
const WRITING = new Set(["POST", "PATCH", "PUT", "DELETE"]);
const PAUSES = [0.5, 1, 2, 4, 8];

/** The path prefix of the service. */
export const prefix = root.dataset.prefix;

/** The name of the user who is logged in, or undefined. */
export const user = root.dataset.user;

root.classList.add("js");

/** A problem of the API (RFC 9457): status, title, detail, errors, retryable, maybe_billed, guid, and retryAfter in seconds. */
export class Problem extends Error {
  constructor(status, members, retryAfter) {
    super(members.detail ?? members.title ?? String(status));
    Object.assign(this, members, { status, retryAfter });
  }
}

/** Return the text of this name from the page, with values in place of {placeholders}. */
export function text(name, values = {}) {
  const found = document.getElementById("texts").content.querySelector(`[data-text="${name}"]`);
  return found.textContent.replace(/\{(\w+)\}/g, (all, key) => values[key] ?? all);
}

/** Return HTML as a document; the page's templates have escaped everything in it. */
export function parse(html) {
  return new DOMParser().parseFromString(policy ? policy.createHTML(html) : html, "text/html");
}

/** Return the element with this id. */
export const byId = (id) => document.getElementById(id);

/** Send an event to all modules. */
export function emit(type, detail = {}) {
  document.dispatchEvent(new CustomEvent(type, { detail }));
}

/** Call the handler for events on elements that match the selector, now or later in the document. */
export function on(type, selector, handler) {
  document.addEventListener(type, (event) => {
    const found = event.target.closest?.(selector);
    if (found) handler(event, found);
  });
}

const status = byId("status");

/** Put the status line where it is seen and heard: a modal dialog hides everything outside it. */
function placeStatus() {
  ([...document.querySelectorAll("dialog[open]")].at(-1) ?? document.body).append(status);
}

document.addEventListener("close", placeStatus, true);

/** Say a sentence in the status line. */
export function announce(sentence) {
  placeStatus();
  status.textContent = sentence;
  clearTimeout(announce.timer);
  announce.timer = setTimeout(() => { status.textContent = ""; }, 8000);
}

/** Say what has failed. */
export function announceFailure(error) {
  announce(text("failed", { detail: error.message }));
}

const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

/** Fetch from the service, and wait for it while it can't be reached, if `repeatable`. */
async function reach(path, options, repeatable) {
  for (let attempt = 0; ; attempt += 1) {
    try {
      const response = await fetch(path, { credentials: "same-origin", ...options });
      byId("offline").hidden = true;
      return response;
    } catch (error) {
      if (options.signal?.aborted) throw error;
      const wasReachable = byId("offline").hidden;
      byId("offline").hidden = false;
      if (!repeatable) {
        if (wasReachable) awaitService();
        throw new Error(text("unreachable"));
      }
      await pauseAfter(attempt);
    }
  }
}

const pauseAfter = (attempt) => pause(PAUSES[Math.min(attempt, PAUSES.length - 1)]);

/** Hide the line about a service that can't be reached as soon as it answers. */
async function awaitService() {
  for (let attempt = 0; !byId("offline").hidden; attempt += 1) {
    await pauseAfter(attempt);
    await fetch(`${prefix}/health/live`).then(() => { byId("offline").hidden = true; }, () => {});
  }
}

/**
 * Return a page of the gallery as a document; throw the Problem that the service answers with, and its `page`.
 *
 * When the session has ended, the user logs in again in place.
 */
export async function page(url, options = {}) {
  const get = () => reach(url, { headers: { Accept: "text/html" }, ...options }, true);
  let response = await get();
  if (response.redirected && new URL(response.url).pathname === `${prefix}/gallery/login` && (await logInAgain())) {
    response = await get();
  }
  const found = parse(await response.text());
  if (response.ok) return found;
  throw new Problem(response.status, { detail: found.querySelector("h1 + p")?.textContent.trim(), page: found });
}

/**
 * Ask the API, and return status, body and headers; throw its Problem.
 *
 * Waits for a service that can't be reached if asking again changes nothing: when reading, with an idempotency key, and if
 * the request is `repeatable` by itself.
 * When the session has ended, the user logs in again in place, and it asks once more.
 */
export async function api(method, path, { json, form, headers = {}, signal, idempotencyKey, keepalive, repeatable } = {}) {
  const options = { method, signal, keepalive, headers: { Accept: "application/json", ...headers } };
  if (json !== undefined) {
    options.body = JSON.stringify(json);
    options.headers["Content-Type"] ??= "application/json";
  } else if (form) {
    options.body = form;
  }
  if (idempotencyKey) options.headers["Idempotency-Key"] = idempotencyKey;
  // Another user may have logged in since the page came.
  if (user && path !== "/gallery/login") options.headers["X-Page-User"] = encodeURIComponent(user);
  const isRepeatable = !WRITING.has(method) || Boolean(idempotencyKey || repeatable);
  let response = await reach(prefix + path, options, isRepeatable);
  if (response.status === 401 && (await logInAgain())) response = await reach(prefix + path, options, isRepeatable);
  const isJSON = /\bjson\b/.test(response.headers.get("Content-Type") ?? "");
  const body = isJSON ? await response.json() : null;
  if (response.ok) return { status: response.status, body, headers: response.headers };
  const retryAfter = Number(response.headers.get("Retry-After")) || undefined;
  throw new Problem(response.status, body ?? { title: response.statusText }, retryAfter);
}

let logInAgain = async () => false;

/** Set what logs the user in again, in place, and resolves to whether that has happened. */
export function setLogIn(handler) {
  logInAgain = handler;
}

/** Ask with the confirmation dialog; resolve to whether the answer is yes. Cancel has the focus. */
export function confirmed(question, action, ...body) {
  const dialog = byId("confirm");
  dialog.querySelector("h2").textContent = question;
  dialog.querySelector("[value=ok]").textContent = action;
  dialog.querySelector(".body").replaceChildren(...body);
  dialog.returnValue = "cancel";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "ok"), { once: true });
  });
}
