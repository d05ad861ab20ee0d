// Drawing of the map, its boxes, axes and scale on the canvas.

const MAX_LABELS = 12;
let pending = false;

function draw() {
  if (pending) return;
  pending = true;
  requestAnimationFrame(() => { pending = false; drawNow(); });
}

function drawNow() {
  const canvas = $("map"), c = canvas.getContext("2d"), ratio = window.devicePixelRatio || 1;
  const width = Math.round(view.width * ratio), height = Math.round(view.height * ratio);
  if (canvas.width !== width || canvas.height !== height) canvas.width = width, canvas.height = height;
  c.setTransform(ratio, 0, 0, ratio, 0, 0);
  c.clearRect(0, 0, view.width, view.height);
  const kind = kindOf(state.kind), area = plot();
  c.save();
  c.beginPath();
  c.rect(area.x, area.y, area.w, area.h);
  c.clip();
  c.fillStyle = ink("--empty");
  c.fillRect(px(X[0]), py(Y[NY]), (X[NX] - X[0]) * view.k, (Y[NY] - Y[0]) * view.k);
  drawCells(c, imageOf(kind, state.d), ratio);
  drawValues(c, kind, area);
  drawSpots(c, area);
  drawMark(c);
  for (const [cell, wide] of [[state.hover, 1.2], [state.cursor, 2.2]]) if (cell) outline(c, boxOf(...cell, ...cell), ink("--accent"), wide);
  c.restore();
  drawAxes(c, area);
  drawScale(c, kind, area);
}

/** The picture in up to four pieces, since the last column and row of gcells may be wider. */
function drawCells(c, image, ratio) {
  const sharp = (v) => Math.round(v * ratio) / ratio;
  const pieces = (n) => n > 1 ? [[0, n - 1], [n - 1, n]] : [[0, 1]];
  c.imageSmoothingEnabled = (X[1] - X[0]) * view.k * ratio < 1;
  for (const [a, b] of pieces(NX)) for (const [low, high] of pieces(NY)) {
    const left = sharp(px(X[a])), top = sharp(py(Y[high]));
    c.drawImage(image, a, NY - high, b - a, high - low, left, top, sharp(px(X[b])) - left, sharp(py(Y[low])) - top);
  }
}

/** Numbers in the gcells, where there is room for them. */
function drawValues(c, kind, area) {
  if ((X[1] - X[0]) * view.k < 38) return;
  const values = valuesOf(kind, state.d), scale = scaleOf(kind);
  c.font = font(11);
  c.textAlign = "center", c.textBaseline = "middle";
  for (let iy = 0; iy < NY; iy++) {
    if (py(Y[iy]) < area.y || py(Y[iy + 1]) > area.y + area.h) continue;
    for (let ix = 0; ix < NX; ix++) {
      const v = values[iy * NX + ix], left = px(X[ix]), right = px(X[ix + 1]);
      if (Number.isNaN(v) || right < area.x || left > area.x + area.w || (kind.isGcell && v === 0)) continue;
      const [r, g, b] = scale.colour(v);
      c.fillStyle = 0.299 * r + 0.587 * g + 0.114 * b > 140 ? "#10151c" : "#ffffff";
      c.fillText(v.toFixed(2), (left + right) / 2, (py(Y[iy]) + py(Y[iy + 1])) / 2);
    }
  }
}

function outline(c, [x1, y1, x2, y2], colour, wide, dash = []) {
  const left = px(x1), top = py(y2), w = (x2 - x1) * view.k, h = (y2 - y1) * view.k;
  c.setLineDash([]);
  c.strokeStyle = ink("--halo"), c.lineWidth = wide + 2;
  c.strokeRect(left, top, w, h);
  c.setLineDash(dash);
  c.strokeStyle = colour, c.lineWidth = wide;
  c.strokeRect(left, top, w, h);
  c.setLineDash([]);
}

function drawSpots(c, area) {
  const open = DATA.spots.find((s) => s.rank === state.spot);
  c.globalAlpha = open ? 0.35 : 1;
  for (const spot of DATA.spots.filter((s) => isShown(s) && s !== open).reverse()) {
    outline(c, spot.box, ink("--box"), spot.rank <= MAX_LABELS ? 1.4 : 0.8, spot.isHot ? [] : [5, 3]);
    const wide = (spot.box[2] - spot.box[0]) * view.k, high = (spot.box[3] - spot.box[1]) * view.k;
    if (spot.rank <= MAX_LABELS || (wide > 26 && high > 22)) label(c, spot, ink("--box"), area);
  }
  c.globalAlpha = 1;
  if (!open) return;
  const [x1, y1, x2, y2] = open.box;
  c.beginPath();
  c.rect(area.x, area.y, area.w, area.h);
  c.rect(px(x1), py(y2), (x2 - x1) * view.k, (y2 - y1) * view.k);
  c.fillStyle = ink("--veil");
  c.fill("evenodd");
  outline(c, open.box, ink("--accent"), 2.6);
  label(c, open, ink("--accent"), area);
}

