// Source picture → the crops that networks see, as fakeit/pipelines/faces/crop.py makes them: averaged over whole blocks
// where it shrinks, then one bilinear warp. Frames as there: the centre of a picture's first pixel is at (0, 0).

/** A picture as float RGB. `pixels` is Float32Array(3 · width · height), 0 to 255. */
export class Picture {
  constructor(width, height, pixels) {
    this.width = width;
    this.height = height;
    this.pixels = pixels;
    this.averaged = new Map([[1, this]]);
  }

  static from(imageData) {
    const { width, height, data } = imageData;
    const pixels = new Float32Array(3 * width * height);
    for (let from = 0, to = 0; from < data.length; from += 4, to += 3) {
      pixels[to] = data[from];
      pixels[to + 1] = data[from + 1];
      pixels[to + 2] = data[from + 2];
    }
    return new Picture(width, height, pixels);
  }

  /** The picture over factor × factor blocks; kept, since several faces may ask. */
  over(factor) {
    if (!this.averaged.has(factor)) {
      const width = Math.floor(this.width / factor);
      const height = Math.floor(this.height / factor);
      this.averaged.set(factor, new Picture(width, height, this.area(0, 0, width * factor, height * factor, width, height)));
    }
    return this.averaged.get(factor);
  }

  /** Pixels left … right, top … bottom (whole numbers) averaged into columns × rows cells, as torch's "area" does. */
  area(left, top, right, bottom, columns, rows) {
    const out = new Float32Array(3 * columns * rows);
    const wide = right - left;
    const high = bottom - top;
    for (let row = 0, to = 0; row < rows; row++) {
      const y0 = top + Math.floor((row * high) / rows);
      const y1 = top + Math.ceil(((row + 1) * high) / rows);
      for (let column = 0; column < columns; column++, to += 3) {
        const x0 = left + Math.floor((column * wide) / columns);
        const x1 = left + Math.ceil(((column + 1) * wide) / columns);
        let red = 0, green = 0, blue = 0;
        for (let y = y0; y < y1; y++) {
          for (let at = 3 * (y * this.width + x0), end = 3 * (y * this.width + x1); at < end; at += 3) {
            red += this.pixels[at];
            green += this.pixels[at + 1];
            blue += this.pixels[at + 2];
          }
        }
        const share = 1 / ((y1 - y0) * (x1 - x0));
        out[to] = red * share;
        out[to + 1] = green * share;
        out[to + 2] = blue * share;
      }
    }
    return out;
  }

  /** The picture made smaller, each new pixel the mean of exactly what it covers (OpenCV's INTER_AREA). */
  shrunk(columns, rows) {
    const narrow = averaged(this.pixels, this.height, this.width, columns, 3);
    return new Picture(columns, rows, averaged(narrow, 1, this.height, rows, 3 * columns));
  }

  /** The square crop of `side` source pixels around `centre`: Uint8Array(size · size · 3); outside is black. */
  crop([x, y], side, size) {
    const factor = Math.max(1, Math.min(Math.round(side / size), this.width, this.height));
    const level = this.over(factor);
    const step = side / size / factor;
    const x0 = (x - (factor - 1) / 2) / factor - (step * (size - 1)) / 2;
    const y0 = (y - (factor - 1) / 2) / factor - (step * (size - 1)) / 2;
    const out = new Uint8Array(3 * size * size);
    for (let row = 0, to = 0; row < size; row++) {
      for (let column = 0; column < size; column++, to += 3) level.between(x0 + column * step, y0 + row * step, out, to);
    }
    return out;
  }

  between(x, y, out, to) {
    const left = Math.floor(x);
    const top = Math.floor(y);
    let red = 0.5, green = 0.5, blue = 0.5;
    for (let dy = 0; dy < 2; dy++) {
      for (let dx = 0; dx < 2; dx++) {
        const u = left + dx;
        const v = top + dy;
        if (u < 0 || v < 0 || u >= this.width || v >= this.height) continue;
        const share = (dx ? x - left : 1 - x + left) * (dy ? y - top : 1 - y + top);
        const at = 3 * (v * this.width + u);
        red += share * this.pixels[at];
        green += share * this.pixels[at + 1];
        blue += share * this.pixels[at + 2];
      }
    }
    out[to] = red;
    out[to + 1] = green;
    out[to + 2] = blue;
  }
}

/** Runs of `length` cells of `cell` numbers, `runs` of them one after the other → runs of `wanted` cells, by shares covered. */
function averaged(from, runs, length, wanted, cell) {
  const out = new Float32Array(runs * wanted * cell);
  const scale = length / wanted;
  for (let to = 0; to < wanted; to++) {
    const [begin, end] = [to * scale, Math.min(length, (to + 1) * scale)];
    for (let at = Math.floor(begin); at < end; at++) {
      const share = (Math.min(end, at + 1) - Math.max(begin, at)) / (end - begin);
      for (let run = 0; run < runs; run++) {
        const [read, write] = [(run * length + at) * cell, (run * wanted + to) * cell];
        for (let n = 0; n < cell; n++) out[write + n] += share * from[read + n];
      }
    }
  }
  return out;
}
