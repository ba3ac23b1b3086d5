"use strict";
// Filters and sorts what is there already: without it the page shows all of it.
(() => {
  const table = document.getElementById("matrix");
  if (!table) return;
  const form = document.querySelector("form.filter");
  const search = document.getElementById("search");
  const shown = document.getElementById("shown");
  const boxes = [...form.querySelectorAll("input[name=verdict]")];
  const rows = [...table.tBodies[0].rows].map((row) => ({ row, text: row.textContent.toLowerCase(), verdict: row.dataset.verdict }));

  const filter = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const verdicts = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    let count = 0;
    for (const { row, text, verdict } of rows) {
      row.hidden = !verdicts.has(verdict) || !words.every((word) => text.includes(word));
      if (!row.hidden) count++;
    }
    shown.textContent = count + " of " + rows.length + " pods";
  };
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  filter();

  for (const t of document.querySelectorAll("table")) {
    [...t.tHead.rows[0].cells].forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        for (const other of t.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const key = (row) => row.cells[column].textContent.trim();
        const order = [...t.tBodies[0].rows].sort((a, b) => key(a).localeCompare(key(b), "en", { numeric: true }));
        t.tBodies[0].append(...(down ? order.reverse() : order));
      });
    });
  }
})();
