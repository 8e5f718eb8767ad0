"use strict";

// What people do to rollouts: a button opens the dialog, which says what it means; only Confirm sends it.
const act = document.getElementById("act");
const MEANING = {
  pause: "It stays where it is until somebody resumes it. It may still come back by itself.",
  resume: "It goes on by its plan, on evidence.",
  approve: "You agree to its next step.",
  abort: "It is rolled back now, as its plan says.",
  retry: "A new attempt begins, from the first step and without the evidence of earlier ones.",
  freeze: "Nothing advances anywhere until somebody unfreezes it. Rollbacks still happen.",
  unfreeze: "Rollouts may advance again.",
};

{
  const part = (name) => document.getElementById(`act-${name}`);
  let action = "";
  let endpoint = "";

  async function perform() {
    if (!act.querySelector("form").reportValidity()) return;
    part("confirm").disabled = true;
    if (part("token")) session.enter(part("token").value);
    const reason = part("reason").value;
    const body = JSON.stringify(endpoint ? { endpoint, reason } : { reason });
    try {
      const headers = session.headers(part("author").value);
      const response = await fetch(`/api/v1/rollouts/${action}`, { method: "POST", headers, body });
      const answer = await response.json();
      part("output").textContent = response.ok ? done(answer) : answer.detail;
      part("confirm").disabled = response.ok;
      if (response.ok) localStorage.setItem("author", part("author").value);
    } catch (error) {
      part("output").textContent = `no answer: ${error.message}`;
      part("confirm").disabled = false;
    }
  }

  function done(answer) {
    const lines = (answer.rollouts ?? []).map((each) => `${each.endpoint}: ${each.state.replace("_", " ")} at ${each.weight} %`);
    return ["Done.", ...lines, ...(answer.problem ? [answer.problem] : [])].join("\n");
  }

  document.getElementById("figures").addEventListener("click", (event) => {
    const button = event.target.closest("button.act");
    if (!button) return;
    const row = button.closest("details");
    action = button.dataset.action;
    endpoint = row?.dataset.endpoint ?? "";
    part("action").textContent = action[0].toUpperCase() + action.slice(1);
    part("endpoint").textContent = endpoint;
    part("meaning").textContent = MEANING[action];
    part("together").textContent = row?.dataset.together ? `With it, of the same group and plan: ${row.dataset.together}.` : "";
    part("reason").value = part("output").textContent = "";
    part("reason").required = !endpoint;
    if (part("token")) part("token").value = session.token();
    part("author").value ||= localStorage.getItem("author") ?? "";
    part("confirm").disabled = false;
    act.showModal();
    part("reason").focus();
  });
  part("confirm").addEventListener("click", perform);
  act.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !event.target.matches("input")) return; // in a dialog's form it would press Close
    event.preventDefault();
    part("confirm").focus();
  });
}
