// The page: a picture, a camera or a box drawn by hand → points on the canvas. No picture leaves the page; index.html's
// Content-Security-Policy makes the browser itself refuse any other address than the one that the page came from.
import { Landmarker, around } from "./landmarker.js";

const LONGEST = 1600; // pictures are shown and read at no more than this
const EVERY = 12; // frames from one look for faces to the next
const LOST = 0.05; // mean confidence below which a face is no longer followed
const MOST = 4; // faces followed in a video

const byId = (id) => document.getElementById(id);
const [canvas, video, status, numbers] = ["canvas", "video", "status", "numbers"].map(byId);
const context = canvas.getContext("2d", { willReadFrequently: true });
const state = { landmarker: null, shown: null, faces: [], stream: null, drag: null };

const say = (text) => { status.textContent = text; };
const plural = (n) => `${n} face${n === 1 ? "" : "s"}`;
const done = (name) => { document.body.dataset.state = name; }; // for whoever waits: a test, a screenshot

function draw(faces) {
  const unit = Math.max(1, Math.max(canvas.width, canvas.height) / 500);
  for (const face of faces) {
    context.lineWidth = 0.7 * unit;
    context.strokeStyle = "rgba(120, 205, 135, .9)";
    for (const [indices, closed] of state.landmarker.about.edges) {
      context.beginPath();
      for (const index of indices) context.lineTo(...face.points[index].map((value) => value + 0.5));
      if (closed) context.closePath();
      context.stroke();
    }
    face.points.forEach(([x, y], index) => {
      const sure = face.confidence[index];
      context.fillStyle = `rgb(${255 - 195 * sure}, ${70 + 160 * sure}, ${60 + 30 * sure})`;
      context.beginPath();
      context.arc(x + 0.5, y + 0.5, 1.1 * unit, 0, 7);
      context.fill();
    });
  }
}

function report(faces, milliseconds, looked) {
  state.faces = faces;
  byId("save").disabled = byId("copy").disabled = !faces.length;
  const each = faces.length ? `${faces[0].milliseconds.toFixed(1)} ms a face for the points` : "";
  numbers.textContent = [plural(faces.length), each, looked ? `${looked.toFixed(0)} ms to find them` : "", `${milliseconds.toFixed(0)} ms ${state.stream ? "a frame" : "in all"}`]
    .filter(Boolean).join(" · ");
}

// --- pictures -----------------------------------------------------------------------------------------------------

async function showPicture(source) {
  stopCamera();
  const scale = Math.min(1, LONGEST / Math.max(source.width, source.height));
  canvas.width = Math.max(1, Math.round(source.width * scale));
  canvas.height = Math.max(1, Math.round(source.height * scale));
  context.imageSmoothingQuality = "high";
  context.drawImage(source, 0, 0, canvas.width, canvas.height);
  state.shown = context.getImageData(0, 0, canvas.width, canvas.height);
  byId("stage").hidden = false;
  await read();
}

async function read(boxes) {
  done("reading");
  const began = performance.now();
  const found = boxes ?? (await state.landmarker.detect(state.shown));
  const looked = boxes ? 0 : performance.now() - began;
  const faces = await state.landmarker.fit(state.shown, found);
  context.putImageData(state.shown, 0, 0);
  draw(faces);
  report(faces, performance.now() - began, looked);
  say(faces.length ? "Green points are sure, red ones are not. Drag a box around a face to read just that one."
    : "No face found. Drag a box around one, from brows to chin.");
  done(faces.length ? "found" : "none");
}

async function open(file) {
  if (!file) return;
  say(`opening ${file.name} …`);
  try {
    await showPicture(await createImageBitmap(file)); // turned as the camera's note in the file says
  } catch {
    say(`${file.name} is not a picture that this browser can read (PNG, JPEG, WebP and GIF are).`);
    done("refused");
  }
}

// --- camera -------------------------------------------------------------------------------------------------------

async function startCamera() {
  try {
    state.stream = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480, facingMode: "user" } });
  } catch (error) {
    const why = { NotAllowedError: "the browser was told not to allow it", NotFoundError: "none was found" }[error.name];
    say(`No camera: ${why ?? error.message}. A browser gives it to https addresses and to localhost only.`);
    done("refused");
    return;
  }
  video.srcObject = state.stream;
  await video.play();
  byId("camera").textContent = "Stop the camera";
  byId("stage").hidden = false;
  follow();
}

function stopCamera() {
  for (const track of state.stream?.getTracks() ?? []) track.stop();
  state.stream = null;
  byId("camera").textContent = "Camera";
}

