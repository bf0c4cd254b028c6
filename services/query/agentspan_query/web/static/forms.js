// Deciding a call, and resolving one in doubt: what is sent names the arguments that the page showed, and carries those
// that were written in their place.

import { refresh, say } from "./page.js";

/** Take over the forms that speak to the API. */
export function listen() {
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.dataset.send) return;
    event.preventDefault();
    const make = form.dataset.send === "decision" ? decision : resolution;
    const asked = make(form, event.submitter);
    if (asked) send(form, asked.body, asked.done);
  });
  document.addEventListener("input", ({ target }) => {
    if (target.name === "args") label(target.form);
  });
}

function decision(form, button) {
  const reason = form.elements.reason.value.trim();
  const verb = button?.value;
  if (verb === "reject" && !reason) {
    return refuse(form, form.elements.reason, "Say why: the agent reads the reason, and goes on from it.");
  }
  const body = { decision: verb, args_hash: form.dataset.argsHash, ...(reason && { reason }) };
  if (verb === "approve" && isEdited(form)) return edited(form, body);
  const done = `${verb === "approve" ? "Approved" : "Rejected"} ${form.dataset.tool}.`;
  return { body: JSON.stringify(body), done };
}

/** What was written goes as it stands: read and written again, a long number would be another. */
function edited(form, body) {
  const { args } = form.elements;
  let value;
  try {
    value = JSON.parse(args.value);
  } catch (error) {
    return refuse(form, args, `The arguments are not JSON: ${error.message}`);
  }
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    return refuse(form, args, 'The arguments are an object, such as {"amount": 20}.');
  }
  return {
    body: `${JSON.stringify(body).slice(0, -1)},"edited_args":${args.value}}`,
    done: `Approved ${form.dataset.tool} with edited arguments.`,
  };
}

function isEdited(form) {
  const { args } = form.elements;
  return args.value.trim() !== args.defaultValue.trim();
}

/** The button says what it will do. */
function label(form) {
  form.querySelector("[value=approve]").textContent = isEdited(form) ? "Approve as edited" : "Approve";
}

function resolution(form) {
  const { outcome, value, failure, reason } = form.elements;
  if (!outcome.value) return refuse(form, outcome[0], "Choose what became of it.");
  if (outcome.value === "failed" && !failure.value.trim()) {
    return refuse(form, failure, "Say what the error was: the agent reads it.");
  }
  const body = { outcome: outcome.value, attempt: Number(form.dataset.attempt) };
  if (outcome.value === "succeeded") body.value = read(value.value);
  if (outcome.value === "failed") body.error = failure.value.trim();
  if (reason.value.trim()) body.reason = reason.value.trim();
  return { body: JSON.stringify(body), done: `Resolved ${form.dataset.tool}.` };
}

function read(text) {
  if (!text.trim()) return null;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** The same body again has the same key: it is done once, however often it is sent. */
async function send(form, body, done) {
  if (form.dataset.sent !== body) {
    form.dataset.sent = body;
    form.dataset.key = newKey();
  }
  const controls = form.querySelector("fieldset");
  tell(form, "");
  controls.disabled = true;
  try {
    await settle(form, await post(form.dataset.url, body, form.dataset.key), done);
  } catch {
    tell(form, "No answer from the server, so it is not known whether this was taken. Send it again: it counts once.");
  } finally {
    controls.disabled = false;
  }
}

function post(url, body, key) {
  const headers = { "Content-Type": "application/json", "Agentspan-Client": "ui", "Idempotency-Key": key };
  return fetch(url, { method: "POST", headers, body });
}

async function settle(form, response, done) {
  if (response.ok) {
    const position = response.headers.get("Agentspan-Position");
    if (position) document.cookie = `agentspan-decided=${position}; path=/; max-age=10; samesite=strict`;
    await refresh(position);
    say(done, { focus: true });
    return;
  }
  const problem = await response.json().catch(() => ({ detail: `the server answered ${response.status}` }));
  if (response.status === 409) {
    await refresh();
    say(conflict(form.dataset.tool, problem), { focus: true });
  } else {
    tell(form, problem.detail);
  }
}

function conflict(tool, problem) {
  const { winner } = problem;
  if (!winner) return `Nothing changed: ${problem.detail}`;
  const at = new Date(winner.at).toISOString().slice(0, 19).replace("T", " ");
  if (winner.decision === "expired") return `Too late: ${tool} expired at ${at} UTC. Nothing changed.`;
  const through = winner.channel ? ` through ${winner.channel}` : "";
  return `Somebody was first: ${tool} was ${winner.decision} by ${winner.by}${through} at ${at} UTC. Nothing changed.`;
}

function refuse(form, field, text) {
  field.closest("details")?.setAttribute("open", "");
  field.setAttribute("aria-invalid", "true");
  field.addEventListener("input", () => clear(form, field), { once: true });
  tell(form, text);
  field.focus();
  return null;
}

function clear(form, field) {
  field.removeAttribute("aria-invalid");
  tell(form, "");
}

function tell(form, text) {
  form.querySelector("[role=alert]").textContent = text;
}

function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
