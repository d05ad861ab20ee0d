// What pointer and keys do.

function setKind(name) {
  const kind = kindOf(name);
  if (!kind || !has(kind)) return;
  state.kind = name;
  update();
}

function setDirection(d) {
  state.d = d;
  update();
  if (!state.spot) fillPanel();
}

/** Buttons, description and picture after a switch. */
function update() {
  for (const button of document.querySelectorAll("#kinds button")) button.setAttribute("aria-pressed", button.dataset.kind === state.kind);
  for (const button of document.querySelectorAll("#directions button")) {
    button.setAttribute("aria-pressed", button.dataset.direction === state.d);
    button.disabled = Boolean(kindOf(state.kind).isGcell);
  }
  const kind = kindOf(state.kind);
  $("map").setAttribute("aria-label", `${kind.title}${kind.isGcell ? "" : `, ${DIRECTIONS[state.d].toLowerCase()}`}: map of ${NX} by ${NY} gcells, ${DATA.spots.length} hot spots`);
  fillReadout();
  draw();
}

let cameFrom = null;

function openSpot(rank) {
  const spot = DATA.spots.find((s) => s.rank === rank);
  if (!spot) return;
  if (!state.spot) cameFrom = document.activeElement;
  Object.assign(state, { spot: rank, mark: null });
  if (!isShown(spot)) setDirection(spot.d);
  reveal(spot.box);
  fillPanel();
  history.replaceState(null, "", `#spot-${rank}`);
  $("panel").focus({ preventScroll: true });
  draw();
}

function closeSpot() {
  if (!state.spot) return;
  const rank = state.spot;
  Object.assign(state, { spot: null, mark: null });
  fillPanel();
  history.replaceState(null, "", "#maps");
  const back = cameFrom?.isConnected && cameFrom !== document.body ? cameFrom : document.querySelector(`#panel [data-rank="${rank}"]`);
  (cameFrom?.dataset?.rank ? document.querySelector(`#panel [data-rank="${rank}"]`) : back)?.focus({ preventScroll: true });
  draw();
}

function moveCursor(dx, dy) {
  const [x, y] = state.cursor ?? [Math.floor(NX / 2), Math.floor(NY / 2)], within = (v, n) => Math.min(Math.max(v, 0), n - 1);
  state.cursor = state.cursor ? [within(x + dx, NX), within(y + dy, NY)] : [x, y];
  state.hover = null;
  reveal(boxOf(...state.cursor, ...state.cursor));
  $("live").textContent = sentence(state.cursor);
  fillReadout();
  draw();
}

const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
const KEYS = {
  h: () => setDirection("h"), v: () => setDirection("v"), w: () => setDirection("w"), t: switchTheme,
  n: () => openSpot(state.spot ? state.spot + 1 : 1), p: () => openSpot(state.spot ? state.spot - 1 : DATA.spots.length),
  "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5), 0: () => { fit(); draw(); }, escape: closeSpot,
};

function pressed(event) {
  const at = event.target;
  if (event.ctrlKey || event.metaKey || event.altKey || at.matches("input, select, textarea")) return;
  if (at !== document.body && !$("workbench").contains(at)) return;
  const key = event.key.toLowerCase();
  if (at === $("map") && MOVES[event.key]) moveCursor(...MOVES[event.key].map((d) => d * (event.shiftKey ? 10 : 1)));
  else if (at === $("map") && key === "enter") { if (state.cursor && spotAt(state.cursor)) openSpot(spotAt(state.cursor).rank); }
  else if (KINDS[Number(key) - 1]) setKind(KINDS[Number(key) - 1].name);
  else if (KEYS[key]) KEYS[key]();
  else return;
  event.preventDefault();
}

// ---- pointer

let drag = null;

function place(event) {
  const { left, top } = $("map").getBoundingClientRect();
  return [event.clientX - left, event.clientY - top];
}

