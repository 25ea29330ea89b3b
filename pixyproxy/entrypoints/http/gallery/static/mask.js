// Paints a mask over a picture. Strokes are kept in pixels of the picture, so that no resize of the window moves them.

import { byId } from "./gallery.js";

const dialog = byId("mask-dialog");
const canvas = dialog.querySelector("canvas");
const picture = dialog.querySelector(".easel img");
const brush = dialog.querySelector(".brush");
const size = dialog.querySelector("[type=range]");
const eraser = dialog.querySelector("[data-tool=erase]");
const context = canvas.getContext("2d");
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const STEP = 0.02;

let strokes = [];
let stroke = null;
let at = [0, 0];

const side = () => Math.min(canvas.width, canvas.height);
const diameter = () => Math.max(1, Math.round((size.value / 100) * side()));

/** Let the user paint over the picture at a URL, on top of earlier strokes; resolve to strokes and PNG, or null. */
export async function paint(url, earlier = []) {
  picture.src = url;
  await picture.decode();
  canvas.width = picture.naturalWidth;
  canvas.height = picture.naturalHeight;
  at = [canvas.width / 2, canvas.height / 2];
  strokes = structuredClone(earlier);
  redraw();
  pointTo(at);
  dialog.returnValue = "";
  dialog.showModal();
  canvas.focus();
  await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  return dialog.returnValue === "done" ? { strokes, picture: await mask() } : null;
}

/** Return the mask as a PNG of the picture's size, transparent where it was painted. */
function mask() {
  const sheet = new OffscreenCanvas(canvas.width, canvas.height);
  const paper = sheet.getContext("2d");
  paper.fillRect(0, 0, sheet.width, sheet.height);
  paper.globalCompositeOperation = "destination-out";
  paper.drawImage(canvas, 0, 0);
  return sheet.convertToBlob({ type: "image/png" });
}

function redraw() {
  context.clearRect(0, 0, canvas.width, canvas.height);
  strokes.forEach((each) => draw(each));
}

function draw({ erases, width, points }, from = 0) {
  context.globalCompositeOperation = erases ? "destination-out" : "source-over";
  context.strokeStyle = "#f0f";
  context.lineWidth = width;
  context.lineCap = context.lineJoin = "round";
  context.beginPath();
  context.moveTo(...points[from]);
  // Lines without a length are not drawn, and a click is to leave a dot.
  for (const [x, y] of points.slice(from)) context.lineTo(x + 0.01, y);
  context.stroke();
}

function begin() {
  stroke = { erases: eraser.ariaPressed === "true", width: diameter(), points: [at] };
  strokes.push(stroke);
  draw(stroke);
}

function pointTo(point) {
  at = point;
  Object.assign(brush.style, {
    insetInlineStart: `${(100 * at[0]) / canvas.width}%`,
    insetBlockStart: `${(100 * at[1]) / canvas.height}%`,
    inlineSize: `${(100 * diameter()) / canvas.width}%`,
  });
  if (!stroke) return;
  stroke.points.push(at);
  draw(stroke, stroke.points.length - 2);
}

function place({ clientX, clientY }) {
  const box = canvas.getBoundingClientRect();
  return [Math.round(((clientX - box.x) * canvas.width) / box.width), Math.round(((clientY - box.y) * canvas.height) / box.height)];
}

const tools = {
  erase: () => { eraser.ariaPressed = eraser.ariaPressed !== "true"; },
  undo: () => { strokes.pop(); redraw(); },
  clear: () => { strokes = []; redraw(); },
};

canvas.addEventListener("pointerdown", (event) => {
  if (!event.isPrimary || event.button) return;
  canvas.setPointerCapture(event.pointerId);
  pointTo(place(event));
  begin();
});
canvas.addEventListener("pointermove", (event) => {
  if (event.isPrimary) for (const each of event.getCoalescedEvents?.() ?? [event]) pointTo(place(each));
});
for (const type of ["pointerup", "pointercancel", "blur"]) canvas.addEventListener(type, () => { stroke = null; });

canvas.addEventListener("keydown", (event) => {
  const step = STEPS[event.key];
  if (step) {
    const length = Math.max(1, Math.round(side() * STEP)) * (event.shiftKey ? 5 : 1);
    pointTo([
      Math.min(canvas.width, Math.max(0, at[0] + step[0] * length)),
      Math.min(canvas.height, Math.max(0, at[1] + step[1] * length)),
    ]);
  } else if (event.key === " ") {
    if (!stroke) begin();
  } else if (event.key === "z" && (event.ctrlKey || event.metaKey)) {
    tools.undo();
  } else {
    return;
  }
  event.preventDefault();
});
canvas.addEventListener("keyup", ({ key }) => { if (key === " ") stroke = null; });
size.addEventListener("input", () => pointTo(at));
dialog.addEventListener("click", ({ target }) => tools[target.dataset.tool]?.());