/** The rank of a hot spot in the upper left corner of its box, or above a small one. */
function label(c, spot, colour, area) {
  const [x1, , x2, y2] = spot.box, text = String(spot.rank);
  c.font = font(11, 700);
  const w = c.measureText(text).width + 7, h = 15, isSmall = (x2 - x1) * view.k < w + 4;
  const top = isSmall && py(y2) - h - 2 > area.y ? py(y2) - h - 2 : py(y2);
  c.fillStyle = colour;
  c.fillRect(px(x1) - 0.5, top, w, h);
  c.fillStyle = ink("--halo");
  c.textAlign = "left", c.textBaseline = "middle";
  c.fillText(text, px(x1) + 3, top + h / 2 + 0.5);
}

/** What a row of the panel stands for: the box of a net or an action, or the place of an inst. */
function drawMark(c) {
  const mark = state.mark;
  if (!mark) return;
  if (mark.length === 4) {
    c.fillStyle = ink("--mark");
    c.fillRect(px(mark[0]), py(mark[3]), (mark[2] - mark[0]) * view.k, (mark[3] - mark[1]) * view.k);
    outline(c, mark, ink("--accent"), 1.8, [6, 4]);
    return;
  }
  const [x, y] = [px(mark[0]), py(mark[1])];
  for (const [colour, wide] of [[ink("--halo"), 5], [ink("--accent"), 2.2]]) {
    c.strokeStyle = colour, c.lineWidth = wide;
    c.beginPath();
    c.arc(x, y, 8, 0, 2 * Math.PI);
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) c.moveTo(x + 8 * dx, y + 8 * dy), c.lineTo(x + 15 * dx, y + 15 * dy);
    c.stroke();
  }
}

const font = (size, weight = 400) => `${weight} ${size}px ${ink("--face")}`;

function drawAxes(c, area) {
  c.strokeStyle = ink("--axis"), c.lineWidth = 1;
  c.strokeRect(area.x - 0.5, area.y - 0.5, area.w + 1, area.h + 1);
  c.fillStyle = ink("--muted"), c.font = font(12);
  const step = nice(75 / view.k), digits = Math.max(0, -Math.floor(Math.log10(step)));
  c.textAlign = "center", c.textBaseline = "top";
  for (let x = Math.ceil(Math.max(view.x, X[0]) / step - 1e-6) * step; px(x) <= area.x + area.w + 0.5 && x <= X[NX]; x += step) {
    line(c, px(x), area.y + area.h, px(x), area.y + area.h + 4);
    c.fillText((x || 0).toFixed(digits), px(x), area.y + area.h + 7);
  }
  c.fillText("x (um)", area.x + area.w / 2, area.y + area.h + 24);
  c.textAlign = "right", c.textBaseline = "middle";
  for (let y = Math.ceil(Math.max(view.y, Y[0]) / step - 1e-6) * step; py(y) >= area.y - 0.5 && y <= Y[NY]; y += step) {
    line(c, area.x - 5, py(y), area.x - 1, py(y));
    c.fillText((y || 0).toFixed(digits), area.x - 8, py(y));
  }
  turned(c, "y (um)", 12, area.y + area.h / 2);
}

function line(c, x1, y1, x2, y2) {
  c.beginPath(), c.moveTo(x1, y1), c.lineTo(x2, y2), c.stroke();
}

function turned(c, text, x, y) {
  c.save();
  c.translate(x, y), c.rotate(-Math.PI / 2);
  c.textAlign = "center", c.textBaseline = "middle";
  c.fillText(text, 0, 0);
  c.restore();
}

function drawScale(c, kind, area) {
  const scale = scaleOf(kind), left = area.x + area.w + 18, wide = 14;
  const at = (v) => area.y + area.h - ((v - scale.low) / (scale.high - scale.low)) * area.h;
  for (let i = 0; i < area.h; i++) {
    c.fillStyle = `rgb(${scale.colour(scale.low + ((i + 0.5) / area.h) * (scale.high - scale.low)).join()})`;
    c.fillRect(left, area.y + area.h - 1 - i, wide, 1.5);
  }
  c.strokeStyle = ink("--axis"), c.lineWidth = 1;
  c.strokeRect(left - 0.5, area.y - 0.5, wide + 1, area.h + 1);
  c.textAlign = "left", c.textBaseline = "middle";
  const digits = scale.step >= 0.1 && Math.abs(scale.step * 10 - Math.round(scale.step * 10)) < 1e-6 ? 1 : 2;
  for (let i = Math.ceil(scale.low / scale.step - 1e-9); i * scale.step <= scale.high + 1e-9; i++) {
    const v = i * scale.step, isFull = kind.scale === "congestion" && Math.abs(v - DATA.full) < 1e-9;
    c.fillStyle = ink(isFull ? "--ink" : "--muted"), c.font = font(12, isFull ? 700 : 400);
    line(c, left + wide, at(v), left + wide + 4, at(v));
    c.fillText(isFull ? "1 full" : v.toFixed(digits), left + wide + 7, at(v));
  }
  c.fillStyle = ink("--muted"), c.font = font(12);
  turned(c, kind.unit, area.x + area.w + PAD.right - 9, area.y + area.h / 2);
}
