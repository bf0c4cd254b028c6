// What a page does beyond links and forms: decide, follow a run, copy. Without it everything can still be read.

import { listen } from "./forms.js";
import { follow } from "./live.js";
import { enliven, say } from "./page.js";

async function copy(event) {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    say(`Copied ${button.dataset.copy}`);
  } catch {
    say(`The browser does not allow copying; the id is ${button.dataset.copy}`);
  }
}

document.addEventListener("click", copy);
listen();
enliven();
follow();
