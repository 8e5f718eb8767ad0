"use strict";

// The server renders; what is shown is in the address. This file sends what needs a token or changes something.
const author = (name) => name.replace(/[^\x20-\x7e\xa0-\xff]/g, ""); // a header holds one line of Latin-1

function headers(more = {}) {
  const found = { "content-type": "application/json", ...more };
  if (session.token()) found.authorization = `Bearer ${session.token()}`;
  return found;
}

async function problem(response) {
  const answer = await response.json().catch(() => ({ detail: `status ${response.status}` }));
  return [answer.detail, ...(answer.errors ?? []).map((error) => error.message)].join("\n");
}

async function put(place, request) {
  place.setAttribute("aria-busy", "true");
  try {
    const response = await request();
    if (response.ok) place.innerHTML = await response.text();
    else complain(place, await problem(response));
  } catch (error) {
    complain(place, `no answer: ${error.message}`);
  }
  place.removeAttribute("aria-busy");
}

function complain(place, text) {
  const notice = document.createElement("p");
  notice.className = "notice";
  notice.setAttribute("role", "alert");
  notice.textContent = text;
  place.replaceChildren(notice);
}

// samples, where they need the token
const list = document.getElementById("samples-list");
function load() {
  if (list?.dataset.load && session.token()) put(list, () => fetch(`/differences/samples${location.search}`, { headers: headers() }));
}
session.whenChanged(load);

// one request, compared
const form = document.getElementById("one-off");
function lines(text) {
  const found = {};
  for (const line of text.split("\n")) {
    const colon = line.indexOf(":");
    if (line.trim() && colon < 1) throw new Error(`"${line.trim()}" is not "name: value"`);
    if (line.trim()) found[line.slice(0, colon).trim()] = line.slice(colon + 1).trim();
  }
  return found;
}
form.addEventListener("submit", (event) => {
  event.preventDefault();
  const { method, target } = form.elements;
  const place = document.getElementById("one-off-result");
  const address = new URL(location.href);
  address.searchParams.set("method", method.value);
  address.searchParams.set("target", target.value);
  history.replaceState(null, "", address);
  put(place, () => {
    const body = { method: method.value, path: target.value, headers: lines(form.elements.headers.value) };
    return fetch("/differences/compare", { method: "POST", headers: headers(), body: JSON.stringify(body) });
  });
});

document.addEventListener("click", async (event) => {
  const copy = event.target.closest("button.copy");
  if (copy) {
    await navigator.clipboard.writeText(copy.dataset.copy);
    copy.textContent = "Copied";
  }
  const again = event.target.closest("button.again");
  if (again) {
    form.elements.method.value = again.dataset.method;
    form.elements.target.value = again.dataset.target;
    form.elements.target.focus();
  }
});

// accepting a difference
const dialog = document.getElementById("accept");
if (dialog) {
  const part = (name) => document.getElementById(`accept-${name}`);
  const output = part("output");
  let previewed = "";
  let hash = dialog.dataset.hash;

  const wanted = () => {
    const kind = part("kind").value;
    const rule = { endpoint: dialog.dataset.endpoint, kind, path: part("path").value, reason: part("reason").value };
    if (kind === "tolerance" || kind === "time") rule.within = part("within").value;
    if (kind === "equal") rule.values = JSON.parse(part("values").value);
    if (kind === "unordered" && part("by").value) rule.by = part("by").value;
    if (part("expires").value) rule.expires = part("expires").value;
    if (part("author").value) rule.owner = part("author").value;
    return rule;
  };
  const changed = () => {
    previewed = "";
    part("confirm").disabled = true;
    output.textContent = "";
    for (const extra of dialog.querySelectorAll("[data-for]")) extra.hidden = !extra.dataset.for.split(" ").includes(part("kind").value);
  };
  const send = async (preview) => {
    try {
      const body = JSON.stringify({ ...wanted(), hash, preview });
      const name = author(part("author").value);
      const more = name ? { "x-author": name } : {};
      const response = await fetch("/api/v1/comparisons/accept", { method: "POST", headers: headers(more), body });
      if (response.ok) return await response.json();
      output.textContent = await problem(response);
    } catch (error) {
      output.textContent = error.message;
    }
    return null;
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button.accept");
    if (!button) return;
    part("path").value = button.dataset.path;
    part("author").value ||= localStorage.getItem("author") ?? "";
    changed();
    dialog.showModal();
    part("reason").focus();
  });
  dialog.addEventListener("input", changed);
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target.matches("input")) {
      event.preventDefault(); // in a dialog's form it would press Close
      part("preview").click();
    }
  });
  part("preview").addEventListener("click", async () => {
    changed();
    if (!dialog.querySelector("form").reportValidity()) return;
    const answer = await send(true);
    if (!answer) return;
    output.textContent = answer.difference.join("\n") || "That changes nothing.";
    previewed = answer.difference.length ? JSON.stringify(wanted()) : "";
    part("confirm").disabled = !previewed;
  });
  part("confirm").addEventListener("click", async () => {
    if (previewed !== JSON.stringify(wanted())) return;
    part("confirm").disabled = true;
    const answer = await send(false);
    if (!answer) return;
    hash = answer.hash;
    localStorage.setItem("author", part("author").value);
    output.textContent = `Done: configuration ${answer.hash}.\n${answer.difference.join("\n")}`;
    dialog.addEventListener("close", () => location.reload(), { once: true });
  });
}
