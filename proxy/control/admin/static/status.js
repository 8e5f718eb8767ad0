"use strict";

// The server renders, this file only puts in what has changed, so that focus, selection and scrolling stay.
const figures = document.getElementById("figures");
const live = document.getElementById("live");
const filter = document.getElementById("filter");

function morph(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) return old.replaceWith(fresh);
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  if (old.nodeType !== Node.ELEMENT_NODE) return;
  const kept = ["hidden", ...(old.nodeName === "DETAILS" ? ["open"] : [])]; // by whoever looks
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && !kept.includes(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (!kept.includes(name) && old.getAttribute(name) !== value) old.setAttribute(name, value);
  const keyed = new Map();
  for (const child of old.children) if (child.dataset.key) keyed.set(child.dataset.key, child);
  let place = old.firstChild;
  for (const child of [...fresh.childNodes]) {
    const same = keyed.get(child.dataset?.key);
    if (same) {
      if (same !== place) old.insertBefore(same, place);
      else place = place.nextSibling;
      morph(same, child);
    } else if (place && !place.dataset?.key && !child.dataset?.key) {
      const next = place.nextSibling;
      morph(place, child);
      place = next;
    } else {
      old.insertBefore(child, place);
    }
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

function show(html) {
  const fresh = document.createElement("main");
  fresh.id = "figures";
  fresh.innerHTML = html;
  morph(figures, fresh);
  hide();
  document.title = document.querySelector("[role=alert]") ? "(!) strangler" : "strangler";
}

function hide() {
  const wanted = filter.value.trim().toLowerCase();
  for (const row of figures.querySelectorAll(":is(article, details)[data-endpoint]")) {
    row.hidden = !row.dataset.endpoint.toLowerCase().includes(wanted);
  }
}

function listen() {
  const source = new EventSource("/events");
  source.addEventListener("figures", (event) => {
    show(event.data);
    live.textContent = `live, ${new Date().toLocaleTimeString()}`;
    live.className = "good";
  });
  source.onerror = () => {
    live.textContent = "not live: no answer from the proxy";
    live.className = "bad";
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 5000);
  };
}

filter.addEventListener("input", hide);
listen();

const editor = document.getElementById("editor");
if (editor) {
  const part = (name) => document.getElementById(`editor-${name}`);
  const [weight, range, output, confirm] = ["weight", "range", "output", "confirm"].map(part);
  let endpoint = "";
  let hash = "";
  let previewed = null;

  const changed = () => {
    previewed = null;
    confirm.disabled = true;
    output.textContent = "";
  };

  async function send(preview) {
    if (part("token")) session.enter(part("token").value);
    const headers = session.headers(part("author").value);
    const body = JSON.stringify({ endpoint, weight: Number(weight.value), hash, preview });
    try {
      const response = await fetch("/api/v1/weights", { method: "POST", headers, body });
      const answer = await response.json();
      if (response.ok) return answer;
      output.textContent = [answer.detail, ...(answer.errors ?? []).map((error) => error.message)].join("\n");
    } catch (error) {
      output.textContent = `no answer: ${error.message}`;
    }
    return null;
  }

  async function preview() {
    changed();
    if (!weight.reportValidity()) return;
    const value = weight.value;
    const answer = await send(true);
    if (!answer || weight.value !== value) return;
    const { text, n } = answer.comparison;
    output.textContent = answer.difference.join("\n") || "That changes nothing.";
    output.textContent += `\nAnswers: ${text}, ${n ? `${n} compared` : "nothing compared"}.`;
    previewed = answer.difference.length ? value : null;
    confirm.disabled = previewed === null;
  }

  async function apply() {
    if (previewed !== weight.value) return;
    confirm.disabled = true;
    const answer = await send(false);
    if (answer) {
      output.textContent = `Done: configuration ${answer.hash}.\n${answer.difference.join("\n")}`;
      hash = answer.hash;
      localStorage.setItem("author", part("author").value);
    }
  }

  figures.addEventListener("click", (event) => {
    if (!event.target.closest("button.change")) return;
    const article = event.target.closest("article");
    endpoint = article.dataset.endpoint;
    hash = document.getElementById("hash").textContent;
    part("endpoint").textContent = endpoint;
    weight.value = range.value = article.dataset.weight;
    if (part("token")) part("token").value = session.token();
    part("author").value ||= localStorage.getItem("author") ?? "";
    changed();
    editor.showModal();
    weight.focus();
  });
  range.addEventListener("input", () => {
    weight.value = range.value;
    changed();
  });
  weight.addEventListener("input", () => {
    range.value = weight.value;
    changed();
  });
  part("preview").addEventListener("click", preview);
  confirm.addEventListener("click", apply);
  weight.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return; // in a dialog's form it would press Close
    event.preventDefault();
    preview();
  });
}
