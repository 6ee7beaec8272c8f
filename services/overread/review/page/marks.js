// Candidates as circles over the image, in the stage's own pixels so that lines stay thin at every zoom.

const NEAR = 2; // slices away at which a mark still shows, dashed
const LEAST = 13; // smallest radius on the screen (px)

const SVG = "http://www.w3.org/2000/svg";

function add(parent, name, attributes, text) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text) node.textContent = text;
  parent.append(node);
  return node;
}

export function tone(candidate) {
  if (candidate.readers === 0) return "";
  if (candidate.label === 1) return "yes";
  return candidate.label === 0 ? "no" : "unsure";
}

// An addition that was withdrawn is nobody's mark any more.
export function stands(candidate) {
  return !(candidate.source === "reader" && candidate.readers === 0);
}

export function drawMarks(svg, viewer, candidates, current, { draft, visible, aim }) {
  svg.replaceChildren();
  if (!viewer.slice) return;
  if (visible) {
    for (const candidate of candidates) {
      const chosen = candidate.candidate === current;
      const place = chosen && draft ? draft : candidate.place;
      const away = Math.abs(place.slice - viewer.number);
      if (place.series !== viewer.key || away > NEAR || !stands(candidate)) continue;
      drawMark(svg, viewer, candidate, place, { chosen, away });
    }
  }
  if (aim) drawAim(svg, viewer.toScreen(aim));
}

function drawMark(svg, viewer, candidate, place, { chosen, away }) {
  const at = viewer.toScreen(place);
  const radius = Math.max(LEAST, (candidate.radius_px || 0) * viewer.view.scale + 5);
  const classes = ["mark", chosen ? "current" : tone(candidate), away ? "away" : ""].filter(Boolean).join(" ");
  const group = add(svg, "g", {
    role: "img",
    "aria-label": `Candidate at column ${Math.round(place.x)}, row ${Math.round(place.y)}${chosen ? ", current" : ""}`,
  });
  add(group, "circle", { cx: at.x, cy: at.y, r: radius, class: classes, "data-mark": candidate.candidate });
  if (chosen) {
    // Four ticks point at the centre without covering it.
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      add(group, "line", {
        x1: at.x + dx * radius, y1: at.y + dy * radius,
        x2: at.x + dx * (radius + 7), y2: at.y + dy * (radius + 7), class: classes,
      });
    }
    if (candidate.score !== null) {
      add(group, "text", { x: at.x + radius + 9, y: at.y - radius + 2, class: "mark-text" }, candidate.score.toFixed(2));
    }
  }
  add(group, "circle", {
    cx: at.x, cy: at.y, r: radius, class: chosen ? "grip current" : "grip", "data-candidate": candidate.candidate,
  });
}

function drawAim(svg, at) {
  const group = add(svg, "g", { class: "aim", "data-aim": "" });
  add(group, "circle", { cx: at.x, cy: at.y, r: 9 });
  for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
    add(group, "line", { x1: at.x + 4 * dx, y1: at.y + 4 * dy, x2: at.x + 16 * dx, y2: at.y + 16 * dy });
  }
}

export function drawRail(rail, viewer, candidates, current) {
  rail.replaceChildren();
  const count = viewer.about ? viewer.about.slices : 0;
  rail.hidden = count < 2;
  if (count < 2) return;
  const tick = (slice, name) => {
    const node = document.createElement("i");
    node.className = name;
    node.style.top = `${(slice / (count - 1)) * 100}%`;
    rail.append(node);
  };
  for (const candidate of candidates) {
    if (candidate.place.series === viewer.key && stands(candidate)) {
      tick(candidate.place.slice, candidate.candidate === current ? "current" : "");
    }
  }
  tick(viewer.number, "here");
}
