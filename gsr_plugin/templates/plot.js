// The plot of estimates against the router: counts of edges in squares, darker where more lie.

function drawAccuracy() {
  const canvas = $("plot-accuracy");
  if (!canvas || !MAPS.truth_h) return;
  const width = canvas.clientWidth, ratio = window.devicePixelRatio || 1, bins = 60, gap = 64;
  const side = Math.min((width - 2 * gap - 10) / 2, 380), height = side + 74, c = canvas.getContext("2d");
  canvas.width = width * ratio, canvas.height = height * ratio;
  canvas.style.height = `${height}px`;
  c.setTransform(ratio, 0, 0, ratio, 0, 0);
  c.clearRect(0, 0, width, height);
  const limit = DATA.limit, ramp = DATA.colours[isDark() ? "dark" : "light"].below;
  const panels = [["Prediction", "congestion"], ["RUDY", "rudy"]].map(([title, name]) => [title, counts(name, limit, bins)]);
  const most = Math.max(10, ...panels.map(([, found]) => found.reduce((a, b) => Math.max(a, b), 0)));
  panels.forEach(([title, found], i) => {
    const left = gap + i * (side + gap), top = 28, at = (v) => (v / limit) * side;
    found.forEach((n, k) => {
      if (!n) return;
      c.fillStyle = `rgb(${between(ramp, 0.3 + 0.7 * Math.log(n + 1) / Math.log(most + 1)).join()})`;
      const x = k % bins, y = Math.floor(k / bins), size = side / bins;
      c.fillRect(left + x * size, top + side - (y + 1) * size, size + 0.3, size + 0.3);
    });
    c.strokeStyle = ink("--axis"), c.lineWidth = 1;
    c.strokeRect(left - 0.5, top - 0.5, side + 1, side + 1);
    c.setLineDash([5, 4]);
    line(c, left, top + side, left + side, top);
    c.setLineDash([]);
    c.strokeStyle = ink("--bad");
    line(c, left + at(1), top, left + at(1), top + side);
    line(c, left, top + side - at(1), left + side, top + side - at(1));
    c.fillStyle = ink("--ink"), c.font = font(13, 600), c.textAlign = "left", c.textBaseline = "alphabetic";
    c.fillText(title, left, top - 10);
    c.fillStyle = ink("--muted"), c.font = font(12);
    for (let v = 0; v <= limit + 1e-9; v += 0.5) {
      c.textAlign = "center", c.textBaseline = "top";
      c.fillText(v.toFixed(1), left + at(v), top + side + 6);
      c.textAlign = "right", c.textBaseline = "middle";
      c.fillText(v.toFixed(1), left - 6, top + side - at(v));
    }
    c.textAlign = "center", c.textBaseline = "top";
    c.fillText("router", left + side / 2, top + side + 24);
    turned(c, "estimate", left - 42, top + side / 2);
  });
}

/** Edges a square; what lies beyond the ends of the axes counts at them. */
function counts(name, limit, bins) {
  const out = new Uint32Array(bins * bins), bin = (v) => Math.min(Math.max(Math.floor((v / limit) * bins), 0), bins - 1);
  for (const d of "hv") MAPS[`truth_${d}`].forEach((t, i) => {
    const v = MAPS[`${name}_${d}`][i];
    if (!Number.isNaN(t) && !Number.isNaN(v)) out[bin(v) * bins + bin(t)]++;
  });
  return out;
}
