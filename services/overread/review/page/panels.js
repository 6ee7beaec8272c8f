// What stands around the image: the bar, the worklist, the candidate, the verdicts. Drawn anew whenever the session changes.

const $ = (id) => document.getElementById(id);

function node(tag, { cls, text, ...more } = {}, ...children) {
  const made = document.createElement(tag);
  if (cls) made.className = cls;
  if (text !== undefined) made.textContent = text;
  for (const [name, value] of Object.entries(more)) {
    if (name === "onclick") made.addEventListener("click", value);
    else if (value !== undefined && value !== null) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

// Panels are drawn anew under the reader's hands: the focus stays on the same button (`data-act`).
function replace(parent, parts) {
  const focused = parent.contains(document.activeElement) ? document.activeElement.dataset.act : undefined;
  parent.replaceChildren(...parts);
  if (focused) [...parent.querySelectorAll("[data-act]")].find((one) => one.dataset.act === focused)?.focus();
}

const SOURCES = { sr: "CAD report", generator: "detector", reader: "a reader" };
const PURPOSES = { acquisition: "Acquisition", reference: "Reference", audit: "Audit" };

const TONES = { confirmed: "yes", amended: "yes", added: "yes", rejected: "no", unsure: "unsure", withdrawn: "" };

export const REASONS = ["Normal structure", "Vessel", "Scar", "Artefact", "Duplicate", "Out of scope"];

export const VERDICTS = [
  { verdict: "rejected", say: "Reject", key: "R" },
  { verdict: "unsure", say: "Unsure", key: "U" },
  { verdict: "confirmed", say: "Confirm", key: "C" },
];

export function drawBar(session) {
  const left = Object.values(session.remaining).reduce((sum, count) => sum + count, 0);
  const all = session.done + left;
  $("progress").setAttribute("aria-valuemax", all);
  $("progress").setAttribute("aria-valuenow", session.done);
  $("progress-fill").style.width = `${all ? (100 * session.done) / all : 0}%`;
  $("progress-text").textContent = `${session.done} read, ${left} left`;
  const badge = $("model");
  badge.hidden = !session.model;
  if (session.model) {
    badge.textContent = session.model.cleared ? `Model ${session.model.version}` : "Model untrained";
    badge.title = session.model.cleared
      ? "This model is cleared for readers"
      : "The serving model is not cleared for readers: its scores are hidden";
    badge.classList.toggle("untrained", !session.model.cleared);
  }
}

export function drawWorklist(session, open) {
  $("remaining").replaceChildren(...Object.entries(PURPOSES).map(([purpose, name]) => node(
    "div", {}, node("b", { text: session.remaining[purpose] ?? 0 }), node("span", { text: name }),
  )));
  const hides = session.model && !session.model.cleared;
  replace($("worklist"), session.items.map((item) => {
    const here = item.candidate === session.item?.candidate;
    const score = item.score === null || hides ? "" : item.score.toFixed(2);
    const entry = node(
      "button",
      { cls: "item", "aria-current": here ? "true" : "false", "data-act": item.candidate, onclick: () => open(item) },
      node("span", { cls: `purpose ${item.purpose}`, text: PURPOSES[item.purpose] }),
      node("span", { cls: "score-value", text: score }),
      node("span", { cls: "name", text: item.candidate.slice(0, 14) }),
      node("span", { cls: "rank", text: `round ${item.round}, rank ${item.rank + 1}` }),
    );
    return node("li", {}, entry);
  }));
  $("worklist").querySelector("[aria-current=true]")?.scrollIntoView({ block: "nearest" });
}

function drawScore(session) {
  const { candidate, model } = session;
  if (!candidate) return [];
  if (model && !model.cleared) return [node("span", { cls: "hidden-score", text: "Untrained: scores are hidden" })];
  if (candidate.score === null) return [node("span", { cls: "quiet", text: "No score yet" })];
  const fill = node("i");
  fill.style.width = `${100 * candidate.score}%`;
  return [
    node("b", { text: candidate.score.toFixed(2), "aria-label": `Score ${candidate.score.toFixed(2)}` }),
    node("div", { cls: "scale", "aria-hidden": "true" }, fill),
  ];
}

export function drawCandidate(session, about) {
  $("score").replaceChildren(...drawScore(session));
  const { candidate } = session;
  const facts = [];
  if (candidate) {
    const { place } = candidate;
    const spacing = about?.spacing_mm;
    const across = candidate.radius_px
      ? (spacing ? `${(2 * candidate.radius_px * spacing).toFixed(1)} mm` : `${(2 * candidate.radius_px).toFixed(0)} px`)
      : null;
    facts.push(["Slice", about ? `${place.slice + 1} of ${about.slices}` : place.slice + 1]);
    facts.push(["Column, row", `${place.x.toFixed(0)}, ${place.y.toFixed(0)}`]);
    if (across) facts.push(["Diameter", across]);
    facts.push(["Marked by", SOURCES[candidate.source] || candidate.source]);
    if (candidate.readers) {
      const label = { 1: "lesion", 0: "no lesion" }[candidate.label] || "open";
      const share = candidate.readers > 1 && candidate.label !== null ? `, ${Math.round(100 * candidate.agreement)}% agree` : "";
      facts.push(["Readers say", label + share]);
    }
    facts.push(["Version", candidate.version]);
  }
  $("facts").replaceChildren(...facts.flatMap(([name, value]) => [
    node("dt", { text: name }), node("dd", { text: value, title: value }),
  ]));
  const said = candidate ? [...candidate.verdicts].reverse() : [];
  $("said").replaceChildren(...said.map((entry) => {
    const cls = TONES[entry.verdict];
    const when = new Date(entry.time).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
    const line = node("li", { cls, text: entry.verdict[0].toUpperCase() + entry.verdict.slice(1) });
    line.append(node("small", { text: [entry.reader, when, entry.reason].filter(Boolean).join(" · ") }));
    return line;
  }));
  if (candidate && !said.length) $("said").append(node("span", { cls: "quiet", text: "Nobody has read this one yet." }));
}

export function drawReasons(session, choose) {
  replace($("reasons"), REASONS.map((reason, index) => node(
    "button",
    { role: "radio", "aria-checked": session.reason === reason ? "true" : "false", title: `Shift ${index + 1}`, "data-act": reason, onclick: () => choose(reason) },
    reason,
  )));
}

export function drawWindows(presets, window, { set, reset, views }) {
  const same = (preset) => window && window.centre === preset.centre && window.width === preset.width;
  const chip = (name, key, act, pressed) => node(
    "button", { "aria-pressed": pressed === undefined ? undefined : String(pressed), "data-act": name, onclick: act }, name, node("kbd", { text: key }),
  );
  replace($("windows"), [
    ...presets.map((preset, index) => chip(preset.name, index + 1, () => set(preset), Boolean(same(preset)))),
    chip("Default", "0", reset),
  ]);
  replace($("views"), views.map(({ name, key, act, pressed }) => chip(name, key, act, pressed)));
}

export function drawVerdicts(session, ready, mode, act) {
  const can = ready && !session.busy;
  const button = (name, key, cls, enabled, run) => {
    const made = node("button", { cls, onclick: run, "aria-keyshortcuts": key, "data-act": name }, name, node("kbd", { text: key }));
    made.disabled = !enabled;
    return made;
  };
  replace($("verdicts"), [
    button("Previous", "P", "", !session.busy, act.previous),
    node("span", { cls: "rule" }),
    ...VERDICTS.map(({ verdict, say, key }) => button(say, key, `major ${verdict}`, can, () => act.judge(verdict))),
    node("span", { cls: "rule" }),
    button("Move mark", "M", mode === "move" ? "pressed" : "", can, act.move),
    button("Add lesion", "A", mode === "add" ? "pressed" : "", can, act.add),
    button("Undo", "Z", "", !session.busy, act.undo),
    node("span", { cls: "rule" }),
    button("Next", "N", "", !session.busy, act.next),
  ]);
}

export function toast(kind, title, detail) {
  const made = node("div", { cls: `toast ${kind}` }, node("b", { text: title }));
  if (detail) made.append(node("span", { text: detail }));
  $("toasts").append(made);
  while ($("toasts").children.length > 3) $("toasts").firstChild.remove();
  setTimeout(() => made.remove(), kind === "error" ? 9000 : 3500);
}
