// What the page does by itself in the browser: the Enter key, the dark screen, the language of the document,
// opening panels, and making the downloaded file. No question or answer leaves through here.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const inAsk = (target) => target instanceof HTMLTextAreaElement && target.closest("#ask");

  // The Enter key. A Korean syllable is still being composed when Enter is pressed after it. Sending at once would
  // lose that syllable or send it again; ignoring the key would make people press Enter twice. So Enter during
  // composition is remembered, and the question is sent once the composition has ended and its text has arrived.
  let composing = false;
  let pending = false;
  let sent = { text: "", at: 0 };
  const send = () => {
    const box = document.querySelector("#ask textarea");
    const button = byId("send");
    if (!box || !box.value.trim() || !button || button.disabled) return;
    // Some systems report the same Enter again after composition, before the box has been emptied.
    if (box.value === sent.text && performance.now() - sent.at < 1000) return;
    sent = { text: box.value, at: performance.now() };
    button.click();
  };
  document.addEventListener("compositionstart", (e) => { if (inAsk(e.target)) composing = true; }, true);
  document.addEventListener("compositionend", (e) => {
    if (!inAsk(e.target)) return;
    composing = false;
    if (pending) setTimeout(send, 0);
    pending = false;
  }, true);
  document.addEventListener("keydown", (e) => {
    if (e.key === "Escape") { stop(); return; }
    const enter = e.key === "Enter" || e.code === "Enter" || e.code === "NumpadEnter";
    if (!inAsk(e.target) || !enter || e.shiftKey || e.ctrlKey || e.altKey || e.metaKey) return;
    e.preventDefault();
    e.stopImmediatePropagation();
    if (e.isComposing || e.keyCode === 229 || composing) pending = true;
    else send();
  }, true);
  const stop = () => { const button = byId("stop"); if (button && button.offsetParent) button.click(); };

  // The pressed button goes away, and the focus with it: back to the box. Not on a touch screen, where that would
  // bring up the keyboard over the answer.
  const refocus = () => {
    if (matchMedia("(hover: hover)").matches) setTimeout(() => document.querySelector("#ask textarea")?.focus(), 50);
  };

  // Dark or light: the system's choice until the person chooses.
  const THEME = "mundap-theme";
  const stored = () => { try { return localStorage.getItem(THEME); } catch { return null; } };
  const system = matchMedia("(prefers-color-scheme: dark)");
  const paint = () => {
    const dark = stored() ? stored() === "dark" : system.matches;
    if (document.body.classList.contains("dark") !== dark) document.body.classList.toggle("dark", dark);
    byId("theme")?.setAttribute("aria-pressed", String(dark));
  };
  system.addEventListener("change", paint);
  const toggle = () => {
    const next = document.body.classList.contains("dark") ? "light" : "dark";
    try { localStorage.setItem(THEME, next); } catch { /* Private window: the choice lasts as long as the page. */ }
    document.body.classList.toggle("dark", next === "dark");
    byId("theme")?.setAttribute("aria-pressed", String(next === "dark"));
  };

  // Links that open a panel: on a phone the panels lie below the conversation.
  const open = (id) => {
    const box = byId(id);
    const handle = box?.querySelector("button");
    if (handle && !handle.classList.contains("open") && handle.getAttribute("aria-expanded") !== "true") handle.click();
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    box?.scrollIntoView({ behavior: calm ? "auto" : "smooth", block: "start" });
    handle?.focus({ preventScroll: true });
  };
  document.addEventListener("click", (e) => {
    const link = e.target.closest?.("[data-open]");
    if (link) { e.preventDefault(); open(link.dataset.open); }
    else if (e.target.closest?.("#theme")) toggle();
    else if (e.target.closest?.("#send, #stop, #new, #chat .example, #chat .option")) refocus();
  });

  // A new question goes to the top of the view, so that its answer is read from its beginning, not from its end.
  // Until the answer has filled the view, it is kept there; a person who scrolls is left alone.
  let questions = 0;
  let follow = false;
  const scroll = () => {
    const box = document.querySelector("#chat .bubble-wrap");
    const rows = box ? box.querySelectorAll(".user-row") : [];
    if (rows.length !== questions) follow = rows.length > questions || follow;
    questions = rows.length;
    if (!follow || !questions) return;
    const row = rows[questions - 1];
    const top = box.scrollTop + row.getBoundingClientRect().top - box.getBoundingClientRect().top - 8;
    if (Math.abs(box.scrollTop - top) > 1) box.scrollTop = top;
    if (box.scrollHeight - top >= box.clientHeight + 40 && !document.querySelector("#status .busy")) follow = false;
  };
  for (const kind of ["wheel", "touchmove", "keydown"]) {
    document.addEventListener(kind, (e) => { if (e.target.closest?.("#chat")) follow = false; }, { passive: true });
  }

  // The file is made here, from text the server made in memory.
  let lastFile = "";
  const download = () => {
    const holder = document.querySelector("#file [data-export]");
    if (!holder || holder.dataset.export === lastFile) return;
    lastFile = holder.dataset.export;
    const { name, text } = JSON.parse(lastFile);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/markdown;charset=utf-8" }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };

  // The document's language, and names for parts that Gradio leaves without one.
  const name = () => {
    const head = document.querySelector("#brand [data-lang]");
    if (head && document.documentElement.lang !== head.dataset.lang) document.documentElement.lang = head.dataset.lang;
    const theme = byId("theme");
    if (head && theme && theme.getAttribute("aria-label") !== head.dataset.themeLabel) {
      theme.setAttribute("aria-label", head.dataset.themeLabel);
      theme.title = head.dataset.themeLabel;
    }
    if (!head) return;
    const names = JSON.parse(head.dataset.names);
    for (const button of document.querySelectorAll("#chat button[aria-label]")) {
      const given = names[button.ariaLabel];
      if (given) { button.ariaLabel = given; button.title = given; }
    }
  };
  let waiting = false;
  new MutationObserver(() => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; name(); download(); paint(); scroll(); });
  }).observe(document.documentElement, { childList: true, subtree: true, attributes: true, attributeFilter: ["data-export", "data-lang", "class"] });
  name();
})();
