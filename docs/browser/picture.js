// Source picture → the crops that networks see, as fakeit/pipelines/faces/crop.py makes them: averaged over whole blocks
// where it shrinks, then one bilinear warp. Frames as there: the centre of a picture's first pixel is at (0, 0).

/** A picture as float RGB. `pixels` is Float32Array(3 · width · height), 0 to 255. */
export class Picture {
  constructor(width, height, pixels) {
    this.width = width;
    this.height = height;
    this.pixels = pixels;
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

  /** The means of factor × factor blocks, of `columns` × `rows` blocks from the block in column `left` and row `top` on. */
  blocks(factor, left, top, columns, rows) {
    const out = new Float32Array(3 * columns * rows);
    for (let row = 0; row < rows * factor; row++) {
      let from = 3 * ((top * factor + row) * this.width + left * factor);
      let to = 3 * columns * Math.floor(row / factor);
      for (let column = 0; column < columns; column++, to += 3) {
        for (let n = 0; n < factor; n++, from += 3) {
          for (let colour = 0; colour < 3; colour++) out[to + colour] += this.pixels[from + colour];
        }
      }
    }
    return new Picture(columns, rows, out.map((sum) => sum / factor ** 2));
  }

  /** The picture made smaller, each new pixel the mean of exactly what it covers (OpenCV's INTER_AREA). */
  shrunk(columns, rows) {
    const narrow = averaged(this.pixels, this.height, this.width, columns, 3);
    return new Picture(columns, rows, averaged(narrow, 1, this.height, rows, 3 * columns));
  }

  /** The picture with the contrast of its lightness drawn out: crop.py's equalise(…, "histogram"), in whole numbers as
   * OpenCV has them. */
  equalised() {
    const count = this.width * this.height;
    const pixels = new Uint8ClampedArray(this.pixels);
    const [light, counts] = [new Uint8Array(count), new Uint32Array(256)];
    for (let n = 0, at = 0; n < count; n++, at += 3) {
      light[n] = rounded(4899 * pixels[at] + 9617 * pixels[at + 1] + 1868 * pixels[at + 2]);
      counts[light[n]]++;
    }
    const table = spread(counts, count);
    for (let n = 0, at = 0; n < count; n++, at += 3) {
      const [wanted, red, blue] = [table[light[n]], pixels[at] - light[n], pixels[at + 2] - light[n]];
      const [cr, cb] = [Math.min(127, rounded(11682 * red)), Math.min(127, rounded(9241 * blue))];
      pixels[at] = wanted + rounded(22987 * cr);
      pixels[at + 1] = wanted + rounded(-11698 * cr - 5636 * cb);
      pixels[at + 2] = wanted + rounded(29049 * cb);
    }
    return new Picture(this.width, this.height, new Float32Array(pixels));
  }

  /** The picture with `room` pixels more at each side, which go on as its edge is. */
  bordered(room) {
    const [width, height] = [this.width + 2 * room, this.height + 2 * room];
    const inside = (at, side) => Math.min(Math.max(at - room, 0), side - 1);
    const out = new Float32Array(3 * width * height);
    for (let y = 0, to = 0; y < height; y++) {
      const row = inside(y, this.height) * this.width;
      for (let x = 0; x < width; x++) {
        const from = 3 * (row + inside(x, this.width));
        for (let colour = 0; colour < 3; colour++) out[to++] = this.pixels[from + colour];
      }
    }
    return new Picture(width, height, out);
  }

  /** The square crop of `side` source pixels around `centre`, turned back by `angle` radians clockwise, as size × size
   * pixels: Uint8Array(size · size · 3); outside is black. What is averaged keeps `smallest` of the crop's resolution. */
  crop([x, y], side, { size, smallest }, angle = 0) {
    const nearest = Math.round(side / size);
    const wanted = side / size >= smallest * nearest ? nearest : Math.floor(side / size);
    const factor = Math.max(1, Math.min(wanted, this.width, this.height));
    const reach = (side / 2) * (Math.abs(Math.cos(angle)) + Math.abs(Math.sin(angle)));
    const [left, columns] = span(x, reach, factor, this.width);
    const [top, rows] = span(y, reach, factor, this.height);
    const level = this.blocks(factor, left, top, columns, rows);
    const step = side / size / factor;
    const [right, down] = [Math.cos(angle) * step, Math.sin(angle) * step]; // in the picture, of one pixel to the right
    const middle = (size - 1) / 2;
    const x0 = (x - (factor - 1) / 2) / factor - left - right * middle + down * middle;
    const y0 = (y - (factor - 1) / 2) / factor - top - down * middle - right * middle;
    const out = new Uint8Array(3 * size * size);
    for (let row = 0, to = 0; row < size; row++) {
      for (let column = 0; column < size; column++, to += 3) {
        level.between(x0 + column * right - row * down, y0 + column * down + row * right, out, to);
      }
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

/** Of `length` pixels the blocks of `factor` that lie less than `reach` from `middle`, and two more: the first, how many. */
function span(middle, reach, factor, length) {
  const blocks = Math.floor(length / factor);
  const inside = (at) => Math.min(Math.max(at, 0), blocks);
  const first = inside(Math.floor((middle - reach) / factor) - 2);
  return [first, inside(Math.ceil((middle + reach) / factor) + 2) - first];
}

/** A number in units of 2⁻¹⁴ as a whole one. */
function rounded(value) {
  return (value + 8192) >> 14;
}

/** How often each of 256 lightnesses is there, `count` in all → the lightness to put in its place, so that all are
 * there alike (OpenCV's equalizeHist). */
function spread(counts, count) {
  const darkest = counts.findIndex((number) => number > 0);
  const table = new Uint8ClampedArray(256);
  if (counts[darkest] === count) return table.fill(darkest);
  const scale = Math.fround(255 / (count - counts[darkest]));
  for (let value = darkest + 1, below = 0; value < 256; value++) {
    below += counts[value];
    table[value] = Math.fround(below * scale);
  }
  return table;
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
