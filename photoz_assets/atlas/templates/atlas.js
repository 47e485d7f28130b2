// What the map can do besides: say what is under the pointer, and be walked with the arrow keys.
"use strict";
(() => {
  const links = [...document.querySelectorAll(".tracts a")];
  const readout = document.querySelector(".readout");
  const words = (link) => link.querySelector("title").textContent;
  const start = "Point at a tract, or walk the map with the arrow keys.";
  readout.hidden = false;
  readout.textContent = start;

  const map = document.querySelector(".tracts");
  map.addEventListener("pointerover", (event) => {
    const link = event.target.closest("a");
    if (link) readout.textContent = words(link);
  });
  map.addEventListener("pointerleave", () => { readout.textContent = start; });
  map.addEventListener("focusin", (event) => { readout.textContent = words(event.target.closest("a")); });

  // One stop for the tabulator; the arrows go on from there.
  links.forEach((link, place) => link.setAttribute("tabindex", place ? "-1" : "0"));
  let middles = null;
  const middle = (link) => {
    const box = link.getBBox();
    return [box.x + box.width / 2, box.y + box.height / 2];
  };
  const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  map.addEventListener("keydown", (event) => {
    const way = ways[event.key];
    if (!way) return;
    event.preventDefault();
    middles ??= links.map(middle);
    const from = links.indexOf(event.target.closest("a"));
    const [x, y] = middles[from];
    let best = -1;
    let least = Infinity;
    middles.forEach(([otherX, otherY], place) => {
      const along = (otherX - x) * way[0] + (otherY - y) * way[1];
      const aside = Math.abs((otherX - x) * way[1]) + Math.abs((otherY - y) * way[0]);
      const far = along + 2 * aside;
      if (along > 1 && aside < 2 * along && far < least) [best, least] = [place, far];
    });
    if (best < 0) return;
    links[from].setAttribute("tabindex", "-1");
    links[best].setAttribute("tabindex", "0");
    links[best].focus();
  });

  const form = document.querySelector(".jump");
  form.addEventListener("submit", (event) => {
    const address = `tracts/${form.elements.tract.value.trim()}/index.html`;
    if (links.some((link) => link.getAttribute("href") === address)) {
      event.preventDefault();
      location.href = address;
    }
  });
})();
