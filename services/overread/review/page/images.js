// Series and slices, with the last ones kept, and grey values to brightness through a look-up table.

import { get, getSlice } from "./api.js";

const SLICES_KEPT = 160;

const series = new Map();
const slices = new Map();

// A failed promise is dropped, so that the next look asks again.
function remember(map, key, load) {
  if (!map.has(key)) {
    const promise = load();
    promise.catch(() => map.delete(key));
    map.set(key, promise);
  }
  return map.get(key);
}

export function loadSeries(key) {
  return remember(series, key, () => get(`series/${key}`));
}

export function loadSlice(key, number) {
  const name = `${key}/${number}`;
  const held = remember(slices, name, () => getSlice(key, number));
  slices.delete(name);
  slices.set(name, held);
  while (slices.size > SLICES_KEPT) slices.delete(slices.keys().next().value);
  return held;
}

// The slices around one, nearest first, one after the other: what the reader sees next never waits behind them.
let walk = 0;
export async function preloadAround(key, number, count, reach) {
  walk += 1;
  const mine = walk;
  for (let step = 1; step <= reach; step += 1) {
    for (const near of [number + step, number - step]) {
      if (mine !== walk) return;
      if (near >= 0 && near < count) await loadSlice(key, near).catch(() => null);
    }
  }
}

// RGBA of every stored value, opaque grey; one table serves all slices until the window changes.
const table = { key: "", grey: new Uint32Array(65536) };

function tableFor(slice, window) {
  const key = [window.centre, window.width, slice.slope, slice.intercept, slice.samples].join(" ");
  if (table.key !== key) {
    const low = window.centre - window.width / 2;
    const offset = slice.samples === 3 ? 0 : 32768;
    const values = slice.samples === 3 ? 256 : 65536;
    for (let index = 0; index < values; index += 1) {
      const value = (index - offset) * slice.slope + slice.intercept;
      const grey = Math.max(0, Math.min(255, Math.round(((value - low) / window.width) * 255)));
      table.grey[index] = 0xff000000 | (grey << 16) | (grey << 8) | grey;
    }
    table.key = key;
  }
  return table.grey;
}

export function paint(slice, window, image) {
  const grey = tableFor(slice, window);
  const out = new Uint32Array(image.data.buffer);
  const { stored } = slice;
  if (slice.samples === 3) {
    for (let at = 0, from = 0; at < out.length; at += 1, from += 3) {
      out[at] = 0xff000000
        | ((grey[stored[from + 2]] & 255) << 16) | ((grey[stored[from + 1]] & 255) << 8) | (grey[stored[from]] & 255);
    }
  } else {
    for (let at = 0; at < out.length; at += 1) out[at] = grey[stored[at] + 32768];
  }
}

export function valueAt(slice, x, y) {
  if (x < 0 || y < 0 || x >= slice.columns || y >= slice.rows) return null;
  const at = y * slice.columns + x;
  if (slice.samples === 3) return Array.from(slice.stored.subarray(3 * at, 3 * at + 3)).join(" ");
  const value = slice.stored[at] * slice.slope + slice.intercept;
  return Number.isInteger(value) ? String(value) : value.toPrecision(4);
}