function pointed(event) {
  const [x, y] = place(event);
  if (drag) {
    if (Math.hypot(x - drag.x, y - drag.y) > 4) drag.moved = true;
    if (drag.moved) view.x = drag.vx - (x - drag.x) / view.k, view.y = drag.vy + (y - drag.y) / view.k;
  }
  state.hover = drag?.moved ? null : gcellAt(x, y);
  $("map").classList.toggle("over", Boolean(state.hover && spotAt(state.hover)));
  const tip = $("tip");
  tip.hidden = !state.hover;
  if (state.hover) {
    tip.textContent = sentence(state.hover);
    tip.style.left = `${Math.max(4, x + 14 + tip.offsetWidth > view.width ? x - 14 - tip.offsetWidth : x + 14)}px`;
    tip.style.top = `${y > 60 ? y - 34 : y + 20}px`;
  }
  fillReadout();
  draw();
}

function released(event) {
  const was = drag;
  drag = null;
  if (!was || was.moved) return;
  const at = gcellAt(...place(event));
  if (!at) return;
  state.cursor = at;
  const spot = spotAt(at);
  if (spot) openSpot(spot.rank);
  else closeSpot();
  fillReadout();
  draw();
}

function left() {
  state.hover = null;
  $("tip").hidden = true;
  fillReadout();
  draw();
}

// ---- theme and size

function setTheme(name) {
  document.documentElement.dataset.theme = name;
  $("theme").textContent = name === "dark" ? "Light" : "Dark";
  $("theme").setAttribute("aria-pressed", name === "dark");
  draw();
  drawAccuracy();
}

function switchTheme() {
  setTheme(isDark() ? "light" : "dark");
}

function resize() {
  const isFirst = !view.width, { clientWidth, clientHeight } = $("map");
  const whole = isFirst || view.k <= Math.min(plot().w / (X[NX] - X[0]), plot().h / (Y[NY] - Y[0])) * 1.001;
  view.width = clientWidth, view.height = clientHeight;
  if (whole) fit();
  draw();
  drawAccuracy();
}

async function start() {
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  document.documentElement.dataset.theme = system.matches ? "dark" : "light";
  system.addEventListener("change", () => setTheme(system.matches ? "dark" : "light"));
  $("theme").addEventListener("click", switchTheme);
  try {
    await unpackAll();
  } catch (error) {
    $("keys").textContent = `The maps cannot be unpacked by this browser (${error.message}); a browser of 2023 or later can.`;
    return;
  }
  KINDS.forEach((kind, i) => {
    if (!has(kind)) return;
    $("kinds").append(el("button", { type: "button", "data-kind": kind.name, title: `${kind.unit} (${i + 1})`, onclick: () => setKind(kind.name) }, kind.title));
  });
  for (const [d, title] of Object.entries(DIRECTIONS)) {
    $("directions").append(el("button", { type: "button", "data-direction": d, title: `${title} (${d.toUpperCase()})`, onclick: () => setDirection(d) }, title));
  }
  for (const button of document.querySelectorAll("#zooms button")) {
    button.addEventListener("click", () => ({ in: () => zoom(1.5), out: () => zoom(1 / 1.5), fit: () => { fit(); draw(); } })[button.dataset.zoom]());
  }
  const map = $("map");
  map.addEventListener("pointermove", pointed);
  map.addEventListener("pointerleave", left);
  map.addEventListener("pointerdown", (event) => {
    const [x, y] = place(event);
    if (event.button === 0) drag = { x, y, vx: view.x, vy: view.y, moved: false }, map.setPointerCapture(event.pointerId);
  });
  map.addEventListener("pointerup", released);
  map.addEventListener("pointercancel", () => { drag = null; });
  map.addEventListener("wheel", (event) => {
    if (event.ctrlKey || event.metaKey) event.preventDefault(), zoom(Math.exp(-event.deltaY / 300), place(event));
  }, { passive: false });
  document.addEventListener("keydown", pressed);
  document.addEventListener("click", (event) => {
    const link = event.target.closest('a[href^="#spot-"]');
    if (!link) return;
    event.preventDefault();
    $("workbench").scrollIntoView();
    openSpot(Number(link.hash.slice(6)));
  });
  resize();
  new ResizeObserver(resize).observe(map);
  setTheme(document.documentElement.dataset.theme);
  update();
  fillPanel();
  const asked = /^#spot-(\d+)$/.exec(location.hash);
  if (asked) openSpot(Number(asked[1]));
  document.documentElement.dataset.ready = "yes";
}

start();
