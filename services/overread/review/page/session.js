// One reader at work: what is asked for, what is open, what was said. It knows nothing of the screen; `changed` tells it.

import { Problem, correct, get } from "./api.js";
import { loadSeries, loadSlice } from "./images.js";

export class Session {
  constructor({ changed, opened, told }) {
    Object.assign(this, { changed, opened, told });
    this.items = [];
    this.remaining = {};
    this.model = null;
    this.item = null; // the read that is open
    this.study = null;
    this.candidate = null; // the candidate that is looked at, with its ledger
    this.history = []; // what this session said, for undo
    this.done = 0;
    this.reader = "";
    this.reason = null;
    this.busy = false;
  }

  async refresh() {
    const [list, status] = await Promise.all([get("worklist?limit=100"), get("status")]);
    this.items = list.items;
    this.remaining = list.remaining;
    this.model = status.model;
    this.changed();
  }

  position() {
    return this.items.findIndex((item) => item.candidate === this.item?.candidate);
  }

  async open(item) {
    const [study, candidate] = await Promise.all([
      get(`studies/${item.study}`), get(`candidates/${item.candidate}`),
    ]);
    Object.assign(this, { item, study, candidate, reason: null });
    this.changed();
    await this.opened(candidate.place);
    this.preloadNext();
  }

  close() {
    Object.assign(this, { item: null, study: null, candidate: null });
    this.changed();
  }

  // The pixels of the next read, while this one is looked at.
  preloadNext() {
    const next = this.items[this.position() + 1];
    if (!next) return;
    const { series, slice } = next.place;
    const ready = loadSeries(series).then(() => loadSlice(series, slice));
    ready.catch(() => null); // it will say so when its turn comes
  }

  async go(steps) {
    const at = this.position() + steps;
    if (at < 0 || at >= this.items.length) {
      this.told("info", steps > 0 ? "This is the last read" : "This is the first read");
      return;
    }
    await this.open(this.items[at]);
  }

  async choose(candidate) {
    this.candidate = await get(`candidates/${candidate}`);
    this.reason = null;
    this.changed();
    await this.opened(this.candidate.place);
  }

  async reload() {
    const id = this.candidate.candidate;
    const [study, candidate] = await Promise.all([get(`studies/${this.study.study}`), get(`candidates/${id}`)]);
    Object.assign(this, { study, candidate });
    this.changed();
  }

  // Send one click; true where it was accepted. All that may go wrong is told to the reader here.
  async say(correction, version) {
    const told = this.told;
    try {
      const answer = await correct(correction, version, this.reader, (attempt) => {
        if (attempt === 1) told("info", "The server does not answer", "Your click is kept and sent again.");
      });
      this.history.push({ candidate: answer.candidate, study: correction.study, version: answer.version, verdict: correction.verdict });
      return true;
    } catch (error) {
      if (!(error instanceof Problem)) {
        told("error", "The server does not answer", "Nothing was saved. Is Overread still running?");
      } else if (error.status === 412) {
        await Promise.all([this.reload(), this.refresh()]);
        told("error", "Changed meanwhile", `Somebody was faster: this candidate is reloaded at version ${this.candidate.version}. Please look again.`);
      } else {
        told("error", error.title, error.message);
      }
      return false;
    }
  }

  async judge(verdict, place) {
    const { candidate, study, version } = this.candidate;
    const correction = { candidate, study, verdict };
    if (place) correction.place = place;
    if (this.reason) correction.reason = this.reason;
    if (!(await this.say(correction, version))) return;
    this.done += 1;
    if (candidate !== this.item.candidate) { // another mark of the study: the read itself is still open
      const { item } = this;
      await this.refresh();
      await this.open(item);
      return;
    }
    const following = this.items[this.position() + 1]?.candidate;
    await this.refresh();
    await this.openFirst(following);
  }

  // The one that followed, else the first that waits.
  async openFirst(preferred) {
    const next = this.items.find((item) => item.candidate === preferred) || this.items[0];
    if (next) await this.open(next);
    else this.close();
  }

  async add(place) {
    const candidate = `a-${crypto.randomUUID().replaceAll("-", "")}`;
    const { study } = this.study;
    const correction = { candidate, study, verdict: "added", place };
    if (!(await this.say(correction, 0))) return;
    this.told("info", "Lesion added", "Undo takes it back.");
    await Promise.all([this.reload(), this.refresh()]);
  }

  // The last click of this session; after a reload of the page, what this reader says of the candidate in view.
  async undo() {
    const last = this.history.at(-1) || this.ownWord();
    if (!last) {
      this.told("info", "Nothing to undo");
      return;
    }
    const { candidate, study, version } = last;
    if (!(await this.say({ candidate, study, verdict: "withdrawn" }, version))) {
      this.history.pop();
      return;
    }
    this.history.splice(-2); // the word and its withdrawal
    if (last.verdict !== "added") this.done = Math.max(0, this.done - 1);
    this.told("info", "Taken back");
    await this.refresh();
    const again = this.items.find((item) => item.candidate === candidate);
    if (again) await this.open(again);
    else if (this.study?.study === study) await this.reload();
    else await this.open({ candidate, study });
  }

  ownWord() {
    const said = this.candidate?.verdicts.filter((entry) => entry.reader === this.reader).at(-1);
    if (!said || said.verdict === "withdrawn") return null;
    const { candidate, study, version } = this.candidate;
    return { candidate, study, version, verdict: said.verdict };
  }
}
