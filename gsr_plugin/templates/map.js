"use strict";
// The maps: unpacking, colours, and drawing of the die in a view that zooms and moves.

const $ = (id) => document.getElementById(id);
const DATA = JSON.parse($("data").textContent);
const X = DATA.x_um, Y = DATA.y_um, NX = X.length - 1, NY = Y.length - 1;
const MAPS = {};
const KINDS = [
  { name: "prediction", title: "Prediction", map: "congestion", scale: "congestion", unit: "predicted demand / tracks" },
  { name: "uncertainty", title: "Uncertainty", map: "sigma", scale: "ramp", unit: "one standard deviation" },
  { name: "rudy", title: "RUDY", map: "rudy", scale: "congestion", unit: "RUDY / tracks" },
  { name: "router", title: "Router", map: "truth", scale: "congestion", unit: "routed demand / tracks" },
  { name: "difference", title: "Difference", map: "difference", scale: "signed", unit: "prediction − router" },
  { name: "plan", title: "Plan", map: "plan", scale: "share", unit: "share of the gcell kept free", isGcell: true },
  { name: "drc", title: "DRC", map: "drc", scale: "ramp", unit: "violations of the detailed route", isGcell: true },
  { name: "risk", title: "Likely DRC", map: "drc_prob", scale: "chance", unit: "probability of a violation in detailed routing", isGcell: true },
];
const DIRECTIONS = { h: "Horizontal", v: "Vertical", w: "Worst" };
const state = { kind: "prediction", d: "w", cursor: null, hover: null, spot: null, mark: null };
const view = { k: 1, x: 0, y: 0, width: 0, height: 0 };
const PAD = { left: 54, right: 92, top: 12, bottom: 40 };
const images = new Map(), scales = new Map();

const kindOf = (name) => KINDS.find((kind) => kind.name === name);
const isDark = () => document.documentElement.dataset.theme === "dark";
const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

async function unpack(packed) {
  const bytes = Uint8Array.from(atob(packed.data), (sign) => sign.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const raw = new Uint8Array(await new Response(stream).arrayBuffer());
  const n = NX * NY, out = new Float32Array(n);
  for (let y = 0, i = 0; y < NY; y++) {
    for (let x = 0, steps = 0; x < NX; x++, i++) {
      steps = (steps + raw[i] + 256 * raw[n + i]) & 0xffff;
      out[i] = steps === 0xffff ? NaN : steps * packed.step;
    }
  }
  return out;
}

async function unpackAll() {
  await Promise.all(Object.entries(DATA.maps).map(async ([name, packed]) => { MAPS[name] = await unpack(packed); }));
  for (const d of "hv") {
    if (MAPS[`truth_${d}`]) MAPS[`difference_${d}`] = MAPS[`congestion_${d}`].map((v, i) => v - MAPS[`truth_${d}`][i]);
  }
}

const has = (kind) => Boolean(MAPS[kind.isGcell ? kind.map : `${kind.map}_h`]);

function worse(a, b) {
  if (Number.isNaN(a)) return b;
  return Number.isNaN(b) || Math.abs(a) >= Math.abs(b) ? a : b;
}

/** The values of a map; the last column (H) or row (V), where no edge is, repeats its neighbour. */
function valuesOf(kind, d) {
  const name = `${kind.map}_shown_${d}`;
  if (kind.isGcell) return MAPS[kind.map];
  if (!MAPS[name]) {
    const h = MAPS[`${kind.map}_h`], v = MAPS[`${kind.map}_v`];
    const out = d === "w" ? h.map((value, i) => worse(value, v[i])) : Float32Array.from(d === "h" ? h : v);
    if (d !== "v" && NX > 1) for (let i = NX - 1; i < NX * NY; i += NX) if (Number.isNaN(out[i])) out[i] = out[i - 1];
    if (d !== "h" && NY > 1) for (let i = NX * (NY - 1); i < NX * NY; i++) if (Number.isNaN(out[i])) out[i] = out[i - NX];
    MAPS[name] = out;
  }
  return MAPS[name];
}

// ---- colours

const channels = (colour) => [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));

function between(stops, t) {
  const place = Math.min(Math.max(t, 0), 1) * (stops.length - 1), i = Math.min(Math.floor(place), stops.length - 2);
  const a = channels(stops[i]), b = channels(stops[i + 1]);
  return a.map((value, k) => Math.round(value + (b[k] - value) * (place - i)));
}

/** Ends, ticks and colours of a kind's scale, the same for its directions. */
function scaleOf(kind) {
  const name = `${kind.name} ${isDark()}`;
  if (!scales.has(name)) scales.set(name, makeScale(kind));
  return scales.get(name);
}

