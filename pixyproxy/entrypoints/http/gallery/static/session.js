// Logs in again in place when a session has ended, so that nothing typed is lost, and shows no user the pages of another.

import { api, byId, setLogIn, text, user } from "./gallery.js";

const dialog = byId("login-dialog");
const form = dialog?.querySelector("form");
let asking = null;

/** Ask for a login, once for all requests that need it; resolve to whether the same user is logged in again. */
function logInAgain() {
  asking ??= ask().finally(() => { asking = null; });
  return asking;
}

function ask() {
  refuse("");
  form.elements.name.value = user;
  dialog.returnValue = "";
  dialog.showModal();
  form.elements.password.focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      form.elements.password.value = "";
      resolve(dialog.returnValue === "done");
    }, { once: true });
  });
}

function refuse(sentence) {
  form.querySelector(".refused").textContent = sentence;
}

function reasonOf(error) {
  const detail = error.message;
  if (error.status === 429) return text("login-later", { detail, seconds: error.retryAfter });
  return error.status >= 500 ? text("login-impossible", { detail }) : detail;
}

async function send(event) {
  event.preventDefault();
  try {
    const { body } = await api("POST", "/gallery/login", { form: new URLSearchParams(new FormData(form)) });
    if (body.user === user) dialog.close("done");
    else location.reload();
  } catch (error) {
    refuse(reasonOf(error));
    form.elements.password.select();
  }
}

const LATEST = "user";
const me = user ?? "";

localStorage.setItem(LATEST, me);

// Browsers keep pages that are left, and Back shows them as they were: also after a logout.
addEventListener("pageshow", ({ persisted }) => {
  if (persisted && localStorage.getItem(LATEST) !== me) {
    document.body.hidden = true;
    location.reload();
  }
});

// What this page sends would be the other user's by now.
addEventListener("storage", ({ key, newValue }) => {
  if (me && key === LATEST && newValue && newValue !== me) {
    document.body.hidden = true;
    location.reload();
  }
});

if (dialog) {
  form.addEventListener("submit", send);
  form.querySelector(".cancel").addEventListener("click", () => dialog.close());
  setLogIn(logInAgain);
}
