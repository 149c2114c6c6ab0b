// Where the faces are: YuNet (Wu, Peng and Yu 2023, https://doi.org/10.1007/s11633-023-1423-y; weights of
// libfacedetection.train, Apache-2.0), read as fakeit/pipelines/faces/yunet.py and detect.py read it.

export class Yunet {
  /** `run`: (network's name, pixels, shape) → outputs by name. `about`: the network's `strides`; `least`, pixels of the
   * smallest face in what it sees; `smallest`, that face as a share of the picture's shorter side; `most`, pixels of a
   * shorter side in which a face may fill the picture, and `step`, by which it is shrunk as long as it has more; `room`
   * around a picture that is looked at again, as a share of its shorter side; `threshold`, what it must be sure by;
   * `overlap`, by which boxes of one face overlap at least. */
  constructor(run, about) {
    this.run = run;
    this.about = about;
  }

  /** The boxes {x, y, width, height, score} of the faces in a Picture, best first. */
  async detect(picture, smallest = this.about.smallest) {
    const shorter = Math.min(picture.width, picture.height);
    if (shorter < 10) return [];
    const found = await this.looks(picture, smallest);
    if (found.length) return found;
    const room = Math.round(this.about.room * shorter);
    const again = await this.looks(picture.equalised().bordered(room), smallest);
    return again.map((box) => ({ ...box, x: box.x - room, y: box.y - room }));
  }

  /** The boxes in a picture seen at one size after the other: small faces first, those that fill it last. */
  async looks(picture, smallest) {
    const shorter = Math.min(picture.width, picture.height);
    const { least, most, step, overlap } = this.about;
    const found = [];
    let scale = Math.min(1, least / (smallest * shorter));
    do {
      found.push(...(await this.look(picture, scale)));
      scale /= step;
    } while (scale * step * shorter > most);
    return apart(found, overlap);
  }

  async look(picture, scale) {
    const { width, height } = picture;
    const { strides, threshold } = this.about;
    const [columns, rows] = [width, height].map((side) => Math.max(1, Math.round(side * scale)));
    const [across, down] = [columns, rows].map((side) => Math.ceil(side / strides.at(-1)) * strides.at(-1));
    const said = await this.run("yunet", planes(scale < 1 ? picture.shrunk(columns, rows) : picture, across, down), [1, 3, down, across]);
    const found = strides.flatMap((stride) => ofStride(said, stride, across / stride, threshold));
    return apart(found, this.about.overlap).map((box) => ({
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

function ofStride(said, stride, columns, threshold) {
  const [face, object, shape] = ["cls", "obj", "bbox"].map((name) => said[`${name}_${stride}`].data);
  const found = [];
  face.forEach((value, at) => {
    const score = Math.sqrt(Math.min(1, Math.max(0, value)) * Math.min(1, Math.max(0, object[at])));
    if (score < threshold) return;
    const [dx, dy, wide, high] = shape.subarray(4 * at, 4 * at + 4);
    const [width, height] = [Math.exp(wide) * stride, Math.exp(high) * stride];
    const x = ((at % columns) + dx) * stride - width / 2;
    const y = (Math.floor(at / columns) + dy) * stride - height / 2;
    found.push({ x, y, width, height, score });
  });
  return found;
}

/** The best of boxes that overlap by more than `most`. */
function apart(boxes, most) {
  const kept = [];
  for (const box of boxes.sort((a, b) => b.score - a.score)) {
    if (kept.every((other) => shared(box, other) <= most)) kept.push(box);
  }
  return kept;
}

function shared(a, b) {
  const wide = Math.max(0, Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x));
  const high = Math.max(0, Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y));
  return (wide * high) / (a.width * a.height + b.width * b.height - wide * high);
}
