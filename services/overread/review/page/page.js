// The page: session, viewer and panels put together.

import { Problem } from "./api.js";
import { bind, fillHelp } from "./keys.js";
import { drawMarks, drawRail } from "./marks.js";
import {
  REASONS, drawBar, drawCandidate, drawReasons, drawVerdicts, drawWindows, drawWorklist, toast,
} from "./panels.js";
import { listen } from "./pointer.js";
import { Session } from "./session.js";
import { PRESETS, Viewer } from "./viewer.js";

const $ = (id) => document.getElementById(id);
const POLL_MS = 5000;
const DOUBLE_MS = 600;

let mode = null; // "add" or "move": the next place is a missed lesion's, or the mark's new one
let aim = null; // where the keyboard points in such a mode
let draft = null; // the mark while it is dragged
let visible = true;
let ready = false; // the pixels of the candidate in view are on the screen
let hovered = null;
let addedAt = -Infinity; // not 0: a click soon after the page has loaded is no second half of a double click

const viewer = new Viewer($("stage"), $("canvas"), drawOverlay);
const session = new Session({ changed: drawPanels, opened: showPlace, told: toast });

function explain(error) {
  if (error instanceof Problem) toast("error", error.title, error.message);
  else toast("error", "The server does not answer", "Is Overread still running? The page tries again by itself.");
}
viewer.onError = explain;

// One act at a time: what is clicked while another is under way is not for the case that will then be in view.
async function run(act) {
  if (session.busy) return;
  session.busy = true;
  drawPanels();
  try {
    await act();
  } catch (error) {
    explain(error);
  } finally {
    session.busy = false;
    drawPanels();
  }
}

async function showPlace(place) {
  ready = false;
  setMode(null);
  drawPanels();
  try {
    ready = await viewer.show(place.series, place.slice);
  } catch (error) {
    viewer.clear();
    explain(error);
    return;
  }
  viewer.reveal(place);
  $("stage").focus({ preventScroll: true });
  drawPanels();
}

function setMode(next) {
  mode = next;
  draft = null;
  aim = null;
  if (mode && viewer.slice) {
    const from = mode === "move" || !hovered ? session.candidate.place : viewer.toImage(hovered);
    aim = { x: from.x, y: from.y };
  }
  $("mode").hidden = !mode;
  $("mode").textContent = mode === "add"
    ? "Click the missed lesion, or point with the arrows and press Enter. Esc ends."
    : "Drag the mark, or move it with the arrows and press Enter. Esc ends.";
  drawOverlay();
  drawPanels();
}

function placeAt(point) {
  const round = (value) => Math.round(value * 10) / 10;
  return { series: viewer.key, slice: viewer.number, x: round(point.x), y: round(point.y) };
}

const canJudge = () => ready && session.candidate && !session.busy;

const judge = (verdict, place) => { if (canJudge()) run(() => session.judge(verdict, place)); };

function addAt(point) {
  if (!canJudge() || performance.now() - addedAt < DOUBLE_MS) return;
  if (!viewer.contains(point)) {
    toast("info", "Outside the image", "A lesion can be added inside it only.");
    return;
  }
  addedAt = performance.now();
  setMode(null);
  run(() => session.add(placeAt(point)));
}

function amendTo(point) {
  if (!canJudge()) return;
  if (!viewer.contains(point)) {
    toast("info", "Outside the image", "The mark is back where it was.");
    setMode(null);
    return;
  }
  const place = placeAt(point);
  run(async () => {
    await session.judge("amended", place);
    setMode(null); // refused or not: no mark is left where nobody put it
  });
}

function nudge(dx, dy) {
  aim = { x: aim.x + dx, y: aim.y + dy };
  if (mode === "move") draft = { ...placeAt(aim) };
  drawOverlay();
}

const steer = (dx, dy, otherwise) => () => {
  if (aim) nudge(dx, dy);
  else otherwise();
};

function enter() {
  if (mode === "add") addAt(aim);
  else if (mode === "move") amendTo(aim);
}

function setReason(reason) {
  session.reason = session.reason === reason ? null : reason;
  drawPanels();
}

