// One table: what a key does, and what the help says of it.

const NAMES = { ArrowUp: "↑", ArrowDown: "↓", ArrowLeft: "←", ArrowRight: "→", Escape: "Esc", ctrl: "Ctrl" };

const showKey = (key) => NAMES[key] || (key.length === 1 ? key.toUpperCase() : key);

// Groups of { keys, say, act, hold? }; `keys` as in "Ctrl+z" or "ArrowUp". `mouse` lines stand in the help only.
export function bind(groups, isBusy) {
  const byKey = new Map();
  for (const group of groups) {
    for (const line of group.lines) for (const key of line.keys || []) byKey.set(key.toLowerCase(), line);
  }
  window.addEventListener("keydown", (event) => {
    const typing = event.target.matches("input, textarea, select");
    if (document.querySelector("dialog[open]") || event.altKey || event.metaKey) return;
    if (typing) {
      if (event.key === "Escape" || event.key === "Enter") event.target.blur();
      return;
    }
    // A focused button keeps its own Enter and Space.
    if (event.target.matches("button") && (event.key === "Enter" || event.key === " ")) return;
    const plain = event.code.startsWith("Digit") ? event.code.slice(5) : event.key;
    const name = [event.ctrlKey && "ctrl", event.shiftKey && plain.length !== 1 && "shift", plain.toLowerCase()];
    if (event.shiftKey && event.code.startsWith("Digit")) name.splice(1, 1, "shift");
    const line = byKey.get(name.filter(Boolean).join("+"));
    if (!line || (event.repeat && !line.hold)) return;
    event.preventDefault();
    if (!isBusy() || line.always) line.act();
  });
}

export function fillHelp(dialog, groups) {
  const heading = document.createElement("h1");
  heading.textContent = "Keys and mouse";
  const all = document.createElement("div");
  all.className = "keys";
  for (const group of groups) {
    const section = document.createElement("section");
    const title = document.createElement("h2");
    title.textContent = group.name;
    section.append(title);
    for (const line of group.lines) {
      if (!line.say) continue;
      const row = document.createElement("p");
      const said = document.createElement("span");
      said.textContent = line.say;
      const keys = document.createElement("span");
      for (const name of line.keys || [line.mouse]) {
        const key = document.createElement("kbd");
        key.textContent = name.split(/\+(?=.)/).map(showKey).join(" ");
        keys.append(key, " ");
      }
      row.append(said, keys);
      section.append(row);
    }
    all.append(section);
  }
  const close = document.createElement("button");
  close.textContent = "Close";
  close.addEventListener("click", () => dialog.close());
  dialog.replaceChildren(heading, all, close);
}
