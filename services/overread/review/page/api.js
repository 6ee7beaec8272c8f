// The REST API. A click has one Idempotency-Key, however often it has to be sent.

const RETRY_MS = [200, 500, 1000, 2000, 4000, 8000];

export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.title || `HTTP ${status}`);
    this.status = status;
    this.title = body.title || "The server refused";
    this.body = body;
  }
}

async function check(answer) {
  if (answer.ok) return answer;
  let body = {};
  try {
    body = await answer.json();
  } catch {
    body = { title: `HTTP ${answer.status}`, detail: answer.statusText };
  }
  throw new Problem(answer.status, body);
}

export async function get(path) {
  return (await check(await fetch(`/api/v1/${path}`))).json();
}

export async function getSlice(series, number) {
  const answer = await check(await fetch(`/api/v1/series/${series}/slices/${number}`));
  const octets = await answer.arrayBuffer();
  const header = (name) => Number(answer.headers.get(name));
  const samples = header("X-Samples");
  return {
    rows: header("X-Rows"),
    columns: header("X-Columns"),
    samples,
    slope: header("X-Slope"),
    intercept: header("X-Intercept"),
    window: { centre: header("X-Window-Center"), width: header("X-Window-Width") },
    stored: samples === 3 ? new Uint8Array(octets) : new Int16Array(octets),
  };
}

// `onWait` hears that the server is away and the click is being sent again.
export async function correct(correction, version, reader, onWait) {
  const headers = {
    "Content-Type": "application/json",
    "Idempotency-Key": crypto.randomUUID(),
    "If-Match": `"${version}"`,
  };
  if (reader) headers["Overread-Reader"] = encodeURIComponent(reader);
  const request = { method: "POST", headers, body: JSON.stringify(correction) };
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await (await check(await fetch("/api/v1/corrections", request))).json();
    } catch (error) {
      const away = !(error instanceof Problem) || error.status === 503;
      if (!away || attempt >= RETRY_MS.length) throw error;
      onWait(attempt);
      await new Promise((resolve) => { setTimeout(resolve, RETRY_MS[attempt]); });
    }
  }
}
