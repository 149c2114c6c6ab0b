// Where the faces are: YuNet (Wu, Peng and Yu 2023, https://doi.org/10.1007/s11633-023-1423-y; weights of
// libfacedetection.train, Apache-2.0), read as fakeit/pipelines/faces/yunet.py and detect.py read it.

const STRIDES = [8, 16, 32];
const LEAST = 15; // pixels of the smallest face in what the network sees
const SMALLEST = 0.05; // of the picture's shorter side
const THRESHOLD = 0.6;
const OVERLAP = 0.3; // of two boxes of one face

export class Yunet {
  constructor(run) {
    this.run = run; // (network's name, pixels, shape) → outputs by name
  }

  /** The boxes {x, y, width, height, score} of the faces in a Picture, best first. */
  async detect(picture, smallest = SMALLEST) {
    const { width, height } = picture;
    if (Math.min(width, height) < 10) return [];
    const scale = Math.min(1, LEAST / (smallest * Math.min(width, height)));
    const [columns, rows] = [width, height].map((side) => Math.max(1, Math.round(side * scale)));
    const [across, down] = [columns, rows].map((side) => Math.ceil(side / 32) * 32);
    const said = await this.run("yunet", planes(scale < 1 ? picture.shrunk(columns, rows) : picture, across, down), [1, 3, down, across]);
    const found = STRIDES.flatMap((stride) => ofStride(said, stride, across / stride));
    return apart(found).map((box) => ({
      x: (box.x * width) / columns,
      y: (box.y * height) / rows,
      width: (box.width * width) / columns,
      height: (box.height * height) / rows,
      score: box.score,
    }));
  }
}

/** A picture as planes of blue, green and red, black below and right of it. */
function planes({ width, height, pixels }, across, down) {
  const out = new Float32Array(3 * across * down);
  for (let y = 0, from = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let colour = 2; colour >= 0; colour--, from++) out[(colour * down + y) * across + x] = Math.round(pixels[from]);
    }
  }
  return out;
}

function ofStride(said, stride, columns) {
  const [face, object, shape] = ["cls", "obj", "bbox"].map((name) => said[`${name}_${stride}`].data);
  const found = [];
  face.forEach((value, at) => {
    const score = Math.sqrt(Math.min(1, Math.max(0, value)) * Math.min(1, Math.max(0, object[at])));
    if (score < THRESHOLD) return;
    const [dx, dy, wide, high] = shape.subarray(4 * at, 4 * at + 4);
    const [width, height] = [Math.exp(wide) * stride, Math.exp(high) * stride];
    const x = ((at % columns) + dx) * stride - width / 2;
    const y = (Math.floor(at / columns) + dy) * stride - height / 2;
    found.push({ x, y, width, height, score });
  });
  return found;
}

/** The best of boxes that overlap. */
function apart(boxes) {
  const kept = [];
  for (const box of boxes.sort((a, b) => b.score - a.score)) {
    if (kept.every((other) => overlap(box, other) <= OVERLAP)) kept.push(box);
  }
  return kept;
}

function overlap(a, b) {
  const wide = Math.max(0, Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x));
  const high = Math.max(0, Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y));
  return (wide * high) / (a.width * a.height + b.width * b.height - wide * high);
}
