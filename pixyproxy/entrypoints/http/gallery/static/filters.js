// What the list shows: filters in its address, whole pictures or squares, and a link to it.

import { announce, announceFailure, byId, on, text } from "./gallery.js";

const WHOLE = "whole-pictures";
const list = byId("list");

function showWhole(isWhole) {
  document.documentElement.classList.toggle("whole", isWhole);
  byId("whole").ariaPressed = String(isWhole);
  list.querySelectorAll(".cell img").forEach(fit);
}

/** Let a thumbnail show the whole picture, or a square of it. */
function fit(picture) {
  const isWhole = document.documentElement.classList.contains("whole");
  const [from, to] = isWhole ? ["fit=cover", "fit=contain"] : ["fit=contain", "fit=cover"];
  for (const name of ["srcset", "src"]) {
    const value = picture.getAttribute(name);
    if (value?.includes(from)) picture.setAttribute(name, value.replaceAll(from, to));
  }
}

function storedChoice() {
  try {
    return localStorage.getItem(WHOLE) !== null;
  } catch {
    return false; // The browser keeps nothing.
  }
}

function storeChoice(isWhole) {
  try {
    if (isWhole) localStorage.setItem(WHOLE, "");
    else localStorage.removeItem(WHOLE);
  } catch {
    // It holds until the page is left.
  }
}

if (list) {
  if (storedChoice()) showWhole(true);
  document.addEventListener("pixy:pictures", ({ detail }) => detail.ol.querySelectorAll("img").forEach(fit));
  on("click", "#whole", () => {
    const isWhole = byId("whole").ariaPressed !== "true";
    storeChoice(isWhole);
    showWhole(isWhole);
  });
  on("click", "#copy-link", async () => {
    try {
      await navigator.clipboard.writeText(new URL(list.dataset.listUrl, location).href);
      announce(text("copied"));
    } catch (error) {
      announceFailure(error);
    }
  });
  // Addresses without the fields that are empty.
  byId("search").addEventListener("formdata", ({ formData }) => {
    const given = [...formData].filter(([, value]) => value);
    for (const name of [...formData.keys()]) formData.delete(name);
    for (const [name, value] of given) formData.append(name, value);
  });
}
