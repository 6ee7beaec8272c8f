// The image on the canvas: which slice, through which window, how near. Places are pixel centres: (0, 0) is the centre of
// the first pixel, so the image begins half a pixel before it.

import { loadSeries, loadSlice, paint, preloadAround, valueAt } from "./images.js";

export const PRESETS = {
  CT: [
    { name: "Lung", centre: -600, width: 1500 },
    { name: "Soft tissue", centre: 40, width: 400 },
    { name: "Bone", centre: 400, width: 1800 },
  ],
};

export class Viewer {
  constructor(stage, canvas, onChange) {
    this.stage = stage;
    this.canvas = canvas;
    this.onChange = onChange;
    this.offscreen = document.createElement("canvas");
    this.key = null; // the series
    this.about = null; // what the server says of it
    this.number = 0;
    this.slice = null;
    this.window = null;
    this.view = { scale: 1, x: 0, y: 0 };
    this.wanted = 0;
    new ResizeObserver(() => this.resize()).observe(stage);
  }

  // Resolves when the slice is on the canvas; a later call overtakes an earlier one.
  async show(key, number) {
    this.wanted += 1;
    const mine = this.wanted;
    const about = await loadSeries(key);
    const at = Math.max(0, Math.min(about.slices - 1, number));
    const slice = await loadSlice(key, at);
    if (mine !== this.wanted) return false;
    const fresh = key !== this.key;
    Object.assign(this, { key, about, number: at, slice });
    if (fresh || !this.window) this.window = { ...slice.window };
    this.offscreen.width = slice.columns;
    this.offscreen.height = slice.rows;
    this.image = new ImageData(slice.columns, slice.rows);
    this.repaint();
    if (fresh) this.fit();
    else this.draw();
    preloadAround(key, at, about.slices, 6);
    return true;
  }

  clear() {
    this.wanted += 1;
    Object.assign(this, { key: null, about: null, slice: null, window: null });
    this.draw();
  }

  scroll(steps) {
    if (!this.about) return;
    const number = Math.max(0, Math.min(this.about.slices - 1, (this.target ?? this.number) + steps));
    this.target = number; // fast wheels add up even while a slice is on its way
    this.show(this.key, number).then(() => { this.target = undefined; }, (error) => {
      this.target = undefined;
      this.onError?.(error);
    });
  }

  repaint() {
    paint(this.slice, this.window, this.image);
    this.offscreen.getContext("2d").putImageData(this.image, 0, 0);
  }

  setWindow(centre, width) {
    if (!this.slice) return;
    this.window = { centre, width: Math.max(1e-3 * this.slice.slope, width) };
    this.repaint();
    this.draw();
  }

  resetWindow() {
    if (this.slice) this.setWindow(this.slice.window.centre, this.slice.window.width);
  }

  // A drag over the stage's width changes the window by about its own size.
  dragWindow(dx, dy) {
    const step = Math.max(this.window.width, 1e-6) / 300;
    this.setWindow(this.window.centre - dy * step, this.window.width + dx * step * 1.5);
  }

  resize() {
    const ratio = window.devicePixelRatio || 1;
    const { clientWidth, clientHeight } = this.stage;
    const fitted = this.fitted;
    this.canvas.width = Math.round(clientWidth * ratio);
    this.canvas.height = Math.round(clientHeight * ratio);
    if (fitted) this.fit();
    else this.draw();
  }

  fit() {
    if (!this.slice) return;
    const { clientWidth: width, clientHeight: height } = this.stage;
    const scale = Math.min(width / this.slice.columns, height / this.slice.rows);
    this.view = { scale, x: (width - this.slice.columns * scale) / 2, y: (height - this.slice.rows * scale) / 2 };
    this.fitted = true;
    this.draw();
  }

  // `about` is the point of the stage that stays where it is.
  zoom(factor, about) {
    if (!this.slice) return;
    const at = about || { x: this.stage.clientWidth / 2, y: this.stage.clientHeight / 2 };
    const scale = Math.max(0.05, Math.min(40, this.view.scale * factor));
    const ratio = scale / this.view.scale;
    this.view = { scale, x: at.x - (at.x - this.view.x) * ratio, y: at.y - (at.y - this.view.y) * ratio };
    this.fitted = false;
    this.draw();
  }

  pan(dx, dy) {
    this.view.x += dx;
    this.view.y += dy;
    this.fitted = false;
    this.draw();
  }

  // Bring a place into sight; nothing moves where it is in sight.
  reveal(place) {
    const at = this.toScreen(place);
    const { clientWidth: width, clientHeight: height } = this.stage;
    const edge = 40;
    if (at.x < edge || at.y < edge || at.x > width - edge || at.y > height - edge) {
      if (!this.fitted) this.pan(width / 2 - at.x, height / 2 - at.y);
    }
  }

  toScreen(place) {
    return { x: this.view.x + (place.x + 0.5) * this.view.scale, y: this.view.y + (place.y + 0.5) * this.view.scale };
  }

  toImage(point) {
    return { x: (point.x - this.view.x) / this.view.scale - 0.5, y: (point.y - this.view.y) / this.view.scale - 0.5 };
  }

  contains(place) {
    const { columns, rows } = this.slice;
    return place.x >= -0.5 && place.y >= -0.5 && place.x <= columns - 0.5 && place.y <= rows - 0.5;
  }

  valueAt(point) {
    const at = this.toImage(point);
    const x = Math.round(at.x);
    const y = Math.round(at.y);
    const value = this.slice && valueAt(this.slice, x, y);
    return value === null || value === undefined ? null : { x, y, value };
  }

  draw() {
    const ratio = window.devicePixelRatio || 1;
    const context = this.canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    if (this.slice) {
      const { scale, x, y } = this.view;
      context.setTransform(scale * ratio, 0, 0, scale * ratio, x * ratio, y * ratio);
      context.imageSmoothingEnabled = scale < 8; // very near, the pixels themselves are of interest
      context.imageSmoothingQuality = "high";
      context.drawImage(this.offscreen, 0, 0);
    }
    this.onChange();
  }
}
