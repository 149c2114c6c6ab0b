// A picture in, its faces out: what fakeit.Landmarker does, in the browser, by onnxruntime's WebAssembly. What the crop
// looks like, where the detector's boxes lie and from which limits on things are done is read from models.json, which the
// build writes from the model and the code.
import * as ort from "./vendor/ort.wasm.min.mjs";
import { Picture } from "./picture.js";
import { Yunet } from "./yunet.js";

ort.env.wasm.numThreads = 1; // more need headers that a plain http.server does not send
ort.env.wasm.wasmPaths = new URL("vendor/", import.meta.url).href;

export class Landmarker {
  /** Loads the networks; `told` hears the name of each, for a line of progress. */
  static async load(told = () => {}) {
    const at = (file) => new URL(file, import.meta.url).href;
    const made = new Landmarker();
    made.about = await (await fetch(at("vendor/models.json"))).json();
    made.sessions = {};
    for (const [name, file] of Object.entries(made.about.files)) {
      told(name);
      made.sessions[name] = await ort.InferenceSession.create(at(`vendor/${file}`), { executionProviders: ["wasm"] });
    }
    made.detector = new Yunet((name, pixels, shape) => made.run(name, "float32", pixels, shape), made.about.yunet);
    const blank = { width: 32, height: 32, data: new Uint8ClampedArray(4096) }; // the first runs are slow
    await made.fit(blank, [{ x: 0, y: 0, width: 32, height: 32 }]);
    await made.detect(blank);
    return made;
  }

  async run(name, type, values, shape) {
    const session = this.sessions[name];
    return session.run({ [session.inputNames[0]]: new ort.Tensor(type, values, shape) });
  }

  /** Boxes tight around the points, as training used them, the largest first. `side`: the picture is shrunk to it before. */
  async detect(imageData, side = this.about.detect_side, smallest = undefined) {
    const shrink = Math.max(1, Math.max(imageData.width, imageData.height) / side);
    const whole = Picture.from(imageData);
    const columns = Math.max(1, Math.round(whole.width / shrink));
    const rows = Math.max(1, Math.round(whole.height / shrink));
    const small = shrink > 1 ? whole.shrunk(columns, rows) : whole;
    const [across, down] = [whole.width / columns, whole.height / rows];
    const found = await this.detector.detect(small, smallest);
    return found
      .map((box) => fitted({ x: box.x * across, y: box.y * down, width: box.width * across, height: box.height * down }, this.about.box_fit))
      .sort((a, b) => b.width * b.height - a.width * a.height);
  }

  /** Faces {points: [[x, y] …] in source pixels, confidence: […], box, milliseconds} in known boxes; those that lie on
   * their sides are read again from a crop turned upright. */
  async fit(imageData, boxes) {
    if (!boxes.length) return [];
    const picture = Picture.from(imageData);
    const began = performance.now();
    let frames = boxes.map((box) => this.frame([box.x + box.width / 2, box.y + box.height / 2], Math.max(box.width, box.height), 0));
    const faces = await this.read(picture, frames);
    let last = faces.map((_, n) => n);
    for (let pass = 0; pass < this.about.upright.passes && last.length; pass++) {
      const wanted = frames.map((frame, n) => (last.includes(n) ? this.upright(faces[n].points, frame) : frame));
      last = last.filter((n) => wanted[n] !== frames[n]);
      frames = wanted;
      (await this.read(picture, last.map((n) => frames[n]))).forEach((face, at) => (faces[last[at]] = face));
    }
    const milliseconds = (performance.now() - began) / boxes.length;
    return faces.map((face, n) => ({ box: boxes[n], milliseconds, ...face }));
  }

  /** The crop of a face whose box has its centre and longer side there, turned back by `angle` radians clockwise. */
  frame(centre, longer, angle) {
    return { centre, angle, side: longer * (1 + 2 * this.about.crop.margin) };
  }

  /** The frame for a second reading; the one of the first where that was level enough. */
  upright(points, frame) {
    const [left, right] = this.about.eyes.map((eye) => [0, 1].map((axis) => eye.reduce((sum, k) => sum + points[k][axis], 0) / eye.length));
    const angle = Math.atan2(right[1] - left[1], right[0] - left[0]);
    const apart = Math.atan2(Math.sin(angle - frame.angle), Math.cos(angle - frame.angle));
    if (!(Math.abs(apart) > (this.about.upright.degrees * Math.PI) / 180)) return frame;
    const box = around(points.map((point) => turned(point, -angle)));
    const centre = turned([box.x + box.width / 2, box.y + box.height / 2], angle);
    return this.frame(centre, Math.max(box.width, box.height), angle);
  }

  /** What the network says of each frame's crop: {points, confidence}. */
  async read(picture, frames) {
    if (!frames.length) return [];
    const { crop, sigma_fit: { scale, floor }, near } = this.about;
    const { size } = crop;
    const crops = new Uint8Array(frames.length * 3 * size * size);
    frames.forEach(({ centre, side, angle }, n) => crops.set(picture.crop(centre, side, crop, angle), n * 3 * size * size));
    const { points, log_sigma: spread } = await this.run("landmarks", "uint8", crops, [frames.length, size, size, 3]);
    const count = points.dims[1];
    return frames.map(({ centre, side, angle }, n) => {
      const face = { points: [], confidence: [] };
      for (let k = 0; k < count; k++) {
        const at = 2 * (n * count + k);
        const [x, y] = turned([points.data[at], points.data[at + 1]].map((unit) => (unit - 0.5) * side), angle);
        face.points.push([centre[0] + x, centre[1] + y]);
        const sigma = Math.hypot(scale * Math.exp(Math.min(6, Math.max(-12, spread.data[n * count + k]))), floor);
        face.confidence.push(1 - Math.exp(-0.5 * (near / sigma) ** 2));
      }
      return face;
    });
  }
}

/** A point turned about (0, 0) by `angle` radians clockwise. */
function turned([x, y], angle) {
  const [sine, cosine] = [Math.sin(angle), Math.cos(angle)];
  return [cosine * x - sine * y, sine * x + cosine * y];
}

function fitted(box, { dx, dy, scale, aspect }) {
  const longer = Math.max(box.width, box.height);
  const width = longer * scale * Math.min(1, aspect);
  const height = longer * scale * Math.min(1, 1 / aspect);
  return {
    x: box.x + box.width / 2 + dx * longer - width / 2,
    y: box.y + box.height / 2 + dy * longer - height / 2,
    width,
    height,
  };
}

/** The tight box of points: where the next frame of a video looks for the same face. */
export function around(points) {
  const [xs, ys] = [points.map((p) => p[0]), points.map((p) => p[1])];
  const [x, y] = [Math.min(...xs), Math.min(...ys)];
  return { x, y, width: Math.max(...xs) - x, height: Math.max(...ys) - y };
}