function makeScale(kind) {
  const stops = DATA.colours[isDark() ? "dark" : "light"], full = DATA.full;
  if (kind.scale === "congestion") {
    const step = DATA.limit <= 1.5 ? 0.25 : 0.5;
    const colour = (v) => v > full ? between(stops.above, (v - full) / (DATA.limit - full)) : between(stops.below, v / full);
    return { low: 0, high: DATA.limit, step, colour };
  }
  let top = kind.scale === "chance" ? 1 : kind.scale === "share" ? 0.5 : 0.01;
  for (const d of kind.isGcell ? "w" : "hv") for (const v of valuesOf(kind, d)) if (Math.abs(v) > top) top = Math.abs(v);
  if (kind.scale === "signed") {
    top = Math.max(0.1, Math.min(top, 1));
    return { low: -top, high: top, step: nice(top / 2), colour: (v) => between(v < 0 ? stops.minus : stops.plus, Math.abs(v) / top) };
  }
  const ramp = kind.scale === "share" ? stops.share : stops.ramp;
  return { low: 0, high: top, step: nice(top / 3), colour: (v) => between(ramp, v / top) };
}

function nice(step) {
  const unit = 10 ** Math.floor(Math.log10(step));
  return [1, 2, 5, 10].find((n) => n * unit >= step * 0.999) * unit;
}

/** The map as a picture of one pixel a gcell, row 0 at the bottom. */
function imageOf(kind, d) {
  const name = `${kind.name} ${d} ${isDark()}`;
  if (images.has(name)) return images.get(name);
  const values = valuesOf(kind, d), scale = scaleOf(kind), size = 1024;
  const table = Array.from({ length: size }, (_, i) => scale.colour(scale.low + (i / (size - 1)) * (scale.high - scale.low)));
  const picture = new ImageData(NX, NY);
  for (let y = 0, i = 0; y < NY; y++) {
    for (let x = 0, at = (NY - 1 - y) * NX * 4; x < NX; x++, i++, at += 4) {
      const v = values[i];
      if (Number.isNaN(v) || (kind.isGcell && v === 0)) continue;
      const place = (v - scale.low) / (scale.high - scale.low) * (size - 1);
      picture.data.set(table[Math.min(Math.max(Math.round(place), 0), size - 1)], at);
      picture.data[at + 3] = 255;
    }
  }
  const canvas = document.createElement("canvas");
  canvas.width = NX, canvas.height = NY;
  canvas.getContext("2d").putImageData(picture, 0, 0);
  images.set(name, canvas);
  return canvas;
}

// ---- the view

const px = (x) => PAD.left + (x - view.x) * view.k;
const py = (y) => view.height - PAD.bottom - (y - view.y) * view.k;
const plot = () => ({ x: PAD.left, y: PAD.top, w: view.width - PAD.left - PAD.right, h: view.height - PAD.top - PAD.bottom });

function fit() {
  const { w, h } = plot(), width = X[NX] - X[0], height = Y[NY] - Y[0];
  view.k = Math.min(w / width, h / height);
  view.x = X[0] - (w / view.k - width) / 2;
  view.y = Y[0] - (h / view.k - height) / 2;
}

function zoom(factor, at = null) {
  const { x, y, w, h } = plot(), least = Math.min(w / (X[NX] - X[0]), h / (Y[NY] - Y[0]));
  const [cx, cy] = at ?? [x + w / 2, y + h / 2];
  const ux = view.x + (cx - PAD.left) / view.k, uy = view.y + (view.height - PAD.bottom - cy) / view.k;
  const k = Math.min(Math.max(view.k * factor, least), 120 / Math.min(X[1] - X[0], Y[1] - Y[0]));
  if (k === least) fit();
  else {
    view.k = k;
    view.x = ux - (cx - PAD.left) / k;
    view.y = uy - (view.height - PAD.bottom - cy) / k;
  }
  draw();
}

/** Moves the view so that a box in um is within it. */
function reveal([x1, y1, x2, y2]) {
  const { w, h } = plot();
  if (x1 < view.x || x2 > view.x + w / view.k) view.x = (x1 + x2) / 2 - w / view.k / 2;
  if (y1 < view.y || y2 > view.y + h / view.k) view.y = (y1 + y2) / 2 - h / view.k / 2;
}

function indexOf(borders, at) {
  let low = 0, high = borders.length - 1;
  if (at < borders[0] || at >= borders[high]) return -1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (borders[middle] <= at) low = middle;
    else high = middle;
  }
  return low;
}

function gcellAt(cx, cy) {
  const area = plot();
  if (cx < area.x || cx > area.x + area.w || cy < area.y || cy > area.y + area.h) return null;
  const ix = indexOf(X, view.x + (cx - PAD.left) / view.k), iy = indexOf(Y, view.y + (view.height - PAD.bottom - cy) / view.k);
  return ix < 0 || iy < 0 ? null : [ix, iy];
}

const boxOf = (x0, y0, x1, y1) => [X[x0], Y[y0], X[x1 + 1], Y[y1 + 1]];
const isShown = (spot) => state.d === "w" || spot.d === state.d;

/** The smallest hot spot shown whose box holds the gcell. */
function spotAt([ix, iy]) {
  const x = (X[ix] + X[ix + 1]) / 2, y = (Y[iy] + Y[iy + 1]) / 2, size = ({ box }) => (box[2] - box[0]) * (box[3] - box[1]);
  const holds = ({ box }) => box[0] <= x && x < box[2] && box[1] <= y && y < box[3];
  return DATA.spots.filter((s) => isShown(s) && holds(s)).sort((a, b) => size(a) - size(b) || a.rank - b.rank)[0] ?? null;
}
