// Follow the run that is shown: whenever something happens to it, show it. One stream, none while the tab is hidden.
// Whatever page a tab has, it is shown anew when somebody comes back to it.

import { refresh } from "./page.js";

const TOGETHER_MS = 100; // events that come at once are one refresh
const WAITED_MS = 30_000; // how long something waits is shown anew this often
const AGAIN_MS = 2_000;

let stream = null;
let planned = null;

/** Begin, on any page: a stream there is for a run that goes on. */
export function follow() {
  open();
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : refresh().then(open)));
  setInterval(() => shown() && !document.hidden && refresh(), WAITED_MS);
}

function shown() {
  return document.querySelector("main[data-live]");
}

function open() {
  const main = shown();
  if (!main || stream || document.hidden) return;
  stream = new EventSource(`${main.dataset.live}?after=${main.dataset.seq}`);
  for (const type of main.dataset.types.split(" ")) stream.addEventListener(type, moved);
  stream.addEventListener("error", lost);
  stream.addEventListener("problem", () => again(WAITED_MS));
}

function close() {
  stream?.close();
  stream = null;
}

function moved(event) {
  if (planned || Number(event.lastEventId) <= Number(document.querySelector("main").dataset.seq)) return;
  planned = setTimeout(async () => {
    planned = null;
    await refresh();
    if (!shown()) close();
  }, TOGETHER_MS);
}

/** The browser tries again by itself after a lost connection, but not after an error from the server. */
function lost() {
  if (stream?.readyState === EventSource.CLOSED) again(AGAIN_MS);
}

/** From what the page shows then, which may stand behind an event that can't be read. */
function again(afterMs) {
  close();
  setTimeout(() => refresh().then(open), afterMs);
}
