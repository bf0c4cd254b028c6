// The page itself: fetch it anew and put its main part in place, without disturbing who reads or types.

/** Tell what happened, on the screen and to screen readers. */
export function say(text, { focus = false } = {}) {
  const notice = document.getElementById("notice");
  notice.textContent = text;
  if (focus) notice.focus();
}

/** Switch on what works only with scripts. */
export function enliven() {
  for (const fieldset of document.querySelectorAll("fieldset[data-scripted][disabled]")) fieldset.disabled = false;
  for (const button of document.querySelectorAll("button[data-copy][hidden]")) button.hidden = false;
  for (const instead of document.querySelectorAll("[data-unscripted]")) instead.hidden = true;
  for (const lack of document.querySelectorAll("[data-worker]")) tellOfWorkers(lack);
}

/** That nobody can run a call is shown only when it is so. */
async function tellOfWorkers(lack) {
  try {
    const response = await fetch(lack.dataset.worker);
    if (response.ok) lack.hidden = (await response.json()).items.length > 0;
  } catch {
    // the server is away: what is shown stays
  }
}

let running = null;
let again = null;

/**
 * Show the page as it is now. `position` is a place on the log that it must have seen. Calls during one are one more.
 * Resolves when what was asked for is shown.
 */
export function refresh(position) {
  if (running) {
    again ??= running.then(() => {
      again = null;
      return refresh(position);
    });
    return again;
  }
  running = load(position).finally(() => (running = null));
  return running;
}

async function load(position) {
  const url = new URL(location.href);
  if (position) url.searchParams.set("min_position", position);
  let html;
  try {
    const response = await fetch(url);
    if (!response.ok) return;
    html = await response.text();
  } catch {
    return; // the server is away: what is shown stays, and the stream says when it is back
  }
  const next = new DOMParser().parseFromString(html, "text/html");
  document.title = next.title;
  replace(document.querySelector("main"), next.querySelector("main"));
  enliven();
}

function replace(old, fresh) {
  const focused = document.activeElement;
  const within = old.contains(focused) && focused.id ? focused.id : null;
  const range = within && Number.isInteger(focused.selectionStart) ? [focused.selectionStart, focused.selectionEnd] : null;
  tellWhoDecided(old, fresh);
  for (const open of old.querySelectorAll("details[open][id]")) {
    const same = fresh.querySelector(`#${CSS.escape(open.id)}`);
    if (same) same.open = true;
  }
  for (const lack of old.querySelectorAll("[data-worker]:not([hidden])")) {
    fresh.querySelector(`#${CSS.escape(lack.id)}`)?.removeAttribute("hidden");
  }
  for (const kept of old.querySelectorAll("[data-keep]")) {
    fresh.querySelector(`#${CSS.escape(kept.id)}`)?.replaceWith(kept);
  }
  const scrolled = Array.from(old.querySelectorAll(".long[id], textarea[id]"), ({ id, scrollTop }) => [id, scrollTop]);
  old.replaceWith(document.adoptNode(fresh));
  for (const [id, top] of scrolled) document.getElementById(id)?.scrollTo({ top, behavior: "instant" });
  const target = within && document.getElementById(within);
  if (!target) return;
  target.focus({ preventScroll: true });
  if (range) target.setSelectionRange(...range);
}

/** A call that was decided by somebody else while it was looked at does not just vanish. */
function tellWhoDecided(old, fresh) {
  for (const card of old.querySelectorAll("section[data-call]")) {
    if (fresh.querySelector(`#${CSS.escape(card.id)}`) || card.querySelector("form[data-sent]")) continue;
    const decisions = fresh.querySelectorAll(`[data-decided="${CSS.escape(card.dataset.call)}"]`);
    const last = decisions[decisions.length - 1];
    if (last) say(`Decided meanwhile: ${last.textContent.replace(/\s+/g, " ").trim()}`);
  }
}
