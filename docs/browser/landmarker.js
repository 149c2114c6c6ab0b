// A picture in, its faces out: what fakeit.Landmarker does, in the browser, by onnxruntime's WebAssembly. What the crop
// looks like and where MTCNN's boxes lie is read from models.json, which the build writes from the model and the code.
import * as ort from "./vendor/ort.wasm.min.mjs";
import { Mtcnn } from "./mtcnn.js";
import { Picture } from "./picture.js";

ort.env.wasm.numThreads = 1; // more need headers that a plain http.server does not send
ort.env.wasm.wasmPaths = new URL("vendor/", import.meta.url).href;

const NEAR = 0.03; // confidence: the chance that a point lies within this share of the crop's side
const DETECT_SIDE = 960;

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
    made.detector = new Mtcnn((name, pixels, shape) => made.run(name, "float32", pixels, shape));
    await made.fit({ width: 8, height: 8, data: new Uint8ClampedArray(256) }, [{ x: 0, y: 0, width: 8, height: 8 }]); // the first run is slow
    return made;
  }

  async run(name, type, values, shape) {
    const session = this.sessions[name];
    return session.run({ [session.inputNames[0]]: new ort.Tensor(type, values, shape) });
  }

  /** Boxes tight around the points, as training used them, the largest first. `side`: the picture is shrunk to it before. */
  async detect(imageData, side = DETECT_SIDE, smallest = undefined) {
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

  /** Faces {points: [[x, y] …] in source pixels, confidence: […], box, milliseconds} in known boxes. */
  async fit(imageData, boxes) {
    if (!boxes.length) return [];
    const { size, margin } = this.about.crop;
    const picture = Picture.from(imageData);
    const began = performance.now();
    const crops = new Uint8Array(boxes.length * 3 * size * size);
    const frames = boxes.map((box, n) => {
      const side = Math.max(box.width, box.height) * (1 + 2 * margin);
      const centre = [box.x + box.width / 2, box.y + box.height / 2];
      crops.set(picture.crop(centre, side, size), n * 3 * size * size);
      return { left: centre[0] - (side * (size - 1)) / (2 * size), top: centre[1] - (side * (size - 1)) / (2 * size), side };
    });
    const { points, log_sigma: spread } = await this.run("landmarks", "uint8", crops, [boxes.length, size, size, 3]);
    const milliseconds = (performance.now() - began) / boxes.length;
    const count = points.dims[1];
    return boxes.map((box, n) => {
      const { left, top, side } = frames[n];
      const face = { box, milliseconds, points: [], confidence: [] };
      for (let k = 0; k < count; k++) {
        const at = 2 * (n * count + k);
        const place = (unit) => ((unit * size - 0.5) * side) / size; // unit crop → source pixels from the crop's first
        face.points.push([left + place(points.data[at]), top + place(points.data[at + 1])]);
        const sigma = Math.exp(Math.min(6, Math.max(-12, spread.data[n * count + k])));
        face.confidence.push(1 - Math.exp(-0.5 * (NEAR / sigma) ** 2));
      }
      return face;
    });
  }
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
