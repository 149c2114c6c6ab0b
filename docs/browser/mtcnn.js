// Where the faces are: MTCNN's three networks (Zhang et al. 2016, https://arxiv.org/abs/1604.02878; weights of
// facenet-pytorch, MIT), with the steps between them as fakeit/pipelines/faces/detect.py has them.

const THRESHOLDS = [0.6, 0.7, 0.7];
const STEP = 0.5; // from one size of the picture to the next
const SMALLEST = 0.1; // of the picture's shorter side

/** Boxes are [left, top, right, bottom, score]. */
export class Mtcnn {
  constructor(run) {
    this.run = run; // (network's name, pixels, shape) → outputs by name
  }

  /** The boxes {x, y, width, height, score} of the faces in a Picture, best first. */
  async detect(picture, smallest = SMALLEST) {
    const { width, height } = picture;
    if (Math.min(width, height) < 20) return [];
    let boxes = await this.proposals(picture, Math.max(20, Math.round(smallest * Math.min(width, height))));
    boxes = await this.judged(picture, boxes, "rnet", 24, THRESHOLDS[1], "union");
    boxes = await this.judged(picture, boxes.map(square), "onet", 48, THRESHOLDS[2], "smaller");
    return boxes
      .map(([left, top, right, bottom, score]) => ({ x: left, y: top, width: right - left, height: bottom - top, score }))
      .filter((box) => box.width > 0 && box.height > 0);
  }

  async proposals(picture, smallest) {
    const { width, height } = picture;
    const all = [];
    for (let scale = 12 / smallest; Math.min(width, height) * scale >= 12; scale *= STEP) {
      const columns = Math.floor(width * scale + 1);
      const rows = Math.floor(height * scale + 1);
      const pixels = picture.area(0, 0, width, height, columns, rows);
      const { score, box } = await this.run("pnet", pixels, [1, rows, columns, 3]);
      const [, high, wide] = score.dims;
      const found = [];
      for (let at = 0; at < high * wide; at++) {
        if (score.data[at] < THRESHOLDS[0]) continue;
        const x = at % wide;
        const y = (at - x) / wide;
        const move = [0, 1, 2, 3].map((side) => box.data[side * high * wide + at]);
        const corners = [2 * x + 1, 2 * y + 1, 2 * x + 12, 2 * y + 12].map((value) => Math.floor(value / scale));
        found.push([...corners, score.data[at], move]);
      }
      all.push(...apart(found, 0.5, "union"));
    }
    return apart(all, 0.7, "union").map(([left, top, right, bottom, score, move]) => {
      const wide = right - left;
      const high = bottom - top;
      return square([left + move[0] * wide, top + move[1] * high, right + move[2] * wide, bottom + move[3] * high, score]);
    });
  }

  async judged(picture, boxes, name, size, threshold, overlap) {
    const places = boxes.map(([left, top, right, bottom]) => [
      Math.max(1, Math.trunc(left)), Math.max(1, Math.trunc(top)),
      Math.min(picture.width, Math.trunc(right)), Math.min(picture.height, Math.trunc(bottom)),
    ]);
    const inside = boxes.map((_, n) => n).filter((n) => places[n][2] > places[n][0] - 1 && places[n][3] > places[n][1] - 1);
    if (!inside.length) return [];
    const cell = 3 * size * size;
    const pixels = new Float32Array(cell * inside.length);
    inside.forEach((n, at) => {
      const [left, top, right, bottom] = places[n];
      pixels.set(picture.area(left - 1, top - 1, right, bottom, size, size), at * cell);
    });
    const { score, box } = await this.run(name, pixels, [inside.length, size, size, 3]);
    const kept = [];
    inside.forEach((n, at) => {
      if (score.data[at] <= threshold) return;
      kept.push([...boxes[n].slice(0, 4), score.data[at], Array.from(box.data.subarray(4 * at, 4 * at + 4))]);
    });
    // The second network's boxes are moved after the overlapping ones have gone, the third's before.
    return overlap === "union" ? apart(kept, 0.7, overlap).map(moved) : apart(kept.map(moved), 0.7, overlap);
  }
}

function moved([left, top, right, bottom, score, move]) {
  const wide = right - left + 1;
  const high = bottom - top + 1;
  return [left + move[0] * wide, top + move[1] * high, right + move[2] * wide, bottom + move[3] * high, score];
}

function square([left, top, right, bottom, score]) {
  const side = Math.max(right - left, bottom - top);
  const x = (left + right - side) / 2;
  const y = (top + bottom - side) / 2;
  return [x, y, x + side, y + side, score];
}

/** The best of boxes that overlap: by the share of what both cover ("union") or of the smaller one ("smaller"). */
function apart(boxes, limit, by) {
  const kept = [];
  for (const box of [...boxes].sort((a, b) => b[4] - a[4])) {
    if (kept.every((other) => overlap(box, other, by) <= limit)) kept.push(box);
  }
  return kept;
}

function overlap(a, b, by) {
  const wide = Math.max(0, Math.min(a[2], b[2]) - Math.max(a[0], b[0]));
  const high = Math.max(0, Math.min(a[3], b[3]) - Math.max(a[1], b[1]));
  const [first, second] = [a, b].map((box) => (box[2] - box[0]) * (box[3] - box[1]));
  const both = wide * high;
  return both / Math.max(by === "union" ? first + second - both : Math.min(first, second), 1e-9);
}