async function follow() {
  const stream = state.stream;
  let [boxes, frame, spent] = [[], 0, 0];
  for (; state.stream === stream; frame++) {
    await new Promise(requestAnimationFrame);
    if (!video.videoWidth) continue;
    const began = performance.now();
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    context.drawImage(video, 0, 0);
    const image = context.getImageData(0, 0, canvas.width, canvas.height);
    if (frame % EVERY === 0 || !boxes.length) boxes = joined(boxes, await state.landmarker.detect(image, 320, 0.1));
    let faces = await state.landmarker.fit(image, boxes.slice(0, MOST));
    faces = faces.filter((face) => face.confidence.reduce((a, b) => a + b) / face.confidence.length > LOST);
    boxes = faces.map((face) => around(face.points));
    if (state.stream !== stream) return;
    draw(faces);
    spent = spent ? 0.9 * spent + 0.1 * (performance.now() - began) : performance.now() - began;
    report(faces, spent, 0);
    say(faces.length ? "Following." : "Looking for a face …");
    if (faces.length) done("following");
  }
}

/** Faces that are followed, and those found that none of them is. */
function joined(followed, found) {
  const middle = (box) => [box.x + box.width / 2, box.y + box.height / 2];
  const new_ = found.filter((box) => followed.every((other) => {
    const [[x, y], [u, v]] = [middle(box), middle(other)];
    return Math.hypot(x - u, y - v) > 0.5 * Math.max(other.width, other.height);
  }));
  return [...followed, ...new_];
}

// --- a box drawn by hand ------------------------------------------------------------------------------------------

function place(event) {
  const shown = canvas.getBoundingClientRect();
  return [((event.clientX - shown.left) * canvas.width) / shown.width, ((event.clientY - shown.top) * canvas.height) / shown.height];
}

function box(from, to) {
  return { x: Math.min(from[0], to[0]), y: Math.min(from[1], to[1]), width: Math.abs(from[0] - to[0]), height: Math.abs(from[1] - to[1]) };
}

canvas.addEventListener("pointerdown", (event) => {
  if (state.stream || !state.shown) return;
  state.drag = place(event);
  canvas.setPointerCapture(event.pointerId);
});
canvas.addEventListener("pointermove", (event) => {
  if (!state.drag) return;
  const { x, y, width, height } = box(state.drag, place(event));
  context.putImageData(state.shown, 0, 0);
  context.strokeStyle = "#ffb000";
  context.lineWidth = Math.max(2, canvas.width / 300);
  context.strokeRect(x, y, width, height);
});
canvas.addEventListener("pointerup", async (event) => {
  if (!state.drag) return;
  const drawn = box(state.drag, place(event));
  state.drag = null;
  await read(Math.min(drawn.width, drawn.height) < 12 ? undefined : [drawn]);
});

// --- what comes out, and the buttons ------------------------------------------------------------------------------

function json() {
  return JSON.stringify({
    scheme: state.landmarker.about.scheme,
    width: canvas.width,
    height: canvas.height,
    faces: state.faces.map(({ points, confidence, box: { x, y, width, height } }) => ({
      points: points.map((point) => point.map((value) => Number(value.toFixed(2)))),
      confidence: confidence.map((value) => Number(value.toFixed(3))),
      box: [x, y, width, height].map((value) => Number(value.toFixed(1))),
    })),
  });
}

function save() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([json()], { type: "application/json" }));
  link.download = "points.json";
  link.click();
  URL.revokeObjectURL(link.href);
}

async function example() {
  await showPicture(await createImageBitmap(await (await fetch("example.jpg")).blob()));
}

async function start() {
  say("loading the networks, 16 MB once …");
  try {
    state.landmarker = await Landmarker.load((name) => say(`loading ${name} …`));
  } catch (error) {
    say(`The networks did not load (${error.message}). Serve the built page: make docs; python -m http.server --directory build/site`);
    done("failed");
    return;
  }
  for (const button of document.querySelectorAll("button.needs-model, input.needs-model")) button.disabled = false;
  say("Ready. Choose a picture, drop one here, or start the camera.");
  done("ready");
  const wish = location.hash.slice(1); // #example and #camera start at once
  if (wish === "example") await example();
  if (wish === "camera") await startCamera();
}

byId("file").addEventListener("change", (event) => open(event.target.files[0]));
byId("example").addEventListener("click", example);
byId("camera").addEventListener("click", () => (state.stream ? stopCamera() : startCamera()));
byId("save").addEventListener("click", save);
byId("copy").addEventListener("click", async () => { await navigator.clipboard.writeText(json()); say("Copied as JSON."); });
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => { event.preventDefault(); open(event.dataTransfer.files[0]); });
document.addEventListener("paste", (event) => open(event.clipboardData.files[0]));
window.fakeit = { state, json };
start();
