// Beside the map: the values of a gcell, the list of hot spots, and what one of them holds.

function el(tag, attributes = {}, ...children) {
  const out = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) out.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) out.setAttribute(name, value === true ? "" : value);
  }
  out.append(...children.filter((child) => child !== null));
  return out;
}

const show = (v, digits = 2) => v === null || v === undefined || Number.isNaN(v) ? "–" : v.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
const percent = (v) => `${show(100 * v, 1)} %`;
const signed = (v) => Number.isNaN(v) ? "–" : (v < 0 ? "−" : "+") + show(Math.abs(v));
const plain = (v) => v === null ? "–" : String(Number(v.toPrecision(6)));
const ARROWS = { h: "↔", v: "↕" };
const WORDS = { h: "horizontal", v: "vertical" };

/** The rows of the readout for a gcell: label, H, V. */
function valuesAt([ix, iy]) {
  const i = iy * NX + ix, at = (name, d) => MAPS[`${name}_${d}`]?.[i] ?? NaN;
  const both = (cell) => [cell("h"), cell("v")];
  const rows = [["prediction", ...both((d) => show(at("congestion", d)))]];
  if (MAPS.sigma_h) {
    const end = (d, way) => show(Math.max(0, at("congestion", d) + 2 * way * at("sigma", d)));
    rows.push(["± 2 sigma", ...both((d) => Number.isNaN(at("sigma", d)) ? "–" : `${end(d, -1)} to ${end(d, 1)}`)]);
  }
  rows.push(["RUDY", ...both((d) => show(at("rudy", d)))]);
  if (MAPS.truth_h) {
    rows.push(["router", ...both((d) => show(at("truth", d)))]);
    rows.push(["difference", ...both((d) => signed(at("difference", d)))]);
  }
  rows.push(["capacity (tracks)", ...both((d) => show(at("capacity", d), 1))]);
  if (MAPS.plan) rows.push(["kept free by the plan", percent(MAPS.plan[i])]);
  if (MAPS.drc_prob) rows.push(["likely DRC", percent(MAPS.drc_prob[i])]);
  if (MAPS.drc) rows.push(["DRC violations", MAPS.drc[i].toFixed(0)]);
  return rows;
}

function fillReadout() {
  const cell = state.hover ?? state.cursor, rows = valuesAt(cell ?? [0, 0]);
  const place = cell && `x ${plain(X[cell[0]])} to ${plain(X[cell[0] + 1])}, y ${plain(Y[cell[1]])} to ${plain(Y[cell[1] + 1])} um`;
  const head = cell ? [el("strong", {}, `gcell ${cell[0]}, ${cell[1]}`), el("span", {}, place)] : [el("strong", {}, "gcell"), el("span", {}, "point at the map, or move the cursor with the arrows")];
  const body = rows.map(([name, ...cells]) => el("tr", { class: kindOf(state.kind).title.toLowerCase() === name.toLowerCase() ? "shown" : null },
    el("th", { scope: "row" }, name), ...cells.map((text) => el("td", { colspan: cells.length === 1 ? 2 : null }, cell ? text : "–"))));
  $("readout").replaceChildren(el("p", {}, ...head), el("table", {},
    el("thead", {}, el("tr", {}, el("td"), el("th", { scope: "col" }, "H, to the right"), el("th", { scope: "col" }, "V, above"))), el("tbody", {}, ...body)));
}

/** One line for the screen reader, and for the tip at the pointer. */
function sentence(cell) {
  const kind = kindOf(state.kind), value = valuesOf(kind, state.d)[cell[1] * NX + cell[0]];
  const spot = spotAt(cell), direction = kind.isGcell ? "" : ` ${DIRECTIONS[state.d].toLowerCase()}`;
  return `gcell ${cell[0]}, ${cell[1]}: ${kind.title.toLowerCase()}${direction} ${kind.scale === "signed" ? signed(value) : show(value)}${spot ? `, ${title(spot)}` : ""}`;
}

// ---- hot spots

