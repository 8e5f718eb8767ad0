"use strict";

// Whose token this tab has. It stays in the tab; the proxy says who that is, and what a viewer may not do is hidden.
const session = (() => {
  const field = document.getElementById("token");
  const who = document.getElementById("user");
  const waiting = [];

  async function identify() {
    const token = field.value;
    sessionStorage.setItem("token", token);
    delete document.body.dataset.role;
    who.className = "quiet";
    who.textContent = "";
    for (const changed of waiting) changed();
    if (!token) return;
    const tell = (text, style) => {
      if (field.value !== token) return; // another one was entered meanwhile
      who.textContent = text;
      who.className = style;
    };
    try {
      const response = await fetch("/api/v1/me", { headers: { authorization: `Bearer ${token}` } });
      const answer = await response.json();
      if (response.ok) {
        if (field.value === token) document.body.dataset.role = answer.role;
        tell(`${answer.name} (${answer.role})`, "quiet");
      } else {
        tell(answer.detail, "bad");
      }
    } catch (error) {
      tell(`no answer: ${error.message}`, "bad");
    }
  }

  if (field) {
    field.value = sessionStorage.getItem("token") ?? "";
    field.addEventListener("change", identify);
    identify();
  }
  return {
    token: () => field?.value ?? "",
    headers: (name) => {
      const found = { "content-type": "application/json" };
      // A header holds one line of Latin-1; a name with other letters is sent without them.
      const author = name.replace(/[^\x20-\x7e\xa0-\xff]/g, "");
      if (author) found["x-author"] = author;
      if (field?.value) found.authorization = `Bearer ${field.value}`;
      return found;
    },
    enter: (token) => {
      if (!field || field.value === token) return;
      field.value = token;
      identify();
    },
    whenChanged: (changed) => {
      waiting.push(changed);
      changed();
    },
  };
})();
