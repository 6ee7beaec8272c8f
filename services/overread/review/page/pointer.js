// What the mouse does on the stage. Left: drag the current mark, choose another, pan, or place. Right, or W and left:
// window. Wheel: slices; with Ctrl: zoom.

const SLACK = 3; // a click may tremble so much (px)

export function listen(stage, viewer, on) {
  let act = null;
  let windowKey = false;
  let wheel = 0;
  let pressedOn; // the candidate under the last press: captured pointers hide it from later events

  const pointOf = (event) => {
    const box = stage.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };

  stage.addEventListener("contextmenu", (event) => event.preventDefault());
  window.addEventListener("keydown", (event) => { if (event.key.toLowerCase() === "w") windowKey = true; });
  window.addEventListener("keyup", (event) => { if (event.key.toLowerCase() === "w") windowKey = false; });
  window.addEventListener("blur", () => { windowKey = false; });

  stage.addEventListener("pointerdown", (event) => {
    if (!viewer.slice) return;
    const point = pointOf(event);
    const { candidate } = event.target.dataset;
    pressedOn = candidate;
    let kind = "pan";
    if (event.button === 2 || (event.button === 0 && windowKey)) kind = "window";
    else if (event.button === 0 && candidate) kind = on.isCurrent(candidate) ? "mark" : "choose";
    act = { kind, candidate, start: point, last: point, moved: false, button: event.button };
    stage.setPointerCapture(event.pointerId);
    stage.classList.toggle("windowing", kind === "window");
  });

  stage.addEventListener("pointermove", (event) => {
    const point = pointOf(event);
    on.hover(point);
    if (!act) return;
    act.moved ||= Math.hypot(point.x - act.start.x, point.y - act.start.y) > SLACK;
    const dx = point.x - act.last.x;
    const dy = point.y - act.last.y;
    if (act.moved) {
      if (act.kind === "window") viewer.dragWindow(dx, dy);
      else if (act.kind === "mark") on.drag((point.x - act.start.x) / viewer.view.scale, (point.y - act.start.y) / viewer.view.scale);
      else {
        stage.classList.add("panning");
        viewer.pan(dx, dy);
      }
      act.last = point;
    }
  });

  const end = (event) => {
    if (!act) return;
    const done = act;
    act = null;
    stage.classList.remove("panning", "windowing");
    if (event.type === "pointercancel") {
      if (done.kind === "mark") on.cancelDrag();
      return;
    }
    if (done.kind === "mark" && done.moved) on.drop();
    else if (!done.moved && done.kind === "choose") on.choose(done.candidate);
    else if (!done.moved && done.button === 0 && done.kind !== "window") on.click(viewer.toImage(pointOf(event)));
  };
  stage.addEventListener("pointerup", end);
  stage.addEventListener("pointercancel", end);

  stage.addEventListener("dblclick", (event) => {
    if (viewer.slice && !pressedOn) on.doubleClick(viewer.toImage(pointOf(event)));
  });

  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (event.ctrlKey) {
      viewer.zoom(Math.exp(-event.deltaY / 300), pointOf(event));
      return;
    }
    wheel += event.deltaMode === 1 ? event.deltaY * 33 : event.deltaY;
    const steps = Math.trunc(wheel / 50); // a notch is 100 or 120; touchpads send many small ones
    if (steps) {
      wheel -= steps * 50;
      viewer.scroll(Math.sign(steps) * Math.max(1, Math.floor(Math.abs(steps) / 2)));
    }
  }, { passive: false });

  stage.addEventListener("pointerleave", () => on.hover(null));
}
