// Brings the page up to date without a reload, shows times by the viewer's own clock, and filters while one types.
// Without it everything works as well: the page then loads itself anew, and the search is the server's.
"use strict";
(() => {
  const EVERY_MS = 15000;
  const live = document.getElementById("live");
  const clock = new Intl.DateTimeFormat(undefined, { weekday: "short", hour: "2-digit", minute: "2-digit" });
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;

  function showTimes(root) {
    for (const place of root.querySelectorAll(".yours")) {
      const at = new Date(place.dataset.utc);
      if (!Number.isNaN(at.getTime())) {
        place.textContent = clock.format(at) + " here";
        place.title = zone;
      }
    }
  }

  function filter() {
    const input = document.getElementById("q");
    const table = document.getElementById("rows");
    // Where not all of them are here, the server has to look for them.
    if (!input || !table || table.dataset.whole !== "true") return;
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of table.tBodies[0].rows) {
      row.hidden = !words.every((word) => row.dataset.find.includes(word));
      if (!row.hidden) shown += 1;
    }
    const found = document.getElementById("found");
    const text = `${shown} of ${found.dataset.total}`;
    if (found.textContent !== text) found.textContent = text;
  }

  function say(text, isStale) {
    live.classList.toggle("stale", isStale);
    if (live.textContent !== text) live.textContent = text;
  }

  async function refresh() {
    if (document.hidden) return;
    let text;
    try {
      const answer = await fetch(location.href, { cache: "no-store" });
      // A page that is not there any more is news as well.
      text = await answer.text();
      if (!answer.ok && answer.status !== 404) throw new Error(`${answer.status}`);
    } catch {
      say("not reachable; this is what was last known", true);
      return;
    }
    say("", false);
    const fresh = new DOMParser().parseFromString(text, "text/html");
    const main = document.getElementById("content");
    const news = fresh.getElementById("content");
    if (!main || !news) return;
    const input = document.getElementById("q");
    const typed = input && { value: input.value, start: input.selectionStart, end: input.selectionEnd };
    const active = document.activeElement;
    const focus = main.contains(active) ? { id: active.id, href: active.getAttribute("href") } : null;
    const scroll = [window.scrollX, window.scrollY];
    main.replaceChildren(...news.childNodes);
    document.title = fresh.title;
    document.querySelector(".as-of").replaceChildren(...fresh.querySelector(".as-of").childNodes);
    const icon = fresh.querySelector("link[rel=icon]");
    document.querySelector("link[rel=icon]").href = icon.getAttribute("href");
    showTimes(main);
    const again = document.getElementById("q");
    if (typed && again) {
      again.value = typed.value;
      filter();
    }
    if (focus) {
      const same = focus.id ? document.getElementById(focus.id)
        : [...main.querySelectorAll("a")].find((link) => link.getAttribute("href") === focus.href);
      if (same) {
        same.focus({ preventScroll: true });
        if (same === again && typed) again.setSelectionRange(typed.start, typed.end);
      }
    }
    window.scrollTo(...scroll);
  }

  document.addEventListener("input", (event) => { if (event.target.id === "q") filter(); });
  document.addEventListener("visibilitychange", refresh);
  showTimes(document);
  setInterval(refresh, EVERY_MS);
})();
