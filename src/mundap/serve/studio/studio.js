// What the run pages do by themselves: the dark screen, parts that are read again while work goes on, rating by keys.
"use strict";
(() => {
  const THEME = "mundap-theme";
  const root = document.documentElement;
  const stored = () => { try { return localStorage.getItem(THEME); } catch { return null; } };
  const dark = () => (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const paint = () => {
    if (stored()) root.dataset.theme = stored();
    document.getElementById("dark")?.setAttribute("aria-pressed", String(dark()));
  };
  paint();
  document.getElementById("dark")?.addEventListener("click", () => {
    const next = dark() ? "light" : "dark";
    try { localStorage.setItem(THEME, next); } catch { /* Private window: the choice lasts as long as the page. */ }
    root.dataset.theme = next;
    document.getElementById("dark").setAttribute("aria-pressed", String(next === "dark"));
  });

  // A part says from where it is read again. What did not change is left alone, so that a selection in it stays.
  const SECONDS = 3;
  const texts = new WeakMap();
  const refresh = async (part) => {
    const answer = await fetch(part.dataset.refresh);
    if (!answer.ok) return;
    const text = await answer.text();
    const before = texts.get(part);
    if (before === undefined) texts.set(part, text);
    if (before === undefined || before === text) return;
    const made = new DOMParser().parseFromString(text, "text/html").body.firstElementChild;
    if (!made) return;
    texts.set(made, text);
    part.replaceWith(made);
    const log = made.querySelector("pre");
    if (log) log.scrollTop = log.scrollHeight;
  };
  setInterval(() => {
    if (document.hidden) return;
    for (const part of document.querySelectorAll("[data-refresh]")) refresh(part).catch(() => { /* The server rests; try again. */ });
  }, SECONDS * 1000);

  // 1, 0 and 2 choose, except while something is being typed. Once: a second press must not judge the next pair.
  const rating = document.getElementById("rating");
  let sent = false;
  document.addEventListener("keydown", (e) => {
    if (!rating || e.ctrlKey || e.altKey || e.metaKey || e.isComposing || e.repeat) return;
    if (e.target instanceof Element && e.target.closest("textarea, select, input:not([type=radio], [type=checkbox])")) return;
    const button = rating.querySelector(`button[data-key="${e.key}"]`);
    if (!button) return;
    e.preventDefault();
    button.click();
  });
  rating?.addEventListener("submit", (e) => { if (sent) e.preventDefault(); sent = true; });
  addEventListener("pageshow", () => { sent = false; });
})();