/** Where no edge is hot, the fullest are shown in their place. */
const title = (spot) => `${spot.isHot ? "hot spot" : "fullest edges,"} ${spot.rank}`;

function fillPanel() {
  const spot = DATA.spots.find((s) => s.rank === state.spot);
  $("panel").replaceChildren(...(spot ? detail(spot) : list()));
  $("panel").scrollTop = 0;
}

function list() {
  if (!DATA.spots.length) return [el("h3", {}, "Hot spots"), el("p", {}, "None: the map is flat.")];
  const rows = DATA.spots.map((s) => el("tr", { class: isShown(s) ? null : "other" },
    el("td", {}, el("button", { type: "button", class: "rank", "data-rank": s.rank, onclick: () => openSpot(s.rank), "aria-label": `Open ${title(s)}` }, String(s.rank))),
    el("td", { title: WORDS[s.d] }, ARROWS[s.d], el("span", { class: "hidden" }, WORDS[s.d])), el("td", { class: "number" }, show(s.peak)),
    el("td", { class: "number" }, show(s.overflow, 1)), el("td", { class: "wide" }, nameOf(s.modules.find((m) => m[0])?.[0] ?? s.nets[0]?.[0] ?? ""))));
  const first = DATA.spots.some((s) => s.modules.some((m) => m[0])) ? "first module" : "first net";
  return [el("h3", {}, DATA.spots[0].isHot ? `Hot spots (${DATA.spots.length})` : "Fullest edges; none is hot"),
    table(["", "", "peak", "overflow", first], rows, [2, 3])];
}

const nameOf = (text) => el("code", {}, text);

function table(columns, rows, numeric = []) {
  const head = columns.map((text, i) => el("th", { scope: "col", class: numeric.includes(i) ? "number" : null }, text));
  return el("table", {}, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...rows));
}

function detail(spot) {
  const step = (by) => DATA.spots.some((s) => s.rank === spot.rank + by) ? null : true;
  const bar = el("div", { class: "bar" },
    el("h3", {}, `${title(spot)} `, el("span", {}, `${ARROWS[spot.d]} ${WORDS[spot.d]}`)),
    el("button", { type: "button", title: "The one before (P)", "aria-label": "Previous hot spot", disabled: step(-1), onclick: () => openSpot(spot.rank - 1) }, "‹"),
    el("button", { type: "button", title: "Next (N)", "aria-label": "Next hot spot", disabled: step(1), onclick: () => openSpot(spot.rank + 1) }, "›"),
    el("button", { type: "button", title: "Close (Esc)", "aria-label": "Close", id: "close", onclick: closeSpot }, "×"));
  return [bar, facts(spot), ...netsOf(spot), ...instsOf(spot), ...modulesOf(spot), ...actionsOf(spot)];
}

function facts(spot) {
  const [x1, y1, x2, y2] = spot.box.map(plain);
  const rows = [
    ["peak", `${show(spot.peak)}, ${show(spot.demand[0], 1)} of ${show(spot.demand[1], 1)} tracks`],
    ["mean", `${show(spot.mean)} over ${spot.count.toLocaleString("en")} edge${spot.count === 1 ? "" : "s"} above ${show(spot.level)}`],
    ["overflow", `${show(spot.overflow, 1)} tracks`],
    ["box", `x ${x1} to ${x2}, y ${y1} to ${y2} um`],
  ];
  if (spot.router) rows.push(["router", `peak ${show(spot.router[0])}, ${spot.router[1]} of the box's ${spot.router[2]} edges above full`]);
  if (spot.recall) rows.push(["nets named", `${spot.recall[0]} of the router's first ${spot.recall[1]} are among the first ${spot.recall[1]}`]);
  return el("dl", {}, ...rows.flatMap(([name, text]) => [el("dt", {}, name), el("dd", {}, text)]));
}

function moduleLine(at) {
  if (at < 0) return null;
  const [path, module, place] = DATA.modules[at];
  return el("span", { class: "module" }, `in ${path || "the top"}`, module && module !== path ? ` (${module}${place ? `, ${place}` : ""})` : place ? ` (${place})` : "");
}