const presets = () => PRESETS[viewer.about?.modality] || [];
const setPreset = (preset) => { if (preset) viewer.setWindow(preset.centre, preset.width); };
const adjust = (level, width) => {
  if (viewer.window) viewer.setWindow(viewer.window.centre + level * viewer.window.width, viewer.window.width * width);
};
const toggleMarks = () => { visible = !visible; drawOverlay(); drawPanels(); };
const goHome = () => {
  const place = session.candidate?.place;
  if (place) viewer.show(place.series, place.slice).then(() => viewer.reveal(place), explain);
};
const showHelp = () => $("help").showModal();

const act = {
  judge,
  previous: () => run(() => session.go(-1)),
  next: () => run(() => session.go(1)),
  undo: () => run(() => session.undo()),
  add: () => { if (canJudge()) setMode(mode === "add" ? null : "add"); },
  move: () => { if (canJudge()) setMode(mode === "move" ? null : "move"); },
};

const KEYS = [
  { name: "Verdict", lines: [
    { keys: ["c"], say: "Confirm: a lesion, where the mark is", act: () => judge("confirmed") },
    { keys: ["r"], say: "Reject: no lesion", act: () => judge("rejected") },
    { keys: ["u"], say: "Unsure: read, and no label", act: () => judge("unsure") },
    { mouse: "Drag the mark", say: "Amend: a lesion, elsewhere" },
    { keys: ["m"], say: "Move the mark by keyboard", act: act.move },
    { keys: ["a"], say: "Add a missed lesion", act: act.add },
    { mouse: "Double click", say: "Add a missed lesion there" },
    { keys: ["z", "ctrl+z"], say: "Undo the last verdict", act: act.undo },
    { keys: ["Shift+1"], say: "Reason 1 to 6", act: () => setReason(REASONS[0]) },
    ...REASONS.slice(1).map((reason, index) => ({ keys: [`Shift+${index + 2}`], act: () => setReason(reason) })),
    { keys: ["Enter"], say: "Place, in the modes Add and Move", act: enter },
    { keys: ["Escape"], say: "End a mode", act: () => setMode(null), always: true },
  ] },
  { name: "Cases", lines: [
    { keys: ["n"], say: "Next", act: act.next },
    { keys: ["p"], say: "Previous", act: act.previous },
    { mouse: "Click a mark", say: "Choose another candidate of the study" },
    { keys: ["Home"], say: "Back to the candidate's slice", act: goHome },
    { keys: ["l"], say: "Reader's name", act: () => $("reader").focus() },
    { keys: ["?"], say: "This help", act: showHelp, always: true },
  ] },
  { name: "Slices", lines: [
    { mouse: "Wheel", say: "Scroll" },
    { keys: ["ArrowUp"], say: "One up", hold: true, act: steer(0, -1, () => viewer.scroll(-1)) },
    { keys: ["ArrowDown"], say: "One down", hold: true, act: steer(0, 1, () => viewer.scroll(1)) },
    { keys: ["ArrowLeft"], hold: true, act: steer(-1, 0, () => {}) },
    { keys: ["ArrowRight"], hold: true, act: steer(1, 0, () => {}) },
    { keys: ["PageUp"], say: "Ten up", hold: true, act: () => viewer.scroll(-10) },
    { keys: ["PageDown"], say: "Ten down", hold: true, act: () => viewer.scroll(10) },
  ] },
  { name: "Window", lines: [
    { mouse: "Right drag", say: "Width and level" },
    { mouse: "W and drag", say: "The same" },
    { keys: ["1", "2", "3"], say: "Lung, soft tissue, bone (CT)" },
    ...[0, 1, 2].map((index) => ({ keys: [String(index + 1)], act: () => setPreset(presets()[index]) })),
    { keys: ["0"], say: "As stored", act: () => viewer.resetWindow() },
    { keys: ["Shift+ArrowUp"], say: "Brighter", hold: true, act: () => adjust(-0.04, 1) },
    { keys: ["Shift+ArrowDown"], say: "Darker", hold: true, act: () => adjust(0.04, 1) },
    { keys: ["Shift+ArrowLeft"], say: "Narrower", hold: true, act: () => adjust(0, 0.92) },
    { keys: ["Shift+ArrowRight"], say: "Wider", hold: true, act: () => adjust(0, 1.08) },
  ] },
  { name: "View", lines: [
    { mouse: "Ctrl wheel", say: "Zoom" },
    { keys: ["+", "="], say: "Nearer", hold: true, act: () => viewer.zoom(1.2) },
    { keys: ["-"], say: "Farther", hold: true, act: () => viewer.zoom(1 / 1.2) },
    { keys: ["f"], say: "Fit", act: () => viewer.fit() },
    { mouse: "Drag", say: "Pan" },
    { keys: ["Ctrl+ArrowUp"], say: "Pan, with any arrow", hold: true, act: () => viewer.pan(0, 40) },
    { keys: ["Ctrl+ArrowDown"], hold: true, act: () => viewer.pan(0, -40) },
    { keys: ["Ctrl+ArrowLeft"], hold: true, act: () => viewer.pan(40, 0) },
    { keys: ["Ctrl+ArrowRight"], hold: true, act: () => viewer.pan(-40, 0) },
    { keys: ["v"], say: "Show or hide marks", act: toggleMarks },
  ] },
];

