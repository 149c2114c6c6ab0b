// node read_in_node.mjs PAGE PICTURES: what the page's own landmarker finds, without a browser, as JSON.
// PICTURES: [{file, width, height, side, smallest}] in a file; `file` holds RGBA bytes, side and smallest go to detect.
import { readFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";

globalThis.fetch = async (url) => new Response(await readFile(new URL(url))); // node's own opens no files

const [page, pictures] = process.argv.slice(2);
const { Landmarker } = await import(pathToFileURL(`${page}/landmarker.js`).href);
const landmarker = await Landmarker.load();
const found = [];
for (const { file, width, height, side, smallest } of JSON.parse(await readFile(pictures, "utf8"))) {
  const picture = { width, height, data: new Uint8ClampedArray(await readFile(file)) };
  const faces = await landmarker.fit(picture, await landmarker.detect(picture, side, smallest));
  const plain = ({ x, y, width, height }) => [x, y, width, height];
  found.push(faces.map(({ box, points, confidence }) => ({ box: plain(box), points, confidence })));
}
process.stdout.write(JSON.stringify(found));