/** A name that marks its place on the map while it is pointed at or has the focus; a click brings it into view. */
function marked(name, place, module = -1) {
  const on = () => { state.mark = place; draw(); }, off = () => { state.mark = null; draw(); };
  const button = el("button", { type: "button", class: "name", onfocus: on, onblur: off, onclick: () => { reveal(place.length === 4 ? place : [...place, ...place]); on(); } }, nameOf(name));
  return el("td", { class: "wide", onmouseenter: on, onmouseleave: off }, place ? button : nameOf(name), moduleLine(module));
}

function section(title, rows, columns, numeric, names = null) {
  const copy = names && rows.length ? el("button", { type: "button", class: "copy", onclick: (event) => copyNames(event.target, names) }, "Copy names") : null;
  return [el("div", { class: "bar" }, el("h4", {}, title), copy), rows.length ? table(columns, rows, numeric) : el("p", { class: "none" }, "None.")];
}

async function copyNames(button, names) {
  try {
    await navigator.clipboard.writeText(names.join("\n"));
    button.textContent = "Copied";
  } catch {
    button.textContent = "The browser refused";
  }
}

const cell = (text) => el("td", { class: "number" }, text);
const counted = (shown, all) => shown < all ? `${shown} of ${all.toLocaleString("en")}` : String(all);

/** The nets with most expected wire in the box. */
function netsOf(spot) {
  const rows = spot.nets.map(([name, pins, , box, module, wire, share]) =>
    el("tr", {}, marked(name, boxOf(...box), module), cell(pins ?? "–"), cell(show(wire, 1)), cell(percent(share))));
  return section(`Nets (${counted(rows.length, spot.numNets)})`, rows, ["net", "pins", "wire (um)", "share"], [1, 2, 3], spot.nets.map((n) => n[0]));
}

function instsOf(spot) {
  const rows = spot.insts.map(([name, master, congestion, module, pins, area, x, y]) => {
    const first = marked(name, [x, y], module);
    first.append(el("span", { class: "module" }, master));
    return el("tr", {}, first, cell(String(pins)), cell(show(area, 1)), cell(show(congestion)));
  });
  return section(`Insts (${counted(rows.length, spot.numInsts)})`, rows, ["inst", "pins", "area (um²)", "congestion"], [1, 2, 3], spot.insts.map((i) => i[0]));
}

function modulesOf(spot) {
  if (!DATA.spots.some((s) => s.modules.length)) return [];
  const rows = spot.modules.map(([name, source, paths, path, ...shares]) => {
    const where = paths > 1 ? `${path || "the top"} and ${paths - 1} more` : path;
    const first = el("td", { class: "wide" }, name ? nameOf(name) : "not known", name && (source || where) ? el("span", { class: "module" }, [source, where && where !== name ? where : ""].filter(Boolean).join(", ")) : null);
    return el("tr", {}, first, ...shares.map((share) => cell(percent(share))));
  });
  return section(`Modules (${rows.length})`, rows, ["module", "area", "feeding it", "demand", "feeding it"], [1, 2, 3, 4]);
}

function actionsOf(spot) {
  if (!DATA.hasPlan) return [];
  const rows = spot.actions.map((at) => {
    const [action, value, box, target, layer, score, status, reason] = DATA.actions[at];
    const first = marked(action, box);
    first.append(el("span", { class: "module" }, [target, layer, box ? `x ${plain(box[0])} to ${plain(box[2])}, y ${plain(box[1])} to ${plain(box[3])}` : ""].filter(Boolean).join(", ")));
    const became = status ? el("td", {}, el("span", { class: `state ${status}` }, status), reason ? el("span", { class: "module" }, reason) : null) : el("td", {}, "planned");
    return el("tr", {}, first, cell(value), cell(show(score)), became);
  });
  return section(`Planned actions (${rows.length})`, rows, ["action", "value", "score", DATA.hasRecord ? "became" : "state"], [1, 2]);
}