function drawOverlay() {
  const candidates = session.study?.candidates || [];
  drawMarks($("marks"), viewer, shown(candidates), session.candidate?.candidate, { draft, visible, aim });
  drawRail($("rail"), viewer, candidates, session.candidate?.candidate);
  const { about, window: grey, view } = viewer;
  $("about-slice").textContent = about ? `${about.modality}\n${viewer.number + 1} / ${about.slices}` : "";
  $("about-window").textContent = grey ? `W ${Math.round(grey.width)}\nL ${Math.round(grey.centre)}` : "";
  $("about-zoom").textContent = about ? `${Math.round(view.scale * 100)}%` : "";
  drawWindows(presets(), grey, {
    set: setPreset,
    reset: () => viewer.resetWindow(),
    views: [
      { name: "Fit", key: "F", act: () => viewer.fit() },
      { name: "Marks", key: "V", act: toggleMarks, pressed: visible },
    ],
  });
}

// Where the serving model is not cleared no score is shown, not even an older model's.
function shown(candidates) {
  return session.model?.cleared === false ? candidates.map((one) => ({ ...one, score: null })) : candidates;
}

function drawPanels() {
  drawBar(session);
  drawWorklist(session, (item) => run(() => session.open(item)));
  drawCandidate(session, viewer.about);
  drawReasons(session, setReason);
  drawVerdicts(session, ready && Boolean(session.candidate), mode, act);
  $("nothing").hidden = Boolean(session.candidate);
  drawOverlay();
}

listen($("stage"), viewer, {
  isCurrent: (candidate) => candidate === session.candidate?.candidate,
  choose: (candidate) => run(() => session.choose(candidate)),
  drag: (dx, dy) => {
    if (!canJudge()) return;
    const from = session.candidate.place;
    draft = placeAt({ x: from.x + dx, y: from.y + dy });
    drawOverlay();
  },
  drop: () => { if (draft) amendTo(draft); },
  cancelDrag: () => setMode(null),
  click: (point) => { if (mode === "add") addAt(point); },
  doubleClick: (point) => addAt(point),
  hover: (point) => {
    hovered = point;
    const found = point && viewer.valueAt(point);
    const unit = viewer.about?.modality === "CT" ? " HU" : "";
    $("about-pixel").textContent = found ? `${found.x}, ${found.y}\n${found.value}${unit}` : "";
  },
});

function readName() {
  session.reader = $("reader").value.trim();
  localStorage.setItem("overread.reader", session.reader);
}
$("reader").value = localStorage.getItem("overread.reader") || "";
$("reader").addEventListener("change", readName);
session.reader = $("reader").value.trim();

fillHelp($("help"), KEYS);
$("help-open").addEventListener("click", showHelp);
$("help").addEventListener("keydown", (event) => { if (event.key === "?") $("help").close(); });
bind(KEYS, () => session.busy);

run(async () => {
  await session.refresh();
  await session.openFirst();
});

// New reads and other readers' answers appear by themselves, but never under a pressed button.
let pressing = false;
window.addEventListener("pointerdown", () => { pressing = true; }, true);
window.addEventListener("pointerup", () => { pressing = false; }, true);
window.addEventListener("pointercancel", () => { pressing = false; }, true);
setInterval(() => {
  if (session.busy || pressing || document.hidden) return;
  session.refresh().then(() => {
    if (!session.item && session.items.length) run(() => session.openFirst());
  }, () => null);
}, POLL_MS);
