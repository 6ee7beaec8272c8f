// Two conveniences; without this script every curve is shown and the tables keep their order.
"use strict";

const switches = [...document.querySelectorAll("[data-switch]")];
const all = document.querySelector("[data-all]");

function show(box) {
  for (const curve of document.querySelectorAll(`[data-curve="${box.dataset.switch}"]`)) {
    curve.style.display = box.checked ? "" : "none";
  }
}

for (const box of switches) {
  box.hidden = false;
  box.addEventListener("change", () => show(box));
  show(box); // browsers remember boxes when a page is loaded again
}
all.hidden = false;
all.addEventListener("click", () => {
  const checked = !switches.every((box) => box.checked);
  for (const box of switches) {
    box.checked = checked;
    show(box);
  }
});

// A field without a number, such as a strategy's name, is sorted as text.
function compare(one, other) {
  const [a, b] = [one, other].map((cell) => cell.dataset.value);
  return a !== undefined && b !== undefined ? a - b : one.textContent.localeCompare(other.textContent);
}

for (const table of document.querySelectorAll("table.sortable")) {
  for (const [column, heading] of [...table.tHead.rows[0].cells].entries()) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const turned = heading.ariaSort === "ascending" ? -1 : 1;
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      heading.ariaSort = turned === 1 ? "ascending" : "descending";
      const rows = [...table.tBodies[0].rows];
      rows.sort((one, other) => turned * compare(one.cells[column], other.cells[column]));
      table.tBodies[0].append(...rows);
    });
  }
}
